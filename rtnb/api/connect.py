"""``rtnb.connect``: a session with the embedded engine, OpenAI, Azure, or any compatible server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

from .. import recordings
from ..endpoints.endpoint import Endpoint, resolve
from ..errors import ArgumentError, ConnectionLost
from ..notebook.display import install, progress_line
from ..protocol import models
from ..protocol.events import Event
from ..recordings.autosave import Autosave, autosave_mode
from ..recordings.recording import Recording
from ..session import event_loop
from ..session.async_session import ANSWER_TIMEOUT, AsyncSession
from ..session.budget import Budget
from ..session.options import checked
from ..transports.base import Transport
from ..transports.websocket import CLOSE_TIMEOUT, PING_INTERVAL, PING_TIMEOUT, TIMEOUT, WebSocket
from .session import Session

__all__ = ["connect", "open"]


def open(path: str | os.PathLike[str], *, repair: bool = False) -> Recording:
    """Open a recording. It needs no key, engine or network, and reads only what is used.

    A file that was cut, or an autosave file of a session that crashed, opens with the part that is complete,
    and ``problem`` says so. ``repair`` also opens a damaged file, without the damaged parts. JSON Lines
    (``.jsonl``, as from ``s.log.to_jsonl``) can be opened as well and are read completely.

    Raises RecordingError if the file does not exist, is not a recording, is damaged, or is from a newer rtnb.
    """
    recording = recordings.open(path, repair=repair)
    if "IPython" in sys.modules:
        from ..notebook.display import install

        install()
    return recording


@checked
def connect(
    endpoint: str | Transport | None = None,
    *,
    engine: str | None = None,
    model: str | None = None,
    api_key: str | None = None,
    instructions: str | None = None,
    voice: str | None = None,
    modalities: str | Iterable[str] | None = None,
    tools: Iterable[Callable[..., Any] | Mapping[str, Any] | Any] | None = None,
    tool_choice: str | Event | None = None,
    turn_detection: str | bool | Mapping[str, Any] | None = False,
    transcription: str | bool | Mapping[str, Any] | None = True,
    noise_reduction: str | bool | None = None,
    input_format: str | Event | None = None,
    output_format: str | Event | None = None,
    max_output_tokens: int | str | None = None,
    speed: float | None = None,
    response_format: Any = None,
    session: Mapping[str, Any] | None = None,
    timeout: float = TIMEOUT,
    answer_timeout: float | None = ANSWER_TIMEOUT,
    ping_interval: float | None = PING_INTERVAL,
    ping_timeout: float | None = PING_TIMEOUT,
    close_timeout: float = CLOSE_TIMEOUT,
    compression: bool = False,
    autosave: bool | str | None = None,
    budget: float | str | Mapping[str, float] | None = None,
) -> Session:
    """Open a session and return it when the server is ready.

    Parameters
    ----------
    endpoint
        None: the embedded engine, started on demand in its own process and shared by all notebooks. A model
        id, such as "gpt-realtime-2.1": OpenAI. "azure:DEPLOYMENT": Azure OpenAI. A URL (ws, wss, http or
        https): any server with this protocol. Or a custom `Transport`.
    engine
        For the embedded engine: "local" (the default: VAD, ASR, LLM and TTS on the CPU), "fake" (instant and
        deterministic), or with other parts: "local,llm=PATH.gguf", "local,llm=URL#MODEL".
    model
        The model to request from a server, or that the embedded engine stands in for; by default the seed
        model. For Azure, the model behind the deployment, which has its prices: see ``rtnb.models.load``.
    api_key
        The API key; default: ``OPENAI_API_KEY`` or ``AZURE_OPENAI_API_KEY``, each for its own service only.
    modalities
        "audio" (with its transcript) or "text".
    tools
        Typed functions, ``rtnb.tool`` objects, or dicts as in the protocol.
    turn_detection
        False: each ``send`` is a turn. "server_vad", "semantic_vad" or a dict of one with its settings: the
        server finds the turns in the streamed audio.
    transcription
        Transcription of the user's speech: True for the default model, a model's name, a dict, or False.
    noise_reduction
        "near_field", "far_field" or False.
    input_format, output_format
        "pcm16" (24 kHz), "g711_ulaw" or "g711_alaw" (8 kHz).
    max_output_tokens
        1 to the model's maximum, or "inf".
    speed
        The voice's speed, 0.25 to 1.5.
    response_format
        No realtime model supports structured outputs: anything but "text" raises ArgumentError.
    session
        More fields for the ``session.update``, which are not checked.
    timeout
        Seconds that each step of opening may take: the connection with its handshake, then the session's
        first event.
    answer_timeout
        Seconds that a turn waits for a server which sends nothing for it; then it fails with TurnTimeout.
        Pings and other turns do not count, and the clock stops while a tool runs. None: no limit.
    ping_interval, ping_timeout
        Seconds of silence after which the server is pinged, and seconds that it then has to send anything
        before the connection counts as lost. None: it is not pinged, or not given up.
    close_timeout
        Seconds that closing may take, whichever side starts it: up to 2. Then the connection is dropped.
    compression
        Offer permessage-deflate: fewer bytes, 12 to 20 times the CPU time.
    autosave
        Write the log to disk as it grows, so that ``rtnb recover`` finds it after a crash: True, False, or
        "keep" to leave the file there after ``close``. Default: ``RTNB_AUTOSAVE``, else True.
    budget
        What the session may use: dollars (0.5 or "$0.50"), "20,000 tokens", "10 minutes" since it was opened,
        or a dict of ``usd``, ``tokens`` and ``minutes``. At 80 % a ``BudgetWarning`` is issued. When it is
        used up, no further response starts, including automatic ones, and ``send`` raises BudgetError. A
        response in progress is not stopped, so the last one may exceed the budget. The embedded engine costs
        nothing and counts at the prices of the model that it stands in for. ``s.budget`` gets and sets it.

    Raises
    ------
    ArgumentError
        An option that the model or the protocol does not allow, or a budget in dollars for a model without
        known prices. Nothing was sent.
    AuthError
        No API key, or one that was refused.
    ConnectionLost
        The server cannot be reached or does not answer.
    EngineError
        The embedded engine cannot start; WeightsError if its weights are not installed.
    """
    options: dict[str, Any] = {
        "instructions": instructions,
        "voice": voice,
        "modalities": modalities,
        "tools": tools,
        "tool_choice": tool_choice,
        "turn_detection": turn_detection,
        "transcription": transcription,
        "noise_reduction": noise_reduction,
        "input_format": input_format,
        "output_format": output_format,
        "max_output_tokens": max_output_tokens,
        "speed": speed,
        "response_format": response_format,
        "session": session,
    }
    saving = autosave_mode(autosave)
    Budget.allowed(budget)
    if engine is not None and not isinstance(engine, str):
        raise ArgumentError(f"engine: expected a str such as 'local', got {type(engine).__name__}")
    if endpoint is not None and engine is not None:
        raise ArgumentError("engine= selects the embedded engine: pass either endpoint or engine, not both")
    if api_key is not None and not isinstance(endpoint, str):
        raise ArgumentError(
            "api_key= needs an endpoint: name the model or server first, such as "
            "rtnb.connect('gpt-realtime-2.1', api_key=…). The embedded engine needs none"
        )
    _check_seconds("timeout", timeout)
    _check_seconds("answer_timeout", answer_timeout, optional=True)
    _check_seconds("ping_interval", ping_interval, optional=True)
    _check_seconds("ping_timeout", ping_timeout, optional=True)
    _check_seconds("close_timeout", close_timeout, most=2.0)
    if endpoint is not None and not isinstance(endpoint, str):
        transport = endpoint
        if not all(hasattr(transport, verb) for verb in ("send", "recv", "close")):
            raise ArgumentError(
                "endpoint: expected None, a model id, a URL, or a transport with send, recv and close, "
                f"got {type(transport).__name__}"
            )
        custom = Endpoint(
            "a custom transport", "", model or models.SEED, billed=False, requested_model=model or ""
        )
        return event_loop.run(
            _open(lambda: _already_open(transport), custom, options, timeout, answer_timeout, saving, budget)
        )
    target = _embedded(engine, model) if endpoint is None else resolve(endpoint, model=model, api_key=api_key)

    async def dial() -> Transport:
        return await WebSocket.connect(
            target.url,
            headers=target.headers,
            timeout=timeout,
            compression=compression,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
        )

    return event_loop.run(_open(dial, target, options, timeout, answer_timeout, saving, budget))


def _check_seconds(name: str, value: Any, *, optional: bool = False, most: float = inf) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        limit = f", at most {most:g}" if most < inf else ", or None" if optional else ""
        raise ArgumentError(f"{name}: expected a number of seconds above 0{limit}, got {value!r:.80}")


async def _already_open(transport: Transport) -> Transport:
    return transport


async def _open(
    dial: Callable[[], Any],
    target: Endpoint,
    options: dict[str, Any],
    timeout: float,
    answer_timeout: float | None,
    saving: str,
    budget: Any,
) -> Session:
    AsyncSession.check(target.model, options)  # before anything is opened or sent
    core = AsyncSession(
        await dial(),
        model=target.model,
        billed=target.billed,
        engine=target.engine,
        explain=target.explain,
        answer_timeout=answer_timeout,
    )
    core.state.requested_model = target.requested_model
    await core.open(options, budget=budget, timeout=timeout)
    autosave = _autosave(core, target, keep=saving == "keep") if saving else None
    install()
    return Session(core, target.name, autosave)


def _autosave(core: AsyncSession, target: Endpoint, *, keep: bool) -> Autosave:
    return Autosave(
        core.state,
        core.signal.wait,
        keep=keep,
        where=target.name,
        engine=target.engine,
        billed=target.billed,
        model=target.model,
    )


def _embedded(engine: str | None, model: str | None) -> Endpoint:
    from ..server.launcher import ensure, exit_report

    with progress_line("The embedded engine was started") as progress:
        server = ensure(engine, progress=progress)

    def explain(lost: ConnectionLost) -> ConnectionLost | None:
        reason = exit_report(server)
        return None if reason is None else ConnectionLost(reason, code=lost.code, reason=lost.reason)

    found = resolve(server.url, model=model, api_key=server.key)
    return Endpoint(
        f"the embedded engine ({server.engine})",
        found.url,
        found.model,
        found.headers,
        billed=False,
        engine=server.engine,
        requested_model=model or "",
        explain=explain,
    )
