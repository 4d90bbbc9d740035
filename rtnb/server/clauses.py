"""Split text into clauses for synthesis, and find the words that were played after so much audio."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Clause", "ClauseSplitter", "audio_deltas", "played_text"]

# Split at a full stop, or at a comma once the clause is long enough. A short first clause is played early.
_STOP = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+|\n+")
_PAUSE = re.compile(r"[,;:—][\"'”’)\]]*(?=\s)|[，；：、]")
_SHORTEST_FIRST, _SHORTEST, _LONGEST = 10, 40, 240
# The first clause may also end without punctuation: after five words before a conjunction, or after twelve
# before a preposition. A pause sounds natural there.
_CONJUNCTION = re.compile(
    r"(?<![,;:—])(?=\s(?:because|that|which|who|where|when|while|whether|if|but|although|unless|until)[\s'’])"
)
_PREPOSITION = re.compile(r"(?<![,;:—])(?=\s(?:with|to|in|on|at|for|from|by|as|of|into|through)\s)")
_WORDS_BEFORE_CONJUNCTION, _WORDS_BEFORE_PREPOSITION = 5, 12
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|vs|etc|e\.g|i\.e|No)|\b[A-Z])\.\Z")

_LONGEST_DELTA = 0.2
"""The most seconds of audio in one delta."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Words, and when they are played: in milliseconds from the start of the item's audio."""

    text: str
    start_ms: float
    end_ms: float


class ClauseSplitter:
    """Splits a stream of text into clauses to synthesize one by one. The clauses concatenate to the text."""

    def __init__(self) -> None:
        self._text = ""
        self._tokens = 0
        self._count = 0  # of clauses yielded

    def feed(self, text: str, tokens: int) -> Iterator[tuple[str, int]]:
        """Add a piece of text; yield (clause, its tokens) for each clause that is now complete."""
        self._text += text
        self._tokens += tokens
        while (end := self._end()) is not None:
            clause, self._text = self._text[:end], self._text[end:]
            tokens, self._tokens = self._tokens, 0
            self._count += 1
            yield clause, tokens

    def rest(self) -> tuple[str, int] | None:
        """Return the (clause, tokens) left at the end of the text, if there is one."""
        clause, tokens = self._text, self._tokens
        self._text, self._tokens = "", 0
        return (clause, tokens) if clause or tokens else None

    def _end(self) -> int | None:
        for stop in _STOP.finditer(self._text):
            if not _ABBREVIATION.search(self._text[: stop.end()]):
                return stop.end()
        shortest = _SHORTEST if self._count else _SHORTEST_FIRST
        for pause in _PAUSE.finditer(self._text):
            if pause.end() >= shortest:
                return pause.end()
        if not self._count and (split := self._split_point()) is not None:
            return split
        if len(self._text) > _LONGEST:
            space = self._text.rfind(" ", 1, _LONGEST)
            return space if space > 0 else _LONGEST
        return None

    def _split_point(self) -> int | None:
        words = [word.start() for word in re.finditer(r"\S+", self._text)]
        if len(words) <= _WORDS_BEFORE_CONJUNCTION:
            return None
        for conjunction in _CONJUNCTION.finditer(self._text, words[_WORDS_BEFORE_CONJUNCTION] - 1):
            return conjunction.start()
        if len(words) <= _WORDS_BEFORE_PREPOSITION:
            return None
        prepositions = list(_PREPOSITION.finditer(self._text, words[_WORDS_BEFORE_CONJUNCTION] - 1))
        return prepositions[-1].start() if prepositions else None


def played_text(clauses: Iterable[Clause], ms: float) -> str:
    """Return the words that are played within the first ``ms`` milliseconds.

    Within a clause, time is assumed to be proportional to the number of characters. A word that is cut off is
    left out.
    """
    played = ""
    for clause in clauses:
        if clause.end_ms <= ms:
            played += clause.text
            continue
        if clause.start_ms >= ms:
            break
        letters = int(len(clause.text) * (ms - clause.start_ms) / (clause.end_ms - clause.start_ms))
        whole = [match.end() for match in re.finditer(r"\S+", clause.text) if match.end() <= letters]
        played += clause.text[: whole[-1]] if whole else ""
        break
    return played


def audio_deltas(data: bytes, width: int, bytes_per_second: int) -> Iterator[bytes]:
    """Split encoded audio into equal deltas of 100 to 200 ms, each of whole samples (``width`` bytes).

    Audio shorter than 100 ms is one delta.
    """
    samples = len(data) // width
    if not samples:
        return
    count = -(-samples * width // int(_LONGEST_DELTA * bytes_per_second))
    size = -(-samples // count) * width
    for start in range(0, len(data), size):
        yield data[start : start + size]
