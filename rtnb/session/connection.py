"""A connection and its log: each frame is logged before it is sent, or before its listeners are called.

The reader ends when the connection does; then ``problem`` says why, unless this side closed it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

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
from ..protocol.events import ClientIds, Direction, Event
from ..protocol.log import Log
from ..protocol.state import SessionState
from ..transports.base import Transport
from .event_loop import Notifier

__all__ = ["Connection", "Listener", "PendingRequests"]


def close_error(lost: ConnectionLost, log: Log) -> RtnbError:
    """Return the error that explains why the connection ended.

    An ``error`` event alone is not fatal; the close after it is. Close codes of the hosted service: 3000 for
    keys, 4000 for requests (the reason is ``type.code``), 1001 for the session's maximum duration.
    """
    errors = log.filter("error", direction="server")
    last = (errors[-1].data.get("error") or {}) if len(errors) else {}
    code = lost.reason.rpartition(".")[2] or last.get("code")
    detail = f": {last['message']}" if last.get("message") and lost.code in (3000, 4000) else ""
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


class PendingRequests:
    """Requests without an answer. The server answers those of one type in order, and refuses by event id."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str | None, asyncio.Future[Event]]] = deque()

    async def wait(self, kind: str, timeout: float, event_id: str | None = None) -> Event:
        """Wait for the event of type ``kind`` that answers this request, and return it.

        Raises what ``refuse`` and ``fail`` were given; ConnectionLost after ``timeout`` seconds.
        """
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        waiting = (kind, event_id, future)
        self._waiting.append(waiting)
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise ConnectionLost(f"the server sent no {kind} within {timeout:g} s") from None
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def answer(self, event: Event) -> None:
        """Resolve the oldest request that waits for an event of this type."""
        for waiting in self._waiting:
            if waiting[0] == event["type"] and not waiting[2].done():
                waiting[2].set_result(event)
                return

    def refuse(self, event_id: str | None, error: RtnbError) -> bool:
        """Fail the request with this event id; return whether there was one."""
        for waiting in self._waiting:
            if event_id is not None and waiting[1] == event_id and not waiting[2].done():
                waiting[2].set_exception(error)
                return True
        return False

    def fail(self, error: RtnbError) -> None:
        """Fail all requests: no answer will come."""
        for waiting in self._waiting:
            if not waiting[2].done():
                waiting[2].set_exception(error)


_log = logging.getLogger("rtnb")

Listener = Callable[[Event, int], None]

Explain = Callable[[ConnectionLost], RtnbError | None]


class Connection:
    """Sends and receives events, and logs every frame.

    ``react(event, turn number)`` is called for each server event after it was folded, ``ended()`` once if the
    connection ends and this side did not close it. ``explain`` is an optional hook that maps a ConnectionLost
    to a more specific error.
    """

    __reduce_ex__ = not_copyable("an open connection cannot be pickled or copied: connect again")

    def __init__(
        self,
        transport: Transport,
        *,
        react: Listener,
        ended: Callable[[], None],
        explain: Explain | None = None,
    ) -> None:
        self.state = SessionState()
        self.signal = Notifier()
        self.ids = ClientIds()
        self.problem: RtnbError | None = None
        self.closed = False
        self._transport = transport
        self._react = react
        self._ended = ended
        self._explain = explain
        self._listeners: list[Listener] = []
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start reading and writing."""
        self._tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write())]

    async def close(self) -> None:
        """Close the connection. Closing twice is allowed."""
        if self.closed:
            return
        self.closed = True
        await self._transport.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, turn number)`` for each frame; return a function that ends it."""
        if not callable(listener):
            raise ArgumentError(
                f"listener: expected a function of (event, turn number), got {listener!r:.80}"
            )
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def emit(self, event: Event) -> int:
        """Log an event, queue it for sending, and return its turn's number. An ``event_id`` is added."""
        if event["type"] != "input_audio_buffer.append":
            event.setdefault("event_id", self.ids("event"))
        frame = orjson.dumps(event)
        number = self._record(frame, "client", event)[1]
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
        while True:
            try:
                frame = await self._transport.recv()
            except ConnectionLost as lost:
                self._fail((self._explain and self._explain(lost)) or close_error(lost, self.state.log))
                return
            except Exception as error:
                self._fail(RtnbError(f"receiving failed: {type(error).__name__}: {error}"))
                return
            event, number = self._record(frame, "server")
            if event is None:
                continue
            try:
                self._react(event, number)
            except Exception as error:  # one malformed event must not end the session
                _log.exception("handling the server event %.80r failed", event["type"])
                unexpected = RemoteProtocolError(f"{event['type']:.80} was not expected here: {error!r}")
                self.state.problems.append((len(self.state.log) - 1, str(unexpected)))

    def _fail(self, problem: RtnbError) -> None:
        if not self.closed and self.problem is None:
            self.problem = problem
            self._ended()

    def _record(
        self, frame: bytes, direction: Direction, event: Event | None = None
    ) -> tuple[Event | None, int]:
        event, number = self.state.append(
            frame, direction, mono_ns=time.monotonic_ns(), wall_ns=time.time_ns(), event=event
        )
        if event is not None and self._listeners:
            for listener in tuple(self._listeners):
                try:
                    listener(event, number)
                except Exception:
                    _log.exception("a listener of the session failed")
        self.signal.fire()
        return event, number
