"""What a turn says so far, as the lines and labels of a live widget. Cheap: no audio is touched."""

from __future__ import annotations

from typing import Any

from ..analysis import labels
from ..analysis.turn import Call
from ..protocol.state import SessionState
from ..redaction import clean_text
from ..render.turn_card import LONG, answer_lines, call_parts
from ..session.turn import Turn

__all__ = ["card", "lines", "usage"]


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
    """Return how a turn ended unless it was completed; while it is being interrupted, the word alone."""
    if turn.status == "interrupted" and turn.played is None:
        return "Interrupted."
    return labels.ending(turn) or ""


def card(turn: Turn) -> dict[str, Any]:
    """Return who answered, the lines of the answer and the figures at the foot, as its card has them."""
    ending = clean_text(_ending(turn)) if turn.done else ""
    answer: list[dict[str, Any]] = []
    for line in answer_lines(turn):
        if isinstance(line, Call):
            name, arguments, lead, output = call_parts(line, turn)
            failed = line.error is not None
            folded = len(output) > LONG
            parts = {"name": name, "arguments": arguments, "lead": lead, "output": output}
            answer.append({"call": {**parts, "failed": failed, "folded": folded}})
        else:
            texts = [[clean_text(item.text.strip()), item.phase == "commentary"] for item in line]
            answer.append({"texts": texts, "note": "", "failed": turn.status == "failed"})
    if ending and "note" in answer[-1]:
        answer[-1]["note"] = ending
    elif turn.done and answer == [{"texts": [], "note": "", "failed": False}]:
        answer[0]["note"] = "Nothing was answered."
    return {
        "by": clean_text(labels.answerer(turn)),
        "embedded": bool(turn.engine),
        "answer": answer,
        "foot": labels.chips(turn),
    }


def usage(state: SessionState, billed: bool) -> str:
    """Return what a session has used so far: tokens and, where prices are known, dollars."""
    used = state.usage
    if not used.total_tokens:
        return "no tokens yet"
    cost = used.cost(state.row, billed=billed)
    price = "no price known" if cost is None else str(cost) if billed else f"would cost {cost}, not billed"
    tokens_in = f"{used.input_tokens:,} tokens in ({used.cached_tokens:,} cached)"
    return f"{tokens_in}, {used.output_tokens:,} out · {price}"
