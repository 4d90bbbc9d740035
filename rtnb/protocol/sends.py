"""When each moment of the input's sound left: the server's audio time, put on this side's clock."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

__all__ = ["Sends"]

_KEPT = 4096
"""How many appends are remembered: over two minutes of 40 ms each."""

_ROUNDING = 1e-6
"""Milliseconds by which a sum of many lengths may be wrong."""


class Sends:
    """Grows with each append of the session; the server counts milliseconds from the first."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=_KEPT)  # where each append ends, in ms of sound
        self._times: deque[float] = deque(maxlen=_KEPT)
        self.ms = 0.0
        """How much sound left in all, in milliseconds."""

    def add(self, ms: float, t: float) -> None:
        """Note an append of ``ms`` milliseconds of sound that left at ``t`` seconds."""
        self.ms += ms
        self._ends.append(self.ms)
        self._times.append(t)

    def at(self, ms: float) -> float | None:
        """Return when the sound at ``ms`` of all input left, in seconds; None where that is not known."""
        place = bisect_left(self._ends, ms - _ROUNDING)
        if place >= len(self._ends) or (self._ends[0] > ms and len(self._ends) == _KEPT):
            return None
        return self._times[place]
