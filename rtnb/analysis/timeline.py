"""The times of a turn or a session: spans and marks of each turn, percentiles, data frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from ..displayable import Displayable
from ..formatting import milliseconds, turn_number
from ..protocol.timing import MARKS, MEASURES
from ..redaction import clean_text, plain
from .dataframe import Column, frame
from .spans import TurnTimes

__all__ = ["Percentiles", "Spread", "Timeline"]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a measure is spread over ``n`` turns, in milliseconds; None where no turn has it."""

    n: int
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Read the values of all turns that have one. Between two of them it is interpolated (linear)."""
        if not values:
            return cls(0)
        p50, p90, p95 = (
            float(value) for value in np.percentile(np.asarray(values, np.float64), (50, 90, 95))
        )
        return cls(len(values), p50, p90, p95, float(max(values)))


class Percentiles(Mapping[str, Spread], Displayable):
    """The spread of each measure of latency; see ``rtnb.protocol.timing.MEASURES`` for what each means."""

    renderer = "rtnb.render.timeline_card:percentiles_html"

    def __init__(self, spreads: Mapping[str, Spread], turns: int) -> None:
        self._spreads = dict(spreads)
        self.turns = turns
        """How many turns there are; not each has every measure."""

    def __getitem__(self, key: str) -> Spread:
        return self._spreads[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._spreads)

    def __len__(self) -> int:
        return len(self._spreads)

    def to_frame(self, kind: str = "pandas") -> Any:
        """Return a data frame, a row per measure: see `frame` for the kinds and what is raised."""
        spreads = list(self.values())
        columns: dict[str, Column] = {"measure": (str, list(self)), "n": (int, [one.n for one in spreads])}
        for name in ("p50", "p90", "p95", "max"):
            columns[name] = float, [getattr(one, name) for one in spreads]
        return frame(columns, kind)

    def __repr__(self) -> str:
        lines = [
            f"{'ms, of ' + str(self.turns) + ' turns':<20}{'n':>6}{'p50':>9}{'p90':>9}{'p95':>9}{'max':>9}"
        ]
        for name, one in self.items():
            figures = "".join(f"{milliseconds(value):>9}" for value in (one.p50, one.p90, one.p95, one.max))
            lines.append(f"{name:<20}{one.n:>6,}{figures}")
        return "\n".join(lines)


class Timeline(Sequence[TurnTimes], Displayable):
    """The times of turns. It does not change when the session goes on.

    Shown in a notebook it is a picture with its tables; of a slice, that of these turns.
    """

    renderer = "rtnb.render.timeline_card:timeline_html"

    def __init__(self, turns: Sequence[TurnTimes], *, whole: bool = False) -> None:
        self._turns = list(turns)
        self.whole = whole
        """Whether it is shown as a session's, even with a single turn."""

    def __len__(self) -> int:
        return len(self._turns)

    @overload
    def __getitem__(self, key: int) -> TurnTimes: ...
    @overload
    def __getitem__(self, key: slice) -> Timeline: ...
    def __getitem__(self, key: int | slice) -> TurnTimes | Timeline:
        if isinstance(key, slice):
            return Timeline(self._turns[key], whole=self.whole)
        return self._turns[key]

    def percentiles(self) -> Percentiles:
        """Return p50, p90, p95 and the maximum of each measure, over the turns that have it."""
        latencies = [turn.latency for turn in self._turns]
        spreads = {
            name: Spread.of([value for one in latencies if (value := getattr(one, name)) is not None])
            for name in MEASURES
        }
        return Percentiles(spreads, len(self._turns))

    def to_frame(self, kind: str = "pandas") -> Any:
        """Return a data frame, a row per turn: see `frame` for the kinds and what is raised.

        ``since`` names the mark from which latency is counted; ``<measure>_ms`` are milliseconds, the marks
        themselves seconds since the log began, ``audio_s`` and ``played_s`` seconds of the answer. What was
        not observed is missing.
        """
        turns, latencies = self._turns, [turn.latency for turn in self._turns]
        columns: dict[str, Column] = {
            "turn": (int, [turn.number for turn in turns]),
            "status": (str, [turn.status for turn in turns]),
            "since": (str, [latency.since or None for latency in latencies]),
        }
        for name in MEASURES:
            columns[f"{name}_ms"] = float, [getattr(latency, name) for latency in latencies]
        for name in MARKS:
            columns[name] = float, [turn.marks.get(name) for turn in turns]
        columns["audio_s"] = float, [turn.seconds or None for turn in turns]
        columns["played_s"] = float, [turn.played for turn in turns]
        return frame(columns, kind)

    def __repr__(self) -> str:
        if not self._turns:
            return "Timeline(no turns)"
        if self.whole:
            return f"Timeline of {len(self)} turn{'' if len(self) == 1 else 's'}\n{self.percentiles()!r}"
        lines = []
        for turn in self._turns:
            lines.append(f"Timeline of turn {turn_number(turn.number)}, {_status(turn)}")
            zero = turn.zero or 0.0
            for name, t in sorted(turn.marks.items(), key=lambda mark: mark[1]):
                lines.append(f"  {milliseconds((t - zero) * 1000):>8} ms  {name:<15}{MARKS[name]}")
        return "\n".join(lines)


def _status(turn: TurnTimes) -> str:
    return plain(clean_text(turn.status.replace("_", " ")))
