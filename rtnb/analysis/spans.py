"""A turn as stretches of time on one clock: who spoke, who waited, what was heard.

What is drawn comes from marks alone; a stretch whose beginning or end was not observed is left out, and none
is guessed. What was computed here, and not told by the server, says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..audio import Clip
from ..audio.speech_activity import activity
from ..protocol.timing import MARKS, Latency
from .turn import TurnView

__all__ = ["KINDS", "Span", "TurnTimes"]

KINDS = {
    "speech": "You speak",
    "sound": "Your sound, sent faster than it sounds",
    "pause": "Silence by which the end is known",
    "waiting": "The server takes the input",
    "thinking": "The model thinks",
    "arriving": "The answer arrives",
    "tools": "Tools run",
    "speaking": "The answer sounds",
    "unheard": "Made and not heard",
}
"""The kinds of stretches, and each in words."""

_PACED = 0.7
"""Sound that took at least this share of its length to be sent was sent as it was spoken."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in seconds since the log began.

    ``lane`` is user or model, ``kind`` one of ``KINDS``; ``note`` says by whose word it is.
    """

    lane: str
    kind: str
    start: float
    end: float
    note: str = ""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True)
class TurnTimes:
    """What is known of when a turn's parts happened; all but its number may be missing.

    ``responses`` are the marks of each response with the seconds of sound it made. ``heard`` are the
    seconds of the answer that were heard where it was cut. ``hurried`` tells of a replay whose times are
    not the model's. ``said`` and ``answered`` give the sound of both sides when it is asked for.
    """

    number: int
    status: str = "completed"
    marks: Mapping[str, float] = field(default_factory=dict)
    responses: tuple[tuple[Mapping[str, float], float], ...] = ()
    heard: float | None = None
    title: str = ""
    time_scaled: bool = False
    said: Callable[[], Clip | None] = lambda: None
    answered: Callable[[], Clip | None] = lambda: None

    def __post_init__(self) -> None:
        known = {name: float(self.marks[name]) for name in MARKS if name in self.marks}
        known = {name: t for name, t in known.items() if math.isfinite(t)}
        object.__setattr__(self, "marks", known)

    @classmethod
    def of(cls, turn: TurnView) -> TurnTimes:
        """Read a turn."""
        made: dict[str, float] = {}
        for item in turn.items:
            id = item.response_id or ""
            made[id] = made.get(id, 0.0) + item.audio_ms / 1000
        return cls(
            number=turn.number,
            status=turn.status,
            marks=turn.marks,
            responses=tuple((dict(one.marks), made.get(one.id, 0.0)) for one in turn.responses),
            heard=turn.played,
            title=turn.input.text or turn.text_so_far,
            time_scaled=turn.time_scaled,
            said=lambda: turn.input.audio,
            answered=lambda: turn.audio_so_far,
        )

    @property
    def latency(self) -> Latency:
        """How long the parts of the answer took."""
        return Latency.of(self.marks)

    @property
    def zero(self) -> float | None:
        """The end of input, from which latency is counted; else the first moment known; else None."""
        since = self.latency.since
        return self.marks[since] if since else min(self.marks.values(), default=None)

    @property
    def start(self) -> float | None:
        """The first moment that is known."""
        return min((span.start for span in self.spans()), default=min(self.marks.values(), default=None))

    @property
    def end(self) -> float | None:
        """The last moment that is known or was computed."""
        ends = [*self.marks.values(), *(span.end for span in self.spans())]
        return max(ends, default=None)

    @property
    def sounded(self) -> list[tuple[float, float]]:
        """When each response's sound was played, as (start, end), if it was from its first audio on.

        Responses of one turn are played one after the other.
        """
        found, free = [], -math.inf
        for marks, seconds in self.responses:
            first = marks.get("first_audio")
            if first is not None and seconds > 0:
                start = max(first, free)
                free = start + seconds
                found.append((start, free))
        return found

    @property
    def seconds(self) -> float:
        """How much sound the answer has."""
        return sum(seconds for _, seconds in self.responses)

    def spans(self) -> list[Span]:
        """Return all stretches that are known, in order of their beginnings."""
        found = [*self._user(), *self._model()]
        return sorted((span for span in found if span.seconds > 0), key=lambda span: span.start)

    def _user(self) -> Iterator[Span]:
        marks = self.marks
        if {"speech_begin", "speech_end"} <= set(marks):
            yield Span(
                "user", "speech", marks["speech_begin"], marks["speech_end"], "as the server placed it"
            )
        elif self._computed:
            yield from self._computed
        elif {"speech_started", "speech_stopped"} <= set(marks):
            note = "between the arrivals of the server's word on it"
            yield Span("user", "speech", marks["speech_started"], marks["speech_stopped"], note)
        if {"speech_end", "speech_stopped"} <= set(marks):
            yield Span("user", "pause", marks["speech_end"], marks["speech_stopped"])

    @property
    def paced(self) -> tuple[float, float] | None:
        """From when to when the input's sound was sent, where it was sent as it was spoken."""
        start, end = self.marks.get("input"), self.marks.get("input_end")
        if start is None or end is None or end <= start:
            return None
        clip = self._said
        if clip is None or end - start < _PACED * clip.seconds:
            return None
        return start, end

    @cached_property
    def _said(self) -> Clip | None:
        return self.said()

    @cached_property
    def _computed(self) -> list[Span]:
        """Where speech lies by the sound's own energy, where the server did not say."""
        return list(self._measured())

    def _measured(self) -> Iterator[Span]:
        start, end, clip = self.marks.get("input"), self.marks.get("input_end"), self._said
        if clip is None or start is None or end is None or end < start or not clip.seconds:
            return
        if self.paced is None:
            note = f"{clip.seconds:.2f} s of sound, sent at once"
            yield Span("user", "sound", start, max(end, start + 1e-4), note)
            return
        scale = (end - start) / clip.seconds
        for first, last in activity(clip.samples, clip.rate):
            note = "computed from the sound's energy"
            yield Span("user", "speech", start + first * scale, start + last * scale, note)

    def _model(self) -> Iterator[Span]:
        marks = self.marks
        asked = marks.get("requested", marks.get("committed"))
        if asked is not None and "created" in marks:
            yield Span("model", "waiting", asked, marks["created"])
        before: float | None = None
        for own, _ in self.responses:
            if before is not None and "created" in own:
                yield Span("model", "tools", before, own["created"])
            came = [own[name] for name in ("first_text", "first_audio") if name in own]
            ended = own.get("done")
            if "created" in own:
                thought = min(came, default=ended)
                if thought is not None:
                    yield Span("model", "thinking", own["created"], thought)
            last = own.get("last_audio", ended)
            if came and last is not None:
                yield Span("model", "arriving", min(came), last)
            before = ended
        yield from self._sounding()

    def _sounding(self) -> Iterator[Span]:
        marks = self.marks
        if "played" in marks:
            until = marks.get("played_end")
            if until is not None:
                yield Span("model", "speaking", marks["played"], until, "as the server told")
            return
        left = self.heard
        note = "if played as it came; the log does not tell what was played"
        for start, end in self.sounded:
            heard = end if left is None else min(end, start + max(left, 0.0))
            said = note if left is None else f"{self.heard:.2f} s of {self.seconds:.2f} s were heard"
            yield Span("model", "speaking", start, heard, said)
            yield Span("model", "unheard", heard, end, said)
            left = None if left is None else left - (end - start)
