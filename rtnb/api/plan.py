"""What a session is opened with, checked before anything is open: for `connect`, its twin, and `replay`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from ..endpoints.endpoint import Endpoint, resolve
from ..errors import ArgumentError, ConnectionLost
from ..notebook.display import install, progress_line
from ..protocol import models
from ..recordings.autosave import Autosave, autosave_mode
from ..session import async_session as core
from ..session.budget import Budget
from ..transports.base import Transport
from ..transports.websocket import WebSocket
from .session import Session

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a session is opened with: everything is checked, nothing is open."""

    target: Endpoint
    dial: Callable[[], Awaitable[Transport]]
    options: dict[str, Any]
    timeout: float
    saving: str
    """How the log is autosaved: "" not at all."""
    budget: Any = None
    answer_timeout: float | None = core.ANSWER_TIMEOUT
    source: str = ""
    """Where the frames come from, as a sentence, if not from a server."""
    time_scaled: bool = False
    """Whether they come at another speed than they were recorded."""

    @property
    def target_options(self) -> dict[str, Any]:
        """The keywords of a session for this endpoint."""
        target = self.target
        return {
            "model": target.model,
            "billed": target.billed,
            "engine": target.engine,
            "explain": target.explain,
            "answer_timeout": self.answer_timeout,
        }

    async def open_blocking(self) -> Session:
        """Open a session on the sessions' own loop, and return its blocking form."""
        session = core.AsyncSession(await self.dial(), **self.target_options)
        session.state.source = self.source
        session.state.time_scaled = self.time_scaled
        await self.open(session)
        autosave = self.autosave_of(session)
        install()
        return Session(session, self.target.name, autosave)

    async def open(self, session: core.AsyncSession) -> None:
        """Open a session."""
        session.state.requested_model = self.target.requested_model
        await session.open(self.options, budget=self.budget, timeout=self.timeout)

    def autosave_of(self, session: core.AsyncSession) -> Autosave | None:
        """Return the autosave of a session, started; None if it has none."""
        return _autosave(session, self.target, keep=self.saving == "keep") if self.saving else None


def _check_seconds(name: str, value: Any, *, optional: bool = False, most: float = inf) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        limit = f", at most {most:g}" if most < inf else ", or None" if optional else ""
        raise ArgumentError(f"{name}: expected a number of seconds above 0{limit}, got {value!r:.80}")


def plan(
    *,
    endpoint: str | Transport | None,
    engine: str | None,
    model: str | None,
    api_key: str | None,
    timeout: float,
    answer_timeout: float | None,
    ping_interval: float | None,
    ping_timeout: float | None,
    close_timeout: float,
    compression: bool,
    autosave: bool | str | None,
    budget: Any,
    options: dict[str, Any],
) -> Plan:
    """Check all that a session is opened with. The embedded engine is started here, which may block."""
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
        target = Endpoint(
            "a custom transport", "", model or models.SEED, billed=False, requested_model=model or ""
        )

        async def dial() -> Transport:
            return transport

    else:
        target = (
            _embedded(engine, model) if endpoint is None else resolve(endpoint, model=model, api_key=api_key)
        )

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

    core.AsyncSession.check(target.model, options)
    return Plan(target, dial, options, timeout, saving, budget, answer_timeout)


def _autosave(session: core.AsyncSession, target: Endpoint, *, keep: bool) -> Autosave:
    return Autosave(
        session.state,
        session.signal.wait,
        keep=keep,
        endpoint=target.name,
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
