"""Sound of a frame: in memory until it lies safely in a file, and read from there when it is asked for."""

from __future__ import annotations

from sys import getsizeof
from typing import Protocol

__all__ = ["Chunk", "Sound", "Store", "cut"]

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
