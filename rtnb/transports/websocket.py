"""A WebSocket to any server that speaks the protocol."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import DATA_OPCODES

from ..errors import ArgumentError, AuthError, ConnectionLost, not_copyable

__all__ = ["WebSocket", "connect"]

_log = logging.getLogger("rtnb.websocket")
_log.setLevel(logging.INFO)  # at DEBUG the library logs the request's headers, with the key

_CLOSE_TIMEOUT = 0.5
"""Seconds that the closing handshake may take; then the socket is dropped."""


_MAX_UNREAD = 256
"""Frames that may wait to be read before reading from the socket is paused."""


class _Connection(ClientConnection):
    """Queues messages without waking a task for each.

    Many deltas arrive in one TCP segment, and the library's own queue costs as much per message as everything
    that a session does with it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._messages: deque[bytes] = deque()
        self._fragments: list[bytes] = []
        self._reader: asyncio.Future[None] | None = None
        self._full = False

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
        self._messages.append(data)
        if not self._full and len(self._messages) >= _MAX_UNREAD:
            self._full = True
            self.transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
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


class WebSocket:
    """One open connection; see ``Transport`` for its methods."""

    __reduce_ex__ = not_copyable("an open connection cannot be pickled or copied: connect again")

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

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
            raise _lost(closed) from None

    async def recv(self) -> bytes:
        """Return the next frame. Raises ConnectionLost with the close code and reason."""
        try:
            return await self._connection.message()
        except ConnectionClosed as closed:
            raise _lost(closed) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection with a handshake; after half a second without one, drop it."""
        try:
            await asyncio.wait_for(self._connection.close(code, reason), _CLOSE_TIMEOUT)
        except TimeoutError:  # unread frames, or a peer that does not answer
            self._connection.transport.abort()


def _lost(closed: ConnectionClosed) -> ConnectionLost:
    by, close = ("the server", closed.rcvd) if closed.rcvd else ("this side", closed.sent)
    if close is None:
        return ConnectionLost("the connection was lost without a close frame", code=1006)
    reason = f" {close.reason!r}" if close.reason else ""
    return ConnectionLost(
        f"{by} closed the connection with {close.code}{reason}", code=close.code, reason=close.reason
    )


class _Direct(open_websocket):
    """Follows no redirect: the key is for one host only."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def connect(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 15.0,
    compression: bool = False,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    max_size: int | None = None,
) -> WebSocket:
    """Connect to ``url`` (ws or wss).

    ``timeout`` and the ping times are in seconds, ``max_size`` in bytes per frame (None: no limit).
    ``compression`` offers permessage-deflate: smaller on the wire, 12 to 20 times slower.

    Raises AuthError if the server refuses the key in the handshake, ConnectionLost if it cannot be reached or
    does not speak WebSocket, ArgumentError for an invalid URL.
    """
    try:
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError as error:
        raise ArgumentError(f"invalid URL: {error}") from None
    try:
        connection = await _Direct(
            url,
            additional_headers=dict(headers or {}),
            open_timeout=timeout,
            close_timeout=_CLOSE_TIMEOUT,
            compression="deflate" if compression else None,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_size=max_size,
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
        hint = "check the URL and the model or deployment" if status == 404 else "try again later"
        raise ConnectionLost(f"{place} answered HTTP {status} instead of a WebSocket: {hint}") from None
    except InvalidURI:
        raise ArgumentError(f"invalid WebSocket URL {place!r}: expected ws:// or wss://") from None
    except TimeoutError:
        raise ConnectionLost(f"{place} did not answer within {timeout:g} s") from None
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
    assert isinstance(connection, _Connection)
    return WebSocket(connection)
