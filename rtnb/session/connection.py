"""The line: one connection and the record of it. What is sent is kept first; what arrives is kept, then told.

The reader ends when the connection does; then ``problem`` says why, unless this side hung up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

import orjson

from ..errors import ArgumentError, AuthError, ConnectionLost, RemoteProtocolError, RtnbError, ServiceError
from ..protocol.events import ClientIds, Direction, Event
from ..protocol.log import Log
from ..protocol.state import SessionState
from ..transports.base import Transport
from .event_loop import Notifier

__all__ = ["Connection", "Listener", "PendingRequests"]


def close_error(lost: ConnectionLost, log: Log) -> RtnbError:
    """Return what to tell the user. An ``error`` event alone is never fatal; the close after it is.

    Close codes as the hosted service uses them: 3000 for keys, 4000 for requests (the reason is
    ``type.code``), 1001 for the session's maximum duration.
    """
    errors = log.filter("error", direction="server")
    last = (errors[-1].data.get("error") or {}) if len(errors) else {}
    code = lost.reason.rpartition(".")[2] or last.get("code")
    said = f": {last['message']}" if last.get("message") and lost.code in (3000, 4000) else ""
    if lost.code == 3000:
        return AuthError(f"the service refused the key ({code or 'invalid_api_key'}){said}")
    if code == "beta_api_shape_disabled":
        return ServiceError(
            "this service no longer speaks the beta protocol: connect without the OpenAI-Beta header",
            code=code,
        )
    if lost.code == 4000:
        return ServiceError(f"the service ended the session ({code}){said}", code=code)
    if lost.code == 1001 and "maximum duration" in lost.reason:
        return ConnectionLost(f"{lost.reason} Connect again to go on", code=1001, reason=lost.reason)
    return lost


class PendingRequests:
    """Requests on their way. The server answers those of one kind in order, and refuses by event id."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str | None, asyncio.Future[Event]]] = deque()

    async def wait(self, kind: str, timeout: float, event_id: str | None = None) -> Event:
        """Return the next event of type ``kind`` that is the answer to this request.

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
        """Hand an event to whoever waits for its type first."""
        for waiting in self._waiting:
            if waiting[0] == event["type"] and not waiting[2].done():
                waiting[2].set_result(event)
                return

    def refuse(self, event_id: str | None, error: RtnbError) -> bool:
        """Fail the request with this event id; tell whether there was one."""
        for waiting in self._waiting:
            if event_id is not None and waiting[1] == event_id and not waiting[2].done():
                waiting[2].set_exception(error)
                return True
        return False

    def fail(self, error: RtnbError) -> None:
        """Fail all requests: nobody will answer."""
        for waiting in self._waiting:
            if not waiting[2].done():
                waiting[2].set_exception(error)


_log = logging.getLogger("rtnb")

Listener = Callable[[Event, int], None]

Explain = Callable[[ConnectionLost], RtnbError | None]


class Connection:
    """Sends and receives events, and keeps every frame.

    ``react(event, turn number)`` is called for each of the server's events after it was folded, ``ended()``
    once when the connection is over and this side did not close it. ``explain`` may know better than the
    close frame why that was.
    """

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
        """Begin to read and to write."""
        self._tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write())]

    async def close(self) -> None:
        """Hang up. Closing twice is allowed."""
        if self.closed:
            return
        self.closed = True
        await self._transport.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, turn number)`` for each frame, both directions; return the end of it."""
        if not callable(listener):
            raise ArgumentError(f"a listener is called with (event, turn number); got {listener!r:.80}")
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def emit(self, event: Event) -> int:
        """Keep an event, send it soon, and return the number of its turn. An ``event_id`` is added."""
        if event["type"] != "input_audio_buffer.append":
            event.setdefault("event_id", self.ids("event"))
        frame = orjson.dumps(event)
        number = self._keep(frame, "client", event)[1]
        self._outbox.put_nowait(frame)
        return number

    async def _write(self) -> None:
        while True:
            frame = await self._outbox.get()
            try:
                await self._transport.send(frame)
            except ConnectionLost:
                return  # the reader hears of it too, with the server's last words
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
            event, number = self._keep(frame, "server")
            if event is None:
                continue
            try:
                self._react(event, number)
            except Exception as error:  # one odd event must not end what the next ones could go on with
                _log.exception("the server's event %.80r could not be acted on", event["type"])
                said = RemoteProtocolError(f"{event['type']:.80} made no sense here: {error!r}")
                self.state.problems.append((len(self.state.log) - 1, str(said)))

    def _fail(self, problem: RtnbError) -> None:
        if not self.closed and self.problem is None:
            self.problem = problem
            self._ended()

    def _keep(
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
