"""Blocks and audio of a log that are freed once they are in a file, such as the autosave file.

In the file, frames stand between other text, and with the base64 that the log has cut out of them. So a block
is a list of spans.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import MutableSequence, Sequence
from sys import getsizeof
from typing import Any, Protocol

from msgspec import Struct
from pybase64 import b64encode

__all__ = ["Chunk", "Cut", "Sound", "Span", "SpilledBlock", "SpilledBlocks", "Store", "cut", "find_cut"]

_SIZE_BITS = 32
_SIZE = (1 << _SIZE_BITS) - 1


class Store(Protocol):
    """Bytes that are stored elsewhere, never change, and can be read from any thread."""

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes at the offset ``at``."""


class Sound(Struct, eq=False, gc=False):
    """The decoded audio of one frame, shared by the log, the conversation and the input buffer.

    ``bytes()`` returns it; ``len()`` is its size and does not read it. It equals other audio, and bytes, of
    the same content. A copy, also a pickled one, has the bytes itself.
    """

    _held: bytes | Store
    _place: int = 0  # in a store: at << _SIZE_BITS | size

    def move(self, store: Store, at: int) -> None:
        """Free the bytes; from now on they are read from ``store`` at the offset ``at``."""
        self._place = at << _SIZE_BITS | len(self)
        self._held = store  # last: a reader on another thread sees the old or the new state

    @property
    def nbytes(self) -> int:
        """The memory that it takes, in bytes."""
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

    __hash__ = None  # type: ignore[assignment]  # it equals bytes, and their hash would have to be read

    def __reduce__(self) -> tuple[Any, ...]:
        return Sound, (bytes(self),)

    def __repr__(self) -> str:
        return f"Sound({len(self):,} bytes)"


class _Slice(Sound, eq=False, gc=False, kw_only=True):
    """A part of another one, such as a turn's part of the appended audio."""

    _held: bytes | Store = b""
    _whole: Sound
    _start: int
    _stop: int

    def __len__(self) -> int:
        return self._stop - self._start

    def __bytes__(self) -> bytes:
        return bytes(self._whole)[self._start : self._stop]


Chunk = bytes | Sound
"""Encoded audio, as in the content parts of items."""


def cut(chunk: Chunk, start: int, stop: int) -> Chunk:
    """Return a part of a chunk, 0 ≤ start ≤ stop ≤ its length, without reading or copying audio."""
    if (start, stop) == (0, len(chunk)):
        return chunk
    if isinstance(chunk, bytes):
        return chunk[start:stop]
    if isinstance(chunk, _Slice):
        return _Slice(_whole=chunk._whole, _start=chunk._start + start, _stop=chunk._start + stop)
    return _Slice(_whole=chunk, _start=start, _stop=stop)


class Cut(Struct, gc=False):
    """Base64 that a log leaves out: its ``start`` and ``end`` in the frame, and the ``size`` of its audio."""

    start: int
    end: int
    size: int
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
    return Cut(start, end, len(data), audio if isinstance(audio, Sound) else Sound(data))


_OFFSET = (1 << 32) - 1


Span = tuple[int, int]
"""A part of a frame in a file: its offset in the frame, and in the file; it ends where the next begins."""


class SpilledBlock:
    """A block of frames in a file, with the methods of ``bytes`` that a log uses: length and slices."""

    __slots__ = ("_ats", "_size", "_starts", "_store")

    def __init__(self, store: Store, size: int, starts: array[int], ats: array[int]) -> None:
        self._store = store
        self._size = size
        self._starts = starts  # offsets of the spans in the block,
        self._ats = ats  # and in the file

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: slice) -> bytes:
        at, stop = key.start, key.stop
        if at == stop:
            return b""
        span, parts = bisect_right(self._starts, at) - 1, []
        while at < stop:
            end = min(stop, self._starts[span + 1]) if span + 1 < len(self._starts) else stop
            if end > at:
                parts.append(self._store.read(self._ats[span] + at - self._starts[span], end - at))
            at, span = end, span + 1
        return b"".join(parts)

    @property
    def nbytes(self) -> int:
        """The memory that it takes, in bytes."""
        return getsizeof(self) + getsizeof(self._starts) + getsizeof(self._ats)


class SpilledBlocks:
    """Frees rows of a log that are in a file. Made by ``Log.spill``; call ``note`` in the order of rows.

    ``store`` has the frames, ``sound_store`` the audio. ``places`` is the log's column of places, block << 32
    | offset; ``sizes`` has the length of each full block, ``blocks`` the blocks; ``sound_rows`` the rows of
    its ``sounds``.
    """

    def __init__(
        self,
        store: Store,
        sound_store: Store,
        *,
        lock: threading.Lock,
        places: Sequence[int],
        sizes: Sequence[int],
        blocks: MutableSequence[bytes],
        sound_rows: Sequence[int],
        sounds: Sequence[Chunk],
    ) -> None:
        self._store = store
        self._sound_store = sound_store
        self._lock = lock
        self._places = places
        self._sizes = sizes
        self._blocks = blocks
        self._sound_rows = sound_rows
        self._sounds = sounds
        self._open: dict[int, tuple[array[int], array[int]]] = {}
        self._in_memory: set[int] = set()

    def note(
        self, first: int, spans: Sequence[Sequence[Span] | None], sounds_at: Sequence[int | None]
    ) -> None:
        """Note that the rows from ``first`` on are in the file, and free their memory.

        ``spans`` are those of each stored frame, ``sounds_at`` where the audio is that was cut out of some of
        them. None is for what the file has in another form, such as with a redacted key: that stays in
        memory.
        """
        with self._lock:
            row = bisect_left(self._sound_rows, first)
            for number, at in enumerate(sounds_at, row):
                sound = self._sounds[number]
                if at is not None and isinstance(sound, Sound):
                    sound.move(self._sound_store, at)
            for row, of_frame in enumerate(spans, first):
                place = self._places[row]
                block, offset = place >> 32, place & _OFFSET
                if of_frame is None:
                    self._in_memory.add(block)
                    continue
                starts, ats = self._open.setdefault(block, (array("I"), array("Q")))
                for start, at in of_frame:
                    starts.append(offset + start)
                    ats.append(at)
            self._release(first + len(spans))

    def _release(self, noted: int) -> None:
        """Free the full blocks of which every row is noted."""
        for block in sorted(self._open.keys() | self._in_memory):
            ends_later = noted < len(self._places) and self._places[noted] >> 32 == block
            if block >= len(self._blocks) or ends_later:
                return
            starts, ats = self._open.pop(block, (array("I"), array("Q")))
            if block not in self._in_memory:
                spilled = SpilledBlock(self._store, self._sizes[block], starts, ats)
                self._blocks[block] = spilled  # type: ignore[call-overload]  # it has all methods that a log uses
            self._in_memory.discard(block)
