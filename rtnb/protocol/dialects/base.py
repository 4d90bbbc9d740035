"""A dialect: how typed commands and changes are written as frames of one wire, and which frames show it."""

from __future__ import annotations

from typing import Protocol

from ..changes import Change, Command
from ..events import Direction, Event

__all__ = ["Dialect"]


class Dialect(Protocol):
    """One wire. Reading is shared by all of them and lenient; writing is strict, and this is it."""

    name: str
    """``ga`` or ``beta``."""

    def command(self, command: Command) -> Event:
        """Return the event that a client sends for a command. Raises TypeError for one it cannot express."""
        ...

    def events(self, change: Change) -> list[Event]:
        """Return the events that a server sends for a change, in order; none where the wire has no such."""
        ...

    def path(self, path: str) -> str:
        """Return where a field of GA's shape, such as ``session.audio.output.voice``, is in this wire."""
        ...

    def shown_by(self, event: Event, direction: Direction) -> bool:
        """Return whether only a peer that speaks this dialect sends such an event."""
        ...
