"""Turn detection: from a probability of speech per window to the beginning and the end of a turn.

No sound and no clock: windows go in, edges come out, all in milliseconds of the session's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .fields import SILENCE_BY_EAGERNESS

__all__ = ["Edge", "TurnDetector"]

_ONSET = 2
"""Windows of speech in a row that begin a turn; one alone is a click."""

_HYSTERESIS = 0.15
"""How far below the threshold speech must fall to count as silence (Silero VAD's own rule)."""

_PAUSE_MS = 60
"""Silence after which the words so far are worth recognising ahead of the turn's end."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What happened: speech started (``ms``: where it began, without padding), paused, resumed or stopped.

    For stopped, ``ms`` is where the turn ends: the silence that ended it is part of it. For paused,
    ``end_ms`` is where the turn will end unless speech goes on.
    """

    kind: Literal["started", "paused", "resumed", "stopped"]
    ms: float
    end_ms: float | None = None


class TurnDetector:
    """One stream's detector under a ``turn_detection`` object (server_vad or semantic_vad)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.speaking = False
        self._onset: list[float] = []
        self._silent_since: float | None = None
        self._paused = False
        self.configure(settings)

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Take new settings; a turn that is going on goes on."""
        self._threshold = float(settings.get("threshold", 0.5))
        self.padding_ms = int(settings.get("prefix_padding_ms", 300))
        if settings["type"] == "semantic_vad":
            self._silence_ms = SILENCE_BY_EAGERNESS[settings["eagerness"]]
        else:
            self._silence_ms = int(settings["silence_duration_ms"])

    def reset(self) -> None:
        """Forget a turn that is going on."""
        self.speaking, self._paused = False, False
        self._onset.clear()
        self._silent_since = None

    def feed(self, probability: float, start_ms: float, end_ms: float) -> Edge | None:
        """Take the next window and return what it brought about."""
        if not self.speaking:
            if probability < self._threshold:
                self._onset.clear()
                return None
            self._onset.append(start_ms)
            if len(self._onset) < _ONSET:
                return None
            began = self._onset[0]
            self.reset()
            self.speaking = True
            return Edge("started", began)
        if probability >= self._threshold - _HYSTERESIS:
            paused, self._paused, self._silent_since = self._paused, False, None
            return Edge("resumed", start_ms) if paused else None
        if self._silent_since is None:
            self._silent_since = start_ms
        silent = end_ms - self._silent_since
        if silent >= self._silence_ms:
            end = self._silent_since + self._silence_ms
            self.reset()
            return Edge("stopped", max(end, start_ms))
        if silent >= _PAUSE_MS and not self._paused:
            self._paused = True
            return Edge("paused", end_ms, self._silent_since + self._silence_ms)
        return None
