"""The columns of a recording: what a log needs of each event before its frame is read.

They repeat what ``events.jsonl`` says, so that a recording of hundreds of thousands of events opens without
reading them. Each is an array in a ``.npy`` file of its own, little-endian, in the least type that holds it:

``times`` (n: ns since the event before), ``kinds`` (n: index in ``names`` of the manifest's ``columns``, +
0x8000 from the server), ``turns`` (n; -1: none), ``lengths`` (n: bytes of the stored frame), ``cut_rows``,
``cut_offsets``, ``cut_tracks``, ``cut_bytes`` and ``cut_gaps`` (m: the event that audio was cut from, where
in its frame, the number of the track, the length, and how much of the track is between it and the one
before), ``wall_rows`` and ``walls`` (d: from which event on, ns since 1970 minus time), ``redacted`` (the
events with a redacted key), ``media`` (k × 4: time in ns, track, start and bytes of audio beside the frames),
``blocks`` (b × 4: events, lengths in bytes as stored and unpacked, and CRC-32 of parts of ``events.jsonl``:
each can be unpacked alone).
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol.entries import SERVER, Columns
from .format import MAX_PIECE, Damaged

__all__ = ["FOLDER", "ColumnsBuilder", "EventColumns"]

FOLDER = "columns/"
Array = NDArray[np.int64]
_OF_EVENTS = ("times", "kinds", "turns", "lengths")
_OF_CUTS = ("cut_rows", "cut_offsets", "cut_tracks", "cut_bytes", "cut_gaps")
_ONE = (*_OF_EVENTS, *_OF_CUTS, "wall_rows", "walls", "redacted")
_FOUR = ("media", "blocks")


@dataclass(slots=True)
class EventColumns:
    """The columns of all events, while they are written, or as they were read."""

    names: list[str] = field(default_factory=list)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the content of each file that is not empty."""
        for name, column in self.arrays.items():
            if column.size:
                yield f"{FOLDER}{name}.npy", _npy(column)

    @classmethod
    def read(cls, names: Any, files: Mapping[str, bytes]) -> EventColumns:
        """Return the columns of some files. Raises Damaged."""
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Damaged("has no list of types")
        found = cls(list(names))
        for name in _ONE + _FOUR:
            data = files.get(f"{FOLDER}{name}.npy")
            empty = np.zeros((0, 4)[: 1 + (name in _FOUR)], np.int64)
            column = empty if data is None else _read_npy(data)
            if column.ndim != empty.ndim or column.shape[1:] != empty.shape[1:]:
                raise Damaged(f"has a column {name} of another shape")
            found.arrays[name] = column
        found._check()
        return found

    def _check(self) -> None:
        """Raise Damaged for columns that contradict one another."""
        a = self.arrays
        n, m = len(a["kinds"]), len(a["cut_rows"])
        lengths, blocks = a["lengths"], a["blocks"].astype(np.int64)
        same = all(len(a[name]) == n for name in _OF_EVENTS)
        same &= all(len(a[name]) == m for name in _OF_CUTS) and len(a["wall_rows"]) == len(a["walls"])
        if not same or not n or not len(blocks):
            raise Damaged("has columns of different lengths")
        types = a["kinds"].astype(np.int64) & (SERVER - 1)
        good = (
            int(a["kinds"].min()) >= 0
            and int(a["kinds"].max()) < 2 * SERVER
            and int(types.max()) < len(self.names)
            and int(a["turns"].min()) >= -1
            and int(a["turns"].max()) < 1 << 31
            and int(lengths.min()) >= 0
            and int(lengths.max()) < 1 << 32
            and all(_ascending(a[name], n) for name in ("cut_rows", "wall_rows", "redacted"))
            and len(a["walls"]) > 0
            and int(a["wall_rows"][0]) == 0
            and all(not len(a[name]) or int(a[name].min()) >= 0 for name in _OF_CUTS)
            and bool((a["cut_offsets"] <= lengths[a["cut_rows"].astype(np.int64)]).all())
            and (not m or int(a["cut_bytes"].max()) <= MAX_PIECE)
            and all(0 <= value < 1 << 48 for value in (int(blocks.min()), int(blocks.max())))
            and len(blocks) <= n + len(a["media"])
            and int(blocks[:, 0].sum()) == n
            and int(lengths.sum(dtype=np.uint64)) < 1 << 40
            and all(not len(a[name]) or int(a[name].max()) < 1 << 48 for name in ("cut_gaps", "cut_tracks"))
            and _cover(blocks, lengths)
        )
        if not good:
            raise Damaged("has columns that contradict one another")

    @property
    def places(self) -> tuple[Array, Array]:
        """The track of each cut, and where in the track it starts."""
        tracks, sizes = (self.arrays[name].astype(np.int64) for name in ("cut_tracks", "cut_bytes"))
        gaps = self.arrays["cut_gaps"].astype(np.int64)
        starts = np.zeros(len(tracks), np.int64)
        for track in np.unique(tracks).tolist():
            of_track = tracks == track
            starts[of_track] = np.cumsum(gaps[of_track] + sizes[of_track]) - sizes[of_track]
        return tracks, starts

    def pieces(self) -> Iterator[Columns]:
        """Yield the columns of each block, without frames."""
        a = self.arrays
        times = np.cumsum(a["times"], dtype=np.int64)
        cut_rows, wall_rows = a["cut_rows"], a["wall_rows"]
        first = 0
        for rows in a["blocks"][:, 0].tolist():
            end = first + rows
            cuts = slice(*np.searchsorted(cut_rows, (first, end)).tolist())
            last = max(int(np.searchsorted(wall_rows, first, "right")) - 1, 0)
            walls = slice(last, int(np.searchsorted(wall_rows, end)))
            yield Columns(
                first=first,
                names=self.names,
                kinds=a["kinds"][first:end].astype(np.uint16),
                turns=a["turns"][first:end].astype(np.int32),
                times=times[first:end],
                lengths=a["lengths"][first:end].astype(np.uint32),
                sound_rows=(cut_rows[cuts].astype(np.int64) - first).astype(np.uint32),
                sound_cuts=a["cut_offsets"][cuts].astype(np.uint32),
                sound_lengths=a["cut_bytes"][cuts].astype(np.uint32),
                wall_rows=np.maximum(wall_rows[walls].astype(np.int64) - first, 0).astype(np.uint32),
                walls=a["walls"][walls].astype(np.int64),
            )
            first = end


class ColumnsBuilder:
    """Collects the columns of events while these are written, or read from a file without columns."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._kinds = array("H")
        self._turns = array("i")
        self._times = array("q")
        self._lengths = array("I")
        self._cuts: list[array[int]] = [array("q") for _ in range(5)]
        self._ends: dict[int, int] = {}
        self._walls: list[tuple[int, int]] = []
        self._redacted: list[int] = []
        self._media: list[tuple[int, int, int, int]] = []
        self._blocks: list[tuple[int, int, int, int]] = []
        self._block_row = 0

    def __len__(self) -> int:
        return len(self._times)

    def event(self, type: str, server: bool, turn: int, t_ns: int, length: int) -> None:
        """Add an event; ``length`` is that of its stored frame, in bytes."""
        code = self._codes.setdefault(type, len(self._codes))
        self._kinds.append(min(code, SERVER - 1) | (SERVER if server else 0))
        self._turns.append(turn)
        self._times.append(t_ns)
        self._lengths.append(length)

    def cut(self, track: int, gap: int, size: int, at: int) -> None:
        """Note that audio was cut out of the last event, ``gap`` bytes of its track after the one before."""
        row = len(self) - 1
        for column, value in zip(self._cuts, (row, at, track, size, gap), strict=True):
            column.append(value)

    def gap(self, track: int, start: int, size: int) -> int:
        """Return how much of a track is before audio to be cut. Raises Damaged if it was cut before."""
        gap = start - self._ends.get(track, 0)
        if gap < 0:
            raise Damaged("has audio that an event before it has")
        self._ends[track] = start + size
        return gap

    def wall(self, wall_ns: int) -> None:
        """Note the wall clock at the last event; ``wall_ns`` minus its time holds until the next one."""
        self._walls.append((len(self) - 1, wall_ns - self._times[-1]))

    def redacted(self) -> None:
        """Note that a key in the last event was redacted."""
        self._redacted.append(len(self) - 1)

    def media(self, t_ns: int, track: int, start: int, size: int) -> None:
        """Add audio that came beside the frames."""
        self._media.append((t_ns, track, start, size))

    def end_block(self, stored: int, unpacked: int, crc: int) -> None:
        """End a part of the file that can be unpacked alone."""
        self._blocks.append((len(self) - self._block_row, stored, unpacked, crc))
        self._block_row = len(self)

    def build(self) -> EventColumns:
        """Return all columns."""
        times = np.frombuffer(self._times, np.int64) if self._times else np.zeros(0, np.int64)
        arrays: dict[str, NDArray[Any]] = {"times": np.diff(times, prepend=np.int64(0))}
        for name, column in (("kinds", self._kinds), ("turns", self._turns), ("lengths", self._lengths)):
            arrays[name] = np.array(column)
        for name, column in zip(_OF_CUTS, self._cuts, strict=True):
            arrays[name] = np.array(column)
        arrays["wall_rows"], arrays["walls"] = np.array(self._walls, np.int64).reshape(-1, 2).T
        arrays["redacted"] = np.array(self._redacted, np.int64)
        arrays["media"] = np.array(self._media, np.int64).reshape(-1, 4)
        arrays["blocks"] = np.array(self._blocks, np.int64).reshape(-1, 4)
        return EventColumns(list(self._codes), arrays)


def _ascending(rows: NDArray[Any], count: int) -> bool:
    wide = rows.astype(np.int64)
    return not len(wide) or bool((np.diff(wide) > 0).all() and wide[0] >= 0 and wide[-1] < count)


def _cover(blocks: Array, lengths: NDArray[Any]) -> bool:
    """Return whether the frames of each block are shorter than its text."""
    totals = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    ends = np.cumsum(blocks[:, 0])
    return bool((totals[ends] - totals[ends - blocks[:, 0]] <= blocks[:, 2]).all())


def _npy(column: NDArray[Any]) -> bytes:
    """Return an array as a ``.npy`` file, in the least type that holds it."""
    least = np.result_type(np.min_scalar_type(column.min()), np.min_scalar_type(column.max()))
    least = np.dtype(np.int64) if least.kind != "i" and least.itemsize == 8 else least
    out = io.BytesIO()
    np.lib.format.write_array(out, column.astype(least.newbyteorder("<")), version=(1, 0))
    return out.getvalue()


def _read_npy(data: bytes) -> NDArray[Any]:
    """Return the array of integers in a ``.npy`` file. Raises Damaged."""
    file = io.BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        at, count = file.tell(), 1
        for length in shape:
            count *= length
        if dtype.kind not in "iu" or fortran or count * dtype.itemsize != len(data) - at:
            raise ValueError("not an array of integers")
        if dtype == np.uint64:
            raise ValueError("too large integers")
        return np.frombuffer(data, dtype, count, at).reshape(shape)
    except (
        ValueError,
        TypeError,
        OverflowError,
        SyntaxError,
        MemoryError,
        RecursionError,
        TokenError,
    ) as error:
        raise Damaged(f"has a column that cannot be read ({error})") from None
