"""A whole session in two pictures: both lanes on the session's clock, and for each turn how long it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..analysis.spans import KINDS, Span, TurnTimes
from ..formatting import milliseconds
from .svg import BAD, band, n, svg, text, ticks

__all__ = ["FOLD", "bars_svg", "scales", "seen", "strip_svg"]

FOLD = 25
"""Turns in one picture of bars; a longer session has several, folded away but for the first."""

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
"""Pixels from which on a stretch is seen, and its kind explained."""

Link = Callable[[TurnTimes], str]


def strip_svg(turns: Sequence[TurnTimes], link: Link | None = None, ink: str = "currentColor") -> str:
    """Draw both lanes on the session's clock, in as many rows as its length needs; "" without any moment.

    ``link`` gives the address of a turn, to which its stretch then leads.
    """
    known = [turn for turn in turns if turn.end is not None]
    return _Strip(known, link).drawn(ink) if known else ""


def seen(turns: Sequence[TurnTimes]) -> set[str]:
    """Return the kinds of stretches that the pictures of a session show."""
    known = [turn for turn in turns if turn.end is not None]
    kinds = {part.span.kind for part in _Strip(known, None).parts if part.width >= _SEEN} if known else set()
    return kinds | {kind for turn in turns for pieces in _parts(turn) for kind, s in pieces if s > 0}


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a stretch within a row of the strip; ``x`` and ``width`` are pixels."""

    turn: TurnTimes
    span: Span
    row: int
    x: float
    width: float


class _Strip:
    def __init__(self, turns: Sequence[TurnTimes], link: Link | None) -> None:
        self.turns = turns
        self.link = link
        self.spans = _spans(turns)
        last = max(max(turn.marks.values(), default=0.0) for turn in turns)
        self.total = max([last, *(span.end for _, span in self.spans if span.kind != "unheard")])
        hours = math.ceil(self.total / _MOST_ROWS / 3600)
        length = float(next((row for row in _ROWS if self.total <= row * _MOST_ROWS), hours * 3600))
        self.length = max(self.total, 1.0) if self.total <= 1.5 * length else length
        self.count = max(1, math.ceil(self.total / self.length - 1e-9))

    def drawn(self, ink: str) -> str:
        inner = [self._row(row) for row in range(self.count)]
        for part in self.parts:
            span = part.span
            title = f"Turn {part.turn.number}. {KINDS[span.kind]}: {span.seconds:.2f} s"
            title += f" ({span.note})" if span.note else ""
            y = self._y(part.row) + (0 if span.lane == "user" else _LANE + _GAP)
            shape = band(part.x, y, part.width, _LANE, span.kind, title)
            inner.append(_linked(shape, part.turn, self.link))
        label = "The whole session: you above, the assistant below, on one clock."
        drawn = "".join([*inner, *self._numbers()])
        return svg(_WIDTH, self.count * _TALL, label, drawn, ink)

    @cached_property
    def parts(self) -> list[_Part]:
        """The stretches, broken where their rows end. What you said is never too thin to be seen."""
        found = []
        for turn, span in self.spans:
            end = min(span.end, self.total)
            least = _SEEN if span.lane == "user" else 0.0
            for row in range(
                int(span.start // self.length), min(int(end // self.length), self.count - 1) + 1
            ):
                start, stop = max(span.start, row * self.length), min(end, (row + 1) * self.length)
                if stop > start:
                    width = max((stop - start) / self.length * _WIDE, least)
                    found.append(_Part(turn, span, row, self._x(start, row), width))
        return found

    def _x(self, t: float, row: int) -> float:
        return _LEFT + (t - row * self.length) / self.length * _WIDE

    def _y(self, row: int) -> float:
        return row * _TALL + 18

    def _row(self, row: int) -> str:
        """Draw the empty lanes of a row, and its clock."""
        y, model = self._y(row), self._y(row) + _LANE + _GAP
        seconds = min(self.length, self.total - row * self.length)
        width = n(seconds / self.length * _WIDE)
        parts = [
            f'<rect x="{_LEFT}" y="{n(lane)}" width="{width}" height="{_LANE}" opacity=".06"/>'
            for lane in (y, model)
        ]
        parts += [text(0, y + 14, "You", soft=True), text(0, model + 14, "Assistant", soft=True)]
        step = ticks(min(self.length, self.total), 8)
        for k in range(int(seconds / step + 1e-9) + 1):
            t = row * self.length + k * step
            x = self._x(t, row)
            anchor = "start" if k == 0 else "end" if x > _WIDTH - 40 else "middle"
            parts.append(text(x, model + _LANE + 15, _minutes(t), anchor=anchor, soft=True))
        return "".join(parts)

    def _numbers(self) -> list[str]:
        """Return the turns' numbers above their beginnings, where there is room."""
        parts, free = [], (-1, 0.0)
        for turn in self.turns:
            start = turn.start
            if start is None:
                continue
            row = int(start // self.length)
            x, said = self._x(start, row), f"turn {turn.number}"
            if (row, x) >= free:
                ink = f' fill="{BAD}"' if turn.status in ("failed", "interrupted") else ""
                parts.append(_linked(text(x, row * _TALL + 13, said, more=ink), turn, self.link))
                free = (row, x + 6.4 * len(said) + 6)
        return parts


def _spans(turns: Sequence[TurnTimes]) -> list[tuple[TurnTimes, Span]]:
    """Return what is drawn, with its turn. An answer gives way to the next turn: it may have waited."""
    found = []
    starts = sorted(turn.start for turn in turns if turn.start is not None)
    for turn in turns:
        begins = turn.start
        following = next((start for start in starts if begins is not None and start > begins), math.inf)
        for span in turn.spans():
            end = min(span.end, following) if span.kind in ("speaking", "unheard") else span.end
            if span.kind in _DRAWN and end > span.start:
                found.append((turn, replace(span, end=end)))
    return found


_DRAWN = ("speech", "sound", "pause", "waiting", "thinking", "tools", "speaking", "unheard")


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
    taken = marks.get("committed", marks.get("requested"))
    heard_from = next(
        (marks[name] for name in ("first_sound", "first_audio", "first_text") if name in marks), None
    )
    if zero is not None and heard_from is not None:
        if turn.latency.since == "speech_end" and taken is not None and zero < taken < heard_from:
            waiting = [("pause", taken - zero), ("thinking", heard_from - taken)]
        else:
            waiting = [("thinking", max(heard_from - zero, 0.0))]
    answer = [(span.kind, span.seconds) for span in turn.spans() if span.kind in ("speaking", "unheard")]
    if not answer and "first_text" in marks and "done" in marks:
        answer = [("arriving", max(marks["done"] - marks["first_text"], 0.0))]
    return waiting, answer


def bars_svg(
    turns: Sequence[TurnTimes],
    room: tuple[float, float],
    link: Link | None = None,
    ink: str = "currentColor",
) -> str:
    """Draw a row per turn: how long it took to the first sound, and how long the answer lasted.

    ``room`` is what ``scales`` gave for the whole session, so that all its pictures compare.
    """
    panels = ((_LEFT, _WAITING, room[0]), (_ANSWER, _WIDTH - _FIGURE - _ANSWER, room[1]))
    height = len(turns) * _STEP + 36
    heads = ("from the end of input to the first sound", "the answer")
    parts = [text(44, 11, "turn", anchor="end", soft=True)]
    parts += [text(x, 11, head, soft=True) for (x, _, _), head in zip(panels, heads, strict=True)]
    for x, wide, most in panels:
        step = ticks(most, 5)
        for k in range(int(most / step + 1e-9) + 1):
            at = x + k * step / most * wide
            parts.append(f'<path d="M{n(at)} 16V{height - 16}" stroke="{ink}" stroke-opacity=".16"/>')
            parts.append(text(at, height - 4, f"{k * step:g} s", anchor="middle", soft=True))
    for k, turn in enumerate(turns):
        parts.append(_row(turn, 18 + k * _STEP, panels, link))
    label = "A row per turn: waiting for the first sound, then the answer. The table below tells the same."
    return svg(_WIDTH, height, label, "".join(parts), ink)


def _row(turn: TurnTimes, y: float, panels: Sequence[tuple[float, float, float]], link: Link | None) -> str:
    middle = y + _BAR / 2 + 4
    bad = f' fill="{BAD}"' if turn.status in ("failed", "interrupted") else ""
    parts = [text(44, middle, str(turn.number), anchor="end", more=bad)]
    for (left, wide, most), pieces in zip(panels, _parts(turn), strict=True):
        x, total = float(left), sum(seconds for _, seconds in pieces)
        broken = total > most * 1.001
        end = left + wide - (_BROKEN + 4 if broken else 0)
        for kind, seconds in pieces:
            title = f"Turn {turn.number}. {_ROW_WORDS[kind]}: {seconds:.3f} s"
            width = max(min(seconds / most * wide, end - x), 0.0)
            if width:
                parts.append(band(x, y, width, _BAR, kind, title))
            x += width
        if broken:
            parts.append(band(x + 4, y, _BROKEN, _BAR, kind, f"{title}; longer than is drawn"))
            x = left + wide
        said = _figure(turn, pieces, total, waiting=left == _LEFT)
        parts.append(text(x + 5, middle, said, soft=not pieces))
    return _linked(f"<g>{''.join(parts)}</g>", turn, link)


def _figure(turn: TurnTimes, pieces: Sequence[tuple[str, float]], total: float, *, waiting: bool) -> str:
    if waiting:
        return f"{milliseconds(total * 1000)} ms" if pieces else "unknown"
    if not pieces:
        return turn.status.replace("_", " ") if turn.status != "completed" else "unknown"
    heard = turn.heard
    if any(kind == "unheard" for kind, _ in pieces) and heard is not None:
        return f"{heard:.1f} of {total:.1f} s heard"
    return f"{total:.1f} s" + ("" if turn.status == "completed" else f", {turn.status.replace('_', ' ')}")


_ROW_WORDS = {**KINDS, "thinking": "Until the first sound", "arriving": "The answer was written"}


def _linked(shape: str, turn: TurnTimes, link: Link | None) -> str:
    return shape if link is None else f'<a href="{link(turn)}">{shape}</a>'


def _minutes(t: float) -> str:
    whole = round(t, 3)
    minutes, seconds = divmod(whole, 60)
    return (
        f"{int(minutes)}:{seconds:04.1f}".removesuffix(".0")
        if seconds % 1
        else f"{int(minutes)}:{int(seconds):02d}"
    )
