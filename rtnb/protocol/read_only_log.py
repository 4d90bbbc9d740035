"""A log from a file: made from its columns, without parsing a frame."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from ..errors import ArgumentError
from .entries import SERVER, Columns
from .log import Log
from .log_storage import Chunk, Sound

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ReadOnlyLog"]


class ReadOnlyLog(Log):
    """A read-only log. Its frames and audio are read block by block, when a row is first used.

    ``pieces`` are consecutive; ``blocks`` has the stored frames of each, ``sounds`` the decoded audio of each
    cut of all pieces in order. Raises ValueError for columns that contradict one another.
    """

    def __init__(
        self, pieces: Iterable[Columns], blocks: Sequence[bytes], sounds: Sequence[bytes] | None = None
    ) -> None:
        super().__init__()
        self._blocks = cast("list[bytes]", blocks)
        self._sounds = cast("list[Sound]", [] if sounds is None else sounds)
        self._cuts = _Cuts(self._sounds)
        first = 0
        for number, piece in enumerate(pieces):
            self._take(number, first, piece)
            first += len(piece)
        self._tail_row = first

    def _take(self, number: int, first: int, piece: Columns) -> None:
        codes = np.array([self._coded(name) for name in piece.names], np.uint16)
        types = piece.kinds & np.uint16(SERVER - 1)
        if len(types) and int(types.max()) >= len(codes):
            raise ValueError("a type without a name")
        if len(piece.sound_rows) and not _fits(piece):
            raise ValueError("audio outside its frame")
        ends = np.cumsum(piece.lengths, dtype=np.uint64)
        starts = ends - piece.lengths
        if len(ends) and int(ends[-1]) >= 1 << 32:
            raise ValueError("a block of more than 4 GB")
        _extend(self._place, np.uint64(number << 32) | starts)
        _extend(self._kind, codes[types] | (piece.kinds & np.uint16(SERVER)) if len(codes) else piece.kinds)
        _extend(self._turn, piece.turns)
        _extend(self._time, piece.times)
        _extend(self._sound_rows, piece.sound_rows + np.uint32(first))
        _extend(self._sound_cuts, piece.sound_cuts)
        _extend(self._sound_sizes, piece.sound_lengths)
        self._sizes.append(int(ends[-1]) if len(ends) else 0)
        for row, wall in zip(piece.wall_rows.tolist(), piece.walls.tolist(), strict=True):
            if not self._drift or self._drift[-1] != wall:
                self._drift_rows.append(first + row)
                self._drift.append(wall)
        sound = piece.sound_lengths.astype(np.int64)
        self.bytes += int(ends[-1] if len(ends) else 0) + int(((sound + 2) // 3 * 4).sum())

    def _coded(self, name: str) -> int:
        code = self._codes.get(name)
        return self._name(name) if code is None else code

    def append(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ArgumentError: a log from a file does not change."""
        raise ArgumentError(
            "the log of a recording is read-only: use rtnb.connect or rtnb.replay to continue"
        )

    def share(self, index: int, sound: Sound) -> None:
        """Free audio that a fold decoded from a frame; it is then read from the file."""
        row = bisect_left(self._sound_rows, index)
        if row < len(self._sound_rows) and self._sound_rows[row] == index:
            sound.move(self._cuts, row)

    @property
    def nbytes(self) -> int:
        """The memory that the columns take, in bytes; frames and audio stay in the file."""
        return self._columns_bytes()


class _Cuts:
    """The audio of a log as a store whose offsets are the numbers of cuts."""

    def __init__(self, sounds: Sequence[Chunk]) -> None:
        self._sounds = sounds

    def read(self, at: int, size: int) -> bytes:
        """Return the audio of a cut."""
        return bytes(self._sounds[at])


def _fits(piece: Columns) -> bool:
    rows = piece.sound_rows
    ordered = bool((np.diff(rows.astype(np.int64)) > 0).all()) and int(rows[-1]) < len(piece)
    return ordered and bool((piece.sound_cuts <= piece.lengths[rows]).all())


def _extend(column: Any, values: NDArray[Any]) -> None:
    column.frombytes(values.tobytes())
