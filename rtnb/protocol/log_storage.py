"""Blocks of a log that let go of their bytes once these lie in a file, such as the spool.

A log writes down what arrives in pieces of its own, so one block of frames lies in many places of a file;
within a piece its frames lie end to end.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import MutableSequence, Sequence
from sys import getsizeof

from .sound import Chunk, Sound, Store

__all__ = ["FiledBlock", "Filing"]

_OFFSET = (1 << 32) - 1


class FiledBlock:
    """A block of frames in a file, with the part of ``bytes`` that a log needs: a length and slices.

    A slice must not reach over the end of a piece: it is one frame.
    """

    __slots__ = ("_ats", "_size", "_starts", "_store")

    def __init__(self, store: Store, size: int, starts: array[int], ats: array[int]) -> None:
        self._store = store
        self._size = size
        self._starts = starts  # where each piece begins in the block,
        self._ats = ats  # and where in the file

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: slice) -> bytes:
        if key.start == key.stop:
            return b""
        piece = bisect_right(self._starts, key.start) - 1
        return self._store.read(self._ats[piece] + key.start - self._starts[piece], key.stop - key.start)

    @property
    def nbytes(self) -> int:
        """How many bytes of memory it takes."""
        return getsizeof(self) + getsizeof(self._starts) + getsizeof(self._ats)


class Filing:
    """Tells a log which of its rows lie in a file, and where. Made by ``Log.filing``; ``note`` in order.

    ``places`` is the log's column of places, block << 32 | offset; ``sizes`` has the length of each of its
    sealed blocks, ``blocks`` the blocks; ``sound_rows`` the rows of its ``sounds``.
    """

    def __init__(
        self,
        store: Store,
        *,
        lock: threading.Lock,
        places: Sequence[int],
        sizes: Sequence[int],
        blocks: MutableSequence[bytes],
        sound_rows: Sequence[int],
        sounds: Sequence[Chunk],
    ) -> None:
        self._store = store
        self._lock = lock
        self._places = places
        self._sizes = sizes
        self._blocks = blocks
        self._sound_rows = sound_rows
        self._sounds = sounds
        self._open: dict[int, tuple[array[int], array[int]]] = {}
        self._stay: set[int] = set()

    def note(self, first: int, count: int, frames_at: int | None, sounds_at: Sequence[int]) -> None:
        """Note that ``count`` rows from ``first`` on lie in the file, and let go of what is not needed now.

        Their frames lie end to end from ``frames_at`` on, their sounds at ``sounds_at``. ``frames_at`` is
        None where the file has the frames changed, such as with a key made unreadable: then they stay.
        """
        with self._lock:
            row = bisect_left(self._sound_rows, first)
            for number, at in enumerate(sounds_at, row):
                sound = self._sounds[number]
                if isinstance(sound, Sound):
                    sound.move(self._store, at)
            self._note_frames(first, first + count, frames_at)
            self._release(first + count)

    def _note_frames(self, row: int, end: int, at: int | None) -> None:
        while row < end:
            block, offset = self._places[row] >> 32, self._places[row] & _OFFSET
            starts, ats = self._open.setdefault(block, (array("I"), array("Q")))
            following = bisect_left(self._places, (block + 1) << 32, row, end)
            if at is None:
                self._stay.add(block)
            else:
                starts.append(offset)
                ats.append(at)
                if following < end:
                    at += self._sizes[block] - offset
            row = following

    def _release(self, noted: int) -> None:
        """Let go of the blocks that are sealed and of which every row is noted."""
        for block in sorted(self._open):
            ends_later = noted < len(self._places) and self._places[noted] >> 32 == block
            if block >= len(self._blocks) or ends_later:
                return
            starts, ats = self._open.pop(block)
            if block not in self._stay:
                filed = FiledBlock(self._store, self._sizes[block], starts, ats)
                self._blocks[block] = filed  # type: ignore[call-overload]  # it has all that a log uses
            self._stay.discard(block)
