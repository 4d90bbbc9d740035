"""The static card of a turn: who said what, how it sounded, what was called, how long it took, what it cost.

Everything that a model, a user or a service wrote is escaped, its keys hidden. Waveform and player carry
their data in their own ``src``, which a notebook keeps even where it is not trusted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from textwrap import shorten
from typing import Protocol

import orjson

from ..analysis import labels
from ..analysis.session import SessionView
from ..analysis.turn import Call, TurnView
from ..analysis.usage import Row
from ..audio import Clip
from ..formatting import duration
from ..redaction import clean_text
from .audio_player import MAX_INLINE_SECONDS, player_html, waveform_html
from .style import STYLE, TABLES

__all__ = ["MAX_TOTAL_SECONDS", "card_html", "overview_html", "turn_html", "turns_html"]

_MOST_TURNS = 50
_LETTERS = 160


def overview_html(
    view: SessionView, title: str, facts: Iterable[str], *, problem: str | None = None, rest: str = ""
) -> str:
    """Return a card of the ``title``, the ``facts`` that are not empty, and the turns.

    ``rest`` is HTML that comes last.
    """
    bad = f'<p class="rtnb-bad">{escape(problem)}</p>' if problem else ""
    return (
        f'{STYLE}{TABLES}<div class="rtnb-turn" role="group" aria-label="{escape(title)}">'
        f'<div class="rtnb-side"><p><b>{escape(title)}</b></p>'
        f'<p class="rtnb-none">{escape(" · ".join(filter(None, facts)))}</p>{bad}{_turns(view)}</div>'
        f"{rest}</div>"
    )


def _turns(view: SessionView) -> str:
    turns = view.turns
    if not turns:
        return ""
    used = view.usage.turns
    rows = "".join(
        f'<tr><td class="rtnb-n">{place}</td><td dir="auto">{_short(turn.input.text)}</td>'
        f'<td dir="auto">{_short(turn.text_so_far)}</td><td>{escape(turn.status.replace("_", " "))}</td>'
        f'<td class="rtnb-n">{_tokens(used[turn.number]) if 0 <= turn.number < len(used) else ""}</td></tr>'
        for place, turn in enumerate(turns[:_MOST_TURNS])
    )
    head = '<tr><th class="rtnb-n">turn</th><th>you</th><th>assistant</th><th>ended</th>'
    head += '<th class="rtnb-n">tokens</th></tr>'
    more = len(turns) - _MOST_TURNS
    left = f'<p class="rtnb-none">… and {more:,} more turns</p>' if more > 0 else ""
    return (
        f'<div class="rtnb-table rtnb-overview"><table><thead>{head}</thead><tbody>{rows}</tbody></table>'
        f"</div>{left}"
    )


def _tokens(row: Row) -> str:
    return f"{row.usage.total_tokens:,}" if row.known or not row.responses else "unknown"


def _short(text: str) -> str:
    return escape(shorten(clean_text(text), _LETTERS, placeholder=" …"))


MAX_TOTAL_SECONDS = 900.0
"""Of the sound of several turns in one output, what is put into the notebook: about 3.6 MB."""

_LONG = 240
"""Letters of a tool's output beyond which it is folded away."""


class Sounds(Protocol):
    """What becomes of the sound of cards."""

    def sound(self, clip: Clip, width: int, what: str, write: str, heard: float | None = None) -> str:
        """Return a clip as HTML, its picture ``width`` pixels wide.

        ``what`` names it for who cannot see, ``write`` is the code that writes it to a file, as HTML.
        """
        ...


@dataclass(slots=True)
class _Room:
    """What a notebook keeps of the sound: the seconds that there is still room for."""

    left: float = math.inf

    def take(self, seconds: float) -> bool:
        """Take room for so much sound. Return False, and take none, where there is not enough."""
        if seconds > self.left:
            return False
        self.left -= seconds
        return True

    def sound(self, clip: Clip, width: int, what: str, write: str, heard: float | None = None) -> str:
        """Return a clip as HTML, or a sentence where there is no room for it."""
        long = duration(clip.seconds)
        if clip.seconds > MAX_INLINE_SECONDS:
            limit = duration(MAX_INLINE_SECONDS)
            player = _unkept(f"is too long to be kept in the notebook (the limit is {limit})", long, write)
        elif self.take(clip.seconds):
            player = player_html(clip.samples, clip.rate, label=f"Play {what}, {long}")
        else:  # nor is its picture: hundreds of them make megabytes
            limit = duration(MAX_TOTAL_SECONDS)
            return _unkept(
                f"is not kept: of all these turns together, the notebook keeps {limit}", long, write
            )
        picture = waveform_html(clip.samples, clip.rate, width=width, height=48, heard_seconds=heard)
        return f'<div class="rtnb-sound">{picture}{player}</div>'


def turn_html(turn: TurnView) -> str:
    """Return a turn as static HTML, right without a kernel; of a turn in progress, what is known now."""
    return STYLE + card_html(turn, _Room())


def turns_html(turns: Mapping[int, TurnView]) -> str:
    """Return turns, by their place in the session's ``turns``, as static HTML, one below the other.

    Of their sound the first `MAX_TOTAL_SECONDS` are kept; of the rest is said how to write it to a file.
    """
    room = _Room(MAX_TOTAL_SECONDS)
    last = max(turns, default=0)
    cards = (
        card_html(turn, room, f"s.turns[{place}]", f"-{place}", notes=place == last)
        for place, turn in turns.items()
    )
    return STYLE + "".join(cards)


def card_html(
    turn: TurnView, room: Sounds, name: str = "turn", suffix: str = "", *, notes: bool = True
) -> str:
    """Return one card without its style sheet.

    ``name`` is the turn in Python, ``suffix`` what tells its files from another's. ``notes`` on who answered
    and where the turn comes from can be left out where they are said once for many.
    """
    label = f"Turn {max(turn.number, 0)}, {turn.status.replace('_', ' ')}"
    sides = _user(turn, room, name, suffix) + _assistant(turn, room, name, suffix)
    return (
        f'<div class="rtnb-turn" role="group" aria-label="{escape(label)}">'
        f'<div class="rtnb-sides">{sides}</div>{_foot(turn, notes)}</div>'
    )


def _user(turn: TurnView, room: Sounds, name: str, suffix: str) -> str:
    given = turn.input
    parts = [_who("You")]
    if given.audio is not None:
        write = f"{name}.input.audio.write(&quot;question{suffix}.ogg&quot;)"
        parts.append(room.sound(given.audio, 360, "what you said", write))
    if given.text:
        parts.append(_said(given.text))
    if turn.transcription_error:
        parts.append(_line(f"Transcription failed: {turn.transcription_error}", "rtnb-bad"))
    elif not given.text:
        parts.append(_line(_unwritten(turn), "rtnb-none"))
    return f'<div class="rtnb-side rtnb-user">{"".join(parts)}</div>'


def _unwritten(turn: TurnView) -> str:
    if turn.input.audio is None:
        return "Nothing yet." if turn.status == "in_progress" else "Nothing was said or written."
    return "No transcript yet." if turn.status == "in_progress" else "No transcript."


def _assistant(turn: TurnView, room: Sounds, name: str, suffix: str) -> str:
    parts = [_who("Assistant")]
    sound = turn.audio_so_far
    if sound is not None:
        write = f"{name}.audio.write(&quot;answer{suffix}.ogg&quot;)"
        parts.append(room.sound(sound, 480, "the answer", write, turn.played))
    calls = {call.id: call for call in turn.calls}
    for item in turn.items:
        if item.type == "function_call":
            parts.append(_call(calls[item.call_id or item.id], turn))
        elif item.text.strip():
            parts.append(_said(item.text.strip()))
    ending = labels.ending(turn)
    if ending is not None:
        head, colon, rest = ending.partition(":")
        bad = ' class="rtnb-bad"' if turn.status == "failed" else ""
        parts.append(f"<p{bad}><strong>{escape(head + colon)}</strong>{_text(rest)}</p>")
    elif len(parts) == 1:
        parts.append(_line("Nothing was answered.", "rtnb-none"))
    return f'<div class="rtnb-side">{"".join(parts)}</div>'


def _text(text: str) -> str:
    return escape(clean_text(text))


def _who(name: str) -> str:
    return f'<p class="rtnb-who"><b>{name}</b></p>'


def _said(text: str) -> str:
    return f'<p class="rtnb-said" dir="auto">{_text(text)}</p>'


def _line(text: str, kind: str) -> str:
    return f'<p class="{kind}" dir="auto">{_text(text)}</p>'


def _unkept(why: str, long: str, write: str) -> str:
    return f'<p class="rtnb-none">{long} of sound {why}. Write it to a file: <code>{write}</code></p>'


def _call(call: Call, turn: TurnView) -> str:
    head = f"<p><code><b>{_text(call.name)}</b>({_arguments(call.arguments)})</code></p>"
    if call.error is not None:
        tail = f'<div class="rtnb-bad">{_folded("<strong>The tool failed:</strong>", call.error)}</div>'
    elif call.output is not None:
        tail = _folded("gave", call.output)
    elif turn.status == "in_progress":
        tail = '<p class="rtnb-none">No output yet.</p>'
    else:
        tail = '<p class="rtnb-none">Not answered.</p>'
    return f'<div class="rtnb-call" role="group" aria-label="Function call">{head}{tail}</div>'


def _arguments(text: str) -> str:
    """Return arguments as a call in Python has them, or as they came where they are no JSON object."""
    try:
        given = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return _text(text)
    if not isinstance(given, dict):
        return _text(text)
    return _text(", ".join(f"{key}={value!r}" for key, value in given.items()))


def _folded(lead: str, text: str) -> str:
    text = clean_text(text)
    if len(text) <= _LONG:
        return f"<p>{lead} <code>{escape(text)}</code></p>"
    start = escape(text[:80].rstrip())
    return (
        f"<details><summary>{lead} <code>{start}…</code> ({len(text):,} letters)</summary>"
        f"<code>{escape(text)}</code></details>"
    )


def _foot(turn: TurnView, notes: bool) -> str:
    parts = [f"<span>turn {max(turn.number, 0)}</span>"]
    quick = labels.latency(turn)
    if quick is not None:
        parts.append(f'<span title="{escape(quick[1])}">{escape(quick[0])}</span>')
    if turn.audio_so_far is not None:
        parts.append(f"<span>{duration(turn.audio_so_far.seconds)} of audio</span>")
    counted = labels.tokens(turn.usage)
    if counted is not None:
        parts.append(f"<span>{escape(counted)}</span>")
    price = labels.money(turn)
    if price is not None:
        parts.append(f'<span title="{escape(repr(turn.cost) if turn.cost is not None else price)}">')
        parts[-1] += f"{escape(price)}</span>"
    if not turn.engine:
        parts.append(f"<span>{escape(labels.model(turn))}</span>")
    said = filter(None, (labels.speaker(turn), turn.source) if notes else ())
    note = "".join(f"<br>{escape(sentence)}" for sentence in said)
    return f'<p class="rtnb-foot"><small>{" · ".join(parts)}{note}</small></p>'
