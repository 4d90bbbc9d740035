"""The table of turns as static HTML: right without a kernel, without its script, and without its style.

The script ``turn_table.js`` makes the heads sort and adds a field to filter. Without it, as in a notebook
that is not trusted, all rows and players are there.
"""

from __future__ import annotations

from htpy import Element, Node, br, caption, div, p, small, span, table, tbody, td, th, thead, tr
from markupsafe import Markup

from ..analysis import labels
from ..analysis.turn_table import TurnRow, TurnTable
from ..formatting import milliseconds
from ..redaction import clean_text
from .audio_player import Players
from .html import joined, markup, scripts, stylesheet
from .turn_card import MAX_TOTAL_SECONDS

__all__ = ["table_html"]

_MOST = 200
"""Turns that a table in a notebook shows; ``to_frame`` has all."""


def table_html(view: TurnTable) -> Markup:
    """Return a table of turns as static HTML, with the script that sorts and filters it."""
    rows, players = view.rows[:_MOST], Players(MAX_TOTAL_SECONDS, small=True)
    heads = [
        view.named and _head("Session"),
        _head("Turn"),
        _head("You"),
        _head("Answer"),
        _head("Wait", ".rtnb-n"),
        _head("Tokens", ".rtnb-n"),
        _head(view.cost_head.capitalize(), ".rtnb-n"),
    ]
    more = len(view.rows) - len(rows)
    body: Node = p(".rtnb-none")["No turns yet."]
    if rows:
        body = table[
            caption["Turns"],
            thead[tr[heads]],
            tbody[(_row(view, row, players, number) for number, row in enumerate(rows))],
        ]
    foot: Node = None
    if rows:
        foot = p(".rtnb-foot")[
            small[
                joined(span[part] for part in view.summary),
                more > 0 and f" · {more:,} more: see to_frame()",
                ([br, clean_text(note)] for note in view.notes),
            ]
        ]
    card = div(".rtnb-tokens.rtnb-turns", role="group", aria_label=f"Table of {len(view):,} turns")[
        div(".rtnb-scroller.rtnb-sortable")[body], foot
    ]
    return markup([stylesheet("turn_table.css", "player.css"), card, scripts("player.js", "turn_table.js")])


def _head(name: str, kind: str = "") -> Element:
    return th(kind, scope="col")[name] if kind else th(scope="col")[name]


def _row(view: TurnTable, row: TurnRow, players: Players, order: int) -> Element:
    turn, number = row.turn, row.number
    answer, wait = turn.audio_so_far, labels.wait(row.turn)
    bad = turn.status in ("failed", "interrupted")
    known = turn.usage.total_tokens
    return tr(data_order=str(order))[
        view.named and td(".rtnb-session", title=(name := clean_text(row.session)))[name],
        th(".rtnb-n", scope="row", data_value=str(turn.number))[number],
        td(".rtnb-said")[
            players.player(turn.input.audio, f"what you said in turn {number}", "user"),
            div(class_=["rtnb-text", {"rtnb-none": not turn.input.text}], dir="auto")[row.you],
        ],
        td(".rtnb-said")[
            players.player(answer, f"the answer of turn {number}", "assistant", played=turn.played),
            div(".rtnb-text", dir="auto")[row.answer],
            row.ending and small(".rtnb-bad" if bad else ".rtnb-none")[row.ending],
        ],
        _figure(
            "unknown" if wait is None else f"{milliseconds(wait[0])} ms", wait and wait[0], wait and wait[1]
        ),
        _figure(row.tokens, known or None, labels.tokens(turn.usage)),
        _figure(
            [row.cost, (note := view.cost_note(row)) and [br, small(".rtnb-none")[note]]],
            turn.cost if known else None,
            None if turn.cost is None else repr(turn.cost),
        ),
    ]


def _figure(text: Node, value: float | None, title: str | None) -> Element:
    unknown = value is None
    return td(
        class_=["rtnb-n", {"rtnb-none": unknown}], title=title, data_value=None if unknown else f"{value:.6g}"
    )[text]
