"""`Clip`: a piece of audio."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtnb.audio import codecs, files
from rtnb.audio.samples import MAX_PEAK, Samples, as_mono, as_number, as_pair, as_rate, resample, short
from rtnb.audio.tags import tags
from rtnb.displayable import Displayable
from rtnb.errors import AudioError
from rtnb.formatting import duration, peak_level
from rtnb.paths import replacing, user_path

__all__ = ["Clip"]

_FULL_SCALE = 32_766 / 32_768  # the second largest value of 16 bits: some converters stop there
_CLIPPED_RUN = 3


class Clip(Displayable):
    """A piece of audio: mono samples and their rate. It is immutable; every method returns a new clip.

    Parameters
    ----------
    samples
        Any array of numbers: shape ``(n,)``, ``(n, channels)``, or ``(channels, n)`` where the first axis is
        the shorter one. Floats have full scale 1.0; int8, int16, int32 and unsigned (zero in the middle) are
        scaled to that. Channels are averaged. The array is copied.
    rate
        Samples per second, 1 to 768000.
    info
        Any data about the audio, such as how it was captured. Clips made from this one have it too; it does
        not count in comparisons. Audio of a turn says where it comes from: ``source``, ``model`` (or
        ``engine``), ``voice``, ``prompt``, ``text``, ``recorded`` and, from a file, ``recording_sha256``.

    Raises
    ------
    AudioError
        NaN or infinity, an unknown scale (64-bit integers, floats above 16), other shapes.

    Examples
    --------
    >>> clip = Clip.tone(440, 2.0, rate=24_000)
    >>> clip
    Clip(2.00 s, 24 kHz, peak −6.0 dBFS)
    >>> clip[0.5:1.0].seconds
    0.5
    >>> len(clip.resample(16_000))
    32000
    """

    __slots__ = ("_hash", "_info", "_rate", "_samples")
    renderer = "rtnb.render.audio_player:clip_html"

    def __init__(self, samples: Any, rate: int, *, info: Mapping[str, Any] | None = None) -> None:
        self._samples: Samples = as_mono(samples)
        self._samples.setflags(write=False)
        self._rate = as_rate(rate)
        self._info: Mapping[str, Any] = MappingProxyType(dict(info or {}))
        self._hash: int | None = None

    # -- constructors ---------------------------------------------------------------------------------

    @classmethod
    def read(
        cls,
        source: files.Source,
        *,
        rate: int | None = None,
        start: float = 0.0,
        seconds: float | None = None,
        max_seconds: float = files.MAX_SECONDS,
        channel: int | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> Clip:
        """Read a sound file: WAV, FLAC, Ogg (Vorbis, Opus), MP3, M4A, WebM and others.

        Several files end to end are read one after the other. Of a damaged or truncated file all that is
        intact is read, and ``info["note"]`` says what is missing.

        Parameters
        ----------
        source
            A path (``str`` or ``Path``; ``~`` is expanded), a data: URI, the bytes of a file, or an open
            binary file, which is read from its current position.
        rate
            Resample to this rate in Hz while reading; None keeps the file's own.
        start, seconds
            The piece to read, in seconds; ``seconds=None`` reads to the end.
        max_seconds
            Longer audio is refused; 4 hours by default.
        channel
            The only channel to read, counted from 0; None averages all. If they cancel each other in the
            average, the first is read, and ``info["note"]`` says so.

        Raises
        ------
        AudioError
            The file does not exist, cannot be read, has no intact audio, or is too long.
        """
        samples, found, note = files.decode(
            source, rate=rate, start=start, seconds=seconds, max_seconds=max_seconds, channel=channel
        )
        return cls._adopt(samples, found, {**({"note": note} if note else {}), **(info or {})})

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, rate: int | None = None) -> Clip:
        """Read the bytes of a whole sound file (see `read`). For raw samples: `from_pcm16` and its like."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise AudioError(f"from_bytes expects the bytes of a sound file; got {type(data).__name__}")
        return cls.read(data, rate=rate)

    @classmethod
    def from_pcm16(cls, data: bytes | bytearray | memoryview, rate: int = 24_000) -> Clip:
        """Make a clip of raw little-endian PCM16, two bytes per sample. `to_pcm16` returns the same bytes."""
        return cls(codecs.from_pcm16(data), rate)

    @classmethod
    def from_ulaw(cls, data: bytes | bytearray | memoryview, rate: int = 8_000) -> Clip:
        """Make a clip of raw G.711 µ-law, one byte per sample."""
        return cls(codecs.ulaw.decode(data), rate)

    @classmethod
    def from_alaw(cls, data: bytes | bytearray | memoryview, rate: int = 8_000) -> Clip:
        """Make a clip of raw G.711 A-law, one byte per sample."""
        return cls(codecs.alaw.decode(data), rate)

    @classmethod
    def from_wire(cls, data: bytes | bytearray | memoryview, codec: codecs.Codec) -> Clip:
        """Make a clip of raw audio as it is on the wire, in the format of ``codec``."""
        return cls._adopt(codec.decode(data), codec.rate, {})

    @classmethod
    def silence(cls, seconds: float, rate: int = 24_000) -> Clip:
        """Return silence."""
        return cls(np.zeros(_length(seconds, as_rate(rate)), np.float32), rate)

    @classmethod
    def tone(cls, hz: float, seconds: float, rate: int = 24_000, *, peak: float = 0.5) -> Clip:
        """Return a sine of ``hz`` with the given peak, by default 0.5 (−6 dBFS)."""
        rate = as_rate(rate)
        hz = as_number(hz, f"the frequency of a tone at {rate} Hz", 0, rate / 2)
        phase = np.arange(_length(seconds, rate)) * (2 * math.pi * hz / rate)
        return cls(as_number(peak, "peak") * np.sin(phase), rate)

    @classmethod
    def join(cls, clips: Iterable[Clip], *, gap: float = 0.0) -> Clip:
        """Join clips in order, with ``gap`` seconds of silence between them.

        All are resampled to the rate of the first. ``info`` has the entries that are equal in all clips.

        Raises
        ------
        AudioError
            There are no clips, or one of them is something else.
        """
        parts = list(clips)
        if not parts:
            raise AudioError("join needs at least one clip")
        for part in parts:
            if not isinstance(part, Clip):
                raise AudioError(
                    f"join takes clips; got {type(part).__name__}: make a clip of it with Clip.of"
                )
        rate = parts[0].rate
        silence = np.zeros(_length(gap, rate), np.float32)
        pieces: list[Samples] = []
        for part in parts:
            pieces += [silence, part.resample(rate).samples]
        info = {
            key: value
            for key, value in parts[0].info.items()
            if all(key in part.info and part.info[key] == value for part in parts)
        }
        return cls(np.concatenate(pieces[1:]), rate, info=info)

    @classmethod
    def of(cls, thing: Any, rate: int | None = None) -> Clip:
        """Make a clip of a path, a data: URI, bytes or an open file (see `read`), an array, or a clip.

        An array needs its rate: as ``rate``, or in a pair ``(array, rate)`` or ``(rate, array)``. For
        everything else, and for a pair, ``rate`` is the rate to resample to. Recorders are taken too:
        anything with ``__clip__``, which returns a clip, and widgets whose ``audio.value`` is a sound file,
        such as ipywebrtc's.

        Raises
        ------
        AudioError
            As `read` and the constructor do; an array without a rate; two numbers, of which either could be
            the rate.
        """
        if hasattr(type(thing), "__clip__"):
            thing = thing.__clip__()
        if isinstance(thing, Clip):
            return thing if rate is None else thing.resample(rate)
        file = getattr(getattr(thing, "audio", None), "value", None)
        if isinstance(file, (bytes, bytearray, memoryview)):
            return cls.read(file, rate=rate)
        if isinstance(thing, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(thing, "read"):
            return cls.read(thing, rate=rate)
        pair = as_pair(thing)
        if pair is not None:
            if isinstance(pair[0], Clip):
                raise AudioError("a Clip has its own rate: pass it alone, and rate= to resample it")
            clip = cls(*pair)
            return clip if rate is None else clip.resample(rate)
        if rate is None:
            what = short(thing) if isinstance(thing, tuple) and len(thing) == 2 else type(thing).__name__
            raise AudioError(
                "expected a path, bytes, an open file, an array with rate=, or a pair of an array and its "
                f"rate; got {what} without a rate"
            )
        return cls(thing, rate)

    @classmethod
    def _adopt(cls, samples: Samples, rate: int, info: Mapping[str, Any]) -> Clip:
        """Return a clip around a valid array that nothing else writes to."""
        clip = cls.__new__(cls)
        samples.setflags(write=False)
        clip._samples, clip._rate, clip._info, clip._hash = samples, rate, MappingProxyType(dict(info)), None
        return clip

    # -- properties ----------------------------------------------------------------------------------

    @property
    def samples(self) -> Samples:
        """float32 of shape ``(n,)``, full scale 1.0, read-only."""
        return self._samples.view()

    @property
    def rate(self) -> int:
        """Samples per second."""
        return self._rate

    @property
    def seconds(self) -> float:
        """Length in seconds: ``len(clip) / clip.rate``."""
        return len(self._samples) / self._rate

    @property
    def info(self) -> Mapping[str, Any]:
        """The data that was passed as ``info``; read-only."""
        return self._info

    @property
    def peak(self) -> float:
        """The largest absolute sample; 1.0 is full scale, 0.0 silence."""
        if not len(self._samples):
            return 0.0
        return max(0.0, float(self._samples.max()), -float(self._samples.min()))  # abs would copy an hour

    @property
    def clipped(self) -> int:
        """The number of clipped samples: those in runs of three or more at full scale."""
        full = np.zeros(len(self._samples) + 2, np.int8)
        full[1:-1] = np.abs(self._samples) >= _FULL_SCALE
        edges = np.flatnonzero(np.diff(full))
        lengths = edges[1::2] - edges[::2]
        return int(lengths[lengths >= _CLIPPED_RUN].sum())

    @property
    def rms(self) -> float:
        """Root of the mean square; a full-scale sine has 0.707."""
        if not len(self._samples):
            return 0.0
        return float(np.sqrt(np.mean(np.square(self._samples, dtype=np.float64))))

    @property
    def peak_db(self) -> float:
        """`peak` in dBFS: 0 is full scale, −inf silence."""
        return _db(self.peak)

    @property
    def rms_db(self) -> float:
        """`rms` in dBFS: a full-scale sine has −3.01, silence −inf."""
        return _db(self.rms)

    # -- conversions ---------------------------------------------------------------------------------

    def with_info(self, **info: Any) -> Clip:
        """Return the same audio with these entries added to its `info`."""
        return Clip._adopt(self._samples, self._rate, {**self._info, **info})

    def resample(self, rate: int) -> Clip:
        """Return the clip at another rate: ``round(len(clip) * rate / clip.rate)`` samples."""
        rate = as_rate(rate)
        if rate == self._rate:
            return self
        # A copy, since memory that libsoxr owns can be made writable again.
        return Clip._adopt(resample(self._samples, self._rate, rate).copy(), rate, self._info)

    def normalize(self, peak: float = 0.9) -> Clip:
        """Return the clip scaled to this peak, at most 16 (+24 dB). Silence stays silent."""
        peak = as_number(peak, "peak", 0, MAX_PEAK)
        return self * (peak / self.peak) if self.peak else self

    def trim(self, threshold_db: float = -40.0, *, pad: float = 0.05) -> Clip:
        """Return the clip without the silence at its ends.

        Silence is below ``threshold_db`` dBFS; ``pad`` seconds of it are left at either end. A clip that is
        silent throughout becomes empty.
        """
        threshold = 10 ** (as_number(threshold_db, "threshold_db", -400, 40) / 20)
        margin = _length(pad, self._rate)
        loud = np.flatnonzero(np.abs(self._samples) >= threshold)
        if not len(loud):
            return self._span(0, 0)
        return self._span(max(0, int(loud[0]) - margin), int(loud[-1]) + 1 + margin)

    def _span(self, start: int | None, stop: int | None) -> Clip:
        return Clip._adopt(self._samples[start:stop], self._rate, self._info)

    def to_pcm16(self, rate: int | None = None) -> bytes:
        """Return raw little-endian PCM16, limited at full scale; ``rate`` resamples first."""
        return codecs.to_pcm16((self if rate is None else self.resample(rate))._samples)

    def to_ulaw(self, rate: int = 8_000) -> bytes:
        """Return raw G.711 µ-law, one byte per sample."""
        return codecs.ulaw.encode(self.resample(rate)._samples)

    def to_alaw(self, rate: int = 8_000) -> bytes:
        """Return raw G.711 A-law, one byte per sample."""
        return codecs.alaw.encode(self.resample(rate)._samples)

    def to_bytes(self, format: str = "wav") -> bytes:
        """Return the bytes of a file: ``"wav"``, ``"flac"`` (both 16 bit), ``"opus"`` (in Ogg) or ``"webm"``.

        Samples are limited at full scale. A clip without samples becomes 20 ms of silence, except in WAV:
        the other formats cannot be empty.
        """
        return files.encode(self._samples, self._rate, format)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write a sound file in the format of its suffix: .wav, .flac, .ogg, .opus or .webm. Return its path.

        ``~`` is expanded. The file is written as a whole: if that fails, one that was there is unchanged.
        What `info` says of the origin (model, voice, prompt, date) is in the file's tags, without keys.

        Raises
        ------
        AudioError
            The suffix is another one, or the file cannot be written.
        """
        target = user_path(path, "a sound file", AudioError)
        data = files.encode(self._samples, self._rate, files.format_of(target), tags(self._info))
        with replacing(target, AudioError) as file:
            file.write(data)
        return target

    def __getitem__(self, span: slice) -> Clip:
        """Return a span in seconds: ``clip[0.5:2.0]``, ``clip[:1]``, ``clip[-0.5:]`` (the last half second).

        Cuts are at the nearest sample, so that ``clip[:t] + clip[t:] == clip``. For samples by number,
        ``clip.samples[a:b]``.
        """
        if not isinstance(span, slice) or span.step is not None:
            raise AudioError(
                f"expected a span of seconds, such as clip[0.5:2.0]; got {short(span)}. "
                "For samples by number: clip.samples"
            )
        return self._span(self._index(span.start), self._index(span.stop))

    def _index(self, seconds: Any) -> int | None:
        if seconds is None:
            return None
        seconds = as_number(seconds, "the edge of a span of a clip, in seconds,")
        seconds = max(-self.seconds - 1, min(seconds, self.seconds + 1))  # so that 1e300 does not overflow
        index = round(seconds * self._rate)
        # -0.00001 s is at the very end, where a plain 0 would be the beginning.
        return len(self._samples) if index == 0 and seconds < 0 else index

    def __add__(self, other: Clip) -> Clip:
        """Return both, one after the other, at the rate of the first."""
        return Clip.join([self, other]) if isinstance(other, Clip) else NotImplemented

    def __mul__(self, gain: float) -> Clip:
        """Return the clip multiplied by a gain: 2.0 is +6 dB."""
        if isinstance(gain, bool) or not isinstance(gain, (int, float, np.number)):
            return NotImplemented
        gain = as_number(gain, "the gain of a clip")
        peak = self.peak * abs(gain)
        if peak > MAX_PEAK * 1.000001:  # normalize may exceed it by a rounding error
            raise AudioError(
                f"{gain:g} times a peak of {self.peak:.3g} is {peak:.3g}, above the maximum of "
                f"{MAX_PEAK:g} (+24 dB): use a gain of at most {MAX_PEAK / self.peak:.3g}"
            )
        louder = np.multiply(self._samples, gain, dtype=np.float64)
        return Clip(louder.clip(-MAX_PEAK, MAX_PEAK), self._rate, info=self._info)

    __rmul__ = __mul__

    # -- protocols ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._samples)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return `samples`, for ``numpy.asarray(clip)``."""
        if dtype is None or np.dtype(dtype) == np.float32:
            return self._samples.copy() if copy else self.samples
        return self._samples.astype(dtype)

    def __eq__(self, other: object) -> bool:
        """Return whether rate and samples are equal; `info` does not count."""
        if not isinstance(other, Clip):
            return NotImplemented
        return self._rate == other._rate and bool(np.array_equal(self._samples, other._samples))

    def __hash__(self) -> int:
        if self._hash is None:
            # Adding zero makes -0.0 into 0.0, which is equal to it.
            self._hash = hash((self._rate, (self._samples + np.float32(0)).tobytes()))
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._samples, self._rate, dict(self._info))

    def __repr__(self) -> str:
        rate = f"{self._rate / 1000:g} kHz" if self._rate >= 1000 else f"{self._rate} Hz"
        if not len(self._samples):
            return f"Clip(empty, {rate})"
        return f"Clip({duration(self.seconds)}, {rate}, {peak_level(self.peak_db)})"


def _restore(samples: Samples, rate: int, info: Mapping[str, Any]) -> Clip:
    return Clip(samples, rate, info=info)


def _db(value: float) -> float:
    return 20 * math.log10(value) if value > 0 else -math.inf


def _length(seconds: Any, rate: int) -> int:
    return round(as_number(seconds, "a length in seconds", 0, files.MAX_SECONDS) * rate)
