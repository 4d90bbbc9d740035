"""A connection and its log: each frame is logged before it is sent, or before its listeners are called.

The reader ends when the connection does; then ``problem`` says why, unless this side closed it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from ..errors import (
    ArgumentError,
    AuthError,
    ConnectionLost,
    RemoteProtocolError,
    RtnbError,
    ServiceError,
    not_copyable,
)
from ..protocol.changes import PIECES, AppendAudio, Change, Command, Listener
from ..protocol.events import ClientIds, Event
from ..protocol.state import SessionState
from ..transports.base import DeliveringTransport, Transport
from .content import check_json
from .event_loop import Notifier

__all__ = ["Connection", "Explain"]

_log = logging.getLogger("rtnb")

_CLOSE_SECONDS = 2.0
"""How long closing may take before the transport is abandoned."""

Explain = Callable[[ConnectionLost], RtnbError | None]


def close_error(lost: ConnectionLost, state: SessionState) -> RtnbError:
    """Return the error that explains why the connection ended.

    An ``error`` event alone is not fatal; the close after it is. Close codes of the hosted service: 3000 for
    keys, 4000 for requests (the reason is ``type.code``), 1001 for the session's maximum duration.
    """
    last = state.turns.last_error
    code = lost.reason.rpartition(".")[2] or (last.code if last is not None else None)
    message = last.message if last is not None else ""
    detail = f": {message}" if message and lost.code in (3000, 4000) else ""
    if lost.code == 3000:
        return AuthError(f"the service refused the key ({code or 'invalid_api_key'}){detail}")
    if code == "beta_api_shape_disabled":
        return ServiceError(
            "the service no longer supports the beta protocol: connect without the OpenAI-Beta header",
            code=code,
        )
    if lost.code == 4000:
        return ServiceError(f"the service ended the session ({code}){detail}", code=code)
    if lost.code == 1001 and "maximum duration" in lost.reason:
        return ConnectionLost(f"{lost.reason} Connect again to continue", code=1001, reason=lost.reason)
    return lost


class Connection:
    """Sends commands and receives changes, and logs every frame.

    ``react(change, turn number)`` is called for each change after it was folded, but ``on_piece`` for the
    pieces of an answer; ``ended()`` is called once if the connection ends and this side did not close it.
    ``explain`` is an optional hook that maps a ConnectionLost to a more specific error.
    """

    __reduce_ex__ = not_copyable("an open connection cannot be pickled or copied: connect again")

    def __init__(
        self,
        transport: Transport,
        *,
        react: Callable[[Change, int], None],
        ended: Callable[[], None],
        explain: Explain | None = None,
    ) -> None:
        self.state = SessionState()
        self.signal = Notifier()
        self.ids = ClientIds()
        self.on_piece: Callable[[int], object] = _ignore
        """Called with the turn's number for each piece of an answer: nearly all that is received."""
        self.problem: RtnbError | None = None
        self.closed = False
        self._transport = transport
        self._react = react
        self._ended = ended
        self._explain = explain
        self._listeners: tuple[Listener, ...] = ()
        self._broken: set[int] = set()  # ids of listeners that have raised
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start reading and writing."""
        self._tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write())]

    async def close(self) -> None:
        """Close the connection, within two seconds whatever the other side does. Closing twice is allowed."""
        if self.closed:
            return
        self.closed = True
        closing = asyncio.ensure_future(self._transport.close())
        await asyncio.wait([closing], timeout=_CLOSE_SECONDS)
        for task in (closing, *self._tasks):
            task.cancel()
        await asyncio.gather(closing, *self._tasks, return_exceptions=True)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(change, turn number)`` for each change and command; return a function to end it."""
        if not callable(listener):
            raise ArgumentError(
                f"listener: expected a function of (change, turn number), got {listener!r:.80}"
            )
        self._listeners = (*self._listeners, listener)  # a new tuple: one may end while all are called

        def end() -> None:
            left = list(self._listeners)
            if listener in left:
                left.remove(listener)
                self._listeners = tuple(left)

        return end

    def emit(self, command: Command) -> tuple[Command, int]:
        """Log a command and queue it for sending; return it with its event id, and its turn's number.

        Raises ArgumentError, before anything is logged, for a value that cannot be written as JSON.
        """
        if not getattr(command, "event_id", "") and not isinstance(command, AppendAudio):
            command = msgspec.structs.replace(command, event_id=self.ids("event"))
        event = self.state.dialect.command(command)
        return command, self._send(_frame(event), command, event["type"])

    def emit_event(self, event: Event) -> tuple[Event, int]:
        """Log a raw event and queue it for sending; return it with its event id, and its turn's number."""
        event = {"event_id": self.ids("event"), **event} if "event_id" not in event else dict(event)
        return event, self._send(_frame(event), None, "")

    def _send(self, frame: bytes, command: Command | None, kind: str) -> int:
        number = self._record(frame, "client", command, kind)
        self._outbox.put_nowait(frame)
        return number

    async def _write(self) -> None:
        while True:
            frame = await self._outbox.get()
            try:
                await self._transport.send(frame)
            except ConnectionLost:
                return  # the reader gets the same error, with the close code and reason
            except Exception as error:
                self._fail(RtnbError(f"sending failed: {type(error).__name__}: {error}"))
                return

    async def _read(self) -> None:
        try:
            if isinstance(self._transport, DeliveringTransport):
                await self._transport.deliver(self._receive)
            while True:
                self._receive(await self._transport.recv())
        except ConnectionLost as lost:
            self._tasks[1].cancel()  # there is nowhere left to write to
            self._fail((self._explain and self._explain(lost)) or close_error(lost, self.state))
        except Exception as error:
            self._fail(RtnbError(f"receiving failed: {type(error).__name__}: {error}"))

    def _receive(self, frame: bytes) -> None:
        try:
            self._record(frame, "server")
        except Exception as error:  # a defect here must not look like a silent server
            if self.problem is None:
                _log.exception("a received frame could not be recorded")
            self._fail(RtnbError(f"a received frame could not be recorded: {type(error).__name__}: {error}"))

    def _fail(self, problem: RtnbError) -> None:
        if not self.closed and self.problem is None:
            self.problem = problem
            self._ended()

    def _record(self, frame: bytes, direction: Any, command: Command | None = None, kind: str = "") -> int:
        read = self.state.append(
            frame,
            direction,
            mono_ns=time.monotonic_ns(),
            wall_ns=time.time_ns(),
            command=command,
            kind=kind,
        )
        turn = read.turn
        for change in read.changes:
            for listener in self._listeners:
                try:
                    listener(change, turn)
                except Exception:
                    self._report(listener)
            if type(change) in PIECES:
                self.on_piece(turn)
            elif direction == "server":
                try:
                    self._react(change, turn)
                except Exception as error:  # one odd event must not end the session
                    name = type(change).__name__
                    _log.exception("handling %s failed", name)
                    problem = RemoteProtocolError(f"{name} was not expected here: {error!r}")
                    self.state.problems.append((read.row, str(problem)))
        self.signal.fire()
        return turn

    def _report(self, listener: Listener) -> None:
        """Log the exception of a listener, the first time it raises one."""
        if id(listener) not in self._broken:
            self._broken.add(id(listener))
            _log.exception("a listener of the session failed; it is called again, and not reported again")


def _ignore(number: int) -> None:
    """Do nothing."""


def _frame(event: Event) -> bytes:
    check_json(event, "the event")
    return orjson.dumps(event)
