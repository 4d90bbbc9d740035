"""The log: every frame of a session, both directions, in order, for ever appended and never changed.

Raw bytes lie end to end in blocks of about a mebibyte; beside them stand four typed columns (place, type,
turn, time), 22 bytes an event. So a million events take little more than their own bytes, and a filter is
one pass over a column. Sound is the exception: a frame's base64 is cut out where the decoded bytes, which the
conversation keeps anyway, give it back exactly. So a spoken session takes less than its own bytes. The log
reads no clock: whoever appends says when.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from sys import getsizeof
from typing import Any, overload

import numpy as np
import orjson
from numpy.typing import NDArray
from pybase64 import b64encode

from ..errors import ArgumentError
from .columns import SERVER as _SERVER
from .columns import Columns
from .events import BINARY, Direction

__all__ = ["NO_TURN", "Entry", "Log", "LogView"]

NO_TURN = -1
"""The turn of a frame that belongs to none: session events, limits, silence between turns."""

_BLOCK = 1 << 20
_SIDES: dict[Direction, int] = {"client": 0, "server": _SERVER}
_FEW = 20
"""Up to how many kinds a comparison of the column with each is quicker than one look-up table."""
_LEAST_SOUND = 64  # shorter base64 is not worth a row of its own
_WALL_STEP = 1_000_000  # ns; a smaller drift of the wall clock is not worth a row


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame.

    ``t`` is in seconds since the log began, by the monotonic clock of the side that kept the log; ``wall``
    is the same moment in seconds since 1970. ``frame`` holds the very bytes that crossed the wire.
    """

    index: int
    direction: Direction
    type: str
    t: float
    wall: float
    turn: int
    frame: bytes

    @property
    def raw(self) -> str:
        """The frame as text."""
        return self.frame.decode("utf-8", "surrogateescape")

    @property
    def data(self) -> dict[str, Any]:
        """The frame as a dict, parsed anew at each call; {} for a frame that is no JSON object."""
        try:
            data = orjson.loads(self.frame)
        except orjson.JSONDecodeError:
            return {}
        return data if isinstance(data, dict) else {}

    def __repr__(self) -> str:
        arrow = "↑" if self.direction == "client" else "↓"
        return f"<{self.index} {self.t:9.3f}s {arrow} {self.type} ({len(self.frame):,} bytes)>"


class LogView(Sequence[Entry]):
    """Some rows of a log, in order. Slicing and filtering give further views; nothing is copied."""

    def __init__(self, log: Log, rows: NDArray[np.int64]) -> None:
        self._log = log
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, key: int) -> Entry: ...
    @overload
    def __getitem__(self, key: slice) -> LogView: ...
    def __getitem__(self, key: int | slice) -> Entry | LogView:
        if isinstance(key, slice):
            return LogView(self._log, self._rows[key])
        return self._log.entry(int(self._rows[key]))

    def __iter__(self) -> Iterator[Entry]:
        return (self._log.entry(int(row)) for row in self._rows)

    def filter(
        self,
        type: str | Iterable[str] | None = None,
        *,
        turn: int | None = None,
        direction: Direction | None = None,
    ) -> LogView:
        """Return the rows that fit all that is given.

        ``type`` is a name, a pattern (``"response.*"``) or several of them; ``turn`` a turn's number
        (``NO_TURN`` for the frames of none).
        """
        return LogView(self._log, self._log.rows(type, turn=turn, direction=direction, among=self._rows))

    def counts(self) -> Counter[str]:
        """Return how often each type occurs."""
        return self._log.count_types(self._rows)

    def __repr__(self) -> str:
        shown = [repr(entry) for entry in self[:8]]
        if len(self) > 8:
            shown.append(f"… and {len(self) - 8:,} more")
        return "\n".join([f"{len(self):,} events", *shown])


class Log:
    """The append-only log of one session. One thread appends; any thread reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a numpy view of a column must not meet an append
        self._blocks: list[bytes] = []  # full and sealed
        self._tail: list[bytes] = []  # the frames since the last full block, not yet copied together
        self._tail_row = 0  # the index of the first of them
        self._tail_bytes = 0
        self._place = array("Q")  # block << 32 | offset
        self._kind = array("H")  # type code | _SERVER
        self._turn = array("i")
        self._time = array("q")  # ns since the first event
        self._codes: dict[str, int] = {}
        self._names: list[str] = []
        self._mono0 = 0
        self._sound_rows = array("I")  # the events whose base64 was cut out,
        self._sound_cuts = array("I")  # where it stood in the frame,
        self._sounds: list[bytes] = []  # and what it decodes to
        self._drift_rows: list[int] = []  # wall − monotonic, where it changed
        self._drift: list[int] = []
        self.bytes = 0
        """How many bytes of frames the log holds."""

    def append(
        self,
        frame: bytes,
        direction: Direction,
        type: str,
        *,
        mono_ns: int,
        wall_ns: int,
        turn: int = NO_TURN,
        sound: tuple[str, bytes] | None = None,
    ) -> int:
        """Keep one frame and return its index. ``type`` is the frame's own, or ``BINARY``.

        ``sound`` is the base64 text that the frame carries, and the bytes it decodes to.
        """
        if frame.__class__ is not bytes:
            frame = memoryview(frame).tobytes()  # a buffer that may still change; no str gets past this
        with self._lock:
            index = len(self._place)
            drift = wall_ns - mono_ns
            if not index:
                self._mono0 = mono_ns
            if not index or not -_WALL_STEP < drift - self._drift[-1] < _WALL_STEP:
                self._drift_rows.append(index)
                self._drift.append(drift)
            code = self._codes.get(type)
            if code is None:
                code = self._name(type)
            if self._tail_bytes >= _BLOCK:
                self._blocks.append(b"".join(self._tail))
                self._tail, self._tail_row, self._tail_bytes = [], index, 0
            self._place.append(len(self._blocks) << 32 | self._tail_bytes)
            self._kind.append(code | _SERVER if direction == "server" else code)
            self._turn.append(turn)
            self._time.append(mono_ns - self._mono0)
            self.bytes += len(frame)
            if sound is not None:
                frame = self._cut(frame, index, *sound)
            self._tail.append(frame)
            self._tail_bytes += len(frame)
            return index

    def _cut(self, frame: bytes, index: int, text: str, data: bytes) -> bytes:
        """Return the frame without its base64, if that comes back exactly from ``data``."""
        raw = text.encode()
        at = frame.find(b'"' + raw[:32]) + 1
        end = at + len(raw)
        rest = len(data) % 3 or 3  # whatever is not canonical stands in the last four signs
        # It may stand there with escapes inside, or something else that begins alike, such as silence.
        whole = at and frame.startswith(raw, at) and frame[end : end + 1] == b'"'
        if not whole or len(raw) < _LEAST_SOUND or b64encode(data[-rest:]) != raw[-4:]:
            return frame
        self._sound_rows.append(index)
        self._sound_cuts.append(at)
        self._sounds.append(data)
        return frame[:at] + frame[end:]

    def _name(self, type: str) -> int:
        # 32,767 kinds is far more than any protocol has; past that a hostile peer is naming at random.
        if len(self._names) >= _SERVER - 1:
            type = BINARY
        code = self._codes.setdefault(type, len(self._names))
        if code == len(self._names):
            self._names.append(type)
        return code

    def __len__(self) -> int:
        return len(self._place)

    def columns(self, start: int = 0, stop: int | None = None) -> Columns:
        """Return a copy of the events from ``start`` to before ``stop``, as a file keeps them."""
        with self._lock:
            stop = len(self._place) if stop is None else min(stop, len(self._place))
            cut = slice(bisect_left(self._sound_rows, start), bisect_left(self._sound_rows, stop))
            drift = max(bisect_right(self._drift_rows, start) - 1, 0)
            drifts = slice(drift, bisect_left(self._drift_rows, stop))
            frames = self._stored(start, stop)
            sounds = [self._sounds[row] for row in range(cut.start, cut.stop)]
            return Columns(
                first=start,
                names=list(self._names),
                kinds=np.array(self._kind[start:stop], np.uint16),
                turns=np.array(self._turn[start:stop], np.int32),
                times=np.array(self._time[start:stop], np.int64),
                lengths=np.array([len(frame) for frame in frames], np.uint32),
                sound_rows=np.array(self._sound_rows[cut], np.uint32) - np.uint32(start),
                sound_cuts=np.array(self._sound_cuts[cut], np.uint32),
                sound_lengths=np.array([len(sound) for sound in sounds], np.uint32),
                wall_rows=np.array([max(row - start, 0) for row in self._drift_rows[drifts]], np.uint32),
                walls=np.array([self._mono0 + drift for drift in self._drift[drifts]], np.int64),
                frames=b"".join(frames),
                sounds=sounds,
            )

    def _stored(self, start: int, stop: int) -> list[bytes]:
        """Return frames as they are kept."""
        sealed = min(stop, self._tail_row)
        found = []
        for index in range(start, sealed):
            place = self._place[index]
            following = self._place[index + 1] if index + 1 < len(self._place) else -1
            block = self._blocks[place >> 32]
            end = following & 0xFFFFFFFF if following >> 32 == place >> 32 else len(block)
            found.append(block[place & 0xFFFFFFFF : end])
        found += self._tail[max(start - self._tail_row, 0) : max(stop - self._tail_row, 0)]
        return found

    def entry(self, index: int) -> Entry:
        """Return the entry at ``index`` (0 ≤ index < len)."""
        with self._lock:
            place, kind = self._place[index], self._kind[index]
            if index >= self._tail_row:
                frame = self._tail[index - self._tail_row]
            else:
                block, start = self._blocks[place >> 32], place & 0xFFFFFFFF
                following = self._place[index + 1] if index + 1 < len(self._place) else -1
                end = following & 0xFFFFFFFF if following >> 32 == place >> 32 else len(block)
                frame = block[start:end]
            row = bisect_left(self._sound_rows, index)
            if row < len(self._sound_rows) and self._sound_rows[row] == index:
                at = self._sound_cuts[row]
                frame = frame[:at] + b64encode(self._sounds[row]) + frame[at:]
            time = self._time[index]
            wall = self._mono0 + time + self._drift[bisect_right(self._drift_rows, index) - 1]
            return Entry(
                index=index,
                direction="server" if kind & _SERVER else "client",
                type=self._names[kind & ~_SERVER],
                t=time / 1e9,
                wall=wall / 1e9,
                turn=self._turn[index],
                frame=frame,
            )

    @overload
    def __getitem__(self, key: int) -> Entry: ...
    @overload
    def __getitem__(self, key: slice) -> LogView: ...
    def __getitem__(self, key: int | slice) -> Entry | LogView:
        if isinstance(key, slice):
            return LogView(self, np.arange(len(self), dtype=np.int64)[key])
        index = key + len(self) if key < 0 else key
        if not 0 <= index < len(self):
            raise IndexError(f"event {key} of {len(self)}")
        return self.entry(index)

    def __iter__(self) -> Iterator[Entry]:
        index = 0
        while index < len(self):  # what arrives meanwhile is read too
            yield self.entry(index)
            index += 1

    def filter(
        self,
        type: str | Iterable[str] | None = None,
        *,
        turn: int | None = None,
        direction: Direction | None = None,
    ) -> LogView:
        """Return the rows that fit all that is given: see ``LogView.filter``."""
        return LogView(self, self.rows(type, turn=turn, direction=direction))

    def rows(
        self,
        type: str | Iterable[str] | None = None,
        *,
        turn: int | None = None,
        direction: Direction | None = None,
        among: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Return the indices, shape ``(n,)``, of the rows that fit, out of ``among`` or of all."""
        if direction not in (None, "client", "server"):
            raise ArgumentError(f"direction is 'client' or 'server', not {direction!r}")
        patterns = None if type is None else [type] if isinstance(type, str) else list(type)
        with self._lock:
            fits = self._fitting(patterns, turn, direction)
            count = len(self._place)
        if fits is None:
            return np.arange(count, dtype=np.int64) if among is None else among
        if among is not None:
            return among[fits[among]]
        return np.flatnonzero(fits).astype(np.int64, copy=False)

    def _fitting(
        self, patterns: list[str] | None, turn: int | None, direction: Direction | None
    ) -> NDArray[np.bool_] | None:
        """Return which rows fit; None for all. No view of a column outlives the call."""
        fits: NDArray[np.bool_] | None = None
        if patterns is not None:
            kinds = np.frombuffer(self._kind, np.uint16)
            wanted = self._matching(patterns, direction)
            if len(wanted) > _FEW:
                table = np.zeros(2 * _SERVER, bool)
                table[wanted] = True
                fits = table[kinds]
            else:
                fits = np.zeros(len(kinds), bool)
                for kind in wanted:
                    fits |= kinds == kind
        elif direction is not None:
            kinds = np.frombuffer(self._kind, np.uint16)
            fits = kinds >= _SERVER if direction == "server" else kinds < _SERVER
        if turn is not None:
            of_turn = np.frombuffer(self._turn, np.int32) == turn
            fits = of_turn if fits is None else fits & of_turn
        return fits

    def _matching(self, patterns: list[str], direction: Direction | None) -> list[int]:
        sides = [side for side in _SIDES if direction in (None, side)]
        return [
            code | _SIDES[side]
            for name, code in self._codes.items()
            if any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)
            for side in sides
        ]

    def count_types(self, rows: NDArray[np.int64] | None = None) -> Counter[str]:
        """Return how often each type occurs, in all rows or in ``rows``."""
        with self._lock:
            kinds = np.frombuffer(self._kind, np.uint16) & ~np.uint16(_SERVER)
            counted = np.bincount(kinds if rows is None else kinds[rows], minlength=len(self._names))
            return Counter({name: int(n) for name, n in zip(self._names, counted, strict=True) if n})

    @property
    def nbytes(self) -> int:
        """How many bytes of memory the log takes: frames, sound and columns together."""
        columns = (self._place, self._kind, self._turn, self._time, self._sound_rows, self._sound_cuts)
        held = sum(column.buffer_info()[1] * column.itemsize for column in columns)
        frames = sum(map(len, self._blocks)) + sum(map(getsizeof, self._tail))
        return held + frames + sum(map(getsizeof, self._sounds))

    def __repr__(self) -> str:
        if not len(self):
            return "Log(empty)"
        last = self.entry(len(self) - 1)
        return f"Log({len(self):,} events, {last.t:.1f} s, {self.bytes:,} bytes)"
