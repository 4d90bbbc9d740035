"""The rows that a view of events shows: each event in exactly one, the deltas of one item together.

Between two events that are not deltas, all deltas of one type, item and turn make one row, at the place of
the first: text, audio and a microphone that alternate are three rows and not hundreds. Collapsing is for
display only: every event is kept, and leads to its row as the row leads to it.
"""

from __future__ import annotations

import re
import time
from array import array

import numpy as np
from numpy.typing import NDArray

from ..protocol.dialects.names import RESPONSE_END, family, holds_content, is_delta, is_failure
from ..protocol.entries import SERVER
from ..protocol.log import LogView

__all__ = ["AUDIO", "CHIPS", "ERROR", "LIMITS", "TEXT", "TOOL", "Rows", "failed"]

AUDIO, TEXT, TOOL, ERROR, LIMITS = 1, 2, 4, 8, 16
CHIPS = {"audio": AUDIO, "text": TEXT, "tools": TOOL, "errors": ERROR, "limits": LIMITS}
"""What an event is about, as bits, by the names of their chips. An event may be about several things."""

_FLAGS = {"audio": AUDIO, "text": TEXT, "tool": TOOL, "error": ERROR, "limits": LIMITS}
_STEP = 4096
_ITEM = re.compile(rb'"item_id":\s*"([^"\\]*)"')
_FAILED = re.compile(rb'"status":\s*"failed"')
# Of the events that hold an item or a part, the content says what they are about.
_HELD = (
    (re.compile(rb'"function_call'), TOOL),
    (re.compile(rb'_audio"|"type":\s*"audio"'), AUDIO),
    (re.compile(rb'_text"|"type":\s*"text"'), TEXT),
)
_NO_ITEM = 0


class Rows:
    """The fold of some events into rows; ``extend`` takes what is new.

    Events and rows are numbered from 0, in order; an event's number is its place in ``events``, a row's that
    of its first event among the rows. Takes about 13 bytes an event and 19 a row.
    """

    def __init__(self, events: LogView) -> None:
        self.events = events
        self.settled = 0
        """Rows before this one get no further events."""
        self._fixed = None if events.grows else events.rows
        self._items: dict[bytes, int] = {b"": _NO_ITEM}
        self._row_of = array("i")
        self._item_of = array("i")
        self._about = array("B")
        self._side = array("B")
        self._kinds: list[tuple[bool, int, int]] = []  # of each type: delta, flags, how to look further
        self._first = array("i")
        self._last = array("i")
        self._count = array("i")
        self._row_turn = array("i")
        self._open: dict[tuple[int, int, int], int] = {}

    @property
    def size(self) -> int:
        """How many events were taken."""
        return len(self._row_of)

    def __len__(self) -> int:
        return len(self._first)

    def indices(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return where the events ``start`` to before ``stop`` are in the log, shape ``(n,)``."""
        if self._fixed is None:
            return np.arange(start, stop, dtype=np.int64)
        return self._fixed[start:stop]

    def extend(self, seconds: float | None = None) -> bool:
        """Take events that are new, for about so long; return whether there were any."""
        until = None if seconds is None else time.perf_counter() + seconds
        stop, before = len(self.events), self.size
        while self.size < stop:
            self._take(self.size, min(self.size + _STEP, stop))
            if until is not None and time.perf_counter() > until:
                break
        return self.size > before

    def _take(self, start: int, stop: int) -> None:
        log = self.events.source
        look = log.columns_of(self.indices(start, stop))
        for name in log.names[len(self._kinds) :]:
            self._kinds.append(_kind(name))
        kinds, items, open_rows = self._kinds, self._items, self._open
        columns = zip(look.kinds.tolist(), look.turns.tolist(), look.frames, strict=True)
        for place, (side_kind, turn, frame) in enumerate(columns, start):
            delta, about, further = kinds[side_kind & ~SERVER]
            found = _ITEM.search(frame)
            item = items.setdefault(found[1], len(items)) if found is not None else _NO_ITEM
            if delta:
                key = (side_kind, item, turn)
                row = open_rows.get(key, -1)
                if row < 0:
                    if not open_rows:
                        self.settled = len(self._first)
                    row = open_rows[key] = self._new(place, turn)
                else:
                    self._last[row] = place
                    self._count[row] += 1
            else:
                open_rows.clear()
                row = self._new(place, turn)
                self.settled = row + 1
                if further:
                    about |= _further(frame, further)
            self._row_of.append(row)
            self._item_of.append(item)
            self._about.append(about)
            self._side.append(1 if side_kind & SERVER else 0)

    def _new(self, place: int, turn: int) -> int:
        self._first.append(place)
        self._last.append(place)
        self._count.append(1)
        self._row_turn.append(turn)
        return len(self._first) - 1

    # The columns, as copies: an array with a live view cannot grow.

    @property
    def row_of(self) -> NDArray[np.int32]:
        """The row of each event."""
        return np.array(self._row_of, np.int32)

    @property
    def about(self) -> NDArray[np.uint8]:
        """What each event is about, as bits."""
        return np.array(self._about, np.uint8)

    @property
    def side(self) -> NDArray[np.uint8]:
        """Who sent each event: 0 the client, 1 the server."""
        return np.array(self._side, np.uint8)

    @property
    def first(self) -> NDArray[np.int32]:
        """The first event of each row."""
        return np.array(self._first, np.int32)

    @property
    def last(self) -> NDArray[np.int32]:
        """The last event of each row."""
        return np.array(self._last, np.int32)

    @property
    def row_turn(self) -> NDArray[np.int32]:
        """The turn of each row."""
        return np.array(self._row_turn, np.int32)

    def row(self, number: int) -> tuple[int, int]:
        """Return a row's first event and how many it has."""
        return self._first[number], self._count[number]

    def row_at(self, event: int) -> int:
        """Return the row of an event."""
        return self._row_of[event]

    def turn_of(self, event: int) -> int:
        """Return the turn of an event."""
        return self._row_turn[self._row_of[event]]

    def flags(self, event: int) -> int:
        """Return what an event is about."""
        return self._about[event]

    def item_of(self, event: int) -> int:
        """Return a number that stands for an event's ``item_id``; 0 where it has none."""
        return self._item_of[event]

    def members(self, number: int) -> NDArray[np.int64]:
        """Return the events of a row, shape ``(n,)``."""
        first, last = self._first[number], self._last[number]
        rows = np.array(self._row_of[first : last + 1], np.int32)
        return np.flatnonzero(rows == number) + first

    def of_item(self, item: int) -> NDArray[np.int64]:
        """Return the events that name an item, shape ``(n,)``."""
        return np.flatnonzero(np.array(self._item_of, np.int32) == item)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the fold takes."""
        columns = (self._row_of, self._item_of, self._about, self._side)
        rows = (self._first, self._last, self._count, self._row_turn)
        return sum(column.buffer_info()[1] * column.itemsize for column in (*columns, *rows))


def _kind(name: str) -> tuple[bool, int, int]:
    """Return of a type: whether it is a delta, what it is about, and what its frames must be asked."""
    about = _FLAGS.get(family(name), 0)
    if is_failure(name):
        about |= ERROR
    further = 1 if holds_content(name) else 2 if name == RESPONSE_END else 0
    return is_delta(name), about, further


def _further(frame: bytes, how: int) -> int:
    if how == 2:
        return ERROR if failed(frame) else 0
    return sum(flag for sign, flag in _HELD if sign.search(frame))


def failed(frame: bytes) -> bool:
    """Return whether the frame that ends a response says that it failed."""
    return _FAILED.search(frame) is not None
