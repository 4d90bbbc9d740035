"""The talk in the page."""

from __future__ import annotations

from .base import BaseWidget, css, esm

__all__ = ["TalkWidget"]


class TalkWidget(BaseWidget):
    """Microphone, captions, buttons; what it does is told in ``talk.py``."""

    _esm = esm("talk/talk")
    _css = css()
