"""The usage of one turn, and the columns of the table of all turns: the same as HTML and as plain text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.usage import Cost, Usage
from .gauges import percent

__all__ = ["Column", "Row", "cached_share", "columns", "transcribed_seconds"]


@dataclass(frozen=True, slots=True)
class Row:
    """What one turn used, in all its responses and its input's transcription."""

    turn: int
    """The turn's number."""
    status: str
    """in_progress, completed, cancelled, interrupted, incomplete or failed."""
    responses: int
    """How many responses the turn had; those after function calls count too."""
    unknown: int
    """How many of them have no reported usage."""
    usage: Usage
    """The tokens that the service reported."""
    cost: Cost | None
    """US dollars; None where a price or all usage is unknown. ``cost.excludes`` is what is not included."""
    context: int | None
    """Tokens of the conversation with the turn's last answer; None for unknown, and out of band."""
    longest: int | None
    """Output tokens of the turn's longest response."""
    most: int | None
    """The most output tokens it could have had: as requested, or the model's maximum where that is less."""

    @property
    def known(self) -> bool:
        """Whether the service reported any usage of the turn's responses."""
        return self.responses > self.unknown

    @property
    def cached_share(self) -> float | None:
        """Cached of the input tokens, 0 to 1; None where there was no input or it is unknown."""
        return cached_share(self.usage)

    def count(self, tokens: int) -> str:
        """Return a count of this turn's tokens as text, or why there is none."""
        if self.known:
            return f"{tokens:,}"
        return "–" if not self.responses else "running" if self.status == "in_progress" else "unknown"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table: the cell of a row, and the cell of the last line, for all turns."""

    group: str
    head: str
    cell: Callable[[Row], str]
    total: str


_UNSORTED = "kind unknown"
"""The head of a column of tokens of which only the sum was reported."""


def columns(total: Usage, cost: Cost | None, *, known: bool, billed: bool) -> list[Column]:
    """Return the columns for turns that used ``total`` for ``cost``.

    ``known`` is whether any usage was reported, ``billed`` whether anyone pays the cost.
    """

    def tokens(group: str, head: str, count: Callable[[Usage], int]) -> Column:
        side = "output" if group == "out" else "input"

        def cell(row: Row) -> str:
            tokens = count(row.usage)
            unreported = getattr(row.usage, f"{side}_unsorted") and not tokens
            return "unknown" if unreported else row.count(tokens)

        return Column(group, head, cell, f"{count(total):,}" if known else "unknown")

    def of(kind: str, side: str) -> Callable[[Usage], int]:
        if side == "new":
            return lambda usage: int(getattr(usage, f"input_{kind}") - getattr(usage, f"cached_{kind}"))
        return lambda usage: int(getattr(usage, f"{side}_{kind}"))

    kinds = ["text", "audio", *(["image"] if total.input_image or total.cached_image else [])]
    unpriced = "unpriced" if known else "unknown"
    table = [Column("", "cost" if billed else "would cost", _cost, unpriced if cost is None else str(cost))]
    table += [tokens("new in", kind, of(kind, "new")) for kind in kinds]
    table += [tokens("cached in", kind, of(kind, "cached")) for kind in kinds]
    table.append(Column("cached in", "share", _cached, _share(cached_share(total))))
    if total.input_unsorted:
        table.append(tokens("in", _UNSORTED, lambda usage: usage.input_unsorted))
    table += [tokens("out", kind, of(kind, "output")) for kind in kinds[:2]]
    if total.output_unsorted:
        table.append(tokens("out", _UNSORTED, lambda usage: usage.output_unsorted))
    table.append(Column("", "context", _context, ""))
    if total.transcription:
        table.append(Column("", "transcribed", lambda row: _transcribed(row.usage), _transcribed(total)))
    return table


def cached_share(usage: Usage) -> float | None:
    """Return cached of all input tokens, 0 to 1; None where there was no input, or its kinds are unknown."""
    count = usage.input_tokens
    return usage.cached_tokens / count if count and not usage.input_unsorted else None


def transcribed_seconds(usage: Usage) -> list[float]:
    """Return the seconds of each transcription model that is priced by time."""
    return [counts["seconds"] for counts in usage.transcription.values() if "seconds" in counts]


def _cost(row: Row) -> str:
    if not row.known and row.usage.total_tokens == 0:
        return row.count(0)
    return "unpriced" if row.cost is None else str(row.cost)


def _cached(row: Row) -> str:
    return _share(row.cached_share) if row.known else row.count(0)


def _share(share: float | None) -> str:
    return "unknown" if share is None else percent(share)


def _context(row: Row) -> str:
    return "–" if row.known and row.context is None else row.count(row.context or 0)


def _transcribed(usage: Usage) -> str:
    amounts = [f"{seconds:.1f} s" for seconds in transcribed_seconds(usage)]
    for counts in usage.transcription.values():
        if "seconds" not in counts:
            tokens = counts.get("total_tokens")
            amounts.append("unknown" if tokens is None else f"{tokens:,.0f} tokens")
    return ", ".join(amounts) or "–"
