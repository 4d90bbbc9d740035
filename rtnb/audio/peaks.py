"""Minima and maxima of audio, to draw waveforms.

`peaks` measures once; `Peaks` holds a pyramid that grows while audio streams in, and can be drawn at any
zoom: an hour at 24 kHz is 0.9 MB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtnb.audio.samples import Samples
from rtnb.errors import AudioError

__all__ = ["BASE", "FACTOR", "Peaks", "peaks"]

BASE = 256
FACTOR = 4
_SCALE = 127.0


def peaks(samples: Samples, n: int) -> NDArray[np.float32]:
    """Return the minimum and maximum of ``n`` equal parts of ``samples``, shape ``(n, 2)``.

    Every sample is in a part. If there are fewer samples than parts, neighbours repeat; without samples the
    result is zeros.

    Examples
    --------
    >>> peaks(np.array([0.25, -0.5, 0.5, 0.75], np.float32), 2).tolist()
    [[-0.5, 0.25], [0.5, 0.75]]
    """
    if n < 1:
        raise AudioError(f"n must be 1 or more; got {n}")
    count = len(samples)
    if not count:
        return np.zeros((n, 2), np.float32)
    begins = np.arange(n) * count // n
    if count <= n:
        return np.stack([samples[begins]] * 2, axis=1).astype(np.float32, copy=False)
    low, high = np.minimum.reduceat(samples, begins), np.maximum.reduceat(samples, begins)
    return np.stack([low, high], axis=1).astype(np.float32, copy=False)


class _Rows:
    """Rows of (min, max) as int8, growing in place."""

    def __init__(self) -> None:
        self._rows = np.zeros((64, 2), np.int8)
        self.count = 0

    def __getitem__(self, rows: slice) -> NDArray[np.int8]:
        return self._rows[: self.count][rows]

    def append(self, rows: NDArray[np.int8]) -> None:
        count = self.count + len(rows)
        if count > len(self._rows):
            grown = np.zeros((max(count, 2 * len(self._rows)), 2), np.int8)
            grown[: self.count] = self._rows[: self.count]
            self._rows = grown
        self._rows[self.count : count] = rows
        self.count = count


class Peaks:
    """A min/max pyramid that grows with its audio.

    Level 0 has one (min, max) for every 256 samples, each level above one for every 4 of the level below,
    all as int8 of which 127 is full scale. Minima are rounded down and maxima up, so that a waveform is never
    drawn too small (audio beyond full scale is limited).

    Examples
    --------
    >>> pyramid = Peaks()
    >>> pyramid.append(np.full(1024, 0.5, np.float32))
    >>> pyramid.level(1).tolist()
    [[63, 64]]
    """

    def __init__(self, samples: Samples | None = None) -> None:
        self.samples = 0
        self._tail = np.zeros(0, np.float32)
        self._levels = [_Rows()]
        if samples is not None:
            self.append(samples)

    @property
    def levels(self) -> int:
        """How many levels there are, 1 or more."""
        return len(self._levels)

    def append(self, samples: Samples) -> None:
        """Add samples of shape ``(n,)``, n ≥ 0."""
        self.samples += len(samples)
        joined = np.concatenate([self._tail, samples]) if len(self._tail) else np.asarray(samples, np.float32)
        whole = len(joined) // BASE * BASE
        self._tail = joined[whole:].copy()
        if not whole:
            return
        blocks = joined[:whole].reshape(-1, BASE)
        self._levels[0].append(_int8(blocks.min(axis=1), blocks.max(axis=1)))
        for number, below in enumerate(self._levels):
            rows = below.count // FACTOR
            if number + 1 == len(self._levels):
                if not rows:
                    break
                self._levels.append(_Rows())
            above = self._levels[number + 1]
            if rows > above.count:
                fresh = below[above.count * FACTOR : rows * FACTOR].reshape(-1, FACTOR, 2)
                above.append(np.stack([fresh[:, :, 0].min(axis=1), fresh[:, :, 1].max(axis=1)], axis=1))

    def level(self, number: int, start: int = 0) -> NDArray[np.int8]:
        """Return a copy of one level's rows from ``start`` on; there are ``samples // (256 * 4**number)``.

        Shape ``(rows, 2)``. A last part that is not yet full is left out, so that rows never change and a
        page that has the first ``start`` rows needs only the new ones.
        """
        if not 0 <= number < len(self._levels):
            raise AudioError(f"level must be from 0 to {len(self._levels) - 1}; got {number}")
        return self._levels[number][max(0, start) :].copy()

    def draw(self, n: int, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return ``n`` parts of samples ``start`` to ``stop``, shape ``(n, 2)``, values in [-1, 1].

        It is read from the coarsest level that has a row for each part, so that its cost goes with ``n``
        and not with the length of the audio. A part is as exact as that level's rows: at its edges it may
        see a neighbour's samples, never miss its own.
        """
        if n < 1:
            raise AudioError(f"n must be 1 or more; got {n}")
        stop = self.samples if stop is None else stop
        if not 0 <= start <= stop <= self.samples:
            raise AudioError(
                f"start and stop must be in order within 0 to {self.samples}; got {start} and {stop}"
            )
        if start == stop:
            return np.zeros((n, 2), np.float32)
        number = 0
        while number + 1 < len(self._levels) and (stop - start) // (BASE * FACTOR ** (number + 1)) >= n:
            number += 1
        span = BASE * FACTOR**number
        edges = start + np.arange(n + 1) * (stop - start) // n
        first, last = edges[:-1] // span, np.maximum(-(-edges[1:] // span), edges[:-1] // span + 1)
        base = int(first[0])
        rows = self._rows(number, base, int(last[-1]))
        bounds = np.stack([first - base, last - base], axis=1).ravel()
        padded = np.concatenate([rows, rows[-1:]])
        low = np.minimum.reduceat(padded[:, 0], bounds)[::2]
        high = np.maximum.reduceat(padded[:, 1], bounds)[::2]
        return np.stack([low, high], axis=1).astype(np.float32) / np.float32(_SCALE)

    def _rows(self, number: int, start: int, stop: int) -> NDArray[np.int8]:
        """Return rows of a level; the last one covers the samples of a part that is not yet full."""
        rows = self._levels[number]
        whole = rows[start:stop]
        if stop <= rows.count:
            return whole
        rest = [lower[self._levels[k + 1].count * FACTOR :] for k, lower in enumerate(self._levels[:number])]
        if len(self._tail):
            rest.append(_int8(self._tail.min(keepdims=True), self._tail.max(keepdims=True)))
        end = np.concatenate(rest)
        return np.concatenate([whole, [[end[:, 0].min(), end[:, 1].max()]]]).astype(np.int8)


def _int8(low: Samples, high: Samples) -> NDArray[np.int8]:
    pair = np.stack([np.floor(low * _SCALE), np.ceil(high * _SCALE)], axis=1)
    rows: NDArray[np.int8] = np.clip(pair, -_SCALE, _SCALE).astype(np.int8)
    return rows
