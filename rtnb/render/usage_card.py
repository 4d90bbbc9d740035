"""What a session used, as static HTML: gauges, a table by turn, and figures that disagree.

Bars are images that carry their data in their own ``src``, as all static pictures do; each figure that a bar
shows is there as a number too.
"""

from __future__ import annotations

from itertools import groupby

from htpy import (
    Element,
    Node,
    VoidElement,
    b,
    br,
    div,
    li,
    p,
    rect,
    small,
    span,
    table,
    tbody,
    td,
    tfoot,
    th,
    thead,
    tr,
    ul,
)
from markupsafe import Markup

from ..analysis.gauges import Meter, percent
from ..analysis.usage import MOST_ROWS, UsageView
from ..analysis.usage_rows import Column, Row
from ..formatting import turn_number
from ..redaction import clean_text
from .html import markup, stylesheet
from .palette import GREY, gauge_colour, hatching, used
from .svg import document, image, n

__all__ = ["meter_html", "usage_html"]

_BAR = 150
"""Width of a bar, in pixels."""

_GAP = 3
"""Pixels between input and output in it."""

_QUIET = ("0", "–", "unknown", "running", "unpriced")


def usage_html(view: UsageView) -> Markup:
    """Return it as static HTML, right without a kernel and readable without its style."""
    head: Node = span(".rtnb-none")["No turns yet."]
    foot = None
    if view.turns:
        head = [_cost(view), f" · {view.turns_text} · {view.tokens_text}"]
        foot = p(".rtnb-foot")[small[_legend(view), clean_text(" ".join(view.notes))]]
    problems = ul(".rtnb-bad")[(li[clean_text(text)] for text in view.problems)] if view.problems else None
    return _card("Usage", [p(".rtnb-sum")[head], _meters(view.meters), _table(view), problems, foot])


def meter_html(meter: Meter) -> Markup:
    """Return one gauge or limit as static HTML."""
    return _card(clean_text(meter.label), _meters([meter]))


def _card(label: str, inner: Node) -> Markup:
    card = div(".rtnb-tokens.rtnb-table.rtnb-framed.rtnb-usage", role="group", aria_label=label)[inner]
    return markup([stylesheet("table.css", "picture.css", "usage.css"), card])


def _cost(view: UsageView) -> Node:
    if view.cost is None or view.billed:
        return b[view.cost_text]
    return ["would cost ", b[str(view.cost)]]


def _meters(meters: list[Meter]) -> Node:
    rows = [
        tr[
            th(".rtnb-first", scope="row")[clean_text(meter.label)],
            td[_image(_meter(meter), "unknown" if meter.share is None else percent(meter.share))],
            td(class_=["rtnb-word", {"rtnb-none": meter.share is None}])[str(meter)],
        ]
        for meter in meters
    ]
    return table(".rtnb-meters")[tbody[rows]] if rows else None


def _table(view: UsageView) -> Node:
    if not view.turns:
        return None
    columns, rows = view.columns, view.turns[-MOST_ROWS:]
    top = max((row.usage.total_tokens for row in rows), default=0)
    groups = []
    for name, group in groupby(columns, key=lambda column: column.group):
        width = str(len(list(group)))
        groups.append(th(".rtnb-group", colspan=width, scope="colgroup")[name] if name else td(colspan=width))
    earlier = len(view.turns) - len(rows)
    skipped = None
    if earlier:
        text = f"… {earlier:,} earlier turns are included in the totals"
        skipped = tr[td(".rtnb-first.rtnb-none", colspan=str(len(columns) + 2))[text]]
    heads = tr[th(".rtnb-first", scope="col")["turn"], (th(scope="col")[one.head] for one in columns), th]
    totals = tr[th(".rtnb-first", scope="row")["all"], (td[one.total] for one in columns), td]
    return div(".rtnb-scrolled")[
        table[
            thead[tr[td(".rtnb-first"), groups, td], heads],
            tbody[skipped, (_row(row, columns, top) for row in rows)],
            tfoot[totals],
        ]
    ]


def _row(row: Row, columns: list[Column], top: int) -> Element:
    cells = [column.cell(row) for column in columns]
    status = None
    if row.status != "completed":
        status = [" ", small(".rtnb-none")[clean_text(row.status.replace("_", " "))]]
    tokens = row.usage.total_tokens
    return tr[
        th(".rtnb-first", scope="row")[turn_number(row.turn), status],
        (td(class_={"rtnb-none": text in _QUIET})[text] for text in cells),
        td(".rtnb-word")[_image(_stack(row, top), f"{tokens:,} tokens") if tokens else None],
    ]


def _image(drawn: Node, alt: str, width: int = _BAR) -> VoidElement:
    return image(document(width, 10, drawn), alt, width=str(width), height="10")


def _meter(meter: Meter) -> Node:
    """Draw how full something is; an unknown share as a dashed outline."""
    share = meter.share
    if share is None:
        dashed = {"stroke-dasharray": "3 3", "width": str(_BAR - 1), "height": "7", "rx": "3.5"}
        return rect(dashed, x=".5", y="1.5", fill="none", stroke=GREY)
    track = rect(y="1", width=str(_BAR), height="8", rx="4", fill=GREY, opacity=".3")
    if share <= 0:
        return track
    full = max(round(_BAR * min(share, 1.0), 1), 2)
    colour = gauge_colour(share if meter.warns else 0.0)
    return [track, rect(y="1", width=n(full), height="8", rx=n(min(4, full / 2)), fill=colour)]


def _stack(row: Row, top: int) -> Node:
    """Draw a turn's tokens by kind, to the scale of the longest turn: input, a gap, then output."""
    scale = (_BAR - _GAP) / max(top, 1)
    shades = used([row.usage])
    x, side, bars = 0.0, "in", []
    for shade in shades:
        if shade.side != side:
            x, side = x + (_GAP if x else 0), shade.side
        width = shade.count(row.usage) * scale
        bars.append(rect(x=n(x), width=n(max(width, 0.5)), height="10", fill=shade.fill))
        x += width
    return [hatching(shades), bars]


def _legend(view: UsageView) -> Node:
    shades = used([view.total])
    keys: list[Node] = []
    for shade in shades:
        swatch = [hatching([shade]), rect(width="10", height="10", rx="2", fill=shade.fill)]
        dot = " ·" if shade is not shades[-1] else ""
        keys.append([span(".rtnb-key")[_image(swatch, "", 10), f" {shade.name}{dot}"], " "])
    return [keys, br] if keys else None
