"""What a transport is: a way to send a frame, to receive one, and to hang up."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Transport"]


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
        """Hang up, soon, whatever is unread. Closing twice is allowed."""
        ...
