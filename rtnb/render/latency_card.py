"""The static card of a turn's latency: each measure with its clock, and all marks."""

from __future__ import annotations

from collections.abc import Mapping

from htpy import Element, caption, details, div, summary, table, tbody, td, th, thead, tr
from markupsafe import Markup

from ..analysis.latency import CLOCK_WORDS, LatencyView
from ..formatting import clock, milliseconds
from ..protocol.timing import CLOCKS, MARKS, MEASURES, WORDS
from .html import markup, stylesheet

__all__ = ["latency_html", "marks_details"]


def latency_html(latency: LatencyView) -> Markup:
    """Return a latency as static HTML."""
    since = latency.since
    start = f"from “{WORDS[since]}”: {MARKS[since]}" if since else "from an unknown moment"
    rows = (
        tr[
            th(scope="row")[name.replace("_", " ")],
            td(".rtnb-n")[milliseconds(getattr(latency, name))],
            td[meaning],
            td[latency.clocks(name)],
        ]
        for name, meaning in MEASURES.items()
    )
    card = div(".rtnb-tokens.rtnb-table.rtnb-framed", role="group", aria_label="Latency")[
        table(".rtnb-stacked")[
            caption[f"Milliseconds {start}."],
            thead[tr[th["latency"], th(".rtnb-n")["ms"], th["until"], th["by which clock"]]],
            tbody[rows],
        ],
        marks_details(latency.marks, since),
    ]
    return markup([stylesheet("table.css", "picture.css"), card])


def marks_details(marks: Mapping[str, float], since: str) -> Element:
    """Return all marks as a folded table: when, how long after the end of input, and by which clock."""
    zero = marks.get(since)
    rows = []
    for name, meaning in MARKS.items():
        t = marks.get(name)
        rows.append(
            tr[
                th(scope="row")[WORDS[name]],
                td(".rtnb-n")["not observed" if t is None else clock(t)],
                td(".rtnb-n")["" if t is None or zero is None else milliseconds((t - zero) * 1000)],
                td[meaning],
                td["" if t is None else CLOCK_WORDS[CLOCKS[name]]],
            ]
        )
    after = f"ms from {WORDS[since]}" if since else "ms"
    heads = ("mark", "since the session began", after, "meaning", "by which clock")
    head = thead[tr[(th[text] for text in heads)]]
    return details[
        summary[f"All {len(marks)} marks"],
        div(".rtnb-scrolled")[table[head, tbody[rows]]],
    ]
