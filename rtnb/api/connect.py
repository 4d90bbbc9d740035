"""``rtnb.connect``: a session with the embedded engine, OpenAI, Azure, or any compatible server."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from .. import recordings
from ..protocol.events import Event
from ..recordings.recording import Recording
from ..session import event_loop
from ..session.async_session import ANSWER_TIMEOUT
from ..session.options import check_names, checked
from ..transports.base import Transport
from ..transports.websocket import CLOSE_TIMEOUT, PING_INTERVAL, PING_TIMEOUT, TIMEOUT
from .plan import plan
from .session import AsyncSession, Session

__all__ = ["connect", "connect_async", "open"]


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
    made = plan(
        endpoint=endpoint,
        engine=engine,
        model=model,
        api_key=api_key,
        timeout=timeout,
        answer_timeout=answer_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        compression=compression,
        autosave=autosave,
        budget=budget,
        options=options,
    )
    return event_loop.run(made.open_blocking())


P = ParamSpec("P")
T = TypeVar("T")


def _keywords_of(function: Callable[P, Any]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Give a function the signature of another, for its callers, type checkers and ``help``."""

    def give(other: Callable[..., T]) -> Callable[P, T]:
        other.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return cast("Callable[P, T]", other)

    return give


_NOT_OPTIONS = (
    "endpoint",
    "engine",
    "model",
    "api_key",
    "timeout",
    "answer_timeout",
    "ping_interval",
    "ping_timeout",
    "close_timeout",
    "compression",
    "autosave",
    "budget",
)


def with_defaults(**keywords: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `connect`'s keywords with its defaults: those of the connection, and the session's options.

    Raises ArgumentError for a keyword that it does not have.
    """
    check_names({name: value for name, value in keywords.items() if name != "endpoint"}, connect)
    given = inspect.signature(connect).bind(**keywords)
    given.apply_defaults()
    options = dict(given.arguments)
    return {name: options.pop(name) for name in _NOT_OPTIONS}, options


@_keywords_of(connect)
async def connect_async(endpoint: str | Transport | None = None, **keywords: Any) -> AsyncSession:
    """Open a session on the running event loop and return it when the server is ready.

    The keywords, and what is raised, are those of `connect`. The session's verbs are the same too, and those
    that wait are awaited::

        async with await rtnb.connect_async(engine="fake") as s:
            turn = await s.send("Describe the sea in one sentence.")
            print(turn.text)
    """
    connection, options = with_defaults(endpoint=endpoint, **keywords)
    made = await asyncio.to_thread(plan, options=options, **connection)
    session = AsyncSession(await made.dial(), endpoint=made.target.name, **made.target_options)
    await made.open(session)
    session._autosave = made.autosave_of(session)
    return session
