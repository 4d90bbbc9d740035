"""Changing the sampling rate, at once or while sound streams (libsoxr, high quality, linear phase)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtnb.audio.samples import Samples, as_rate
from rtnb.errors import AudioError

__all__ = ["Resampler", "resample"]


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
    """A stream of sound from one rate to another.

    What comes out, put together, is what `resample` makes of the whole, however the input was cut. The
    filter looks ahead, so that output lags by a few milliseconds until ``last=True`` flushes it; after that
    the next chunk begins a new stream.

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
