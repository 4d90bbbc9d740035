"""The audio around an event: that of its item, and the event's position in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..audio import Clip
from ..audio.codecs import Codec
from ..errors import AudioError
from ..formatting import turn_number
from ..protocol.audio_formats import AudioFormats
from ..protocol.conversation import Conversation
from ..protocol.dialects.names import APPENDS, AUDIO_DELTAS
from ..protocol.entries import SERVER, Entry
from ..protocol.events import Direction
from .event_rows import AUDIO, Rows
from .event_text import decoded_audio

__all__ = ["MOST_SECONDS", "Track", "Tracks"]

MOST_SECONDS = 120.0
"""Of audio, at most, in one track, which a page is sent at once. A longer item is cut around the event."""


@dataclass(frozen=True, slots=True)
class Track:
    """A piece of audio. ``events`` are those it consists of; ``starts`` the second at which each begins."""

    key: str
    label: str
    codec: Codec
    events: list[int]
    starts: list[float]
    data: bytes
    at: float
    """The position of the event that was asked about, in seconds."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.data) / self.codec.bytes_per_second

    @property
    def clip(self) -> Clip:
        """The audio, in whole samples."""
        return Clip.from_wire(self.data[: len(self.data) - len(self.data) % self.codec.width], self.codec)


class Tracks:
    """Finds the audio of events. ``conversation`` is asked only for the audio of the user's items."""

    def __init__(self, rows: Rows, formats: AudioFormats, conversation: Callable[[], Conversation]) -> None:
        self._rows = rows
        self._conversation = conversation
        self._formats = formats

    def of(self, event: int) -> Track | None:
        """Return the audio of an event's item; None if it has none."""
        try:
            return self._find(event)
        except AudioError:
            return None

    def _find(self, event: int) -> Track | None:
        rows = self._rows
        entry = rows.events[event]
        if entry.type in APPENDS:
            return self._joined(
                event, self._around(event, APPENDS, "client"), f"You, {_turn(entry.turn)}", "in"
            )
        item = rows.item_of(event)
        if item:
            pieces = self._pieces(rows.of_item(item))
            if len(pieces):
                return self._joined(event, pieces, f"Assistant, {_turn(entry.turn)}", "out")
        if entry.type in AUDIO_DELTAS:  # of a translation, which has no items
            pieces = self._around(event, AUDIO_DELTAS, "server")
            return self._joined(event, pieces, f"Assistant, {_turn(entry.turn)}", "out")
        own = decoded_audio(entry)
        if own:
            codec = self._formats.of(entry)
            who = "Assistant" if entry.direction == "server" else "You"
            return Track(f"own:{event}", f"{who}, {_turn(entry.turn)}", codec, [event], [0.0], own[0], 0.0)
        return self._of_item(event, entry)

    def _pieces(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of some events that bring the answer's audio."""
        source, kinds = self._rows.events.source, AUDIO_DELTAS
        about = np.array([self._rows.flags(int(event)) & AUDIO for event in events], bool)
        found = events[about]
        names = source.names
        sorts = source.kinds_and_turns(self._log_rows(found))[0].tolist()
        right = [names[kind & ~SERVER] in kinds and bool(kind & SERVER) for kind in sorts]
        pieces: NDArray[np.int64] = found[np.array(right, bool)]
        return pieces

    def _around(self, event: int, types: Iterable[str], direction: Direction) -> NDArray[np.int64]:
        """Return the events of some types around one, as far as they are of the same turn, or of none."""
        rows = self._rows
        turn = rows.turn_of(event)
        kind = rows.events.source.filter([*types], direction=direction).rows
        every = kind if rows.events.grows else np.flatnonzero(np.isin(rows.events.rows, kind))
        every = every[every < rows.size]
        turns = rows.row_turn[rows.row_of[every]]
        place = int(np.searchsorted(every, event))
        others = np.flatnonzero(turns != turn)
        before, after = others[others < place], others[others > place]
        start = int(before[-1]) + 1 if len(before) else 0
        return every[start : int(after[0]) if len(after) else len(every)]

    def _joined(self, event: int, pieces: NDArray[np.int64], label: str, side: str) -> Track | None:
        rows = self._rows
        codec = self._formats.of(rows.events[int(pieces[0])])
        place = int(np.searchsorted(pieces, event))
        pieces, place = self._within(pieces, place, codec)
        chunks = [self._audio(int(piece)) for piece in pieces]
        ends = list(accumulate(len(chunk) / codec.bytes_per_second for chunk in chunks))
        starts = [0.0, *ends[:-1]]
        at = starts[place] if place < len(starts) else ends[-1]
        if isinstance(cut := rows.events[event].data.get("audio_end_ms"), int):
            at = min(max(cut / 1000, 0.0), ends[-1])
        key = f"{side}:{int(pieces[0])}:{int(pieces[-1])}"
        return Track(key, label, codec, pieces.tolist(), starts, b"".join(chunks), at)

    def _within(self, pieces: NDArray[np.int64], place: int, codec: Codec) -> tuple[NDArray[np.int64], int]:
        """Return as many of the pieces around one as a track may have."""
        most = int(MOST_SECONDS * codec.bytes_per_second)
        sizes = np.maximum(self._rows.events.source.sound_sizes(self._log_rows(pieces)), 1)
        ends = np.cumsum(sizes)
        if int(ends[-1]) <= most:
            return pieces, place
        middle = int(ends[min(place, len(ends) - 1)])
        start = int(np.searchsorted(ends, max(middle - most // 2, 0)))
        stop = int(np.searchsorted(ends, ends[start] - sizes[start] + most, "right"))
        return pieces[start:stop], place - start

    def _audio(self, event: int) -> bytes:
        row = int(self._log_rows(np.array([event]))[0])
        cut = self._rows.events.source.sound(row)
        return cut if cut is not None else b"".join(decoded_audio(self._rows.events[event]))

    def _of_item(self, event: int, entry: Entry) -> Track | None:
        """Return the audio of the user's item that an event names, as the conversation has it."""
        data = entry.data
        held = data.get("item")
        id = data.get("item_id") or (held.get("id") if isinstance(held, dict) else None)
        item = self._conversation().items.get(id) if isinstance(id, str) else None
        part = next((part for part in item.parts if part.codec and part.data), None) if item else None
        if item is None or part is None or part.codec is None:
            return None
        who = "Assistant" if item.role == "assistant" else "You"
        label = f"{who}, {_turn(entry.turn)}"
        most = int(MOST_SECONDS * part.codec.bytes_per_second)
        return Track(f"item:{item.id}", label, part.codec, [event], [0.0], part.data[:most], 0.0)

    def _log_rows(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = events if self._rows.events.grows else self._rows.events.rows[events]
        return rows


def _turn(number: int) -> str:
    return f"turn {turn_number(number)}" if number >= 0 else "between turns"
