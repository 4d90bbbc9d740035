"""Which rows are shown: those that pass the chips and the search, with a heading where a turn begins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..protocol.entries import NO_TURN
from .event_rows import CHIPS, Rows
from .event_search import Search, pattern_finder, text_finder

__all__ = ["Line", "Selection", "Wanted"]

_SIDES = {"client": 0, "server": 1}
_BUDGET = 0.03
_MOST_BUDGET = 0.2
"""Seconds that one update takes, about, at first and once there is much to do: the page may then ask again,
or for something else."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to see. ``chips`` are names of ``CHIPS``, "client" and "server"; none of a kind means all.

    ``each`` shows every event in a row of its own; ``regex`` takes ``query`` as a regular expression.
    """

    chips: frozenset[str] = frozenset()
    query: str = ""
    regex: bool = False
    each: bool = False

    @classmethod
    def of(cls, message: Any) -> Wanted:
        """Read what a page sends; invalid parts of it are ignored."""
        fields = message if isinstance(message, dict) else {}
        chips = fields.get("chips")
        known = {*CHIPS, *_SIDES}
        return cls(
            frozenset(chip for chip in chips if chip in known) if isinstance(chips, list) else frozenset(),
            str(fields.get("query") or ""),
            bool(fields.get("regex")),
            bool(fields.get("each")),
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One line to show: a turn's heading, or a row with its first event and how many events it has."""

    kind: Literal["turn", "row"]
    turn: int
    event: int
    count: int


class Selection:
    """The lines of some rows, numbered from 0. ``update`` takes in what is new.

    Raises ArgumentError for a query that is not a valid pattern.
    """

    def __init__(self, rows: Rows, wanted: Wanted) -> None:
        self.rows = rows
        self.wanted = wanted
        self.searched = 0
        """Events that the search has looked at; all, if there is no query."""
        self.stable = 0
        """Lines before this one stay as they are, however the log grows."""
        self._search: Search | None = None
        if wanted.query:
            find = pattern_finder(wanted.query) if wanted.regex else text_finder(wanted.query)
            self._search = Search(rows.events, find)
        self._kept = np.zeros(0, np.int64)  # rows, or events where each is shown
        self._heads = np.zeros(0, np.int64)  # the lines that are headings
        self._state = (-1, -1)
        self._budget = _BUDGET
        self._goal = 0

    def __len__(self) -> int:
        return len(self._kept) + len(self._heads)

    @property
    def last_heading(self) -> int:
        """The line of the last heading, whose turn may go on; 0 if there is none."""
        return int(self._heads[-1]) if len(self._heads) else 0

    @property
    def whole(self) -> bool:
        """Whether all events that there were at the last update were taken and searched."""
        return self.searched >= self._goal

    def update(self) -> None:
        """Take in what is new, for a moment. Raises ArgumentError for a pattern that takes too long."""
        self._take(self._budget)
        self._budget = _BUDGET if self.whole else min(2 * self._budget, _MOST_BUDGET)

    def finish(self) -> None:
        """Take in all that is new, however long that takes."""
        self._take(None)

    def _take(self, seconds: float | None) -> None:
        rows = self.rows
        self._goal = len(rows.events)
        rows.extend(seconds)
        if self._search is not None:
            self._search.look(rows.size, seconds)
        self.sift()

    def sift(self) -> None:
        """Choose among what the rows have taken already."""
        rows = self.rows
        self.searched = rows.size if self._search is None else self._search.done
        state = (rows.size, self.searched)
        if state != self._state:
            self._state = state
            self._sift()

    def _sift(self) -> None:
        rows, wanted = self.rows, self.wanted
        first = rows.first
        leads = np.arange(rows.size) if wanted.each else first  # the event that a line shows
        fits = np.ones(len(leads), bool)
        sides = [_SIDES[chip] for chip in wanted.chips if chip in _SIDES]
        if len(sides) == 1:
            fits &= rows.side[leads] == sides[0]
        about = reduce(int.__or__, (CHIPS[chip] for chip in wanted.chips if chip in CHIPS), 0)
        if about:
            fits &= (rows.about[leads] & np.uint8(about)) != 0
        if self._search is not None:
            hit = np.zeros(len(leads), bool)
            hit[self._search.hits if wanted.each else rows.row_of[self._search.hits]] = True
            fits &= hit
        self._kept = np.flatnonzero(fits)
        turns = rows.row_turn
        shown = (turns[rows.row_of] if wanted.each else turns)[self._kept]
        heads = _headings(shown)
        self._heads = heads + np.arange(len(heads))
        self._settle(first, heads)

    def _settle(self, first: NDArray[np.int32], heads: NDArray[np.int64]) -> None:
        """Find the line from which on an event that comes, or is found, may change something."""
        rows = self.rows
        settled = rows.settled
        if self.searched < rows.size:
            still = np.flatnonzero(rows.last >= self.searched)
            settled = min(settled, int(still[0]) if len(still) else settled)
        if self.wanted.each:
            settled = self.searched
        kept = int(np.searchsorted(self._kept, settled))
        self.stable = kept + int(np.searchsorted(heads, kept))

    def lines(self, start: int, stop: int) -> list[Line]:
        """Return the lines from ``start`` to before ``stop``, as far as there are any."""
        found = []
        for line in range(max(start, 0), min(stop, len(self))):
            before = int(np.searchsorted(self._heads, line, "right"))
            heading = before > 0 and self._heads[before - 1] == line
            number = int(self._kept[line - before + heading])
            event, count = (number, 1) if self.wanted.each else self.rows.row(number)
            turn = self.rows.turn_of(event)
            found.append(Line("turn" if heading else "row", turn, event, count))
        return found

    def line_of(self, event: int) -> int:
        """Return the line that shows an event; -1 if none does."""
        if not 0 <= event < self.rows.size:
            return -1
        number = event if self.wanted.each else self.rows.row_at(event)
        at = int(np.searchsorted(self._kept, number))
        if at >= len(self._kept) or self._kept[at] != number:
            return -1
        # Headings stand before it: each moves it by one line.
        plain = self._heads - np.arange(len(self._heads))
        return at + int(np.searchsorted(plain, at, "right"))


def _headings(turns: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return before which of the rows a heading stands, given their turns.

    Rows of no turn belong to where they stand: limits and silence between turns do not end one.
    """
    if not len(turns):
        return np.zeros(0, np.int64)
    known = np.where(turns == NO_TURN, -1, np.arange(len(turns)))
    last = np.maximum.accumulate(known)  # the last row with a known turn
    turn = np.where(last < 0, NO_TURN, turns[np.maximum(last, 0)])
    return np.flatnonzero(np.concatenate([[True], turn[1:] != turn[:-1]]))
