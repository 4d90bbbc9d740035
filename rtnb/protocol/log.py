"""The log: every frame of a session, in both directions and in order; append-only.

Raw bytes are stored end to end in blocks of about a mebibyte, next to four typed columns (place, type, turn,
time) of 22 bytes an event. So a million events take little more than their own bytes, and a filter is one
pass over a column. Audio is the exception: a frame's base64 is cut out if it can be restored exactly from the
decoded bytes, which the conversation keeps anyway. So a spoken session takes less than its own bytes. Blocks
and audio that are also in a file, such as the autosave file, can be freed (``spill``) and are then read from
there. The log reads no clock: times are passed in.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from sys import getsizeof
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray
from pybase64 import b64encode

from ..errors import ArgumentError, not_copyable
from ..redaction import redact
from .entries import NO_TURN, Appended, Columns, Entry, LogColumnsView, WhichTurns, turn_numbers
from .entries import SERVER as _SERVER
from .events import BINARY, Direction
from .log_storage import Cut, Sound, SpilledBlock, SpilledBlocks, Store

__all__ = ["NO_TURN", "Entry", "Log", "LogColumnsView", "LogView"]

_BLOCK = 1 << 20
_SIDES: dict[Direction, int] = {"client": 0, "server": _SERVER}
_FEW = 20
"""Up to how many kinds comparing the column with each is faster than a look-up table."""
_WALL_STEP = 1_000_000  # ns; a smaller drift of the wall clock is ignored


class Log:
    """The append-only log of one session. One thread appends; any thread reads."""

    __reduce_ex__ = not_copyable(
        "a log, and what is computed from it, cannot be pickled or copied: save the session with "
        "session.save(path) and open it with rtnb.open, or take values from it, such as log.to_frame()"
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a numpy view of a column must not meet an append
        self._blocks: list[bytes] = []  # full; they do not change
        self._sizes = array("Q")  # of the blocks
        self._tail: list[bytes] = []  # the frames since the last full block, not joined yet
        self._tail_row = 0  # the index of the first of them
        self._tail_bytes = 0
        self._next_place = 0  # the number of blocks << 32
        self._place = array("Q")  # block << 32 | offset
        self._kind = array("H")  # type code | _SERVER
        self._turn = array("i")
        self._time = array("q")  # ns since the first event
        self._codes: dict[str, int] = {}
        self._names: list[str] = []
        self._mono0 = 0
        self._sound_rows = array("I")  # the events whose base64 was cut out,
        self._sound_cuts = array("I")  # its offset in the frame,
        self._sound_sizes = array("I")  # the length of its audio,
        self._sounds: list[Sound] = []  # and the audio
        self._drift_rows: list[int] = []  # wall − monotonic, where it changed
        self._drift: list[int] = []
        self._last_drift = 0
        self._watchers: tuple[Callable[[], None], ...] = ()
        self._journal: Callable[[Appended], None] | None = None
        self.bytes = 0
        """The size of all frames in bytes."""

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
        """Append one frame and return its index. ``type`` is the frame's own, or ``BINARY``.

        ``cut`` is the base64 that is kept decoded, beside the frame: see ``find_cut``.
        """
        if frame.__class__ is not bytes:
            frame = memoryview(frame).tobytes()  # a buffer may still change; raises TypeError for a str
        size = len(frame)
        with self._lock:
            index = len(self._time)
            drift = wall_ns - mono_ns
            if not index:
                self._mono0 = mono_ns
            if not index or not -_WALL_STEP < drift - self._last_drift < _WALL_STEP:
                self._drift_rows.append(index)
                self._drift.append(drift)
                self._last_drift = drift
            code = self._codes.get(type)
            if code is None:
                code = self._name(type)
            tail_bytes = self._tail_bytes
            if tail_bytes >= _BLOCK:
                self._blocks.append(b"".join(self._tail))
                self._sizes.append(tail_bytes)
                self._tail, self._tail_row, tail_bytes = [], index, 0
                self._next_place = len(self._blocks) << 32
            self._place.append(self._next_place | tail_bytes)
            self._kind.append(code | _SERVER if direction == "server" else code)
            self._turn.append(turn)
            self._time.append(mono_ns - self._mono0)
            self.bytes += size
            if cut is not None:
                self._sound_rows.append(index)
                self._sound_cuts.append(cut.start)
                self._sound_sizes.append(cut.size)
                self._sounds.append(cut.audio)
                frame = frame[: cut.start] + frame[cut.end :]
                size -= cut.end - cut.start
            self._tail.append(frame)
            self._tail_bytes = tail_bytes + size
            if self._journal is not None:
                name, t_ns = self._names[code], mono_ns - self._mono0
                self._journal(Appended(index, direction, name, t_ns, wall_ns, turn, frame, cut))
        for watcher in self._watchers:
            watcher()
        return index

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher()`` after each append, on the appending thread; return a function that ends it.

        It must be quick and not raise: the session waits for it.
        """
        with self._lock:
            self._watchers = (*self._watchers, watcher)

        def end() -> None:
            with self._lock:
                self._watchers = tuple(each for each in self._watchers if each is not watcher)

        return end

    def set_journal(self, journal: Callable[[Appended], None] | None) -> None:
        """Call ``journal`` with each event that is appended, at once; None ends it.

        It must be quick and not raise: the session waits for it.
        """
        with self._lock:
            self._journal = journal

    def spill(self, store: Store, sound_store: Store) -> SpilledBlocks:
        """Return an object with which to free rows that are also in a store; they are then read from it."""
        return SpilledBlocks(
            store,
            sound_store,
            lock=self._lock,
            places=self._place,
            sizes=self._sizes,
            blocks=self._blocks,
            sound_rows=self._sound_rows,
            sounds=self._sounds,
        )

    def _name(self, type: str) -> int:
        # No protocol has 32,767 types; beyond that, a hostile peer sends random names.
        if len(self._names) >= _SERVER - 1:
            type = BINARY
        # Types are shown and stored next to the frames, so keys in them are redacted here.
        type = redact(type.encode("utf-8", "replace"))[0].decode()
        code = self._codes.setdefault(type, len(self._names))
        if code == len(self._names):
            self._names.append(type)
        return code

    def __len__(self) -> int:
        return len(self._place)

    def columns(self, start: int = 0, stop: int | None = None) -> Columns:
        """Return a copy of the events from ``start`` to before ``stop``, as a file stores them."""
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
        piece.sounds = list(map(bytes, sounds))  # outside the lock, so that no append waits
        return piece

    def _stored(self, rows: Iterable[int]) -> list[bytes]:
        """Return frames as they are stored."""
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

    def columns_of(self, rows: NDArray[np.int64]) -> LogColumnsView:
        """Return rows, indices of shape ``(n,)``, as columns."""
        with self._lock:
            return LogColumnsView(
                np.frombuffer(self._kind, np.uint16)[rows],
                np.frombuffer(self._turn, np.int32)[rows],
                np.frombuffer(self._time, np.int64)[rows],
                self._stored(rows.tolist()),
            )

    def kinds_and_turns(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
        """Return kinds and turns of rows, as in `LogColumnsView`."""
        with self._lock:
            return np.frombuffer(self._kind, np.uint16)[rows], np.frombuffer(self._turn, np.int32)[rows]

    def times(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``t`` and ``wall`` of rows, as in `Entry`, in seconds, each of shape ``(n,)``."""
        with self._lock:
            times = np.frombuffer(self._time, np.int64)[rows]
            drifts = np.array(self._drift, np.int64)
            at = np.searchsorted(np.array(self._drift_rows, np.int64), rows, "right") - 1
            return times / 1e9, (self._mono0 + times + drifts[at] if len(rows) else times) / 1e9

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the size of each frame of ``rows`` in bytes, shape ``(n,)``, without reading them."""
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
        """Return the bytes of audio that were cut out of each of ``rows``, shape ``(n,)``; 0 for none."""
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
        """Return the audio that was cut out of a frame; None if none was."""
        with self._lock:
            row = bisect_left(self._sound_rows, index)
            if row < len(self._sound_rows) and self._sound_rows[row] == index:
                return bytes(self._sounds[row])
            return None

    @property
    def names(self) -> list[str]:
        """The types, by the index in ``LogColumnsView.kinds``."""
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
            raise IndexError(f"log index out of range: {key}, and the log has {len(self):,} events")
        return self.entry(index)

    def __iter__(self) -> Iterator[Entry]:
        index = 0
        while index < len(self):  # includes events that arrive meanwhile
            yield self.entry(index)
            index += 1

    def filter(
        self,
        type: str | Iterable[str] | None = None,
        *,
        turn: WhichTurns | None = None,
        direction: Direction | None = None,
    ) -> LogView:
        """Return the rows that match all arguments: see ``LogView.filter``."""
        return LogView(self, self.rows(type, turn=turn, direction=direction))

    def rows(
        self,
        type: str | Iterable[str] | None = None,
        *,
        turn: WhichTurns | None = None,
        direction: Direction | None = None,
        among: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Return the indices, shape ``(n,)``, of the matching rows, out of ``among`` or of all."""
        if direction is not None and not (isinstance(direction, str) and direction in _SIDES):
            raise ArgumentError(f"direction: expected 'client' or 'server', got {direction!r:.80}")
        patterns = None if type is None else [type] if isinstance(type, str) else type
        if patterns is not None:
            patterns = list(patterns) if isinstance(patterns, Iterable) else [patterns]
            if wrong := [pattern for pattern in patterns if not isinstance(pattern, str)]:
                raise ArgumentError(f"type: expected a str such as 'response.*', got {wrong[0]!r:.80}")
        turns = None if turn is None else turn_numbers(turn)
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
        """Return a mask of the matching rows; None for all. No view of a column outlives the call."""
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
        """The memory that the log takes, in bytes: frames, audio and columns."""
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


class LogView(Sequence[Entry]):
    """Some rows of a log, in order. Slicing and filtering return further views; nothing is copied.

    Without ``rows`` it is the whole log and grows with it.
    """

    def __init__(self, log: Log, rows: NDArray[np.int64] | None = None) -> None:
        self._log = log
        self._rows = rows

    def _of(self, rows: NDArray[np.int64]) -> Self:
        """Return a view like this one, of other rows."""
        return type(self)(self._log, rows)

    @property
    def source(self) -> Log:
        """The log whose rows these are."""
        return self._log

    @property
    def grows(self) -> bool:
        """Whether it is the whole log, including events to come."""
        return self._rows is None

    @property
    def rows(self) -> NDArray[np.int64]:
        """The indices of the rows now, shape ``(n,)``."""
        return np.arange(len(self._log), dtype=np.int64) if self._rows is None else self._rows

    def __len__(self) -> int:
        return len(self._log) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, key: int) -> Entry: ...
    @overload
    def __getitem__(self, key: slice) -> Self: ...
    def __getitem__(self, key: int | slice) -> Entry | Self:
        if isinstance(key, slice):
            return self._of(self.rows[key])
        return self._log[key] if self._rows is None else self._log.entry(int(self._rows[key]))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._log) if self._rows is None else (self._log.entry(int(row)) for row in self._rows)

    def filter(
        self,
        type: str | Iterable[str] | None = None,
        *,
        turn: WhichTurns | None = None,
        direction: Direction | None = None,
    ) -> Self:
        """Return the rows that match all arguments.

        ``type`` is a name, a pattern (``"response.*"``) or several of them; ``turn`` a turn's number
        (``NO_TURN`` for frames without a turn), a turn itself, or several of either, also a range. Raises
        ArgumentError for anything else, and for an unknown direction.
        """
        return self._of(self._log.rows(type, turn=turn, direction=direction, among=self._rows))

    def counts(self) -> Counter[str]:
        """Return how often each type occurs."""
        return self._log.count_types(self._rows)

    def __repr__(self) -> str:
        shown = [repr(entry) for entry in self[:8]]
        if len(self) > 8:
            shown.append(f"… and {len(self) - 8:,} more")
        return "\n".join([f"{len(self):,} events", *shown])
