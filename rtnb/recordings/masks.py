"""What words become that are taken out, and whether they stand anywhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["Taken", "masked"]

# Beyond ASCII every sign: scripts spell with marks too, and what is no letter may still be read.
_LETTER = re.compile(r"[A-Za-z]|[^\x00-\x7f]")
_DIGIT = re.compile(r"[0-9]")
_LEAST = 6  # a shorter text may stand anywhere by chance


def masked(text: str) -> str:
    """Return a text of the same length and punctuation that says nothing. What is masked stays as it is."""
    return _DIGIT.sub("0", _LETTER.sub("x", text))


class Taken:
    """Texts that were taken out, found by how they begin: a recording has as many of them as words."""

    def __init__(self, texts: Iterable[str]) -> None:
        # By length too: of the many that begin alike, one look tells whether any stands at a place.
        self._by_start: dict[str, dict[int, set[str]]] = {}
        for text in texts:
            text = text.strip()
            if len(text) >= _LEAST and masked(text) != text:
                alike = self._by_start.setdefault(text[:_LEAST], {})
                alike.setdefault(len(text), set()).add(text)

    def stand_in(self, text: str) -> bool:
        """Tell whether one of them stands anywhere in a text."""
        if not self._by_start:
            return False
        return any(
            text[at : at + length] in same
            for at in range(len(text) - _LEAST + 1)
            for length, same in self._by_start.get(text[at : at + _LEAST], {}).items()
        )
