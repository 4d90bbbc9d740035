"""Reading a recording: its chunks are found at once, frames and audio are unpacked when needed."""

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
from ..paths import opened, short, unreadable, user_path
from ..protocol.entries import Columns
from ..protocol.log import Log
from ..protocol.read_only_log import ReadOnlyLog
from . import format
from .format import Damaged

__all__ = ["JsonlReader", "Reader", "is_jsonl", "open_reader", "refuse_jsonl"]

_SUFFIXES = (".jsonl", ".ndjson")
_FIELDS = {"where": str, "engine": str, "billed": bool, "model": str, "requested_model": str}


def is_jsonl(path: Path) -> bool:
    """Return whether a file is JSON Lines, by its name."""
    return path.suffix.lower() in _SUFFIXES


def refuse_jsonl(path: str | os.PathLike[str], why: str) -> None:
    """Raise RecordingError for JSON Lines, where a recording file is needed."""
    path = user_path(path, "a recording")
    if is_jsonl(path):
        raise RecordingError(
            f"{short(path.name)} is JSON Lines, {why}. These commands work on it: "
            "rtnb info, replay, diff, export, report and scrub"
        )


class JsonlReader:
    """A file of JSON Lines, with the attributes of a `Reader`. Raises RecordingError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = user_path(path, "a recording")
        self.path = path.absolute()
        self.state, head, self.problem = read(path)
        self.head: dict[str, Any] = {
            name: head[name] for name, kind in _FIELDS.items() if isinstance(head.get(name), kind)
        }
        self.redacted: list[int] = []

    @property
    def log(self) -> Log:
        """Every frame, both directions."""
        return self.state.log


_CACHED = 6  # groups whose frames, and whose audio, stay unpacked
_ANY = re.compile(b"|".join(format.KINDS))
_MAX_UNPACKED = 64 << 20
_MAX_RATIO = 200
"""The events of a file unpack to at most 64 MiB, or 200 times its size; those of sessions do to 10 to 50."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The position of a chunk in the file: ``at`` its first byte, ``length`` of its payload."""

    kind: bytes
    at: int
    length: int
    crc: int

    @property
    def end(self) -> int:
        """The offset after it."""
        return self.at + format.CHUNK.size + self.length


@dataclass(slots=True)
class _Piece:
    """Audio in the file: a piece of a lane."""

    offset: int
    size: int
    type: str
    chunk: Chunk


@dataclass(slots=True)
class _Lane:
    starts: list[int] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)


class Reader:
    """One recording file. It is opened for each access and not held open, so that it may be removed.

    ``problem`` is a sentence about a file that could be opened although it was cut or has no end, or of which
    ``repair`` left out what is damaged. Raises RecordingError.
    """

    def __init__(self, path: str | os.PathLike[str], *, repair: bool = False) -> None:
        path = user_path(path, "a recording")
        self.path = path.absolute()
        self.repair = repair
        self.problem: str | None = None
        self.lost: list[str] = []
        """What ``repair`` left out, one sentence each."""
        self.head: dict[str, Any] = {}
        self.tail: dict[str, Any] | None = None
        self.redacted: list[int] = []
        """The events whose frames contained a key when they were written."""
        self.chunks: list[Chunk] = []
        self._unpacked = 0  # bytes
        self._groups: list[tuple[Chunk, Columns]] = []
        self._lanes: dict[int, _Lane] = {}
        self._frames: OrderedDict[int, bytes] = OrderedDict()
        self._audio_cache: OrderedDict[int, bytes] = OrderedDict()
        places: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []
        try:
            with opened(path) as file:
                self.size = os.fstat(file.fileno()).st_size
                self._check_magic(file)
                self._index(file, places)
        except OSError as error:
            raise RecordingError(unreadable(path, error)) from None
        self._lane_of = np.concatenate([lanes for lanes, _ in places]) if places else np.zeros(0, np.uint8)
        self._place_of = np.concatenate([p for _, p in places]) if places else np.zeros(0, np.int64)
        sizes = [piece.sound_lengths for _, piece in self._groups]
        self._size_of = np.concatenate(sizes).astype(np.int64) if sizes else np.zeros(0, np.int64)
        pieces = [piece for _, piece in self._groups]
        blocks, sounds = _Lazy(len(pieces), self._block), _Lazy(len(self._lane_of), self._audio)
        self.log = ReadOnlyLog(pieces, blocks, sounds)
        if self.tail is not None and self.tail.get("events") != len(self.log) and not self.problem:
            self._damage(
                f"has {len(self.log):,} events, and its end declares {self.tail.get('events')!r:.20}"
            )
        if self.lost:
            self.problem = f"{self._name} was repaired: " + "; ".join(self.lost)

    @property
    def _name(self) -> str:
        return short(self.path.name)

    def _damage(self, what: str) -> None:
        """Note what is damaged and left out, or refuse the file."""
        if not self.repair:
            raise RecordingError(
                f"{self._name} is damaged: it {what}. To recover what is intact:  "
                f"rtnb recover {self.path.name:.100} OUT.rtnb"
            )
        self.lost.append(f"it {what}")

    def _check_magic(self, file: BinaryIO) -> None:
        start = file.read(len(format.MAGIC))
        if not start:
            raise RecordingError(f"{self._name} is empty (0 bytes): expected a recording")
        if start[:4] != format.MAGIC[:4]:
            raise RecordingError(f"{self._name} is not an rtnb recording: it starts with {start[:4]!r}")
        if len(start) < len(format.MAGIC):
            raise RecordingError(f"{self._name} was cut after {len(start)} bytes: it has no event")
        if start[4] > format.VERSION and start[5:] == format.MAGIC[5:]:
            raise RecordingError(
                f"{self._name} has format {start[4]}, and this rtnb reads formats up to {format.VERSION}: "
                "run  pip install -U rtnb"
            )
        if start != format.MAGIC:
            self._damage("has a wrong byte among its first eight")

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
                self._damage(f"has a {chunk.kind.decode()} chunk at byte {chunk.at:,} that {error}")
                if not _intact(file, chunk):  # its length may be wrong
                    at = self._resync(file, at + 1)
                    continue
            at = chunk.end
        if not self.head and not self.lost:
            raise RecordingError(f"{self._name} was cut before its first event")
        if self.tail is None and self.problem is None:
            autosave = (self.head.get("capture") or {}).get("autosave")
            self.problem = (
                f"{self._name} is an autosave file without an end" if autosave else f"{self._name} was cut"
            ) + f": {sum(len(piece) for _, piece in self._groups):,} of its events are intact"

    def _chunk(self, file: BinaryIO, at: int) -> Chunk | None:
        """Return the chunk at an offset, or None."""
        file.seek(at)
        start = file.read(format.CHUNK.size)
        if len(start) < format.CHUNK.size:
            return None
        kind, length, crc = format.CHUNK.unpack(start)
        chunk = Chunk(kind, at, length, crc)
        return chunk if kind.isalpha() and kind.isupper() and chunk.end <= self.size else None

    def _after_damage(self, file: BinaryIO, at: int) -> int:
        """Return the offset of the next intact chunk; none follows in a file that was cut."""
        following = self._resync(file, at + 1)
        if following < self.size:
            self._damage(f"is unreadable from byte {at:,} to {following:,}")
        elif self.tail is not None:
            self._damage(f"has {self.size - at:,} bytes after its end")
        return following

    def _resync(self, file: BinaryIO, at: int) -> int:
        """Return the offset of the next intact chunk from ``at`` on, or the end."""
        file.seek(at)
        data = file.read()
        for match in _ANY.finditer(data):
            chunk = self._chunk(file, at + match.start())
            if chunk is not None and _intact(file, chunk):
                return chunk.at
        return self.size

    def _take(self, file: BinaryIO, chunk: Chunk, places: list[Any]) -> None:
        known = chunk.kind in format.KINDS
        if chunk.kind == b"SOND" and not self.repair:
            self._take_audio(chunk, _start(file, chunk))
        elif known and not _intact(file, chunk):
            raise Damaged("differs from what was written")
        elif chunk.kind == b"SOND":
            self._take_audio(chunk, _payload(file, chunk))
        elif chunk.kind == b"EVNT":
            head, piece, lanes = format.read_columns(_payload(file, chunk))
            self._unpacked += head["columns"]["bytes"] + head["frames"]["bytes"]
            if self._unpacked > max(_MAX_UNPACKED, _MAX_RATIO * self.size):
                raise RecordingError(
                    f"{self._name} has {self.size:,} bytes, and its events unpack to more than "
                    f"{self._unpacked:,}: it is damaged, or made to exhaust the memory"
                )
            places.append((lanes, _places(head, piece, lanes)))
            expected = sum(len(group) for _, group in self._groups)
            if piece.first != expected and not self.lost:
                self._damage(f"lacks the events {expected:,} to {piece.first:,}")
            marked = head.get("redacted")
            rows = [row for row in marked if isinstance(row, int)] if isinstance(marked, list) else []
            self.redacted += [expected + row for row in rows if 0 <= row < len(piece)]
            self._groups.append((chunk, piece))
        elif chunk.kind in (b"HEAD", b"TAIL"):
            fields = _object(_payload(file, chunk))
            if chunk.kind == b"TAIL":
                self.tail = fields
            elif not self.head:
                self.head = fields
        elif not known and not _intact(file, chunk):
            raise Damaged("differs from what was written")
        if not self.head and chunk.kind != b"HEAD" and not self.repair:
            raise Damaged("comes before the head")
        self.chunks.append(chunk)

    def _take_audio(self, chunk: Chunk, payload: bytes) -> None:
        head, _ = format.head_of(payload)
        try:
            number, offset, size = int(head["lane"]), int(head["offset"]), int(head["bytes"])
            form = str(head["type"])
            if not 0 <= number < 256 or offset < 0 or not 0 <= size <= max(format.MAX_BYTES, chunk.length):
                raise ValueError("out of range")
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"has an invalid head ({error})") from None
        lane = self._lanes.setdefault(number, _Lane())
        if lane.starts and offset < lane.starts[-1]:
            raise Damaged("has audio out of order")
        lane.starts.append(offset)
        lane.pieces.append(_Piece(offset, size, form, chunk))

    # Unpacking.

    def _block(self, number: int) -> bytes:
        """Return the stored frames of a group."""
        return _cached(self._frames, number, lambda: self._load_frames(number))

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
        """Yield the events in the groups of the file: only the audio of a whole group can be copied."""
        ends = accumulate((len(piece) for _, piece in self._groups), initial=0)
        return (self.log.columns(start, end) for start, end in pairwise(ends))

    def copies(self) -> format.Copies:
        """Return the audio that is stored as Opus, to be copied unchanged. Raises RecordingError."""
        found = {}
        for piece in (piece for lane in self._lanes.values() for piece in lane.pieces):
            try:
                payload = self._read(piece.chunk)
                head, data = format.unpacked(payload)
            except Damaged:
                self._load_audio(piece)  # which raises, or puts silence in its place
                continue
            if head["codec"] == "opus":
                found[head["rate"], sha256(data).digest()] = payload[format.head_of(payload)[1] :]
        return found

    def _audio(self, row: int) -> bytes:
        """Return the audio of a cut."""
        number, place, size = int(self._lane_of[row]), int(self._place_of[row]), int(self._size_of[row])
        lane = self._lanes.get(number, _Lane())
        at = bisect_right(lane.starts, place) - 1
        piece = lane.pieces[at] if at >= 0 else None
        if piece is None or place + size > piece.offset + piece.size:
            if self.repair and size <= format.MAX_BYTES:
                return format.silence(piece.type if piece is not None else "audio/pcm", size)
            raise RecordingError(f"{self._name} is damaged: the audio of some events is missing")
        data = _cached(self._audio_cache, piece.chunk.at, lambda: self._load_audio(piece))
        return data[place - piece.offset : place - piece.offset + size]

    def _load_audio(self, piece: _Piece) -> bytes:
        try:
            return format.unpacked(self._read(piece.chunk))[1]
        except Damaged as error:
            if self.repair:
                return format.silence(piece.type, piece.size)
            raise RecordingError(
                f"{self._name} is damaged: the SOND chunk at byte {piece.chunk.at:,} {error}. "
                f"To recover what is intact:  rtnb recover {self.path.name:.100} OUT.rtnb"
            ) from None

    def _read(self, chunk: Chunk) -> bytes:
        try:
            with open(self.path, "rb") as file:
                if not _intact(file, chunk):
                    raise Damaged("differs from what was written")
                return _payload(file, chunk)
        except OSError as error:
            raise RecordingError(unreadable(self.path, error)) from None


class _Lazy(Sequence[bytes]):
    """A sequence of bytes whose elements are read when they are used."""

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


def _cached(cache: OrderedDict[int, bytes], key: int, load: Callable[[], bytes]) -> bytes:
    data = cache.get(key)
    if data is None:
        data = cache[key] = load()
        if len(cache) > _CACHED:
            cache.popitem(last=False)
    else:
        cache.move_to_end(key)
    return data


def _intact(file: BinaryIO, chunk: Chunk) -> bool:
    return format.intact(chunk.kind, chunk.crc, _payload(file, chunk))


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
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise Damaged("is not a JSON object")
    return value


def _places(head: dict[str, Any], piece: Columns, lanes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the offset of each piece of audio in its lane."""
    places = np.zeros(len(lanes), np.int64)
    for number in np.unique(lanes).tolist():
        first = head["lanes"].get(str(number))
        if not isinstance(first, int) or not 0 <= first <= 1 << 48:
            raise Damaged(f"lacks the offset of lane {number}")
        of_lane = lanes == number
        sizes = piece.sound_lengths[of_lane].astype(np.int64)
        places[of_lane] = first + np.cumsum(sizes) - sizes
    return places


def open_reader(path: str | os.PathLike[str], *, repair: bool = False) -> Reader | JsonlReader:
    """Open a recording file or JSON Lines, by the suffix. Raises RecordingError or ArgumentError."""
    path = user_path(path, "a recording")
    return JsonlReader(path) if is_jsonl(path) else Reader(path, repair=repair)
