"""A turn's latency to look at: what took how long, from which moment, and by whose clock."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ..formatting import clock, milliseconds
from ..protocol.timing import CLOCKS, MARKS, MEASURES, WORDS, Latency
from ..render.style import TABLES

__all__ = ["CLOCK_MEANINGS", "CLOCK_WORDS", "LatencyView", "marks_html"]

CLOCK_WORDS = {
    "here": "seen here",
    "server": "told by the server",
    "computed": "computed here",
    "player": "counted by the player",
}
"""By whose clock a mark is, in words."""

CLOCK_MEANINGS = {
    "here": "when a frame arrived or left, on our clock",
    "server": "where the server placed it in the sound that was sent, on our clock",
    "computed": "from the sound itself",
    "player": "how much was played, as the server was told",
}
"""What those words mean."""

_ENDS = {
    "detected": "speech_stopped",
    "first_text": "first_text",
    "first_audio": "first_audio",
    "first_sound": "first_sound",
    "total": "done",
    "commit_to_audio": "first_audio",
}
"""At which mark each figure ends."""


class LatencyView(Latency):
    """A latency that a notebook shows as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        since = WORDS[self.since] if self.since else "an unknown moment"
        lines = [f"Latency, in ms from {since}:"]
        for name in MEASURES:
            start = " after committed" if name == "commit_to_audio" else ""
            lines.append(
                f"  {name:<16}{milliseconds(getattr(self, name)):>10}{start}  ({_clocks(self, name)})"
            )
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        since = f"from “{WORDS[self.since]}”: {MARKS[self.since]}" if self.since else "from an unknown moment"
        rows = "".join(
            f'<tr><th scope="row">{escape(name.replace("_", " "))}</th>'
            f'<td class="rtnb-n">{milliseconds(getattr(self, name))}</td>'
            f"<td>{escape(meaning)}</td><td>{escape(_clocks(self, name))}</td></tr>"
            for name, meaning in MEASURES.items()
        )
        head = '<tr><th>latency</th><th class="rtnb-n">ms</th><th>until</th><th>by whose clock</th></tr>'
        return (
            f'{TABLES}<div class="rtnb-table rtnb-framed" role="group" aria-label="Latency">'
            f'<table class="rtnb-stacked"><caption>Milliseconds {escape(since)}.</caption>'
            f"<thead>{head}</thead><tbody>{rows}</tbody></table>"
            f"<details><summary>All {len(self.marks)} marks</summary>"
            f"{marks_html(self.marks, self.since)}</details></div>"
        )


def _clocks(latency: Latency, name: str) -> str:
    """Return by whose clocks a figure's two ends are, in words."""
    if getattr(latency, name) is None:
        return "not observed"
    start = "committed" if name == "commit_to_audio" else latency.since
    start = "speech_end" if name == "detected" else start
    both = dict.fromkeys(CLOCK_WORDS[CLOCKS[mark]] for mark in (start, _ENDS[name]))
    return both.popitem()[0] if len(both) == 1 else "{} → {}".format(*both)


def marks_html(marks: Mapping[str, float], since: str) -> str:
    """Return all marks as a table: when, how long after the end of input, and by whose clock."""
    zero = marks.get(since)
    after = f"ms from {WORDS[since]}" if since else "ms"
    rows = []
    for name, meaning in MARKS.items():
        t = marks.get(name)
        when = "not observed" if t is None else clock(t)
        figure = "" if t is None or zero is None else milliseconds((t - zero) * 1000)
        rows.append(
            f'<tr><th scope="row">{escape(WORDS[name])}</th><td class="rtnb-n">{when}</td>'
            f'<td class="rtnb-n">{figure}</td><td>{escape(meaning)}</td>'
            f"<td>{CLOCK_WORDS[CLOCKS[name]] if t is not None else ''}</td></tr>"
        )
    head = f"<tr><th>mark</th><th>since the session began</th><th>{after}</th>"
    head += "<th>meaning</th><th>by whose clock</th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="rtnb-wide">{table}</div>'
