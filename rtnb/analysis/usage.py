"""Tokens and money of a session: by turn and in sum, beside what the model and the service allow.

What the service did not tell is None and is shown as unknown, never as 0; what has no known price is
"unpriced", never $0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..protocol.models import Model
from ..protocol.state import SessionState
from ..protocol.turns import TurnState
from ..protocol.usage import Cost, Usage
from .dataframe import Column, frame

__all__ = ["Gauge", "Limit", "Row", "UsageView"]

_COUNTS = (
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "total_tokens",
    "input_text",
    "input_audio",
    "input_image",
    "input_unsorted",
    "cached_text",
    "cached_audio",
    "cached_image",
    "output_text",
    "output_audio",
    "output_unsorted",
    "transcription",
)
_ABOUT_USAGE = ("response.done", "rate_limits.updated", "conversation.item.input_audio_transcription.")


@dataclass(frozen=True, slots=True)
class Gauge:
    """Something used and the most of it that may be; None is unknown. ``unit`` is tokens, $ or minutes."""

    name: str
    used: float | None
    most: float | None
    unit: str = "tokens"
    note: str = ""

    @property
    def share(self) -> float | None:
        """Used of the most: 0 to 1, or above where it was passed; None where one of them is unknown."""
        if self.used is None or self.most is None:
            return None
        return self.used / self.most if self.most else 1.0

    def __str__(self) -> str:
        if self.most is None:
            return "unknown" if self.used is None else f"{_said(self.used, self.unit)} of an unknown maximum"
        share = "" if self.share is None else f" ({percent(self.share)})"
        used = _said(self.used, self.unit).removesuffix(self.unit).rstrip()
        return f"{used} of {_said(self.most, self.unit)}{share}"


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit as the service told it last, ``told_at`` seconds after the log began; None is not told.

    ``remaining`` of ``limit`` requests or tokens were left; ``resets_at`` is when all will be, by that clock.
    """

    name: str
    limit: float | None
    remaining: float | None
    reset_seconds: float | None
    told_at: float | None

    @property
    def resets_at(self) -> float | None:
        """When the whole limit is free again, in seconds since the log began."""
        if self.told_at is None or self.reset_seconds is None:
            return None
        return self.told_at + self.reset_seconds

    def __str__(self) -> str:
        if self.limit is None and self.remaining is None:
            return "unknown"
        told = "unknown" if self.told_at is None else f"{self.told_at:.1f} s"
        reset = "at an unknown time" if self.reset_seconds is None else f"{self.reset_seconds:g} s later"
        left = f"{_said(self.remaining, '')} of {_said(self.limit, '')} left"
        return f"{left}, told at {told}; full again {reset}"


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
    """Of how many of them the service has not told the usage."""
    usage: Usage
    """The tokens that it told."""
    cost: Cost | None
    """US dollars; None where a price or all usage is unknown. What is not in it is in ``cost.excludes``."""
    context: int | None
    """Tokens of the conversation with the turn's last answer; None for unknown, and out of band."""
    longest: int | None
    """Output tokens of the turn's longest response."""
    most: int | None
    """The output tokens that it might have had: as asked for, or the model's maximum where that is less."""

    @property
    def known(self) -> bool:
        """Whether the service told any usage of the turn's responses."""
        return self.responses > self.unknown

    @property
    def cached_share(self) -> float | None:
        """Cached of the input tokens, 0 to 1; None where there was no input or it is unknown."""
        return _share(self.usage)


class UsageView:
    """What a session used. The counts of ``total``, such as ``total_tokens``, can be read from it directly.

    It is a picture of the moment at which it was made. ``budget`` holds the session's allowances, if any.
    """

    def __init__(
        self, state: SessionState, *, billed: bool = True, engine: str = "", budget: Sequence[Gauge] = ()
    ) -> None:
        self.model: Model = state.row
        """The row of the model by which tokens are priced and windows known."""
        self.billed = billed
        """Whether anybody asks money for it."""
        self.engine = engine
        """The embedded engine that answered in the model's place; "" for other servers."""
        self.budget = tuple(budget)
        """What of the session's budget is used."""
        self.turns: list[Row] = [self._row(state, turn) for turn in list(state.turns.all)]
        """A row for each turn, in order."""
        self.total: Usage = sum((row.usage for row in self.turns), Usage())
        """The tokens of all turns, as the service told them."""
        self.limits: list[Limit] = [
            _limit(name, told, state.limits_at.get(name)) for name, told in list(state.limits.items())
        ]
        """The rate limits as the service told them last."""
        self._odd = [said for _, said in list(state.problems) if said.startswith(_ABOUT_USAGE)]

    def _row(self, state: SessionState, turn: TurnState) -> Row:
        told = [r.usage for r in turn.responses if r.usage is not None]
        last = next((used for used in reversed(told) if used.total_tokens), None)
        longest = max(
            (r for r in turn.responses if r.usage is not None),
            key=lambda response: response.usage.output_tokens if response.usage else 0,
            default=None,
        )
        limits = (longest and longest.max_output, _number(state.session.get("max_output_tokens")))
        own = next((limit for limit in limits if limit), None)
        return Row(
            turn.number,
            turn.status(state.conversation),
            len(turn.responses),
            turn.unknown,
            turn.usage,
            turn.cost(self.model, billed=self.billed),
            None if last is None or turn.out_of_band else last.total_tokens,
            longest.usage.output_tokens if longest is not None and longest.usage is not None else None,
            min((limit for limit in (own, self.model.max_output) if limit), default=None),
        )

    def __getattr__(self, name: str) -> Any:
        if name in _COUNTS:
            return getattr(self.total, name)
        raise AttributeError(f"usage has no {name!r}; it has {', '.join(sorted(_PUBLIC))}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_COUNTS})

    def __eq__(self, other: object) -> bool:
        if isinstance(other, UsageView):
            return self.total == other.total
        return self.total == other if isinstance(other, Usage) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @property
    def cost(self) -> Cost | None:
        """US dollars for all turns at the dated prices of ``cost.as_of``; None is unpriced or unknown.

        It is an upper bound where ``cost.at_most``. What was used and is not in it, as a transcription
        without a known price, is in ``cost.excludes``.
        """
        if not self.known:
            return None
        cost = self.total.cost(self.model, billed=self.billed)
        return None if cost is None else cost.lacking(self.unknown)

    @property
    def unknown(self) -> int:
        """Of how many responses the service has not told the usage; one that runs is among them."""
        return sum(row.unknown for row in self.turns)

    @property
    def known(self) -> bool:
        """Whether the service told any usage, or there was no response to tell any of."""
        return not self.unknown or any(row.known for row in self.turns)

    @property
    def cached_share(self) -> float | None:
        """Cached of all input tokens, 0 to 1; None where there was no input, or its kinds are unknown."""
        return _share(self.total)

    @property
    def context(self) -> Gauge:
        """Tokens of the conversation at its last answer, against the model's window."""
        seen = [row.context for row in self.turns if row.context is not None]
        return Gauge("context", seen[-1] if seen else None, self.model.context)

    @property
    def output(self) -> Gauge:
        """Output tokens of the longest answer, against the most that it might have had: see ``Row.most``."""
        told = [row for row in self.turns if row.longest is not None]
        row = max(told, key=lambda row: row.longest or 0, default=None)
        if row is None:
            return Gauge("longest answer", None, self.model.max_output)
        return Gauge("longest answer", row.longest, row.most)

    @cached_property
    def problems(self) -> list[str]:
        """Where the service's sums and details disagree, and which of its figures make no sense."""
        found = [f"turn {row.turn}: {said}" for row in self.turns for said in row.usage.problems]
        found += [f"turn {row.turn}: {said}" for row in self.turns for said in _impossible(row, self.model)]
        return found + self._odd

    def to_frame(self, kind: str = "pandas") -> Any:
        """Return one row per turn as a ``pandas`` or ``polars`` DataFrame, or an ``arrow`` Table.

        Columns: ``turn``, ``status``, ``responses``, ``unknown``; ``input_text``, ``input_audio`` and
        ``input_image`` (all, cached or not), ``cached_…`` of the same kinds, ``output_text``,
        ``output_audio``, those of unknown kind as ``input_unsorted`` and ``output_unsorted``,
        ``total_tokens``; ``cached_share`` (0 to 1), ``context`` (tokens), ``transcription_seconds``,
        ``cost_usd``, ``at_most`` (whether that is an upper bound) and ``billed``. What is unknown is missing.

        Raises ArgumentError for another ``kind``, MissingPackageError where its package is not installed.
        """
        rows = self.turns
        columns: dict[str, Column] = {
            "turn": (int, [row.turn for row in rows]),
            "status": (str, [row.status for row in rows]),
            "responses": (int, [row.responses for row in rows]),
            "unknown": (int, [row.unknown for row in rows]),
        }
        for name in (*_COUNTS[4:-1], "total_tokens"):
            columns[name] = int, [_figure(row, name) for row in rows]
        columns["cached_share"] = float, [row.cached_share for row in rows]
        columns["context"] = int, [row.context for row in rows]
        spent = [seconds(row.usage) for row in rows]
        columns["transcription_seconds"] = float, [sum(each) if each else None for each in spent]
        columns["cost_usd"] = float, [row.cost for row in rows]
        columns["at_most"] = bool, [None if row.cost is None else row.cost.at_most for row in rows]
        columns["billed"] = bool, [self.billed] * len(rows)
        return frame(columns, kind)

    def plot(self, kind: str | None = None) -> Any:
        """Draw tokens by kind, context, cached share and money over the turns.

        ``kind`` "matplotlib" gives a ``Figure``; "svg" a picture that needs no package and goes into a
        notebook as it is; None the first where it is installed, else the second.

        Raises ArgumentError for another ``kind``, MissingPackageError where matplotlib is not installed.
        """
        from ..render.usage_chart import plot

        return plot(self, kind)

    def __repr__(self) -> str:
        from ..render.usage_card import line

        return f"<Usage {line(self)}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from ..render.usage_card import usage_html, usage_text

        return {"text/plain": usage_text(self), "text/html": usage_html(self)}


_PUBLIC = {name for name in vars(UsageView) if not name.startswith("_")} | {
    "turns",
    "total",
    "limits",
    *_COUNTS,
}


def percent(share: float) -> str:
    """Return a share in whole percent, rounded down: what is not full is not 100%, nor 0% what has some."""
    return "under 1%" if 0 < share < 0.01 else f"{int(100 * share)}%"


def seconds(usage: Usage) -> list[float]:
    """Return the seconds of each ASR model that counts in seconds."""
    return [counts["seconds"] for counts in usage.transcription.values() if "seconds" in counts]


def _figure(row: Row, name: str) -> int | None:
    """Return a row's count; None where the service told none, or where all may lie in what is unsorted."""
    count = int(getattr(row.usage, name))
    side = "output" if name.startswith("output") else "input"
    by_kind = name.endswith(("_text", "_audio", "_image"))
    untold = by_kind and not count and getattr(row.usage, f"{side}_unsorted")
    return None if untold or (row.responses and not row.known) else count


def _share(usage: Usage) -> float | None:
    given = usage.input_tokens
    return usage.cached_tokens / given if given and not usage.input_unsorted else None


def _impossible(row: Row, model: Model) -> Iterable[str]:
    """Yield what cannot be, by the model's own row."""
    if model.context is not None and row.context is not None and row.context > model.context:
        yield f"a conversation of {row.context:,} tokens is more than {model.id} holds, {model.context:,}"
    if model.max_output is not None and row.longest is not None and row.longest > model.max_output:
        yield f"an answer of {row.longest:,} tokens is more than {model.id} makes, {model.max_output:,}"


def _limit(name: str, told: dict[str, Any], at: float | None) -> Limit:
    limit, remaining, reset = (_number(told.get(key)) for key in ("limit", "remaining", "reset_seconds"))
    return Limit(str(name), limit, remaining, reset, at)


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _said(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if unit == "$":
        return f"${value:,.4f}"
    count = f"{value:,.1f}" if unit == "minutes" else f"{value:,.0f}"
    return f"{count} {unit}".rstrip()
