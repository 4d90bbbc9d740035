"""Tokens, cached share and money over the turns of a session: as SVG, or by matplotlib if that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from math import floor, log10
from typing import Any

from ..analysis.usage import UsageView
from ..errors import ArgumentError, MissingPackageError
from .html import data_uri
from .palette import GREY, SHADES, hatching, used
from .style import INK, SCROLLED, STYLE, sheet

__all__ = ["Picture", "plot"]

_MOST = 400
"""Turns in the SVG; of a longer session the last ones."""

_MONEY = "#8a63c9"
_CONTEXT = "#c2456f"
_WIDTH, _LEFT, _RIGHT = 640, 64, 12
_FONT = "font-family='system-ui,sans-serif' font-size='12'"
_RULES = f"""
.rtnb-turn .rtnb-plot{{margin:10px 14px;{SCROLLED}}}
.rtnb-turn .rtnb-plot img{{display:block;max-width:100%;height:auto;margin:0}}
"""
_NONE = "No turns yet."


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG document, shown by notebooks; ``alt`` says in words what it shows.

    Below ``least`` pixels of width it scrolls, where its letters would grow too small.
    """

    svg: str
    alt: str
    least: int = 540

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        source = data_uri(self.svg.encode(), "image/svg+xml")
        style = f"min-width:{self.least}px"
        image = f'<img class="rtnb-drawn" src="{source}" alt="{escape(self.alt)}" style="{style}">'
        return f'{STYLE}{sheet(_RULES)}<div class="rtnb-turn"><div class="rtnb-plot">{image}</div></div>'

    def __repr__(self) -> str:
        return f"<Picture: {self.alt}>"


@dataclass(frozen=True, slots=True)
class _Panel:
    """One of the panels above each other: where it lies, and what its height stands for."""

    top: float
    height: float
    most: float

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - value / self.most)


def plot(view: UsageView, kind: str | None = None) -> Any:
    """Draw a session's usage; see ``UsageView.plot``."""
    if kind not in (None, "matplotlib", "svg"):
        raise ArgumentError(f"a plot's kind is 'matplotlib', 'svg' or None, not {kind!r:.80}")
    if kind == "svg" or (kind is None and find_spec("matplotlib") is None):
        return Picture(_svg(view), _alt(view)) if view.turns else _empty()
    try:
        return _figure(view)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise MissingPackageError("matplotlib", "a plot of the kind 'matplotlib'", "plot") from None


def _alt(view: UsageView) -> str:
    count = len(view.turns)
    return f"Usage over {count} turn{'' if count == 1 else 's'}: {view.total}"


def _money(view: UsageView) -> tuple[list[float | None], str]:
    """Return the money spent up to each turn (None from the first unknown price on), and its name."""
    spent: list[float | None] = []
    so_far: float | None = 0.0
    for row in view.turns:
        so_far = None if so_far is None or row.cost is None else so_far + row.cost
        spent.append(so_far)
    bound = "at most, " if any(row.cost is not None and row.cost.at_most for row in view.turns) else ""
    return spent, f"{'cost' if view.billed else 'would cost'} so far, {bound}$"


def _share(view: UsageView) -> list[float | None]:
    return [None if row.cached_share is None else 100 * row.cached_share for row in view.turns]


def _empty() -> Picture:
    head = "<svg xmlns='http://www.w3.org/2000/svg' width='100' height='20' viewBox='0 0 100 20'>"
    return Picture(f"{head}{_text(0, 14, _NONE, 'start')}</svg>", _NONE, least=0)


def _svg(view: UsageView) -> str:
    rows = view.turns[-_MOST:]
    first = len(view.turns) - len(rows)
    shades = used([view.total])
    money, money_name = _money(view)
    shares = _share(view)[first:]
    peak = max((max(row.usage.total_tokens, row.context or 0) for row in rows), default=0)
    key, lines = _key([*((s.fill, s.name) for s in shades), (_CONTEXT, "context")])
    top = 26 + 18 * lines
    tokens = _Panel(top, 180, _above(peak))
    cached = _Panel(top + 220, 50, 100)
    spent = _Panel(top + 310, 50, _above(max((m for m in money[first:] if m is not None), default=0)))
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(rows), 1)
    middles = [_LEFT + step * (place + 0.5) for place in range(len(rows))]
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{top + 388}' "
        f"viewBox='0 0 {_WIDTH} {top + 388}' role='img'>"
        f"<title>{escape(_alt(view))}</title>{hatching(shades)}",
        _axis(tokens, "tokens", "{:,.0f}"),
        _axis(cached, "cached, % of input", "{:.0f}"),
        _axis(spent, money_name, "{:.3g}"),
        _bars(rows, shades, tokens, step),
        _line([row.context for row in rows], middles, tokens, _CONTEXT, step),
        _line(shares, middles, cached, "#4f98d3", step),
        _line(money[first:], middles, spent, _MONEY, step),
        key,
        _numbers([row.turn for row in rows], middles, top + 377),
    ]
    if all(share is None for share in shares):
        parts.append(_absent(cached, "unknown"))
    if all(amount is None for amount in money[first:]):
        parts.append(_absent(spent, "unpriced"))
    return "".join(parts) + "</svg>"


def _above(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5 and 10 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return float(
        next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 20) if step * power >= value)
    )


def _axis(panel: _Panel, name: str, form: str) -> str:
    made = _text(_LEFT, panel.top - 9, name, "start")
    for share in (0.0, 0.5, 1.0):
        y = panel.y(panel.most * share)
        faint = "" if share == 0 else " opacity='.35'"
        made += f"<path d='M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}' stroke='{GREY}'{faint}/>"
        made += _text(_LEFT - 7, y + 4, form.format(panel.most * share), "end")
    return made


def _bars(rows: Sequence[Any], shades: Sequence[Any], panel: _Panel, step: float) -> str:
    wide = max(min(step * 0.7, 46), min(step, 1.0))
    made = ""
    heights = [0.0] * len(rows)
    for shade in shades:
        path = ""
        for place, row in enumerate(rows):
            count = shade.count(row.usage)
            if not count:
                continue
            low, heights[place] = heights[place], heights[place] + count
            top, bottom = panel.y(heights[place]), panel.y(low)
            left = _LEFT + step * (place + 0.5) - wide / 2
            path += f"M{left:.1f} {top:.1f}h{wide:.1f}V{bottom:.1f}h-{wide:.1f}z"
        made += f"<path fill='{shade.fill}' d='{path}'/>"
    return made


def _line(
    values: Sequence[float | None], middles: Sequence[float], panel: _Panel, colour: str, step: float
) -> str:
    """Draw a line through the known values, and a dot for each where there is room."""
    path, dots, pen = "", "", "M"
    for x, value in zip(middles, values, strict=True):
        if value is None:
            pen = "M"
            continue
        y = panel.y(min(value, panel.most))
        path, pen = f"{path}{pen}{x:.1f} {y:.1f}", "L"
        dots += f"<circle cx='{x:.1f}' cy='{y:.1f}' r='2.6'/>" if step > 8 else ""
    return f"<g fill='{colour}'><path d='{path}' fill='none' stroke='{colour}' stroke-width='1.8'/>{dots}</g>"


def _key(entries: Sequence[tuple[str, str]]) -> tuple[str, int]:
    """Return what each fill means, and how many lines that takes."""
    made, x, lines = "", float(_LEFT), 1
    for fill, name in entries:
        wide = 15 + 6.6 * len(name) + 16
        if x + wide > _WIDTH:
            x, lines = float(_LEFT), lines + 1
        y = 18 * lines - 12
        made += f"<rect x='{x:.0f}' y='{y}' width='10' height='10' rx='2' fill='{fill}'/>"
        made += _text(x + 15, y + 9, name, "start")
        x += wide
    return made, lines


def _numbers(turns: Sequence[int], middles: Sequence[float], y: float) -> str:
    every = max(1, -(-len(turns) // 16))
    said = [_text(middles[at], y, str(turns[at]), "middle") for at in range(0, len(turns), every)]
    return "".join(said) + _text(_LEFT - 7, y, "turn", "end")


def _absent(panel: _Panel, said: str) -> str:
    return _text((_LEFT + _WIDTH - _RIGHT) / 2, panel.y(panel.most / 4) + 4, said, "middle")


def _text(x: float, y: float, said: str, anchor: str) -> str:
    place = f"x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'"
    return f"<text {place} fill='{INK}' {_FONT}>{escape(said)}</text>"


def _figure(view: UsageView) -> Any:
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    if not view.turns:
        blank = pyplot.figure(figsize=(8, 0.5))
        pyplot.close(blank)
        blank.text(0.02, 0.4, _NONE)
        return blank
    figure, (tokens, cached, spent) = pyplot.subplots(
        3, sharex=True, figsize=(8, 5.4), layout="constrained", height_ratios=(3, 1, 1)
    )
    pyplot.close(figure)  # what a cell returns is shown once, not again at the cell's end
    turns = [row.turn for row in view.turns]
    heights = [0] * len(turns)
    for shade in SHADES:
        counts = [shade.count(row.usage) for row in view.turns]
        if any(counts):
            style: dict[str, Any] = {"color": shade.colour}
            if shade.cached:
                style = {"facecolor": "none", "edgecolor": shade.colour, "hatch": "////", "linewidth": 0.8}
            tokens.bar(turns, counts, bottom=heights, width=0.7, label=shade.name, **style)
            heights = [low + count for low, count in zip(heights, counts, strict=True)]
    known = [float("nan") if row.context is None else row.context for row in view.turns]
    tokens.plot(turns, known, color=_CONTEXT, marker=".", label="context")
    figure.legend(*tokens.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    tokens.set_ylabel("tokens")
    for axes, values, colour, name in (
        (cached, _share(view), "#4f98d3", "cached, %"),
        (spent, _money(view)[0], _MONEY, "$ so far" if view.billed else "would cost, $"),
    ):
        axes.plot(turns, [float("nan") if v is None else v for v in values], color=colour, marker=".")
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
    tokens.margins(y=0.08)
    cached.set_ylim(0, 108)
    spent.set_xlabel("turn")
    spent.xaxis.set_major_locator(MaxNLocator(integer=True))
    if view.cost is not None:
        spent.set_title(f"prices of {view.cost.model} as of {view.cost.as_of}", fontsize="small", loc="right")
    return figure
