"""The style sheets of cards and tables as text, for modules that do not yet name their own files."""

from __future__ import annotations

from .html import stylesheet

__all__ = ["DARK", "INK", "LIGHT", "SCROLLED", "STYLE", "TABLES", "sheet"]


def sheet(rules: str) -> str:
    """Return rules as a ``<style>`` element on one line."""
    return f"<style>{''.join(rules.splitlines())}</style>"


INK = "#747a83"
"""The colour of text in a picture: as readable on white as on black, since an image cannot see its page."""

LIGHT, DARK = 0.9, 1.25
"""How bright its theme makes a picture (``picture.css``), so that its text has a contrast of 4.5:1."""

_PAPER = "var(--jp-layout-color1,Canvas)"

SCROLLED = (
    "overflow-x:auto;overflow-y:hidden;background:"
    f"linear-gradient(90deg,{_PAPER} 40%,transparent) 0 0/40px 100% no-repeat local,"
    f"linear-gradient(270deg,{_PAPER} 40%,transparent) 100% 0/40px 100% no-repeat local,"
    "linear-gradient(90deg,rgba(128,128,128,.55),transparent) 0 0/14px 100% no-repeat scroll,"
    "linear-gradient(270deg,rgba(128,128,128,.55),transparent) 100% 0/14px 100% no-repeat scroll;"
)
"""The declarations of ``.rtnb-scrolled`` in ``picture.css``."""

STYLE = str(stylesheet("turn_card.css", "picture.css"))
TABLES = str(stylesheet("table.css", "picture.css"))
