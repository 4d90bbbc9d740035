"""A line of the event log in words: when, who, what, how often, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..clean import clean, clean_text
from ..protocol.entries import Entry
from ..protocol.events import Direction
from ..protocol.log import Log
from .event_filter import Line
from .event_rows import AUDIO, ERROR, Rows
from .event_text import carried, data_of, sound_words, summary
from .formats import Formats

__all__ = ["Teller", "Told"]

_READ = 60
"""Deltas of a row that are read, at most, for what they say together."""
_LETTERS = 160
_SAYING = ("conversation.item.create", "conversation.item.input_audio_transcription.completed")


@dataclass(frozen=True, slots=True)
class Told:
    """One line. ``index`` is the first event's in the log, ``t`` in seconds since the log began."""

    index: int
    t: float
    direction: Direction
    type: str
    count: int
    turn: int
    bad: bool
    words: str


class Teller:
    """Tells the lines of some rows."""

    def __init__(self, rows: Rows, formats: Formats) -> None:
        self._rows = rows
        self._log: Log = rows.events.source
        self._formats = formats
        self._said: dict[int, str] = {}

    def tell(self, line: Line) -> Told:
        """Return a row's line in words, keys hidden."""
        rows = self._rows
        entry = rows.events[line.event]
        about = rows.flags(line.event)
        words = self._words(entry, line, about)
        return Told(
            entry.index,
            entry.t,
            entry.direction,
            entry.type,
            line.count,
            line.turn,
            bool(about & ERROR),
            words,
        )

    def asked(self, turn: int) -> str:
        """Return what the user said in a turn, once that is known."""
        if turn < 0 or turn in self._said:
            return self._said.get(turn, "")
        for entry in self._rows.events.filter(_SAYING, turn=turn):
            event = data_of(clean(entry.frame))
            item = event.get("item")
            if entry.type == _SAYING[0] and not (isinstance(item, dict) and item.get("role") == "user"):
                continue
            said = summary(event, entry.type).removeprefix("user: ")
            if said and said != "(audio)":
                self._said[turn] = said
                return said
        return ""

    def _words(self, entry: Entry, line: Line, about: int) -> str:
        event = data_of(clean(entry.frame))
        said = event.get("delta") if entry.type.endswith(".delta") else None
        if about & AUDIO and (sound := self._sound(entry, line)):
            return sound
        if line.count > 1 and isinstance(said, str):
            return self._joined(line)
        return summary(event, entry.type)

    def _sound(self, entry: Entry, line: Line) -> str:
        """Return how much sound a line's events bring; "" where they bring none."""
        events = (
            np.array([line.event]) if line.count == 1 else self._rows.members(self._rows.row_at(line.event))
        )
        index = events if self._rows.events.grows else self._rows.events.rows[events]
        sizes = self._log.sound_sizes(index)
        size = int(sizes.sum())
        for whole in events[sizes == 0][:_READ].tolist():  # too short to be cut out, or not the protocol's
            size += sum(map(len, carried(self._rows.events[whole])))
        if not size:
            return ""
        return sound_words(size, size * 1000 / self._formats.of(entry).bytes_per_second)

    def _joined(self, line: Line) -> str:
        """Return what deltas say together."""
        text = ""
        for event in self._rows.members(self._rows.row_at(line.event))[:_READ].tolist():
            said = data_of(clean(self._rows.events[event].frame)).get("delta")
            text += said if isinstance(said, str) else ""
            if len(text) > _LETTERS:
                break
        text = " ".join(clean_text(text).split())
        return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"
