"""A turn as stretches of time on one clock: who spoke, who waited, what was played.

That clock is the log's, or the conversation's, on which audio is where a listener would have placed it: see
`conversation_clock`. Pictures use the conversation's, figures of latency the log's.

Spans come from marks alone. A span whose start or end was not observed is left out, and none is guessed. What
was computed here and not reported by the server says so in its note.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..audio import Clip
from ..audio.speech_activity import activity
from ..protocol.timing import MARKS, Latency

__all__ = ["KINDS", "Placement", "Span", "TurnTimes"]

KINDS = {
    "speech": "You speak",
    "sent": "Your audio, sent faster than real time",
    "pause": "End-of-turn silence",
    "waiting": "Input committed, no response yet",
    "thinking": "The model thinks",
    "arriving": "The answer arrives",
    "tools": "Tools run",
    "speaking": "The answer plays",
    "not_played": "Generated but not played",
}
"""The kinds of spans, and the label of each."""

_PACED = 0.7
"""Audio that took at least this share of its length to be sent was sent in real time."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in seconds since the log began.

    ``lane`` is user or model, ``kind`` one of ``KINDS``; ``note`` says where the times come from.
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


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the audio of a turn is on the conversation clock, in seconds.

    ``input`` are the (start, end) of the user's audio, ``output`` the (start, played, received) of the
    answer's: when it starts, and how many seconds of it were played and received.
    """

    input: tuple[tuple[float, float], ...] = ()
    output: tuple[tuple[float, float, float], ...] = ()
    at_once: bool = False
    """Whether the user's audio was sent faster than real time."""


@dataclass(frozen=True)
class TurnTimes:
    """When the parts of a turn happened, as far as that is known; all but its number may be missing.

    ``responses`` are the marks of each response with the seconds of audio it generated. ``played`` are the
    seconds of the answer that were played where it was cut. ``time_scaled`` marks a replay whose times are
    not the model's. ``input_audio`` and ``output_audio`` return the audio of both sides when they are called.
    ``conversation`` are the same times on the conversation clock, where that is known; they have a
    ``placement`` of the audio.
    """

    number: int
    status: str = "completed"
    marks: Mapping[str, float] = field(default_factory=dict)
    responses: tuple[tuple[Mapping[str, float], float], ...] = ()
    played: float | None = None
    time_scaled: bool = False
    input_audio: Callable[[], Clip | None] = lambda: None
    output_audio: Callable[[], Clip | None] = lambda: None
    conversation: TurnTimes | None = None
    placement: Placement | None = None

    def __post_init__(self) -> None:
        known = {name: float(self.marks[name]) for name in MARKS if name in self.marks}
        known = {name: t for name, t in known.items() if math.isfinite(t)}
        object.__setattr__(self, "marks", known)

    @property
    def drawn(self) -> TurnTimes:
        """The times that pictures show: those of the conversation, else these."""
        return self.conversation or self

    @property
    def latency(self) -> Latency:
        """How long the parts of the answer took."""
        return Latency.of(self.marks)

    @property
    def zero(self) -> float | None:
        """The end of input, from which latency is counted; else the first known mark; else None."""
        since = self.latency.since
        return self.marks[since] if since else min(self.marks.values(), default=None)

    @property
    def start(self) -> float | None:
        """The first moment that is known or was computed."""
        return min((span.start for span in self.spans()), default=min(self.marks.values(), default=None))

    @property
    def end(self) -> float | None:
        """The last moment that is known or was computed."""
        ends = [*self.marks.values(), *(span.end for span in self.spans())]
        return max(ends, default=None)

    @property
    def playback(self) -> list[tuple[float, float]]:
        """When the audio of each response played, as (start, end), if playback began with its first audio.

        The responses of a turn play one after the other.
        """
        if self.placement is not None:
            return [(start, start + received) for start, _, received in self.placement.output]
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
        """How much audio the answer has."""
        return sum(seconds for _, seconds in self.responses)

    def spans(self) -> list[Span]:
        """Return all spans that are known, ordered by their start."""
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
            note = "from when the server's events about it arrived"
            yield Span("user", "speech", marks["speech_started"], marks["speech_stopped"], note)
        if {"speech_end", "speech_stopped"} <= set(marks):
            yield Span("user", "pause", marks["speech_end"], marks["speech_stopped"])

    @property
    def input_places(self) -> list[tuple[float, float]]:
        """Where the input's audio is, as (start, end), if that is known: where it was placed or paced."""
        if self.placement is not None and self.placement.input:
            return list(self.placement.input)
        return [self.paced] if self.paced is not None else []

    @property
    def paced(self) -> tuple[float, float] | None:
        """From when to when the input's audio was sent, where it was sent in real time."""
        start, end = self.marks.get("input"), self.marks.get("input_end")
        if start is None or end is None or end <= start:
            return None
        clip = self._input_audio
        if clip is None or end - start < _PACED * clip.seconds:
            return None
        return start, end

    @cached_property
    def _input_audio(self) -> Clip | None:
        return self.input_audio()

    @cached_property
    def _computed(self) -> list[Span]:
        """Where the user spoke by the energy of the audio, for when the server did not say."""
        return list(self._measured())

    def _measured(self) -> Iterator[Span]:
        start, end, clip = self.marks.get("input"), self.marks.get("input_end"), self._input_audio
        if clip is not None and self.placement is not None and self.placement.input:
            yield from _speech(clip, self.placement)
            return
        if clip is None or start is None or end is None or end < start or not clip.seconds:
            return
        if self.paced is None:
            note = f"{clip.seconds:.2f} s of audio, sent at once"
            yield Span("user", "sent", start, max(end, start + 1e-4), note)
            return
        scale = (end - start) / clip.seconds
        for first, last in activity(clip.samples, clip.rate):
            note = "computed from the energy of the audio"
            yield Span("user", "speech", start + first * scale, start + last * scale, note)

    def _model(self) -> Iterator[Span]:
        marks = self.marks
        requested = marks.get("requested", marks.get("committed"))
        if requested is not None and "created" in marks:
            yield Span("model", "waiting", requested, marks["created"])
        before: float | None = None
        for own, _ in self.responses:
            if before is not None and "created" in own:
                yield Span("model", "tools", before, own["created"])
            arrivals = [own[name] for name in ("first_text", "first_audio") if name in own]
            done = own.get("done")
            if "created" in own:
                first = min(arrivals, default=done)
                if first is not None:
                    yield Span("model", "thinking", own["created"], first)
            last = own.get("last_audio", done)
            if arrivals and last is not None:
                yield Span("model", "arriving", min(arrivals), last)
            before = done
        yield from self._playing()

    def _playing(self) -> Iterator[Span]:
        marks = self.marks
        left = self.played
        if left is None:
            note = "if played as it arrived; the log does not say what was played"
        else:
            note = f"{left:.2f} s of {self.seconds:.2f} s were played"
        if "played" in marks:
            until = marks.get("played_end")
            if until is not None:
                yield Span("model", "speaking", marks["played"], until, "as the server reported")
            return
        if self.placement is not None:
            for start, played, received in self.placement.output:
                yield Span("model", "speaking", start, start + played, note)
                yield Span("model", "not_played", start + played, start + received, note)
            return
        for start, end in self.playback:
            until = end if left is None else min(end, start + max(left, 0.0))
            yield Span("model", "speaking", start, until, note)
            yield Span("model", "not_played", until, end, note)
            left = None if left is None else left - (end - start)


def _speech(clip: Clip, placement: Placement) -> Iterator[Span]:
    """Yield where the user spoke, by the energy of a clip that is in one or more places."""
    note = "computed from the energy of the audio"
    if placement.at_once:
        note += ", which was sent faster than real time"
    spoken = activity(clip.samples, clip.rate)
    at = 0.0
    for start, end in placement.input:
        for first, last in spoken:
            first, last = max(first - at, 0.0), min(last - at, end - start)
            if first < last:
                yield Span("user", "speech", start + first, start + last, note)
        at += end - start
