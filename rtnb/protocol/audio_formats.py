"""Which audio format the frames of a log carry, as the server reported it in earlier events."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np

from ..audio.codecs import Codec, pcm16, wire_format
from ..errors import AudioError
from .changes import Change, ResponseStarted, SessionChanged, SessionStarted
from .dialects.names import FORMAT_EVENTS
from .dialects.reading import Unreadable
from .dialects.server_events import read_server_event
from .entries import Entry
from .events import Direction, as_object, parse_object
from .log import Log

__all__ = ["AudioFormats"]

_SIDES: tuple[tuple[Direction, str], ...] = (("client", "input"), ("server", "output"))


class AudioFormats:
    """The fold of what reports an audio format: the format of each direction, at any event and now.

    Audio is PCM16 at 24 kHz until a format is reported; what is not a format changes nothing. With a ``log``,
    ``of`` reads its new events by itself; else ``update`` is called with each of ``FORMAT_EVENTS``.
    """

    def __init__(self, log: Log | None = None) -> None:
        self._log = log
        self._read = 0
        self._rows: dict[Direction, list[int]] = {"client": [-1], "server": [-1]}
        self._codecs: dict[Direction, list[Codec]] = {"client": [pcm16], "server": [pcm16]}
        self._responses: dict[str, Codec] = {}
        self._response: Codec | None = None

    def update(self, type: str, frame: bytes, row: int = 0) -> None:
        """Apply one of the server's ``FORMAT_EVENTS``, which is event ``row`` of the log."""
        try:
            changes = read_server_event({**parse_object(frame), "type": type})
        except Unreadable:
            return
        for change in changes:
            self._apply(change, row)

    def _apply(self, change: Change, row: int) -> None:
        if isinstance(change, ResponseStarted):
            self._response = _codec(change.format)
            if self._response is not None:
                self._responses[change.id] = self._response
        elif isinstance(change, (SessionStarted, SessionChanged)):
            audio = as_object(change.config.get("audio"))
            for direction, name in _SIDES:
                codec = _codec(as_object(audio.get(name)).get("format"))
                if codec is not None:
                    self._rows[direction].append(row)
                    self._codecs[direction].append(codec)
                    if direction == "server":
                        self._response = None

    def extend(self) -> None:
        """Read the new events of the log."""
        if self._log is None:
            return
        start, self._read = self._read, len(self._log)
        if start == self._read:
            return
        for row in self._log.rows([*FORMAT_EVENTS], among=np.arange(start, self._read)).tolist():
            entry = self._log.entry(row)
            self.update(entry.type, entry.frame, row)

    def now(self, direction: Direction) -> Codec:
        """Return the format of the audio that comes next: the last response's, else the session's."""
        if direction == "server" and self._response is not None:
            return self._response
        return self._codecs[direction][-1]

    def of(self, entry: Entry) -> Codec:
        """Return the format of an event's audio, if it has any."""
        self.extend()
        return self.at(entry.index, entry.direction, entry.data.get("response_id"))

    def at(self, row: int, direction: Direction, response: Any = None) -> Codec:
        """Return the format of the audio in event ``row``; ``response`` is the event's ``response_id``."""
        own = self._responses.get(response) if isinstance(response, str) else None
        if own is not None and direction == "server":
            return own
        return self._codecs[direction][max(bisect_left(self._rows[direction], row) - 1, 0)]


def _codec(form: Any) -> Codec | None:
    """Return the format that a session or a response reports; None if it reports none."""
    try:
        return wire_format(form)
    except AudioError:
        return None
