"""The static form of a talk: how to start one, and what is left of it in the notebook."""

from __future__ import annotations

from collections.abc import Mapping

from htpy import code, p, strong
from markupsafe import Markup

from ..redaction import clean_text
from ..render.html import markup
from ..render.turn_card import turns_html
from ..session.async_session import AsyncSession
from ..session.turn import Turn
from ..widgets import captions

__all__ = ["HOW", "card"]

HOW = markup(
    p[
        strong["Talk"],
        ": a conversation by voice, in this cell. Run the cell in JupyterLab or Notebook 7 and press Start. "
        "Without a microphone or a live page, ",
        code["s.speak(clip)"],
        " speaks a clip to the session, and ",
        code["s.send(clip)"],
        " sends it as one turn.",
    ]
)
"""What is shown before a talk has started, as HTML."""


def card(core: AsyncSession, turns: Mapping[int, Turn]) -> Markup:
    """Return a session's talk as HTML: its turns by their place, its usage, and why it ended by itself."""
    turns = {
        place: turn for place, turn in turns.items() if turn.items or turn.input.audio or turn.input.text
    }
    used = captions.money(core.state, core.billed)
    count = "Nothing was said." if not turns else f"{len(turns)} turn{'' if len(turns) == 1 else 's'}"
    end = None
    if core.problem is not None:
        end = f"The session ended: {clean_text(str(core.problem))}"
    elif core.spent:
        end = f"The talk ended: {clean_text(core.spent)}."
    return markup([p[strong["Talk"], f": {count} · {used}"], end and p[end], turns_html(turns)])
