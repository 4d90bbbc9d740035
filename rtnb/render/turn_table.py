"""The table of turns as static HTML: right without a kernel, without its script, and without its style.

The script (``turn_table.js``) makes the heads sort, adds a field to filter, and puts small players in place
of the browser's own. Without it, as in a notebook that is not trusted, all rows and players are there.
"""

from __future__ import annotations

from htpy import Element, Node, br, caption, div, p, script, small, span, table, tbody, td, th, thead, tr
from markupsafe import Markup

from ..analysis import labels
from ..analysis.turn_table import TurnRow, TurnTable
from ..audio import Clip
from ..formatting import duration, milliseconds
from ..redaction import clean_text
from .audio_player import ANSWER, MAX_INLINE_SECONDS, SPEECH, player_html, waveform_html
from .html import joined, markup, read_static, stylesheet
from .turn_card import MAX_TOTAL_SECONDS

__all__ = ["Players", "table_html"]

_MOST = 200
"""Turns that a table in a notebook shows; ``to_frame`` has all."""


class Players:
    """Small players, with ``left`` seconds of audio in all; the rest is shown by its length."""

    def __init__(self, left: float = MAX_TOTAL_SECONDS) -> None:
        self._left = left

    def player(self, clip: Clip | None, label: str, colour: str, played: float | None = None) -> Node:
        """Return waveform and player of a clip; None without a clip."""
        if clip is None or not len(clip.samples):
            return None
        long = duration(clip.seconds)
        if clip.seconds > min(self._left, MAX_INLINE_SECONDS):
            return div(".rtnb-none")[f"{long} of audio, too long to be kept here"]
        self._left -= clip.seconds
        kind = "rtnb-of-you" if colour == SPEECH else "rtnb-of-assistant"
        return div(class_=["rtnb-play", kind], data_long=f"{clip.seconds:.1f} s")[
            waveform_html(
                clip.samples, clip.rate, width=160, height=28, played_seconds=played, colour=colour
            ),
            player_html(clip.samples, clip.rate, label=f"Play {label}, {long}"),
        ]


def table_html(view: TurnTable) -> Markup:
    """Return a table of turns as static HTML, with the script that sorts and filters it."""
    rows, players = view.rows[:_MOST], Players()
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
    return markup([stylesheet("turn_table.css"), card, script[Markup(read_static("turn_table.js"))]])


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
            players.player(turn.input.audio, f"what you said in turn {number}", SPEECH),
            div(class_=["rtnb-text", {"rtnb-none": not turn.input.text}], dir="auto")[row.you],
        ],
        td(".rtnb-said")[
            players.player(answer, f"the answer of turn {number}", ANSWER, turn.played),
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
