"""From text to speech, clause by clause, and back: which words a listener has heard after so much sound."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Clause", "ClauseSplitter", "heard_text", "pieces"]

# A full stop, or a comma once there is enough to say: a first clause that is short is heard early.
_STOP = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+|\n+")
_PAUSE = re.compile(r"[,;:—][\"'”’)\]]*(?=\s)|[，；：、]")
_SHORTEST_FIRST, _SHORTEST, _LONGEST = 10, 40, 240
# Where nothing is said yet, five words are enough before a word that begins a clause of its own; where none
# comes, some twelve before one that begins a phrase. A voice can breathe there.
_JOINT = re.compile(
    r"(?<![,;:—])(?=\s(?:because|that|which|who|where|when|while|whether|if|but|although|unless|until)[\s'’])"
)
_PHRASE = re.compile(r"(?<![,;:—])(?=\s(?:with|to|in|on|at|for|from|by|as|of|into|through)\s)")
_FEW, _MANY = 5, 12
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|vs|etc|e\.g|i\.e|No)|\b[A-Z])\.\Z")

_LONGEST_DELTA = 0.2
"""Seconds of sound in one audio delta, at most."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Words and when they are heard: milliseconds since the item's sound began."""

    text: str
    start_ms: float
    end_ms: float


class ClauseSplitter:
    """Cuts a stream of text into clauses that can be spoken by themselves. Nothing is lost or changed."""

    def __init__(self) -> None:
        self._text = ""
        self._tokens = 0
        self._given = 0

    def feed(self, text: str, tokens: int) -> Iterator[tuple[str, int]]:
        """Take a piece of text; yield (clause, its tokens) for each clause that is whole now."""
        self._text += text
        self._tokens += tokens
        while (end := self._end()) is not None:
            clause, self._text = self._text[:end], self._text[end:]
            tokens, self._tokens = self._tokens, 0
            self._given += 1
            yield clause, tokens

    def rest(self) -> tuple[str, int] | None:
        """Return what is left at the end of the text, if anything is."""
        clause, tokens = self._text, self._tokens
        self._text, self._tokens = "", 0
        return (clause, tokens) if clause or tokens else None

    def _end(self) -> int | None:
        for stop in _STOP.finditer(self._text):
            if not _ABBREVIATION.search(self._text[: stop.end()]):
                return stop.end()
        shortest = _SHORTEST if self._given else _SHORTEST_FIRST
        for pause in _PAUSE.finditer(self._text):
            if pause.end() >= shortest:
                return pause.end()
        if not self._given and (joint := self._joint()) is not None:
            return joint
        if len(self._text) > _LONGEST:
            space = self._text.rfind(" ", 1, _LONGEST)
            return space if space > 0 else _LONGEST
        return None

    def _joint(self) -> int | None:
        words = [word.start() for word in re.finditer(r"\S+", self._text)]
        if len(words) <= _FEW:
            return None
        for joint in _JOINT.finditer(self._text, words[_FEW] - 1):
            return joint.start()
        if len(words) <= _MANY:
            return None
        phrases = list(_PHRASE.finditer(self._text, words[_FEW] - 1))
        return phrases[-1].start() if phrases else None


def heard_text(clauses: Iterable[Clause], ms: float) -> str:
    """Return the words that were spoken within the first ``ms`` milliseconds.

    Within a clause the time of a word is taken to go with its place among the letters; a word that was cut
    was not heard.
    """
    heard = ""
    for clause in clauses:
        if clause.end_ms <= ms:
            heard += clause.text
            continue
        if clause.start_ms >= ms:
            break
        letters = int(len(clause.text) * (ms - clause.start_ms) / (clause.end_ms - clause.start_ms))
        whole = [match.end() for match in re.finditer(r"\S+", clause.text) if match.end() <= letters]
        heard += clause.text[: whole[-1]] if whole else ""
        break
    return heard


def pieces(data: bytes, width: int, bytes_per_second: int) -> Iterator[bytes]:
    """Cut encoded sound into equal deltas of 100 to 200 ms, each of whole samples (``width`` bytes).

    Sound shorter than 100 ms is one delta.
    """
    samples = len(data) // width
    if not samples:
        return
    count = -(-samples * width // int(_LONGEST_DELTA * bytes_per_second))
    size = -(-samples // count) * width
    for start in range(0, len(data), size):
        yield data[start : start + size]
