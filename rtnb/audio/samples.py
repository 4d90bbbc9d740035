"""Any array as audio: float32, mono, nominally in [-1, 1].

The rules:

* **floats** (16, 32, 64 bit) are taken as they are. Full scale is 1.0; larger values stay, so that a gain
  can be undone, and are limited only when audio is encoded. A peak above 16 (+24 dB) is refused: it is most
  likely integers in a float array.
* **signed integers** of 8, 16 and 32 bit are divided by 2**(bits - 1): int16 by 32768.
* **unsigned integers** of 8, 16 and 32 bit have their zero in the middle, as 8-bit WAV has: uint8 by
  ``(x - 128) / 128``.
* **64-bit integers** are refused, since their scale is unknown (a list of Python ints is one).
* **two dimensions** are ``(n, channels)``, or ``(channels, n)`` where the first axis is the shorter one. The
  channels are averaged.
* **NaN and infinity** are refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtnb.errors import AudioError

__all__ = [
    "MAX_PEAK",
    "Resampler",
    "Samples",
    "as_mono",
    "as_number",
    "as_pair",
    "as_rate",
    "check",
    "mix",
    "resample",
    "short",
    "to_float",
]

Samples = NDArray[np.float32]

MAX_CHANNELS = 64
MAX_PEAK = 16.0
MAX_RATE = 768_000


def as_rate(rate: Any, what: str = "rate") -> int:
    """Return ``rate`` as an int in [1, 768000] Hz. Raises AudioError for anything else."""
    try:
        whole = int(rate)
    except (TypeError, ValueError, OverflowError):
        whole = -1
    if isinstance(rate, (bool, np.bool_, str, bytes)) or not 1 <= whole <= MAX_RATE or whole != rate:
        raise AudioError(
            f"{what} must be a whole number of Hz from 1 to {MAX_RATE}, such as 24000; got {short(rate)}"
        )
    return whole


def as_pair(value: Any) -> tuple[Any, int] | None:
    """Return a pair of samples and their rate, given in either order, as (samples, rate); None for no pair.

    A pair is a tuple or list of two, of which one is a single number and the other is an array or a list.
    Raises AudioError for a rate that is not a whole number in [1, 768000].

    Examples
    --------
    >>> as_pair((24_000, [0.0, 0.5]))
    ([0.0, 0.5], 24000)
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return None
    single = [_is_number(one) for one in value]
    if all(single) or not any(single):
        return None
    rate, samples = value if single[0] else reversed(value)
    sequence = isinstance(samples, Sequence) and not isinstance(samples, (str, bytes, bytearray))
    return (samples, as_rate(rate)) if sequence or hasattr(samples, "__array__") else None


def _is_number(value: Any) -> bool:
    """Return whether a value is one number: of Python, of numpy, or an array or tensor without dimensions."""
    return isinstance(value, (int, float, np.number)) or getattr(value, "shape", None) == ()


def as_number(value: Any, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return ``value`` as a finite float in [low, high]. Raises AudioError for anything else."""
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and low <= number <= high:
            return number
    bounds = (
        "" if low == -math.inf else f", {low:g} or more" if high == math.inf else f" from {low:g} to {high:g}"
    )
    raise AudioError(f"{what} must be a number{bounds}; got {short(value)}")


def short(value: Any) -> str:
    """Return ``repr(value)`` in one line of at most 60 characters, for error texts."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:59] + "…"


def to_float(array: NDArray[Any]) -> Samples:
    """Scale ``array`` of any shape to float32 by its dtype (see the module).

    Examples
    --------
    >>> to_float(np.array([0, 128, 255], np.uint8)).tolist()
    [-1.0, 0.0, 0.9921875]
    """
    kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
    if kind == "f":
        with np.errstate(all="ignore"):
            return array.astype(np.float32)
    if kind in "iu" and bits < 64:
        middle = 0.0 if kind == "i" else 2.0 ** (bits - 1)
        scale = 2.0 ** (bits - 1)
        if bits <= 16:
            return (array.astype(np.float32) - np.float32(middle)) / np.float32(scale)
        return ((array.astype(np.float64) - middle) / scale).astype(np.float32)
    if kind in "iu":
        raise AudioError(
            f"samples of {array.dtype} have an unknown scale: "
            "pass int16 (full scale 32768) or floats in [-1, 1]"
        )
    raise AudioError(
        f"samples must be floats in [-1, 1] or integers of 8, 16 or 32 bit; got dtype {array.dtype}"
    )


def as_mono(samples: Any) -> Samples:
    """Return any array-like as a new float32 array of shape ``(n,)``, by the rules of the module.

    Raises
    ------
    AudioError
        Not an array of numbers, more than two dimensions, more than 64 channels, NaN or infinity, a scale
        that cannot be known.

    Examples
    --------
    >>> as_mono([[0.5, 0.0], [0.5, 0.5], [0.0, 0.0]]).tolist()
    [0.25, 0.5, 0.0]
    """
    try:
        array = np.asarray(samples)
    except Exception as error:  # tensors and ragged lists raise exceptions of many types
        raise AudioError(f"samples are not an array of numbers: {type(samples).__name__}") from error
    if array.dtype.kind not in "fiu":
        raise AudioError(
            f"samples must be an array of numbers of shape (n,) or (n, channels); "
            f"got {type(samples).__name__} with dtype {array.dtype}"
        )
    if array.ndim not in (1, 2):
        raise AudioError(
            f"samples must have shape (n,), (n, channels) or (channels, n); got shape {array.shape}"
        )
    if array.ndim == 2 and array.size:
        if array.shape[0] < array.shape[1]:
            array = array.T
        if array.shape[1] > MAX_CHANNELS:
            raise AudioError(
                f"samples of shape {array.shape} would be {array.shape[1]} channels; "
                f"the maximum is {MAX_CHANNELS}"
            )
    mono = to_float(array)
    if mono.ndim == 2:
        mono = mix(mono, axis=1) if mono.size else np.zeros(0, np.float32)
    return check(np.ascontiguousarray(mono))


def mix(samples: Samples, axis: int) -> Samples:
    """Average the channels, which are along ``axis``. NaN and infinity stay, for `check` to find."""
    with np.errstate(all="ignore"):
        return np.asarray(samples.mean(axis=axis, dtype=np.float32))


def check(mono: Samples) -> Samples:
    """Return ``mono`` if all of it is finite and its peak is at most +24 dB, else raise AudioError."""
    if not mono.size:
        return mono
    peak = float(max(mono.max(), -mono.min()))
    if not np.isfinite(peak):
        count = int(np.count_nonzero(~np.isfinite(mono)))
        raise AudioError(
            f"samples contain {count} values that are NaN or infinite: replace them, "
            "for example with numpy.nan_to_num"
        )
    if peak > MAX_PEAK:
        raise AudioError(
            f"samples have a peak of {peak:g}, but full scale is 1.0: "
            "pass integers as int16, or divide floats by their full scale (32768 for 16 bit)"
        )
    return mono


def resample(samples: Samples, rate_in: int, rate_out: int) -> Samples:
    """Return ``samples`` of shape ``(n,)`` at another rate.

    The result has ``n * rate_out / rate_in`` samples, rounded half up. At the same rate it is ``samples``
    itself.

    Examples
    --------
    >>> resample(np.zeros(16_000, np.float32), 16_000, 24_000).shape
    (24000,)
    """
    return Resampler(rate_in, rate_out).process(samples, last=True)


class Resampler:
    """Converts a stream of audio from one rate to another.

    The output, concatenated, equals what `resample` returns for the whole, however the input was divided.
    The filter looks ahead, so that the output lags by a few milliseconds until ``last=True`` flushes it; the
    next chunk then starts a new stream.

    Examples
    --------
    >>> up = Resampler(8_000, 24_000)
    >>> parts = [up.process(np.zeros(160, np.float32)) for _ in range(50)]
    >>> sum(map(len, parts)) + len(up.process(np.zeros(0, np.float32), last=True))
    24000
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self.rate_in = as_rate(rate_in, "rate_in")
        self.rate_out = as_rate(rate_out, "rate_out")
        self._stream: Any = None

    def process(self, chunk: Samples, last: bool = False) -> Samples:
        """Take samples of shape ``(n,)``, n ≥ 0, and return those that are ready, shape ``(m,)``, m ≥ 0."""
        chunk = np.ascontiguousarray(chunk, np.float32)
        if chunk.ndim != 1:
            raise AudioError(f"a resampler takes mono samples of shape (n,); got shape {chunk.shape}")
        if self.rate_in == self.rate_out:
            return chunk
        if self._stream is None:
            import soxr

            try:
                self._stream = soxr.ResampleStream(
                    self.rate_in, self.rate_out, 1, dtype="float32", quality="HQ"
                )
            except RuntimeError as error:
                raise AudioError(f"cannot resample from {self.rate_in} Hz to {self.rate_out} Hz") from error
        out = np.asarray(self._stream.resample_chunk(chunk, last=last), np.float32)
        if last:
            self._stream = None
        return out
