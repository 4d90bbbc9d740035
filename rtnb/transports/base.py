"""The interface of a transport: send a frame, receive one, close the connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

__all__ = ["DeliveringTransport", "Transport"]


class Transport(Protocol):
    """A connection that carries whole frames in order, both ways.

    A frame is the UTF-8 text of one JSON event. One task sends, one task receives, both on one event loop.
    """

    async def send(self, frame: bytes) -> None:
        """Send one text frame. Raises ConnectionLost once the connection has ended."""
        ...

    async def recv(self) -> bytes:
        """Return the next frame. Raises ConnectionLost (with code and reason) once there are no more."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection without waiting for unread frames. Closing twice is allowed."""
        ...


@runtime_checkable
class DeliveringTransport(Transport, Protocol):
    """A transport that can also call a function for each frame, which costs less than a task that waits."""

    async def deliver(self, receive: Callable[[bytes], None]) -> None:
        """Call ``receive(frame)`` for each frame as it arrives; raise ConnectionLost once there are no more.

        ``receive`` must not raise.
        """
        ...
