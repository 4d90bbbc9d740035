"""libsndfile and FFmpeg: each yields what it knows of a sound file, then the audio block by block.

The first bytes of a file decide which library reads it. What is damaged is left out and noted; the audio
before it, and after it where the format allows, is kept.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtnb.audio.samples import Samples, as_rate, to_float
from rtnb.audio.sources import UnnamedFile
from rtnb.errors import AudioError

__all__ = ["BadFile", "Opened", "blocks"]

_BLOCK = 65_536
_SNDFILE = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC", b"OggS")
# FFmpeg's demuxers of audio and video. Without playlists and scripts, which open other files.
_DEMUXERS = "aac,aiff,amr,asf,au,avi,caf,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpegts,ogg,w64,wav"
_FRAMES = 2**62  # more than any valid header declares
_PLANES = 8  # with so many, PyAV reads past the end of a frame and crashes the process
_EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Subtypes of which libsndfile knows the length exactly; of others, such as ADPCM, it is an estimate."""


class BadFile(Exception):
    """What is wrong with a file, as the end of a sentence that starts with its name."""


@dataclass(slots=True)
class Opened:
    """A sound file that is being read: rate in Hz, channels, declared seconds (0: unknown).

    ``notes`` fills up while it is read: what is damaged or missing, as clauses.
    """

    rate: int
    channels: int
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


Blocks = Generator["Opened | Samples", None, None]


def blocks(file: UnnamedFile) -> Blocks:
    """Yield an `Opened`, then float32 blocks of shape ``(n, channels)``. Raises BadFile for a bad file."""
    file.seek(0)
    head = file.read(12)
    file.seek(0)
    return _by_libsndfile(file) if head.startswith(_SNDFILE) else _by_ffmpeg(file)


def _by_libsndfile(file: UnnamedFile) -> Blocks:
    """FFmpeg reads what libsndfile cannot open."""
    import soundfile

    try:
        audio = soundfile.SoundFile(file)
        if audio.frames > _FRAMES:
            # FLAC that was written to a pipe declares no length, and libsndfile fails on its first block.
            audio.close()
            raise ValueError
    except (soundfile.SoundFileError, TypeError, ValueError):
        file.seek(0)
        yield from _by_ffmpeg(file)
        return
    with audio:
        rate = _rate(audio.samplerate)
        opened = Opened(rate, audio.channels, audio.frames / rate)
        yield opened
        done = 0
        while True:
            try:
                block = audio.read(_BLOCK, dtype="float32", always_2d=True)
            except soundfile.SoundFileError:
                for block in _from_damage_on(file, opened, done):
                    done += len(block)
                    yield block
                break
            if not len(block):
                break
            done += len(block)
            yield block
        exact = audio.format == "FLAC" or audio.subtype.startswith(_EXACT)
        if exact and done < audio.frames:
            declared = audio.frames / rate
            opened.notes = [
                f"ends after {done / rate:.2f} s of the {declared:.2f} s that its header declares"
            ]


def _from_damage_on(file: UnnamedFile, opened: Opened, done: int) -> Generator[Samples, None, None]:
    """Yield what FFmpeg reads of a file beyond ``done`` frames, after libsndfile failed there."""
    file.seek(0)
    rest = _by_ffmpeg(file)
    try:
        again = next(rest)
    except BadFile:
        if not done:
            raise
        again = None
    if isinstance(again, Opened) and (again.rate, again.channels) == (opened.rate, opened.channels):
        skip = done
        for block in rest:
            assert not isinstance(block, Opened)
            if len(block) > skip:
                yield block[skip:]
            skip = max(0, skip - len(block))
        opened.notes += again.notes
    opened.notes = opened.notes or [f"damaged after {done / opened.rate:.2f} s"]


def _rate(rate: int) -> int:
    try:
        return as_rate(rate)
    except AudioError as error:
        raise BadFile(f"is damaged: its header declares a rate of {rate} Hz") from error


def _by_ffmpeg(file: UnnamedFile) -> Blocks:
    import av

    try:
        container = av.open(
            file, mode="r", options={"format_whitelist": _DEMUXERS}, metadata_errors="replace"
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        raise BadFile("is not a sound file of a supported format (WAV, FLAC, Ogg, MP3, M4A, WebM)") from error
    with container:
        if not container.streams.audio:
            raise BadFile("has no audio")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            # PyAV before 18 crashes the process when it decodes such a stream.
            raise BadFile("has its audio in an unsupported codec")
        opened, damaged, done = None, 0, 0
        frames = _frames(container, stream)
        for frame in frames:
            if frame is None:
                damaged += 1
                continue
            if opened is None:
                opened = Opened(_rate(frame.sample_rate), frame.layout.nb_channels)
                yield opened
            if frame.sample_rate != opened.rate:
                raise BadFile(f"changes its rate after {done / opened.rate:.2f} s, which is not supported")
            block = _block(frame)
            if block.shape[1] != opened.channels:
                raise BadFile(
                    f"changes its channels after {done / opened.rate:.2f} s, which is not supported"
                )
            done += len(block)
            yield block
        if opened is None:
            raise BadFile("is damaged from the start" if damaged else "has no audio")
        if damaged:
            places = "1 place" if damaged == 1 else f"{damaged} places"
            opened.notes.append(f"damaged at {places}, which were left out")


def _frames(container: Any, stream: Any) -> Generator[Any, None, None]:
    """Yield decoded frames, and None for each packet that cannot be decoded."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except MemoryError:
            raise
        except Exception:  # FFmpeg's errors, and many others of its wrapper on garbage
            yield None
            return  # nothing more can be read
        if packet is None:
            return
        try:
            decoded = packet.decode()
        except MemoryError:
            raise
        except Exception:
            yield None
            continue
        yield from decoded


def _block(frame: Any) -> Samples:
    import av

    planes = frame.layout.nb_channels if frame.format.is_planar else 1
    if planes >= _PLANES:
        [frame] = av.AudioResampler(format="flt").resample(frame)
    block = to_float(frame.to_ndarray())
    return block.T if frame.format.is_planar else np.asarray(block.reshape(frame.samples, -1))
