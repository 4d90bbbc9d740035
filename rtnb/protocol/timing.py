"""When things happened in a turn, and by which clock.

All marks are in seconds since the log began. Most are when a frame was sent or received. The bounds of speech
are the server's (``audio_start_ms``, ``audio_end_ms``), mapped to the client's clock: the moment when that
audio was sent. Playback is not in the log: how much of an answer was played is known only if it was
truncated. A mark that was not observed is absent, and what depends on it is None.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

__all__ = ["CLOCKS", "MARKS", "MEASURES", "SINCE", "WORDS", "AudioClock", "Latency"]

_KEPT = 4096
"""How many appends are kept: over two minutes of 40 ms each."""

_ROUNDING = 1e-6
"""The rounding error of a sum of many lengths, in milliseconds."""


class AudioClock:
    """Maps milliseconds of the session's appended audio, as the server counts them, to times."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=_KEPT)  # the end of each append, in ms of audio
        self._times: deque[float] = deque(maxlen=_KEPT)
        self.ms = 0.0
        """The length of all appended audio, in milliseconds."""

    def add(self, ms: float, t: float) -> None:
        """Add an append of ``ms`` milliseconds of audio, sent at ``t`` seconds."""
        self.ms += ms
        self._ends.append(self.ms)
        self._times.append(t)

    def at(self, ms: float) -> float | None:
        """Return when the audio at ``ms`` of all input was sent, in seconds; None if that is not known."""
        place = bisect_left(self._ends, ms - _ROUNDING)
        if place >= len(self._ends) or (self._ends[0] > ms and len(self._ends) == _KEPT):
            return None
        return self._times[place]


MARKS = {
    "input": "the first frame of the input was sent",
    "input_end": "the last frame of the input was sent",
    "speech_begin": "the start of speech was sent (position reported by the server)",
    "speech_started": "the server reported the start of speech",
    "speech_end": "the end of speech was sent (position reported by the server)",
    "speech_stopped": "the server reported the end of speech",
    "committed": "the server committed the input",
    "requested": "a response was requested",
    "created": "the first response was created",
    "first_text": "the first text or transcript arrived",
    "first_audio": "the first audio arrived, silent or not",
    "first_preamble": "the first of a preamble arrived (phase commentary)",
    "first_answer": "the first of the answer itself arrived, after any preamble (phase final_answer)",
    "first_sound": "the first sound above −50 dBFS, if played from first audio on",
    "played": "the server reported the start of playback (WebRTC and SIP only)",
    "last_audio": "the last audio arrived",
    "interrupted": "the user barged in, or the client stopped the answer",
    "cut": "the client truncated the answer to what was played",
    "played_end": "the server reported the end of playback (WebRTC and SIP only)",
    "done": "the last response was done",
}
"""The names of all marks, in the usual order, and their meanings."""

WORDS = {name: name.replace("_", " ") for name in MARKS}
"""The label of each mark in texts and pictures: its name with spaces."""

CLOCKS = dict.fromkeys(MARKS, "here") | {
    "speech_begin": "server",
    "speech_end": "server",
    "first_sound": "computed",
    "cut": "player",
}
"""By which clock each mark is measured.

``here``: when a frame was sent or received, by the monotonic clock of the side that kept the log. ``server``:
a position in the audio that the server reported, mapped to that clock. ``computed``: from the time of arrival
and the audio itself. ``player``: the player reported how much of the answer was played; the mark is when the
client sent that to the server.
"""

SINCE = ("speech_end", "requested", "committed", "created")
"""The mark from which a turn's latency is measured: the first of these that was observed."""

MEASURES = {
    "detected": "speech stopped: the server reported the end of speech",
    "first_text": "the first text or transcript",
    "first_audio": "the first audio, silent or not",
    "first_sound": "the first sound above −50 dBFS",
    "total": "done: the whole answer had arrived",
    "commit_to_audio": "first audio, from committed: the server committed the input",
}
"""The figures of a `Latency` and their meanings; measured from the end of input unless stated otherwise."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the end of the user's input; None if not observed.

    The end of input is the end of speech if the server detected one, else when the response was requested
    (see ``since``). ``commit_to_audio`` is from the server's commit of the input to the first audio,
    ``detected`` from the end of speech to the server's report of it. ``marks`` are the moments from which
    these are computed; ``CLOCKS`` has the clock of each.
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
        """Compute the figures from a turn's marks."""
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
