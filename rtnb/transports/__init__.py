"""Transports: each has three methods (``Transport``). ``memory.pair()`` is for tests, also yours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import memory
from .base import Transport
from .memory import pair
from .replay import Replay

if TYPE_CHECKING:
    from .websocket import WebSocket

__all__ = ["Replay", "Transport", "WebSocket", "memory", "pair"]


def __getattr__(name: str) -> Any:
    """Import the WebSocket, and the library that it needs, when it is first used."""
    if name == "WebSocket":
        from .websocket import WebSocket

        return WebSocket
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
