"""Sound in files: reading WAV, FLAC, Ogg, MP3, MP4 and WebM; writing WAV, FLAC and Opus.

libsndfile (through soundfile) reads what it knows by the file's first bytes, FFmpeg (through PyAV) the rest.
Nothing is told by a file's name, and neither library is ever given a name or an address to open: both read
from bytes that are open already. Sound is read in blocks, mixed to mono and resampled on the way, so that a
header's claim about its length costs nothing.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from rtnb.audio.pcm import to_int16
from rtnb.audio.resample import Resampler, resample
from rtnb.audio.samples import Samples, as_rate, check, to_float
from rtnb.errors import AudioError

__all__ = ["FORMATS", "MAX_SECONDS", "Source", "decode", "encode", "format_of"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

MAX_SECONDS = 4 * 3600.0
FORMATS = {".wav": "wav", ".flac": "flac", ".ogg": "opus", ".opus": "opus", ".webm": "webm"}

_BLOCK = 65_536
_SNDFILE = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC", b"OggS")
# FFmpeg's demuxers for sound alone or with video. Not in it: playlists and scripts, which open other files.
_DEMUXERS = "aac,aiff,amr,asf,au,avi,caf,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpegts,ogg,w64,wav"
_UNKNOWN = "not a sound file that is understood (WAV, FLAC, Ogg, MP3, M4A, WebM)"
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
    for name, value in (("start", start), ("seconds", seconds), ("max_seconds", max_seconds)):
        if value is not None and (not isinstance(value, (int, float)) or not 0 <= value < float("inf")):
            raise AudioError(f"{name} must be a number of seconds, 0 or more; got {value!r:.60}")
    with _opened(source) as (file, name):
        try:
            return _decode(file, rate, start, seconds, max_seconds)
        except _Broken as error:
            raise AudioError(f"{name} {error}") from error
        except AudioError as error:
            raise AudioError(f"{name} is damaged: its {error}") from error
        except MemoryError as error:
            raise AudioError(f"{name} does not fit into memory: read a piece with start= and seconds=") from error
        except OSError as error:
            raise AudioError(f"{name} cannot be read: {error.strerror or 'input error'}") from error


def _decode(
    file: _Plain, rate: int | None, start: float, seconds: float | None, max_seconds: float
) -> tuple[Samples, int]:
    head = file.read(12)
    file.seek(0)
    if not head:
        raise _Broken("is empty (0 bytes)")
    blocks = _sndfile_blocks(file) if head.startswith(_SNDFILE) else _ffmpeg_blocks(file)
    source_rate, total = cast("tuple[int, float | None]", next(blocks))
    wanted = None if seconds is None else round(seconds * source_rate)
    limit = round(max_seconds * source_rate)
    if wanted is not None and wanted > limit:
        raise _Broken(f"was to be read for {seconds:g} s, more than max_seconds={max_seconds:g}: raise max_seconds")
    if wanted is None and total is not None and total - start > max_seconds:
        raise _Broken(_too_long(max_seconds, f"holds {total:.0f} s"))
    resampler = Resampler(source_rate, rate or source_rate)
    parts: list[Samples] = []
    skip, taken = round(start * source_rate), 0
    for block in blocks:
        sound = cast("Samples", block)
        if skip >= len(sound):
            skip -= len(sound)
            continue
        sound, skip = sound[skip:], 0
        if wanted is not None:
            sound = sound[: wanted - taken]
        taken += len(sound)
        if taken > limit:
            raise _Broken(_too_long(max_seconds, "goes on for longer"))
        parts.append(resampler.process(check(sound)))
        if taken == wanted:
            break
    parts.append(resampler.process(np.zeros(0, np.float32), last=True))
    return np.concatenate(parts), resampler.rate_out


def _too_long(max_seconds: float, what: str) -> str:
    return (
        f"{what} than" if what.endswith("longer") else f"{what}, more than"
    ) + f" max_seconds={max_seconds:g}: read a piece with start=0, seconds=600, or raise max_seconds"


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
        return self._file.seek(offset, whence)

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
            with open(path, "rb") as file:
                yield _Plain(file), repr(path)
        except FileNotFoundError as error:
            raise AudioError(f"there is no file {path!r} (looked in {os.getcwd()!r})") from error
        except IsADirectoryError as error:
            raise AudioError(f"{path!r} is a directory: name a sound file in it") from error
        except PermissionError as error:
            raise AudioError(f"{path!r} may not be read: no permission") from error
        except (OSError, ValueError) as error:
            raise AudioError(f"{path!r} cannot be opened: {error}") from error
    elif hasattr(source, "read"):
        try:
            data = source.read()
        except (OSError, ValueError) as error:
            raise AudioError(f"the open file cannot be read: {error}") from error
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise AudioError('the open file gives text: open it with mode "rb"')
        yield _Plain(io.BytesIO(bytes(data))), "the open file"
    else:
        raise AudioError(f"sound is read from a path, bytes or an open binary file; got {type(source).__name__}")


def _sndfile_blocks(file: _Plain) -> Iterator[object]:
    """Yield (rate, claimed seconds), then blocks. What libsndfile cannot open goes to FFmpeg."""
    import soundfile

    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.SoundFileError, TypeError, ValueError):
        file.seek(0)
        yield from _ffmpeg_blocks(file)
        return
    with sound:
        claimed = _wav_claim(file, sound)
        yield _rate(sound.samplerate), sound.frames / sound.samplerate
        done = 0
        while done < sound.frames:
            try:
                block = sound.read(_BLOCK, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise _Broken(f"is damaged after {done / sound.samplerate:.2f} s") from error
            if not len(block):
                break
            done += len(block)
            yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
        if done < max(sound.frames, claimed):
            whole = max(sound.frames, claimed) / sound.samplerate
            raise _Broken(
                f"ends after {done / sound.samplerate:.2f} s of the {whole:.2f} s that its header tells: "
                "copy or record it again, or read what is there with seconds="
            )


def _wav_claim(file: _Plain, sound: Any) -> int:
    """Return how many frames the header of a WAV file tells, or 0: libsndfile trims that to what is there."""
    if sound.format not in ("WAV", "WAVEX"):
        return 0
    here = file.tell()
    try:
        file.seek(12)
        width = 0
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                # Writers to a pipe leave 0 or a largest number here: no claim at all.
                return 0 if not width or size >= 0x7FFF_F000 else size // width
            body = file.read(size + size % 2) if size < 65_536 else file.seek(size + size % 2, 1) and b""
            if head[:4] == b"fmt " and body[:2] in (b"\x01\0", b"\x03\0", b"\x06\0", b"\x07\0", b"\xfe\xff"):
                width = int.from_bytes(body[12:14], "little")
        return 0
    finally:
        file.seek(here)


def _rate(rate: int) -> int:
    try:
        return as_rate(rate)
    except AudioError as error:
        raise _Broken(f"is damaged: it tells a rate of {rate} Hz") from error


def _ffmpeg_blocks(file: _Plain) -> Iterator[object]:
    """Yield (rate, None), then blocks."""
    import av

    try:
        container = av.open(
            file, mode="r", options={"format_whitelist": _DEMUXERS}, metadata_errors="replace"
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _Broken(f"is {_UNKNOWN}") from error
    with container:
        if not container.streams.audio:
            raise _Broken("has no sound in it")
        rate, done = 0, 0
        try:
            for frame in container.decode(container.streams.audio[0]):
                if not rate:
                    rate = _rate(frame.sample_rate)
                    yield rate, None
                if frame.sample_rate != rate:
                    raise _Broken(f"changes its rate after {done / rate:.2f} s, which is not understood")
                block = to_float(frame.to_ndarray())
                done += frame.samples
                if not frame.format.is_planar:
                    block = block.reshape(frame.samples, -1).T
                yield block[0] if len(block) == 1 else block.mean(axis=0, dtype=np.float32)
        except (av.FFmpegError, ValueError, OSError) as error:
            raise _Broken(f"is damaged after {done / (rate or 1):.2f} s") from error
        if not rate:
            raise _Broken("has no sound in it")


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
    ``"webm"`` hold Opus at the next rate it has (8, 12, 16, 24 or 48 kHz), about 180 kB a minute at 24 kHz.

    Raises
    ------
    AudioError
        Another format, or a rate that the format cannot hold.
    """
    if format in ("wav", "flac"):
        return _encode_sndfile(samples, rate, format)
    if format in ("opus", "ogg", "webm"):
        return _encode_opus(samples, rate, "webm" if format == "webm" else "ogg")
    raise AudioError(f"format must be one of wav, flac, opus, webm; got {format!r:.60}")


def _encode_sndfile(samples: Samples, rate: int, format: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, to_int16(samples), rate, format=format.upper(), subtype="PCM_16")
    except soundfile.SoundFileError as error:
        raise AudioError(f"{format} cannot hold sound at {rate} Hz: resample it first, for example to 24000") from error
    return buffer.getvalue()


def _encode_opus(samples: Samples, rate: int, container: str) -> bytes:
    import av

    target = next((r for r in _OPUS_RATES if r >= rate), _OPUS_RATES[-1])
    sound = np.clip(resample(samples, rate, target), -1.0, 1.0).reshape(1, -1)
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format=container) as out:
        stream = out.add_stream("libopus", rate=target)
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "flt"
        stream.codec_context.bit_rate = 24_000 if target <= 24_000 else 64_000
        size = target // 50
        for begin in range(0, sound.shape[1], size):
            frame = av.AudioFrame.from_ndarray(sound[:, begin : begin + size], format="flt", layout="mono")
            frame.sample_rate = target
            frame.pts = begin
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()
