"""The static form of a talk: how to begin one, and what is left of it in the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from ..render.turn_card import turns_html
from ..session.async_session import AsyncSession
from ..session.turn import Turn
from ..widgets import captions

__all__ = ["HOW", "card"]

HOW = (
    "<p><strong>Talk</strong>: a conversation by voice, in this cell. Run the cell in JupyterLab or "
    "Notebook 7 and press Start. Without a microphone or a live page, <code>s.speak(clip)</code> speaks a "
    "clip to the session, and <code>s.send(clip)</code> sends it as one turn.</p>"
)
"""What is shown where no talk has begun, as HTML."""


def card(core: AsyncSession, turns: Mapping[int, Turn]) -> str:
    """Return a session's talk as HTML: its turns by their place, what it used, and why it ended by itself."""
    turns = {
        place: turn for place, turn in turns.items() if turn.items or turn.input.audio or turn.input.text
    }
    used = captions.money(core.state, core.billed)
    spoken = "Nothing was said." if not turns else f"{len(turns)} turn{'' if len(turns) == 1 else 's'}"
    head = f"<p><strong>Talk</strong>: {spoken} · {escape(used)}</p>"
    if core.problem is not None:
        head += f"<p>The session ended: {escape(str(core.problem))}</p>"
    elif core.spent:
        head += f"<p>The talk ended: {escape(core.spent)}.</p>"
    return head + turns_html(turns)
