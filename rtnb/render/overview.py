"""The static card of a session or a recording: what it is, its turns in a table, and where it comes from."""

from __future__ import annotations

from textwrap import shorten

from htpy import Element, Node, b, br, code, div, p, small, span, table, tbody, td, th, thead, tr
from markupsafe import Markup

from ..analysis.provenance import UNKNOWN, Provenance
from ..analysis.session import SessionView
from ..analysis.usage_rows import Row
from ..formatting import turn_number
from ..redaction import clean_text
from .html import markup, stylesheet

__all__ = ["overview_html", "provenance_foot", "provenance_table"]

_MOST_TURNS = 50
_CHARACTERS = 160


def overview_html(view: SessionView) -> Markup:
    """Return a card of a session: title, facts, what is wrong with it, and its turns."""
    head = view.overview
    title = clean_text(head.title)
    facts = clean_text(" · ".join(filter(None, head.facts)))
    card = div(".rtnb-tokens.rtnb-turn", role="group", aria_label=title)[
        div(".rtnb-side")[
            p[b[title]],
            p(".rtnb-none")[facts],
            head.problem and p(".rtnb-bad")[clean_text(head.problem)],
            _turns(view),
        ],
        provenance_foot(head.provenance) if head.provenance is not None else None,
    ]
    return markup([stylesheet("turn_card.css", "table.css", "overview.css"), card])


def _turns(view: SessionView) -> Node:
    turns = view.turns
    if not turns:
        return None
    used = view.usage.turns
    rows = (
        tr[
            td(".rtnb-n")[turn_number(place)],
            td(dir="auto")[_short(turn.input.text)],
            td(dir="auto")[_short(turn.text_so_far)],
            td[turn.status.replace("_", " ")],
            td(".rtnb-n")[_tokens(used[turn.number]) if 0 <= turn.number < len(used) else ""],
        ]
        for place, turn in enumerate(turns[:_MOST_TURNS])
    )
    head = tr[th(".rtnb-n")["turn"], th["you"], th["assistant"], th["ended"], th(".rtnb-n")["tokens"]]
    more = len(turns) - _MOST_TURNS
    return [
        div(".rtnb-table.rtnb-overview")[table[thead[head], tbody[rows]]],
        more > 0 and p(".rtnb-none")[f"… and {more:,} more turns"],
    ]


def _tokens(row: Row) -> str:
    return f"{row.usage.total_tokens:,}" if row.known or not row.responses else "unknown"


def _short(text: str) -> str:
    return shorten(clean_text(text), _CHARACTERS, placeholder=" …")


def provenance_table(provenance: Provenance) -> Element:
    """Return where a session comes from as a table."""
    return table[
        tbody[(tr[th(scope="row")[name], td[_value(name, value)]] for name, value in provenance.facts)]
    ]


def _value(name: str, value: str) -> Node:
    value = clean_text(value)
    return code[value] if name.startswith("SHA") and value != UNKNOWN else value


def provenance_foot(provenance: Provenance) -> Element:
    """Return where a session comes from as a line for the foot of a card."""
    about, text = provenance.manifest, provenance.text
    parts = [
        f"rtnb {text('rtnb')}" if text("rtnb") else "",
        f"format {about['format']}" if about.get("format") else "",
        f"prices of {provenance.prices_as_of}" if provenance.prices_as_of else "",
        f"{about['redacted']} keys redacted" if about.get("redacted") else "",
    ]
    line: list[Node] = [clean_text(" · ".join(filter(None, parts)))]
    if provenance.sha256:
        line += [" · " if line[0] else None]
        line += [
            span(title=f"SHA-256 of the file: {provenance.sha256}")[f"SHA-256 {provenance.sha256[:12]}…"]
        ]
    note = provenance.engine_note
    return p(".rtnb-foot")[small[line, note and [br, clean_text(note)]]]
