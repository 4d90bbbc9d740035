"""What a log returns: one frame as an `Entry`, some of them as `Columns` or as a `LogColumnsView`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from ..redaction import clean_name
from .events import Direction, parse_object
from .log_storage import Cut

__all__ = [
    "NO_TURN",
    "SERVER",
    "Appended",
    "Columns",
    "Entry",
    "LogColumnsView",
    "WhichTurns",
    "turn_numbers",
]

SERVER = 0x8000
"""The bit of a kind that marks a frame of the server; the other bits are the index of its type in names."""


@dataclass(slots=True)
class Columns:
    """``n`` events of a log from the index ``first`` on, ``m`` of them with their audio cut out.

    ``kinds``, ``turns``, ``times`` (ns since the log's first event) and ``lengths`` (bytes of each stored
    frame) have shape ``(n,)``; ``sound_rows`` (counted from ``first``), ``sound_cuts`` (the offset of the
    base64 in the frame) and ``sound_lengths`` (decoded bytes) have shape ``(m,)``. From ``wall_rows`` on,
    ``walls`` + time is the wall clock in ns since 1970.
    """

    first: int
    names: list[str]
    kinds: NDArray[np.uint16]
    turns: NDArray[np.int32]
    times: NDArray[np.int64]
    lengths: NDArray[np.uint32]
    sound_rows: NDArray[np.uint32]
    sound_cuts: NDArray[np.uint32]
    sound_lengths: NDArray[np.uint32]
    wall_rows: NDArray[np.uint32]
    walls: NDArray[np.int64]
    frames: bytes = b""
    """The frames end to end, without the base64 that was cut out."""
    sounds: Sequence[bytes] = ()
    """What the base64 decodes to, one for each of ``sound_rows``."""

    def __len__(self) -> int:
        return len(self.kinds)


NO_TURN = -1
"""The turn number of a frame without a turn: session events, limits, silence between turns."""


class Numbered(Protocol):
    """Anything with a turn's number: a live turn, a recorded one, or its state."""

    @property
    def number(self) -> int:
        """The turn number of its frames."""
        ...


WhichTurns = int | Numbered | Iterable[int | Numbered]
"""Turns by number or as objects, one or several."""


def turn_numbers(turn: Any) -> range | set[int]:
    """Return the numbers of some turns. Raises ArgumentError for anything but ``WhichTurns``."""
    if isinstance(turn, range):  # it may be very long, as range(5, 10**9) for all turns from 5 on
        return turn
    several = isinstance(turn, Iterable) and not isinstance(turn, (str, bytes))
    found: set[int] = set()
    for one in turn if several else (turn,):
        number = getattr(one, "number", one)
        if not isinstance(number, (int, np.integer)) or isinstance(number, bool):
            raise ArgumentError(
                f"turn: expected a turn, its number, such as 0, or several of them, got {one!r:.80}"
            )
        found.add(int(number))
    return found


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame.

    ``t`` is in seconds since the log began, by the monotonic clock of the side that kept the log; ``wall``
    is the same moment in seconds since 1970. ``frame`` has the exact bytes that were sent or received.
    """

    index: int
    direction: Direction
    type: str
    t: float
    wall: float
    turn: int
    frame: bytes

    @property
    def raw(self) -> str:
        """The frame as text."""
        return self.frame.decode("utf-8", "surrogateescape")

    @property
    def data(self) -> dict[str, Any]:
        """The frame as a dict, parsed at each call; {} for a frame that is not a JSON object."""
        return parse_object(self.frame)

    def __repr__(self) -> str:
        arrow = "↑" if self.direction == "client" else "↓"
        return f"<{self.index} {self.t:9.3f}s {arrow} {clean_name(self.type)} ({len(self.frame):,} bytes)>"


class Appended(NamedTuple):
    """An event that was appended: ``frame`` is without the base64 that was ``cut`` out of it."""

    row: int
    direction: Direction
    type: str
    t_ns: int
    wall_ns: int
    turn: int
    frame: bytes
    cut: Cut | None


@dataclass(frozen=True, slots=True)
class LogColumnsView:
    """Some rows of a log as columns of shape ``(n,)``, which is faster than an `Entry` for each.

    ``kinds`` are the index of the type in ``Log.names`` with the bit ``SERVER``, ``times`` ns since the log
    began. ``frames`` are as stored: without the base64 that was cut out.
    """

    kinds: NDArray[np.uint16]
    turns: NDArray[np.int32]
    times: NDArray[np.int64]
    frames: list[bytes]
