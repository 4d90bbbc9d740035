"""The files of a recording: in a zip, also one that was cut, or in a folder.

The zip is written so that its parts can be read alone: ``events.jsonl`` is deflated in blocks, each of which
can be unpacked without those before it (a full flush, RFC 1951 section 3.2.4), audio is stored unpacked, and
the local headers carry sizes, so that a zip without its directory, which stands at the end, is still read.
"""

from __future__ import annotations

import io
import mmap
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Self

from ..errors import RecordingError
from ..paths import opened, short, unreadable
from .format import EVENTS, Damaged

__all__ = ["Files", "Member", "Packer", "Section", "ZipWriter", "inflate", "open_files", "size_of"]

_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_MAGIC = b"PK\x03\x04"
_DEFLATED = zipfile.ZIP_DEFLATED
_NAME = re.compile(rb"README\.txt|manifest\.json|events\.jsonl|(?:audio|columns)/[\w.-]{1,80}")
_PIECE = 1 << 20
_MAX_MEMBERS = 4096


class Packer:
    """Deflates text into a file, in blocks that can be unpacked alone."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        self.size = 0
        """Bytes, before packing."""
        self.stored = 0
        self.crc = 0

    def block(self, text: bytes) -> tuple[int, int, int]:
        """Write a block; return its length in bytes as stored and unpacked, and its CRC-32."""
        packed = self._deflate.compress(text) + self._deflate.flush(zlib.Z_FULL_FLUSH)
        self._write(packed)
        self.crc = zlib.crc32(text, self.crc)
        self.size += len(text)
        return len(packed), len(text), zlib.crc32(text)

    def end(self) -> None:
        """Write the end of the deflated stream."""
        self._write(self._deflate.flush())

    def _write(self, packed: bytes) -> None:
        self._file.write(packed)
        self.stored += len(packed)


class ZipWriter:
    """Writes the members of a zip, always the same bytes for the same content."""

    def __init__(self, file: IO[bytes], date: tuple[int, int, int, int, int, int]) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file, "w")
        self._date = date

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, self._date)
        info.create_system, info.external_attr = 3, 0o644 << 16
        return info

    def add(self, name: str, data: bytes, *, deflate: bool = True) -> None:
        """Add a member from memory."""
        info = self._info(name)
        method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
        self._zip.writestr(info, data, method, 9 if deflate else None)

    def add_file(self, name: str, file: IO[bytes], size: int) -> None:
        """Add a member from an open file, from its start on, as it is."""
        info = self._info(name)
        file.seek(0)
        with self._zip.open(info, "w", force_zip64=size >= zipfile.ZIP64_LIMIT) as out:
            while data := file.read(_PIECE):
                out.write(data)

    def add_packed(self, name: str, file: IO[bytes], packer: Packer) -> None:
        """Add a member that is deflated already."""
        self.add_file(name, file, packer.size)
        # It was written as what it is, bytes; now both headers say what they unpack to.
        info = self._zip.getinfo(name)
        info.compress_type, info.file_size, info.CRC = zipfile.ZIP_DEFLATED, packer.size, packer.crc
        self._file.seek(info.header_offset)
        self._file.write(info.FileHeader(zip64=packer.size >= zipfile.ZIP64_LIMIT))
        self._file.seek(0, os.SEEK_END)

    def add_unpacked(self, name: str, file: IO[bytes], packer: Packer) -> None:
        """Add a member that is deflated already as what it unpacks to."""
        unpack = zlib.decompressobj(-zlib.MAX_WBITS)
        file.seek(0)
        with self._zip.open(self._info(name), "w", force_zip64=packer.size >= zipfile.ZIP64_LIMIT) as out:
            while data := unpack.unconsumed_tail or file.read(_PIECE):
                out.write(unpack.decompress(data, _PIECE))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self._zip.fp = None  # the file is thrown away: no directory is written
        self._zip.close()  # which writes the directory


class Member(NamedTuple):
    """A file of a recording: ``stored`` bytes from ``at`` on in the file ``path``."""

    path: Path
    at: int
    stored: int
    size: int
    """Bytes of its content. ``stored`` is less where it is deflated, or where it was cut."""
    crc: int | None
    """Of its content; None in a folder."""
    deflated: bool
    whole: bool = True
    """Whether nothing of it was cut."""

    def section(self, at: int = 0, size: int | None = None) -> Section:
        """Open a part of what is stored. Raises RecordingError."""
        most = max(self.stored - at, 0)
        return Section(self.path, self.at + at, most if size is None else min(size, most))

    def read(self, most: int) -> bytes:
        """Return its content. Raises Damaged if it is not what was written, or more than ``most`` bytes."""
        if self.size > most:
            raise Damaged(f"declares {self.size:,} bytes, expected at most {most:,}")
        with self.section() as file:
            data = file.read()
        if self.deflated:
            data = inflate(data, self.size)
        if len(data) != self.size or (self.crc is not None and zlib.crc32(data) != self.crc):
            raise Damaged("differs from what was written")
        return data

    def is_intact(self) -> bool:
        """Return whether its content has the checksum of the zip; False in a folder, which has none."""
        crc = 0
        try:
            for data in self.content():
                crc = zlib.crc32(data, crc)
        except Damaged:
            return False
        return crc == self.crc

    def content(self) -> Iterator[bytes]:
        """Yield its content in pieces; where it cannot be unpacked, what comes before. Raises Damaged."""
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS) if self.deflated else None
        with self.section() as file:
            while data := file.read(_PIECE):
                if unpacker is None:
                    yield data
                    continue
                while data and not unpacker.eof:
                    try:
                        yield unpacker.decompress(data, _PIECE)
                    except zlib.error as error:
                        raise Damaged(f"cannot be unpacked ({error})") from None
                    data = unpacker.unconsumed_tail


def inflate(data: bytes, size: int) -> bytes:
    """Return what deflated data unpacks to, at most ``size`` bytes. Raises Damaged."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size) if size else b""
    except zlib.error as error:
        raise Damaged(f"cannot be unpacked ({error})") from None


class Section(io.RawIOBase):
    """A part of a file, as a file that can be read and sought. Raises RecordingError."""

    def __init__(self, path: Path, at: int, size: int) -> None:
        self._file = opened(path)
        self._path, self._start, self._size, self._at = path, at, size, 0

    def readable(self) -> bool:
        """Return whether it can be read: always True."""
        return True

    def seekable(self) -> bool:
        """Return whether it can be sought: always True."""
        return True

    def tell(self) -> int:
        """Return the position in the part."""
        return self._at

    def seek(self, offset: int, origin: int = os.SEEK_SET) -> int:
        """Move to a position in the part, and return it."""
        base = (0, self._at, self._size)[origin]
        self._at = max(base + offset, 0)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, at most ``size`` if it is not negative."""
        most = max(self._size - self._at, 0)
        count = most if size is None or size < 0 else min(size, most)
        try:
            self._file.seek(self._start + self._at)
            data = self._file.read(count)
        except OSError as error:
            raise RecordingError(unreadable(self._path, error)) from None
        self._at += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with the next bytes, and return how many there were."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close it."""
        self._file.close()
        super().close()


class Files(NamedTuple):
    """The files of a recording, by name. ``cut``: it is a zip without its directory."""

    members: dict[str, Member]
    cut: bool = False


def open_files(path: Path) -> Files:
    """List the files of a recording. Raises RecordingError if it cannot be read."""
    try:
        if path.is_dir():
            return Files(_in_folder(path))
        if path.exists() and not path.is_file():
            raise RecordingError(f"{short(path)} is not a file: expected a recording")
        with opened(path) as file:
            members = _listed(path, file)
            if members is None or EVENTS not in members:
                found = _found(path, file)
                if members is None or EVENTS in found:
                    return Files(found, True)
            return Files(members)
    except OSError as error:
        raise RecordingError(unreadable(path, error)) from None


def size_of(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, in bytes. Raises RecordingError."""
    try:
        if path.is_dir():
            return sum(member.stored for member in _in_folder(path).values())
        return path.stat().st_size
    except OSError as error:
        raise RecordingError(unreadable(path, error)) from None


def _in_folder(path: Path) -> dict[str, Member]:
    found = {}
    for file in sorted([*path.glob("*"), *path.glob("audio/*"), *path.glob("columns/*")])[:_MAX_MEMBERS]:
        if file.is_file():
            size = file.stat().st_size
            found[file.relative_to(path).as_posix()] = Member(file, 0, size, size, None, False)
    return found


def _listed(path: Path, file: IO[bytes]) -> dict[str, Member] | None:
    """Return the members in the directory of a zip; None if it has none that agrees with its headers."""
    end = os.fstat(file.fileno()).st_size
    members: dict[str, Member] = {}
    try:
        with zipfile.ZipFile(file) as listed:
            if len(listed.infolist()) > _MAX_MEMBERS:
                return None
            for info in listed.infolist():
                if info.header_offset < 0:
                    return None
                file.seek(info.header_offset)
                head = file.read(_LOCAL.size).ljust(_LOCAL.size)
                *_, of_name, of_extra = _LOCAL.unpack(head)
                name = info.orig_filename.encode()
                if file.read(len(name)) != name or of_name != len(name):
                    of_name, of_extra = len(name), 0  # its header is damaged, not its content
                at = info.header_offset + _LOCAL.size + of_name + of_extra
                if at + info.compress_size > end:
                    return None
                deflated = info.compress_type == _DEFLATED
                if not deflated and info.compress_type != zipfile.ZIP_STORED:
                    return None
                size = info.file_size
                members[info.filename] = Member(path, at, info.compress_size, size, info.CRC, deflated)
    except (zipfile.BadZipFile, ValueError, struct.error, OverflowError, NotImplementedError, EOFError):
        return None
    return members


def _found(path: Path, file: IO[bytes]) -> dict[str, Member]:
    """Return the members that have a local header, from the start of a zip on."""
    members: dict[str, Member] = {}
    end = os.fstat(file.fileno()).st_size
    if not end:
        return members
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_LOCAL_MAGIC)
        while 0 <= at <= end - _LOCAL.size and len(members) < _MAX_MEMBERS:
            named = _member(path, data, at)
            following = at + len(_LOCAL_MAGIC)
            if named is not None:
                name, member = named
                members.setdefault(name, member)
                following = member.at + member.stored if member.whole else member.at
            at = data.find(_LOCAL_MAGIC, following)
    return members


def _member(path: Path, data: mmap.mmap, at: int) -> tuple[str, Member] | None:
    """Return the name of a member and the member, if its local header is at this offset."""
    _, _, _, method, _, _, crc, stored, size, of_name, of_extra = _LOCAL.unpack_from(data, at)
    name = data[at + _LOCAL.size : at + _LOCAL.size + of_name]
    start = at + _LOCAL.size + of_name + of_extra
    if not _NAME.fullmatch(name) or method not in (zipfile.ZIP_STORED, _DEFLATED) or start > len(data):
        return None
    extra = data[start - of_extra : start]
    if size == stored == 0xFFFFFFFF and extra[:4] == b"\x01\x00\x10\x00" and len(extra) >= 20:
        size, stored = struct.unpack_from("<QQ", extra, 4)
    whole = stored <= len(data) - start
    held = min(stored, len(data) - start)
    return name.decode(), Member(path, start, held, size, crc, method == _DEFLATED, whole)
