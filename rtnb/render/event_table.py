"""The static event log: the first rows by turns, each with its JSON folded; right without a kernel.

Without its style sheet, as in a notebook that is not trusted, it is a list of lines that open.
"""

from __future__ import annotations

import orjson
from htpy import Element, Node, b, code, details, div, i, p, pre, span, summary
from markupsafe import Markup

from ..analysis.event_filter import Selection, Wanted
from ..analysis.event_rows import Rows, failed
from ..analysis.event_text import EventDescriber, EventRow, shown
from ..analysis.events import Events
from ..formatting import clock, duration, turn_number
from ..protocol.audio_formats import AudioFormats
from ..protocol.dialects.names import RESPONSE_END, is_failure
from ..protocol.events import parse_object
from ..redaction import clean, plain
from .html import markup, stylesheet

__all__ = ["ROWS_SHOWN", "events_html", "headline"]

ROWS_SHOWN = 60
"""Rows that a saved notebook keeps: below 100 kB with their JSON."""

_EVENT_CHARACTERS = 1_500
_ALL_CHARACTERS = 45_000


def headline(events: Events) -> list[str]:
    """Return the events in figures: how many, how long, how many bytes, how many errors."""
    counts = events.counts()
    bad = sum(n for name, n in counts.items() if is_failure(name))
    bad += sum(map(failed, events.source.columns_of(events.filter(RESPONSE_END).rows).frames))
    long = events[-1].t - events[0].t if len(events) else 0.0
    figures = [f"{len(events):,} event{'' if len(events) == 1 else 's'}", duration(max(long, 0.0))]
    figures += [f"{events.bytes:,} bytes"]
    return figures + ([f"{bad:,} error{'' if bad == 1 else 's'}"] if bad else [])


def events_html(
    events: Events, *, most: int = ROWS_SHOWN, characters: int = _ALL_CHARACTERS, folded: bool = False
) -> Markup:
    """Return the first rows as static HTML; it says how many more there are and how to get them.

    ``most`` rows are shown, with ``characters`` of JSON in all; ``folded`` closes all turns but the first.
    """
    rows = Rows(events)
    while rows.settled < most and rows.extend(0.0):
        pass
    selection = Selection(rows, Wanted())
    selection.sift()
    formats = AudioFormats(events.source)
    describer, room, shown_events, parts = EventDescriber(rows, formats), characters, 0, 0
    groups: list[tuple[Node, list[Node]]] = []  # each turn's heading and rows; rows before any stand alone
    for line in selection.lines(0, 2 * most):
        if parts >= most or (line.kind == "row" and shown_events >= len(events)):
            break
        parts += 1
        if line.kind == "turn":
            when, text = clock(events[line.event].t), describer.user_text(line.turn)
            groups.append((_heading(line.turn, when, text), []))
            continue
        if not groups:
            groups.append((None, []))
        text = _json(events, line.event, formats, room)
        room -= len(text)
        shown_events += line.count
        groups[-1][1].append(_row(describer.describe(line), text))
    body = (
        details(".rtnb-group", open=not (folded and number))[heading, inner] if heading is not None else inner
        for number, (heading, inner) in enumerate(groups)
    )
    card = div(".rtnb-tokens.rtnb-log", role="group", aria_label=f"Event log, {len(events):,} events")[
        p[b["Event log"], f" · {' · '.join(headline(events))}"],
        body,
        _more(len(events) - shown_events),
    ]
    return markup([stylesheet("event_table.css"), card])


def _heading(turn: int, when: str, text: str) -> Element:
    name = f"Turn {turn_number(turn)}" if turn >= 0 else "Session"
    return summary[name, " ", span(".rtnb-when")[when], text and [" ", i(dir="auto")[text]]]


def _row(row: EventRow, text: str) -> Element:
    often = f" ({row.count:,})" if row.count > 1 else ""
    first = f"{row.count:,} of these; the first:\n" if row.count > 1 else ""
    return details(class_=["rtnb-event", row.failed and "rtnb-bad"])[
        summary[
            code(".rtnb-when")[clock(row.t)],
            " ",
            span(aria_hidden="true")["↑" if row.direction == "client" else "↓"],
            span(".rtnb-sr")[f" {row.direction} "],
            code(".rtnb-type")[plain(row.type) + often],
            " ",
            span(".rtnb-summary", dir="auto")[row.summary],
        ],
        pre[first + text],
    ]


def _json(events: Events, event: int, formats: AudioFormats, room: int) -> str:
    entry = events[event]
    if room <= 0:
        return f"s.log[{entry.index}].data"
    frame = clean(entry.frame)
    value = parse_object(frame)
    text = frame.decode("utf-8", "replace")
    if value:
        try:
            found = shown(value, entry.type, formats.of(entry)).value
            text = orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONEncodeError:
            pass
    text = plain(text)
    if len(text) > _EVENT_CHARACTERS:
        return f"{text[:_EVENT_CHARACTERS]}\n… the whole: s.log[{entry.index}].data"
    return text


def _more(left: int) -> Node:
    if left <= 0:
        return None
    return p(".rtnb-more")[
        f"… and {left:,} more event{'' if left == 1 else 's'}. In Python: ",
        code["s.log[100:200]"],
        ", ",
        code['s.log.filter("error")'],
        ", ",
        code['s.log.find("word")'],
        ", ",
        code["s.log.to_frame()"],
        "; to a file: ",
        code['s.log.to_jsonl("log.jsonl")'],
    ]
