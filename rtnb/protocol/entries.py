"""What a log gives out: one frame as an `Entry`, some of them as a `LogView` or, for folds, as a `Look`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, overload

import numpy as np
from numpy.typing import NDArray

from .events import Direction, parse_object

if TYPE_CHECKING:
    from .log import Log

__all__ = ["NO_TURN", "SERVER", "Columns", "Entry", "LogColumnsView", "LogView", "WhichTurns"]

SERVER = 0x8000
"""The bit of a kind that says that the server sent the frame; the rest is the type's place in names."""


@dataclass(slots=True)
class Columns:
    """``n`` events of a log from the index ``first`` on, ``m`` of them with their sound cut out.

    ``kinds``, ``turns``, ``times`` (ns since the log's first event) and ``lengths`` (bytes of each frame as
    it is kept) have shape ``(n,)``; ``sound_rows`` (counted from ``first``), ``sound_cuts`` (where in the
    frame the base64 stood) and ``sound_lengths`` (decoded bytes) shape ``(m,)``. From ``wall_rows`` on,
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
"""The turn of a frame that belongs to none: session events, limits, silence between turns."""


class Numbered(Protocol):
    """A turn of any kind: live, recorded or folded."""

    @property
    def number(self) -> int:
        """The number that its frames carry."""
        ...


WhichTurns = int | Numbered | Iterable[int | Numbered]
"""Which turns are meant: numbers or turns, one or several."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame.

    ``t`` is in seconds since the log began, by the monotonic clock of the side that kept the log; ``wall``
    is the same moment in seconds since 1970. ``frame`` holds the very bytes that crossed the wire.
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
        """The frame as a dict, parsed again at each call; {} for a frame that is no JSON object."""
        return parse_object(self.frame)

    def __repr__(self) -> str:
        arrow = "↑" if self.direction == "client" else "↓"
        return f"<{self.index} {self.t:9.3f}s {arrow} {self.type} ({len(self.frame):,} bytes)>"


@dataclass(frozen=True, slots=True)
class LogColumnsView:
    """Some rows of a log as columns, all of shape ``(n,)``: what a view folds, without an `Entry` for each.

    ``kinds`` hold the type's place in ``Log.names`` and the bit ``SERVER``, ``times`` ns since the log began.
    ``frames`` are as they are kept: without the base64 that was cut out.
    """

    kinds: NDArray[np.uint16]
    turns: NDArray[np.int32]
    times: NDArray[np.int64]
    frames: list[bytes]


class LogView(Sequence[Entry]):
    """Some rows of a log, in order. Slicing and filtering give further views; nothing is copied.

    Without ``rows`` it is the whole log and grows with it.
    """

    def __init__(self, log: Log, rows: NDArray[np.int64] | None = None) -> None:
        self._log = log
        self._rows = rows

    def _of(self, rows: NDArray[np.int64]) -> Self:
        """Return a view like this one, of other rows."""
        return type(self)(self._log, rows)

    @property
    def source(self) -> Log:
        """The log whose rows these are."""
        return self._log

    @property
    def grows(self) -> bool:
        """Whether it is the whole log, with what it will get."""
        return self._rows is None

    @property
    def rows(self) -> NDArray[np.int64]:
        """The indices of the rows now, shape ``(n,)``."""
        return np.arange(len(self._log), dtype=np.int64) if self._rows is None else self._rows

    def __len__(self) -> int:
        return len(self._log) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, key: int) -> Entry: ...
    @overload
    def __getitem__(self, key: slice) -> Self: ...
    def __getitem__(self, key: int | slice) -> Entry | Self:
        if isinstance(key, slice):
            return self._of(self.rows[key])
        return self._log[key] if self._rows is None else self._log.entry(int(self._rows[key]))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._log) if self._rows is None else (self._log.entry(int(row)) for row in self._rows)

    def filter(
        self,
        type: str | Iterable[str] | None = None,
        *,
        turn: WhichTurns | None = None,
        direction: Direction | None = None,
    ) -> Self:
        """Return the rows that fit all that is given.

        ``type`` is a name, a pattern (``"response.*"``) or several of them; ``turn`` a turn's number
        (``NO_TURN`` for the frames of none), a turn itself, or several of either, a range too. Raises
        ArgumentError for another direction, and for what is no type or no turn.
        """
        return self._of(self._log.rows(type, turn=turn, direction=direction, among=self._rows))

    def counts(self) -> Counter[str]:
        """Return how often each type occurs."""
        return self._log.count_types(self._rows)

    def __repr__(self) -> str:
        shown = [repr(entry) for entry in self[:8]]
        if len(self) > 8:
            shown.append(f"… and {len(self) - 8:,} more")
        return "\n".join([f"{len(self):,} events", *shown])
