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
from typing import NamedTuple, Protocol

from pybase64 import b64encode

__all__ = ["Chunk", "Cut", "Sound", "SpilledBlock", "SpilledBlocks", "Store", "cut", "find_cut"]

_SIZE_BITS = 32
_SIZE = (1 << _SIZE_BITS) - 1


class Store(Protocol):
    """Bytes that lie somewhere else, never change, and can be read from any thread."""

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from the place ``at``."""


class Sound:
    """The decoded sound of one frame. The log, the conversation and the input buffer share it.

    ``bytes(sound)`` gives it, ``len(sound)`` its bytes without reading them. It is equal to other sound, and
    to bytes, of the same content.
    """

    __slots__ = ("_held", "_place")

    def __init__(self, data: bytes) -> None:
        self._held: bytes | Store = data
        self._place = 0  # in a store: at << _SIZE_BITS | size

    def move(self, store: Store, at: int) -> None:
        """Let go of the bytes: from now on they are read from ``store``, where they begin at ``at``."""
        self._place = at << _SIZE_BITS | len(self)
        self._held = store  # last, so that a reader on another thread finds either whole

    @property
    def nbytes(self) -> int:
        """How many bytes of memory it takes."""
        held = self._held
        return getsizeof(self) + getsizeof(held if isinstance(held, bytes) else self._place)

    def __len__(self) -> int:
        held = self._held
        return len(held) if isinstance(held, bytes) else self._place & _SIZE

    def __bytes__(self) -> bytes:
        held = self._held
        if isinstance(held, bytes):
            return held
        return held.read(self._place >> _SIZE_BITS, self._place & _SIZE)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (bytes, Sound)):
            return len(self) == len(other) and bytes(self) == bytes(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal to bytes, whose hash would have to be read

    def __repr__(self) -> str:
        return f"Sound({len(self):,} bytes)"


class _Slice(Sound):
    """A part of a sound: of what was appended, the piece that a turn was cut from."""

    __slots__ = ("_start", "_stop", "_whole")

    def __init__(self, whole: Sound, start: int, stop: int) -> None:
        super().__init__(b"")
        self._whole, self._start, self._stop = whole, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __bytes__(self) -> bytes:
        return bytes(self._whole)[self._start : self._stop]


Chunk = bytes | Sound
"""Encoded sound, as the parts of items hold it."""


def cut(chunk: Chunk, start: int, stop: int) -> Chunk:
    """Return a part of a chunk, 0 ≤ start ≤ stop ≤ its length; nothing is copied, and nothing read."""
    if (start, stop) == (0, len(chunk)):
        return chunk
    if isinstance(chunk, bytes):
        return chunk[start:stop]
    if isinstance(chunk, _Slice):
        return _Slice(chunk._whole, chunk._start + start, chunk._start + stop)
    return _Slice(chunk, start, stop)


class Cut(NamedTuple):
    """Base64 that a log leaves out of a frame: the bytes from ``start`` to ``end``, and its audio."""

    start: int
    end: int
    audio: Sound


_LEAST = 64  # shorter base64 is not worth a row of its own


def find_cut(frame: bytes, encoded: str, audio: Chunk) -> Cut | None:
    """Return where the base64 of ``audio`` stands in a frame; None where it would not come back exactly.

    It may stand there with escapes inside, or something else that begins alike, such as silence; and its last
    four characters may not be the canonical ones.
    """
    raw, data = encoded.encode(), bytes(audio)
    start = frame.find(b'"' + raw[:32]) + 1
    end = start + len(raw)
    rest = len(data) % 3 or 3
    whole = start and frame.startswith(raw, start) and frame[end : end + 1] == b'"'
    if not whole or len(raw) < _LEAST or b64encode(data[-rest:]) != raw[-4:]:
        return None
    return Cut(start, end, audio if isinstance(audio, Sound) else Sound(data))


_OFFSET = (1 << 32) - 1


class SpilledBlock:
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


class SpilledBlocks:
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
                filed = SpilledBlock(self._store, self._sizes[block], starts, ats)
                self._blocks[block] = filed  # type: ignore[call-overload]  # it has all that a log uses
            self._stay.discard(block)
