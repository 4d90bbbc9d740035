"""`table` and `compare`: turns of one or many sessions and recordings, side by side."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..analysis.comparison import Comparison, Side
from ..analysis.session import SessionView
from ..analysis.turn import TurnView
from ..analysis.turn_table import TurnTable
from ..errors import ArgumentError
from ..formatting import turn_number
from ..recordings.recording import Recording
from ..recordings.recording import open as open_recording

__all__ = ["compare", "table"]

_EXPECTED = "expected sessions, recordings, their paths, turns, or lists of turns"


def table(things: Any) -> TurnTable:
    """Return the turns of one or many sessions as a table with players, transcript, wait, tokens and cost.

    ``things`` is a session, a recording or the path of one, a turn, or a list of these; a dict names them.
    In a notebook the table can be sorted and filtered, ``to_frame`` returns it as a DataFrame, and
    ``print`` shows it as text::

        print(rtnb.table({"before": "a.rtnb", "after": "b.rtnb"}))

        session  turn  you                 answer                wait    tokens      cost
        before      1  Where is my order?  It left on Tuesday.  448 ms  133 → 159  $0.0122
        after       1  Where is my order?  Which order?         391 ms   133 → 49  $0.0041
        2 turns · median wait 420 ms · 266 → 208 tokens · $0.0163

    Raises ArgumentError for anything else, RecordingError for a file that cannot be read.
    """
    if isinstance(things, Mapping):
        named = [(str(name), thing) for name, thing in things.items()]
    else:
        one = isinstance(things, (str, TurnView)) or not isinstance(things, Iterable)
        several = [things] if one else list(things)
        if several and all(isinstance(thing, TurnView) for thing in several):
            return TurnTable(("", turn) for turn in several)
        named = [("", thing) for thing in several]
    sides = list(_numbered(_side(thing, name) for name, thing in named))
    alone = len(sides) == 1 and not isinstance(things, Mapping)
    return TurnTable(("" if alone else side.name, turn) for side in sides for turn in side.turns)


def compare(a: Any, b: Any) -> Comparison:
    """Return two turns, sessions or recordings side by side, with their differences marked.

    Of two sessions, the settings that differ and the sums are compared, and the turns one by one: what was
    said (differing words are marked), how they ended, who answered, the wait, tokens and cost. ``a`` and
    ``b`` are as in `table`. ``differences`` has the lines that differ, and ``print`` shows all as text::

        print(rtnb.compare(s.turns[0], s.turns[1]))

                        Turn 1               Turn 2              difference
        Turn
          answer        It left on Tuesday.  It left on Monday.  differs
          wait          448 ms               391 ms              −57 ms

    Raises as `table` does.
    """
    return Comparison(*_numbered(_side(thing, "") for thing in (a, b)))


def _side(thing: Any, name: str) -> Side:
    """Return what was passed as turns with a name; its session only for a session as a whole."""
    if isinstance(thing, (str, os.PathLike)):
        thing = open_recording(thing)
    if isinstance(thing, SessionView):
        own = thing.path.name if isinstance(thing, Recording) else thing.endpoint
        return Side(name or own, thing.turns, thing)
    if isinstance(thing, TurnView):
        return Side(name or f"Turn {turn_number(thing.number)}", [thing])
    if isinstance(thing, Sequence) and all(isinstance(turn, TurnView) for turn in thing):
        return Side(name or f"{len(thing)} turn{'' if len(thing) == 1 else 's'}", thing)
    raise ArgumentError(f"{_EXPECTED}; got {type(thing).__name__}")


def _numbered(sides: Iterable[Side]) -> Iterator[Side]:
    """Yield sides with names that differ: a second ``x.rtnb`` is ``x.rtnb (2)``."""
    seen: dict[str, int] = {}
    for side in sides:
        count = seen[side.name] = seen.get(side.name, 0) + 1
        yield side if count == 1 else Side(f"{side.name} ({count})", side.turns, side.session)
