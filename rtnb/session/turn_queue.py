"""The turns of a session: all of them, the one in progress, and those queued behind it.

The protocol allows one response at a time in the conversation, so turns go one after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ..analysis.turn_table import TurnList
from ..errors import RtnbError
from ..protocol.events import Event
from .content import Content
from .turn import Turn

__all__ = ["QueuedTurn", "TurnQueue"]


class QueuedTurn(NamedTuple):
    """A turn that waits for the previous one, and what to send for it then."""

    turn: Turn
    content: list[Content]
    """Its input; empty where that was committed already."""
    options: Event


class TurnQueue:
    """Finds turns by the numbers and event ids of their frames; ``make(number)`` makes a `Turn`."""

    def __init__(self, make: Callable[[int], Turn]) -> None:
        self.all: TurnList[Turn] = TurnList()
        """In the order in which they were created."""
        self.current: Turn | None = None
        """The turn in progress in the conversation; never one out of band."""
        self._make = make
        self._by_number: dict[int, Turn] = {}
        self._by_input_event: dict[str, Turn] = {}
        self._queue: deque[QueuedTurn] = deque()

    def enqueue(self, turn: Turn, content: list[Content], options: Event) -> None:
        """Queue a turn; one whose input is committed goes first."""
        queued = QueuedTurn(turn, content, options)
        if content:
            self._queue.append(queued)
        else:
            self._queue.appendleft(queued)

    def is_queued(self, turn: Turn) -> bool:
        """Return whether a turn waits for the previous one."""
        return not turn.done and any(queued.turn is turn for queued in self._queue)

    @property
    def has_queued(self) -> bool:
        """Whether a turn waits for the one in progress."""
        return any(not queued.turn.done for queued in self._queue)

    @property
    def has_committed_input(self) -> bool:
        """Whether committed input waits for its answer; a response would also answer any later input."""
        return any(not queued.content and not queued.turn.done for queued in self._queue)

    def next(self) -> QueuedTurn | None:
        """Remove and return the first queued turn that was not cancelled; None while one is in progress."""
        while self._queue and self.current is None:
            queued = self._queue.popleft()
            if not queued.turn.done:
                return queued
        return None

    def assign(self, number: int, turn: Turn) -> None:
        """Assign a turn its number in the log, replacing a cancelled turn of that number."""
        before = self._by_number.get(number)
        if before is not None and before.done:
            before.detach()
        self._by_number[number] = turn

    def get(self, number: int) -> Turn | None:
        """Return the turn of a number, or None."""
        return self._by_number.get(number)

    def get_or_create(self, number: int) -> Turn:
        """Return the turn of a number, created here if the server initiated it."""
        return self._by_number.get(number) or self.create(number)

    def create(self, number: int) -> Turn:
        """Create a Turn for a server-initiated turn, replacing a cancelled one of that number."""
        turn = self._by_number[number] = self._make(number)
        self.all.append(turn)
        return turn

    def add_input_event(self, event_id: str, turn: Turn) -> None:
        """Remember that an event carries input of a turn, until that turn is done."""
        self._by_input_event[event_id] = turn

    def by_input_event(self, event_id: str | None) -> Turn | None:
        """Return the turn whose input an event carries, or None."""
        return self._by_input_event.get(event_id or "")

    def remove(self, turn: Turn) -> None:
        """Forget the input events of a turn that is done, and that it is in progress."""
        self._by_input_event = {id: other for id, other in self._by_input_event.items() if other is not turn}
        if self.current is turn:
            self.current = None

    def fail_all(self, why: RtnbError) -> None:
        """Fail all turns that are not done."""
        self.current = None
        self._queue.clear()
        for turn in self.all:
            turn.finish("lose", why)
