"""The static card of a turn: who said what, with its audio, what was called, how long it took, what it cost.

Text of a model, a user or a service is escaped, its keys redacted. Waveform and player carry their data in
their own ``src``, which a notebook keeps even where it is not trusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import orjson
from htpy import Element, Node, b, br, code, details, div, p, small, span, strong, summary
from markupsafe import Markup

from ..analysis import labels
from ..analysis.turn import Call, TurnView
from ..audio import Clip
from ..formatting import duration, turn_number
from ..redaction import clean_text
from .audio_player import MAX_INLINE_SECONDS, player_html, waveform_html
from .html import joined, markup, stylesheet

__all__ = ["MAX_TOTAL_SECONDS", "AudioSlots", "turn_card", "turn_html", "turns_html"]

MAX_TOTAL_SECONDS = 900.0
"""Of the audio of several turns in one output, what is put into the notebook: about 3.6 MB."""

_LONG = 240
"""Characters of a tool's output beyond which it is folded."""

_STYLES = ("turn_card.css", "picture.css")


class AudioSlots(Protocol):
    """What becomes of the audio of cards."""

    def player(self, clip: Clip, width: int, label: str, code: str, played: float | None = None) -> Node:
        """Return a clip's waveform, ``width`` pixels wide, and its player.

        ``label`` names it for a screen reader, ``code`` is Python that writes it to a file. What comes after
        ``played`` seconds was not played.
        """
        ...


@dataclass(slots=True)
class _Budget:
    """Players for a notebook, which keeps ``left`` seconds of audio in all."""

    left: float = math.inf

    def _take(self, seconds: float) -> bool:
        """Take room for so much audio. Return False, and take none, if there is not enough."""
        if seconds > self.left:
            return False
        self.left -= seconds
        return True

    def player(self, clip: Clip, width: int, label: str, code: str, played: float | None = None) -> Node:
        """Return a clip's waveform and player, or a sentence if there is no room for it."""
        long = duration(clip.seconds)
        shown: Element
        if clip.seconds > MAX_INLINE_SECONDS:
            limit = duration(MAX_INLINE_SECONDS)
            shown = _omitted(f"is too long to be kept in the notebook (the limit is {limit})", long, code)
        elif self._take(clip.seconds):
            shown = player_html(clip.samples, clip.rate, label=f"Play {label}, {long}")
        else:  # nor is its picture: hundreds of them make megabytes
            limit = duration(MAX_TOTAL_SECONDS)
            return _omitted(
                f"is not kept: of all these turns together, the notebook keeps {limit}", long, code
            )
        picture = waveform_html(clip.samples, clip.rate, width=width, height=48, played_seconds=played)
        return div(".rtnb-audio")[picture, shown]


def turn_html(turn: TurnView) -> Markup:
    """Return a turn as static HTML, right without a kernel; of a turn in progress, what is known now."""
    return markup([stylesheet(*_STYLES), turn_card(turn, _Budget())])


def turns_html(turns: Mapping[int, TurnView]) -> Markup:
    """Return turns, by their place in the session's ``turns``, as static HTML, one below the other.

    Of their audio the first `MAX_TOTAL_SECONDS` are kept; for the rest, the card says how to write it to a
    file.
    """
    budget = _Budget(MAX_TOTAL_SECONDS)
    last = max(turns, default=0)
    cards = (
        turn_card(turn, budget, f"s.turns[{place}]", f"-{place}", notes=place == last)
        for place, turn in turns.items()
    )
    return markup([stylesheet(*_STYLES), cards])


def turn_card(
    turn: TurnView, audio: AudioSlots, name: str = "turn", suffix: str = "", *, notes: bool = True
) -> Element:
    """Return one card without its style sheet.

    ``name`` is the turn in Python, ``suffix`` distinguishes its files from another's. ``notes`` on what
    answered and where the turn comes from can be left out if they are shown once for many.
    """
    label = f"Turn {turn_number(turn.number)}, {turn.status.replace('_', ' ')}"
    return div(".rtnb-tokens.rtnb-turn", role="group", aria_label=label)[
        div(".rtnb-sides")[_user(turn, audio, name, suffix), _assistant(turn, audio, name, suffix)],
        _foot(turn, notes),
    ]


def _user(turn: TurnView, audio: AudioSlots, name: str, suffix: str) -> Element:
    given = turn.input
    parts: list[Node] = [_who("You")]
    if given.audio is not None:
        write = f'{name}.input.audio.write("question{suffix}.ogg")'
        parts.append(audio.player(given.audio, 360, "what you said", write))
    if given.text:
        parts.append(_text(given.text))
    if turn.transcript_note:
        parts.append(_line(turn.transcript_note, ".rtnb-bad" if turn.transcription_error else ".rtnb-none"))
    elif not given.text:
        nothing = "Nothing yet." if turn.status == "in_progress" else "Nothing was said or written."
        parts.append(_line(nothing, ".rtnb-none"))
    return div(".rtnb-side.rtnb-user")[parts]


def _assistant(turn: TurnView, audio: AudioSlots, name: str, suffix: str) -> Element:
    parts: list[Node] = [_who("Assistant")]
    answer = turn.audio_so_far
    if answer is not None:
        write = f'{name}.audio.write("answer{suffix}.ogg")'
        parts.append(audio.player(answer, 480, "the answer", write, turn.played))
    calls = {call.id: call for call in turn.calls}
    for item in turn.items:
        if item.type == "function_call":
            parts.append(_call(calls[item.call_id or item.id], turn))
        elif item.text.strip():
            if item.phase == "commentary":
                parts.append(_line("Preamble:", ".rtnb-none"))
            parts.append(_text(item.text.strip()))
    ending = labels.ending(turn)
    if ending is not None:
        head, colon, rest = clean_text(ending).partition(":")
        bad = "rtnb-bad" if turn.status == "failed" else None
        parts.append(p(class_=bad)[strong[head + colon], rest])
    elif len(parts) == 1:
        parts.append(_line("Nothing was answered.", ".rtnb-none"))
    return div(".rtnb-side")[parts]


def _who(name: str) -> Element:
    return p(".rtnb-who")[b[name]]


def _text(text: str) -> Element:
    return p(".rtnb-text", dir="auto")[clean_text(text)]


def _line(text: str, kind: str) -> Element:
    return p(kind, dir="auto")[clean_text(text)]


def _omitted(why: str, long: str, write: str) -> Element:
    return p(".rtnb-none")[f"{long} of audio {why}. Write it to a file: ", code[write]]


def _call(call: Call, turn: TurnView) -> Element:
    tail: Node
    if call.error is not None:
        tail = div(".rtnb-bad")[_folded(strong["The tool failed:"], call.error)]
    elif call.output is not None:
        tail = _folded("returned", call.output)
    else:
        tail = p(".rtnb-none")["No output yet." if turn.status == "in_progress" else "Not answered."]
    head = p[code[b[clean_text(call.name)], "(", _arguments(call.arguments), ")"]]
    return div(".rtnb-call", role="group", aria_label="Function call")[head, tail]


def _arguments(text: str) -> str:
    """Return arguments as in a call in Python; unchanged if they are not a JSON object."""
    try:
        given = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return clean_text(text)
    if not isinstance(given, dict):
        return clean_text(text)
    return clean_text(", ".join(f"{key}={value!r}" for key, value in given.items()))


def _folded(lead: Node, text: str) -> Element:
    text = clean_text(text)
    if len(text) <= _LONG:
        return p[lead, " ", code[text]]
    start = f"{text[:80].rstrip()}…"
    return details[summary[lead, " ", code[start], f" ({len(text):,} characters)"], code[text]]


def _foot(turn: TurnView, notes: bool) -> Element:
    parts = [span[f"turn {turn_number(turn.number)}"]]
    latency = labels.latency(turn)
    if latency is not None:
        parts.append(span(title=latency[1])[latency[0]])
    if turn.audio_so_far is not None:
        parts.append(span[f"{duration(turn.audio_so_far.seconds)} of audio"])
    tokens = labels.tokens(turn.usage)
    if tokens is not None:
        parts.append(span[tokens])
    price = labels.money(turn)
    if price is not None:
        parts.append(span(title=repr(turn.cost) if turn.cost is not None else price)[price])
    if not turn.engine:
        parts.append(span[clean_text(labels.model(turn))])
    sentences = filter(None, (labels.answer_note(turn), turn.source) if notes else ())
    return p(".rtnb-foot")[small[joined(parts), ([br, clean_text(sentence)] for sentence in sentences)]]
