"""Dialects of the Realtime protocol: frames to typed changes and commands, and back.

Reading is one lenient reader for all (`read`), since the names do not collide and servers mix them; writing
is strict and one dialect's (`GA`, `BETA`). Which one a connection speaks is chosen by its endpoint and by
what its first frames show (`detect`), never by a model's name. This package alone names events of the wire.
"""

from __future__ import annotations

from ..changes import Change, Command
from ..events import Direction, Event
from .base import Dialect, ReadFrame
from .beta import BETA
from .client_events import read_client_event
from .ga import GA
from .reading import Unreadable
from .server_events import read_server_event

__all__ = ["BETA", "DIALECTS", "GA", "Dialect", "ReadFrame", "Unreadable", "detect", "read"]

DIALECTS: dict[str, Dialect] = {"ga": GA, "beta": BETA}


def read(event: Event, direction: Direction) -> list[Change] | list[Command]:
    """Return what an event is: a server's changes in order, or a client's one command.

    Raises Unreadable where the event says nothing usable; a type that is not known is `Unknown` or `Other`.
    """
    return read_server_event(event) if direction == "server" else [read_client_event(event)]


def detect(event: Event, direction: Direction) -> Dialect | None:
    """Return the dialect that an event shows; None where several have it."""
    return next((one for one in DIALECTS.values() if one.shown_by(event, direction)), None)
