"""The static card of a timeline: pictures, a legend, percentiles, and tables of marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from htpy import (
    Element,
    Fragment,
    Node,
    caption,
    code,
    details,
    div,
    fragment,
    p,
    small,
    strong,
    summary,
    table,
    tbody,
    td,
    th,
    thead,
    tr,
)
from markupsafe import Markup

from ..analysis.spans import KINDS, TurnTimes
from ..analysis.timeline import Percentiles, Spread, Timeline
from ..formatting import milliseconds, turn_number
from ..protocol.state import TIME_SCALED
from ..protocol.timing import MARKS, MEASURES, WORDS
from .html import markup, stylesheet
from .latency_card import marks_details
from .session_timeline_svg import COMPACT, Link, bars_svg, fold, scales, seen, strip_svg
from .svg import legend
from .turn_timeline_svg import turn_svg

__all__ = ["percentiles_html", "timeline_html", "timeline_section"]

_SHEETS = ("table.css", "picture.css", "timeline.css")
_FRAME = ".rtnb-tokens.rtnb-table.rtnb-framed"

_MOST_ROWS, _MOST_SAVED = 400, 50
"""Turns in the table of marks: of a page, and of what a notebook saves. The data frame has all."""


def timeline_html(timeline: Timeline) -> Markup:
    """Return a timeline as static HTML with its style sheet.

    Each picture is an image, which a notebook keeps where it is not trusted.
    """
    return markup([stylesheet(*_SHEETS), _card(timeline, None, as_image=True)])


def timeline_section(timeline: Timeline, link: Link | None = None) -> Markup:
    """Return a timeline as a part of a page that has table.css, picture.css and timeline.css.

    It is drawn in the page's own ink; ``link`` gives the address that a turn leads to.
    """
    return Markup(_card(timeline, link, as_image=False))


def percentiles_html(percentiles: Percentiles) -> Markup:
    """Return the spread of all measures as static HTML."""
    card = div(_FRAME, role="group", aria_label="Percentiles")[_spreads(percentiles)]
    return markup([stylesheet("table.css"), card])


def _card(timeline: Timeline, link: Link | None, *, as_image: bool) -> Element:
    turns = list(timeline)
    if not turns:
        return div(f"{_FRAME}.rtnb-timeline")[p(".rtnb-what")["No turns yet."]]
    single = len(turns) == 1 and not timeline.whole
    label = "Timeline of a turn" if single else "Timeline of the session"
    scaled = p(".rtnb-what")[strong[TIME_SCALED]] if any(turn.time_scaled for turn in turns) else None
    inner = _turn(turns[0], as_image) if single else _session(timeline, link, as_image)
    return div(f"{_FRAME}.rtnb-timeline", role="group", aria_label=label)[scaled, inner]


def _turn(times: TurnTimes, as_image: bool) -> Fragment:
    since = times.latency.since
    marks = marks_details(times.marks, since)
    picture = turn_svg(times, as_image=as_image)
    if not picture:
        return fragment[p(".rtnb-what")["Nothing of this turn was observed."], marks]
    spans = times.drawn.spans()
    zero = f"0 is the mark “{WORDS[since]}”: {MARKS[since]}. Marks are in ms from it." if since else ""
    notes = dict.fromkeys(f"{KINDS[s.kind]}: {s.note}." for s in spans if s.lane == "user" and s.note)
    kinds = {span.kind for span in spans}
    return fragment[
        _picture(picture),
        _legend(kinds),
        _note(" ".join(filter(None, (zero, *notes)))),
        _playback(kinds),
        marks,
    ]


def _session(timeline: Timeline, link: Link | None, as_image: bool) -> Fragment:
    turns = list(timeline)
    kinds = seen(turns)
    compact = as_image and len(turns) > COMPACT
    room, step = scales(turns), fold(len(turns))
    pictures: list[Node] = []
    for start in range(0, len(turns), step):
        some = turns[start : start + step]
        picture = _picture(bars_svg(some, room, link, as_image=as_image, compact=compact))
        if len(turns) > step:
            name = f"Turns {turn_number(some[0].number)} to {turn_number(some[-1].number)}{_median(some)}"
            picture = details(open=not start)[summary[name], picture]
        pictures.append(picture)
    return fragment[
        _picture(strip_svg(turns, link, as_image=as_image)),
        _legend(kinds),
        pictures,
        _spreads(timeline.percentiles()),
        _playback(kinds),
        _marks(turns, _MOST_SAVED if as_image else _MOST_ROWS),
    ]


def _picture(drawn: Markup) -> Node:
    return div(".rtnb-picture.rtnb-scrolled")[drawn] if drawn else None


def _legend(kinds: set[str]) -> Element:
    return legend((kind, words) for kind, words in KINDS.items() if kind in kinds)


def _note(text: str) -> Element:
    return p(".rtnb-what")[small[text]]


def _playback(kinds: set[str]) -> Node:
    """Return a note on what no log has: what a page played."""
    if "speaking" not in kinds:
        return None
    return _note(
        "Audio is drawn where a listener would have placed it: audio that was sent faster than real time at "
        "its own length, an answer from its first audio on, and the next turn after it, unless it was cut. "
        "How much was played is known only where the answer was cut. The tables have the times of the frames."
    )


def _median(turns: Sequence[TurnTimes]) -> str:
    values = [value for turn in turns if (value := turn.latency.first_sound) is not None]
    return f": first sound after {milliseconds(Spread.of(values).p50)} ms (median)" if values else ""


def _spreads(percentiles: Percentiles) -> Element:
    names = ("p50", "p90", "p95", "max")
    rows = (
        tr[
            th(scope="row")[name.replace("_", " ")],
            td(".rtnb-n")[f"{one.n:,}"],
            (td(".rtnb-n")[milliseconds(getattr(one, figure))] for figure in names)
            if one.n
            else td(".rtnb-n", colspan="4")["unknown"],
            td[MEASURES[name]],
        ]
        for name, one in percentiles.items()
    )
    count = f"{percentiles.turns:,} turn{'' if percentiles.turns == 1 else 's'}"
    return table(".rtnb-stacked.rtnb-spread")[
        caption[f"Milliseconds over {count}; a measure counts the turns that have it."],
        thead[
            tr[th["latency"], th(".rtnb-n")["turns"], (th(".rtnb-n")[name] for name in names), th["until"]]
        ],
        tbody[rows],
    ]


def _marks(turns: Sequence[TurnTimes], most: int) -> Element:
    names = [name for name in MARKS if any(name in turn.marks for turn in turns)]
    left = len(turns) - most
    more = None
    if left > 0:
        more = p[f"… and {left:,} more turns: ", code["s.timeline.to_frame()"], " has all."]
    head = tr[
        th["turn"],
        th(".rtnb-n")["end of input"],
        (th(".rtnb-n", title=MARKS[name])[WORDS[name]] for name in names),
    ]
    about = "Milliseconds from each turn's end of input, which is itself in seconds since the session began."
    rows = (_marks_row(turn, names) for turn in turns[:most])
    return details[
        summary["All marks of all turns" if more is None else f"All marks of the first {most} turns"],
        div(".rtnb-scrolled")[table[caption[about], thead[head], tbody[rows]]],
        more,
    ]


def _marks_row(turn: TurnTimes, names: Iterable[str]) -> Element:
    zero, marks = turn.zero, turn.marks
    figures = [
        "unknown" if name not in marks or zero is None else milliseconds((marks[name] - zero) * 1000)
        for name in names
    ]
    at = "unknown" if zero is None else f"{zero:,.3f}"
    return tr[th(scope="row")[turn_number(turn.number)], (td(".rtnb-n")[text] for text in (at, *figures))]
