"""The timeline of a turn or a session: a picture, a table, percentiles, a data frame; all static."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any, overload

import numpy as np

from ..formatting import milliseconds
from ..protocol.state import TIME_SCALED
from ..protocol.timing import MARKS, MEASURES, WORDS
from ..render.session_timeline_svg import FOLD, bars_svg, scales, seen, strip_svg
from ..render.style import INK, SCROLLED, TABLES, sheet
from ..render.svg import legend, still
from ..render.turn_timeline_svg import turn_svg
from .dataframe import Column, frame
from .latency import marks_html
from .spans import KINDS, TurnTimes

__all__ = ["TIMELINE_STYLE", "Percentiles", "Spread", "Timeline"]

_RULES = f"""
.rtnb-timeline .rtnb-picture{{{SCROLLED}}}
.rtnb-timeline svg,.rtnb-timeline .rtnb-frame img{{display:block;width:100%;max-width:812px;min-width:600px;
height:auto;margin:0}}
.rtnb-timeline .rtnb-frame{{position:relative;width:100%;max-width:812px;min-width:600px}}
.rtnb-timeline .rtnb-spot{{position:absolute}}
.rtnb-timeline .rtnb-faint{{opacity:.72}}
.rtnb-timeline svg a{{cursor:pointer;color:inherit}}
.rtnb-timeline svg a:hover text{{text-decoration:underline}}
.rtnb-timeline.rtnb-timeline .rtnb-what{{margin:3px 0}}
.rtnb-timeline .rtnb-what small{{font-size:.88em;color:var(--rtnb-soft)}}
.rtnb-timeline.rtnb-timeline ul.rtnb-legend{{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;
margin:4px 0 6px;padding:0;color:var(--rtnb-soft);font-size:.88em}}
.rtnb-timeline.rtnb-timeline .rtnb-legend li{{margin:0;display:flex;align-items:center;gap:6px}}
.rtnb-timeline.rtnb-timeline .rtnb-legend img{{margin:0;max-width:none}}
.rtnb-timeline details{{margin:2px 0}}
"""

TIMELINE_STYLE = sheet(_RULES) + TABLES
"""``<style>`` elements of all that a timeline shows."""

_OPEN = '<div class="rtnb-timeline rtnb-table rtnb-framed"'

_TABLE_TURNS = 400
"""Turns whose marks are put into the page; of more, the data frame tells."""


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


class Percentiles(Mapping[str, Spread]):
    """The spread of each measure of latency; see ``rtnb.protocol.timing.MEASURES`` for what each means."""

    def __init__(self, spreads: Mapping[str, Spread], turns: int) -> None:
        self._spreads = dict(spreads)
        self.turns = turns
        """Of how many turns in all; not each has each measure."""

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

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        frame = '<div class="rtnb-table rtnb-framed" role="group" aria-label="Percentiles">'
        return {"text/plain": repr(self), "text/html": f"{TABLES}{frame}{self.table()}</div>"}

    def table(self) -> str:
        """Return the table alone, as HTML."""
        rows = "".join(
            f'<tr><th scope="row">{escape(name.replace("_", " "))}</th><td class="rtnb-n">{one.n:,}</td>'
            f"{_figures(one)}<td>{escape(MEASURES[name])}</td></tr>"
            for name, one in self.items()
        )
        head = '<tr><th>latency</th><th class="rtnb-n">turns</th>'
        head += "".join(f'<th class="rtnb-n">{name}</th>' for name in ("p50", "p90", "p95", "max"))
        return (
            f'<table class="rtnb-stacked rtnb-spread"><caption>Milliseconds, over {self.turns:,} turns; '
            f"of each measure, those that have it.</caption><thead>{head}<th>until</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


class Timeline(Sequence[TurnTimes]):
    """The turns as they lay in time, as they were known when this was made."""

    def __init__(self, turns: Sequence[TurnTimes], *, whole: bool = False) -> None:
        self._turns = list(turns)
        self._whole = whole  # a session's, though that may have a single turn

    def __len__(self) -> int:
        return len(self._turns)

    @overload
    def __getitem__(self, key: int) -> TurnTimes: ...
    @overload
    def __getitem__(self, key: slice) -> Timeline: ...
    def __getitem__(self, key: int | slice) -> TurnTimes | Timeline:
        if isinstance(key, slice):
            return Timeline(self._turns[key], whole=self._whole)
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
        themselves seconds since the log began, ``audio_s`` and ``heard_s`` seconds of the answer. What was
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
        columns["heard_s"] = float, [turn.heard for turn in turns]
        return frame(columns, kind)

    def __repr__(self) -> str:
        if not self._turns:
            return "Timeline(no turns)"
        if self._whole:
            return f"Timeline of {len(self)} turn{'' if len(self) == 1 else 's'}\n{self.percentiles()!r}"
        lines = []
        for turn in self._turns:
            lines.append(f"Timeline of turn {turn.number}, {turn.status.replace('_', ' ')}")
            zero = turn.zero or 0.0
            for name, t in sorted(turn.marks.items(), key=lambda mark: mark[1]):
                lines.append(f"  {milliseconds((t - zero) * 1000):>8} ms  {name:<15}{MARKS[name]}")
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": TIMELINE_STYLE + self.html(as_images=True)}

    def html(self, *, as_images: bool = False, link: Callable[[TurnTimes], str] | None = None) -> str:
        """Return the timeline as HTML without its style sheet.

        With ``as_images`` each picture is an ``<img>``, which a notebook keeps where it is not trusted; else
        it is drawn in the page, in its ink, and ``link`` may give the address that a turn leads to.
        """
        if not self._turns:
            return f'{_OPEN}><p class="rtnb-what">No turns yet.</p></div>'
        single = len(self._turns) == 1 and not self._whole
        inner = _turn(self._turns[0], as_images) if single else self._session(as_images, link)
        label = "Timeline of a turn" if single else "Timeline of the session"
        if any(turn.time_scaled for turn in self._turns):
            inner = f'<p class="rtnb-what"><strong>{TIME_SCALED}</strong></p>{inner}'
        return f'{_OPEN} role="group" aria-label="{label}">{inner}</div>'

    def _session(self, as_images: bool, link: Callable[[TurnTimes], str] | None) -> str:
        turns = self._turns
        kinds = seen(turns)
        strip = _picture(partial(strip_svg, turns, link), "The whole session in time", as_images)
        room = scales(turns)
        pieces = []
        for start in range(0, len(turns), FOLD):
            some = turns[start : start + FOLD]
            drawn = _picture(partial(bars_svg, some, room, link), "A row per turn", as_images)
            if len(turns) > FOLD:
                first = " open" if not start else ""
                named = f"Turns {some[0].number} to {some[-1].number}{_middle(some)}"
                drawn = f"<details{first}><summary>{named}</summary>{drawn}</details>"
            pieces.append(drawn)
        order = [(kind, words) for kind, words in KINDS.items() if kind in kinds]
        table = f"<details><summary>All marks of all turns</summary>{self._table()}</details>"
        return f"{strip}{legend(order)}{''.join(pieces)}{self.percentiles().table()}{_honest(kinds)}{table}"

    def _table(self) -> str:
        seen = [name for name in MARKS if any(name in turn.marks for turn in self._turns)]
        head = "".join(
            f'<th class="rtnb-n" title="{escape(MARKS[name])}">{WORDS[name]}</th>' for name in seen
        )
        rows = []
        for turn in self._turns[:_TABLE_TURNS]:
            zero = turn.zero
            cells = "".join(
                f'<td class="rtnb-n">{milliseconds((turn.marks[name] - zero) * 1000)}</td>'
                if name in turn.marks and zero is not None
                else '<td class="rtnb-n">unknown</td>'
                for name in seen
            )
            at = "unknown" if zero is None else f"{zero:,.3f}"
            rows.append(f'<tr><th scope="row">{turn.number}</th><td class="rtnb-n">{at}</td>{cells}</tr>')
        rest = len(self._turns) - _TABLE_TURNS
        more = (
            f"<p>… and {rest:,} more turns: <code>s.timeline.to_frame()</code> has all.</p>"
            if rest > 0
            else ""
        )
        return (
            '<div class="rtnb-wide"><table><caption>Milliseconds from each turn\'s end of input, which is '
            "itself in seconds since the session began.</caption><thead><tr><th>turn</th>"
            f'<th class="rtnb-n">end of input</th>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>{more}"
        )


def _figures(spread: Spread) -> str:
    if not spread.n:
        return '<td class="rtnb-n" colspan="4">unknown</td>'
    figures = (spread.p50, spread.p90, spread.p95, spread.max)
    return "".join(f'<td class="rtnb-n">{milliseconds(value)}</td>' for value in figures)


def _turn(times: TurnTimes, as_images: bool) -> str:
    picture = _picture(partial(turn_svg, times), "The turn in time", as_images)
    spans = times.spans()
    kinds = {span.kind for span in spans}
    notes = dict.fromkeys(f"{KINDS[s.kind]}: {s.note}." for s in spans if s.lane == "user" and s.note)
    since = times.latency.since
    zero = (
        f"0 is the mark “{WORDS[since]}”: {MARKS[since]}. Marks are in milliseconds from it." if since else ""
    )
    what = " ".join(filter(None, (zero, *notes)))
    order = [(kind, words) for kind, words in KINDS.items() if kind in kinds]
    count = len(times.marks)
    table = f"<details><summary>All {count} marks</summary>{marks_html(times.marks, since)}</details>"
    if not picture:
        return f'<p class="rtnb-what">Nothing of this turn was observed.</p>{table}'
    note = f'<p class="rtnb-what"><small>{escape(what)}</small></p>'
    return f"{picture}{legend(order)}{note}{_honest(kinds)}{table}"


def _honest(kinds: set[str]) -> str:
    """Return the word on what no log can tell."""
    if "speaking" not in kinds:
        return ""
    return (
        '<p class="rtnb-what"><small>The answer is drawn as if played from its first audio on: what a page '
        "played is in no frame, but where it was cut, how much had been heard is.</small></p>"
    )


def _picture(draw: Callable[[str], str], alt: str, as_image: bool) -> str:
    """Return a drawing in the page's ink, or as an image in an ink that can be read on any page."""
    drawn = still(draw(INK), alt) if as_image else draw("currentColor")
    return f'<div class="rtnb-picture">{drawn}</div>' if drawn else ""


def _middle(turns: Sequence[TurnTimes]) -> str:
    sounds = [sound for turn in turns if (sound := turn.latency.first_sound) is not None]
    return f": first sound after {milliseconds(Spread.of(sounds).p50)} ms (median)" if sounds else ""
