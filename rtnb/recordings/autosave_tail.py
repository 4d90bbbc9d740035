"""The newest frames of a session in memory that outlives its process, until they are written to its autosave.

A thread that writes has to wait for the interpreter, and while a cell computes it is late by tens of
milliseconds. So each frame is first copied into a file that is mapped into memory: that takes a microsecond,
makes no system call, and what is there survives a killed process, as the system keeps it. There are two such
files, used in turns: one is overwritten as soon as all that is in it is also in ``events.jsonl``. If neither
has room, frames are safe a little later, when they are written.

A file is a list of records, each u32 length (0 after the last one) and a body: u32 index of the event, u8
(1 from the server, 2 with a key redacted), i64 time in ns since the first event, i64 wall clock in ns since
1970, i32 turn, u16 length of the type, u32 length of the frame, u32 where the base64 of audio was cut out of
it, u32 length of the audio; then the type, the frame and the audio. All is little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pybase64 import b64encode

from ..protocol.entries import Appended
from ..redaction import redact
from .event_lines import WITH_AUDIO, prefix, verbatim
from .format import Damaged
from .zip_files import Member

__all__ = ["Tail", "tail_lines"]

_NAMES = ("tail-0.bin", "tail-1.bin")
_SIZE = 2 << 20
_LENGTH = struct.Struct("<I")
_BODY = struct.Struct("<IBqqiHIII")
_SERVER, _REDACTED = 1, 2
_MAX_FRAME = 64 << 10
"""Bytes; looking for keys in a longer frame takes the session's thread too long, so it is written later."""


class Tail:
    """Keeps frames until they are written. ``append`` is called by the session, the rest by its autosave."""

    def __init__(self, folder: Path, keys: Iterable[str]) -> None:
        self._keys = tuple(keys)
        self._known = [key.encode() for key in self._keys]
        self.written = 0
        """How many events are in ``events.jsonl``."""
        self._maps = []
        for name in _NAMES:
            with open(folder / name, "xb+") as file:
                # Not sparse: where the disk is full, this fails, and not the first use of a page (SIGBUS).
                file.write(bytes(_SIZE))
                file.flush()
                self._maps.append(mmap.mmap(file.fileno(), _SIZE))
        self._current = self._at = 0
        self._last = [-1, -1]  # the last event in each

    def append(self, event: Appended) -> None:
        """Keep an event, if there is room."""
        type, frame, redacted = event.type.encode("utf-8", "surrogatepass"), event.frame, False
        if len(frame) > _MAX_FRAME or len(type) >= 1 << 16:
            return
        # A frame with audio has nothing but ids beside it: looking for keys of any shape would take longest.
        if event.type not in WITH_AUDIO or any(key in frame for key in self._known):
            frame, spans = redact(frame, self._keys)
            redacted = bool(spans)
        audio = bytes(event.cut.audio) if event.cut is not None else b""
        size = _BODY.size + len(type) + len(frame) + len(audio)
        end = self._at + _LENGTH.size + size
        if end + _LENGTH.size > _SIZE:
            other = 1 - self._current
            end = _LENGTH.size + size
            if self._last[other] >= self.written or end + _LENGTH.size > _SIZE:
                return
            self._current, self._at = other, 0
            _LENGTH.pack_into(self._maps[other], 0, 0)
        held, start = self._maps[self._current], self._at + _LENGTH.size
        flags = (_SERVER if event.direction == "server" else 0) | (_REDACTED if redacted else 0)
        at = event.cut.start if event.cut is not None else 0
        lengths = (len(type), len(frame), at, len(audio))
        _BODY.pack_into(held, start, event.row, flags, event.t_ns, event.wall_ns, event.turn, *lengths)
        held[start + _BODY.size : end] = b"".join((type, frame, audio))
        _LENGTH.pack_into(held, end, 0)
        _LENGTH.pack_into(held, self._at, size)  # last: from now on it counts
        self._last[self._current] = event.row
        self._at = end

    def close(self) -> None:
        """Release the memory."""
        for held in self._maps:
            held.close()


def tail_lines(members: Mapping[str, Member], first: int) -> Iterator[bytes]:
    """Yield the lines of the events from ``first`` on that an autosave has in its tail only."""
    found: dict[int, bytes] = {}
    for name in _NAMES:
        if name in members:
            with suppress(Damaged):
                found.update(_lines(members[name].read(_SIZE), first))
    while first in found:
        yield found[first]
        first += 1


def _lines(data: bytes, first: int) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _LENGTH.size <= len(data):
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if size < _BODY.size or at + size > len(data):
            return
        index, flags, t_ns, wall_ns, turn, of_type, of_frame, cut, of_audio = _BODY.unpack_from(data, at)
        start, at = at + _BODY.size, at + size
        if of_type + of_frame + of_audio != size - _BODY.size or index < first:
            continue
        type = data[start : start + of_type].decode("utf-8", "replace")
        frame = data[start + of_type : start + of_type + of_frame]
        audio = data[start + of_type + of_frame : at]
        if audio:
            frame = frame[:cut] + b64encode(audio) + frame[cut:]
        redacted = bool(flags & _REDACTED)
        line = prefix(t_ns, bool(flags & _SERVER), turn, wall_ns=wall_ns, redacted=redacted)
        yield index, b"".join((line, *verbatim(frame, type)))
