"""A turn in words: how it ended, how long it took, what it cost. For cards and the command line alike."""

from __future__ import annotations

import re

from ..formatting import duration, milliseconds
from ..protocol.usage import Usage
from .turn import TurnView

__all__ = [
    "answer_note",
    "answered_by",
    "answerer",
    "chips",
    "ending",
    "engine_note",
    "latency",
    "money",
    "tokens",
    "wait",
]

_SINCE = {
    "speech_end": "from the end of speech",
    "requested": "from the request",
    "committed": "from the commit of the input",
    "created": "from the start of the response",
}


def ending(turn: TurnView, *, drawn: bool = True) -> str | None:
    """Return how a turn ended and why, as a sentence or two; None if it was completed.

    ``drawn`` is whether its audio is shown beside it, the part that was not played hatched.
    """
    status, why = turn.status, turn.reason
    if status == "completed":
        return None
    if status == "in_progress":
        return "In progress: this is what has arrived so far."
    if status == "interrupted":
        return f"Interrupted{_played(turn, drawn)}"
    if status == "cancelled":
        return "Cancelled: what had arrived by then is kept." + _played(turn, drawn, " Of it, ")
    if status == "incomplete":
        cause = {
            "max_output_tokens": "the answer reached the limit of output tokens",
            "content_filter": "a content filter stopped the answer",
        }
        return f"Incomplete: {cause.get(why or '', why) or 'the service reported no reason'}."
    text = str(turn.error or why or "the service reported no reason")
    return f"Failed: {text}" + ("" if text.endswith((".", "!", "?")) else ".")


def _played(turn: TurnView, drawn: bool, lead: str = ": ") -> str:
    played, audio = turn.played, turn.audio_so_far
    if played is None or audio is None:
        return "" if lead != ": " else ": the user spoke."
    share = f"{duration(min(played, audio.seconds))} of {duration(audio.seconds)} played."
    return f"{lead}{share}" + (" The hatched part was generated but not played." if drawn else "")


def latency(turn: TurnView) -> tuple[str, str] | None:
    """Return the latency of the answer and from when it is counted; None if there is none.

    None too for a replay that was not in real time.
    """
    seen = turn.latency
    if turn.time_scaled:
        return None
    if seen.first_audio is None and seen.first_text is None:
        return None
    return str(seen), _SINCE.get(seen.since, "")


def wait(turn: TurnView) -> tuple[float, str] | None:
    """Return the ms that the user waited for the answer's sound, or text, and what they are, in words.

    None if it is unknown, and for a replay that was not in real time.
    """
    seen = turn.latency
    if turn.time_scaled:
        return None
    for name in ("first_sound", "first_audio", "first_text"):
        if (ms := getattr(seen, name)) is not None:
            return ms, f"{name.replace('_', ' ')} {_SINCE.get(seen.since, '')}".strip()
    return None


def tokens(usage: Usage) -> str | None:
    """Return input and output tokens by kind; None if there are none."""
    return str(usage) if usage.total_tokens else None


def money(turn: TurnView) -> str | None:
    """Return what the turn costs. An unknown price is "unpriced", never $0; None if no token was used."""
    if not turn.usage.total_tokens:
        return None
    cost = turn.cost
    if cost is None:
        return "unpriced"
    amount = str(cost)
    if cost.excludes:
        asr = all(kind.startswith("transcription") for kind in cost.excludes)
        amount += ", transcription: no price known" if asr else ", not all of it priced"
    return amount if turn.billed else f"would cost {amount}"


def chips(turn: TurnView) -> list[tuple[str, str, str]]:
    """Return the wait, the audio, the tokens and the money of a turn, as far as they are known.

    Each is a figure between its words: ``("", "448 ms", "wait")``, ``("would cost", "$0.0122", "")``. Cheap:
    no audio is touched.
    """
    found, waited, used = [], wait(turn), turn.usage
    if waited is not None:
        found.append(("", f"{milliseconds(waited[0])} ms", "wait"))
    seconds = sum(item.audio_ms for item in turn.items) / 1000
    if seconds:
        found.append(("", duration(seconds), "of audio"))
    if used.total_tokens:
        cached = f"tokens, {used.cached_tokens:,} cached" if used.cached_tokens else "tokens"
        found.append(("", f"{used.input_tokens:,} → {used.output_tokens:,}", cached))
        cost = turn.cost
        before = "" if cost is None or turn.billed else "would cost"
        found.append((before, "unpriced" if cost is None else str(cost), ""))
    return found


def answered_by(engine: str, model: str, voice: str = "") -> str:
    """Return who really answered: the language model and, if it spoke, the voice.

    ``voice`` is the session's, "" for an answer without audio. Of an embedded engine its own parts are named,
    never the model and the voice that the session asked for.
    """
    name, _, rest = engine.partition(",")
    if not engine:
        return " + ".join(filter(None, (model or "an unnamed model", voice)))
    if name != "local":
        return "fake engine" if name == "fake" else name
    llm = _own_llm(engine) or "SmolLM2-135M"
    tts = next((one[4:].partition(":")[0] for one in rest.split(",") if one.startswith("tts=")), "hibari")
    return f"{llm} + {'Hibari' if tts == 'hibari' else tts}" if voice else llm


def answerer(turn: TurnView) -> str:
    """Return who really answered a turn, as `answered_by` does; "" without an answer."""
    if not any(item.type == "function_call" or item.text.strip() or item.audio_ms for item in turn.items):
        return ""
    spoken = any(item.audio_ms for item in turn.items)
    return answered_by(turn.engine, turn.model, turn.voice or turn.engine if spoken else "")


def _own_llm(engine: str) -> str:
    """Return the language model that a user put into an engine; of its path only the file's name."""
    own = re.search(r"\bllm=(?:\w+:)?(?:[^,]*[/\\#])?([^,]*)", engine)
    return own[1] if own is not None and own[1] != "llama" else ""


def answer_note(turn: TurnView) -> str | None:
    """Return a note on what answered a turn, and that it is not billed; None for a billed hosted model."""
    if not turn.items:
        return None
    note = engine_note(turn.engine, turn.model)
    if note is not None or turn.billed or not turn.usage.total_tokens:
        return note
    return "Not billed." if turn.cost is None else f"Not billed: the price is that of {turn.model}."


def engine_note(engine: str, model: str) -> str | None:
    """Return a note that an embedded engine answered in place of a hosted model; None without an engine.

    Of a model's path it contains only the file's name, since notebooks are shared.
    """
    if not engine:
        return None
    name = engine.partition(",")[0]
    own = _own_llm(engine)
    if name == "fake":
        return "No model answered: the embedded fake engine quotes its input, and beeps. Not billed."
    place = f"in place of {model or 'a hosted model'}"
    if name == "local" and not own:
        what = "a small stand-in model: fluent but unreliable, not representative of the hosted model"
        return f"The embedded engine answered {place}: {what}. Not billed."
    return f"{own or f'The engine “{name}”'} answered {place}. Not billed."
