"""The static event log: the first rows by turns, each with its JSON folded away; right without a kernel.

Without its style sheet, as in a notebook that is not trusted, it is a list of lines that open.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import orjson

from ..analysis.event_codecs import Formats
from ..analysis.event_filter import Selection, Wanted
from ..analysis.event_rows import Rows, failed
from ..analysis.event_text import Teller, Told, data_of, shown
from ..formatting import clock, duration
from ..redaction import clean
from .style import sheet

if TYPE_CHECKING:
    from ..analysis.events import Events

__all__ = ["ROWS_SHOWN", "events_html", "headline"]

ROWS_SHOWN = 60
"""Rows that a saved notebook keeps: below 100 kB with their JSON."""

_JSON_LETTERS = 1_500
_ALL_LETTERS = 45_000
_RULES = """
.rtnb-log{--rtnb-line:var(--jp-border-color2,rgba(128,128,128,.4));
--rtnb-soft:var(--jp-ui-font-color2,#767676);--rtnb-bad:var(--jp-error-color1,#d8433c);
box-sizing:border-box;max-width:70em;margin:2px 0 6px;border:1px solid var(--rtnb-line);border-radius:6px;
overflow:hidden;background:var(--jp-layout-color1,Canvas);color:var(--jp-content-font-color1,inherit);
font-family:var(--jp-content-font-family,system-ui,sans-serif);
font-size:var(--jp-ui-font-size1,13px);line-height:1.5}
.rtnb-log *{box-sizing:border-box}
.rtnb-log>p{margin:0;padding:7px 12px;color:var(--rtnb-soft)}
.rtnb-log>p b{color:var(--jp-content-font-color1,inherit)}
.rtnb-log summary{cursor:pointer}
.rtnb-log details.rtnb-group>summary{padding:3px 12px;font-weight:600;
border-top:1px solid var(--rtnb-line);background:rgba(128,128,128,.08)}
.rtnb-log .rtnb-row{border-top:1px solid rgba(128,128,128,.14)}
.rtnb-log .rtnb-row>summary{display:flex;flex-wrap:wrap;gap:0 10px;padding:1px 12px;list-style:none}
.rtnb-log .rtnb-row>summary::-webkit-details-marker{display:none}
.rtnb-log .rtnb-row>summary:hover{background:rgba(128,128,128,.1)}
.rtnb-log.rtnb-log code{padding:0;background:none;color:inherit;
font-family:var(--jp-code-font-family,ui-monospace,monospace);font-size:.94em}
.rtnb-log .rtnb-group>summary i{font-weight:400}
.rtnb-log .rtnb-when{font-weight:400;color:var(--rtnb-soft);font-variant-numeric:tabular-nums}
.rtnb-log .rtnb-what{overflow-wrap:anywhere}
.rtnb-log .rtnb-said{flex:1 1 9em;min-width:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;
color:var(--rtnb-soft)}
.rtnb-log .rtnb-bad,.rtnb-log .rtnb-bad .rtnb-said{color:var(--rtnb-bad)}
.rtnb-log pre{margin:2px 12px 8px;padding:6px 10px;max-height:22em;overflow:auto;white-space:pre-wrap;
overflow-wrap:anywhere;border-left:2px solid var(--rtnb-line);background:none;color:inherit;
font-family:var(--jp-code-font-family,ui-monospace,monospace);font-size:.92em;line-height:1.45}
.rtnb-log>p.rtnb-more{border-top:1px solid var(--rtnb-line)}
.rtnb-log .rtnb-sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
"""
_STYLE = sheet(_RULES)


def headline(events: Events) -> list[str]:
    """Return what the events come to, in a few words each."""
    counts = events.counts()
    bad = sum(n for name, n in counts.items() if name == "error" or name.endswith(".failed"))
    bad += sum(map(failed, events.source.look(events.filter("response.done").rows).frames))
    long = events[-1].t - events[0].t if len(events) else 0.0
    words = [f"{len(events):,} event{'' if len(events) == 1 else 's'}", duration(max(long, 0.0))]
    words += [f"{events.bytes:,} bytes"]
    return words + ([f"{bad:,} error{'' if bad == 1 else 's'}"] if bad else [])


def events_html(
    events: Events, *, most: int = ROWS_SHOWN, letters: int = _ALL_LETTERS, folded: bool = False
) -> str:
    """Return the first rows as static HTML; of more it says how many there are and how to get them.

    ``most`` rows are shown, with ``letters`` of JSON in all; ``folded`` closes all turns but the first.
    """
    rows = Rows(events)
    while rows.settled < most and rows.extend(0.0):
        pass
    seen = Selection(rows, Wanted())
    seen.sift()
    formats = Formats(events.source)
    teller, room, shown_events = Teller(rows, formats), letters, 0
    parts: list[str] = []
    opened = False
    for line in seen.lines(0, 2 * most):
        if line.kind == "turn":
            if len(parts) >= most:
                break
            when, said = clock(events[line.event].t), teller.asked(line.turn)
            heading = _heading(line.turn, when, said, opened=not (folded and opened))
            parts.append(("</details>" if opened else "") + heading)
            opened = True
            continue
        if shown_events >= len(events) or len(parts) >= most:
            break
        told = teller.tell(line)
        text = _json(events, line.event, formats, room)
        room -= len(text)
        shown_events += line.count
        parts.append(_row(told, text))
    head = f"<p><b>Event log</b> · {escape(' · '.join(headline(events)))}</p>"
    body = "".join(parts) + ("</details>" if opened else "")
    label = f"Event log, {len(events):,} events"
    return (
        f'{_STYLE}<div class="rtnb-log" role="group" aria-label="{label}">{head}{body}'
        f"{_more(len(events) - shown_events)}</div>"
    )


def _heading(turn: int, when: str, said: str, *, opened: bool) -> str:
    name = f"Turn {turn}" if turn >= 0 else "Session"
    state = " open" if opened else ""
    words = f' <i dir="auto">{escape(said)}</i>' if said else ""
    when = f'<span class="rtnb-when">{when}</span>'
    return f'<details class="rtnb-group"{state}><summary>{name} {when}{words}</summary>'


def _row(told: Told, text: str) -> str:
    arrow = "↑" if told.direction == "client" else "↓"
    often = f" ({told.count:,})" if told.count > 1 else ""
    bad = " rtnb-bad" if told.bad else ""
    first = f"{told.count:,} of these; the first:\n" if told.count > 1 else ""
    return (
        f'<details class="rtnb-row{bad}"><summary><code class="rtnb-when">{clock(told.t)}</code> '
        f'<span aria-hidden="true">{arrow}</span><span class="rtnb-sr"> {told.direction} </span>'
        f'<code class="rtnb-what">{escape(told.type)}{often}</code> '
        f'<span class="rtnb-said" dir="auto">{escape(told.words)}</span></summary>'
        f"<pre>{escape(first + text)}</pre></details>"
    )


def _json(events: Events, event: int, formats: Formats, room: int) -> str:
    entry = events[event]
    if room <= 0:
        return f"s.log[{entry.index}].data"
    frame = clean(entry.frame)
    value = data_of(frame)
    if not value:
        text = frame.decode("utf-8", "replace")
    else:
        codec = formats.of(entry)
        try:
            found = shown(value, entry.type, codec).value
            text = orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONEncodeError:
            text = frame.decode("utf-8", "replace")
    if len(text) > _JSON_LETTERS:
        return f"{text[:_JSON_LETTERS]}\n… the whole: s.log[{entry.index}].data"
    return text


def _more(left: int) -> str:
    if left <= 0:
        return ""
    return (
        f'<p class="rtnb-more">… and {left:,} more event{"" if left == 1 else "s"}. In Python: '
        "<code>s.log[100:200]</code>, <code>s.log.filter(&quot;error&quot;)</code>, "
        "<code>s.log.find(&quot;word&quot;)</code>, <code>s.log.to_frame()</code>; "
        "to a file: <code>s.log.to_jsonl(&quot;log.jsonl&quot;)</code></p>"
    )
