"""A session or a recording at a glance: what it is, and a line for each of its turns."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from textwrap import shorten

from ..analysis.session import SessionView
from ..analysis.usage import Row
from ..clean import clean_text
from .style import STYLE, TABLES

__all__ = ["overview_html"]

_MOST_TURNS = 50
_LETTERS = 160


def overview_html(
    view: SessionView, title: str, facts: Iterable[str], *, problem: str | None = None, rest: str = ""
) -> str:
    """Return a card of the ``title``, the ``facts`` that are not empty, and the turns.

    ``rest`` is HTML that comes last.
    """
    bad = f'<p class="rtnb-bad">{escape(problem)}</p>' if problem else ""
    return (
        f'{STYLE}{TABLES}<div class="rtnb-turn" role="group" aria-label="{escape(title)}">'
        f'<div class="rtnb-side"><p><b>{escape(title)}</b></p>'
        f'<p class="rtnb-none">{escape(" · ".join(filter(None, facts)))}</p>{bad}{_turns(view)}</div>'
        f"{rest}</div>"
    )


def _turns(view: SessionView) -> str:
    turns = view.turns
    if not turns:
        return ""
    used = view.usage.turns
    rows = "".join(
        f'<tr><td class="rtnb-n">{place}</td><td dir="auto">{_short(turn.input.text)}</td>'
        f'<td dir="auto">{_short(turn.said)}</td><td>{escape(turn.status.replace("_", " "))}</td>'
        f'<td class="rtnb-n">{_tokens(used[turn.number]) if 0 <= turn.number < len(used) else ""}</td></tr>'
        for place, turn in enumerate(turns[:_MOST_TURNS])
    )
    head = '<tr><th class="rtnb-n">turn</th><th>you</th><th>assistant</th><th>ended</th>'
    head += '<th class="rtnb-n">tokens</th></tr>'
    more = len(turns) - _MOST_TURNS
    left = f'<p class="rtnb-none">… and {more:,} more turns</p>' if more > 0 else ""
    return (
        f'<div class="rtnb-table rtnb-overview"><table><thead>{head}</thead><tbody>{rows}</tbody></table>'
        f"</div>{left}"
    )


def _tokens(row: Row) -> str:
    return f"{row.usage.total_tokens:,}" if row.known or not row.responses else "unknown"


def _short(text: str) -> str:
    return escape(shorten(clean_text(text), _LETTERS, placeholder=" …"))
