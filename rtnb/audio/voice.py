"""Where the voice is in a recording, told by loudness alone: its span and its longest pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from rtnb.audio.clip import Clip

__all__ = ["Voice", "voice"]

_FRAME = 0.020
_BELOW = 10 ** (-25 / 20)
"""How far below the loud parts a frame is quiet. Rather too little: a pause found too long does no harm."""
_LEAST = 10 ** (-60 / 20)
"""A recording whose loud parts are quieter, in RMS, holds nothing."""


class Voice(NamedTuple):
    """Seconds from the beginning of the recording: the first and the last of what is loud, and between."""

    start: float
    end: float
    longest_pause: float


def voice(clip: Clip) -> Voice | None:
    """Return where the loud parts of a clip are, in steps of 20 ms; None where there are none.

    Loud is what lies within 25 dB of the 95th percentile of the RMS of all frames.
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
    return Voice(*(round(int(number) * size / clip.rate, 3) for number in frames_of))
