"""A turn's latency: how long its parts took, from which moment on, and by which clock."""

from __future__ import annotations

from ..displayable import Displayable
from ..formatting import milliseconds
from ..protocol.timing import CLOCKS, MEASURES, WORDS, Latency

__all__ = ["CLOCK_MEANINGS", "CLOCK_WORDS", "LatencyView"]

CLOCK_WORDS = {
    "here": "measured here",
    "server": "reported by the server",
    "computed": "computed here",
    "player": "reported by the player",
}
"""The label of each clock that a mark is by."""

CLOCK_MEANINGS = {
    "here": "when a frame arrived or left, by the local clock",
    "server": "where the server placed it in the audio that was sent, by the local clock",
    "computed": "from the audio itself",
    "player": "how much was played, as it was reported to the server",
}
"""What those labels mean."""

_ENDS = {
    "detected": "speech_stopped",
    "first_text": "first_text",
    "first_audio": "first_audio",
    "first_sound": "first_sound",
    "total": "done",
    "commit_to_audio": "first_audio",
}
"""The mark at which each measure ends."""


class LatencyView(Latency, Displayable):
    """A latency that a notebook shows as a table."""

    __slots__ = ()

    renderer = "rtnb.render.latency_card:latency_html"

    def clocks(self, name: str) -> str:
        """Return by which clocks the start and the end of a measure are, in words."""
        if getattr(self, name) is None:
            return "not observed"
        start = "committed" if name == "commit_to_audio" else self.since
        start = "speech_end" if name == "detected" else start
        return " → ".join(dict.fromkeys(CLOCK_WORDS[CLOCKS[mark]] for mark in (start, _ENDS[name])))

    def __repr__(self) -> str:
        since = WORDS[self.since] if self.since else "an unknown moment"
        lines = [f"Latency, in ms from {since}:"]
        for name in MEASURES:
            start = " after committed" if name == "commit_to_audio" else ""
            lines.append(f"  {name:<16}{milliseconds(getattr(self, name)):>10}{start}  ({self.clocks(name)})")
        return "\n".join(lines)
