"""The turns of a session: all that were promised, the one that runs, and those that wait for it.

The protocol allows one response at a time in the conversation, so turns go one after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ..errors import RtnbError
from ..protocol.events import Event
from .content import Content
from .turn import Turn

__all__ = ["TurnQueue", "Waiting"]


class Waiting(NamedTuple):
    """A turn that was promised, and what is to be sent for it when it is its time."""

    turn: Turn
    given: list[Content]
    """Its input; nothing where that was committed already."""
    response: Event


class TurnQueue:
    """Knows each turn by what names it on the wire; ``make`` makes one that the server opened."""

    def __init__(self, make: Callable[[int], Turn]) -> None:
        self.all: list[Turn] = []
        """In the order in which they were promised."""
        self.current: Turn | None = None
        """The turn that runs in the conversation; one out of band never does."""
        self._make = make
        self._numbered: dict[int, Turn] = {}
        self._bringing: dict[str, Turn] = {}
        self._waiting: deque[Waiting] = deque()

    def wait(self, turn: Turn, given: list[Content], response: Event) -> None:
        """Let a turn wait for its time; one whose input is committed goes first."""
        waiting = Waiting(turn, given, response)
        if given:
            self._waiting.append(waiting)
        else:
            self._waiting.appendleft(waiting)

    def waits(self, turn: Turn) -> bool:
        """Tell whether a turn waits for its time."""
        return not turn.done and any(waiting.turn is turn for waiting in self._waiting)

    @property
    def committed(self) -> bool:
        """Whether committed input waits for its answer, which would answer all that is said until then."""
        return any(not waiting.given and not waiting.turn.done for waiting in self._waiting)

    def next(self) -> Waiting | None:
        """Return the first that waits and was not given up; None while a turn runs."""
        while self._waiting and self.current is None:
            waiting = self._waiting.popleft()
            if not waiting.turn.done:
                return waiting
        return None

    def number(self, number: int, turn: Turn) -> None:
        """Know a turn by the number that the log gave it, in place of one that was dropped."""
        before = self._numbered.get(number)
        if before is not None and before.done:
            before.detach()
        self._numbered[number] = turn

    def known(self, number: int) -> Turn | None:
        """Return the turn of a number, if one was promised."""
        return self._numbered.get(number)

    def of(self, number: int) -> Turn:
        """Return the turn of a number; one that the server opened gets its promise here."""
        return self._numbered.get(number) or self.begun(number)

    def begun(self, number: int) -> Turn:
        """Promise the turn of a number, in place of one that was given up."""
        turn = self._numbered[number] = self._make(number)
        self.all.append(turn)
        return turn

    def bring(self, event_id: str, turn: Turn) -> None:
        """Remember that an event brings input of a turn, until that turn is over."""
        self._bringing[event_id] = turn

    def brought_by(self, event_id: str | None) -> Turn | None:
        """Return the turn whose input an event brings."""
        return self._bringing.get(event_id or "")

    def end(self, turn: Turn) -> None:
        """Forget what a turn that is over was known by while it ran."""
        self._bringing = {id: other for id, other in self._bringing.items() if other is not turn}
        if self.current is turn:
            self.current = None

    def fail(self, why: RtnbError) -> None:
        """Fail all that is not over."""
        self.current = None
        self._waiting.clear()
        for turn in self.all:
            turn.finish(why)
