"""Sound files: reading WAV, FLAC, Ogg, MP3, MP4 and WebM; writing WAV, FLAC and Opus.

The first bytes of a file decide which library reads it: libsndfile (through soundfile) or FFmpeg (through
PyAV). A file's name decides nothing, and neither library is ever given a name or a URL to open: both read
from a file that is open already. Audio is read in blocks, mixed to mono and resampled on the way, so that a
false length in a header costs no memory.
"""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote_to_bytes

import numpy as np
from pybase64 import b64decode

from rtnb.audio.codecs import to_int16
from rtnb.audio.samples import Resampler, Samples, as_number, as_rate, check, mix, resample, short, to_float
from rtnb.errors import AudioError
from rtnb.paths import is_data_uri, opened, user_path
from rtnb.paths import short as short_path

__all__ = ["FORMATS", "MAX_SECONDS", "Source", "decode", "encode", "format_of"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

MAX_SECONDS = 4 * 3600.0
FORMATS = {".wav": "wav", ".flac": "flac", ".ogg": "opus", ".opus": "opus", ".webm": "webm"}

_MAX_DATA_URI = 500_000_000
_BLOCK = 65_536
_SNDFILE = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC", b"OggS")
# FFmpeg's demuxers of audio and video. Without playlists and scripts, which open other files.
_DEMUXERS = "aac,aiff,amr,asf,au,avi,caf,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpegts,ogg,w64,wav"
_FRAMES = 2**62  # more than any valid header declares
_PLANES = 8  # with so many, PyAV reads past the end of a frame and crashes the process
_MAX_CHUNKS = 1000  # of a WAV file, before its audio
_WAV_LINEAR = (
    b"\x01\0",
    b"\x03\0",
    b"\x06\0",
    b"\x07\0",
    b"\xfe\xff",
)  # PCM, float, A-law, µ-law, extensible
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)


class _BadFile(Exception):
    """What is wrong with a file, as the end of a sentence that starts with its name."""


def decode(
    source: Source,
    *,
    rate: int | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    max_seconds: float = MAX_SECONDS,
) -> tuple[Samples, int]:
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

    Returns
    -------
    samples, rate
        float32 of shape ``(n,)``, channels averaged, and the rate in Hz.

    Raises
    ------
    AudioError
        The file does not exist, cannot be read, has no audio, is damaged, or longer than ``max_seconds``.
    """
    rate = None if rate is None else as_rate(rate)
    start = as_number(start, "start", 0)
    seconds = None if seconds is None else as_number(seconds, "seconds", 0)
    max_seconds = as_number(max_seconds, "max_seconds", 0)
    with _opened(source) as (file, name):
        try:
            return _decode(file, rate, start, seconds, max_seconds)
        except _BadFile as error:
            raise AudioError(f"{name} {error}") from error
        except AudioError as error:
            raise AudioError(f"{name} cannot be used: its {error}") from error
        except MemoryError as error:
            raise AudioError(
                f"{name} does not fit into memory: read a part of it with start=0, seconds=600"
            ) from error
        except OSError as error:
            raise AudioError(f"{name} cannot be read: {error.strerror or 'input error'}") from error


def _decode(
    file: _UnnamedFile, rate: int | None, start: float, seconds: float | None, max_seconds: float
) -> tuple[Samples, int]:
    head = file.read(12)
    file.seek(0)
    if not head:
        raise _BadFile("is empty (0 bytes)")
    if seconds is not None and seconds > max_seconds:
        raise _BadFile(
            f"cannot be read for {seconds:g} s with max_seconds={max_seconds:g}: raise max_seconds"
        )
    too_long = (
        f"is longer than max_seconds={max_seconds:g}: "
        "read a part of it with start=0, seconds=600, or raise max_seconds"
    )
    with closing(_sndfile_blocks(file) if head.startswith(_SNDFILE) else _ffmpeg_blocks(file)) as blocks:
        source_rate, claimed = cast("tuple[int, float]", next(blocks))
        if seconds is None and claimed - start > max_seconds:
            raise _BadFile(too_long)
        stop = round(max_seconds * source_rate) + 1 if seconds is None else round(seconds * source_rate)
        skip, taken = round(start * source_rate), 0
        resampler = Resampler(source_rate, rate or source_rate)
        parts: list[Samples] = []
        while taken < stop and (block := cast("Samples | None", next(blocks, None))) is not None:
            piece = block[skip : skip + stop - taken]
            skip = max(0, skip - len(block))
            taken += len(piece)
            if seconds is None and taken == stop:
                raise _BadFile(too_long)
            parts.append(resampler.process(check(piece)))
    parts.append(resampler.process(np.zeros(0, np.float32), last=True))
    return np.concatenate(parts), resampler.rate_out


class _UnnamedFile(io.RawIOBase):
    """An open file without a name, so that no library guesses a format from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, start: int = 0, /) -> int:
        # libsndfile seeks before the start of some damaged files, and its callbacks must not raise.
        with suppress(OSError, ValueError, OverflowError):
            self._file.seek(offset, start)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def _opened(source: Source) -> Iterator[tuple[_UnnamedFile, str]]:
    """Open a source for reading, and yield it with the name that it has in errors."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield _UnnamedFile(io.BytesIO(bytes(source))), "the audio data"
    elif isinstance(source, str) and is_data_uri(source):
        yield _UnnamedFile(io.BytesIO(_from_data_uri(source))), "the data: URI"
    elif isinstance(source, (str, os.PathLike)):
        path = user_path(source, "a sound file", AudioError)
        with opened(path, AudioError) as file:
            yield _UnnamedFile(file if file.seekable() else io.BytesIO(_read_all(file)[0])), short_path(path)
    elif hasattr(source, "read"):
        data, name = _read_all(source)
        yield _UnnamedFile(io.BytesIO(data)), name
    else:
        raise AudioError(
            f"audio is read from a path, bytes or an open binary file; got {type(source).__name__}"
        )


def _from_data_uri(uri: str) -> bytes:
    """Return the bytes of a data: URI, in base64 or percent-encoded."""
    if len(uri) > _MAX_DATA_URI:
        raise AudioError(
            f"the data: URI has {len(uri):,} characters and may have {_MAX_DATA_URI:,}: "
            "write the audio to a file and pass its path"
        )
    head, _, data = uri.partition(",")
    content = unquote_to_bytes(data)
    if not head.lower().endswith(";base64"):
        return content
    try:
        return b64decode(b"".join(content.split()), validate=True)
    except ValueError:
        raise AudioError(
            f"the data: URI ({len(uri):,} characters) has invalid base64: copy it again"
        ) from None


def _read_all(file: Any) -> tuple[bytes, str]:
    """Return what an open file holds from its position on, and its name in errors."""
    if isinstance(file, io.TextIOBase):
        raise AudioError('the open file is in text mode: open it with mode "rb"')
    if getattr(file, "closed", False) is True:
        raise AudioError("the open file is closed: open it again")
    try:
        position = int(file.tell())
    except (AttributeError, OSError, TypeError, ValueError):  # a stream
        position = None
    try:
        data = file.read()
    except io.UnsupportedOperation:
        raise AudioError('the open file was not opened for reading: open it with mode "rb"') from None
    except (OSError, ValueError) as error:
        raise AudioError(f"the open file cannot be read: {short(str(error))}") from error
    if isinstance(data, str):
        raise AudioError('the open file is in text mode: open it with mode "rb"')
    if not isinstance(data, (bytes, bytearray, memoryview)):
        if inspect.iscoroutine(data):
            data.close()
        raise AudioError(f"read() of the open file must return bytes; got {type(data).__name__}")
    if not data and position:
        raise AudioError("the open file is at its end: call seek(0) before reading")
    if not data and position is None:
        raise AudioError("the open file returned no data: it is empty, or a stream that was read before")
    start = f", read from byte {position:,} (its start is at seek(0))," if position else ""
    return bytes(data), f"the open file{start}"


def _sndfile_blocks(file: _UnnamedFile) -> Generator[object, None, None]:
    """Yield (rate, declared seconds), then blocks. FFmpeg reads what libsndfile cannot open."""
    import soundfile

    declared = _wav_frames(file)
    try:
        audio = soundfile.SoundFile(file)
        if audio.frames > _FRAMES:
            # FLAC that was written to a pipe declares no length, and libsndfile fails on its first block.
            audio.close()
            raise ValueError
    except (soundfile.SoundFileError, TypeError, ValueError):
        file.seek(0)
        yield from _ffmpeg_blocks(file)
        return
    with audio:
        declared = max(declared, audio.frames)
        rate = _rate(audio.samplerate)
        yield rate, declared / rate
        done = 0
        while True:
            try:
                block = audio.read(_BLOCK, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise _BadFile(f"is damaged after {done / rate:.2f} s") from error
            if not len(block):
                break
            done += len(block)
            yield mix(block, axis=1)
        if done < declared:
            raise _BadFile(
                f"ends after {done / rate:.2f} s of the {declared / rate:.2f} s that its header declares: "
                "copy or record it again, or read the part that exists with seconds="
            )


def _wav_frames(file: _UnnamedFile) -> int:
    """Return how many frames a WAV header declares, 0 if unknown: libsndfile reports those that exist."""
    head = file.read(12)
    width = frames = 0
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        for _ in range(_MAX_CHUNKS):
            chunk = file.read(8)
            size = int.from_bytes(chunk[4:], "little")
            if len(chunk) < 8:
                break
            if chunk[:4] == b"data":
                # Writers to a pipe leave 0 or a very large number here.
                frames = size // width if width and size < 0x7FFF_F000 else 0
                break
            if chunk[:4] == b"fmt ":
                fmt = file.read(16)
                if fmt[:2] in _WAV_LINEAR:
                    width = int.from_bytes(fmt[12:14], "little")
                file.seek(size - len(fmt), 1)
            else:
                file.seek(size, 1)
            file.seek(size % 2, 1)
    file.seek(0)
    return frames


def _rate(rate: int) -> int:
    try:
        return as_rate(rate)
    except AudioError as error:
        raise _BadFile(f"is damaged: its header declares a rate of {rate} Hz") from error


def _ffmpeg_blocks(file: _UnnamedFile) -> Generator[object, None, None]:
    """Yield (rate, 0.0: the declared length is ignored), then blocks."""
    import av

    try:
        container = av.open(
            file, mode="r", options={"format_whitelist": _DEMUXERS}, metadata_errors="replace"
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _BadFile(
            "is not a sound file of a supported format (WAV, FLAC, Ogg, MP3, M4A, WebM)"
        ) from error
    with container:
        if not container.streams.audio:
            raise _BadFile("has no audio")
        if container.streams.audio[0].codec_context is None:
            # PyAV before 18 crashes the process when it decodes such a stream.
            raise _BadFile("has its audio in an unsupported codec")
        rate, done = 0, 0
        try:
            for frame in container.decode(container.streams.audio[0]):
                if not rate:
                    rate = _rate(frame.sample_rate)
                    yield rate, 0.0
                if frame.sample_rate != rate:
                    raise _BadFile(f"changes its rate after {done / rate:.2f} s, which is not supported")
                yield _mono(frame)
                done += frame.samples
        except (_BadFile, MemoryError):
            raise
        except Exception as error:  # codecs raise FFmpeg's errors, and their wrapper many others on garbage
            raise _BadFile(f"is damaged after {done / (rate or 1):.2f} s") from error
        if not rate:
            raise _BadFile("has no audio")


def _mono(frame: Any) -> Samples:
    import av

    planes = frame.layout.nb_channels if frame.format.is_planar else 1
    if planes >= _PLANES:
        [frame] = av.AudioResampler(format="flt").resample(frame)
    block = to_float(frame.to_ndarray())
    return mix(block if frame.format.is_planar else block.reshape(frame.samples, -1).T, axis=0)


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


def encode(samples: Samples, rate: int, format: str = "wav") -> bytes:
    """Return ``samples`` of shape ``(n,)`` as the bytes of a file.

    ``"wav"`` and ``"flac"`` hold 16 bit at ``rate``. ``"opus"`` (in Ogg; ``"ogg"`` is the same) and
    ``"webm"`` hold Opus at the next of its rates (8, 12, 16, 24 or 48 kHz), about 180 kB a minute of speech.

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
        return _encode_sndfile(samples, rate, format)
    return _encode_opus(samples, rate, "webm" if format == "webm" else "ogg")


def _encode_sndfile(samples: Samples, rate: int, format: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, to_int16(samples), rate, format=format.upper(), subtype="PCM_16")
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{format} cannot hold audio at {rate} Hz: resample it, for example to 24000"
        ) from error
    return buffer.getvalue()


def _encode_opus(samples: Samples, rate: int, container: str) -> bytes:
    import av

    target = next((r for r in _OPUS_RATES if r >= rate), _OPUS_RATES[-1])
    limited = np.clip(resample(samples, rate, target), -1.0, 1.0).reshape(1, -1)
    buffer = io.BytesIO()
    # Without random serial numbers, so that the same notebook run twice has the same bytes.
    with av.open(buffer, mode="w", format=container, options={"fflags": "+bitexact"}) as out:
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
