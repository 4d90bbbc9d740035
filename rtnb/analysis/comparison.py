"""Two turns, or two sessions turn by turn, side by side with their differences.

>>> print(rtnb.compare(first, second))
          first.rtnb           second.rtnb         difference
Turn 1
  answer  It left on Tuesday.  It left on Monday.  differs
  wait    448 ms               391 ms              −57 ms
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from statistics import median
from textwrap import shorten
from typing import Any

from ..audio import Clip
from ..displayable import Displayable
from ..formatting import milliseconds, turn_number
from ..protocol.usage import Usage
from ..redaction import clean_text, plain
from . import labels
from .session import SessionView
from .turn import TurnView

__all__ = ["Comparison", "Fact", "Part", "Side", "words"]

_WORD = re.compile(r"\s+|[^\s\w]|\w+")
_CELL = 44
"""Characters of a value in the plain form."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side: its name, its turns, and its session if all of that is compared."""

    name: str
    turns: Sequence[TurnView]
    session: SessionView | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: what is compared, both values as text ("" for none), and the difference, "" if there is none.

    ``kind`` is "text" for what was said, whose words are compared, and "value" for all else.
    """

    name: str
    a: str
    b: str
    difference: str
    kind: str = "value"
    clips: tuple[Clip | None, Clip | None] = (None, None)


@dataclass(frozen=True, slots=True)
class Part:
    """Lines under a heading, such as those of one turn."""

    title: str
    facts: Sequence[Fact]

    @property
    def differs(self) -> bool:
        """Whether any line differs."""
        return any(fact.difference for fact in self.facts)


class Comparison(Displayable):
    """Two sides and how they differ; made by ``rtnb.compare``. Iterating yields its parts."""

    renderer = "rtnb.render.comparison_card:comparison_html"

    def __init__(self, a: Side, b: Side) -> None:
        self.names = (a.name, b.name)
        self.parts = list(_parts(a, b))

    @property
    def differences(self) -> list[tuple[str, Fact]]:
        """The lines that differ, each with the heading of its part."""
        return [(part.title, fact) for part in self.parts for fact in part.facts if fact.difference]

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __repr__(self) -> str:
        table = [["", *self.names, "difference"]]
        for part in self.parts:
            table.append([part.title, "", "", ""])
            for fact in part.facts:
                values = [shorten(value, _CELL, placeholder=" …") for value in (fact.a, fact.b)]
                table.append([f"  {fact.name}", *values, fact.difference])
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        lines = ("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table)
        return plain(clean_text("\n".join(lines)))


def words(a: str, b: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Return both texts in pieces, each with whether the other text does not have it there.

    >>> words("on Tuesday.", "on Monday.")
    ([('on ', False), ('Tuesday', True), ('.', False)], [('on ', False), ('Monday', True), ('.', False)])
    """
    left, right = _WORD.findall(a), _WORD.findall(b)
    sides: tuple[list[tuple[str, bool]], list[tuple[str, bool]]] = ([], [])
    for tag, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        for side, piece in zip(sides, ("".join(left[i:j]), "".join(right[k:m])), strict=True):
            if piece:
                side.append((piece, tag != "equal"))
    return sides


def _parts(a: Side, b: Side) -> Iterator[Part]:
    if a.session is not None and b.session is not None:
        yield Part("Session", [*_settings(a.session, b.session), *_sums(a.turns, b.turns)])
    single = len(a.turns) == len(b.turns) == 1 and a.session is None
    for place, (one, other) in enumerate(zip_longest(a.turns, b.turns)):
        title = "Turn" if single else f"Turn {turn_number(place)}"
        if one is None or other is None:
            there = one or other
            said = clean_text(there.text_so_far or there.status) if there is not None else ""
            only = (
                Fact("answer", said, "", "only left")
                if other is None
                else Fact("answer", "", said, "only right")
            )
            yield Part(title, [only])
        else:
            yield Part(title, list(_turn(one, other)))


def _turn(a: TurnView, b: TurnView) -> Iterator[Fact]:
    inputs, answers = (a.input, b.input), (a.audio_so_far, b.audio_so_far)
    yield _text("you", [given.text for given in inputs], (inputs[0].audio, inputs[1].audio))
    yield _text("answer", [a.text_so_far, b.text_so_far], answers)
    calls = [", ".join(f"{call.name}({call.arguments})" for call in turn.calls) for turn in (a, b)]
    if any(calls):
        yield _text("calls", calls)
    yield _value("ended", [turn.status.replace("_", " ") for turn in (a, b)])
    yield _value("answered by", [_answerer(turn) for turn in (a, b)])
    waits = [labels.wait(turn) for turn in (a, b)]
    ms = [None if one is None else one[0] for one in waits]
    yield _number("wait", ms, lambda value: f"{milliseconds(value)} ms")
    seconds = [None if clip is None else clip.seconds for clip in answers]
    if any(one is not None for one in seconds):
        yield _number("audio", seconds, lambda value: f"{value:.1f} s")
    yield from _usage([a], [b])


def _usage(a: Sequence[TurnView], b: Sequence[TurnView]) -> Iterator[Fact]:
    used = [sum((turn.usage for turn in turns), Usage()) for turns in (a, b)]
    for name in ("input_tokens", "cached_tokens", "output_tokens"):
        counts = [getattr(one, name) if one.total_tokens else None for one in used]
        if any(counts):
            yield _number(name.replace("_", " "), counts, lambda value: f"{value:,.0f}")
    costs = [[turn.cost for turn in turns if turn.usage.total_tokens] for turns in (a, b)]
    amounts = [sum(map(float, filter(None, one))) if one and None not in one else None for one in costs]
    if any(one.total_tokens for one in used):
        billed = any(turn.billed for turn in (*a, *b))
        yield _number("cost" if billed else "would cost", amounts, lambda value: f"${value:,.4f}", "unpriced")


def _sums(a: Sequence[TurnView], b: Sequence[TurnView]) -> Iterator[Fact]:
    yield _number("turns", [len(a), len(b)], lambda value: f"{value:,.0f}")
    waits = [[found[0] for turn in turns if (found := labels.wait(turn))] for turns in (a, b)]
    medians = [median(one) if one else None for one in waits]
    yield _number("median wait", medians, lambda value: f"{milliseconds(value)} ms")
    yield from _usage(a, b)


def _settings(a: SessionView, b: SessionView) -> Iterator[Fact]:
    """Yield who answers, and each setting of the sessions that differs."""
    yield _value("answered by", [_answerer(one) for one in (a, b)])
    left, right = (dict(_leaves(one.state.session)) for one in (a, b))
    for name in dict.fromkeys([*left, *right]):
        if left.get(name) != right.get(name) and name not in _IDS:
            yield _value(name, [one.get(name, "not set") for one in (left, right)])


_IDS = ("id", "object", "expires_at", "client_secret.value", "client_secret.expires_at", "model")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif value is not None:
        yield path, clean_text(value if isinstance(value, str) else repr(value))


def _answerer(one: TurnView | SessionView) -> str:
    name = labels.answered_by(one.engine, one.model or "unknown")
    return f"{name}, embedded" if one.engine else name


def _text(name: str, pair: Sequence[str], clips: tuple[Clip | None, Clip | None] = (None, None)) -> Fact:
    a, b = map(clean_text, pair)
    return Fact(name, a, b, "differs" if a != b else "", "text", clips)


def _value(name: str, pair: Sequence[str]) -> Fact:
    a, b = map(clean_text, pair)
    return Fact(name, a, b, "differs" if a != b else "")


def _number(
    name: str, pair: Sequence[float | None], shown: Callable[[float], str], unknown: str = "unknown"
) -> Fact:
    a, b = pair
    left, right = (unknown if value is None else shown(value) for value in pair)
    difference = "differs" if left != right else ""
    if difference and a is not None and b is not None:
        difference = ("+" if b > a else "−") + shown(abs(b - a))
    return Fact(name, left, right, difference)
