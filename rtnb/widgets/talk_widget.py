"""The talk in the page."""

from __future__ import annotations

from .assets import css, esm
from .base import PageWidget

__all__ = ["TalkWidget"]


class TalkWidget(PageWidget):
    """Microphone, captions, buttons; what it does is told in ``talk.py``."""

    _esm = esm("talk")
    _css = css()
