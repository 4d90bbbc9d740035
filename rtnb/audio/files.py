"""Sound in files: reading WAV, FLAC, Ogg, MP3, MP4 and WebM; writing WAV, FLAC and Opus.

libsndfile (through soundfile) reads what it knows by the file's first bytes, FFmpeg (through PyAV) the rest.
Nothing is told by a file's name, and neither library is ever given a name or an address to open: both read
from bytes that are open already. Sound is read in blocks, mixed to mono and resampled on the way, so that a
header's claim about its length costs nothing.
"""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from rtnb.audio.codecs import to_int16
from rtnb.audio.samples import Resampler, Samples, as_number, as_rate, check, mix, resample, short, to_float
from rtnb.errors import AudioError

__all__ = ["FORMATS", "MAX_SECONDS", "Source", "decode", "encode", "format_of"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

MAX_SECONDS = 4 * 3600.0
FORMATS = {".wav": "wav", ".flac": "flac", ".ogg": "opus", ".opus": "opus", ".webm": "webm"}

_BLOCK = 65_536
_SNDFILE = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC", b"OggS")
# FFmpeg's demuxers for sound alone or with video. Not in it: playlists and scripts, which open other files.
_DEMUXERS = "aac,aiff,amr,asf,au,avi,caf,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpegts,ogg,w64,wav"
_FRAMES = 2**62  # more than any header can tell
_PLANES = 8  # PyAV reads past the end of a frame that has so many, and crashes the process
_MAX_CHUNKS = 1000  # of a WAV file, before its sound
_WAV_LINEAR = (
    b"\x01\0",
    b"\x03\0",
    b"\x06\0",
    b"\x07\0",
    b"\xfe\xff",
)  # PCM, float, A-law, µ-law, extensible
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)


class _Broken(Exception):
    """What is wrong with the file at hand, as the end of a sentence that begins with its name."""


def decode(
    source: Source,
    *,
    rate: int | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    max_seconds: float = MAX_SECONDS,
) -> tuple[Samples, int]:
    """Read sound from a path, from the bytes of a file, or from an open binary file.

    Parameters
    ----------
    source
        A ``str`` is always a path. An open file is read from where it stands and is left open.
    rate
        Resample to this rate in Hz while reading; None keeps the file's own.
    start, seconds
        The piece to read, in seconds; ``seconds=None`` reads to the end.
    max_seconds
        Longer sound is refused.

    Returns
    -------
    samples, rate
        float32 of shape ``(n,)``, channels averaged, and the rate in Hz.

    Raises
    ------
    AudioError
        No such file, no permission, no sound in it, damaged, or longer than ``max_seconds``.
    """
    rate = None if rate is None else as_rate(rate)
    start = as_number(start, "start", 0)
    seconds = None if seconds is None else as_number(seconds, "seconds", 0)
    max_seconds = as_number(max_seconds, "max_seconds", 0)
    with _opened(source) as (file, name):
        try:
            return _decode(file, rate, start, seconds, max_seconds)
        except _Broken as error:
            raise AudioError(f"{name} {error}") from error
        except AudioError as error:
            raise AudioError(f"{name} cannot be used: its {error}") from error
        except MemoryError as error:
            raise AudioError(
                f"{name} does not fit into memory: read a piece with start=0, seconds=600"
            ) from error
        except OSError as error:
            raise AudioError(f"{name} cannot be read: {error.strerror or 'input error'}") from error


def _decode(
    file: _Plain, rate: int | None, start: float, seconds: float | None, max_seconds: float
) -> tuple[Samples, int]:
    head = file.read(12)
    file.seek(0)
    if not head:
        raise _Broken("is empty (0 bytes)")
    if seconds is not None and seconds > max_seconds:
        raise _Broken(f"cannot be read for {seconds:g} s with max_seconds={max_seconds:g}: raise max_seconds")
    too_long = (
        f"is longer than max_seconds={max_seconds:g}: read a piece with start=0, seconds=600, or raise it"
    )
    with closing(_sndfile_blocks(file) if head.startswith(_SNDFILE) else _ffmpeg_blocks(file)) as blocks:
        source_rate, claimed = cast("tuple[int, float]", next(blocks))
        if seconds is None and claimed - start > max_seconds:
            raise _Broken(too_long)
        stop = round(max_seconds * source_rate) + 1 if seconds is None else round(seconds * source_rate)
        skip, taken = round(start * source_rate), 0
        resampler = Resampler(source_rate, rate or source_rate)
        parts: list[Samples] = []
        while taken < stop and (block := cast("Samples | None", next(blocks, None))) is not None:
            piece = block[skip : skip + stop - taken]
            skip = max(0, skip - len(block))
            taken += len(piece)
            if seconds is None and taken == stop:
                raise _Broken(too_long)
            parts.append(resampler.process(check(piece)))
    parts.append(resampler.process(np.zeros(0, np.float32), last=True))
    return np.concatenate(parts), resampler.rate_out


class _Plain(io.RawIOBase):
    """An open file without a name, so that no library guesses from it."""

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

    def seek(self, offset: int, whence: int = 0, /) -> int:
        # Damaged files send libsndfile before their beginning, and its callbacks may not raise.
        with suppress(OSError, ValueError, OverflowError):
            self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def _opened(source: Source) -> Iterator[tuple[_Plain, str]]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield _Plain(io.BytesIO(bytes(source))), "the sound data"
    elif isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if "://" in str(path):
            raise AudioError(f"{path!r} is an address, not a file: fetch it first and give its bytes")
        try:
            file = open(path, "rb")  # noqa: SIM115 (closed below, where its reader's errors are not ours)
        except FileNotFoundError as error:
            raise AudioError(f"there is no file {path!r} (looked in {os.getcwd()!r})") from error
        except IsADirectoryError as error:
            raise AudioError(f"{path!r} is a directory: name a sound file in it") from error
        except PermissionError as error:
            raise AudioError(f"{path!r} may not be read: no permission") from error
        except (OSError, ValueError) as error:
            raise AudioError(f"{path!r} cannot be opened: {error}") from error
        with file:
            yield _Plain(file), repr(path)
    elif hasattr(source, "read"):
        try:
            data = source.read()
        except (OSError, ValueError) as error:
            raise AudioError(f"the open file cannot be read: {error}") from error
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise AudioError('the open file gives text: open it with mode "rb"')
        yield _Plain(io.BytesIO(bytes(data))), "the open file"
    else:
        raise AudioError(
            f"sound is read from a path, bytes or an open binary file; got {type(source).__name__}"
        )


def _sndfile_blocks(file: _Plain) -> Generator[object, None, None]:
    """Yield (rate, claimed seconds), then blocks. What libsndfile cannot open goes to FFmpeg."""
    import soundfile

    told = _wav_frames(file)
    try:
        sound = soundfile.SoundFile(file)
        if sound.frames > _FRAMES:
            # FLAC that was written to a pipe tells no length, and libsndfile fails on its first block.
            sound.close()
            raise ValueError
    except (soundfile.SoundFileError, TypeError, ValueError):
        file.seek(0)
        yield from _ffmpeg_blocks(file)
        return
    with sound:
        told = max(told, sound.frames)
        rate = _rate(sound.samplerate)
        yield rate, told / rate
        done = 0
        while True:
            try:
                block = sound.read(_BLOCK, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise _Broken(f"is damaged after {done / rate:.2f} s") from error
            if not len(block):
                break
            done += len(block)
            yield mix(block, axis=1)
        if done < told:
            raise _Broken(
                f"ends after {done / rate:.2f} s of the {told / rate:.2f} s that its header tells: "
                "copy or record it again, or read what is there with seconds="
            )


def _wav_frames(file: _Plain) -> int:
    """Return how many frames a WAV file's header tells, 0 if none: libsndfile trims it to what is there."""
    head = file.read(12)
    width = frames = 0
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        for _ in range(_MAX_CHUNKS):
            chunk = file.read(8)
            size = int.from_bytes(chunk[4:], "little")
            if len(chunk) < 8:
                break
            if chunk[:4] == b"data":
                # Writers to a pipe leave 0 or a largest number here, which tells nothing.
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
        raise _Broken(f"is damaged: its header tells a rate of {rate} Hz") from error


def _ffmpeg_blocks(file: _Plain) -> Generator[object, None, None]:
    """Yield (rate, 0.0: a length is never believed), then blocks."""
    import av

    try:
        container = av.open(
            file, mode="r", options={"format_whitelist": _DEMUXERS}, metadata_errors="replace"
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _Broken("is not a sound file that is understood (WAV, FLAC, Ogg, MP3, M4A, WebM)") from error
    with container:
        if not container.streams.audio:
            raise _Broken("has no sound in it")
        if container.streams.audio[0].codec_context is None:
            # PyAV before 18 crashes the process on decoding such a stream.
            raise _Broken("has its sound in a codec that is not understood")
        rate, done = 0, 0
        try:
            for frame in container.decode(container.streams.audio[0]):
                if not rate:
                    rate = _rate(frame.sample_rate)
                    yield rate, 0.0
                if frame.sample_rate != rate:
                    raise _Broken(f"changes its rate after {done / rate:.2f} s, which is not understood")
                yield _mono(frame)
                done += frame.samples
        except (_Broken, MemoryError):
            raise
        except Exception as error:  # codecs raise FFmpeg's errors and whatever their wrapper makes of garbage
            raise _Broken(f"is damaged after {done / (rate or 1):.2f} s") from error
        if not rate:
            raise _Broken("has no sound in it")


def _mono(frame: Any) -> Samples:
    import av

    planes = frame.layout.nb_channels if frame.format.is_planar else 1
    if planes >= _PLANES:
        [frame] = av.AudioResampler(format="flt").resample(frame)
    block = to_float(frame.to_ndarray())
    return mix(block if frame.format.is_planar else block.reshape(frame.samples, -1).T, axis=0)


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that a file's suffix stands for: wav, flac, opus or webm.

    Raises
    ------
    AudioError
        Another suffix, or none.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise AudioError(f"the suffix of {os.fspath(path)!r} must be one of {', '.join(FORMATS)}")
    return FORMATS[suffix]


def encode(samples: Samples, rate: int, format: str = "wav") -> bytes:
    """Return ``samples`` of shape ``(n,)`` as a whole file.

    ``"wav"`` and ``"flac"`` hold 16 bit at ``rate``. ``"opus"`` (in Ogg; ``"ogg"`` is the same) and
    ``"webm"`` hold Opus at the next rate it has (8, 12, 16, 24 or 48 kHz), about 180 kB a minute of speech.

    Raises
    ------
    AudioError
        Another format, or a rate that the format cannot hold.
    """
    if format not in ("wav", "flac", "opus", "ogg", "webm"):
        raise AudioError(f"format must be one of wav, flac, opus, webm; got {short(format)}")
    if not len(samples) and format != "wav":
        # The others cannot hold nothing: their writers leave a file that no reader takes.
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
        raise AudioError(f"{format} cannot hold sound at {rate} Hz: resample it, such as to 24000") from error
    return buffer.getvalue()


def _encode_opus(samples: Samples, rate: int, container: str) -> bytes:
    import av

    target = next((r for r in _OPUS_RATES if r >= rate), _OPUS_RATES[-1])
    sound = np.clip(resample(samples, rate, target), -1.0, 1.0).reshape(1, -1)
    buffer = io.BytesIO()
    # Without random serial numbers, so that a notebook that runs again holds the same bytes.
    with av.open(buffer, mode="w", format=container, options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("libopus", rate=target)
        stream.codec_context.layout = "mono"
        stream.codec_context.bit_rate = 24_000 if target <= 24_000 else 64_000
        for begin in range(0, sound.shape[1], target):
            frame = av.AudioFrame.from_ndarray(sound[:, begin : begin + target], format="flt", layout="mono")
            frame.sample_rate = target
            frame.pts = begin
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()
