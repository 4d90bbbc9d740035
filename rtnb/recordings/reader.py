"""Reading a recording: its chunks found at once, frames and sound unpacked when they are asked for."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import orjson
from numpy.typing import NDArray

from ..analysis.event_jsonl import read
from ..errors import RecordingError
from ..protocol.entries import Columns
from ..protocol.log import Log
from ..protocol.read_only_log import ReadOnlyLog
from . import format
from .format import Damaged

__all__ = ["LinesReader", "Reader", "are_lines", "refuse_lines"]

_SUFFIXES = (".jsonl", ".ndjson")
_TOLD = {"where": str, "engine": str, "billed": bool, "model": str, "stated_model": str}


def are_lines(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is JSON Lines, by its name."""
    return Path(path).suffix.lower() in _SUFFIXES


def refuse_lines(path: str | os.PathLike[str], why: str) -> None:
    """Raise RecordingError for JSON Lines, where only a recording's own file will do."""
    if are_lines(path):
        raise RecordingError(
            f"{Path(path).name!r} is JSON Lines, {why}. What works on it: "
            "rtnb info, replay, diff, export, report and scrub"
        )


class LinesReader:
    """What a `Reader` is to a recording, for a file of JSON Lines. Raises RecordingError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self.state, told = read(path)
        self.head: dict[str, Any] = {
            name: told[name] for name, kind in _TOLD.items() if isinstance(told.get(name), kind)
        }
        self.problem: str | None = None
        self.redacted: list[int] = []

    @property
    def log(self) -> Log:
        """Every frame, both directions."""
        return self.state.log


_KEPT = 6  # groups whose frames, and whose sound, stay unpacked
_ANY = re.compile(b"|".join(format.KINDS))
_MOST_SOUND = 1 << 30


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where a chunk lies in the file: ``at`` its first byte, ``length`` of its payload."""

    kind: bytes
    at: int
    length: int
    crc: int

    @property
    def end(self) -> int:
        """The place after it."""
        return self.at + format.CHUNK.size + self.length


@dataclass(slots=True)
class _Piece:
    """Sound in the file: a piece of a lane."""

    offset: int
    size: int
    type: str
    chunk: Chunk


@dataclass(slots=True)
class _Lane:
    starts: list[int] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)


class Reader:
    """One recording file. It holds no file open: each look opens it, so that it may be moved or removed.

    ``problem`` says in a sentence what is wrong with the file, where that was no reason to refuse it: it was
    cut or never ended, or ``repair`` left out what is damaged. Raises RecordingError.
    """

    def __init__(self, path: str | os.PathLike[str], *, repair: bool = False) -> None:
        self.path = Path(path).absolute()
        self.repair = repair
        self.problem: str | None = None
        self.lost: list[str] = []
        """What ``repair`` left out, one sentence each."""
        self.head: dict[str, Any] = {}
        self.tail: dict[str, Any] | None = None
        self.redacted: list[int] = []
        """The events whose frames held a key when they were written."""
        self.chunks: list[Chunk] = []
        self._groups: list[tuple[Chunk, Columns]] = []
        self._lanes: dict[int, _Lane] = {}
        self._frames: OrderedDict[int, bytes] = OrderedDict()
        self._sounds: OrderedDict[int, bytes] = OrderedDict()
        places: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []
        try:
            with open(self.path, "rb") as file:
                self.size = os.fstat(file.fileno()).st_size
                self._check_magic(file)
                self._index(file, places)
        except FileNotFoundError:
            raise RecordingError(f"{self._name}: No such file in {self.path.parent}") from None
        except OSError as error:
            raise RecordingError(f"{self._name} cannot be read: {error.strerror or error}") from None
        self._lane_of = np.concatenate([lanes for lanes, _ in places]) if places else np.zeros(0, np.uint8)
        self._place_of = np.concatenate([p for _, p in places]) if places else np.zeros(0, np.int64)
        sizes = [piece.sound_lengths for _, piece in self._groups]
        self._size_of = np.concatenate(sizes).astype(np.int64) if sizes else np.zeros(0, np.int64)
        pieces = [piece for _, piece in self._groups]
        blocks, sounds = _Asked(len(pieces), self._block), _Asked(len(self._lane_of), self._sound)
        self.log = ReadOnlyLog(pieces, blocks, sounds)
        if self.tail is not None and self.tail.get("events") != len(self.log) and not self.problem:
            self._wrong(f"has {len(self.log):,} events where its end tells {self.tail.get('events')!r:.20}")
        if self.lost:
            self.problem = f"{self._name} was repaired: " + "; ".join(self.lost)

    @property
    def _name(self) -> str:
        return repr(self.path.name)

    def _wrong(self, what: str) -> None:
        """Note what is left out, or refuse the file."""
        if not self.repair:
            raise RecordingError(
                f"{self._name} is damaged: it {what}. What is whole of it:  "
                f"rtnb recover {self.path.name} OUT.rtnb"
            )
        self.lost.append(f"it {what}")

    def _check_magic(self, file: BinaryIO) -> None:
        start = file.read(len(format.MAGIC))
        if not start:
            raise RecordingError(f"{self._name} is empty (0 bytes): it is no recording")
        if start[:4] != format.MAGIC[:4]:
            raise RecordingError(f"{self._name} is no rtnb recording: it begins with {start[:4]!r}")
        if len(start) < len(format.MAGIC):
            raise RecordingError(f"{self._name} was cut after {len(start)} bytes: nothing is left in it")
        if start[4] > format.VERSION and start[5:] == format.MAGIC[5:]:
            raise RecordingError(
                f"{self._name} has format {start[4]}, and this rtnb reads up to {format.VERSION}: "
                "run  pip install -U rtnb"
            )
        if start != format.MAGIC:
            self._wrong("has a wrong byte in its first eight")

    # Finding the chunks.

    def _index(self, file: BinaryIO, places: list[Any]) -> None:
        at = len(format.MAGIC)
        while at < self.size:
            chunk = self._chunk(file, at)
            if chunk is None:
                at = self._after_damage(file, at)
                continue
            try:
                self._take(file, chunk, places)
            except Damaged as error:
                self._wrong(f"has a {chunk.kind.decode()} chunk at byte {chunk.at:,} that {error}")
                if not _whole(file, chunk):  # its length may be what is wrong
                    at = self._resync(file, at + 1)
                    continue
            at = chunk.end
        if not self.head and not self.lost:
            raise RecordingError(f"{self._name} was cut before its first event: nothing is left in it")
        if self.tail is None and self.problem is None:
            autosave = (self.head.get("capture") or {}).get("spool")
            self.problem = (
                f"{self._name} is a spool that was never ended" if autosave else f"{self._name} was cut"
            ) + f": {sum(len(piece) for _, piece in self._groups):,} events of it are whole"

    def _chunk(self, file: BinaryIO, at: int) -> Chunk | None:
        """Return the chunk at a place; None where none can be."""
        file.seek(at)
        start = file.read(format.CHUNK.size)
        if len(start) < format.CHUNK.size:
            return None
        kind, length, crc = format.CHUNK.unpack(start)
        chunk = Chunk(kind, at, length, crc)
        return chunk if kind.isalpha() and kind.isupper() and chunk.end <= self.size else None

    def _after_damage(self, file: BinaryIO, at: int) -> int:
        """Return where whole chunks go on. A file whose last chunk is not whole, and no more, was cut."""
        following = self._resync(file, at + 1)
        if following < self.size:
            self._wrong(f"makes no sense from byte {at:,} to {following:,}")
        elif self.tail is not None:
            self._wrong(f"has {self.size - at:,} bytes after its end")
        return following

    def _resync(self, file: BinaryIO, at: int) -> int:
        """Return the place of the next whole chunk from ``at`` on, or the end."""
        file.seek(at)
        data = file.read()
        for match in _ANY.finditer(data):
            chunk = self._chunk(file, at + match.start())
            if chunk is not None and _whole(file, chunk):
                return chunk.at
        return self.size

    def _take(self, file: BinaryIO, chunk: Chunk, places: list[Any]) -> None:
        known = chunk.kind in format.KINDS
        if chunk.kind == b"SOND" and not self.repair:
            self._take_sound(chunk, _start(file, chunk))
        elif known and not _whole(file, chunk):
            raise Damaged("is not as it was written")
        elif chunk.kind == b"SOND":
            self._take_sound(chunk, _payload(file, chunk))
        elif chunk.kind == b"EVNT":
            head, piece, lanes = format.read_columns(_payload(file, chunk))
            places.append((lanes, _places(head, piece, lanes)))
            expected = sum(len(group) for _, group in self._groups)
            if piece.first != expected and not self.lost:
                self._wrong(f"lacks the events {expected:,} to {piece.first:,}")
            marked = head.get("redacted")
            rows = [row for row in marked if isinstance(row, int)] if isinstance(marked, list) else []
            self.redacted += [expected + row for row in rows if 0 <= row < len(piece)]
            self._groups.append((chunk, piece))
        elif chunk.kind in (b"HEAD", b"TAIL"):
            told = _object(_payload(file, chunk))
            if chunk.kind == b"TAIL":
                self.tail = told
            elif not self.head:
                self.head = told
        elif not known and not _whole(file, chunk):
            raise Damaged("is not as it was written")
        if not self.head and chunk.kind != b"HEAD" and not self.repair:
            raise Damaged("comes before any head")
        self.chunks.append(chunk)

    def _take_sound(self, chunk: Chunk, payload: bytes) -> None:
        head, _ = format.head_of(payload)
        try:
            number, offset, size = int(head["lane"]), int(head["offset"]), int(head["bytes"])
            form = str(head["type"])
            if not 0 <= number < 256 or offset < 0 or not 0 <= size <= _MOST_SOUND:
                raise ValueError("out of range")
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"has a head that makes no sense ({error})") from None
        lane = self._lanes.setdefault(number, _Lane())
        if lane.starts and offset < lane.starts[-1]:
            raise Damaged("holds sound out of order")
        lane.starts.append(offset)
        lane.pieces.append(_Piece(offset, size, form, chunk))

    # Unpacking.

    def _block(self, number: int) -> bytes:
        """Return the stored frames of a group."""
        return _kept(self._frames, number, lambda: self._load_frames(number))

    def _load_frames(self, number: int) -> bytes:
        chunk, piece = self._groups[number]
        try:
            return format.read_frames(self._read(chunk))
        except Damaged as error:
            raise RecordingError(
                f"{self._name} is damaged: the frames of the events from {piece.first:,} to "
                f"{piece.first + len(piece) - 1:,} are in a chunk that {error}"
            ) from None

    def groups(self) -> Iterator[Columns]:
        """Yield the events in the groups that they have: only a whole group's sound can be copied."""
        ends = accumulate((len(piece) for _, piece in self._groups), initial=0)
        return (self.log.columns(start, end) for start, end in pairwise(ends))

    def copies(self) -> format.Copies:
        """Return the sound that is stored as Opus, to be copied as it is. Raises RecordingError."""
        found = {}
        for piece in (piece for lane in self._lanes.values() for piece in lane.pieces):
            try:
                payload = self._read(piece.chunk)
                head, data = format.unpacked(payload)
            except Damaged:
                self._load_sound(piece)  # which says so, or takes silence for it
                continue
            if head["codec"] == "opus":
                found[head["rate"], sha256(data).digest()] = payload[format.head_of(payload)[1] :]
        return found

    def _sound(self, row: int) -> bytes:
        """Return the sound of a cut."""
        number, place, size = int(self._lane_of[row]), int(self._place_of[row]), int(self._size_of[row])
        lane = self._lanes.get(number, _Lane())
        at = bisect_right(lane.starts, place) - 1
        piece = lane.pieces[at] if at >= 0 else None
        if piece is None or place + size > piece.offset + piece.size:
            if self.repair:
                return format.silence(piece.type if piece is not None else "audio/pcm", size)
            raise RecordingError(f"{self._name} is damaged: the sound of some events is not in it")
        data = _kept(self._sounds, piece.chunk.at, lambda: self._load_sound(piece))
        return data[place - piece.offset : place - piece.offset + size]

    def _load_sound(self, piece: _Piece) -> bytes:
        try:
            return format.unpacked(self._read(piece.chunk))[1]
        except Damaged as error:
            if self.repair:
                return format.silence(piece.type, piece.size)
            raise RecordingError(
                f"{self._name} is damaged: the SOND chunk at byte {piece.chunk.at:,} {error}. "
                f"What is whole of it:  rtnb recover {self.path.name} OUT.rtnb"
            ) from None

    def _read(self, chunk: Chunk) -> bytes:
        try:
            with open(self.path, "rb") as file:
                if not _whole(file, chunk):
                    raise Damaged("is not as it was written")
                return _payload(file, chunk)
        except OSError as error:
            raise RecordingError(f"{self.path} cannot be read: {error.strerror or error}") from None


class _Asked(Sequence[bytes]):
    """Bytes that are fetched when they are asked for."""

    def __init__(self, count: int, fetch: Callable[[int], bytes]) -> None:
        self._count = count
        self._fetch = fetch

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, key: int) -> bytes: ...
    @overload
    def __getitem__(self, key: slice) -> list[bytes]: ...
    def __getitem__(self, key: int | slice) -> bytes | list[bytes]:
        if isinstance(key, slice):
            return [self._fetch(row) for row in range(*key.indices(self._count))]
        return self._fetch(key)


def _kept(kept: OrderedDict[int, bytes], key: int, load: Callable[[], bytes]) -> bytes:
    data = kept.get(key)
    if data is None:
        data = kept[key] = load()
        if len(kept) > _KEPT:
            kept.popitem(last=False)
    else:
        kept.move_to_end(key)
    return data


def _whole(file: BinaryIO, chunk: Chunk) -> bool:
    return format.whole(chunk.kind, chunk.crc, _payload(file, chunk))


def _payload(file: BinaryIO, chunk: Chunk) -> bytes:
    file.seek(chunk.at + format.CHUNK.size)
    return file.read(chunk.length)


def _start(file: BinaryIO, chunk: Chunk) -> bytes:
    """Return enough of a payload to read its head."""
    file.seek(chunk.at + format.CHUNK.size)
    start = file.read(min(chunk.length, 512))
    more = 4 + int.from_bytes(start[:4], "little") - len(start)
    return start + file.read(more) if 0 < more <= 1 << 16 else start


def _object(payload: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(payload)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise Damaged("holds no JSON object")
    return told


def _places(head: dict[str, Any], piece: Columns, lanes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the place of each sound in its lane."""
    places = np.zeros(len(lanes), np.int64)
    for number in np.unique(lanes).tolist():
        first = head["lanes"].get(str(number))
        if not isinstance(first, int) or not 0 <= first <= 1 << 48:
            raise Damaged(f"does not say where lane {number} goes on")
        of_lane = lanes == number
        sizes = piece.sound_lengths[of_lane].astype(np.int64)
        places[of_lane] = first + np.cumsum(sizes) - sizes
    return places
