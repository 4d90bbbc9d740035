"""A whole session in two pictures: both lanes on the session's clock, and for each turn how long it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from .latency import ms
from .picture import BAD, band, n, svg, text, ticks
from .spans import KINDS, Span, TurnTimes

__all__ = ["FOLD", "bars_svg", "scales", "strip_svg"]

FOLD = 25
"""Turns in one picture of bars; a longer session has several, folded away but for the first."""

_WIDTH = 880
_LEFT, _RIGHT = 58, 12
_FIGURE = 124
_LANE = 11
_BAR = 11
_STEP = 19
_SPLIT = 400  # where the second panel of the bars begins
_ROWS = (30, 60, 120, 300, 600, 1200, 1800, 3600)
_MOST_ROWS = 12

Link = Callable[[TurnTimes], str]


def strip_svg(turns: Sequence[TurnTimes], link: Link | None = None, ink: str = "currentColor") -> str:
    """Draw both lanes on the session's clock, in as many rows as its length needs; "" without any moment.

    ``link`` gives the address of a turn, to which its stretch then leads.
    """
    known = [turn for turn in turns if turn.end is not None]
    if not known:
        return ""
    spans = _spans(known)
    total = max(max(turn.marks.values(), default=0.0) for turn in known)
    total = max([total, *(span.end for _, span in spans if span.kind != "unheard")])
    hours = math.ceil(total / _MOST_ROWS / 3600)
    length = float(next((row for row in _ROWS if total <= row * _MOST_ROWS), hours * 3600))
    length = max(total, 1.0) if total <= 1.5 * length else length
    count = max(1, math.ceil(total / length - 1e-9))
    wide = _WIDTH - _LEFT - _RIGHT
    tall = 2 * _LANE + 34
    parts = []
    for row in range(count):
        y = row * tall + 12
        known_here = n(min(length, total - row * length) / length * wide)
        for lane in (0, 1):
            place = f'x="{_LEFT}" y="{n(y + lane * (_LANE + 2))}" width="{known_here}" height="{_LANE}"'
            parts.append(f'<rect {place} opacity=".06"/>')
        parts += [text(0, y + 9, "You", soft=True), text(0, y + 22, "Model", soft=True)]
        step = ticks(min(length, total), 8)
        for k in range(int(min(length, total - row * length) / step + 1e-9) + 1):
            t = row * length + k * step
            x = _LEFT + k * step / length * wide
            anchor = "start" if k == 0 else "end" if x > _WIDTH - 40 else "middle"
            parts.append(text(x, y + 2 * _LANE + 14, _minutes(t), anchor=anchor, soft=True))
    for turn, span in spans:
        end = min(span.end, total)
        for row in range(int(span.start // length), min(int(end // length), count - 1) + 1):
            start, stop = max(span.start, row * length), min(end, (row + 1) * length)
            if stop <= start:
                continue
            x = _LEFT + (start - row * length) / length * wide
            y = row * tall + 12 + (0 if span.lane == "user" else _LANE + 2)
            title = f"Turn {turn.number}. {KINDS[span.kind]}: {span.seconds:.2f} s"
            title += f" ({span.note})" if span.note else ""
            shape = band(x, y, (stop - start) / length * wide, _LANE, span.kind, title)
            parts.append(_linked(shape, turn, link))
    parts += _numbers(known, length, wide, tall, link)
    label = "The whole session: you above, the model below, on one clock."
    return svg(_WIDTH, count * tall, label, "".join(parts), ink)


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


def _numbers(
    turns: Sequence[TurnTimes], length: float, wide: float, tall: float, link: Link | None
) -> list[str]:
    """Return the turns' numbers above their beginnings, where there is room."""
    parts, free = [], (-1, 0.0)
    for turn in turns:
        start = turn.start
        if start is None:
            continue
        row = int(start // length)
        x = _LEFT + (start - row * length) / length * wide
        said = str(turn.number)
        if (row, x) >= free:
            ink = f' fill="{BAD}"' if turn.status in ("failed", "interrupted") else ""
            parts.append(_linked(text(x, row * tall + 9, said, more=ink), turn, link))
            free = (row, x + 7 * len(said) + 5)
    return parts


def scales(turns: Sequence[TurnTimes]) -> tuple[float, float]:
    """Return how many seconds of waiting, and of answering, the bars of a session have room for.

    That is the longest of each, or where one turn is far beyond the others, one and a half times the 90th
    percentile; longer bars then break off.
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
    return min(ordered[-1], 1.5 * often) if len(ordered) > 1 else ordered[-1]


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
    panels = ((_LEFT, _SPLIT - 50 - _LEFT, room[0]), (_SPLIT + 20, _WIDTH - _FIGURE - _SPLIT - 20, room[1]))
    height = len(turns) * _STEP + 36
    heads = ("from the end of input to the first sound", "the answer")
    parts = [text(x, 10, head, soft=True) for (x, _, _), head in zip(panels, heads, strict=True)]
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
        for kind, seconds in pieces:
            room = left + wide - x
            width = min(seconds / most * wide, room)
            if width > 0:
                parts.append(
                    band(x, y, width, _BAR, kind, f"Turn {turn.number}. {_ROW_WORDS[kind]}: {seconds:.3f} s")
                )
            x += max(width, 0.0)
        said = _figure(turn, pieces, total, waiting=left == _LEFT)
        more = "▸ " if total > most * 1.001 else ""
        parts.append(text(x + 5, middle, more + said, soft=not pieces))
    return _linked(f"<g>{''.join(parts)}</g>", turn, link)


def _figure(turn: TurnTimes, pieces: Sequence[tuple[str, float]], total: float, *, waiting: bool) -> str:
    if waiting:
        return f"{ms(total * 1000)} ms" if pieces else "unknown"
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
