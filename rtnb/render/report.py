"""A session as one page that needs nothing else: no network, no kernel, no script.

Everything that a model, a user or a service wrote is escaped, and keys are made unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any

import orjson

from ..analysis import labels
from ..analysis.latency import CLOCK_MEANINGS, CLOCK_WORDS
from ..analysis.provenance import Provenance
from ..analysis.session import SessionView
from ..analysis.spans import TurnTimes
from ..analysis.timeline import TIMELINE_STYLE, Timeline
from ..analysis.turn import TurnView
from ..audio import Clip
from ..formatting import clock, duration, milliseconds
from ..protocol.events import as_object
from ..protocol.usage import Cost
from ..redaction import clean, clean_html
from .audio_player import opus, waveform_html
from .event_table import events_html
from .html import data_uri
from .report_style import CSS, POLICY, SCRIPT
from .style import STYLE
from .turn_card import card_html

__all__ = ["Report", "Sound"]

_PARTS = (
    ("timeline", "Timeline"),
    ("turns", "Turns"),
    ("transcript", "Transcript"),
    ("usage", "Tokens and money"),
    ("session", "Session"),
    ("provenance", "Provenance"),
    ("log", "Event log"),
)
_ROWS = 2000
_LETTERS = 1_500_000
"""Of the event log, what is in the page: rows, and letters of JSON. Most sessions have fewer."""
_LEAD = re.compile("\0(\\d+)\0")


@dataclass(slots=True)
class Sound:
    """What becomes of the sound: Opus within the page, up to ``most`` bytes of the page in all.

    ``most`` 0 keeps none; the pictures stay. The sound stands apart from the page until the end, so that
    the page can be searched for keys without it.
    """

    most: int
    used: int = 0
    kept: float = 0.0
    """Seconds of sound in the page."""
    left_out: float = 0.0
    """Seconds of sound that are not."""
    pieces: list[str] = field(default_factory=list)

    def sound(self, clip: Clip, width: int, what: str, write: str, heard: float | None = None) -> str:
        """Return a clip's picture and its player, or a sentence where the page has no room for the sound."""
        if not len(clip.samples):
            return ""
        picture = waveform_html(clip.samples, clip.rate, width=width, height=48, heard_seconds=heard)
        long = duration(clip.seconds)
        source = data_uri(opus(clip.samples, clip.rate), "audio/ogg") if self.used < self.most else ""
        if not source or self.used + len(source) > self.most:
            self.left_out += clip.seconds
            why = (
                "This page holds no sound" if not self.most else "Not in this page, which has a limit of size"
            )
            player = f'<p class="rtnb-none">{long} of sound. {why}; the recording has it.</p>'
            return f'<div class="rtnb-sound">{picture}{player}</div>'
        self.used += len(source)
        self.kept += clip.seconds
        self.pieces.append(source)
        player = (
            f'<audio controls preload="metadata" src="\0{len(self.pieces) - 1}\0" '
            f'aria-label="{escape(f"Play {what}, {long}")}"></audio>'
        )
        return f'<div class="rtnb-sound">{picture}{player}</div>'

    @property
    def said(self) -> str:
        """What was kept, as a sentence."""
        limit = f"the limit is {self.most / 1e6:g} MB"
        if not self.most:
            return "Sound is not in this page, as was asked; the recording has it."
        if not self.kept and not self.left_out:
            return "The session has no sound."
        if not self.left_out:
            return f"All sound is in this page: {duration(self.kept)}, as Opus ({limit})."
        return (
            f"Of the sound, {duration(self.kept)} are in this page as Opus, and "
            f"{duration(self.left_out)} are not: {limit}. The recording has all of it."
        )


class _Turn(TurnView):
    """A turn whose card does not say where it comes from: the page says it once."""

    @property
    def origin(self) -> str:
        return ""


class Report:
    """Makes the page. ``progress`` is given the turns and yields them again, as tqdm does."""

    def __init__(
        self,
        view: SessionView,
        provenance: Provenance,
        *,
        title: str = "",
        sound: Sound,
        progress: Callable[[Iterable[TurnView]], Iterable[TurnView]] = iter,
    ) -> None:
        self.view = view
        self.provenance = provenance
        self.sound = sound
        self.progress = progress
        state = view.state
        folds = state.turns.all
        self.turns = [_Turn(state, fold, billed=view.billed, engine=view.engine) for fold in folds]
        self.title = title or f"A conversation with {view.model or 'an unnamed model'}"

    def html(self) -> str:
        """Return the page."""
        timeline = Timeline([TurnTimes.of(turn) for turn in self.turns], whole=True)
        turns = self._turns()
        sections = {
            "timeline": timeline.html(link=lambda turn: f"#turn-{turn.number}"),
            "turns": turns,
            "transcript": self._transcript(),
            "usage": self._usage(),
            "session": self._session(),
            "provenance": self._provenance(),
            "log": events_html(self.view.log, most=_ROWS, letters=_LETTERS, folded=True),
        }
        main = "".join(
            f'<section id="{id}" aria-labelledby="{id}-head"><h2 id="{id}-head">{head}</h2>'
            f"{sections[id]}</section>"
            for id, head in _PARTS
        )
        body = (
            '<a class="skip" href="#main">To the content</a><div class="page">'
            f"{self._top(timeline)}{self._toc()}"
            f'<main id="main">{main}</main>{self._foot()}</div>'
        )
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="referrer" content="no-referrer">'
            '<meta name="generator" content="rtnb">'
            f"<title>{clean_html(escape(self.title))}</title>{STYLE}{TIMELINE_STYLE}<style>{CSS}</style></head>"
            f"<body>{clean_html(body)}<script>{SCRIPT}</script></body></html>\n"
        )
        return _LEAD.sub(lambda found: self.sound.pieces[int(found[1])], page)

    def _top(self, timeline: Timeline) -> str:
        view, log = self.view, self.view.state.log
        seconds = log[len(log) - 1].t if len(log) else 0.0
        made = dict(self.provenance.facts)["recorded"]
        sub = f"Recorded {made} · {self.provenance.header.get('where') or view.endpoint}"
        notes = ""
        if self.provenance.honest:
            notes += f'<p class="note">{escape(self.provenance.honest)}</p>'
        if self.provenance.problem:
            notes += f'<p class="note bad"><strong>The file:</strong> {escape(self.provenance.problem)}.</p>'
        median = timeline.percentiles()["first_sound"]
        used, time_scaled = view.usage, view.state.time_scaled
        untold = f"; of {used.unknown:,} responses unknown" if used.known and used.unknown else ""
        figures = [
            (f"{len(self.turns):,}", "turn" if len(self.turns) == 1 else "turns"),
            (duration(seconds), "first frame to last"),
            (
                "unknown" if median.p50 is None or time_scaled else f"{milliseconds(median.p50)} ms",
                f"to first sound, median of {median.n:,}",
            ),
            (f"{used.total_tokens:,}" if used.known else "unknown", f"tokens{untold}"),
            (
                _money(used.cost) if used.known else "unknown",
                ("at published prices" if view.billed else "would have been the price; not billed") + untold,
            ),
            (f"{len(log):,}", "events"),
        ]
        shown = "".join(
            f"<li><b>{escape(value)}</b><span>{escape(name)}</span></li>" for value, name in figures
        )
        return (
            f'<header class="top"><h1>{escape(self.title)}</h1><p class="sub">{escape(sub)}</p>{notes}'
            f'<ul class="figures" aria-label="Key figures">{shown}</ul></header>'
        )

    def _toc(self) -> str:
        items = []
        for id, head in _PARTS:
            inner = ""
            if id == "turns" and len(self.turns) <= 400:
                links = (
                    f'<li><a href="#turn-{turn.number}"{_bad(turn)}>{turn.number}'
                    f"{'' if turn.status == 'completed' else ' ' + _plain(turn.status)}</a></li>"
                    for turn in self.turns
                )
                inner = f"<ul>{''.join(links)}</ul>"
            items.append(f'<li><a href="#{id}">{head}</a>{inner}</li>')
        return f'<nav class="toc" aria-label="Contents"><h2>Contents</h2><ul>{"".join(items)}</ul></nav>'

    def _turns(self) -> str:
        if not self.turns:
            return '<p class="lede">No turn was taken.</p>'
        cards = []
        for turn in self.progress(self.turns):
            began = min(turn.marks.values(), default=None)
            at = "at an unknown time" if began is None else f"at {clock(began)}"
            status = f"<span{_bad(turn)}>{_plain(turn.status)}</span>"
            marks = Timeline([TurnTimes.of(turn)]).html()
            cards.append(
                f'<article class="turn" id="turn-{turn.number}"><h3>Turn {turn.number} '
                f"<small>{status} · {at}</small></h3>{card_html(turn, self.sound, notes=False)}"
                f"<details><summary>Timeline of the turn</summary>{marks}</details></article>"
            )
        return f'<p class="lede">{self.sound.said}</p>{"".join(cards)}'

    def _transcript(self) -> str:
        rows = []
        for turn in self.turns:
            marks = turn.marks
            begins = [marks[name] for name in ("speech_begin", "input", "requested") if name in marks]
            answers = [marks[name] for name in ("first_text", "first_audio") if name in marks]
            given = turn.input
            if given.text or given.audio is not None:
                said = escape(given.text) if given.text else "<em>speech without a transcript</em>"
                rows.append(_line(turn, min(begins, default=None), "You", said))
            for call in turn.calls:
                gave = "" if call.output is None else f" → {call.output}"
                said = f"<code>{escape(f'{call.name}({call.arguments}){gave}')}</code>"
                rows.append(_line(turn, None, "Call", said))
            if turn.text_so_far:
                rows.append(_line(turn, min(answers, default=None), "Assistant", escape(turn.text_so_far)))
            ending = labels.ending(turn, drawn=False)
            if ending:
                rows.append(_line(turn, None, "", f"<em>{escape(ending)}</em>"))
        if not rows:
            return '<p class="lede">Nothing was said or written.</p>'
        return f'<dl class="transcript">{"".join(rows)}</dl>'

    def _usage(self) -> str:
        return str(self.view.usage._repr_mimebundle_()["text/html"])

    def _session(self) -> str:
        session = self.view.state.session
        if not session:
            return '<p class="lede">The server never told its configuration: unknown.</p>'
        rows = "".join(
            f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in _settings(session)
        )
        whole = clean(orjson.dumps(session, option=orjson.OPT_INDENT_2)).decode("utf-8", "replace")
        return (
            '<p class="lede">As the server told it last.</p>'
            f'<div class="report-table"><table><tbody>{rows}</tbody></table></div>'
            f"<details><summary>The whole configuration as JSON</summary><pre>{escape(whole)}</pre></details>"
        )

    def _provenance(self) -> str:
        clocks = "".join(
            f"<li><b>{escape(said)}</b>: {escape(CLOCK_MEANINGS[clock])}</li>"
            for clock, said in CLOCK_WORDS.items()
        )
        return (
            f'<div class="report-table">{self.provenance.table()}</div>'
            "<details><summary>How to read the times</summary>"
            "<p>Moments are counted from the first frame on. Each mark says by whose clock it is:</p>"
            f"<ul>{clocks}</ul>"
            "<p>What was not observed is unknown, and nothing is guessed in its place.</p></details>"
        )

    def _foot(self) -> str:
        name = self.provenance.file or "the saved session"
        return (
            f"<footer>Made from {escape(name)} by <code>rtnb report</code>. This page holds all that it "
            f"shows; it asks nothing of any network. {self.provenance.foot()}</footer>"
        )


def _bad(turn: TurnView) -> str:
    return ' class="bad"' if turn.status in ("failed", "interrupted") else ""


def _plain(status: str) -> str:
    return escape(status.replace("_", " "))


def _money(cost: Cost | None) -> str:
    return "unpriced" if cost is None else labels.dollars(cost) if cost else "$0"


def _line(turn: TurnView, t: float | None, who: str, said: str) -> str:
    at = "" if t is None else clock(t)[:-2]
    when = f'<dt><a href="#turn-{turn.number}">{at or "·"}</a></dt>'
    return f'{when}<dd class="who">{who}</dd><dd dir="auto">{said}</dd>'


def _settings(session: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield what a reader asks first of a configuration, as (name, HTML)."""
    audio = as_object(session.get("audio"))
    given, made = as_object(audio.get("input")), as_object(audio.get("output"))
    asr = as_object(given.get("transcription"))
    tools, modalities = _list(session.get("tools")), _list(session.get("output_modalities"))
    yield "instructions", _said(session.get("instructions"), "none")
    yield "answers in", _said(", ".join(map(str, modalities)), "unknown")
    yield "voice", _said(made.get("voice"), "unknown")
    yield "turn detection", _pairs(given.get("turn_detection"), "none: the client ends each turn")
    yield "transcription of speech", _pairs(asr, "none")
    yield "sound in", _pairs(given.get("format"), "unknown")
    yield "sound out", _pairs(made.get("format"), "unknown")
    yield "noise reduction", _pairs(given.get("noise_reduction"), "none")
    yield "tools", _tools(tools)
    yield "tool choice", _said(session.get("tool_choice"), "unknown")
    yield "most output tokens", _said(session.get("max_output_tokens"), "unknown")
    yield "truncation", _pairs(session.get("truncation"), "unknown")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _said(value: Any, otherwise: str) -> str:
    if value in (None, ""):
        return f"<em>{otherwise}</em>"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return escape(clean(text.encode("utf-8", "replace")).decode())


def _pairs(value: Any, otherwise: str) -> str:
    if not isinstance(value, dict):
        return _said(value, otherwise)
    shown = ", ".join(f"{name} {_bare(inner)}" for name, inner in value.items() if inner is not None)
    return _said(shown, otherwise)


def _bare(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _tools(tools: list[Any]) -> str:
    lines = []
    for tool in map(as_object, tools):
        about = tool.get("description")
        lines.append(f"{tool.get('name') or tool.get('type')}{f': {about}' if about else ''}")
    return _said("\n".join(lines), "none")
