"""When things happened in a turn, and by whose clock.

All marks are in seconds since the log began. Most are when a frame left or arrived here. Where speech lies is
the server's judgement (``audio_start_ms``, ``audio_end_ms``), put on this side's clock: the moment when that
piece of sound was sent. What a page played is in no frame; only where an answer was cut does the log tell how
much of it had been heard. A mark that was not observed is absent, and what depends on it is None.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

__all__ = ["CLOCKS", "MARKS", "MEASURES", "SINCE", "WORDS", "AudioClock", "Latency"]

_KEPT = 4096
"""How many appends are remembered: over two minutes of 40 ms each."""

_ROUNDING = 1e-6
"""Milliseconds by which a sum of many lengths may be wrong."""


class AudioClock:
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


MARKS = {
    "input": "the first frame of the input left",
    "input_end": "the last frame of the input left",
    "speech_begin": "the first of the speech was sent, as the server placed its beginning",
    "speech_started": "the server said that speech began",
    "speech_end": "the last of the speech was sent, as the server placed its end",
    "speech_stopped": "the server said that speech had ended",
    "committed": "the server took the input",
    "requested": "a response was asked for",
    "created": "the first response began",
    "first_text": "the first text or transcript arrived",
    "first_audio": "the first audio arrived, silent or not",
    "first_preamble": "the first of a preamble arrived (phase commentary)",
    "first_answer": "the first of the answer itself arrived, after any preamble (phase final_answer)",
    "first_sound": "the first sound above −50 dBFS could be heard, if played from first audio on",
    "played": "the server said that it began to play the answer (WebRTC and SIP only)",
    "last_audio": "the last audio arrived",
    "interrupted": "speech cut in, or the client told the answer to stop",
    "cut": "the client told the server how much of the answer had been heard",
    "played_end": "the server said that it had stopped playing (WebRTC and SIP only)",
    "done": "the last response was over",
}
"""The names of all marks, in the usual order, and what each means."""

WORDS = {name: name.replace("_", " ") for name in MARKS}
"""Each mark as texts and pictures call it: its own name, so that a moment has one."""

CLOCKS = dict.fromkeys(MARKS, "here") | {
    "speech_begin": "server",
    "speech_end": "server",
    "first_sound": "computed",
    "cut": "player",
}
"""By whose clock each mark is.

``here``: when a frame left or arrived, by the monotonic clock of the side that kept the log. ``server``: the
server's statement, put on that clock. ``computed``: from the arrival and the sound itself. ``player``: what
played the answer stated how much of it was heard; the mark is when the client passed that on.
"""

SINCE = ("speech_end", "requested", "committed", "created")
"""From which mark a turn's latency is counted: the first of these that was observed."""

MEASURES = {
    "detected": "speech stopped: the server said that speech had ended",
    "first_text": "the first text or transcript",
    "first_audio": "the first audio, silent or not",
    "first_sound": "the first sound above −50 dBFS",
    "total": "done: all of the answer had come",
    "commit_to_audio": "first audio, from committed on: the server took the input",
}
"""The figures of a `Latency`, and what each means; from the end of input where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the end of the user's input; None where it was not observed.

    The end of input is the end of speech where the server detected one, else when the response was asked
    for (see ``since``). ``commit_to_audio`` is from the server's taking of the input to the first audio,
    ``detected`` from the end of speech to the server's word that it ended. ``marks`` has the moments that
    all this is from; ``CLOCKS`` says by whose clock each is.
    """

    since: str
    first_text: float | None = None
    first_audio: float | None = None
    first_sound: float | None = None
    total: float | None = None
    commit_to_audio: float | None = None
    detected: float | None = None
    marks: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, marks: Mapping[str, float]) -> Self:
        """Read a turn's marks."""
        since = next((name for name in SINCE if name in marks), "")

        def ms(name: str, start: str = since) -> float | None:
            if name not in marks or start not in marks:
                return None
            return round((marks[name] - marks[start]) * 1000, 3)

        return cls(
            since=since,
            first_text=ms("first_text"),
            first_audio=ms("first_audio"),
            first_sound=ms("first_sound"),
            total=ms("done"),
            commit_to_audio=ms("first_audio", "committed"),
            detected=ms("speech_stopped", "speech_end"),
            marks=dict(marks),
        )

    def __str__(self) -> str:
        if self.first_audio is not None:
            return f"first audio {self.first_audio:,.0f} ms"
        if self.first_text is not None:
            return f"first text {self.first_text:,.0f} ms"
        return "latency unknown"
