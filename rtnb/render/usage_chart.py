"""Tokens, cached share and cost over the turns of a session, as an SVG chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from htpy import Element, Node, circle, div, g, path, rect, text, title
from markupsafe import Markup

from ..analysis.usage import UsageChart, UsageView
from ..analysis.usage_rows import Row
from ..formatting import turn_number
from .html import markup, stylesheet
from .palette import GREY, INK, SHADES, Shade, hatching, used
from .svg import document, image, n

__all__ = ["chart_html", "chart_svg"]

_MOST = 400
"""Turns in the chart; of a longer session the last ones."""

_COST = "#8a63c9"
_CONTEXT = "#c2456f"
_CACHED = next(shade.colour for shade in SHADES if shade.name == "audio cached")
_WIDTH, _LEFT, _RIGHT = 640, 64, 12
_LEAST = 540
"""Pixels of width below which the chart scrolls, where its letters would be too small."""


@dataclass(frozen=True, slots=True)
class _Panel:
    """One of the panels above each other: where it is, and what its height stands for."""

    top: float
    height: float
    most: float

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - value / self.most)


def chart_html(chart: UsageChart) -> Markup:
    """Return the chart as static HTML."""
    style = f"min-width:{_LEAST}px" if chart.usage.turns else ""
    picture = image(_document(chart.usage), chart.description, style=style)
    card = div(".rtnb-tokens.rtnb-table.rtnb-framed.rtnb-usage")[div(".rtnb-chart.rtnb-scrolled")[picture]]
    return markup([stylesheet("table.css", "picture.css", "usage.css"), card])


def chart_svg(view: UsageView) -> str:
    """Return the chart of a session's usage as an SVG document."""
    return str(_document(view))


def _document(view: UsageView) -> Element:
    font = {"fill": INK, "font_family": "system-ui,sans-serif", "font_size": "12"}
    about = title[UsageChart(view).description]
    if not view.turns:
        return document(100, 20, [about, _text(0, 14, "No turns yet.")], role="img", **font)
    rows = view.turns[-_MOST:]
    first = len(view.turns) - len(rows)
    shades = used([view.total])
    cost, cost_name = _cost(view)
    cost, shares = cost[first:], [_percent(row) for row in rows]
    peak = max(max(row.usage.total_tokens, row.context or 0) for row in rows)
    keys, lines = _keys([*((shade.fill, shade.name) for shade in shades), (_CONTEXT, "context")])
    top = 26 + 18 * lines
    tokens = _Panel(top, 180, _above(peak))
    cached = _Panel(top + 220, 50, 100)
    spent = _Panel(top + 310, 50, _above(max((amount for amount in cost if amount is not None), default=0)))
    step = (_WIDTH - _LEFT - _RIGHT) / len(rows)
    middles = [_LEFT + step * (place + 0.5) for place in range(len(rows))]
    parts = [
        about,
        hatching(shades),
        _axis(tokens, "tokens", "{:,.0f}"),
        _axis(cached, "cached, % of input", "{:.0f}"),
        _axis(spent, cost_name, "{:.3g}"),
        _bars(rows, shades, tokens, step),
        _line([row.context for row in rows], middles, tokens, _CONTEXT, step),
        _line(shares, middles, cached, _CACHED, step),
        _line(cost, middles, spent, _COST, step),
        keys,
        _numbers([row.turn for row in rows], middles, top + 377),
        _absent(cached, "unknown") if all(share is None for share in shares) else None,
        _absent(spent, "unpriced") if all(amount is None for amount in cost) else None,
    ]
    return document(_WIDTH, top + 388, parts, role="img", **font)


def _cost(view: UsageView) -> tuple[list[float | None], str]:
    """Return the cost up to each turn (None from the first unknown price on), and its name."""
    costs: list[float | None] = []
    so_far: float | None = 0.0
    for row in view.turns:
        so_far = None if so_far is None or row.cost is None else so_far + row.cost
        costs.append(so_far)
    bound = "at most, " if any(row.cost is not None and row.cost.at_most for row in view.turns) else ""
    return costs, f"{'cost' if view.billed else 'would cost'} so far, {bound}$"


def _percent(row: Row) -> float | None:
    return None if row.cached_share is None else 100 * row.cached_share


def _above(value: float) -> float:
    """Return the next round number: 1, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return float(
        next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 20) if step * power >= value)
    )


def _axis(panel: _Panel, name: str, form: str) -> list[Node]:
    parts: list[Node] = [_text(_LEFT, panel.top - 9, name)]
    for share in (0.0, 0.5, 1.0):
        y = panel.y(panel.most * share)
        faint = ".35" if share else None
        parts.append(path(d=f"M{_LEFT} {n(y)}H{_WIDTH - _RIGHT}", stroke=GREY, opacity=faint))
        parts.append(_text(_LEFT - 7, y + 4, form.format(panel.most * share), "end"))
    return parts


def _bars(rows: Sequence[Row], shades: Sequence[Shade], panel: _Panel, step: float) -> list[Node]:
    wide = max(min(step * 0.7, 46), min(step, 1.0))
    parts: list[Node] = []
    heights = [0.0] * len(rows)
    for shade in shades:
        line = ""
        for place, row in enumerate(rows):
            count = shade.count(row.usage)
            if not count:
                continue
            low, heights[place] = heights[place], heights[place] + count
            top, bottom = panel.y(heights[place]), panel.y(low)
            left = _LEFT + step * (place + 0.5) - wide / 2
            line += f"M{n(left)} {n(top)}h{n(wide)}V{n(bottom)}h-{n(wide)}z"
        parts.append(path(fill=shade.fill, d=line))
    return parts


def _line(
    values: Sequence[float | None], middles: Sequence[float], panel: _Panel, colour: str, step: float
) -> Element:
    """Draw a line through the known values, and a dot for each where there is room."""
    line, pen, dots = "", "M", []
    for x, value in zip(middles, values, strict=True):
        if value is None:
            pen = "M"
            continue
        y = panel.y(min(value, panel.most))
        line, pen = f"{line}{pen}{n(x)} {n(y)}", "L"
        if step > 8:
            dots.append(circle(cx=n(x), cy=n(y), r="2.6"))
    return g(fill=colour)[path(d=line, fill="none", stroke=colour, stroke_width="1.8"), dots]


def _keys(entries: Sequence[tuple[str, str]]) -> tuple[list[Node], int]:
    """Return what each fill means, and how many lines that takes."""
    parts: list[Node] = []
    x, lines = float(_LEFT), 1
    for fill, name in entries:
        wide = 15 + 6.6 * len(name) + 16
        if x + wide > _WIDTH:
            x, lines = float(_LEFT), lines + 1
        y = 18 * lines - 12
        parts.append(rect(x=n(x), y=n(y), width="10", height="10", rx="2", fill=fill))
        parts.append(_text(x + 15, y + 9, name))
        x += wide
    return parts, lines


def _numbers(turns: Sequence[int], middles: Sequence[float], y: float) -> list[Node]:
    every = max(1, -(-len(turns) // 16))
    numbers = [_text(middles[at], y, turn_number(turns[at]), "middle") for at in range(0, len(turns), every)]
    return [*numbers, _text(_LEFT - 7, y, "turn", "end")]


def _absent(panel: _Panel, why: str) -> Element:
    return _text((_LEFT + _WIDTH - _RIGHT) / 2, panel.y(panel.most / 4) + 4, why, "middle")


def _text(x: float, y: float, words: str, anchor: str | None = None) -> Element:
    return text(x=n(x), y=n(y), text_anchor=anchor)[words]
