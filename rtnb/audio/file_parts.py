"""Where the sound files in a file begin and end.

Writers to a pipe leave a false size in a WAV header, and streaming services send each piece of speech as a
whole file, so that what is saved is several files end to end. Their readers stop after the first, or take a
header for sound. So the bounds are found here, from what is there and not from what a header declares.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from rtnb.audio.sources import UnnamedFile

__all__ = ["Part", "find_parts"]

_CHUNK = 1 << 20
_LONGEST = 96  # bytes of the longest pattern below
_MAX_PARTS = 100_000
_MAX_CHUNKS = 1000  # of a WAV file, before its audio

_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # the marker and the header of STREAMINFO (RFC 9639)
_OGG = re.compile(rb"OggS\x00[\x02\x03\x06\x07]")  # a page that begins a logical stream (RFC 3533)
_WAV = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
_WEBM = re.compile(rb"\x1aE\xdf\xa3.{0,64}?(?:webm|matroska)", re.DOTALL)
_MP4 = re.compile(
    rb"\x00\x00\x00[\x10-\x40]ftyp(?:isom|iso[2-9]|mp4[12]|M4[AB] |dash|qt  |avc1|3gp.)", re.DOTALL
)

_OGG_PAGE = 65_307
"""The longest page of Ogg in bytes (RFC 3533)."""

_LINEAR = (1, 3, 6, 7, 0xFFFE)
"""Format tags of PCM, float, A-law, µ-law and extensible: so many bytes are so many seconds."""

_PLACEHOLDER = 0x7FFF_0000
"""From here on a size was never meant: sox writes 0x7FFFF000, others 0x7FFFFFFF and 0xFFFFFFFF."""


@dataclass(frozen=True, slots=True)
class Part:
    """One sound file: its bytes from ``start`` to before ``end``.

    ``sizes`` are offsets of 32-bit sizes in its header, and what they should be. ``declared`` is the length
    in frames that the header declares, if it is more than there is or may be; 0 if it declares none. ``note``
    says what else is missing.
    """

    start: int
    end: int
    sizes: tuple[tuple[int, int], ...] = ()
    declared: int = 0
    note: str = ""

    def open(self, file: UnnamedFile) -> UnnamedFile:
        """Return the part as a file of its own; ``file`` has to stay open."""
        file.seek(0, io.SEEK_END)
        if not self.sizes and self.start == 0 and self.end == file.tell():
            file.seek(0)
            return file
        return UnnamedFile(_Section(file, self))  # type: ignore[arg-type]  # it has what is used


class _Section(io.RawIOBase):
    """A part of an open file, with other sizes in its header."""

    def __init__(self, file: UnnamedFile, part: Part) -> None:
        self._file, self._part, self._at = file, part, 0

    def read(self, size: int = -1, /) -> bytes:
        part = self._part
        left = part.end - part.start - self._at
        size = left if size < 0 else max(min(size, left), 0)
        self._file.seek(part.start + self._at)
        data = bytearray(self._file.read(size))
        for at, value in part.sizes:
            for n, byte in enumerate(value.to_bytes(4, "little")):
                if 0 <= at + n - self._at < len(data):
                    data[at + n - self._at] = byte
        self._at += len(data)
        return bytes(data)

    def seek(self, offset: int, origin: int = 0, /) -> int:
        start = (0, self._at, self._part.end - self._part.start)[origin]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at


def find_parts(file: UnnamedFile) -> list[Part]:
    """Return the sound files in a file, in order; one that covers all of it where no other is found."""
    file.seek(0)
    head = file.read(_LONGEST)
    end = file.seek(0, io.SEEK_END)
    if _WAV.match(head):
        return _wav_parts(file, end)
    if head.startswith((b"FORM", b".snd")):
        return [Part(0, end, declared=_declared(file, head))]
    note = ""
    if head.startswith(b"OggS"):
        starts = _ogg_starts(file, end)
        note = "" if _ogg_ends(file, end) else "cut off: its last page is missing"
    else:
        pattern = next((one for one in (_FLAC, _WEBM, _MP4) if one.match(head)), None)
        starts = [] if pattern is None else list(_found(file, pattern, 0, end))
    bounds = [0, *(start for start in starts if start > 0), end]
    return [Part(start, stop, note=note if stop == end else "") for start, stop in pairwise(bounds)]


def _found(file: UnnamedFile, pattern: re.Pattern[bytes], start: int, end: int) -> Iterator[int]:
    """Yield where a pattern is found between two offsets, in order, with at most ``_MAX_PARTS`` of them."""
    at, count, last = start, 0, -1
    while at < end and count < _MAX_PARTS:
        file.seek(at)
        data = file.read(min(_CHUNK + _LONGEST, end - at))
        if not data:
            return
        for match in pattern.finditer(data):
            if match.start() < _CHUNK and at + match.start() > last:
                last = at + match.start()
                count += 1
                yield last
        at += _CHUNK


def _ogg_starts(file: UnnamedFile, end: int) -> list[int]:
    """Return where the links of a chain begin: streams that are multiplexed begin together."""
    starts, following = [], -1
    for at in _found(file, _OGG, 0, end):
        file.seek(at)
        page = file.read(27 + 255)
        if at != following:
            starts.append(at)
        if len(page) >= 27:
            following = at + 27 + page[26] + sum(page[27 : 27 + page[26]])
    return starts


def _ogg_ends(file: UnnamedFile, end: int) -> bool:
    """Return whether the last page of an Ogg file is whole, and is marked as the last."""
    first = max(0, end - _OGG_PAGE)
    file.seek(first)
    data = file.read(end - first)
    at = data.rfind(b"OggS\x00")
    page = data[at : at + 27 + 255]
    if at < 0 or len(page) < 27:
        return False
    size = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return bool(page[5] & 4) and at + size <= len(data)


def _wav_parts(file: UnnamedFile, end: int) -> list[Part]:
    parts: list[Part] = []
    start = 0
    while start < end and len(parts) < _MAX_PARTS:
        part = _wav_part(file, start, end)
        parts.append(part)
        start = part.end
    return parts


def _wav_part(file: UnnamedFile, start: int, end: int) -> Part:
    data = _wav_data(file, start, end)
    if data is None:
        return Part(start, end)
    at, size, width = data
    left = end - at
    # A size of 0 is left by a writer to a pipe or by a program that crashed, unless the file goes on.
    if size <= left and (size or not left or _is_chunk(file, at, end)):
        following = _after(file, at + size, end)
        return Part(start, end if following is None else following)
    stop = next(_found(file, _WAV, at, end), end)
    declared = size // width if width and 0 < size < _PLACEHOLDER else 0
    if declared <= (stop - at) // (width or 1):
        declared = 0
    sizes = ((4, stop - start - 8), (at - 4 - start, stop - at))
    return Part(start, stop, tuple((where, min(value, 0xFFFF_FFFE)) for where, value in sizes), declared)


def _wav_data(file: UnnamedFile, start: int, end: int) -> tuple[int, int, int] | None:
    """Return where a WAV file's audio begins, its declared size, and the bytes of a frame (0: not linear)."""
    at, width = start + 12, 0
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return None
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return at + 8, size, width
        if head[:4] == b"fmt ":
            fmt = file.read(16)
            linear = int.from_bytes(fmt[:2], "little") in _LINEAR
            width = int.from_bytes(fmt[12:14], "little") if linear else 0
        at += 8 + size + size % 2
        if at >= end:
            return None
    return None


def _is_chunk(file: UnnamedFile, at: int, end: int) -> bool:
    """Return whether a chunk of a WAV file is at an offset: a name, and a size that fits."""
    file.seek(at)
    head = file.read(8)
    named = len(head) == 8 and head[:4].isascii() and head[:4].decode("latin-1").isprintable()
    return named and int.from_bytes(head[4:8], "little") <= end - at - 8


def _after(file: UnnamedFile, at: int, end: int) -> int | None:
    """Return where another WAV file begins, right after the audio or after more chunks; None if none does."""
    for _ in range(_MAX_CHUNKS):
        for pad in (0, 1):
            file.seek(at + pad)
            if _WAV.match(file.read(12)):
                return at + pad
        at += at % 2
        if at >= end or not _is_chunk(file, at, end):
            return None
        file.seek(at + 4)
        at += 8 + int.from_bytes(file.read(4), "little")
    return None


def _declared(file: UnnamedFile, head: bytes) -> int:
    """Return how many frames an AIFF or AU header declares; 0 if that is unknown."""
    if head.startswith(b".snd"):
        size, encoding, _, channels = (int.from_bytes(head[at : at + 4], "big") for at in (8, 12, 16, 20))
        width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding, 0) * channels
        return size // width if width and size < _PLACEHOLDER else 0
    at = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        chunk = file.read(14)
        if chunk[:4] == b"COMM":
            return int.from_bytes(chunk[10:14], "big")
        if len(chunk) < 14:
            break
        size = int.from_bytes(chunk[4:8], "big")
        at += 8 + size + size % 2
    return 0
