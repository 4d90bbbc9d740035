"""A whole session in two pictures: both lanes on the session's clock, and for each turn how long it took."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import htpy
from htpy import Node
from markupsafe import Markup

from ..analysis.spans import KINDS, Span, TurnTimes
from ..formatting import milliseconds, turn_number
from ..redaction import clean_text
from .svg import BAD, LETTER, Drawing, n, ticks

__all__ = ["COMPACT", "Link", "bars_svg", "fold", "scales", "seen", "strip_svg"]

COMPACT = 50
"""As images, the pictures of a session with more turns are compact: see `Drawing`."""

_WIDTH = 760
_LEFT, _RIGHT = 66, 12
_WIDE = _WIDTH - _LEFT - _RIGHT
_FIGURE = 128
_LANE = 20
_GAP = 5
_TALL = 2 * _LANE + _GAP + 44  # of a row of the strip
_BAR = 12
_STEP = 21
_WAITING = 210  # how wide the first panel of the bars is
_ANSWER = 356  # where the second begins
_BROKEN = 10  # what is drawn of a bar beyond its break
_ROWS = (30, 60, 120, 300, 600, 1200, 1800, 3600)
_MOST_ROWS = 12
_SEEN = 2.0
"""Pixels from which on a span is seen, and its kind explained."""
_FAINT = 0.5
"""Pixels below which a compact strip leaves out a span."""

Link = Callable[[TurnTimes], str]


def fold(turns: int) -> int:
    """Return how many turns of a session there are in one picture of bars; all but the first are folded."""
    return 25 if turns <= 400 else 100


def strip_svg(turns: Sequence[TurnTimes], link: Link | None = None, *, as_image: bool = False) -> Markup:
    """Draw both lanes on the session's clock, in as many rows as it needs; nothing where no moment is known.

    ``link`` gives the address of a turn, to which its spans then lead.
    """
    known = [turn.drawn for turn in turns if turn.end is not None]
    if not known:
        return Markup()
    return _Strip(known).drawn(Drawing(as_image=as_image, compact=as_image and len(turns) > COMPACT), link)


def seen(turns: Sequence[TurnTimes]) -> set[str]:
    """Return the kinds of spans that the pictures of a session show."""
    known = [turn.drawn for turn in turns if turn.end is not None]
    kinds = {part.span.kind for part in _Strip(known).parts if part.width >= _SEEN} if known else set()
    return kinds | {kind for turn in turns for pieces in _parts(turn) for kind, s in pieces if s > 0}


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a span within a row of the strip; ``x`` and ``width`` are pixels."""

    turn: TurnTimes
    span: Span
    row: int
    x: float
    width: float


class _Strip:
    def __init__(self, turns: Sequence[TurnTimes]) -> None:
        self.turns = turns
        self.spans = _spans(turns)
        last = max(max(turn.marks.values(), default=0.0) for turn in turns)
        self.total = max([last, *(span.end for _, span in self.spans if span.kind != "not_played")])
        hours = math.ceil(self.total / _MOST_ROWS / 3600)
        length = float(next((row for row in _ROWS if self.total <= row * _MOST_ROWS), hours * 3600))
        self.length = max(self.total, 1.0) if self.total <= 1.5 * length else length
        self.count = max(1, math.ceil(self.total / self.length - 1e-9))

    def drawn(self, drawing: Drawing, link: Link | None) -> Markup:
        bars = []
        for part in self.parts:
            if drawing.compact and part.width < _FAINT:
                continue
            span = part.span
            title = f"Turn {turn_number(part.turn.number)}. {KINDS[span.kind]}: {span.seconds:.2f} s"
            title += f" ({span.note})" if span.note else ""
            y = self._y(part.row) + (0 if span.lane == "user" else _LANE + _GAP)
            bar = drawing.bar(part.x, y, part.width, _LANE, span.kind, title)
            bars.append(_linked(bar, part.turn, link))
        label = "The whole session: you above, the assistant below, on one clock."
        rows = [self._row(drawing, row) for row in range(self.count)]
        return drawing.finish(_WIDTH, self.count * _TALL, label, [rows, bars, self._numbers(drawing, link)])

    @cached_property
    def parts(self) -> list[_Part]:
        """The spans, broken where their rows end. What the user said is never too thin to be seen."""
        found = []
        for turn, span in self.spans:
            end = min(span.end, self.total)
            least = _SEEN if span.lane == "user" else 0.0
            first, last = int(span.start // self.length), int(end // self.length)
            for row in range(first, min(last, self.count - 1) + 1):
                start, stop = max(span.start, row * self.length), min(end, (row + 1) * self.length)
                if stop > start:
                    width = max((stop - start) / self.length * _WIDE, least)
                    found.append(_Part(turn, span, row, self._x(start, row), width))
        return found

    def _x(self, t: float, row: int) -> float:
        return _LEFT + (t - row * self.length) / self.length * _WIDE

    def _y(self, row: int) -> float:
        return row * _TALL + 18

    def _row(self, drawing: Drawing, row: int) -> list[Node]:
        """Draw the empty lanes of a row, and its clock."""
        y, model = self._y(row), self._y(row) + _LANE + _GAP
        seconds = min(self.length, self.total - row * self.length)
        width = n(seconds / self.length * _WIDE)
        parts: list[Node] = [
            htpy.rect(x=n(_LEFT), y=n(lane), width=width, height=n(_LANE), opacity=".06")
            for lane in (y, model)
        ]
        parts += [
            drawing.text(0, y + 14, "You", soft=True),
            drawing.text(0, model + 14, "Assistant", soft=True),
        ]
        step = ticks(min(self.length, self.total), 8)
        for k in range(int(seconds / step + 1e-9) + 1):
            t = row * self.length + k * step
            x = self._x(t, row)
            anchor = "" if k == 0 else "end" if x > _WIDTH - 40 else "middle"
            parts.append(drawing.text(x, model + _LANE + 15, _minutes(t), anchor=anchor, soft=True))
        return parts

    def _numbers(self, drawing: Drawing, link: Link | None) -> list[Node]:
        """Return the turns' numbers above where they start, where there is room."""
        parts, free = [], (-1, 0.0)
        for turn in self.turns:
            start = turn.start
            if start is None:
                continue
            row = int(start // self.length)
            x, label = self._x(start, row), f"turn {turn_number(turn.number)}"
            end = x + LETTER * len(label)
            if (row, x) >= free and end <= _WIDTH:
                number = drawing.text(x, row * _TALL + 13, label, fill=_bad(turn))
                parts.append(_linked(number, turn, link))
                free = (row, end + 6)
        return parts


def _spans(turns: Sequence[TurnTimes]) -> list[tuple[TurnTimes, Span]]:
    """Return what is drawn, with its turn.

    An answer whose place is not known ends where the next turn starts, and so does what was not played.
    """
    found = []
    starts = sorted(turn.start for turn in turns if turn.start is not None)
    for turn in turns:
        place = len(starts) if turn.start is None else bisect_right(starts, turn.start)
        following = starts[place] if place < len(starts) else math.inf
        for span in turn.spans():
            placed = turn.placement is not None and span.kind == "speaking"
            ends = span.kind in ("speaking", "not_played") and not placed
            end = min(span.end, following) if ends else span.end
            if span.kind in _DRAWN and end > span.start:
                found.append((turn, replace(span, end=end)))
    return found


_DRAWN = ("speech", "sent", "pause", "waiting", "thinking", "tools", "speaking", "not_played")


def scales(turns: Sequence[TurnTimes]) -> tuple[float, float]:
    """Return how many seconds of waiting, and of answering, the bars of a session have room for.

    That is the longest of each, or where one of many turns is far beyond the others, one and a half times
    the 90th percentile; longer bars are then broken.
    """
    waits, answers = zip(*(_parts(turn) for turn in turns), strict=True) if turns else ((), ())
    return _scale([sum(s for _, s in one) for one in waits]), _scale(
        [sum(s for _, s in one) for one in answers]
    )


def _scale(lengths: Sequence[float]) -> float:
    ordered = sorted(length for length in lengths if length > 0)
    if not ordered:
        return 1.0
    often = ordered[int(0.9 * (len(ordered) - 1))]
    far = len(ordered) >= _MANY and ordered[-1] > 3 * often
    return 1.5 * often if far else ordered[-1]


_MANY = 10


def _parts(turn: TurnTimes) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Return a turn's waiting and its answer, each as (kind, seconds) one after the other."""
    marks, waiting = turn.marks, []
    zero = marks.get(turn.latency.since)
    committed = marks.get("committed", marks.get("requested"))
    first = next(
        (marks[name] for name in ("first_sound", "first_audio", "first_text") if name in marks), None
    )
    if zero is not None and first is not None:
        if turn.latency.since == "speech_end" and committed is not None and zero < committed < first:
            waiting = [("pause", committed - zero), ("thinking", first - committed)]
        else:
            waiting = [("thinking", max(first - zero, 0.0))]
    spans = turn.drawn.spans()
    answer = [(span.kind, span.seconds) for span in spans if span.kind in ("speaking", "not_played")]
    if not answer and "first_text" in marks and "done" in marks:
        answer = [("arriving", max(marks["done"] - marks["first_text"], 0.0))]
    return waiting, answer


@dataclass(frozen=True, slots=True)
class _Panel:
    """One of the two panels of bars: where it is, and how many seconds it has room for."""

    x: float
    width: float
    seconds: float
    head: str


def bars_svg(
    turns: Sequence[TurnTimes],
    room: tuple[float, float],
    link: Link | None = None,
    *,
    as_image: bool = False,
    compact: bool = False,
) -> Markup:
    """Draw a row per turn: how long it took to the first sound, and how long the answer lasted.

    ``room`` is what ``scales`` returns for the whole session, so that all its pictures compare. The figures
    of a ``compact`` picture stand in two columns, and only every fifth turn has a number.
    """
    panels = (
        _Panel(_LEFT, _WAITING, room[0], "from the end of input to the first sound"),
        _Panel(_ANSWER, _WIDTH - _FIGURE - _ANSWER, room[1], "the answer"),
    )
    height = len(turns) * _STEP + 36
    drawing = Drawing(as_image=as_image, compact=compact)
    parts: list[Node] = [drawing.text(44, 11, "turn", anchor="end", soft=True)]
    for panel in panels:
        parts.append(drawing.text(panel.x, 11, panel.head, soft=True))
        step = ticks(panel.seconds, 5)
        for k in range(int(panel.seconds / step + 1e-9) + 1):
            x = panel.x + k * step / panel.seconds * panel.width
            line = f"M{n(x)} 16V{height - 16}"
            parts.append(htpy.path(d=line, stroke="currentColor", stroke_opacity=".16"))
            parts.append(drawing.text(x, height - 4, f"{k * step:g} s", anchor="middle", soft=True))
    columns: tuple[list[tuple[float, str]], ...] = ([], [], [])
    for k, turn in enumerate(turns):
        y = 18 + k * _STEP
        baseline = y + _BAR / 2 + 4
        bars, ends = _bars(drawing, turn, y, panels)
        figures = _figures(turn)
        if compact:
            texts = ("" if k % 5 else turn_number(turn.number), *figures)
            for column, text in zip(columns, texts, strict=True):
                if text:
                    column.append((baseline, text))
            continue
        number = drawing.text(44, baseline, turn_number(turn.number), anchor="end", fill=_bad(turn))
        labels = [
            drawing.text(x, baseline, figure, soft=figure == "unknown")
            for x, figure in zip(ends, figures, strict=True)
        ]
        parts.append(_linked(htpy.g[number, bars, labels], turn, link))
    if compact:
        places = (44, _ANSWER - 14, _WIDTH)
        parts += [drawing.column(x, column) for x, column in zip(places, columns, strict=True)]
    label = "A row per turn: waiting for the first sound, then the answer. The table below has the same data."
    return drawing.finish(_WIDTH, height, label, parts)


def _bars(
    drawing: Drawing, turn: TurnTimes, y: float, panels: Sequence[_Panel]
) -> tuple[list[Node], list[float]]:
    """Return the bars of a turn in both panels, and where the figures after them begin."""
    bars: list[Node] = []
    ends: list[float] = []
    for panel, pieces in zip(panels, _parts(turn), strict=True):
        x, total = panel.x, sum(seconds for _, seconds in pieces)
        broken = total > panel.seconds * 1.001
        end = panel.x + panel.width - (_BROKEN + 4 if broken else 0)
        title = kind = ""
        for kind, seconds in pieces:
            title = f"Turn {turn_number(turn.number)}. {_ROW_WORDS[kind]}: {seconds:.3f} s"
            width = max(min(seconds / panel.seconds * panel.width, end - x), 0.0)
            if width:
                bars.append(drawing.bar(x, y, width, _BAR, kind, title))
            x += width
        if broken:
            bars.append(drawing.bar(x + 4, y, _BROKEN, _BAR, kind, f"{title}; longer than is drawn"))
            x = panel.x + panel.width
        ends.append(x + 5)
    return bars, ends


def _figures(turn: TurnTimes) -> tuple[str, str]:
    """Return how long a turn waited and how long its answer is, as text."""
    waiting, answer = _parts(turn)
    waited, total = (sum(seconds for _, seconds in pieces) for pieces in (waiting, answer))
    status = "" if turn.status == "completed" else clean_text(turn.status.replace("_", " "))
    if not answer:
        figure = status or "unknown"
    elif any(kind == "not_played" for kind, _ in answer) and turn.drawn.played is not None:
        figure = f"{turn.drawn.played:.1f} of {total:.1f} s played"
    else:
        figure = f"{total:.1f} s" + (f", {status}" if status else "")
    return f"{milliseconds(waited * 1000)} ms" if waiting else "unknown", figure


_ROW_WORDS = {**KINDS, "thinking": "Until the first sound", "arriving": "The answer was written"}


def _bad(turn: TurnTimes) -> str:
    return BAD if turn.status in ("failed", "interrupted") else ""


def _linked(shape: Node, turn: TurnTimes, link: Link | None) -> Node:
    return shape if link is None else htpy.a(href=link(turn))[shape]


def _minutes(t: float) -> str:
    whole = round(t, 3)
    minutes, seconds = divmod(whole, 60)
    return (
        f"{int(minutes)}:{seconds:04.1f}".removesuffix(".0")
        if seconds % 1
        else f"{int(minutes)}:{int(seconds):02d}"
    )
