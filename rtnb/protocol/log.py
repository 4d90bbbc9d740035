"""The log: every frame of a session, in both directions and in order; append-only.

Raw bytes are stored end to end in blocks of about a mebibyte, next to four typed columns (place, type, turn,
time) of 22 bytes an event. So a million events take little more than their own bytes, and a filter is one
pass over a column. Audio is the exception: a frame's base64 is cut out if it can be restored exactly from the
decoded bytes, which the conversation keeps anyway. So a spoken session takes less than its own bytes. Blocks
and audio that are also in a file, such as the autosave file, can be freed (``spill``) and are then read from
there. The log reads no clock: times are passed in.

An append only notes its arguments, as it is the most frequent thing that a session does; they are put into
the columns some hundred at a time, or when the log is read.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from sys import getsizeof
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray
from pybase64 import b64encode

from ..errors import ArgumentError, not_copyable
from ..redaction import redact
from .entries import NO_TURN, Columns, Entry, LogColumnsView, WhichTurns, turn_numbers
from .entries import SERVER as _SERVER
from .events import BINARY, Direction
from .log_storage import Cut, Sound, SpilledBlock, SpilledBlocks, Store

__all__ = ["NO_TURN", "Entry", "Log", "LogColumnsView", "LogView"]

_BLOCK = 1 << 20
_MOST_NEW = 1024
"""How many rows, at most, are not in the columns yet; nor are frames of more than ``_BLOCK`` bytes."""
_SIDES: dict[Direction, int] = {"client": 0, "server": _SERVER}
_FEW = 20
"""Up to how many kinds comparing the column with each is faster than a look-up table."""
_WALL_STEP = 1_000_000  # ns; a smaller drift of the wall clock is ignored

_NewRow = tuple[bytes, Direction, str, int, int, int, Cut | None]
"""What `Log.append` was given: frame as it is stored, direction, type, two times, turn and cut."""


class Log:
    """The append-only log of one session. One thread appends; any thread reads."""

    __reduce_ex__ = not_copyable(
        "a log, and what is computed from it, cannot be pickled or copied: save the session with "
        "session.save(path) and open it with rtnb.open, or take values from it, such as log.to_frame()"
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a numpy view of a column must not meet a change of it
        self._count = 0
        self._new: list[_NewRow] = []  # not in the columns yet
        self._settled_bytes = 0  # the size of all frames that are
        self._blocks: list[bytes] = []  # full; they do not change
        self._sizes = array("Q")  # of the blocks
        self._tail: list[bytes] = []  # the frames since the last full block, not joined yet
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
        self._sound_cuts = array("I")  # its offset in the frame,
        self._sound_sizes = array("I")  # the length of its audio,
        self._sounds: list[Sound] = []  # and the audio
        self._drift_rows: list[int] = []  # wall − monotonic, where it changed
        self._drift: list[int] = []
        self._watchers: tuple[Callable[[], None], ...] = ()
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
        self.bytes += len(frame)
        if cut is not None:
            frame = frame[: cut.start] + frame[cut.end :]
        index = self._count
        self._new.append((frame, direction, type, mono_ns, wall_ns, turn, cut))
        self._count = index + 1  # last: whoever sees it finds the row
        if len(self._new) >= _MOST_NEW or self.bytes - self._settled_bytes >= _BLOCK:
            with self._lock:
                self._settle()
        for watcher in self._watchers:
            watcher()
        return index

    def _settle(self) -> None:
        """Put the new rows into the columns. Call with the lock held, before any of them is read."""
        rows = self._new[:]  # the appending thread may add to it meanwhile
        if not rows:
            return
        frames, directions, types, monos, walls, turns, cuts = zip(*rows, strict=True)
        first = len(self._place)
        if not first:
            self._mono0 = monos[0]
        if self._tail_bytes >= _BLOCK:
            self._blocks.append(b"".join(self._tail))
            self._sizes.append(self._tail_bytes)
            self._tail, self._tail_row, self._tail_bytes = [], first, 0
        ends = np.cumsum(np.fromiter(map(len, frames), np.uint64, len(frames)))
        starts = np.concatenate([np.zeros(1, np.uint64), ends[:-1]]) + np.uint64(self._tail_bytes)
        extend_column(self._place, np.uint64(len(self._blocks) << 32) | starts)
        self._tail.extend(frames)
        self._tail_bytes += int(ends[-1])
        self._kind.extend(
            [self._code(type) | _SIDES[side] for type, side in zip(types, directions, strict=True)]
        )
        self._turn.extend(turns)
        extend_column(self._time, np.array(monos, np.int64) - self._mono0)
        self._note_drift(first, np.array(walls, np.int64) - np.array(monos, np.int64))
        for row, cut in enumerate(cuts, first):
            if cut is not None:
                self._sound_rows.append(row)
                self._sound_cuts.append(cut.start)
                self._sound_sizes.append(len(cut.audio))
                self._sounds.append(cut.audio)
                self._settled_bytes += cut.end - cut.start
        self._settled_bytes += int(ends[-1])
        del self._new[: len(rows)]

    def _note_drift(self, first: int, drifts: NDArray[np.int64]) -> None:
        if self._drift and (np.abs(drifts - self._drift[-1]) < _WALL_STEP).all():
            return
        for row, drift in enumerate(drifts.tolist(), first):
            if not row or abs(drift - self._drift[-1]) >= _WALL_STEP:
                self._drift_rows.append(row)
                self._drift.append(drift)

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

    def spill(self, store: Store) -> SpilledBlocks:
        """Return an object with which to free rows that are also in ``store``; they are then read from it."""
        return SpilledBlocks(
            store,
            lock=self._lock,
            places=self._place,
            sizes=self._sizes,
            blocks=self._blocks,
            sound_rows=self._sound_rows,
            sounds=self._sounds,
        )

    def _code(self, type: str) -> int:
        code = self._codes.get(type)
        return self._name(type) if code is None else code

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
        return self._count

    def columns(self, start: int = 0, stop: int | None = None) -> Columns:
        """Return a copy of the events from ``start`` to before ``stop``, as a file stores them."""
        with self._lock:
            self._settle()
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
            self._settle()
            return LogColumnsView(
                np.frombuffer(self._kind, np.uint16)[rows],
                np.frombuffer(self._turn, np.int32)[rows],
                np.frombuffer(self._time, np.int64)[rows],
                self._stored(rows.tolist()),
            )

    def kinds_and_turns(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
        """Return kinds and turns of rows, as in `LogColumnsView`."""
        with self._lock:
            self._settle()
            return np.frombuffer(self._kind, np.uint16)[rows], np.frombuffer(self._turn, np.int32)[rows]

    def times(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``t`` and ``wall`` of rows, as in `Entry`, in seconds, each of shape ``(n,)``."""
        with self._lock:
            self._settle()
            times = np.frombuffer(self._time, np.int64)[rows]
            drifts = np.array(self._drift, np.int64)
            at = np.searchsorted(np.array(self._drift_rows, np.int64), rows, "right") - 1
            return times / 1e9, (self._mono0 + times + drifts[at] if len(rows) else times) / 1e9

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the size of each frame of ``rows`` in bytes, shape ``(n,)``, without reading them."""
        with self._lock:
            self._settle()
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
            self._settle()
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
            self._settle()
            row = bisect_left(self._sound_rows, index)
            if row < len(self._sound_rows) and self._sound_rows[row] == index:
                return bytes(self._sounds[row])
            return None

    @property
    def names(self) -> list[str]:
        """The types, by the index in ``LogColumnsView.kinds``."""
        with self._lock:
            self._settle()
        return self._names

    def entry(self, index: int) -> Entry:
        """Return the entry at ``index`` (0 ≤ index < len)."""
        with self._lock:
            self._settle()
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
            self._settle()
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
            self._settle()
            kinds = np.frombuffer(self._kind, np.uint16) & ~np.uint16(_SERVER)
            counted = np.bincount(kinds if rows is None else kinds[rows], minlength=len(self._names))
            return Counter({name: int(n) for name, n in zip(self._names, counted, strict=True) if n})

    @property
    def nbytes(self) -> int:
        """The memory that the log takes, in bytes: frames, audio and columns."""
        with self._lock:
            self._settle()
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


def extend_column(column: array[int], values: NDArray[Any]) -> None:
    column.frombytes(values.tobytes())


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
