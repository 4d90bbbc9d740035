"""Sound files: reading WAV, FLAC, Ogg, MP3, MP4 and WebM; writing WAV, FLAC and Opus.

The first bytes of a file decide which library reads it: libsndfile (through soundfile) or FFmpeg (through
PyAV). A file's name decides nothing, and neither library is ever given a name or a URL to open: both read
from a file that is open already. Audio is read in blocks, mixed to mono and resampled on the way, so that a
false length in a header costs no memory. Several files end to end are read one after the other, and of a
damaged or truncated file all that can be read; what is missing is noted.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from rtnb.audio.codecs import to_int16
from rtnb.audio.decoders import BadFile, Opened, blocks
from rtnb.audio.file_parts import Part, find_parts
from rtnb.audio.samples import Resampler, Samples, as_number, as_rate, check, mix, resample, short
from rtnb.audio.sources import Source, UnnamedFile, opened_source
from rtnb.errors import AudioError
from rtnb.paths import short as short_path

__all__ = ["FORMATS", "MAX_SECONDS", "Decoded", "Source", "decode", "encode", "format_of"]

MAX_SECONDS = 4 * 3600.0
FORMATS = {".wav": "wav", ".flac": "flac", ".ogg": "opus", ".opus": "opus", ".webm": "webm"}

_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_CANCELS = 0.01
"""Channels whose average has less than this part of their power (−20 dB) cancel each other."""


class Decoded(NamedTuple):
    """Audio of a file: float32 of shape ``(n,)``, its rate in Hz, and a note on what is missing or odd."""

    samples: Samples
    rate: int
    note: str = ""


def decode(
    source: Source,
    *,
    rate: int | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    max_seconds: float = MAX_SECONDS,
    channel: int | None = None,
) -> Decoded:
    """Read audio from a path, a data: URI, the bytes of a file, or an open binary file.

    Parameters
    ----------
    source
        A ``str`` is a path or a data: URI. An open file is read from its current position and stays open.
    rate
        Resample to this rate in Hz while reading; None keeps the file's own.
    start, seconds
        The part to read, in seconds; ``seconds=None`` reads to the end.
    max_seconds
        Longer audio is refused.
    channel
        The only channel to read, counted from 0; None averages all. Channels that cancel each other in the
        average are noted, and the first is read.

    Returns
    -------
    Decoded
        Samples, rate and note.

    Raises
    ------
    AudioError
        The file does not exist, cannot be read, has no audio that is intact, or is longer than
        ``max_seconds``.
    """
    rate = None if rate is None else as_rate(rate)
    start = as_number(start, "start", 0)
    seconds = None if seconds is None else as_number(seconds, "seconds", 0)
    max_seconds = as_number(max_seconds, "max_seconds", 0)
    if channel is not None:
        number = as_number(channel, "channel", 0)
        if number != int(number):
            raise AudioError(f"channel must be a whole number, counted from 0; got {short(channel)}")
        channel = int(number)
    with opened_source(source) as (file, name):
        try:
            return _Reading(file, rate, start, seconds, max_seconds, channel).read()
        except BadFile as error:
            raise AudioError(f"{name} {error}") from error
        except AudioError as error:
            raise AudioError(f"{name} cannot be used: its {error}") from error
        except MemoryError as error:
            raise AudioError(
                f"{name} does not fit into memory: read a part of it with start=0, seconds=600"
            ) from error
        except OSError as error:
            raise AudioError(f"{name} cannot be read: {error.strerror or 'input error'}") from error


class _Reading:
    """Reads the parts of a file one after the other, each at its own rate, into one array."""

    def __init__(
        self,
        file: UnnamedFile,
        rate: int | None,
        start: float,
        seconds: float | None,
        max_seconds: float,
        channel: int | None,
    ) -> None:
        self._file = file
        self._rate = rate
        self._start = start  # seconds still to be skipped
        self._seconds = seconds
        self._max_seconds = max_seconds
        self._channel = channel
        self._left = max_seconds if seconds is None else seconds  # still to be read
        self._notes: list[str] = []
        self._mixed: list[Samples] = []
        self._first: list[Samples] = []  # the first channel, where there are several
        self._power = np.zeros(2)  # of the average, and of the channels on average

    def read(self) -> Decoded:
        if not self._file.read(1):
            raise BadFile("is empty (0 bytes)")
        if self._seconds is not None and self._seconds > self._max_seconds:
            raise BadFile(
                f"cannot be read for {self._seconds:g} s with max_seconds={self._max_seconds:g}: "
                "raise max_seconds"
            )
        parts = find_parts(self._file)
        for number, part in enumerate(parts, 1):
            if self._left <= 0 and self._seconds is not None:
                break
            try:
                self._read_part(part)
            except BadFile as error:
                if number == 1 or self._is_too_long(error):
                    raise
                self._notes.append(f"part {number} of {len(parts)} {error}")
        rate = self._rate or 1
        mixed = np.concatenate([np.zeros(0, np.float32), *self._mixed])
        if self._channel is None and self._power[0] < _CANCELS * self._power[1]:
            mixed = np.concatenate(self._first)
            self._notes.append("its channels cancel each other, so only the first was read (channel=0)")
        return Decoded(mixed, rate, "; ".join(self._notes))

    def _too_long(self) -> str:
        return (
            f"is longer than max_seconds={self._max_seconds:g}: "
            "read a part of it with start=0, seconds=600, or raise max_seconds"
        )

    def _is_too_long(self, error: BadFile) -> bool:
        return str(error) == self._too_long()

    def _read_part(self, part: Part) -> None:
        with closing(blocks(part.open(self._file))) as found:
            opened = cast("Opened", next(found))
            if self._seconds is None and opened.seconds - self._start > self._left:
                raise BadFile(self._too_long())
            if self._channel is not None and self._channel >= opened.channels:
                raise BadFile(f"has no channel {self._channel}: it has {opened.channels}, counted from 0")
            self._rate = self._rate or opened.rate
            stop = round(self._left * opened.rate) + (self._seconds is None)
            skip, taken, total = round(self._start * opened.rate), 0, 0
            mixed = Resampler(opened.rate, self._rate)
            first = Resampler(opened.rate, self._rate)
            while taken < stop and (block := cast("Samples | None", next(found, None))) is not None:
                total += len(block)
                piece = block[skip : skip + stop - taken]
                skip = max(0, skip - len(block))
                taken += len(piece)
                if self._seconds is None and taken == stop:
                    raise BadFile(self._too_long())
                self._take(piece, opened.channels, mixed, first)
            self._take(np.zeros((0, opened.channels), np.float32), opened.channels, mixed, first, last=True)
        self._start = max(0.0, self._start - total / opened.rate)
        self._left = max(0.0, self._left - taken / opened.rate)
        if part.declared > total and taken < stop:
            had, declared = total / opened.rate, part.declared / opened.rate
            self._notes.append(f"ends after {had:.2f} s of the {declared:.2f} s that its header declares")
        if taken < stop:
            self._notes += [*filter(None, [part.note]), *opened.notes]

    def _take(
        self, piece: Samples, channels: int, mixed: Resampler, first: Resampler, *, last: bool = False
    ) -> None:
        """Take audio of shape ``(n, channels)``."""
        average = (
            piece[:, self._channel or 0] if self._channel is not None or channels == 1 else mix(piece, 1)
        )
        self._mixed.append(mixed.process(check(np.ascontiguousarray(average)), last=last))
        if self._channel is None and channels > 1:
            self._first.append(first.process(check(np.ascontiguousarray(piece[:, 0])), last=last))
            self._power += (
                np.square(average, dtype=np.float64).sum(),
                np.square(piece, dtype=np.float64).sum() / channels,
            )
        else:
            self._first.append(self._mixed[-1])
            self._power += np.square(average, dtype=np.float64).sum()


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format for a file's suffix: wav, flac, opus or webm.

    Raises
    ------
    AudioError
        The suffix is another one, or missing.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise AudioError(f"the suffix of {short_path(path)} must be one of {', '.join(FORMATS)}")
    return FORMATS[suffix]


def encode(samples: Samples, rate: int, format: str = "wav", tags: Mapping[str, str] | None = None) -> bytes:
    """Return ``samples`` of shape ``(n,)`` as the bytes of a file.

    ``"wav"`` and ``"flac"`` hold 16 bit at ``rate``. ``"opus"`` (in Ogg; ``"ogg"`` is the same) and
    ``"webm"`` hold Opus at the next of its rates (8, 12, 16, 24 or 48 kHz), about 180 kB a minute of speech.
    ``tags`` are title, date, comment and software.

    Raises
    ------
    AudioError
        The format is another one, or cannot hold this rate.
    """
    if format not in ("wav", "flac", "opus", "ogg", "webm"):
        raise AudioError(f"format must be one of wav, flac, opus, webm; got {short(format)}")
    if not len(samples) and format != "wav":
        # The other formats cannot be empty: no reader accepts the file.
        samples = np.zeros(max(1, rate // 50), np.float32)
    if format in ("wav", "flac"):
        return _encode_sndfile(samples, rate, format, tags or {})
    return _encode_opus(samples, rate, "webm" if format == "webm" else "ogg", tags or {})


def _encode_sndfile(samples: Samples, rate: int, format: str, tags: Mapping[str, str]) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", rate, 1, "PCM_16", format=format.upper()) as file:
            for name, text in tags.items():
                setattr(file, name, text)
            file.write(to_int16(samples))
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{format} cannot hold audio at {rate} Hz: resample it, for example to 24000"
        ) from error
    return buffer.getvalue()


def _encode_opus(samples: Samples, rate: int, container: str, tags: Mapping[str, str]) -> bytes:
    import av

    target = next((r for r in _OPUS_RATES if r >= rate), _OPUS_RATES[-1])
    limited = np.clip(resample(samples, rate, target), -1.0, 1.0).reshape(1, -1)
    buffer = io.BytesIO()
    # Without random serial numbers, so that the same notebook run twice has the same bytes.
    with av.open(buffer, mode="w", format=container, options={"fflags": "+bitexact"}) as out:
        out.metadata.update(tags)
        stream = out.add_stream("libopus", rate=target)
        stream.codec_context.layout = "mono"
        stream.codec_context.bit_rate = 24_000 if target <= 24_000 else 64_000
        for start in range(0, limited.shape[1], target):
            frame = av.AudioFrame.from_ndarray(
                limited[:, start : start + target], format="flt", layout="mono"
            )
            frame.sample_rate = target
            frame.pts = start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()
