"""What a command prints: text as it is, and nothing in it that a terminal would obey.

A server's words, a file's name and an error's sentence come from elsewhere: an escape code in them could hide
lines, write others, or set the window's title.
"""

from __future__ import annotations

from typing import TextIO

from ..redaction import plain

__all__ = ["tell"]


def tell(text: object = "", *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print a text at once, its control codes replaced; newlines and tabs stay."""
    print(plain(str(text)), end=end, file=file, flush=True)
