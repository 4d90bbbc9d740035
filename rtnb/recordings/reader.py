"""Reading a recording: what it has is found at once, frames and audio are unpacked when they are used."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, overload

import msgspec
import orjson

from ..analysis.event_jsonl import read
from ..errors import RecordingError
from ..paths import short, user_path
from ..protocol.events import as_object
from ..protocol.log import Log
from ..protocol.read_only_log import ReadOnlyLog
from .audio_tracks import Copies, TrackReader
from .events_file import EventsFile
from .format import (
    EVENTS,
    MANIFEST,
    MAX_TRACKS,
    RAW_SUFFIXES,
    VERSION,
    Damaged,
    Lane,
    Media,
    TrackInfo,
    most_audio,
)
from .zip_files import Member, open_files, size_of

__all__ = ["JsonlReader", "Reader", "is_jsonl", "open_reader", "refuse_jsonl"]

_SUFFIXES = (".jsonl", ".ndjson")
_FIELDS = {"endpoint": str, "engine": str, "billed": bool, "model": str, "requested_model": str}


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
        self.manifest: dict[str, Any] = {
            name: head[name] for name, kind in _FIELDS.items() if isinstance(head.get(name), kind)
        }
        self.redacted: list[int] = []

    @property
    def log(self) -> Log:
        """Every frame, both directions."""
        return self.state.log

    @property
    def size(self) -> int:
        """The size of the file in bytes. Raises RecordingError."""
        return size_of(self.path)


_MAX_MANIFEST = 4 << 20


class Reader:
    """One recording: a file, or the folder of an autosave. Its files are opened for each access.

    ``problem`` is a sentence about a recording that could be opened although it was cut or has no end, or of
    which ``repair`` left out what is damaged. Raises RecordingError.
    """

    def __init__(self, path: str | os.PathLike[str], *, repair: bool = False) -> None:
        path = user_path(path, "a recording")
        self.path = path.absolute()
        self.repair = repair
        self.problem: str | None = None
        self.lost: list[str] = []
        """What ``repair`` left out, one sentence each."""
        self._files = open_files(path)
        if EVENTS not in self._files.members:
            raise RecordingError(self._no_recording())
        self.manifest = self._read_manifest()
        """What the recording says of itself: see ``rtnb.recordings.format``."""
        if repair:
            self._check_files()
        infos = self._track_infos()
        try:
            self._events = EventsFile(self._files.members, self.manifest, infos, self._damage, repair=repair)
            self._tracks = [
                TrackReader(info, self._files.members, repair=repair or not self.complete) for info in infos
            ]
        except Damaged as error:
            raise RecordingError(f"{self._name} {error}") from None
        columns = self._events.columns
        self.redacted: list[int] = columns.arrays["redacted"].tolist()
        """The events whose frames contained a key when they were written."""
        self._media = columns.arrays["media"].tolist()
        self._track_of, self._start_of = columns.places
        self._size_of = columns.arrays["cut_bytes"]
        frames, sounds = _Lazy(len(self._events), self._block), _Lazy(len(self._track_of), self._audio)
        self.log = ReadOnlyLog(columns.pieces(), frames, sounds)
        declared = self.manifest.get("events")
        if self.complete and declared != len(self.log):
            self._damage(f"has {len(self.log):,} events, and its manifest declares {declared!r:.20}")
        self._state_problem()

    @property
    def _name(self) -> str:
        return short(self.path.name)

    @property
    def size(self) -> int:
        """The size of its file, or of the files in its folder, in bytes. Raises RecordingError."""
        return size_of(self.path)

    @property
    def complete(self) -> bool:
        """Whether nothing of it was cut, and its session was saved as a whole."""
        return self.manifest.get("complete") is True and not self._files.cut

    def _no_recording(self) -> str:
        """Return why the file is not a recording, as a sentence."""
        if self.path.is_dir():
            return f"{self._name} is not a recording: the folder has no {EVENTS}"
        with self.path.open("rb") as file:
            start = file.read(8)
        if not start:
            return f"{self._name} is empty (0 bytes): expected a recording"
        if start[:4] != b"PK\3\4"[: len(start)]:
            return f"{self._name} is not an rtnb recording: it starts with {start[:4]!r}"
        if self._files.cut:
            return f"{self._name} was cut before its first event"
        return f"{self._name} is not an rtnb recording: the zip has no {EVENTS}"

    def _state_problem(self) -> None:
        """Say in ``problem`` what is wrong with a recording that could be opened."""
        count = f"{len(self.log):,}"
        missing = [track.info.id for track in self._tracks if track.damage is not None]
        if self.lost:
            self.problem = f"{self._name} was repaired: " + "; ".join(self.lost)
        elif self._files.cut:
            declared = self.manifest.get("events")
            of = f"{declared:,}" if isinstance(declared, int) else "the"
            silent = f"; audio that is missing is silent ({', '.join(missing)})" if missing else ""
            self.problem = f"{self._name} was cut: {count} of {of} events are intact{silent}"
            if declared == len(self.log) and not silent:
                self.problem = f"{self._name} was cut: all of its {count} events are intact"
        elif not self.complete:
            self.problem = f"{self._name} is an autosave without an end: {count} of its events are intact"

    def _damage(self, what: str) -> None:
        """Note what is damaged and left out, or refuse the file."""
        if not self.repair:
            raise RecordingError(
                f"{self._name} is damaged: it {what}. To recover what is intact:  "
                f"rtnb recover {self.path.name:.100} OUT.rtnb"
            )
        self.lost.append(f"it {what}")

    def _read_manifest(self) -> dict[str, Any]:
        member = self._files.members.get(MANIFEST)
        if member is None:
            self._damage(f"lacks {MANIFEST}")
            return {}
        try:
            found = orjson.loads(member.read(_MAX_MANIFEST))
            if not isinstance(found, dict):
                raise Damaged("is not a JSON object")
        except (Damaged, ValueError, RecursionError) as error:
            self._damage(f"has a manifest that {error}")
            return {}
        version = found.get("format")
        if isinstance(version, int) and version > VERSION:
            raise RecordingError(
                f"{self._name} has format {version}, and this rtnb reads formats up to {VERSION}: "
                "run  pip install -U rtnb"
            )
        return found

    def _check_files(self) -> None:
        """Compare all files with what was written."""
        listed = as_object(self.manifest.get("files"))
        for name, about in listed.items():
            member = self._files.members.get(name)
            if member is None:
                self._damage(f"lacks {name}")
            elif member.whole and _sha256(member) != as_object(about).get("sha256"):
                self._damage(f"has {name}, which differs from what was written")
        for name, member in self._files.members.items():
            if name not in listed and member.crc is not None and member.whole and not member.is_intact():
                self._damage(f"has {name}, which differs from what was written")

    def _track_infos(self) -> list[TrackInfo]:
        try:
            infos = msgspec.convert(self.manifest.get("tracks") or [], list[TrackInfo])
        except msgspec.ValidationError as error:
            self._damage(f"has a list of tracks that cannot be used ({error})")
            infos = []
        most = most_audio(sum(member.stored for member in self._files.members.values()))
        if len(infos) > MAX_TRACKS:
            raise RecordingError(
                f"{self._name} declares {len(infos):,} tracks, expected at most {MAX_TRACKS}"
            )
        usable = []
        for info in infos:
            known = info.codec in RAW_SUFFIXES and info.side in ("input", "output")
            if not known or not 0 < info.rate < 1 << 20 or not 0 <= info.bytes < 1 << 48:
                self._damage(f"has a track {info.id!r:.40} that cannot be used")
            else:
                usable.append(info)
        if sum(info.bytes for info in usable) > most:
            raise RecordingError(f"{self._name} declares more audio than it can hold: it is damaged")
        if not usable and self.lost:
            usable = list(_guessed(self._files.members))
        return usable

    # Unpacking.

    def _block(self, number: int) -> bytes:
        """Return the stored frames of a block."""
        try:
            return self._events.block(number)
        except Damaged as error:
            raise RecordingError(f"{self._name} is damaged: it {error}") from None

    def _audio(self, row: int) -> bytes:
        """Return the audio of a cut."""
        return self._part(int(self._track_of[row]), int(self._start_of[row]), int(self._size_of[row]))

    def _part(self, track: int, start: int, size: int) -> bytes:
        try:
            return self._tracks[track].read(start, size)
        except Damaged as error:
            raise RecordingError(
                f"{self._name} is damaged: the audio of {error}. To recover what is intact:  "
                f"rtnb recover {self.path.name:.100} OUT.rtnb"
            ) from None

    @property
    def media(self) -> Iterator[Media]:
        """The audio that came beside the frames, in order of time."""
        for t_ns, track, start, size in self._media:
            info = self._tracks[track].info
            codec = Lane(info.side, info.codec, info.rate).format
            yield Media(t_ns, info.side, codec, self._part(track, start, size))

    @property
    def damaged_tracks(self) -> list[str]:
        """What of the audio that was read could not be read, one sentence each."""
        return [f"its track {one.info.id} {one.damage}" for one in self._tracks if one.damage is not None]

    def copies(self) -> Copies:
        """Return the tracks that are stored as Opus, to be copied unchanged."""
        return dict(copy for track in self._tracks if (copy := track.copy_of()) is not None)


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


def _sha256(member: Member) -> str | None:
    """Return the hash of a file's content, as hex digits; None if it cannot be unpacked."""
    sha = sha256()
    try:
        for data in member.content():
            sha.update(data)
    except Damaged:
        return None
    return sha.hexdigest()


def _guessed(members: dict[str, Member]) -> Iterator[TrackInfo]:
    """Yield the tracks of a recording whose manifest is lost, as their files show them."""
    import soundfile

    codecs = {suffix: codec for codec, suffix in RAW_SUFFIXES.items()}
    by_id: dict[str, TrackInfo] = {}
    for name, member in sorted(members.items()):
        folder, _, file = name.partition("/")
        id, _, suffix = file.rpartition(".")
        side = id.partition("-")[0]
        if folder != "audio" or side not in ("input", "output"):
            continue
        info = by_id.setdefault(id, TrackInfo(id, side, "audio/pcm", 24_000))
        if suffix in codecs:
            info.codec, info.raw, info.bytes = codecs[suffix], name, member.size
            continue
        try:
            held = io.BytesIO(b"".join(member.content())) if member.deflated else member.section()
            with held, soundfile.SoundFile(held) as decoded:
                info.rate, info.file = decoded.samplerate, name
                info.bytes = info.bytes if info.raw else 2 * decoded.frames
        except (soundfile.SoundFileError, TypeError, Damaged):
            continue
    yield from by_id.values()


def open_reader(path: str | os.PathLike[str], *, repair: bool = False) -> Reader | JsonlReader:
    """Open a recording or JSON Lines, by the suffix. Raises RecordingError or ArgumentError."""
    path = user_path(path, "a recording")
    return JsonlReader(path) if is_jsonl(path) else Reader(path, repair=repair)
