"""The interface of a transport: send a frame, receive one, close the connection."""

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
        """Close the connection without waiting for unread frames. Closing twice is allowed."""
        ...
