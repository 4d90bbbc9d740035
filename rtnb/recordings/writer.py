"""Writing a recording: lines and audio are collected first, then packed, so that hashes come first."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from pybase64 import b64decode, b64encode

from ..errors import ArgumentError, RecordingError
from ..paths import replacing, short, user_path
from ..protocol.audio_formats import AudioFormats
from ..protocol.changes import AppendAudio, AudioDelta
from ..protocol.dialects.names import AUDIO_DELTAS, FORMAT_EVENTS
from ..protocol.entries import SERVER, Columns
from ..protocol.events import Direction
from ..protocol.frame_reader import FrameReader
from ..protocol.log import Log
from ..protocol.state import SessionState
from ..redaction import known_keys, redact
from .audio_tracks import Copies, Temporary, TrackWriter
from .columns import ColumnsBuilder
from .event_lines import WITH_AUDIO, AudioPart, media_line, prefix, verbatim
from .format import (
    EVENTS,
    MANIFEST,
    MAX_PIECE,
    MAX_TRACKS,
    README,
    README_NAME,
    Lane,
    Media,
    most_text,
    side_of,
)
from .manifest import zip_date
from .zip_files import Packer, ZipWriter

__all__ = [
    "Writer",
    "digests",
    "media_of",
    "pieces",
    "recording_path",
    "redacted_rows",
    "save",
    "split",
    "whole_frames",
]

_ROWS = 2048
"""Events that are taken from a log at once."""
_MAX_AUDIO = 8 << 20
"""Bytes of their audio, unless one event has more."""
_BLOCK = 256 << 10
"""Bytes of lines that can be unpacked alone: few enough to read one event, enough to pack well."""
_MIN_FRAME = 256
"""Bytes of a frame; shorter ones are stored with their base64."""
_AUDIO = re.compile(rb'"(?:audio|delta)": ?"([A-Za-z0-9+/]{64,}={0,2})"')
_OTHERS = frozenset((".wav", ".ogg", ".opus", ".flac", ".mp3", ".txt", ".json", ".jsonl", ".html", ".csv"))
"""The suffixes of other kinds of files."""


class Writer:
    """Collects the lines, tracks and columns of a recording, and packs them.

    ``media`` is audio that came beside the frames, in order of time; it is written between the events.
    If the events come from another file, ``redacted`` are those whose keys are redacted already: they and the
    count in ``about`` are carried over.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        *,
        media: Iterable[Media] = (),
        lossy: bool = False,
        keys: Iterable[str] = (),
        redacted: Iterable[int] = (),
    ) -> None:
        self._about = about
        self._media = iter(media)
        self._next_media = next(self._media, None)
        self._lossy = lossy
        self._keys = tuple(keys)
        self._formats = AudioFormats()
        self._tracks: dict[Lane, tuple[int, TrackWriter]] = {}
        self._columns = ColumnsBuilder()
        self._lines: list[bytes] = []
        self._held = 0  # bytes of those lines
        self._events = Temporary()
        self._packer = Packer(self._events)
        self._sha = hashlib.sha256()  # of events.jsonl
        self._frames = hashlib.sha256()
        self._bytes = 0
        self._redacted_before = frozenset(redacted)
        before = about.get("redacted")
        self._redacted = max(before if isinstance(before, int) else 0, len(self._redacted_before))
        self._wall: int | None = None

    def write(self, piece: Columns) -> None:
        """Add the next events."""
        found = redacted_rows(piece, self._keys)
        self._redacted += len(found)
        known = self._redacted_before.intersection(range(piece.first, piece.first + len(piece)))
        redacted = {*found, *(event - piece.first for event in known)}
        piece = _cut_more(piece)
        walls = dict(zip(piece.wall_rows.tolist(), piece.walls.tolist(), strict=True))
        names, turns, times = piece.names, piece.turns.tolist(), piece.times.tolist()
        for row, (kind, stored) in enumerate(zip(piece.kinds.tolist(), split(piece), strict=True)):
            server, t_ns = bool(kind & SERVER), times[row]
            while self._next_media is not None and self._next_media.t_ns < t_ns:
                self._write_media()
            wall = walls.get(row, self._wall)
            changed = wall != self._wall
            self._wall = wall
            wall_ns = wall + t_ns if wall is not None and changed else None
            self._event(
                names[kind & (SERVER - 1)], server, turns[row], t_ns, wall_ns, row in redacted, stored
            )

    def _event(
        self,
        type: str,
        server: bool,
        turn: int,
        t_ns: int,
        wall_ns: int | None,
        redacted: bool,
        stored: Stored,
    ) -> None:
        side, frame, audio, at = stored
        whole = frame if audio is None else frame[:at] + b64encode(audio) + frame[at:]
        self._frames.update(side + len(whole).to_bytes(4, "little") + whole)
        self._bytes += len(whole)
        if server and type in FORMAT_EVENTS:
            self._formats.update(type, frame)
        if audio is not None and len(audio) > MAX_PIECE:
            frame, audio = whole, None
        self._columns.event(type, server, turn, t_ns, len(frame))
        part = None
        if audio is not None:
            part = self._audio(self._lane(server), audio, at)
        elif type in WITH_AUDIO and (uncut := _uncut(frame, server)):
            part = self._audio(self._lane(server), uncut, None)
        if wall_ns is not None:
            self._columns.wall(wall_ns)
        if redacted:
            self._columns.redacted()
        start = prefix(t_ns, server, turn, wall_ns=wall_ns, redacted=redacted, audio=part)
        self._line(start, *verbatim(frame, type))

    def _lane(self, server: bool) -> Lane:
        codec = self._formats.now("server" if server else "client")
        return Lane(side_of(server), codec.type, codec.rate)

    def _write_media(self) -> None:
        media = self._next_media
        assert media is not None
        lane = Lane(media.side, media.codec.type, media.codec.rate, False)
        for at in range(0, len(media.audio), MAX_PIECE):
            part = self._audio(lane, media.audio[at : at + MAX_PIECE], None)
            self._columns.media(media.t_ns, self._track(lane)[0], part.start, part.bytes)
            self._line(media_line(media.t_ns, media.side == "output", part))
        self._next_media = next(self._media, None)

    def _track(self, lane: Lane) -> tuple[int, TrackWriter]:
        found = self._tracks.get(lane)
        if found is None:
            if len(self._tracks) >= MAX_TRACKS:  # nothing but abuse has so many formats
                return next(iter(self._tracks.values()))
            alike = sum(one.side == lane.side for one in self._tracks)
            id = f"{lane.side}-{alike + 1}" if alike else lane.side
            found = self._tracks[lane] = (len(self._tracks), TrackWriter(id, lane, lossy=self._lossy))
        return found

    def _audio(self, lane: Lane, audio: bytes, at: int | None) -> AudioPart:
        number, track = self._track(lane)
        part = AudioPart(track.info.id, track.add(audio), len(audio), at)
        if at is not None:
            gap = self._columns.gap(number, part.start, part.bytes)
            self._columns.cut(number, gap, part.bytes, at)
        return part

    def _line(self, *parts: bytes) -> None:
        self._lines += parts
        self._held += sum(map(len, parts))
        if self._held >= _BLOCK:
            self._end_block()

    def _end_block(self) -> None:
        text = b"".join(self._lines)
        self._lines, self._held = [], 0
        self._sha.update(text)
        self._columns.end_block(*self._packer.block(text))

    def pack(self, file: IO[bytes], *, copies: Copies | None = None) -> dict[str, Any]:
        """Write the recording to an empty file that is open for writing, and return its manifest."""
        while self._next_media is not None:
            self._write_media()
        if self._lines:
            self._end_block()
        self._packer.end()
        columns = self._columns.build()
        audio = [one for _, track in self._tracks.values() for one in track.end(copies)]
        packer = self._packer
        files = {EVENTS: {"bytes": packer.size, "sha256": self._sha.hexdigest()}}
        files |= {name: {"bytes": size, "sha256": _sha256(held)} for name, held, size in audio}
        arrays = dict(columns.files())
        files |= {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in arrays.items()
        }
        infos = [track.info for _, track in self._tracks.values()]
        lossy = any(info.file.endswith(".opus") and info.in_frames for info in infos)
        clean, _ = redact(_json(self._about), self._keys)
        manifest = {
            **orjson.loads(clean),
            "lossy": lossy,
            "redacted": self._redacted,
            "tracks": [{name: getattr(info, name) for name in info.__struct_fields__} for info in infos],
            "events": len(self._columns),
            "bytes": self._bytes,
            "frames_sha256": None if lossy else self._frames.hexdigest(),
            "columns": {"names": columns.names, "crc": packer.crc, "stored": packer.stored},
            "files": files,
            "complete": True,
        }
        with ZipWriter(file, zip_date(self._about)) as out:
            self._write_files(out, manifest, audio, arrays)
        return manifest

    def _write_files(
        self,
        out: ZipWriter,
        manifest: Mapping[str, Any],
        audio: list[tuple[str, IO[bytes], int]],
        arrays: Mapping[str, bytes],
    ) -> None:
        packer = self._packer
        out.add(README_NAME, README.encode())
        out.add(MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        if packer.size <= most_text(packer.stored):
            out.add_packed(EVENTS, self._events, packer)
        else:  # such as a megabyte of zeros: what unpacks to so much more is not read
            out.add_unpacked(EVENTS, self._events, packer)
        for name, held, size in audio:
            out.add_file(name, held, size)
        for name, data in arrays.items():
            out.add(name, data)


def _json(about: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(dict(about))
    except orjson.JSONEncodeError as error:
        raise RecordingError(f"the manifest cannot be written as JSON: {error}") from None


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    sha = hashlib.sha256()
    while data := file.read(1 << 20):
        sha.update(data)
    return sha.hexdigest()


def digests(
    groups: Iterable[Columns], about: Mapping[str, Any], media: Iterable[Media] = ()
) -> tuple[str, str]:
    """Return the SHA-256 of the recording that ``save`` would write, and of all its frames, as hex digits."""
    file = Temporary()
    manifest = _collected(groups, about, media=media).pack(file)
    return _sha256(file), str(manifest["frames_sha256"])


def _collected(groups: Iterable[Columns], about: Mapping[str, Any], **options: Any) -> Writer:
    writer = Writer(about, keys=known_keys(), **options)
    for piece in groups:
        writer.write(piece)
    return writer


Stored = tuple[bytes, bytes, bytes | None, int]
"""An event's side (0 client, 1 server), stored frame, audio cut from it, and the offset of the cut."""


def split(piece: Columns) -> Iterator[Stored]:
    """Yield each event of a piece."""
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


def _uncut(frame: bytes, server: bool) -> bytes:
    """Return the audio of a frame whose base64 is not the canonical one, or short; it stays in the frame."""
    for change in FrameReader().read(frame, "server" if server else "client").changes:
        if isinstance(change, (AppendAudio, AudioDelta)):
            return bytes(change.audio)
    return b""


def redacted_rows(piece: Columns, keys: Iterable[str]) -> list[int]:
    """Redact the keys in the frames of some events, and return the row of each."""
    _, spans = redact(piece.frames, keys)
    if not spans:
        return []
    ends = np.cumsum(piece.lengths, dtype=np.int64)
    starts = ends - piece.lengths
    # A key within one frame: what looks like one across two of them is none.
    touched = {
        row
        for start, end in spans
        for row in range(*np.searchsorted(ends, (start, end - 1), "right") + np.array((0, 1)))
    }
    frames, rows = bytearray(piece.frames), list[int]()
    for row in sorted(touched):
        place = slice(int(starts[row]), int(ends[row]))
        clean, found = redact(piece.frames[place], keys)
        frames[place] = clean
        rows += [row] * len(found)
    piece.frames = bytes(frames)
    return rows


def _cut_more(piece: Columns) -> Columns:
    """Cut audio out of frames that the log holds unchanged, such as an item with speech in it."""
    starts = np.cumsum(piece.lengths, dtype=np.int64) - piece.lengths
    cut_already = set(piece.sound_rows.tolist())
    long = np.flatnonzero(piece.lengths >= _MIN_FRAME).tolist()
    found: list[tuple[int, int, int, bytes]] = []
    for row in long:
        if row in cut_already:
            continue
        start, end = int(starts[row]), int(starts[row] + piece.lengths[row])
        matches = _AUDIO.finditer(piece.frames, start, end)
        match = max(matches, key=lambda one: one.end() - one.start(), default=None)
        type = piece.names[int(piece.kinds[row]) & (SERVER - 1)]
        if match is None or (match[0].startswith(b'"delta"') and type not in AUDIO_DELTAS):
            continue  # a text may look like base64
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


def media_of(state: SessionState) -> Iterator[Media]:
    """Yield the audio of a session that came beside the frames, in order of time."""
    beside = [
        (piece.t, side, piece)
        for side, track in state.tracks.items()
        if not track.framed
        for piece in track
        if not piece.framed
    ]
    for t, side, piece in sorted(beside, key=lambda one: one[0]):
        yield Media(round(t * 1e9), side, piece.codec, bytes(piece.audio))


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
    about: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    media: Iterable[Media] = (),
    lossy: bool = False,
    redacted: Iterable[int] = (),
    copies: Copies | None = None,
) -> dict[str, Any]:
    """Write a recording as a whole: if that fails, a file that was there is unchanged.

    ``about`` is its manifest, without what only the file has. ``lossy`` stores PCM16 as Opus: about a tenth
    of the size, and frames are restored with similar audio of the same length. ``media`` is audio that came
    beside the frames, in order of time. ``redacted`` is as for `Writer`. With ``copies``, audio that they
    hold is copied, and all other audio is stored without loss. Returns the manifest.

    Raises ArgumentError for the suffix of another kind of file, RecordingError if the file cannot be written.
    """
    if not isinstance(lossy, bool):
        raise ArgumentError(f"lossy must be True or False; got {lossy!r:.60}")
    target = recording_path(path)
    with replacing(target) as file:
        writer = _collected(groups, about, media=media, lossy=lossy, redacted=redacted)
        return writer.pack(file, copies=copies)
