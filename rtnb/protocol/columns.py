"""Events as columns: what a file keeps of a log, and what a log is made from again at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SERVER", "Columns"]

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
