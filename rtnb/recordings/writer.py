"""Writing a recording: a whole log, or piece by piece while a log grows."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import orjson
from pybase64 import b64decode, b64encode

from .._version import __version__
from ..errors import ArgumentError, RtnbError
from ..paths import replacing, short, user_path
from ..protocol import models
from ..protocol.audio_formats import AudioFormats
from ..protocol.dialects.names import FORMAT_EVENTS
from ..protocol.entries import SERVER, Columns
from ..protocol.events import Direction
from ..protocol.log import Log
from ..protocol.state import SessionState
from ..redaction import known_keys, redact
from . import format
from .format import Lane

__all__ = [
    "Writer",
    "digests",
    "header",
    "pieces",
    "recording_path",
    "save",
    "split",
    "whole_frames",
]

_LIBRARIES = ("numpy", "orjson", "soundfile", "av", "websockets", "hibari-tts", "onnxruntime", "xllamacpp")


def header(
    state: SessionState,
    *,
    where: str = "",
    engine: str = "",
    billed: bool = True,
    model: str = "",
    problem: RtnbError | None = None,
    autosave: bool = False,
) -> dict[str, Any]:
    """Return the ``HEAD`` of a session: see ``rtnb.recordings.format``.

    The date is that of the first frame, so that saving the same session twice writes the same file.
    """
    log = state.log
    wall = log[0].wall if len(log) else None
    created = datetime.now(UTC) if wall is None else datetime.fromtimestamp(wall, UTC)
    name = state.model or model
    code = getattr(problem, "code", None)
    return {
        "format": format.VERSION,
        "rtnb": __version__,
        "created": created.isoformat(timespec="milliseconds"),
        "model": name,
        "requested_model": state.requested_model,
        "dialect": "ga",
        "where": where,
        "engine": engine,
        "billed": billed,
        "time_scaled": state.time_scaled,
        "session": state.session,
        "libraries": _libraries(),
        "clocks": {"wall_ns": None if wall is None else round(wall * 1e9), "monotonic": "seconds since it"},
        "prices_as_of": state.row.as_of or models.find(name).as_of,
        "capture": {"audio": "lossless", "autosave": autosave},
        "open_turns": sum(turn.active for turn in state.turns.all),
        "end": None
        if problem is None
        else {"code": code, "reason": getattr(problem, "reason", ""), "why": str(problem)},
        "scrubbed": [],
    }


def _libraries() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


_ROWS = 2048
"""Events in a group: few enough to read one quickly, enough to compress well."""
_MAX_AUDIO = 480_000
"""Bytes of a group's audio, unless one event has more: ten seconds of PCM16 at 24 kHz.

The audio is written before the group's events, which are lost if the file is cut within it. Without this
limit a spoken session would be smaller by 0.5 %, and one in Opus by 3 %.
"""
_MIN_FRAME = 256
"""Bytes of a frame; shorter ones are stored with their base64."""
_AUDIO = re.compile(rb'"(?:audio|delta)": ?"([A-Za-z0-9+/]{64,}={0,2})"')
_LANES = 256
_OTHERS = frozenset((".wav", ".ogg", ".opus", ".flac", ".mp3", ".txt", ".json", ".jsonl", ".html", ".csv"))
"""The suffixes of other kinds of files."""


class Written(NamedTuple):
    """The offsets of events in a file: of their frames, end to end, and of each piece of audio cut from them.

    ``frames`` is None if a key in them was redacted: the file then has other bytes.
    """

    frames: int | None
    sounds: list[int]


class Writer:
    """Writes chunks to an empty file that is open for writing.

    If the events come from another file, ``redacted`` are those whose keys are redacted already: they and the
    count in ``head`` are carried over. ``copies`` is that file's audio in Opus, which is copied; all other
    audio is then compressed without loss.
    """

    def __init__(
        self,
        file: BinaryIO,
        head: Mapping[str, Any],
        *,
        compress: bool = True,
        opus: bool = False,
        keys: Iterable[str] = (),
        redacted: Iterable[int] = (),
        copies: format.Copies | None = None,
        digest: bool = True,
    ) -> None:
        self._file = file
        self._compress = compress
        self._opus = opus
        self._copies = copies
        self._keys = tuple(keys)
        self._formats = AudioFormats()
        self._lanes: dict[format.Lane, int] = {}
        self._ends: dict[int, int] = {}
        self._digests = (hashlib.sha256(), hashlib.sha256()) if digest else None
        self.events = 0
        self.bytes = 0
        """Bytes of the frames written so far, as they were on the wire."""
        self._redacted = frozenset(redacted)
        before = head.get("redacted")
        self.redacted = max(before if isinstance(before, int) else 0, len(self._redacted))
        """The number of redacted keys, including those of the file that the events come from."""
        self._head = {**head, "redacted": self.redacted}
        self._room = 0
        file.write(format.MAGIC + self._head_chunk())

    def _head_chunk(self) -> bytes:
        """Return the head, always with its first length: it is overwritten at the end."""
        clean, _ = redact(orjson.dumps(self._head), self._keys)
        self._room = self._room or len(clean) + 16
        return format.chunk(b"HEAD", clean.ljust(self._room))

    def write(self, piece: Columns) -> Written | None:
        """Write the next events: their audio first, so that no event is ever without it.

        Returns their offsets in the file; None if they are compressed.
        """
        frames, spans = redact(piece.frames, self._keys)
        if spans:
            piece.frames = frames
        starts = np.cumsum(piece.lengths, dtype=np.int64) - piece.lengths
        marked = np.searchsorted(starts, [start for start, _ in spans], "right") - 1
        known = (event - piece.first for event in self._redacted)
        redacted = sorted({*marked.tolist(), *(row for row in known if 0 <= row < len(piece))})
        self.redacted += len(spans)
        if self._compress:
            piece = _cut_more(piece, starts)
        numbers, joined = self._assign(piece)
        out, at, lanes_at = [], self._file.tell(), dict.fromkeys(joined, 0)
        first = {number: self._ends.get(number, 0) for number in joined}
        for number, parts in joined.items():
            data = b"".join(parts)
            lane = next(lane for lane, known in self._lanes.items() if known == number)
            payload = format.packed(
                number,
                lane,
                first[number],
                data,
                compress=self._compress,
                opus=self._opus,
                copies=self._copies,
            )
            out.append(format.chunk(b"SOND", payload))
            self._ends[number] = first[number] + len(data)
            at += len(out[-1])
            lanes_at[number] = at - len(data)
        payload = format.events(piece, numbers, first, redacted, self._compress)
        out.append(format.chunk(b"EVNT", payload))
        at += len(out[-1])
        self._file.write(b"".join(out))
        self.events += len(piece)
        lengths = piece.sound_lengths.astype(np.int64)
        self.bytes += len(piece.frames) + int(((lengths + 2) // 3 * 4).sum())
        if self._digests is not None:
            self._hash(piece)
        if self._compress:
            return None
        sounds = []
        for number, length in zip(numbers.tolist(), lengths.tolist(), strict=True):
            sounds.append(lanes_at[number])
            lanes_at[number] += length
        return Written(None if spans else at - len(piece.frames), sounds)

    def _assign(self, piece: Columns) -> tuple[Any, dict[int, list[bytes]]]:
        """Return the lane of each piece of audio, and the pieces of each lane in order."""
        declaring = {code | SERVER for code, name in enumerate(piece.names) if name in FORMAT_EVENTS}
        rows = [row for row, kind in enumerate(piece.kinds.tolist()) if kind in declaring]
        ends = np.cumsum(piece.lengths, dtype=np.int64)
        numbers = np.zeros(len(piece.sound_rows), np.uint8)
        joined: dict[int, list[bytes]] = {}
        for place, row in enumerate(piece.sound_rows.tolist()):
            while rows and rows[0] < row:
                self._update_formats(piece, rows.pop(0), ends)
            number = self._number("server" if piece.kinds[row] >= SERVER else "client")
            numbers[place] = number
            joined.setdefault(number, []).append(piece.sounds[place])
        for row in rows:
            self._update_formats(piece, row, ends)
        return numbers, joined

    def _update_formats(self, piece: Columns, row: int, ends: Any) -> None:
        end = int(ends[row])
        name = piece.names[int(piece.kinds[row]) & (SERVER - 1)]
        self._formats.update(name, piece.frames[end - int(piece.lengths[row]) : end])

    def _number(self, direction: Direction) -> int:
        codec = self._formats.now(direction)
        lane = Lane(direction, codec.type, codec.rate)
        if lane not in self._lanes and len(self._lanes) >= _LANES:
            lane = next(iter(self._lanes))  # nothing but abuse has 256 formats: larger, not lost
        return self._lanes.setdefault(lane, len(self._lanes))

    def _hash(self, piece: Columns) -> None:
        assert self._digests is not None
        wire, stored = self._digests
        for direction, frame, data, at in split(piece):
            start = direction + len(frame).to_bytes(4, "little")
            stored.update(start + frame)
            if data is not None:
                frame = frame[:at] + b64encode(data) + frame[at:]
                start = direction + len(frame).to_bytes(4, "little")
            wire.update(start + frame)

    def end(self) -> dict[str, Any]:
        """Write the end of the file and return its fields."""
        wire, stored = self._digests if self._digests is not None else (None, None)
        tail = {
            "events": self.events,
            "bytes": self.bytes,
            "sha256": None if wire is None or self._opus else wire.hexdigest(),
            "sha256_stored": None if stored is None else stored.hexdigest(),
            "redacted": self.redacted,
            "complete": True,
        }
        self._file.write(format.chunk(b"TAIL", orjson.dumps(tail)))
        self._head["redacted"] = self.redacted
        self._file.seek(len(format.MAGIC))
        self._file.write(self._head_chunk())
        self._file.seek(0, os.SEEK_END)
        return tail


def digests(groups: Iterable[Columns], head: Mapping[str, Any]) -> tuple[str, str]:
    """Return the SHA-256 of the recording that ``save`` would write, and of all its frames, as hex digits."""
    file = io.BytesIO()
    writer = Writer(file, head, keys=known_keys())
    for piece in groups:
        writer.write(piece)
    tail = writer.end()
    return hashlib.sha256(file.getbuffer()).hexdigest(), str(tail["sha256"])


def split(piece: Columns) -> Iterator[tuple[bytes, bytes, bytes | None, int]]:
    """Yield for each event its side (0 client, 1 server), stored frame, audio cut from it, and the offset."""
    cuts = zip(piece.sound_rows.tolist(), piece.sound_cuts.tolist(), piece.sounds, strict=True)
    cut = next(cuts, None)
    start = 0
    sides = (piece.kinds >= SERVER).tolist()
    for row, length in enumerate(piece.lengths.tolist()):
        side, frame = b"\1" if sides[row] else b"\0", piece.frames[start : start + length]
        start += length
        if cut is not None and cut[0] == row:
            yield side, frame, cut[2], cut[1]
            cut = next(cuts, None)
        else:
            yield side, frame, None, 0


def whole_frames(piece: Columns) -> Iterator[tuple[Direction, str, bytes]]:
    """Yield for each event its direction, type and frame, as it was on the wire."""
    kinds = piece.kinds.tolist()
    for row, (_, frame, data, at) in enumerate(split(piece)):
        whole = frame if data is None else frame[:at] + b64encode(data) + frame[at:]
        yield "server" if kinds[row] & SERVER else "client", piece.names[kinds[row] & (SERVER - 1)], whole


def _cut_more(piece: Columns, starts: Any) -> Columns:
    """Cut audio out of frames that the log holds unchanged, such as an item with speech in it."""
    cut_already = set(piece.sound_rows.tolist())
    long = np.flatnonzero(piece.lengths >= _MIN_FRAME).tolist()
    found: list[tuple[int, int, int, bytes]] = []
    for row in long:
        if row in cut_already:
            continue
        start, end = int(starts[row]), int(starts[row] + piece.lengths[row])
        matches = _AUDIO.finditer(piece.frames, start, end)
        match = max(matches, key=lambda one: one.end() - one.start(), default=None)
        if match is None:
            continue
        text = match[1]
        data = b64decode(text) if len(text) % 4 == 0 else b""
        if b64encode(data) == text:  # only what is restored exactly
            found.append((row, match.start(1) - start, len(text), data))
    if not found:
        return piece
    parts, at = [], 0
    for row, cut, length, _ in found:
        where = int(starts[row]) + cut
        parts.append(piece.frames[at:where])
        at = where + length
    parts.append(piece.frames[at:])
    lengths = piece.lengths.copy()
    lengths[[row for row, *_ in found]] -= np.array([length for _, _, length, _ in found], np.uint32)
    known = zip(piece.sound_rows.tolist(), piece.sound_cuts.tolist(), piece.sounds, strict=True)
    cuts = sorted([*known, *((row, cut, data) for row, cut, _, data in found)], key=lambda one: one[0])
    return Columns(
        first=piece.first,
        names=piece.names,
        kinds=piece.kinds,
        turns=piece.turns,
        times=piece.times,
        lengths=lengths,
        sound_rows=np.array([row for row, _, _ in cuts], np.uint32),
        sound_cuts=np.array([cut for _, cut, _ in cuts], np.uint32),
        sound_lengths=np.array([len(data) for _, _, data in cuts], np.uint32),
        wall_rows=piece.wall_rows,
        walls=piece.walls,
        frames=b"".join(parts),
        sounds=[data for _, _, data in cuts],
    )


def pieces(log: Log, start: int = 0, stop: int | None = None, *, most: int = _MAX_AUDIO) -> Iterator[Columns]:
    """Yield a log's events in groups for a file, each with up to ``most`` bytes of audio."""
    stop = len(log) if stop is None else stop
    rows = _ROWS
    while start < stop:
        piece = log.columns(start, min(start + rows, stop))
        held = np.cumsum(piece.sound_lengths, dtype=np.int64)
        if len(held) and held[-1] > most:
            over = int(piece.sound_rows[np.searchsorted(held, most, "right")])
            piece = log.columns(start, start + max(over, 1))
        start += len(piece)
        rows = min(
            2 * len(piece), _ROWS
        )  # the next group is likely to have as many, and all rows are read at once
        yield piece


def recording_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a recording to be written. Raises ArgumentError for the suffix of another kind."""
    target = user_path(path, "a recording")
    if target.suffix.lower() in _OTHERS:
        raise ArgumentError(
            f"the name of a recording should end in .rtnb; got {short(target.name)}. Save it as .rtnb first; "
            "then export writes .wav, .txt and .jsonl, and report writes .html"
        )
    return target


def save(
    groups: Iterable[Columns],
    head: dict[str, Any],
    path: str | os.PathLike[str],
    *,
    audio: str = "lossless",
    redacted: Iterable[int] = (),
    copies: format.Copies | None = None,
) -> dict[str, Any]:
    """Write a recording as a whole: if that fails, a file that was there is unchanged.

    ``audio`` is "lossless", or "opus": about a tenth of the size, and frames with PCM16 are restored with
    similar audio of the same length. ``redacted`` and ``copies`` are as for `Writer`. Returns the tail.

    Raises ArgumentError for another ``audio`` or the suffix of another kind of file, RecordingError if the
    file cannot be written.
    """
    if audio not in ("lossless", "opus"):
        raise ArgumentError(f'audio must be "lossless" or "opus"; got {audio!r:.60}')
    target = recording_path(path)
    head = {**head, "capture": {**head.get("capture", {}), "audio": audio}}
    with replacing(target) as file:
        writer = Writer(file, head, opus=audio == "opus", keys=known_keys(), redacted=redacted, copies=copies)
        for piece in groups:
            writer.write(piece)
        return writer.end()
