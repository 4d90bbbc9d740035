"""One turn on one clock: you above, the assistant below, and the marks that were observed."""

from __future__ import annotations

import math

import htpy
import numpy as np
from htpy import Node
from markupsafe import Markup

from ..analysis.latency import CLOCK_WORDS
from ..analysis.spans import KINDS, Span, TurnTimes
from ..audio import Clip
from ..audio.peaks import peaks
from ..formatting import clock, milliseconds, turn_number
from ..protocol.timing import CLOCKS, MARKS, WORDS
from .svg import BAD, COLOURS, Drawing, n, rows_for, ticks

__all__ = ["turn_svg"]

_WIDTH = 760
_LEFT, _RIGHT = 66, 120  # the right margin is room for the last labels
_LANE = 34
_WIRE = 7
_ROW = 15
_USER = ("input", "input_end", "speech_begin", "speech_started", "speech_end", "speech_stopped", "committed")
_QUIETEST = 0.05  # audio is drawn as tall as its lane, noise is not
_TYPED = 0.002  # an input that took less seconds was text, and has one moment


def turn_svg(times: TurnTimes, *, as_image: bool = False) -> Markup:
    """Return the picture of a turn; nothing where no moment of it is known."""
    if times.zero is None:
        return Markup()
    return _Picture(times.drawn, Drawing(as_image=as_image)).drawn()


class _Picture:
    def __init__(self, times: TurnTimes, drawing: Drawing) -> None:
        self.times = times
        self.drawing = drawing
        self.zero = times.zero or 0.0
        self.spans = times.spans()
        self.start = min([*times.marks.values(), *(span.start for span in self.spans)])
        # What was not played may be far longer than what was: it ends with the picture.
        ends = [span.end for span in self.spans if span.kind != "not_played"]
        end = max([*times.marks.values(), *ends])
        rest = max((span.end for span in self.spans), default=end)
        self.cut_off = rest > end + 0.35 * (end - self.start)
        self.end = end + 0.2 * (end - self.start) if self.cut_off else max(end, rest)
        self.end = max(self.end, self.start + 0.02)

    def x(self, t: float) -> float:
        share = (min(t, self.end) - self.start) / (self.end - self.start)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def drawn(self) -> Markup:
        above, below = self._labels(user=True), self._labels(user=False)
        top = 4 + (max(rows_for(above), default=-1) + 1) * _ROW
        user, wire = top + 4, top + 4 + _LANE + 10
        model = wire + _WIRE + 3
        under = model + _LANE
        axis = under + 8 + (max(rows_for(below), default=-1) + 1) * _ROW
        text = self.drawing.text
        speech = [span for span in self.spans if span.lane == "user"]
        stages = [span for span in self.spans if span.kind in ("waiting", "thinking", "arriving", "tools")]
        playback = [span for span in self.spans if span.kind in ("speaking", "not_played")]
        parts = [
            self._axis(user - 2, axis),
            text(0, user + _LANE / 2 + 4, "You"),
            text(0, model + _LANE / 2 + 4, "Assistant"),
            self._lane(user, speech, self._input()),
            [self._bar(span, wire, _WIRE) for span in stages],
            self._lane(model, playback, self._output()),
            self._marks(above, user, _LANE, up=True),
            self._marks(below, wire, under - wire, up=False),
        ]
        label = (
            f"Turn {turn_number(self.times.number)} on one clock. The table of marks below has the same data."
        )
        return self.drawing.finish(_WIDTH, axis + 18, label, parts)

    def _axis(self, top: float, axis: float) -> list[Node]:
        step = ticks(self.end - self.start)
        parts: list[Node] = []
        first = int(np.ceil((self.start - self.zero) / step - 1e-9))
        last = int(np.floor((self.end - self.zero) / step + 1e-9))
        for k in range(first, last + 1):
            x = self.x(self.zero + k * step)
            strong = {"stroke-opacity": ".16"} if k else {"stroke-opacity": ".6", "stroke-dasharray": "3 2"}
            parts.append(htpy.path(strong, d=f"M{n(x)} {n(top)}V{n(axis)}", stroke="currentColor"))
            label = f"{k * step:+g}".replace("-", "−") + " s" if k else "0"
            parts.append(self.drawing.text(x, axis + 12, label, anchor="middle", soft=True))
        return parts

    def _lane(
        self, y: float, spans: list[Span], audio: tuple[Clip, list[tuple[float, float]]] | None
    ) -> Node:
        width = _WIDTH - _LEFT - _RIGHT
        drawn: list[Node] = [htpy.rect(x=n(_LEFT), y=n(y), width=n(width), height=n(_LANE), opacity=".06")]
        wave = self._wave(y, spans, *audio) if audio is not None else []
        for span in spans:
            shape = self._bar(span, y, _LANE)
            drawn.append(htpy.g(opacity=".32")[shape] if wave and span.kind != "not_played" else shape)
        return [*drawn, *wave]

    def _bar(self, span: Span, y: float, height: float) -> Node:
        x = self.x(span.start)
        start, end = (milliseconds((t - self.zero) * 1000) for t in (span.start, span.end))
        title = f"{KINDS[span.kind]}: {span.seconds:.3f} s, from {start} ms to {end} ms"
        title += f" ({span.note})" if span.note else ""
        bar = self.drawing.bar(x, y, self.x(span.end) - x, height, span.kind, title)
        if span.kind == "not_played" and self.cut_off:
            label = f"{span.seconds:.1f} s not played"
            return [bar, self.drawing.text(self.x(self.end) + 6, y + height / 2 + 4, label, soft=True)]
        return bar

    def _input(self) -> tuple[Clip, list[tuple[float, float]]] | None:
        clip, places = self.times.input_audio(), self.times.input_places
        return None if clip is None or not places else (clip, places)

    def _output(self) -> tuple[Clip, list[tuple[float, float]]] | None:
        clip, places = self.times.output_audio(), self.times.playback
        if clip is None or not places or "played" in self.times.marks:
            return None
        return clip, places

    def _wave(self, y: float, spans: list[Span], clip: Clip, places: list[tuple[float, float]]) -> list[Node]:
        """Draw the outline of the audio where it is in time. ``places`` follow one another in the clip."""
        total = sum(end - start for start, end in places)
        loudest = min(max(clip.peak, _QUIETEST), 1.0)
        edge = min((self.x(span.start) for span in spans if span.kind == "not_played"), default=math.inf)
        played: list[str] = []
        rest: list[str] = []
        at = 0.0
        for start, end in places:
            share = (end - start) / total if total else 0.0
            piece = clip.samples[int(at * len(clip.samples)) : int((at + share) * len(clip.samples))]
            at += share
            columns = int((self.x(start + (end - start)) - self.x(start)) / 2)
            if end > self.end and end > start:
                piece = piece[: int(len(piece) * max(self.end - start, 0.0) / (end - start))]
            if columns < 1 or not len(piece):
                continue
            middle, x = y + _LANE / 2, self.x(start)
            outline = np.clip(peaks(piece, columns) / loudest, -1, 1) * (_LANE / 2 - 2)
            for k, (low, high) in enumerate(outline.tolist()):
                line = f"M{n(x + 2 * k)} {n(middle - high)}v{n(max(high - low, 0.8))}"
                (played if x + 2 * k < edge else rest).append(line)
        kind = "speech" if spans and spans[0].lane == "user" else "speaking"
        return [*_outline(played, kind), *_outline(rest, "not_played")]

    def _labels(self, *, user: bool) -> list[tuple[float, str]]:
        return [(x, text) for x, text, _ in self._named(user)]

    def _named(self, user: bool) -> list[tuple[float, str, str]]:
        """Return the marks of one side as (x, text, name), from left to right."""
        marks = self.times.marks
        names = [name for name in marks if (name in _USER) == user]
        typed = marks.get("input_end", 0.0) - marks.get("input", 0.0) < _TYPED
        if "speech_begin" in marks or typed:
            names = [name for name in names if name != "input_end"]
        if "speech_begin" in marks:  # where the audio of the input begins depends on padding
            names = [name for name in names if name != "input"]
        found = []
        for name in sorted(names, key=lambda name: marks[name]):
            after = (marks[name] - self.zero) * 1000
            figure = "" if name == self.times.latency.since else f" {milliseconds(after)}"
            found.append((self.x(marks[name]), WORDS[name] + figure, name))
        return found

    def _marks(self, labels: list[tuple[float, str]], y: float, height: float, *, up: bool) -> list[Node]:
        parts = []
        for (x, label, name), row in zip(self._named(up), rows_for(labels), strict=True):
            t = self.times.marks[name]
            bad = BAD if name in ("interrupted", "cut") else ""
            baseline = y - 6 - row * _ROW if up else y + height + 12 + row * _ROW
            start, end = (y + height, baseline - 9) if up else (y, baseline)
            line = f"M{n(x)} {n(start)}V{n(end)}"
            leader = htpy.path(d=line, stroke=bad or "currentColor", stroke_opacity=".55", stroke_width="1")
            title = f"{MARKS[name]}; {clock(t)} since the session began; {CLOCK_WORDS[CLOCKS[name]]}"
            box = (x - 3, min(start, end), 7, abs(end - start))  # wide enough to be hit
            parts.append(
                self.drawing.titled([leader, self.drawing.text(x + 3, baseline, label, fill=bad)], box, title)
            )
        return parts


def _outline(lines: list[str], kind: str) -> list[Node]:
    if not lines:
        return []
    look = {"stroke-width": "1.4", "fill": "none", "pointer-events": "none"}
    return [htpy.path(look, d="".join(lines), stroke=COLOURS[kind])]
