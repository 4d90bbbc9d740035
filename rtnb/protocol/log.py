"""The log: every frame of a session, both directions, in order, for ever appended and never changed.

Raw bytes lie end to end in blocks of about a mebibyte; beside them stand four typed columns (place, type,
turn, time), 22 bytes an event. So a million events take little more than their own bytes, and a filter is
one pass over a column. Sound is the exception: a frame's base64 is cut out where the decoded bytes, which the
conversation keeps anyway, give it back exactly. So a spoken session takes less than its own bytes. What lies
safely in a file besides, such as the spool, can be let go of (``filing``): blocks and sound are then read
from there. The log reads no clock: whoever appends says when.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from sys import getsizeof
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from pybase64 import b64encode

from ..errors import ArgumentError
from ..redaction import redact
from .entries import NO_TURN, Columns, Entry, LogColumnsView, LogView, WhichTurns
from .entries import SERVER as _SERVER
from .events import BINARY, Direction
from .log_storage import Cut, Sound, SpilledBlock, SpilledBlocks, Store

__all__ = ["NO_TURN", "Entry", "Log", "LogColumnsView", "LogView"]

_BLOCK = 1 << 20
_SIDES: dict[Direction, int] = {"client": 0, "server": _SERVER}
_FEW = 20
"""Up to how many kinds a comparison of the column with each is quicker than one look-up table."""
_WALL_STEP = 1_000_000  # ns; a smaller drift of the wall clock is not worth a row


class Log:
    """The append-only log of one session. One thread appends; any thread reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a numpy view of a column must not meet an append
        self._blocks: list[bytes] = []  # full and sealed
        self._sizes = array("Q")  # of the blocks
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
        self._sound_sizes = array("I")  # how long its sound is,
        self._sounds: list[Sound] = []  # and what it decodes to
        self._drift_rows: list[int] = []  # wall − monotonic, where it changed
        self._drift: list[int] = []
        self._watchers: tuple[Callable[[], None], ...] = ()
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
        cut: Cut | None = None,
    ) -> int:
        """Keep one frame and return its index. ``type`` is the frame's own, or ``BINARY``.

        ``cut`` is the base64 that is kept decoded, beside the frame: see ``find_cut``.
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
                self._sizes.append(self._tail_bytes)
                self._tail, self._tail_row, self._tail_bytes = [], index, 0
            self._place.append(len(self._blocks) << 32 | self._tail_bytes)
            self._kind.append(code | _SERVER if direction == "server" else code)
            self._turn.append(turn)
            self._time.append(mono_ns - self._mono0)
            self.bytes += len(frame)
            if cut is not None:
                self._sound_rows.append(index)
                self._sound_cuts.append(cut.start)
                self._sound_sizes.append(len(cut.audio))
                self._sounds.append(cut.audio)
                frame = frame[: cut.start] + frame[cut.end :]
            self._tail.append(frame)
            self._tail_bytes += len(frame)
        for watcher in self._watchers:
            watcher()
        return index

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher()`` after each append, on the thread that appends; return the end of it.

        It is to be quick and to raise nothing: the session waits for it.
        """
        with self._lock:
            self._watchers = (*self._watchers, watcher)

        def end() -> None:
            with self._lock:
                self._watchers = tuple(each for each in self._watchers if each is not watcher)

        return end

    def filing(self, store: Store) -> SpilledBlocks:
        """Return the one to be told which rows lie in ``store``: from then on they are read from there."""
        return SpilledBlocks(
            store,
            lock=self._lock,
            places=self._place,
            sizes=self._sizes,
            blocks=self._blocks,
            sound_rows=self._sound_rows,
            sounds=self._sounds,
        )

    def _name(self, type: str) -> int:
        # 32,767 kinds is far more than any protocol has; past that a hostile peer is naming at random.
        if len(self._names) >= _SERVER - 1:
            type = BINARY
        # Types stand in every view and file beside the frames: of one that is a key, only what hides it.
        type = redact(type.encode("utf-8", "replace"))[0].decode()
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
            frames = self._stored(range(start, stop))
            sounds = self._sounds[cut]
            piece = Columns(
                first=start,
                names=list(self._names),
                kinds=np.array(self._kind[start:stop], np.uint16),
                turns=np.array(self._turn[start:stop], np.int32),
                times=np.array(self._time[start:stop], np.int64),
                lengths=np.array([len(frame) for frame in frames], np.uint32),
                sound_rows=np.array(self._sound_rows[cut], np.uint32) - np.uint32(start),
                sound_cuts=np.array(self._sound_cuts[cut], np.uint32),
                sound_lengths=np.array(self._sound_sizes[cut], np.uint32),
                wall_rows=np.array([max(row - start, 0) for row in self._drift_rows[drifts]], np.uint32),
                walls=np.array([self._mono0 + drift for drift in self._drift[drifts]], np.int64),
                frames=b"".join(frames),
            )
        piece.sounds = list(map(bytes, sounds))  # no append waits for it
        return piece

    def _stored(self, rows: Iterable[int]) -> list[bytes]:
        """Return frames as they are kept."""
        places, blocks, count = self._place, self._blocks, len(self._place)
        found, number, block = [], -1, b""
        for row in rows:
            if row >= self._tail_row:
                found.append(self._tail[row - self._tail_row])
                continue
            place = places[row]
            if place >> 32 != number:
                number = place >> 32
                block = blocks[number]
            following = places[row + 1] if row + 1 < count else -1
            end = following & 0xFFFFFFFF if following >> 32 == number else len(block)
            found.append(block[place & 0xFFFFFFFF : end])
        return found

    def look(self, rows: NDArray[np.int64]) -> LogColumnsView:
        """Return rows, indices of shape ``(n,)``, as columns."""
        with self._lock:
            return LogColumnsView(
                np.frombuffer(self._kind, np.uint16)[rows],
                np.frombuffer(self._turn, np.int32)[rows],
                np.frombuffer(self._time, np.int64)[rows],
                self._stored(rows.tolist()),
            )

    def sorts(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
        """Return kinds and turns of rows, as in `Look`."""
        with self._lock:
            return np.frombuffer(self._kind, np.uint16)[rows], np.frombuffer(self._turn, np.int32)[rows]

    def clocks(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``t`` and ``wall`` of rows, in seconds, each of shape ``(n,)``: those of their entries."""
        with self._lock:
            times = np.frombuffer(self._time, np.int64)[rows]
            drifts = np.array(self._drift, np.int64)
            at = np.searchsorted(np.array(self._drift_rows, np.int64), rows, "right") - 1
            return times / 1e9, (self._mono0 + times + drifts[at] if len(rows) else times) / 1e9

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many bytes each frame of ``rows`` has, shape ``(n,)``, without reading them."""
        with self._lock:
            places = np.frombuffer(self._place, np.uint64).astype(np.int64)
            sizes = np.array([*self._sizes, self._tail_bytes], np.int64)
            block, start = places >> 32, places & 0xFFFFFFFF
            end = sizes[block]
            same = block[:-1] == block[1:]
            end[:-1][same] = start[1:][same]
            lengths: NDArray[np.int64] = (end - start)[rows] + (self._sound_bytes(rows) + 2) // 3 * 4
            return lengths

    def sound_sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many bytes of sound were cut out of each of ``rows``, shape ``(n,)``; 0 for none."""
        with self._lock:
            return self._sound_bytes(rows)

    def _sound_bytes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        cut = np.frombuffer(self._sound_rows, np.uint32) if self._sound_rows else np.zeros(0, np.uint32)
        if not len(cut):
            return np.zeros(len(rows), np.int64)
        at = np.searchsorted(cut, rows)
        sizes = np.frombuffer(self._sound_sizes, np.uint32)[np.minimum(at, len(cut) - 1)].astype(np.int64)
        return np.where(cut[np.minimum(at, len(cut) - 1)] == rows, sizes, 0)

    def sound(self, index: int) -> bytes | None:
        """Return the sound that was cut out of a frame; None where none was."""
        with self._lock:
            row = bisect_left(self._sound_rows, index)
            if row < len(self._sound_rows) and self._sound_rows[row] == index:
                return bytes(self._sounds[row])
            return None

    @property
    def names(self) -> list[str]:
        """The types, each at the place by which ``Look.kinds`` names it."""
        return self._names

    def entry(self, index: int) -> Entry:
        """Return the entry at ``index`` (0 ≤ index < len)."""
        with self._lock:
            kind = self._kind[index]
            frame = self._stored((index,))[0]
            row = bisect_left(self._sound_rows, index)
            if row < len(self._sound_rows) and self._sound_rows[row] == index:
                at = self._sound_cuts[row]
                frame = frame[:at] + b64encode(bytes(self._sounds[row])) + frame[at:]
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
        turn: WhichTurns | None = None,
        direction: Direction | None = None,
    ) -> LogView:
        """Return the rows that fit all that is given: see ``LogView.filter``."""
        return LogView(self, self.rows(type, turn=turn, direction=direction))

    def rows(
        self,
        type: str | Iterable[str] | None = None,
        *,
        turn: WhichTurns | None = None,
        direction: Direction | None = None,
        among: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Return the indices, shape ``(n,)``, of the rows that fit, out of ``among`` or of all."""
        if direction is not None and not (isinstance(direction, str) and direction in _SIDES):
            raise ArgumentError(f"direction is 'client' or 'server', not {direction!r:.80}")
        patterns = None if type is None else [type] if isinstance(type, str) else type
        if patterns is not None:
            patterns = list(patterns) if isinstance(patterns, Iterable) else [patterns]
            if odd := [pattern for pattern in patterns if not isinstance(pattern, str)]:
                raise ArgumentError(f"a type is a text, such as 'response.*', not {odd[0]!r:.80}")
        turns = None if turn is None else _numbers(turn)
        with self._lock:
            fits = self._fitting(patterns, turns, direction)
            count = len(self._place)
        if fits is None:
            return np.arange(count, dtype=np.int64) if among is None else among
        if among is not None:
            return among[fits[among]]
        return np.flatnonzero(fits).astype(np.int64, copy=False)

    def _fitting(
        self, patterns: list[str] | None, turns: range | set[int] | None, direction: Direction | None
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
        if turns is not None:
            column = np.frombuffer(self._turn, np.int32)
            if isinstance(turns, set) and len(turns) == 1:
                of_turn = column == min(turns)
            else:
                of_turn = np.isin(column, [turn for turn in np.unique(column).tolist() if turn in turns])
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
        blocks = sum(b.nbytes if isinstance(b, SpilledBlock) else len(b) for b in self._blocks)
        frames = blocks + sum(map(getsizeof, self._tail))
        return self._columns_bytes() + frames + sum(sound.nbytes for sound in self._sounds)

    def _columns_bytes(self) -> int:
        every = (self._place, self._kind, self._turn, self._time)
        sound = (self._sound_rows, self._sound_cuts, self._sound_sizes)
        return sum(column.buffer_info()[1] * column.itemsize for column in (*every, *sound))

    def __repr__(self) -> str:
        if not len(self):
            return "Log(empty)"
        last = self.entry(len(self) - 1)
        return f"Log({len(self):,} events, {last.t:.1f} s, {self.bytes:,} bytes)"


def _numbers(turn: Any) -> range | set[int]:
    """Return the numbers of the turns that are meant. Raises ArgumentError for what means none."""
    if isinstance(turn, range):  # however long: range(5, 10**9) is all from turn 5 on
        return turn
    several = isinstance(turn, Iterable) and not isinstance(turn, (str, bytes))
    found = set()
    for one in turn if several else (turn,):
        number = getattr(one, "number", one)
        if not isinstance(number, (int, np.integer)) or isinstance(number, bool):
            raise ArgumentError(
                f"a turn is its number, such as 0, or the turn itself, or several of them, not {one!r:.80}"
            )
        found.add(int(number))
    return found
