"""One exchange: what the user said or wrote, and all responses to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..redaction import clean_name
from .changes import ErrorData
from .conversation import Conversation
from .items import Item
from .models import Model
from .usage import Cost, Usage

__all__ = ["Request", "Response", "TurnState"]


@dataclass(slots=True, repr=False)
class Response:
    """One response of a turn, as the server reports it."""

    id: str
    status: str = "in_progress"
    reason: str | None = None
    error: ErrorData | None = None
    usage: Usage | None = None
    """Its tokens; None where the service has not reported them, or not in a form that can be read."""
    max_output: int | None = None
    """The most output tokens that it may make, where the service stated a number."""
    items: list[str] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    """Its own ``created``, ``first_text``, ``first_audio``, ``last_audio`` and ``done``."""
    problems: tuple[str, ...] = ()
    """What could not be read of its end, such as usage in an unknown form."""

    def __repr__(self) -> str:
        reason = f" ({clean_name(self.reason)})" if self.reason else ""
        count = f"{len(self.items)} item{'' if len(self.items) == 1 else 's'}"
        return f"<Response {clean_name(self.id)} {clean_name(self.status)}{reason}: {count}>"


@dataclass(slots=True)
class Request:
    """A ``response.create`` that no response has answered yet."""

    turn: TurnState = field(repr=False, compare=False)
    event_id: str
    metadata: dict[str, Any] | None
    cancelled: float | None = None
    """When the client cancelled it, in seconds since the log began."""


@dataclass(slots=True, repr=False)
class TurnState:
    """One exchange. ``marks`` are in seconds since the log began; their names are in ``timing.MARKS``."""

    number: int
    inputs: list[str] = field(default_factory=list)
    given: list[Item] = field(default_factory=list)
    """Input that was given to an out-of-band response alone, and is in no conversation."""
    responses: list[Response] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    errors: list[ErrorData] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    """Responses that were requested and have not started."""
    transcriptions: dict[tuple[str, int], Usage] = field(default_factory=dict)
    """What the input's transcription used, by item and content index."""
    out_of_band: bool = False
    """Whether it is not part of the conversation."""

    @property
    def outputs(self) -> list[str]:
        """The ids of all items that the responses made, in order."""
        return [id for response in self.responses for id in response.items]

    @property
    def usage(self) -> Usage:
        """Tokens of all responses and of the input's transcription."""
        transcribed = sum(list(self.transcriptions.values()), Usage())  # it may grow on another thread
        ended = [r for r in self.responses if r.usage is not None or r.status != "in_progress"]
        return sum((r.usage or Usage(unknown=1) for r in ended), transcribed)

    @property
    def unknown(self) -> int:
        """How many responses have no known usage; one that runs is among them."""
        return sum(response.usage is None for response in self.responses)

    @property
    def problems(self) -> list[str]:
        """What could not be read of its responses, as sentences."""
        return [problem for response in self.responses for problem in response.problems]

    def cost(self, row: Model, *, billed: bool = True) -> Cost | None:
        """Return US dollars at a model's prices; None where a price, or all usage, is unknown."""
        if self.responses and self.unknown == len(self.responses):
            return None
        cost = self.usage.cost(row, billed=billed)
        return None if cost is None else cost.lacking(self.unknown)

    @property
    def active(self) -> bool:
        """Whether a response runs, or was requested and has not started."""
        waiting = any(request.cancelled is None for request in self.requests)
        return waiting or any(r.status == "in_progress" for r in self.responses)

    def status(self, conversation: Conversation) -> str:
        """Return in_progress, completed, cancelled, interrupted, incomplete or failed."""
        if self.active:
            return "in_progress"
        if not self.responses:
            if self.requests:  # given up before it was answered
                return "cancelled"
            return "failed" if self.errors else "in_progress"
        last = self.responses[-1]
        if last.status == "cancelled":
            return "interrupted" if last.reason == "turn_detected" else "cancelled"
        if last.status == "completed" and any(
            conversation.items[id].played_ms is not None for id in last.items
        ):
            return "interrupted"
        return last.status

    def mark(self, name: str, t: float) -> None:
        """Note when something happened first."""
        self.marks.setdefault(name, t)

    def __repr__(self) -> str:
        counts = f"{len(self.inputs)} inputs, {len(self.responses)} responses"
        return f"<TurnState {self.number}: {counts}{', out of band' if self.out_of_band else ''}>"
