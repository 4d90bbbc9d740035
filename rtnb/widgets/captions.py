"""What a turn says so far, as the lines that a page shows. Cheap: no sound is touched."""

from __future__ import annotations

from typing import Any

from ..analysis import labels
from ..formatting import duration
from ..protocol.state import SessionState
from ..redaction import clean_text
from ..session.turn import Turn

__all__ = ["facts", "lines", "money"]


def lines(turn: Turn, record: SessionState) -> list[dict[str, Any]]:
    """Return the user's line and the assistant's line of a turn, as messages for the page."""
    number = max(turn.number, 0)
    items = record.conversation.items
    if turn.number >= 0:
        fold = record.turns.all[turn.number]
        inputs = [*fold.given, *(items[id] for id in fold.inputs)]
        asked = " ".join(filter(None, (item.text.strip() for item in inputs)))
        spoken = any(item.audio_ms for item in inputs)
        waits = turn.awaits_transcript
    else:
        asked, spoken, waits = str(turn.input), turn.input.audio is not None, True
    note = ""
    if turn.transcription_error:
        note = f"Transcription failed: {turn.transcription_error}"
    elif not asked and spoken:
        note = "No transcript yet." if waits and not turn.done else "No transcript."
    final = turn.done or (bool(asked) and not waits)
    user = {"who": "user", "text": clean_text(asked), "final": final, "note": clean_text(note)}
    running = [f"Calls {call.name} …" for call in turn.calls if call.output is None and not turn.done]
    note = _ending(turn) if turn.done else " ".join(running)
    said = {
        "who": "assistant",
        "text": clean_text(turn.text_so_far),
        "final": turn.done,
        "note": clean_text(note),
    }
    return [{"kind": "line", "key": f"{number}-{one['who']}", "turn": number, **one} for one in (user, said)]


def _ending(turn: Turn) -> str:
    """Return how a turn ended where it did not end as it should, without words on pictures."""
    if turn.status == "interrupted":
        heard, made = turn.played, sum(item.audio_ms for item in turn.items) / 1000
        return (
            "Interrupted."
            if heard is None
            else f"Interrupted: {duration(heard)} of {duration(made)} were heard."
        )
    return labels.ending(turn) or ""


def facts(turn: Turn) -> str:
    """Return a turn's foot line: latency, tokens, money, who answers."""
    quick = labels.latency(turn)
    parts = [
        f"turn {max(turn.number, 0)}",
        quick[0] if quick else None,
        labels.tokens(turn.usage),
        labels.money(turn),
        labels.model(turn),
    ]
    return " · ".join(filter(None, parts))


def money(record: SessionState, billed: bool) -> str:
    """Return what a session has used so far: tokens and, where the prices are known, dollars."""
    usage = record.usage
    if not usage.total_tokens:
        return "no tokens yet"
    cost = usage.cost(record.row, billed=billed)
    price = "unpriced" if cost is None else str(cost) if billed else f"would cost {cost}, not billed"
    into = f"{usage.input_tokens:,} tokens in ({usage.cached_tokens:,} cached)"
    return f"{into}, {usage.output_tokens:,} out · {price}"
