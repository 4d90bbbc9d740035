"""The static card of a turn, as a conversation: who said what and what was called, in order, with its audio.

At its head is who answered, at its foot how long it took and what it cost. Text of a model, a user or a
service is escaped, its keys redacted. Waveform and player carry their data in their own ``src``, which a
notebook keeps even where it is not trusted.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from htpy import Element, Node, b, code, details, div, p, span, strong, summary
from markupsafe import Markup

from ..analysis import labels
from ..analysis.turn import Call, TurnView
from ..formatting import turn_number
from ..protocol.items import Item
from ..redaction import clean_text
from .audio_player import AudioSlots, Players
from .html import joined, markup, scripts, stylesheet

__all__ = ["LONG", "MAX_TOTAL_SECONDS", "answer_lines", "call_parts", "turn_card", "turn_html", "turns_html"]

MAX_TOTAL_SECONDS = 900.0
"""Of the audio of several turns in one output, what is put into the notebook: about 3.6 MB."""

LONG = 240
"""Characters of a tool's output beyond which it is folded."""

_STYLES = ("turn_card.css", "player.css")


def turn_html(turn: TurnView) -> Markup:
    """Return a turn as static HTML, right without a kernel; of a turn in progress, what is known now."""
    card = turn_card(turn, Players(), notes=turn.number <= 0)
    return markup([stylesheet(*_STYLES), card, scripts("player.js")])


def turns_html(turns: Mapping[int, TurnView]) -> Markup:
    """Return turns, by their place in the session's ``turns``, as static HTML, one below the other.

    Of their audio the first `MAX_TOTAL_SECONDS` are kept; for the rest, the card says how to write it to a
    file.
    """
    players, first = Players(MAX_TOTAL_SECONDS), min(turns, default=0)
    cards = (
        turn_card(turn, players, f"s.turns[{place}]", f"-{place}", notes=place == first)
        for place, turn in turns.items()
    )
    return markup([stylesheet(*_STYLES), cards, scripts("player.js")])


def turn_card(
    turn: TurnView,
    audio: AudioSlots,
    name: str = "turn",
    suffix: str = "",
    *,
    head: bool = True,
    notes: bool = True,
) -> Element:
    """Return one card without its style sheet.

    ``name`` is the turn in Python, ``suffix`` distinguishes its files from another's. ``head`` False leaves
    out the number and the status. ``notes`` on what answered and where the turn comes from belong on one
    card of a session.
    """
    status = turn.status.replace("_", " ")
    label, by = f"Turn {turn_number(turn.number)}", _answerer(turn)
    return div(".rtnb-tokens.rtnb-turn", role="group", aria_label=f"{label}, {status}")[
        (head or by)
        and div(".rtnb-head")[
            head and strong[label],
            head and status != "completed" and span(class_=_bad(turn))[status],
            by,
        ],
        _user(turn, audio, name, suffix),
        _answer(turn, audio, name, suffix),
        _foot(turn, notes),
    ]


def _bad(turn: TurnView) -> str | None:
    return "rtnb-bad" if turn.status == "failed" else None


def _answerer(turn: TurnView) -> Node:
    """Return who really answered, and whose prices the costs are if that is another."""
    name = clean_text(labels.answerer(turn))
    if not name:
        return None
    priced = turn.engine and turn.cost is not None and f"prices of {clean_text(turn.cost.model)}"
    return span(".rtnb-by")[
        name,
        turn.engine and [" ", span(".rtnb-chip")["embedded"]],
        priced and [" ", span(".rtnb-prices")[priced]],
    ]


def _row(kind: str, who: str, parts: Node) -> Element:
    return div(class_=["rtnb-line", f"rtnb-{kind}"])[p(".rtnb-who")[b[who]], div[parts]]


def _user(turn: TurnView, audio: AudioSlots, name: str, suffix: str) -> Element:
    given = turn.input
    write = f'{name}.input.audio.write("question{suffix}.ogg")'
    parts: list[Node] = [audio.player(given.audio, "what you said", "user", write)]
    if given.text:
        parts.append(_text(given.text))
    if turn.transcript_note:
        parts.append(_line(turn.transcript_note, ".rtnb-bad" if turn.transcription_error else ".rtnb-none"))
    elif not given.text:
        nothing = "Nothing yet." if turn.status == "in_progress" else "Nothing was said or written."
        parts.append(_line(nothing, ".rtnb-none"))
    return _row("user", "You", parts)


def answer_lines(turn: TurnView) -> list[Call | list[Item]]:
    """Return the lines of an answer in order: a function call, or the messages between two calls.

    There is a line for the assistant where there is nothing else, and where the end of the turn is explained.
    """
    calls = {call.id: call for call in turn.calls}
    lines: list[Call | list[Item]] = []
    for item in turn.items:
        if item.type == "function_call":
            lines.append(calls[item.call_id or item.id])
        elif item.text.strip() or item.audio_ms:
            if not lines or isinstance(lines[-1], Call):
                lines.append([])
            lines[-1].append(item)  # type: ignore[union-attr]
    if not lines or (isinstance(lines[-1], Call) and turn.status != "completed"):
        lines.append([])
    return lines


def _answer(turn: TurnView, audio: AudioSlots, name: str, suffix: str) -> list[Element]:
    write = f'{name}.audio.write("answer{suffix}.ogg")'
    player: Node = audio.player(turn.audio_so_far, "the answer", "assistant", write, turn.played)
    lines, rows, ending = answer_lines(turn), list[Element](), labels.ending(turn)
    for number, line in enumerate(lines):
        if isinstance(line, Call):
            rows.append(_call(line, turn))
            continue
        parts, player = [player], None
        for item in line:
            if item.phase == "commentary":
                parts.append(_line("Preamble:", ".rtnb-none"))
            parts.append(item.text.strip() and _text(item.text.strip()))
        if number == len(lines) - 1 and ending is not None:
            start, colon, rest = clean_text(ending).partition(":")
            parts.append(p(class_=_bad(turn) or "rtnb-none")[strong[start + colon], rest])
        elif len(lines) == 1 and not line:
            parts.append(_line("Nothing was answered.", ".rtnb-none"))
        rows.append(_row("assistant", "Assistant", parts))
    return rows


def _text(text: str) -> Element:
    return p(".rtnb-text", dir="auto")[clean_text(text)]


def _line(text: str, kind: str) -> Element:
    return p(kind, dir="auto")[clean_text(text)]


def call_parts(call: Call, turn: TurnView) -> tuple[str, str, str, str]:
    """Return a call's name, its arguments, what became of it in words, and its output or error."""
    head = clean_text(call.name), _arguments(call.arguments)
    if call.error is not None:
        return *head, "The tool failed:", clean_text(call.error)
    if call.output is not None:
        return *head, "returned", clean_text(call.output)
    return *head, "No output yet." if turn.status in ("in_progress", "waiting") else "Not answered.", ""


def _call(call: Call, turn: TurnView) -> Element:
    name, arguments, lead, output = call_parts(call, turn)
    shown: Node = span(".rtnb-none" if call.error is None else ".rtnb-bad")[lead]
    folded = None
    if len(output) > LONG:
        start = code[f"{output[:80].rstrip()}…"]
        folded = details[summary[shown, " ", start, f" ({len(output):,} characters)"], code[output]]
    inline = None if folded else [" ", shown, output and [" ", code[output]]]
    content = [p[code[b[name], "(", arguments, ")"], inline], folded]
    return div(".rtnb-line.rtnb-tool", role="group", aria_label="Function call")[
        p(".rtnb-who")[b["Tool"]], div[content]
    ]


def _arguments(text: str) -> str:
    """Return arguments as in a call in Python; unchanged if they are not a JSON object."""
    try:
        given = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return clean_text(text)
    if not isinstance(given, dict):
        return clean_text(text)
    return clean_text(", ".join(f"{key}={value!r}" for key, value in given.items()))


def _foot(turn: TurnView, notes: bool) -> Element | None:
    """Return the chips, and behind them the kinds, the clock and the notes."""
    shown = joined(
        span(".rtnb-fact")[before, before and " ", b[figure], after and " ", after]
        for before, figure, after in labels.chips(turn)
    )
    latency, money = labels.latency(turn), labels.money(turn)
    more = [
        latency and f"Latency: {latency[0]} {latency[1]}".strip(),
        labels.tokens(turn.usage),
        money and (repr(turn.cost) if turn.cost is not None else "No price is known."),
        money and turn.cost is not None and turn.cost.excludes and money,
        *((labels.answer_note(turn), turn.source) if notes else ()),
    ]
    lines = [p[clean_text(sentence)] for sentence in more if sentence]
    if not lines:
        return div(".rtnb-foot")[shown] if shown else None
    return details(".rtnb-foot")[summary[shown, " ", span(".rtnb-i", title="Details")["Details"]], lines]
