"""``rtnb.connect``: one door to the embedded engine, to OpenAI and Azure, and to any compatible server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
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
from ..session.async_session import AsyncSession
from ..session.budget import Budget
from ..session.options import checked
from ..transports import websocket
from ..transports.base import Transport
from .session import Session

__all__ = ["connect", "open"]


def open(path: str | os.PathLike[str], *, repair: bool = False) -> Recording:
    """Open a recording. It needs no key, no engine and no network, and reads nothing that is not looked at.

    A file that was cut, or an autosave without an end, opens with what is intact and says so in
    ``problem``. ``repair`` opens a damaged one too, without what is damaged. JSON Lines (``.jsonl``, as
    ``s.log.to_jsonl`` writes them) open too, read as a whole.

    Raises RecordingError: no such file, no recording, damaged, or made by a newer rtnb.
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
    timeout: float = 30.0,
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
        https): any server that speaks the protocol. Or a custom `Transport`.
    engine
        For the embedded engine: "local" (the default: VAD, ASR, LLM and TTS on the CPU), "fake"
        (instant and deterministic), or with parts of your own: "local,llm=PATH.gguf", "local,llm=URL#MODEL".
    model
        The model to ask a server for, or that the embedded engine stands in for; by default the seed model.
        For Azure, the model behind the deployment, by which it is priced: see ``rtnb.models.load``.
    api_key
        The key; else from ``OPENAI_API_KEY`` or ``AZURE_OPENAI_API_KEY``, each for its own service only.
    modalities
        "audio" (with its transcript) or "text".
    tools
        Typed functions, ``rtnb.tool`` objects, or dicts as the protocol has them.
    turn_detection
        False: ``send`` makes the turns. "server_vad", "semantic_vad" or a dict of one with its settings: the
        server finds them in what is streamed.
    transcription
        The user's speech as text: True for a usual model, a model's name, a dict, or False.
    noise_reduction
        "near_field", "far_field" or False.
    input_format, output_format
        "pcm16" (24 kHz), "g711_ulaw" or "g711_alaw" (8 kHz).
    max_output_tokens
        1 to the model's maximum, or "inf".
    speed
        Of the voice, 0.25 to 1.5.
    response_format
        No realtime model has structured outputs: anything but "text" is refused with a sentence.
    session
        More fields for the ``session.update``, passed through as they are.
    timeout
        Seconds to wait for the server.
    compression
        Offer permessage-deflate: fewer bytes, 12 to 20 times the work.
    autosave
        Write the log to disk as it grows, so that ``rtnb recover`` finds it after a crash: True, False, or
        "keep" to leave the file there after ``close``. Default: ``RTNB_AUTOSAVE``, else True.
    budget
        What the session may use: dollars (0.5 or "$0.50"), "20,000 tokens", "10 minutes" since it was opened,
        or a dict of ``usd``, ``tokens`` and ``minutes``. At 80 % a ``BudgetWarning`` is given; at the end no
        further response begins, nor one that the server would begin by itself: ``send`` raises BudgetError.
        What runs is not stopped, so the last response may pass it. The embedded engine costs nothing and
        counts at the prices of the model that it stands in for. ``s.budget`` shows and changes it.

    Raises
    ------
    ArgumentError
        A request the model's row or the protocol does not allow, or a budget in dollars for a model without
        known prices. Nothing was sent.
    AuthError
        No key, or one that was refused.
    ConnectionLost
        Nobody answered.
    EngineError
        The embedded engine cannot start; WeightsError where its weights are absent.
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
    keep = autosave_mode(autosave)
    Budget.allowed(budget)
    if engine is not None and not isinstance(engine, str):
        raise ArgumentError(f"engine must be a str such as 'local', not {type(engine).__name__}")
    if endpoint is not None and engine is not None:
        raise ArgumentError("engine= selects the embedded engine: pass either endpoint or engine, not both")
    if api_key is not None and not isinstance(endpoint, str):
        raise ArgumentError(
            "api_key= needs an endpoint: name the model or server first, such as "
            "rtnb.connect('gpt-realtime-2.1', api_key=…). The embedded engine needs none"
        )
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise ArgumentError(f"timeout must be a number of seconds above 0, not {timeout!r:.80}")
    if endpoint is not None and not isinstance(endpoint, str):
        transport = endpoint
        if not all(hasattr(transport, verb) for verb in ("send", "recv", "close")):
            raise ArgumentError(
                "endpoint must be None, a model id, a URL, or a transport with send, recv and close, "
                f"not {type(transport).__name__}"
            )
        custom = Endpoint(
            "a custom transport", "", model or models.SEED, billed=False, requested_model=model or ""
        )
        return event_loop.run(_open(lambda: _ready(transport), custom, options, timeout, keep, budget))
    target = _embedded(engine, model) if endpoint is None else resolve(endpoint, model=model, api_key=api_key)

    async def dial() -> Transport:
        return await websocket.connect(
            target.url, headers=target.headers, timeout=timeout, compression=compression
        )

    return event_loop.run(_open(dial, target, options, timeout, keep, budget))


async def _ready(transport: Transport) -> Transport:
    return transport


async def _open(
    dial: Callable[[], Any],
    target: Endpoint,
    options: dict[str, Any],
    timeout: float,
    keep: str,
    budget: Any,
) -> Session:
    AsyncSession.check(target.model, options)  # before anything is opened or sent
    core = AsyncSession(
        await dial(),
        model=target.model,
        billed=target.billed,
        engine=target.engine,
        explain=target.explain,
    )
    core.state.requested_model = target.requested_model
    await core.open(options, budget=budget, timeout=timeout)
    autosave = _autosave(core, target, keep=keep == "keep") if keep else None
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
    from ..server.launcher import ensure, last_words

    with progress_line("The embedded engine was started") as progress:
        server = ensure(engine, progress=progress)

    def explain(lost: ConnectionLost) -> ConnectionLost | None:
        said = last_words(server)
        return None if said is None else ConnectionLost(said, code=lost.code, reason=lost.reason)

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
