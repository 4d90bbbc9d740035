"""The audio of a recording: one file a track, written while it comes and read in parts."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..audio.codecs import to_pcm16
from .format import RAW_SUFFIXES, Damaged, Lane, TrackInfo, most_audio, silence
from .zip_files import Member

__all__ = ["Copies", "Temporary", "TrackReader", "TrackWriter"]

_IN_MEMORY = 8 << 20
_BATCH = 480_000
"""Bytes of audio that are encoded at once: ten seconds of PCM16 at 24 kHz."""
_WINDOW = 480_000
"""Bytes of audio that are decoded at once."""
_SMALL = 8192
"""The same where a part of a track is damaged: one FLAC frame."""
_CACHED = 6
_RATE = 24_000  # in the header of a file that cannot have the rate of its track
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_OPUS_LEVEL = 0.92
"""Of libsndfile, from 0 (256 kbit/s) to 1 (6 kbit/s): about 26 kbit/s."""

Copies = Mapping[str, Member]
"""Files with Opus, by the SHA-256 of the PCM16 that they decode to.

Encoding it again would change it again, so a recording made from one with Opus copies it.
"""


class Temporary(SpooledTemporaryFile[bytes]):
    """A file without a name, in memory while it is small; closed with its owner."""

    def __init__(self) -> None:
        super().__init__(max_size=_IN_MEMORY)

    def __del__(self) -> None:
        self.close()


class TrackWriter:
    """Collects one track and encodes it at its end. ``lossy``: as Opus, where that can hold its rate."""

    def __init__(self, id: str, lane: Lane, *, lossy: bool = False) -> None:
        self.info = TrackInfo(id, *lane)
        self._codec = lane.format
        self._opus = lossy and lane.codec == "audio/pcm" and lane.rate in _OPUS_RATES
        self._sha = hashlib.sha256()
        self._audio = Temporary()
        self._playable: Temporary | None = None  # PCM16 of whole samples, if a piece ended within one

    def add(self, audio: bytes) -> int:
        """Add audio and return where it starts in the track, in bytes."""
        start = self.info.bytes
        odd = len(audio) % self._codec.width
        if odd and self._playable is None:
            self._playable = Temporary()
            self._audio.seek(0)
            shutil.copyfileobj(self._audio, self._playable)
        if self._playable is not None:
            self._playable.write(audio[: len(audio) - odd])
        self._audio.write(audio)
        self._sha.update(audio)
        self.info.bytes += len(audio)
        return start

    def end(self, copies: Copies | None) -> list[tuple[str, IO[bytes], int]]:
        """Return its files, as name, open file and length; ``info`` has their names."""
        info = self.info
        exact = info.codec == "audio/pcm" and self._playable is None
        copy = (copies or {}).get(self._sha.hexdigest()) if exact else None
        if copy is not None:
            info.file = f"audio/{info.id}.opus"
            copied = Temporary()
            for data in copy.content():
                copied.write(data)
            return [(info.file, copied, copied.tell())]
        opus = self._opus and exact and copies is None
        info.file = f"audio/{info.id}.{'opus' if opus else 'flac'}"
        encoded = self._encoded(self._playable or self._audio, opus=opus)
        found = [(info.file, encoded, encoded.seek(0, 2))]
        if not exact:
            info.raw = f"audio/{info.id}.{RAW_SUFFIXES[info.codec]}"
            found.append((info.raw, self._audio, info.bytes))
        return found

    def _encoded(self, audio: IO[bytes], *, opus: bool) -> IO[bytes]:
        import soundfile

        out, rate = Temporary(), self.info.rate
        kind, subtype, level = ("OGG", "OPUS", _OPUS_LEVEL) if opus else ("FLAC", "PCM_16", 1.0)
        rate = rate if opus or _holds_rate(rate) else _RATE
        audio.seek(0)
        with soundfile.SoundFile(out, "w", rate, 1, subtype, format=kind, compression_level=level) as file:
            while data := audio.read(_BATCH):
                if self.info.codec != "audio/pcm":
                    data = to_pcm16(self._codec.decode(data))
                file.write(np.frombuffer(data, "<i2"))
        return out


def _holds_rate(rate: int) -> bool:
    """Return whether the header of a FLAC file can have a rate (RFC 9639, section 9.1.2)."""
    return 0 < rate <= 65_535 or (rate <= 655_350 and rate % 10 == 0)


class TrackReader:
    """Reads parts of one track. ``repair``: what is damaged or missing is silence."""

    def __init__(self, info: TrackInfo, members: Mapping[str, Member], *, repair: bool) -> None:
        self.info = info
        self.damage: str | None = None
        """What of it could not be read, as the end of a sentence."""
        self._repair = repair
        member = members.get(info.raw or info.file)
        self._member = member
        if member is None or not member.whole:
            self.damage = "is missing" if member is None else "was cut"
        self._plain: Temporary | None = None  # a file that another program has deflated
        self._decoded: Temporary | None = None  # Opus, which cannot be decoded in parts
        self._windows: OrderedDict[int, bytes] = OrderedDict()
        self._lost_from = info.bytes  # where a file that was cut ends
        self._lock = threading.RLock()

    @property
    def is_opus(self) -> bool:
        """Whether it is lossy."""
        return self.info.raw is None and self.info.file.endswith(".opus")

    def read(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes from ``start`` on, from any thread. Raises Damaged."""
        with self._lock:
            return self._read(start, size)

    def _read(self, start: int, size: int) -> bytes:
        if start + size > self.info.bytes:
            return self._missing("has less audio than its events declare", size)
        first, last = start // _WINDOW, (start + size - 1) // _WINDOW
        if first == last:
            at = start - first * _WINDOW
            return self._window(first)[at : at + size]
        parts = []
        for number in range(first, last + 1 if size else first):
            window = self._window(number)
            at = number * _WINDOW
            parts.append(window[max(start - at, 0) : start + size - at])
        return b"".join(parts)

    def _missing(self, why: str, size: int) -> bytes:
        self.damage = self.damage or why
        if not self._repair:
            raise Damaged(f"{self.info.id} {why}")
        return silence(self.info.codec, size)

    def _window(self, number: int) -> bytes:
        window = self._windows.get(number)
        if window is not None:
            self._windows.move_to_end(number)
            return window
        at = number * _WINDOW
        size = min(_WINDOW, self.info.bytes - at)
        window = self._load(at, size)
        self._windows[number] = window
        if len(self._windows) > _CACHED:
            self._windows.popitem(last=False)
        return window

    def _load(self, at: int, size: int) -> bytes:
        if at >= self._lost_from:
            return self._missing("was cut", size)
        try:
            return self._stored(at, size)
        except Damaged as error:
            cut = self._member is None or not self._member.whole
            if cut and size <= _SMALL:
                self._lost_from = min(self._lost_from, at)
            if not self._repair or size <= _SMALL:
                return self._missing(str(error), size)
            self.damage = self.damage or str(error)
        parts = (self._load(at + part, min(_SMALL, size - part)) for part in range(0, size, _SMALL))
        return b"".join(parts)

    def _stored(self, at: int, size: int) -> bytes:
        member = self._member
        if member is None:
            raise Damaged("is missing")
        if self.info.raw is not None:
            with self._file(member) as file:
                file.seek(at)
                data = file.read(size)
        elif self.is_opus:
            decoded = self._all_decoded(member)
            decoded.seek(at)
            data = decoded.read(size)
        else:
            with self._file(member) as file:
                data = _decoded(file, at, size)
        if len(data) != size:
            raise Damaged("was cut" if not member.whole else "has less audio than it declares")
        return data

    @contextmanager
    def _file(self, member: Member) -> Iterator[IO[bytes]]:
        """Open the file of the track."""
        if not member.deflated:
            with member.section() as section:
                yield cast("IO[bytes]", section)
            return
        if self._plain is None:
            self._plain = out = Temporary()
            for data in member.content():
                out.write(data)
                if out.tell() > most_audio(member.stored):
                    raise Damaged("unpacks to more than audio does")
        self._plain.seek(0)
        yield self._plain

    def _all_decoded(self, member: Member) -> Temporary:
        if self._decoded is None:
            self._decoded = out = Temporary()
            with self._file(member) as file:
                for block in _blocks(file):
                    out.write(block)
                    if out.tell() > self.info.bytes + _WINDOW:
                        raise Damaged("has more audio than it declares")
        return self._decoded

    def sha256(self) -> str:
        """Return the hash of all its audio, as hex digits."""
        sha = hashlib.sha256()
        for at in range(0, self.info.bytes, _WINDOW):
            if self.damage is not None:
                break
            sha.update(self.read(at, min(_WINDOW, self.info.bytes - at)))
        return sha.hexdigest()

    def copy_of(self) -> tuple[str, Member] | None:
        """Return its file by the hash of its audio, if that is Opus and intact."""
        if not self.is_opus or self._member is None or self.damage is not None:
            return None
        sha = self.sha256()
        return (sha, self._member) if self.damage is None else None


def _opened(source: IO[bytes]) -> Any:
    import soundfile

    try:
        file = soundfile.SoundFile(source)
    except (soundfile.SoundFileError, TypeError) as error:
        why = str(error).rpartition(": ")[2]
        raise Damaged(f"cannot be decoded ({why})") from None
    if file.channels != 1:
        file.close()
        raise Damaged(f"has {file.channels} channels, expected 1")
    return file


def _decoded(source: IO[bytes], at: int, size: int) -> bytes:
    import soundfile

    with _opened(source) as file:
        try:
            if file.seek(at // 2) != at // 2:
                raise Damaged("has less audio than it declares")
            samples: NDArray[np.int16] = file.read(size // 2, dtype="int16")
        except soundfile.SoundFileError:
            raise Damaged("has damaged audio") from None
    return samples.astype("<i2", copy=False).tobytes()


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    import soundfile

    with _opened(source) as file:
        try:
            while len(samples := file.read(_WINDOW // 2, dtype="int16")):
                yield samples.astype("<i2", copy=False).tobytes()
        except soundfile.SoundFileError:
            raise Damaged("has damaged audio") from None
