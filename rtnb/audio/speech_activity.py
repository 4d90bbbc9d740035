"""Where audio is loud enough to be speech, by its energy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rtnb.audio.samples import Samples

if TYPE_CHECKING:
    from rtnb.audio.clip import Clip

__all__ = ["SpeechBounds", "activity", "speech_bounds"]

_FRAME = 0.020
_BELOW = 10 ** (-25 / 20)
"""A frame this far below the loud parts is quiet. A little low: a pause found too long does no harm."""
_LEAST = 10 ** (-60 / 20)
"""A recording whose loud parts have a lower RMS is silent."""


class SpeechBounds(NamedTuple):
    """Where the loud parts start and end, in seconds, and the longest pause between them."""

    start: float
    end: float
    longest_pause: float


def speech_bounds(clip: Clip) -> SpeechBounds | None:
    """Return where the loud parts of a clip are, in steps of 20 ms; None for a silent clip.

    A frame is loud if its RMS is within 25 dB of the 95th percentile of all frames.
    """
    size = max(1, round(clip.rate * _FRAME))
    count = len(clip) // size
    if not count:
        return None
    frames = clip.samples[: count * size].reshape(count, size)
    level = np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1))
    loudest = float(np.percentile(level, 95))
    if loudest < _LEAST:
        return None
    loud = np.flatnonzero(level >= loudest * _BELOW)
    gaps = np.diff(loud) - 1
    frames_of = (loud[0], loud[-1] + 1, gaps.max() if len(gaps) else 0)
    return SpeechBounds(*(round(int(number) * size / clip.rate, 3) for number in frames_of))


_FRAME_SECONDS = 0.02
_BELOW_LOUDEST_DB = 30.0
"""The difference between loud vowels and soft consonants is about this large."""
_LEAST_DB = -50.0
_GAP_SECONDS = 0.25
"""A shorter pause is part of speech: the stop before a "t" takes a tenth of a second."""
_LEAST_SECONDS = 0.06
"""A shorter burst is a click."""


def activity(samples: Samples, rate: int) -> list[tuple[float, float]]:
    """Return the spans that are not silent, as (start, end) in seconds, in order and without overlap.

    A frame of 20 ms is active if its power is within 30 dB of the loudest frame and above −50 dBFS. Pauses
    under 0.25 s count as active, bursts under 0.06 s are left out. It is not a voice detector: a slammed
    door is active too.

    Parameters
    ----------
    samples
        float32 of shape ``(n,)``, n ≥ 0, full scale 1.0.
    rate
        Samples per second.

    Examples
    --------
    >>> activity(np.concatenate([np.zeros(800), np.ones(1600), np.zeros(800)]).astype("float32"), 8000)
    [(0.1, 0.3)]
    """
    size = max(1, round(rate * _FRAME_SECONDS))
    count = len(samples) // size
    if not count:
        return []
    frames = samples[: count * size].reshape(count, size)
    power = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / size
    least = max(float(power.max()) * 10 ** (-_BELOW_LOUDEST_DB / 10), 10 ** (_LEAST_DB / 10))
    loud = np.concatenate([[False], power >= least, [False]])
    edges = np.flatnonzero(loud[1:] != loud[:-1]) * size / rate
    spans: list[tuple[float, float]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if spans and start - spans[-1][1] < _GAP_SECONDS:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [(start, end) for start, end in spans if end - start >= _LEAST_SECONDS]
