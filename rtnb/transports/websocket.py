"""A WebSocket to any server that speaks the protocol.

Every wait has a limit: opening, closing, and the silence of a peer that is gone. See `WebSocket.connect`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import DATA_OPCODES
from websockets.protocol import State

from ..errors import ArgumentError, AuthError, ConnectionLost, not_copyable
from .text_frames import TextFrames

__all__ = ["CLOSE_TIMEOUT", "PING_INTERVAL", "PING_TIMEOUT", "TIMEOUT", "WebSocket"]

_log = logging.getLogger("rtnb.websocket")
_log.setLevel(logging.INFO)  # at DEBUG the library logs the request's headers, with the key

TIMEOUT = 15.0
"""Seconds that opening a connection may take."""

PING_INTERVAL = 5.0
"""Seconds of silence after which the peer is pinged."""

PING_TIMEOUT = 8.0
"""Seconds that the peer has to send anything after that. With the interval, less than 15."""

CLOSE_TIMEOUT = 1.0
"""Seconds that the closing handshake may take, on either side; then the socket is dropped."""

_MAX_UNREAD = 256
"""Frames that may wait to be read before reading from the socket is paused."""

_TICK = 1.0
"""Seconds between looks at the clock."""

_BLOCKED_SECONDS = 3.0
"""A loop that was blocked for this long may be why a peer dropped the connection."""

_BLOCKED_WITHIN = 30.0
"""Seconds after which a blocked loop no longer explains a dropped connection."""


class _Connection(ClientConnection):
    """Queues messages without waking a task for each, and notices a peer that is gone.

    Many deltas arrive in one TCP segment, and the library's own queue costs as much per message as everything
    that a session does with it. The library's own keepalive takes a busy line, and a process that was blocked
    itself, for a peer that is gone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._opening = b""  # the last bytes received of the handshake
        limit = self.protocol.max_message_size
        self._frames = TextFrames(self._queue, self._parse, float("inf") if limit is None else limit)
        self._messages: deque[bytes] = deque()
        self._receive: Callable[[bytes], None] | None = None
        self._fragments: list[bytes] = []
        self._reader: asyncio.Future[None] | None = None
        self._full = False
        self._dropping: asyncio.TimerHandle | None = None
        limits = [seconds for seconds in (self.ping_interval, self.ping_timeout) if seconds]
        self._tick = min([_TICK, *(seconds / 4 for seconds in limits)])
        self._received = self._ticked = self.loop.time()
        self._blocked = self._blocked_at = 0.0
        self.silent = 0.0
        """After how many seconds of silence this side dropped the connection; 0 if it did not."""

    def start_keepalive(self) -> None:
        self._received = self._ticked = self.loop.time()
        self.keepalive_task = self.loop.create_task(self.keepalive())

    async def keepalive(self) -> None:
        pinged = False
        while True:
            await asyncio.sleep(self._tick)
            if self._note_blocked() or self._full:  # what has arrived was not read
                self._received = self._ticked
            silent = self._ticked - self._received
            if self.ping_interval is None:
                pass
            elif silent < self.ping_interval:
                pinged = False
            elif not pinged:
                pinged = True
                self._write_if_open(lambda: self.protocol.send_ping(b""))
            elif self.ping_timeout is not None and silent >= self.ping_interval + self.ping_timeout:
                self.silent = silent
                self._write_if_open(lambda: self.protocol.fail(1011, "keepalive ping timeout"))
                self.transport.abort()
                return

    def _write_if_open(self, frame: Callable[[], None]) -> None:
        if self.protocol.state is State.OPEN:
            frame()
            self.send_data()

    def _note_blocked(self) -> bool:
        """Note how late the clock is looked at; return whether something blocked the loop."""
        now = self.loop.time()
        late = now - self._ticked - self._tick
        self._ticked = now
        if late < min(_BLOCKED_SECONDS, self._tick):
            return False
        if late >= self._blocked or now - self._blocked_at > _BLOCKED_WITHIN:
            self._blocked, self._blocked_at = late, now
        return True

    @property
    def blocked(self) -> float:
        """For how many seconds something has blocked the event loop lately; 0 if it was not long."""
        lately = self.loop.time() - self._blocked_at < _BLOCKED_WITHIN
        return self._blocked if lately and self._blocked >= _BLOCKED_SECONDS else 0.0

    def data_received(self, data: bytes) -> None:
        self._received = self.loop.time()
        if self.protocol.state is State.CONNECTING:
            data = self._open(data)
        if self.protocol.state is State.CONNECTING:
            super().data_received(data)
        else:
            self._frames.feed(data)
        self._drop_soon()

    def _open(self, data: bytes) -> bytes:
        """Parse the handshake and return what was received after it."""
        seen = self._opening + data
        self._opening = seen[-3:]
        end = seen.find(b"\r\n\r\n")
        cut = len(data) if end < 0 else end + 4 - (len(seen) - len(data))
        super().data_received(data[:cut])
        return data[cut:]

    def _parse(self, data: bytes) -> None:
        """Let the library parse one frame, or a part of one."""
        super().data_received(data)
        self._frames.enabled = self.protocol.state is State.OPEN and not self._fragments

    def eof_received(self) -> None:
        super().eof_received()
        self._drop_soon()

    def _drop_soon(self) -> None:
        """Drop a connection that is being closed if the peer leaves it open."""
        if self._dropping is None and self.protocol.close_expected():
            self._dropping = self.loop.call_later(self.close_timeout or 0.0, self.transport.abort)

    def process_event(self, event: Any) -> None:
        if self.response is None or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        data = bytes(event.data)
        if not event.fin:
            self._fragments.append(data)
            return
        if self._fragments:
            data = b"".join([*self._fragments, data])
            self._fragments.clear()
        self._queue(data)

    def _queue(self, message: bytes) -> None:
        if self._receive is not None:
            self._receive(message)
            return
        self._messages.append(message)
        if not self._full and len(self._messages) >= _MAX_UNREAD:
            self._full = True
            self.transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_blocked()
        if self._dropping is not None:
            self._dropping.cancel()
        super().connection_lost(exc)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def message(self) -> bytes:
        """Return the next message. Raises ConnectionClosed once there are no more."""
        while not self._messages:
            if self.connection_lost_waiter.done():
                await self.recv()  # the library's queue is empty and closed, so this raises the reason
            self._reader = self.loop.create_future()
            await self._reader
        if self._full and len(self._messages) <= _MAX_UNREAD // 4:
            self._full = False
            self.transport.resume_reading()
        return self._messages.popleft()

    async def deliver(self, receive: Callable[[bytes], None]) -> None:
        """Call ``receive(message)`` for each message. Raises ConnectionClosed once there are no more."""
        while self._messages:
            receive(await self.message())
        self._receive = receive
        try:
            await asyncio.shield(self.connection_lost_waiter)
        finally:
            self._receive = None
        await self.recv()  # the library's queue is empty and closed, so this raises the reason


class WebSocket:
    """An open WebSocket connection; see ``Transport`` for its methods.

    ::

        transport = await rtnb.transports.WebSocket.connect("wss://example.org/v1/realtime", headers={…})
        session = await rtnb.AsyncSession(transport).open()

    or, on the sessions' own loop, ``rtnb.connect(url)``.
    """

    __reduce_ex__ = not_copyable("an open connection cannot be pickled or copied: connect again")

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        compression: bool = False,
        ping_interval: float | None = PING_INTERVAL,
        ping_timeout: float | None = PING_TIMEOUT,
        close_timeout: float = CLOSE_TIMEOUT,
        max_size: int | None = None,
    ) -> Self:
        """Connect to ``url`` (ws or wss) and return the open connection.

        Parameters
        ----------
        headers
            Of the request, such as ``{"Authorization": "Bearer …"}``. No redirect is followed: they are for
            one host only.
        timeout
            Seconds that opening may take, with the name lookup, TLS and the handshake.
        compression
            Offer permessage-deflate: smaller on the wire, 12 to 20 times slower.
        ping_interval
            Seconds of silence after which the peer is pinged; None: never.
        ping_timeout
            Seconds that the peer has to send anything after that, before the connection is dropped; None: it
            is not. Time in which this process did not read is not counted.
        close_timeout
            Seconds that the closing handshake may take, on either side, before the socket is dropped.
        max_size
            Bytes of the longest message that is accepted; None: no limit.

        Raises
        ------
        AuthError
            The server refuses the key in the handshake.
        ConnectionLost
            It cannot be reached, does not answer in time, or does not speak WebSocket.
        ArgumentError
            The URL is invalid.
        """
        options = {
            "additional_headers": dict(headers or {}),
            "open_timeout": timeout,
            "close_timeout": close_timeout,
            "compression": "deflate" if compression else None,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "max_size": max_size,
        }
        return cls(await _open(url, options))

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the server's handshake response."""
        response = self._connection.response
        return response.headers if response is not None else {}

    async def send(self, frame: bytes) -> None:
        """Send one text frame. Raises ConnectionLost once the connection has ended."""
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed as closed:
            raise _lost(closed, self._connection) from None

    async def recv(self) -> bytes:
        """Return the next frame. Raises ConnectionLost with the close code and reason."""
        try:
            return await self._connection.message()
        except ConnectionClosed as closed:
            raise _lost(closed, self._connection) from None

    async def deliver(self, receive: Callable[[bytes], None]) -> None:
        """Call ``receive(frame)`` for each frame as it arrives; see ``DeliveringTransport``."""
        try:
            await self._connection.deliver(receive)
        except ConnectionClosed as closed:
            raise _lost(closed, self._connection) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection with a handshake; after ``close_timeout`` seconds without one, drop it."""
        try:
            await asyncio.wait_for(self._connection.close(code, reason), self._connection.close_timeout)
        except TimeoutError:  # unread frames, or a peer that does not answer
            self._connection.transport.abort()


def _lost(closed: ConnectionClosed, connection: _Connection) -> ConnectionLost:
    """Return how the connection ended, in words."""
    theirs = closed.rcvd is not None and closed.rcvd_then_sent is not False
    by, close = ("the server", closed.rcvd) if theirs else ("this side", closed.sent)
    code, reason = (1006, "") if close is None else (close.code, close.reason)
    if close is None:
        message = "the connection was lost without a close frame"
    else:
        message = f"{by} closed the connection with {code}{f' {reason!r}' if reason else ''}"
    if connection.silent:
        message = f"the server sent nothing and answered no ping for {connection.silent:.1f} s: {message}"
    blocked = connection.blocked
    if blocked and code in (1001, 1006, 1008, 1011):
        message += (
            f". Before that, something in this process had blocked the session's event loop for "
            f"{blocked:.1f} s, so that the server's pings were not answered. Run long computations in "
            "another process: a C extension may hold the GIL"
        )
    return ConnectionLost(message, code=code, reason=reason)


class _Direct(open_websocket):
    """Follows no redirect: the key is for one host only."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


_HINTS = {
    400: "check the URL and the model",
    404: "check the URL and the model or deployment",
    426: "check the URL and the model or deployment",
}


async def _open(url: str, options: dict[str, Any]) -> _Connection:
    try:
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError as error:
        raise ArgumentError(f"invalid URL: {error}") from None
    try:
        connection = await _Direct(
            url,
            **options,
            create_connection=_Connection,
            proxy=None if parts.hostname in ("localhost", "127.0.0.1", "::1") else True,
            user_agent_header="rtnb",
            logger=_log,
        )
    except InvalidStatus as refused:
        status = refused.response.status_code
        if status in (401, 403):
            raise AuthError(
                f"{place} refused the API key (HTTP {status}): check that the key is valid for this service"
            ) from None
        redirect = "it redirects: use the URL that it redirects to" if 300 <= status < 400 else None
        hint = redirect or _HINTS.get(status, "try again later")
        raise ConnectionLost(f"{place} answered HTTP {status} instead of a WebSocket: {hint}") from None
    except InvalidURI:
        raise ArgumentError(f"invalid WebSocket URL {place!r}: expected ws:// or wss://") from None
    except TimeoutError:
        waited = options["open_timeout"]
        raise ConnectionLost(f"{place} did not answer within {waited:g} s") from None
    except (WebSocketException, EOFError) as error:
        raise ConnectionLost(f"{place} does not speak WebSocket ({type(error).__name__})") from None
    except ImportError:
        raise ConnectionLost(
            f"connecting to {place} through a SOCKS proxy needs python-socks: run  pip install python-socks"
        ) from None
    except ConnectionRefusedError:
        raise ConnectionLost(
            f"cannot connect to {place}: connection refused. Check that the server is running, and its URL"
        ) from None
    except OSError as error:
        raise ConnectionLost(
            f"cannot connect to {place}: {error.strerror or str(error) or type(error).__name__}"
        ) from None
    except ValueError as error:  # such as a host name that cannot be encoded
        raise ArgumentError(f"cannot connect to {place}: {type(error).__name__}") from None
    assert isinstance(connection, _Connection)
    return connection
