"""One turn on one clock: you above, the assistant below, and the marks that were observed."""

from __future__ import annotations

import math

import numpy as np

from ..analysis.latency import CLOCK_WORDS
from ..analysis.spans import KINDS, Span, TurnTimes
from ..audio import Clip
from ..audio.peaks import peaks
from ..formatting import clock, milliseconds
from ..protocol.timing import CLOCKS, MARKS, WORDS
from .svg import BAD, COLOURS, band, n, rows_for, svg, text, ticks

__all__ = ["turn_svg"]

_WIDTH = 760
_LEFT, _RIGHT = 66, 120  # the right margin is the last labels' room
_LANE = 34
_WIRE = 7
_ROW = 15
_USER = ("input", "input_end", "speech_begin", "speech_started", "speech_end", "speech_stopped", "committed")
_QUIETEST = 0.05  # sound is drawn as tall as its lane, noise is not
_TYPED = 0.002  # an input that took less was written, and has one moment


def turn_svg(times: TurnTimes, ink: str = "currentColor") -> str:
    """Return the picture of a turn; "" where no moment of it is known."""
    if times.zero is None:
        return ""
    return _Picture(times, ink).drawn()


def _outline(lines: list[str], kind: str) -> str:
    drawn = f'<path d="{"".join(lines)}" stroke="{COLOURS[kind]}" stroke-width="1.4" fill="none" '
    return drawn + 'pointer-events="none"/>' if lines else ""


class _Picture:
    def __init__(self, times: TurnTimes, ink: str) -> None:
        self.times = times
        self.ink = ink
        self.zero = times.zero or 0.0
        self.spans = times.spans()
        self.start = min([*times.marks.values(), *(span.start for span in self.spans)])
        # What nobody heard may be far longer than what was: it ends with the picture.
        ends = [span.end for span in self.spans if span.kind != "unheard"]
        end = max([*times.marks.values(), *ends])
        rest = max((span.end for span in self.spans), default=end)
        self.cut_off = rest > end + 0.35 * (end - self.start)
        self.end = end + 0.2 * (end - self.start) if self.cut_off else max(end, rest)
        self.end = max(self.end, self.start + 0.02)

    def x(self, t: float) -> float:
        share = (min(t, self.end) - self.start) / (self.end - self.start)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def drawn(self) -> str:
        above, below = self._labels(user=True), self._labels(user=False)
        top = 4 + (max(rows_for(above), default=-1) + 1) * _ROW
        user, wire = top + 4, top + 4 + _LANE + 10
        model = wire + _WIRE + 3
        under = model + _LANE
        axis = under + 8 + (max(rows_for(below), default=-1) + 1) * _ROW
        parts = [self._axis(user - 2, axis)]
        parts += [text(0, user + _LANE / 2 + 4, "You"), text(0, model + _LANE / 2 + 4, "Assistant")]
        parts.append(self._lane(user, [span for span in self.spans if span.lane == "user"], self._said()))
        works = ("waiting", "thinking", "arriving", "tools")
        for span in self.spans:
            if span.kind in works:
                parts.append(self._band(span, wire, _WIRE))
        sounds = [span for span in self.spans if span.kind in ("speaking", "unheard")]
        parts.append(self._lane(model, sounds, self._answered()))
        parts.append(self._marks(above, user, _LANE, up=True))
        parts.append(self._marks(below, wire, under - wire, up=False))
        label = f"Turn {max(self.times.number, 0)} on one clock. The table of marks below tells the same."
        return svg(_WIDTH, axis + 18, label, "".join(parts), self.ink)

    def _axis(self, top: float, axis: float) -> str:
        step = ticks(self.end - self.start)
        parts = []
        first = int(np.ceil((self.start - self.zero) / step - 1e-9))
        last = int(np.floor((self.end - self.zero) / step + 1e-9))
        for k in range(first, last + 1):
            x = self.x(self.zero + k * step)
            strong = ' stroke-opacity=".6" stroke-dasharray="3 2"' if k == 0 else ' stroke-opacity=".16"'
            parts.append(f'<path d="M{n(x)} {n(top)}V{n(axis)}" stroke="{self.ink}"{strong}/>')
            said = "0" if k == 0 else f"{k * step:+g}".replace("-", "−") + " s"
            parts.append(text(x, axis + 12, said, anchor="middle", soft=True))
        return "".join(parts)

    def _lane(self, y: float, spans: list[Span], sound: tuple[Clip, list[tuple[float, float]]] | None) -> str:
        x, width = _LEFT, _WIDTH - _LEFT - _RIGHT
        base = f'<rect x="{x}" y="{n(y)}" width="{width}" height="{_LANE}" opacity=".06"/>'
        drawn = [base]
        wave = self._wave(y, spans, *sound) if sound is not None else ""
        for span in spans:
            shape = self._band(span, y, _LANE)
            drawn.append(f'<g opacity=".32">{shape}</g>' if wave and span.kind != "unheard" else shape)
        return "".join(drawn) + wave

    def _band(self, span: Span, y: float, height: float) -> str:
        x = self.x(span.start)
        title = f"{KINDS[span.kind]}: {span.seconds:.3f} s"
        start, end = (milliseconds((t - self.zero) * 1000) for t in (span.start, span.end))
        title += f", from {start} ms to {end} ms"
        title += f" ({span.note})" if span.note else ""
        shown = band(x, y, self.x(span.end) - x, height, span.kind, title)
        if span.kind == "unheard" and self.cut_off:
            said = f"{span.seconds:.1f} s not heard"
            shown += text(self.x(self.end) + 6, y + height / 2 + 4, said, soft=True)
        return shown

    def _said(self) -> tuple[Clip, list[tuple[float, float]]] | None:
        clip, paced = self.times.said(), self.times.paced
        return None if clip is None or paced is None else (clip, [paced])

    def _answered(self) -> tuple[Clip, list[tuple[float, float]]] | None:
        clip, places = self.times.answered(), self.times.sounded
        if clip is None or not places or "played" in self.times.marks:
            return None
        return clip, places

    def _wave(self, y: float, spans: list[Span], clip: Clip, places: list[tuple[float, float]]) -> str:
        """Draw the sound's outline where it lies in time. ``places`` follow one another in the clip."""
        total = sum(end - start for start, end in places)
        loudest = min(max(clip.peak, _QUIETEST), 1.0)
        silent = [span.start for span in spans if span.kind == "unheard"]
        heard: list[str] = []
        unheard: list[str] = []
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
            edge = self.x(min(silent)) if silent else math.inf
            outline = np.clip(peaks(piece, columns) / loudest, -1, 1) * (_LANE / 2 - 2)
            for k, (low, high) in enumerate(outline.tolist()):
                line = f"M{n(x + 2 * k)} {n(middle - high)}v{n(max(high - low, 0.8))}"
                (heard if x + 2 * k < edge else unheard).append(line)
        kind = "speech" if spans and spans[0].lane == "user" else "speaking"
        return _outline(heard, kind) + _outline(unheard, "unheard")

    def _labels(self, *, user: bool) -> list[tuple[float, str]]:
        return [(x, said) for x, said, _ in self._named(user)]

    def _named(self, user: bool) -> list[tuple[float, str, str]]:
        """Return the marks of one side as (x, text, name), from left to right."""
        marks = self.times.marks
        names = [name for name in marks if (name in _USER) == user]
        written = marks.get("input_end", 0.0) - marks.get("input", 0.0) < _TYPED
        if "speech_begin" in marks or written:
            names = [name for name in names if name != "input_end"]
        if "speech_begin" in marks:  # where the taken sound begins is a matter of padding
            names = [name for name in names if name != "input"]
        found = []
        for name in sorted(names, key=lambda name: marks[name]):
            after = (marks[name] - self.zero) * 1000
            figure = "" if name == self.times.latency.since else f" {milliseconds(after)}"
            found.append((self.x(marks[name]), WORDS[name] + figure, name))
        return found

    def _marks(self, labels: list[tuple[float, str]], y: float, height: float, *, up: bool) -> str:
        parts = []
        for (x, said, name), row in zip(self._named(up), rows_for(labels), strict=True):
            t = self.times.marks[name]
            ink = BAD if name in ("interrupted", "cut") else self.ink
            baseline = y - 6 - row * _ROW if up else y + height + 12 + row * _ROW
            line = f"M{n(x)} {n(y + height)}V{n(baseline - 9)}" if up else f"M{n(x)} {n(y)}V{n(baseline)}"
            title = f"{MARKS[name]}; {clock(t)} since the session began; {CLOCK_WORDS[CLOCKS[name]]}"
            label = text(x + 3, baseline, said, more=f' fill="{BAD}"' if ink == BAD else "")
            leader = f'<path d="{line}" stroke="{ink}" stroke-opacity=".55" stroke-width="1"/>'
            parts.append(f"<g><title>{title}</title>{leader}{label}</g>")
        return "".join(parts)
