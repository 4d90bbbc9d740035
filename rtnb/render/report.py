"""A session as one HTML page that needs no network, no kernel and no script.

Text of a model, a user or a service is escaped, and keys are redacted.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from htpy import (
    Element,
    Node,
    a,
    article,
    b,
    body,
    code,
    dd,
    details,
    div,
    dl,
    dt,
    em,
    footer,
    h1,
    h2,
    h3,
    header,
    html,
    li,
    main,
    meta,
    nav,
    p,
    pre,
    script,
    section,
    small,
    span,
    strong,
    summary,
    table,
    tbody,
    td,
    th,
    title,
    tr,
    ul,
)
from htpy import head as html_head
from markupsafe import Markup

from .. import redaction
from ..analysis import labels
from ..analysis.conversation_clock import ConversationClock
from ..analysis.latency import CLOCK_MEANINGS, CLOCK_WORDS
from ..analysis.provenance import Provenance
from ..analysis.session import SessionView, Snapshot
from ..analysis.timeline import Timeline
from ..analysis.turn import TurnView
from ..audio import Clip
from ..errors import ArgumentError
from ..formatting import clock, duration, milliseconds, turn_number
from ..paths import replacing, short, user_path
from ..protocol.events import as_object
from ..protocol.usage import Cost
from ..redaction import clean, clean_html, clean_text, plain
from .audio_player import opus, player_html
from .event_table import events_html
from .html import data_uri, markup, read_static, stylesheet
from .overview import provenance_foot, provenance_table
from .timeline_card import timeline_section
from .turn_card import turn_card
from .usage_card import usage_html

__all__ = ["MAX_MB", "POLICY", "SCRIPT", "EmbeddedAudio", "Progress", "Report", "write_report"]

MAX_MB = 25.0
"""Megabytes of audio that a page holds at most, as data URIs: about an hour and a half of Opus."""

Progress = Callable[[Iterable[TurnView]], Iterable[TurnView]]
"""Is given the turns and yields them again, as tqdm does."""

SCRIPT = read_static("player.js") + read_static("report.js")
"""The players, and what opens the part that a link leads to; the page is whole without it."""

_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()

POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
)
"""The content security policy: no request leaves the page, and no script but its own is run."""

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
_CHARACTERS = 1_500_000
"""Of the event log, what is in the page: rows, and characters of JSON. Most sessions have fewer."""
_MOST_LINKS = 400
"""Turns that the table of contents lists, at most."""
_FRAMES = 2048
"""Frames that are searched for keys at once."""


def write_report(
    view: SessionView,
    out: str | os.PathLike[str],
    *,
    origin: Provenance,
    title: str = "",
    audio: bool = True,
    max_mb: float = MAX_MB,
    progress: Progress = iter,
) -> Path:
    """Write a session as one HTML page and return its path.

    The page holds timeline, turns with players, transcript, usage, configuration, event log, and ``origin``,
    where the session comes from. It makes no network requests. ``audio`` False leaves the audio out; else up
    to ``max_mb`` megabytes of it are kept as Opus, and the page says what is not.

    Raises RecordingError if it cannot be written, ArgumentError for a name that does not end in .html or for
    an invalid ``max_mb``.
    """
    out = user_path(out, "a report")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError(f"the name of a report must end in .html; got {short(out.name)}")
    if isinstance(max_mb, bool) or not isinstance(max_mb, (int, float)) or not 0 <= max_mb < math.inf:
        raise ArgumentError(f"max_mb must be a number of megabytes, 0 or more; got {max_mb!r:.40}")
    shown = view if view.closed and not _has_keys(view) else Snapshot(view)
    embedded = EmbeddedAudio(int(max_mb * 1e6) if audio else 0)
    page = Report(shown, origin, title=title, audio=embedded, progress=progress).html()
    with replacing(out) as file:
        file.write(page.encode())
    return out


def _has_keys(view: SessionView) -> bool:
    """Return whether keys are in a log's frames, as in a file that another program wrote."""
    known, log = redaction.known_keys(), view.state.log
    for start in range(0, len(log), _FRAMES):
        rows = np.arange(start, min(start + _FRAMES, len(log)), dtype=np.int64)
        if redaction.secrets(b"\n".join(log.columns_of(rows).frames), known):  # audio has none
            return True
    return False


@dataclass(slots=True)
class EmbeddedAudio:
    """What becomes of the audio: Opus within the page, up to ``most`` bytes of the page in all.

    ``most`` 0 keeps none; the pictures stay. The audio is put into the page at the end, so that the page is
    searched for keys without it.
    """

    most: int
    used: int = 0
    kept: float = 0.0
    """Seconds of audio in the page."""
    left_out: float = 0.0
    """Seconds of audio that are not."""
    sources: dict[str, str] = field(default_factory=dict)
    _mark: str = field(default_factory=lambda: f"rtnb-{secrets.token_hex(8)}")

    def player(
        self, clip: Clip | None, label: str, who: str, code: str = "", played: float | None = None
    ) -> Node:
        """Return a clip's player, or its picture and a sentence if the page has no room for the audio."""
        if clip is None or not len(clip.samples):
            return None
        source = data_uri(opus(clip.samples, clip.rate), "audio/ogg") if self.used < self.most else ""
        if not source or self.used + len(source) > self.most:
            self.left_out += clip.seconds
            why = "Not in this page, which has a limit of size" if self.most else "This page holds no audio"
            instead = p(".rtnb-none")[f"{duration(clip.seconds)} of audio. {why}; the recording has it."]
            return player_html(clip, label, who=who, played=played, instead=instead)
        self.used += len(source)
        self.kept += clip.seconds
        name = f"{self._mark}-{len(self.sources)}-"
        self.sources[name] = source
        return player_html(clip, label, who=who, played=played, source=name)

    def put_into(self, page: str) -> str:
        """Return the page with the audio in it."""
        return re.sub(rf"{self._mark}-\d+-", lambda found: self.sources[found[0]], page)

    @property
    def summary(self) -> str:
        """What was kept, as a sentence."""
        limit = f"the limit is {self.most / 1e6:g} MB"
        if not self.most:
            return "Audio is not in this page, as requested; the recording has it."
        if not self.kept and not self.left_out:
            return "The session has no audio."
        if not self.left_out:
            return f"All audio is in this page: {duration(self.kept)}, as Opus ({limit})."
        return (
            f"Of the audio, {duration(self.kept)} are in this page as Opus, and "
            f"{duration(self.left_out)} are not: {limit}. The recording has all of it."
        )


class Report:
    """Makes the page."""

    def __init__(
        self,
        view: SessionView,
        provenance: Provenance,
        *,
        title: str = "",
        audio: EmbeddedAudio,
        progress: Progress = iter,
    ) -> None:
        self.view = view
        self.provenance = provenance
        self.audio = audio
        self.progress = progress
        self.turns = [turn for turn in view.turns if turn.number >= 0]
        self.clock = ConversationClock(view.state)
        self.title = clean_text(title or f"A conversation with {labels.answered_by(view.engine, view.model)}")

    def html(self) -> str:
        """Return the page."""
        timeline = Timeline([turn.times_on(self.clock) for turn in self.turns], whole=True)
        parts: dict[str, Node] = {
            "timeline": timeline_section(timeline, link=lambda turn: f"#turn-{turn_number(turn.number)}"),
            "turns": self._turns(),
            "transcript": self._transcript(),
            "usage": usage_html(self.view.usage),
            "session": self._session(),
            "provenance": self._provenance(),
            "log": events_html(self.view.log, most=_ROWS, characters=_CHARACTERS, folded=True),
        }
        content = [
            a(".skip", href="#main")["To the content"],
            div(".page")[
                self._top(timeline),
                self._contents(),
                main("#main")[
                    (
                        section(f"#{id}", aria_labelledby=f"{id}-head")[h2(f"#{id}-head")[name], parts[id]]
                        for id, name in _PARTS
                    )
                ],
                self._foot(),
            ],
        ]
        page = html(lang="en")[
            html_head[
                meta(charset="utf-8"),
                meta(http_equiv="Content-Security-Policy", content=POLICY),
                meta(name="viewport", content="width=device-width, initial-scale=1"),
                meta(name="referrer", content="no-referrer"),
                meta(name="generator", content="rtnb"),
                title[Markup(clean_html(str(markup(self.title))))],
                stylesheet("turn_card.css", "player.css", "table.css", "picture.css", "timeline.css"),
                stylesheet("report.css"),
            ],
            body(".rtnb-tokens")[Markup(clean_html(str(markup(content)))), script[Markup(SCRIPT)]],
        ]
        return self.audio.put_into(str(markup(page)) + "\n")

    def _top(self, timeline: Timeline) -> Element:
        view, log = self.view, self.view.state.log
        seconds = log[len(log) - 1].t if len(log) else 0.0
        recorded = dict(self.provenance.facts)["recorded"]
        note, problem = self.provenance.engine_note, self.provenance.problem
        median = timeline.percentiles()["first_sound"]
        used, time_scaled = view.usage, view.state.time_scaled
        unknown = f"; of {used.unknown:,} responses unknown" if used.known and used.unknown else ""
        figures = [
            (f"{len(self.turns):,}", "turn" if len(self.turns) == 1 else "turns"),
            (duration(seconds), "first frame to last"),
            (
                "unknown" if median.p50 is None or time_scaled else f"{milliseconds(median.p50)} ms",
                f"to first sound, median of {median.n:,}",
            ),
            (f"{used.total_tokens:,}" if used.known else "unknown", f"tokens{unknown}"),
            (
                _money(used.cost) if used.known else "unknown",
                ("at published prices" if view.billed else "would have been the price; not billed") + unknown,
            ),
            (f"{len(log):,}", "events"),
        ]
        return header(".top")[
            h1[self.title],
            p(".sub")[
                clean_text(f"Recorded {recorded} · {self.provenance.text('endpoint') or view.endpoint}")
            ],
            note and p(".note")[clean_text(note)],
            problem and p(".note.bad")[strong["The file:"], f" {clean_text(problem)}."],
            ul(".figures", aria_label="Key figures")[(li[b[value], span[name]] for value, name in figures)],
        ]

    def _contents(self) -> Element:
        def inner(id: str) -> Node:
            if id != "turns" or not 0 < len(self.turns) <= _MOST_LINKS:
                return None
            return ul[
                (
                    li[
                        a(href=f"#{_id(turn)}", class_=_bad(turn))[
                            turn_number(turn.number), _unless_done(turn)
                        ]
                    ]
                    for turn in self.turns
                )
            ]

        links = (li[a(href=f"#{id}")[name], inner(id)] for id, name in _PARTS)
        return nav(".toc", aria_label="Contents")[h2["Contents"], ul[links]]

    def _turns(self) -> Node:
        if not self.turns:
            return p(".lede")["The session has no turns."]
        cards = []
        for turn in self.progress(self.turns):
            start = min(turn.marks.values(), default=None)
            at = "at an unknown time" if start is None else f"at {clock(start)}"
            status = span(class_=_bad(turn))[_status(turn)]
            timeline = Timeline([turn.times_on(self.clock)])
            cards.append(
                article(f"#{_id(turn)}.turn")[
                    h3[f"Turn {turn_number(turn.number)} ", small[status, f" · {at}"]],
                    turn_card(turn, self.audio, head=False, notes=False),
                    details[summary["Timeline of the turn"], timeline_section(timeline)],
                ]
            )
        return [p(".lede")[self.audio.summary], cards]

    def _transcript(self) -> Node:
        lines = [line for turn in self.turns for line in _lines(turn)]
        return dl(".transcript")[lines] if lines else p(".lede")["Nothing was said or written."]

    def _session(self) -> Node:
        session = self.view.state.session
        if not session:
            return p(".lede")["Unknown: the server never reported its configuration."]
        whole = clean(orjson.dumps(session, option=orjson.OPT_INDENT_2)).decode("utf-8", "replace")
        return [
            p(".lede")["As the server last reported it."],
            div(".facts")[
                table[tbody[(tr[th(scope="row")[name], td[value]] for name, value in _settings(session))]]
            ],
            details[summary["The whole configuration as JSON"], pre[plain(whole)]],
        ]

    def _provenance(self) -> Node:
        clocks = (li[b[name], f": {CLOCK_MEANINGS[clock]}"] for clock, name in CLOCK_WORDS.items())
        return [
            div(".facts")[provenance_table(self.provenance)],
            details[
                summary["How to read the times"],
                p["Moments are counted from the first frame. Each mark says which clock measured it:"],
                ul[clocks],
                p["What was not observed is unknown; nothing is guessed."],
            ],
        ]

    def _foot(self) -> Element:
        name = self.provenance.file or "the saved session"
        return footer[
            p[
                f"Generated from {clean_text(name)} by ",
                code["rtnb report"],
                ". This page is complete: it makes no network requests.",
            ],
            provenance_foot(self.provenance),
        ]


def _id(turn: TurnView) -> str:
    return f"turn-{turn_number(turn.number)}"


def _bad(turn: TurnView) -> str | None:
    return "bad" if turn.status in ("failed", "interrupted") else None


def _status(turn: TurnView) -> str:
    return turn.status.replace("_", " ")


def _unless_done(turn: TurnView) -> str:
    return "" if turn.status == "completed" else f" {_status(turn)}"


def _money(cost: Cost | None) -> str:
    return "unpriced" if cost is None else str(cost)


def _lines(turn: TurnView) -> Iterator[Node]:
    """Yield who said what in a turn, and when."""
    marks = turn.marks
    starts = [marks[name] for name in ("speech_begin", "input", "requested") if name in marks]
    answers = [marks[name] for name in ("first_text", "first_audio") if name in marks]
    given = turn.input
    if given.text or given.audio is not None:
        text = clean_text(given.text) if given.text else em["speech without a transcript"]
        yield _line(turn, min(starts, default=None), "You", text)
    for call in turn.calls:
        output = "" if call.output is None else f" → {call.output}"
        yield _line(turn, None, "Call", code[clean_text(f"{call.name}({call.arguments}){output}")])
    if turn.text_so_far:
        yield _line(turn, min(answers, default=None), "Assistant", clean_text(turn.text_so_far))
    ending = labels.ending(turn, drawn=False)
    if ending:
        yield _line(turn, None, "", em[clean_text(ending)])


def _line(turn: TurnView, t: float | None, who: str, text: Node) -> Node:
    at = "·" if t is None else clock(t)[:-2]
    return [dt[a(href=f"#{_id(turn)}")[at]], dd(".who")[who], dd(dir="auto")[text]]


def _settings(session: dict[str, Any]) -> Iterator[tuple[str, Node]]:
    """Yield the settings that a reader looks for first, as (name, value)."""
    sides = as_object(session.get("audio"))
    given, answer = as_object(sides.get("input")), as_object(sides.get("output"))
    yield "instructions", _value(session.get("instructions"), "none")
    yield "answers in", _value(", ".join(map(str, _list(session.get("output_modalities")))), "unknown")
    yield "voice", _value(answer.get("voice"), "unknown")
    yield "turn detection", _members(given.get("turn_detection"), "none: the client ends each turn")
    yield "transcription of speech", _members(as_object(given.get("transcription")), "none")
    yield "audio in", _members(given.get("format"), "unknown")
    yield "audio out", _members(answer.get("format"), "unknown")
    yield "noise reduction", _members(given.get("noise_reduction"), "none")
    yield "tools", _tools(_list(session.get("tools")))
    yield "tool choice", _value(session.get("tool_choice"), "unknown")
    yield "most output tokens", _value(session.get("max_output_tokens"), "unknown")
    yield "truncation", _members(session.get("truncation"), "unknown")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _value(value: Any, otherwise: str) -> Node:
    if value in (None, ""):
        return em[otherwise]
    return clean_text(value if isinstance(value, str) else orjson.dumps(value).decode())


def _members(value: Any, otherwise: str) -> Node:
    if not isinstance(value, dict):
        return _value(value, otherwise)
    shown = ", ".join(f"{name} {_bare(inner)}" for name, inner in value.items() if inner is not None)
    return _value(shown, otherwise)


def _bare(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _tools(tools: list[Any]) -> Node:
    lines = []
    for tool in map(as_object, tools):
        about = tool.get("description")
        lines.append(f"{tool.get('name') or tool.get('type')}{f': {about}' if about else ''}")
    return _value("\n".join(lines), "none")
