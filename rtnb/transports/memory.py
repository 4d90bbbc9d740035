"""Two ends of a connection in memory, for tests, also yours.

::

    client, server = rtnb.transports.memory.pair()

What one end sends the other receives, byte for byte and in order. The ends may be used on different event
loops and threads, as by a session and a server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from ..errors import ConnectionLost, not_copyable

__all__ = ["MemoryEnd", "pair"]


class MemoryEnd:
    """One end of a pair; see ``Transport`` for its methods."""

    __reduce_ex__ = not_copyable("an open connection cannot be pickled or copied: make a new pair()")

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._closed: tuple[int, str] | None = None
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self.peer: MemoryEnd

    async def send(self, frame: bytes) -> None:
        """Send one frame to the other end. Raises ConnectionLost once either end has closed."""
        if self._closed is not None:
            raise _lost(*self._closed)
        self.peer._frames.append(bytes(frame))
        self.peer._wake()

    async def recv(self) -> bytes:
        """Return the next frame. Raises ConnectionLost when the pair is closed and all frames were read."""
        while not self._frames:
            if self._closed is not None:
                raise _lost(*self._closed)
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiting = (loop, waiter)
            if not self._frames and self._closed is None:  # else it came after the check
                await waiter
            self._waiting = None
        return self._frames.popleft()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close both ends; the other can still read frames that were sent before."""
        for end in (self, self.peer):
            if end._closed is None:
                end._closed = (code, reason)
            end._wake()

    def _wake(self) -> None:
        waiting = self._waiting
        if waiting is not None:
            with suppress(RuntimeError):  # its loop was closed, so there is no waiter
                waiting[0].call_soon_threadsafe(_resolve, waiting[1])


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _lost(code: int, reason: str) -> ConnectionLost:
    return ConnectionLost(
        f"the connection was closed ({code}{' ' + reason if reason else ''})", code=code, reason=reason
    )


def pair() -> tuple[MemoryEnd, MemoryEnd]:
    """Return the two ends, client first."""
    client, server = MemoryEnd(), MemoryEnd()
    client.peer, server.peer = server, client
    return client, server
