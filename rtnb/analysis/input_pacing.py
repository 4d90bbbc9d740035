"""Which input audio was sent in real time, as by a microphone, and which faster, as a clip sent at once."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from ..protocol.tracks import Piece

__all__ = ["late_by", "sent_live"]

_TOGETHER = 0.3
"""A piece that follows sooner than this share of the length of the one before was sent together with it."""
_PACED = 0.7
"""Audio that took at least this share of its length to be sent was sent in real time."""
_LATE = 1.5
"""A piece that follows within this share of the length of the one before continues it."""
_JITTER = 0.1
"""How many seconds a piece may come late, or carry in addition."""
_PACKET = 1.0
"""The longest piece, in seconds, that a microphone sends."""
_STALLED = 2.0
"""The longest time, in seconds, for which a microphone that is on may fail to send."""


def sent_live(pieces: Sequence[Piece], bounds: Sequence[float]) -> list[bool]:
    """Return which pieces of the input were sent in real time, as a microphone sends them.

    Pieces that were sent together count as one. It is in real time if the next follows after about as long
    as it lasts, or if, after others in real time, it lasts no longer than the time since. No piece follows
    another across a commit or a clear, which are at ``bounds``.
    """
    groups: list[list[int]] = []
    for k, piece in enumerate(pieces):
        if (
            k
            and piece.t - pieces[k - 1].t < _TOGETHER * pieces[k - 1].seconds
            and not _any_within(bounds, pieces[k - 1].t, piece.t)
        ):
            groups[-1].append(k)
        else:
            groups.append([k])
    starts = [pieces[group[0]].t for group in groups]
    lengths = [sum(pieces[k].seconds for k in group) for group in groups]
    live: list[bool] = []
    for k, (t, length) in enumerate(zip(starts, lengths, strict=True)):
        after, before = starts[k + 1] - t if k + 1 < len(starts) else math.inf, t - starts[k - 1] if k else 0
        goes_on = _PACED * length <= after <= _LATE * length + _JITTER and length <= _PACKET
        if goes_on and not _any_within(bounds, t, t + after):
            live.append(True)
        else:
            fits = length <= before / _PACED + _JITTER and before <= _STALLED
            live.append(k > 0 and live[-1] and fits and not _any_within(bounds, starts[k - 1], t))
    return [one for one, group in zip(live, groups, strict=True) for _ in group]


def late_by(pieces: Sequence[Piece], live: Sequence[bool]) -> list[float]:
    """Return how many seconds late each piece was sent: all but the last that catch up after a stall.

    A microphone that was not sending went on listening, so what it sends together was spoken before.
    """
    late = [0.0] * len(pieces)
    for k in range(len(pieces) - 2, -1, -1):
        after = pieces[k + 1].t - pieces[k].t
        if live[k] and live[k + 1] and after < _PACED * pieces[k].seconds:
            late[k] = late[k + 1] + pieces[k].seconds - after
    return late


def _any_within(times: Sequence[float], first: float, last: float) -> bool:
    """Return whether one of ``times``, in order, is from ``first`` until before ``last``."""
    place = bisect_left(times, first)
    return place < len(times) and times[place] < last
