"""Tokens and cost of a session: per turn and in total, beside what the model and the service allow.

What the service did not report is None and is shown as unknown, never as 0; what has no known price is
"unpriced", never $0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from ..displayable import Displayable
from ..formatting import turn_number
from ..paths import replacing, user_path
from ..protocol.changes import InputTranscript, Limits, ResponseEnded, UsageReported
from ..protocol.dialects.names import USAGE_EVENTS
from ..protocol.models import Model
from ..protocol.state import SessionState
from ..protocol.turns import TurnState
from ..protocol.usage import Cost, Usage
from ..redaction import clean_text, plain
from . import labels
from .dataframe import Column, frame
from .gauges import Gauge, Limit, Meter
from .usage_rows import Column as TableColumn
from .usage_rows import Row, cached_share, columns, transcribed_seconds

__all__ = ["MOST_ROWS", "UsageChart", "UsageView"]

MOST_ROWS = 40
"""Turns in the table; of a longer session the last ones."""

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
_ABOUT_USAGE = (
    "usage ",
    *USAGE_EVENTS,
    *(change.__name__ for change in (InputTranscript, Limits, ResponseEnded, UsageReported)),
)
"""How the problems start that concern usage: with the event's type, or with what it was read into."""


class UsageView(Displayable):
    """What a session used. The counts of ``total``, such as ``total_tokens``, can be read from it directly.

    It does not change as the session goes on. ``budget`` has a gauge for each limit of the session's budget.
    """

    renderer = "rtnb.render.usage_card:usage_html"

    def __init__(
        self, state: SessionState, *, billed: bool = True, engine: str = "", budget: Sequence[Gauge] = ()
    ) -> None:
        self.model: Model = state.row
        """The row of the model by which tokens are priced and windows known."""
        self.billed = billed
        """Whether anyone pays for it."""
        self.engine = engine
        """The embedded engine that answered in the model's place; "" for other servers."""
        self.budget = tuple(budget)
        """What of the session's budget is used."""
        self.turns: list[Row] = [self._row(state, turn) for turn in list(state.turns.all)]
        """A row for each turn, in order."""
        self.total: Usage = sum((row.usage for row in self.turns), Usage())
        """The tokens of all turns, as the service reported them."""
        self.limits: list[Limit] = [
            _limit(name, fields, state.limits_at.get(name)) for name, fields in list(state.limits.items())
        ]
        """The rate limits as the service last reported them."""
        self._malformed = [text for _, text in list(state.problems) if text.startswith(_ABOUT_USAGE)]

    def _row(self, state: SessionState, turn: TurnState) -> Row:
        reported = [r.usage for r in turn.responses if r.usage is not None]
        last = next((used for used in reversed(reported) if used.total_tokens), None)
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

        It is an upper bound where ``cost.at_most``. What was used and is not included, as a transcription
        without a known price, is in ``cost.excludes``.
        """
        if not self.known:
            return None
        cost = self.total.cost(self.model, billed=self.billed)
        return None if cost is None else cost.lacking(self.unknown)

    @property
    def unknown(self) -> int:
        """How many responses have no reported usage; one that is running is among them."""
        return sum(row.unknown for row in self.turns)

    @property
    def known(self) -> bool:
        """Whether the service reported any usage, or there was no response to report on."""
        return not self.unknown or any(row.known for row in self.turns)

    @property
    def cached_share(self) -> float | None:
        """Cached of all input tokens, 0 to 1; None where there was no input, or its kinds are unknown."""
        return cached_share(self.total)

    @property
    def context(self) -> Gauge:
        """Tokens of the conversation at its last answer, against the model's window."""
        seen = [row.context for row in self.turns if row.context is not None]
        return Gauge("context", seen[-1] if seen else None, self.model.context)

    @property
    def output(self) -> Gauge:
        """Output tokens of the longest answer, against the most that it could have had: see ``Row.most``."""
        reported = [row for row in self.turns if row.longest is not None]
        row = max(reported, key=lambda row: row.longest or 0, default=None)
        if row is None:
            return Gauge("longest answer", None, self.model.max_output)
        return Gauge("longest answer", row.longest, row.most)

    @property
    def meters(self) -> list[Meter]:
        """What the card shows as bars: context, longest answer, cached input, budget and rate limits."""
        meters: list[Meter] = []
        if self.turns:
            cached: float | None = None if self.cached_share is None else self.total.cached_tokens
            most = None if cached is None else self.total.input_tokens
            share = Gauge("cached", cached, most, "input tokens", warns=False)
            meters = [self.context, self.output, share]
        return [*meters, *self.budget, *self.limits]

    @property
    def columns(self) -> list[TableColumn]:
        """The columns of the table of turns, as text."""
        return columns(self.total, self.cost, known=self.known, billed=self.billed)

    @cached_property
    def problems(self) -> list[str]:
        """Where the service's sums and details disagree, and which of its figures make no sense."""
        found = [(row.turn, text) for row in self.turns for text in row.usage.problems]
        found += [(row.turn, text) for row in self.turns for text in _impossible(row, self.model)]
        return [f"turn {turn_number(turn)}: {text}" for turn, text in found] + self._malformed

    @property
    def notes(self) -> list[str]:
        """Sentences on the prices, and on what is not included in them."""
        cost, notes = self.cost, []
        if cost is not None:
            source = f" ({cost.source})" if cost.source else ""
            notes.append(f"Prices of {cost.model} as of {cost.as_of}{source}.")
            if cost.at_most:
                notes.append("Tokens with no reported kind are priced at the highest rate.")
            if cost.excludes:
                notes.append(f"Not included: {', '.join(cost.excludes)}.")
        elif not self.known:
            notes.append("The service reported no usage, so the cost is unknown.")
        elif not self.model.known:
            name = self.model.id or "The model"
            notes.append(f"{name} has no known price: add one with rtnb.models.load.")
        else:
            notes.append(f"Not everything that was used has a known price at {self.model.id}.")
        if not self.billed:
            notes.append(labels.engine_note(self.engine, self.model.id) or "Not billed.")
        if self.unknown:
            notes.append(f"{self._unreported}: not included in the totals.")
        return notes

    @property
    def cost_text(self) -> str:
        """The cost as text; "unpriced" where a price is unknown."""
        if self.cost is None:
            return "unpriced" if self.known else "cost unknown"
        return str(self.cost) if self.billed else f"would cost {self.cost}"

    @property
    def tokens_text(self) -> str:
        """The tokens as text, such as "132 tokens in (59 text, 73 audio), 147 out (147 audio)"."""
        return str(self.total) if self.known else "no tokens reported"

    @property
    def turns_text(self) -> str:
        """The number of turns as text, such as "1 turn"."""
        return f"{len(self.turns):,} turn{'' if len(self.turns) == 1 else 's'}"

    @property
    def _unreported(self) -> str:
        return f"{self.unknown} response{'' if self.unknown == 1 else 's'} reported no usage"

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
        table: dict[str, Column] = {
            "turn": (int, [row.turn for row in rows]),
            "status": (str, [row.status for row in rows]),
            "responses": (int, [row.responses for row in rows]),
            "unknown": (int, [row.unknown for row in rows]),
        }
        for name in (*_COUNTS[4:-1], "total_tokens"):
            table[name] = int, [_figure(row, name) for row in rows]
        table["cached_share"] = float, [row.cached_share for row in rows]
        table["context"] = int, [row.context for row in rows]
        transcribed = [transcribed_seconds(row.usage) for row in rows]
        table["transcription_seconds"] = float, [sum(each) if each else None for each in transcribed]
        table["cost_usd"] = float, [row.cost for row in rows]
        table["at_most"] = bool, [None if row.cost is None else row.cost.at_most for row in rows]
        table["billed"] = bool, [self.billed] * len(rows)
        return frame(table, kind)

    def plot(self) -> UsageChart:
        """Return a chart of the turns: tokens by kind and context, the cached share, and the cost so far."""
        return UsageChart(self)

    def __repr__(self) -> str:
        if not self.turns:
            return "<Usage: no turns yet>"
        unreported = f"; {self._unreported}" if self.unknown else ""
        line = f"{self.turns_text}, {self.tokens_text}, {self.cost_text}{unreported}"
        return f"<Usage: {plain(clean_text(line))}>"

    def __str__(self) -> str:
        """Return all of it as plain text, with the figures of the turns in columns."""
        meters = [f"{meter.label}: {meter}" for meter in self.meters]
        lines = [repr(self).strip("<>"), *meters, *self.problems]
        if self.turns:
            lines = [lines[0], "", *self._table(), "", *lines[1:], *self.notes]
        return plain(clean_text("\n".join(lines)))

    def _table(self) -> list[str]:
        columns, rows = self.columns, self.turns[-MOST_ROWS:]
        groups = ["", *(column.group for column in columns)]
        # Each group is named once, over its first column.
        groups[1:] = ["" if group == before else group for before, group in pairwise(groups)]
        table = [groups, ["turn", *(column.head for column in columns)]]
        table += [[turn_number(row.turn), *(column.cell(row) for column in columns)] for row in rows]
        table.append(["all", *(column.total for column in columns)])
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        lines = ["  ".join(map(str.rjust, cells, widths)) for cells in table]
        if len(self.turns) > len(rows):
            lines.insert(2, f"… {len(self.turns) - len(rows):,} earlier turns")
        return lines

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(include, exclude), "text/plain": str(self)}


class UsageChart(Displayable):
    """A chart of a session's usage, drawn as SVG. Shown in a notebook it is the picture."""

    renderer = "rtnb.render.usage_chart:chart_html"

    def __init__(self, usage: UsageView) -> None:
        self.usage = usage
        """What is drawn."""

    @cached_property
    def svg(self) -> str:
        """The chart as an SVG document."""
        return str(resolve_name("rtnb.render.usage_chart:chart_svg")(self.usage))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the SVG document to a file and return its path. Raises RecordingError if that fails."""
        path = user_path(path, "an SVG file")
        with replacing(path) as file:
            file.write(self.svg.encode())
        return path

    @property
    def description(self) -> str:
        """What the chart shows, in words."""
        usage = self.usage
        return f"Usage over {usage.turns_text}: {usage.total}" if usage.turns else "No turns yet."

    def __repr__(self) -> str:
        return f"<UsageChart: {self.description}>"


_PUBLIC = {name for name in vars(UsageView) if not name.startswith("_")} | {
    "turns",
    "total",
    "limits",
    *_COUNTS,
}


def _figure(row: Row, name: str) -> int | None:
    """Return a row's count; None where none was reported, or where all may be among those of unknown kind."""
    count = int(getattr(row.usage, name))
    side = "output" if name.startswith("output") else "input"
    by_kind = name.endswith(("_text", "_audio", "_image"))
    unsorted = by_kind and not count and getattr(row.usage, f"{side}_unsorted")
    return None if unsorted or (row.responses and not row.known) else count


def _impossible(row: Row, model: Model) -> Iterable[str]:
    """Yield what cannot be, by the model's own row."""
    if model.context is not None and row.context is not None and row.context > model.context:
        yield f"a conversation of {row.context:,} tokens is more than {model.id} holds, {model.context:,}"
    if model.max_output is not None and row.longest is not None and row.longest > model.max_output:
        yield f"an answer of {row.longest:,} tokens is more than {model.id} generates, {model.max_output:,}"


def _limit(name: str, fields: dict[str, Any], at: float | None) -> Limit:
    limit, remaining, reset = (_number(fields.get(key)) for key in ("limit", "remaining", "reset_seconds"))
    return Limit(str(name), limit, remaining, reset, at)


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
