"""A dialect: how typed commands and changes are written as frames of one wire, and which frames show it.

Its counterpart, what any frame says, is a `ReadFrame`.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from ..changes import Change, Command
from ..entries import NO_TURN
from ..events import Direction, Event
from ..log_storage import Cut

__all__ = ["Dialect", "ReadFrame"]


class ReadFrame(Struct, gc=False):
    """A frame that was read: its type, its event id ("" for none), and what it says.

    ``changes`` are a server's changes or a client's one command. ``problem`` says what could not be
    understood, ``cut`` where its audio stands, if the log can leave it out. ``row`` is its place in the log
    and ``turn`` the number of its turn, once it was appended.
    """

    type: str
    event_id: str
    changes: list[Any]
    problem: str | None = None
    cut: Cut | None = None
    row: int = -1
    turn: int = NO_TURN


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
