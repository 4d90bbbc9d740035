"""What a turn comes to, in words: for the card and for the command line alike."""

from __future__ import annotations

import re

from ..formatting import duration
from ..protocol.usage import Cost, Usage
from .turn import TurnView

__all__ = ["dollars", "ending", "honest", "latency", "model", "money", "speaker", "tokens"]

_SINCE = {
    "speech_end": "from the end of speech",
    "requested": "from the request",
    "committed": "from the taking of the input",
    "created": "from the beginning of the response",
}


def ending(turn: TurnView, *, drawn: bool = True) -> str | None:
    """Return how a turn ended and why, as a sentence or two; None where it ended as it should.

    ``drawn`` is whether its sound is seen beside it, what was not heard of it hatched.
    """
    status, why = turn.status, turn.reason
    if status == "completed":
        return None
    if status == "in_progress":
        return "In progress: this is what has arrived so far."
    if status == "interrupted":
        return f"Interrupted{_heard(turn, drawn)}"
    if status == "cancelled":
        return "Cancelled: what had arrived by then is kept." + _heard(turn, drawn, " Of it, ")
    if status == "incomplete":
        cause = {
            "max_output_tokens": "the answer reached the limit of output tokens",
            "content_filter": "a content filter stopped the answer",
        }
        return f"Incomplete: {cause.get(why or '', why) or 'the service gave no reason'}."
    text = str(turn.error or why or "the service gave no reason")
    return f"Failed: {text}" + ("" if text.endswith((".", "!", "?")) else ".")


def _heard(turn: TurnView, drawn: bool, lead: str = ": ") -> str:
    heard, sound = turn.played, turn.audio_so_far
    if heard is None or sound is None:
        return "" if lead != ": " else ": the user spoke."
    made = f"{duration(min(heard, sound.seconds))} of {duration(sound.seconds)}"
    return f"{lead}{made} were heard." + (" The hatched rest was made and not heard." if drawn else "")


def latency(turn: TurnView) -> tuple[str, str] | None:
    """Return how fast the answer came, and from when that is counted; None where nothing came.

    None too for a replay at another speed than life's.
    """
    seen = turn.latency
    if turn.time_scaled:
        return None
    if seen.first_audio is None and seen.first_text is None:
        return None
    return str(seen), _SINCE.get(seen.since, "")


def tokens(usage: Usage) -> str | None:
    """Return tokens in and out by kind; None where there are none."""
    return str(usage) if usage.total_tokens else None


def money(turn: TurnView) -> str | None:
    """Return what the turn costs. An unknown price is "unpriced", never $0; None where no token was used."""
    if not turn.usage.total_tokens:
        return None
    cost = turn.cost
    if cost is None:
        return "unpriced"
    amount = dollars(cost)
    if cost.excludes:
        ears = all(said.startswith("transcription") for said in cost.excludes)
        amount += ", transcription unpriced" if ears else ", not all of it priced"
    return amount if turn.billed else f"would cost {amount}"


def dollars(cost: Cost) -> str:
    """Return an amount: four places, and what is less is not $0."""
    return "under $0.0001" if 0 < cost < 0.0001 else str(cost)


def model(turn: TurnView) -> str:
    """Return who answered: the model, or the embedded engine in its place."""
    return "embedded engine" if turn.engine else turn.model or "an unnamed model"


def speaker(turn: TurnView) -> str | None:
    """Return the honest word on who answered a turn, and that nobody pays for it; None for a hosted model."""
    if not turn.items:
        return None
    said = honest(turn.engine, turn.model)
    if said is not None or turn.billed or not turn.usage.total_tokens:
        return said
    return "Not billed." if turn.cost is None else f"Not billed: the price is that of {turn.model}."


def honest(engine: str, model: str) -> str | None:
    """Return the honest word on what an embedded engine said in a model's place; None without one.

    Of a model's path it tells the file's name alone, since notebooks travel.
    """
    if not engine:
        return None
    name = engine.partition(",")[0]
    own = re.search(r"\bllm=(?:\w+:)?(?:[^,]*[/\\#])?([^,]*)", engine)
    if name == "fake":
        return "No model answered: the embedded fake engine quotes its input, and beeps. Not billed."
    place = f"in place of {model or 'a hosted model'}"
    if name == "local" and own is None:
        who = "The embedded engine's small model"
        return f"{who} answered {place}: fluent, often silly, and no measure of it. Not billed."
    return f"{own[1] if own else f'The engine “{name}”'} answered {place}. Not billed."
