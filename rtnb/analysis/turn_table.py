"""Turns as a table: of one session, or of many side by side. A session's ``turns`` are shown as one.

>>> print(rtnb.table({"first": "a.rtnb", "second": "b.rtnb"}))
session  turn  you                 answer                wait    tokens      cost
first       1  Where is my order?  It left on Tuesday.  448 ms  133 → 159  $0.0122
second      1  Where is my order?  Which order?         391 ms   133 → 49  $0.0041
2 turns · median wait 420 ms · 266 → 208 tokens · $0.0163
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from textwrap import shorten
from typing import Any, SupportsIndex, TypeVar, overload

from ..displayable import Displayable
from ..formatting import milliseconds, turn_number
from ..protocol.usage import Usage
from ..redaction import clean_text, plain
from . import labels
from .dataframe import frame
from .turn import TurnView

__all__ = ["TurnList", "TurnRow", "TurnTable", "tokens_text"]

T = TypeVar("T", bound=TurnView)

_TEXT = 48
"""Characters of what was said in the plain table."""


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One turn of a table, as it is known now. ``session`` is a name, or "" in the table of one session."""

    session: str
    turn: TurnView

    @property
    def number(self) -> str:
        """The turn's number, from 1."""
        return turn_number(self.turn.number)

    @property
    def you(self) -> str:
        """What the user said or wrote, or why it has no transcript."""
        return clean_text(self.turn.input.text or self.turn.transcript_note)

    @property
    def answer(self) -> str:
        """What was answered; for an answer without text, the functions that were called."""
        text = self.turn.text_so_far
        return clean_text(text or ", ".join(f"{call.name}({call.arguments})" for call in self.turn.calls))

    @property
    def ending(self) -> str:
        """How the turn ended if it was not completed, as a word; else ""."""
        return "" if self.turn.status == "completed" else clean_text(self.turn.status.replace("_", " "))

    @property
    def wait(self) -> float | None:
        """Milliseconds that the user waited; None if unknown."""
        found = labels.wait(self.turn)
        return None if found is None else found[0]

    @property
    def tokens(self) -> str:
        """Input and output tokens."""
        return tokens_text(self.turn.usage) if self.turn.usage.total_tokens else "unknown"

    @property
    def cost(self) -> str:
        """US dollars; an unknown price is "unpriced"."""
        if not self.turn.usage.total_tokens:
            return "unknown"
        return "unpriced" if self.turn.cost is None else str(self.turn.cost)


def tokens_text(usage: Usage) -> str:
    """Return input and output tokens, as ``133 → 159``."""
    return f"{usage.input_tokens:,} → {usage.output_tokens:,}"


class TurnTable(Displayable):
    """Turns with what was said, its audio, the wait, tokens and cost; made by ``rtnb.table``.

    A notebook can sort it by any column and filter it by words. It shows what is known at that moment.
    """

    renderer = "rtnb.render.turn_table_card:table_html"

    def __init__(self, rows: Iterable[tuple[str, TurnView]]) -> None:
        self.rows = [TurnRow(session, turn) for session, turn in rows]

    @property
    def named(self) -> bool:
        """Whether the turns belong to sessions with names, which are a column then."""
        return any(row.session for row in self.rows)

    @cached_property
    def billed(self) -> bool:
        """Whether any of the turns is billed."""
        return any(row.turn.billed for row in self.rows)

    @property
    def cost_head(self) -> str:
        """The head of the column of costs."""
        return "cost" if self.billed else "would cost"

    def cost_note(self, row: TurnRow) -> str:
        """Return "not billed" for such a turn in a table with billed ones; else ""."""
        return "not billed" if self.billed and not row.turn.billed and row.turn.cost is not None else ""

    @property
    def summary(self) -> list[str]:
        """How many turns, the median wait, and the sums, in a few words each."""
        turns = [row.turn for row in self.rows]
        usage = sum((turn.usage for turn in turns), Usage())
        costs = [turn.cost for turn in turns if turn.cost is not None and turn.billed == self.billed]
        waits = [row.wait for row in self.rows if row.wait is not None]
        unpriced = sum(turn.cost is None and bool(turn.usage.total_tokens) for turn in turns)
        parts = [f"{len(turns):,} turn{'' if len(turns) == 1 else 's'}"]
        if waits:
            parts.append(f"median wait {milliseconds(median(waits))} ms")
        if usage.total_tokens:
            parts.append(f"{tokens_text(usage)} tokens")
        if costs:
            money = f"{'' if self.billed else 'would cost '}${sum(costs):,.4f}"
            parts.append(money + (f" without {unpriced:,} unpriced" if unpriced else ""))
        return parts

    @property
    def notes(self) -> list[str]:
        """Who answered in place of a model, each once."""
        return list(dict.fromkeys(filter(None, (labels.answer_note(row.turn) for row in self.rows))))

    def to_frame(self, kind: str = "pandas") -> Any:
        """Return one row per turn as a ``pandas`` or ``polars`` DataFrame, or an ``arrow`` Table.

        Columns: session, turn (from 0), status, you, answer, audio_s, wait_ms, input_tokens, output_tokens
        and cost. What is unknown is missing.
        """
        turns = [row.turn for row in self.rows]
        clips = [turn.audio_so_far for turn in turns]
        known = [bool(turn.usage.total_tokens) for turn in turns]

        def counts(name: str) -> list[int | None]:
            return [getattr(turn.usage, name) if ok else None for turn, ok in zip(turns, known, strict=True)]

        return frame(
            {
                "session": (str, [row.session for row in self.rows]),
                "turn": (int, [turn.number for turn in turns]),
                "status": (str, [turn.status for turn in turns]),
                "you": (str, [row.you for row in self.rows]),
                "answer": (str, [row.answer for row in self.rows]),
                "audio_s": (float, [None if clip is None else clip.seconds for clip in clips]),
                "wait_ms": (float, [row.wait for row in self.rows]),
                "input_tokens": (int, counts("input_tokens")),
                "output_tokens": (int, counts("output_tokens")),
                "cost": (float, [turn.cost for turn in turns]),
            },
            kind,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return "No turns yet."
        named = self.named
        table = [[*(["session"] if named else []), "turn", "you", "answer", "wait", "tokens", self.cost_head]]
        for row in self.rows:
            said = [shorten(text, _TEXT, placeholder=" …") for text in (row.you, row.answer)]
            said[1] += f" ({row.ending})" if row.ending else ""
            wait = "unknown" if row.wait is None else f"{milliseconds(row.wait)} ms"
            table.append(
                [
                    *([row.session] if named else []),
                    row.number,
                    *said,
                    wait,
                    row.tokens,
                    ", ".join(filter(None, (row.cost, self.cost_note(row)))),
                ]
            )
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        texts = {named * 1 + 1, named * 1 + 2} | ({0} if named else set())
        lines = [
            "  ".join(
                cell.ljust(width) if at in texts else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            for cells in table
        ]
        return plain(clean_text("\n".join([*lines, " · ".join(self.summary), *self.notes])))


class TurnList(list[T], Displayable):
    """The turns of a session: a list that a notebook shows as a table. Slices of it are tables too."""

    @property
    def table(self) -> TurnTable:
        """The turns as a table."""
        return TurnTable(("", turn) for turn in self)

    def to_frame(self, kind: str = "pandas") -> Any:
        """Return one row per turn as a data frame: see `TurnTable.to_frame`."""
        return self.table.to_frame(kind)

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> T: ...

    @overload
    def __getitem__(self, at: slice[Any, Any, Any], /) -> TurnList[T]: ...

    def __getitem__(self, at: Any, /) -> Any:
        found = super().__getitem__(at)
        return TurnList(found) if isinstance(at, slice) else found

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.table._repr_mimebundle_(include, exclude)
