"""Two sides in a table: differing words in ``<del>`` and ``<ins>``, and a column with the difference."""

from __future__ import annotations

from htpy import Element, Node, div, p, small, span, table, tbody, td, th, thead, tr
from htpy import del_ as removed
from htpy import ins as added
from markupsafe import Markup

from ..analysis.comparison import Comparison, Fact, Part, words
from ..redaction import clean_text
from .audio_player import AudioSlots, Players
from .html import markup, scripts, stylesheet
from .turn_card import MAX_TOTAL_SECONDS

__all__ = ["comparison_html"]

_MOST = 60
"""Parts that a notebook shows; the plain form has all."""


def comparison_html(view: Comparison) -> Markup:
    """Return a comparison as static HTML, readable without its style."""
    players = Players(MAX_TOTAL_SECONDS, small=True)
    a, b = map(clean_text, view.names)
    count = len(view.differences)
    found = "No differences." if not count else f"{count:,} difference{'' if count == 1 else 's'}."
    more = len(view.parts) - _MOST
    card = div(
        ".rtnb-tokens.rtnb-turns.rtnb-compared", role="group", aria_label=f"Comparison of {a} and {b}"
    )[
        div(".rtnb-scroller")[
            table[
                thead[
                    tr[
                        th(scope="col")[span(".rtnb-sr")["What"]],
                        _side(a),
                        _side(b),
                        th(scope="col")["Difference"],
                    ]
                ],
                (_part(part, players) for part in view.parts[:_MOST]),
            ]
        ],
        p(".rtnb-foot")[small[found, more > 0 and f" {more:,} more parts are not shown: print() shows all."]],
    ]
    return markup([stylesheet("turn_table.css", "player.css"), card, scripts("player.js", "turn_table.js")])


def _side(name: str) -> Element:
    return th(".rtnb-said", scope="col")[name]


def _part(part: Part, players: AudioSlots) -> Element:
    heading = tr(".rtnb-part")[th(colspan="4", scope="colgroup")[part.title]]
    return tbody[heading, (_fact(fact, players) for fact in part.facts)]


def _fact(fact: Fact, players: AudioSlots) -> Element:
    left, right = words(fact.a, fact.b) if fact.kind == "text" else ([], [])
    who = "user" if fact.name == "you" else "assistant"
    sides = zip((fact.a, fact.b), (left, right), fact.clips, (removed, added), strict=True)
    return tr(class_={"rtnb-differs": bool(fact.difference)})[
        th(scope="row")[clean_text(fact.name)],
        (
            td(".rtnb-said")[
                players.player(clip, f"“{fact.name}”", who),
                div(".rtnb-text", dir="auto")[_marked(pieces, mark) if pieces else text],
            ]
            for text, pieces, clip, mark in sides
        ),
        td(".rtnb-n")[fact.difference or span(".rtnb-none")["="]],
    ]


def _marked(pieces: list[tuple[str, bool]], mark: Element) -> list[Node]:
    return [mark[text] if differs and text.strip() else text for text, differs in pieces]
