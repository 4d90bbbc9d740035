"""The static card of a turn: who said what, how it sounded, what was called, how long it took, what it cost.

Everything that a model, a user or a service wrote is escaped. Waveform and player carry their data in their
own ``src``, which a notebook keeps even where it is not trusted.
"""

from __future__ import annotations

from html import escape

import orjson

from ..audio import Clip
from ..audio.view import MAX_INLINE_SECONDS, duration, player_html, waveform_html
from . import words
from .style import STYLE
from .turn import Call, TurnView

__all__ = ["turn_html"]

_LONG = 240
"""Letters of a tool's output beyond which it is folded away."""


def turn_html(turn: TurnView) -> str:
    """Return a turn as static HTML, right without a kernel; of a turn in progress, what is known now."""
    label = f"Turn {max(turn.number, 0)}, {turn.status.replace('_', ' ')}"
    return (
        f'{STYLE}<div class="rtnb-turn" role="group" aria-label="{escape(label)}">'
        f'<div class="rtnb-sides">{_user(turn)}{_assistant(turn)}</div>{_foot(turn)}</div>'
    )


def _user(turn: TurnView) -> str:
    given = turn.input
    parts = [_who("You")]
    if given.audio is not None:
        parts.append(_sound(given.audio, 360, "what you said", "turn.input.audio", "question.ogg"))
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


def _assistant(turn: TurnView) -> str:
    parts = [_who("Assistant")]
    sound = turn.sound
    if sound is not None:
        parts.append(_sound(sound, 480, "the answer", "turn.audio", "answer.ogg", turn.heard))
    calls = {call.id: call for call in turn.calls}
    for item in turn.items:
        if item.type == "function_call":
            parts.append(_call(calls[item.call_id or item.id], turn))
        elif item.text.strip():
            parts.append(_said(item.text.strip()))
    ending = words.ending(turn)
    if ending is not None:
        head, colon, rest = ending.partition(":")
        bad = ' class="rtnb-bad"' if turn.status == "failed" else ""
        parts.append(f"<p{bad}><strong>{escape(head + colon)}</strong>{escape(rest)}</p>")
    elif len(parts) == 1:
        parts.append(_line("Nothing was answered.", "rtnb-none"))
    return f'<div class="rtnb-side">{"".join(parts)}</div>'


def _who(name: str) -> str:
    return f'<p class="rtnb-who"><b>{name}</b></p>'


def _said(text: str) -> str:
    return f'<p class="rtnb-said" dir="auto">{escape(text)}</p>'


def _line(text: str, kind: str) -> str:
    return f'<p class="{kind}" dir="auto">{escape(text)}</p>'


def _sound(clip: Clip, width: int, what: str, name: str, file: str, heard: float | None = None) -> str:
    picture = waveform_html(clip.samples, clip.rate, width=width, height=48, heard_seconds=heard)
    if clip.seconds > MAX_INLINE_SECONDS:
        player = (
            f'<p class="rtnb-none">{duration(clip.seconds)} of sound is too long to be kept in the notebook '
            f"(the limit is {duration(MAX_INLINE_SECONDS)}). Write it to a file: "
            f"<code>{name}.write(&quot;{file}&quot;)</code></p>"
        )
    else:
        player = player_html(clip.samples, clip.rate, label=f"Play {what}, {duration(clip.seconds)}")
    return f'<div class="rtnb-sound">{picture}{player}</div>'


def _call(call: Call, turn: TurnView) -> str:
    head = f"<p><code><b>{escape(call.name)}</b>({_arguments(call.arguments)})</code></p>"
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
        return escape(text)
    if not isinstance(given, dict):
        return escape(text)
    return ", ".join(f"{escape(key)}={escape(repr(value))}" for key, value in given.items())


def _folded(lead: str, text: str) -> str:
    if len(text) <= _LONG:
        return f"<p>{lead} <code>{escape(text)}</code></p>"
    start = escape(text[:80].rstrip())
    return (
        f"<details><summary>{lead} <code>{start}…</code> ({len(text):,} letters)</summary>"
        f"<code>{escape(text)}</code></details>"
    )


def _foot(turn: TurnView) -> str:
    parts = [f"<span>turn {max(turn.number, 0)}</span>"]
    quick = words.latency(turn)
    if quick is not None:
        parts.append(f'<span title="{escape(quick[1])}">{escape(quick[0])}</span>')
    if turn.sound is not None:
        parts.append(f"<span>{duration(turn.sound.seconds)} of audio</span>")
    counted = words.tokens(turn.usage)
    if counted is not None:
        parts.append(f"<span>{escape(counted)}</span>")
    price = words.money(turn)
    if price is not None:
        parts.append(f'<span title="{escape(repr(turn.cost) if turn.cost is not None else price)}">')
        parts[-1] += f"{escape(price)}</span>"
    parts.append(f"<span>{escape(words.model(turn))}</span>")
    honest = words.speaker(turn)
    note = "".join(f"<br>{escape(said)}" for said in (honest, turn.origin) if said)
    return f'<p class="rtnb-foot"><small>{" · ".join(parts)}{note}</small></p>'
