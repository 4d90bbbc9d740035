"""One exchange and its responses, as they are folded from frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .conversation import Conversation
from .events import Event
from .items import Item
from .models import Model
from .usage import Cost, Usage

__all__ = ["Response", "Turn"]


@dataclass(slots=True)
class Response:
    """One response of a turn, as the wire tells it."""

    id: str
    status: str = "in_progress"
    reason: str | None = None
    error: Event | None = None
    usage: Usage | None = None
    """Its tokens; None where the service has not told them."""
    max_output: int | None = None
    """The most output tokens that it may make, where the service told a number."""
    items: list[str] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    """Its own ``created``, ``first_text``, ``first_audio``, ``last_audio`` and ``done``."""


@dataclass(slots=True)
class Turn:
    """One exchange. ``marks`` are in seconds since the log began; their names are in ``timing.MARKS``."""

    number: int
    inputs: list[str] = field(default_factory=list)
    given: list[Item] = field(default_factory=list)
    """Input that was given to a response out of band alone, and is in no conversation."""
    responses: list[Response] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    errors: list[Event] = field(default_factory=list)
    asked: int = 0
    """Responses that were asked for and not yet begun."""
    transcriptions: dict[tuple[str, Any], Usage] = field(default_factory=dict)
    """What the input's transcription used, by item and content index."""
    aside: bool = False
    """Out of band: not part of the conversation."""

    @property
    def outputs(self) -> list[str]:
        """The ids of all items that the responses made, in order."""
        return [id for response in self.responses for id in response.items]

    @property
    def usage(self) -> Usage:
        """Tokens of all responses and of the input's transcription."""
        transcribed = sum(list(self.transcriptions.values()), Usage())  # it may grow on another thread
        return sum((r.usage for r in self.responses if r.usage is not None), transcribed)

    @property
    def unknown(self) -> int:
        """Of how many responses the service has not told the usage; one that runs is among them."""
        return sum(response.usage is None for response in self.responses)

    def cost(self, row: Model, *, billed: bool = True) -> Cost | None:
        """Return US dollars at a model's prices; None where a price, or all usage, is unknown."""
        if self.responses and self.unknown == len(self.responses):
            return None
        cost = self.usage.cost(row, billed=billed)
        return None if cost is None else cost.lacking(self.unknown)

    @property
    def active(self) -> bool:
        """Whether a response runs, or was asked for and has not begun."""
        return self.asked > 0 or any(r.status == "in_progress" for r in self.responses)

    def status(self, conversation: Conversation) -> str:
        """Return in_progress, completed, cancelled, interrupted, incomplete or failed."""
        if self.active:
            return "in_progress"
        if not self.responses:
            return "failed" if self.errors else "in_progress"
        last = self.responses[-1]
        if last.status == "cancelled":
            return "interrupted" if last.reason == "turn_detected" else "cancelled"
        if last.status == "completed" and any(
            conversation.items[id].heard_ms is not None for id in last.items
        ):
            return "interrupted"
        return last.status

    def mark(self, name: str, t: float) -> None:
        """Note when something happened first."""
        self.marks.setdefault(name, t)
