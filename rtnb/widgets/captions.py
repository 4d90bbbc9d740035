"""What a turn says so far, as the lines and labels of a live widget. Cheap: no audio is touched."""

from __future__ import annotations

from typing import Any

from ..analysis import labels
from ..formatting import duration, turn_number
from ..protocol.state import SessionState
from ..redaction import clean_text
from ..session.turn import Turn

__all__ = ["footer", "lines", "usage"]


def lines(turn: Turn, state: SessionState) -> list[dict[str, Any]]:
    """Return the user's line and the assistant's line of a turn, as messages for the page."""
    number = max(turn.number, 0)
    items = state.conversation.items
    if turn.number >= 0:
        fold = state.turns.all[turn.number]
        inputs = [*fold.given, *(items[id] for id in fold.inputs)]
        question = " ".join(filter(None, (item.text.strip() for item in inputs)))
        awaits, note = turn.awaits_transcript, turn.transcript_note
    else:
        question, awaits = str(turn.input), True
        note = "" if question or turn.input.audio is None else "No transcript yet."
    final = turn.done or (bool(question) and not awaits)
    user = {"who": "user", "text": clean_text(question), "final": final, "note": clean_text(note)}
    verb = "Waiting for an answer to" if turn.waiting else "Calling"
    calls = [f"{verb} {call.name} …" for call in turn.calls if call.output is None and not turn.done]
    note = _ending(turn) if turn.done else " ".join(calls)
    assistant = {
        "who": "assistant",
        "text": clean_text(turn.text_so_far),
        "final": turn.done,
        "note": clean_text(note),
    }
    return [
        {"kind": "line", "key": f"{number}-{line['who']}", "turn": number, **line}
        for line in (user, assistant)
    ]


def _ending(turn: Turn) -> str:
    """Return how a turn ended unless it was completed, without mentioning pictures."""
    if turn.status == "interrupted":
        played, output = turn.played, sum(item.audio_ms for item in turn.items) / 1000
        if played is None:
            return "Interrupted."
        return f"Interrupted: {duration(played)} of {duration(output)} played."
    return labels.ending(turn) or ""


def footer(turn: Turn) -> str:
    """Return a turn's foot line: latency, tokens, cost and model."""
    latencies = labels.latency(turn)
    parts = [
        f"turn {turn_number(turn.number)}",
        latencies[0] if latencies else None,
        labels.tokens(turn.usage),
        labels.money(turn),
        labels.answerer(turn),
    ]
    return " · ".join(filter(None, parts))


def usage(state: SessionState, billed: bool) -> str:
    """Return what a session has used so far: tokens and, where prices are known, dollars."""
    used = state.usage
    if not used.total_tokens:
        return "no tokens yet"
    cost = used.cost(state.row, billed=billed)
    price = "no price known" if cost is None else str(cost) if billed else f"would cost {cost}, not billed"
    tokens_in = f"{used.input_tokens:,} tokens in ({used.cached_tokens:,} cached)"
    return f"{tokens_in}, {used.output_tokens:,} out · {price}"
