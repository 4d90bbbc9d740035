"""Searching frames by text or by a pattern: bounded per frame, so that no pattern can block a kernel.

A search goes on from where it stopped, as long as it is given time; so a page may ask in steps and give up
between them. Frames are searched as the log stores them, without their audio.
"""

from __future__ import annotations

import json
import re
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from ..protocol.log import LogView

__all__ = ["Finder", "Search", "pattern_finder", "text_finder"]

Finder = Callable[[Sequence[bytes]], list[int]]
"""Returns the places of those frames that match."""

_STEP = 4096
"""Frames between two looks at the clock."""
_LONGEST = 1000
_BETWEEN = b"\x00"  # no JSON text has it, so nothing is found across two frames
_SECONDS = 0.02
_BYTES_A_SECOND = 20_000_000
"""A pattern gets 20 ms for a frame and 50 ns for each of its bytes: a hundred times what plain ones take."""


def text_finder(text: str) -> Finder:
    """Return what finds a text, in capitals or not (A–Z), in all the ways in which JSON writes it."""
    if len(text) > _LONGEST:
        raise ArgumentError(f"a text to find has at most {_LONGEST:,} characters; got {len(text):,}")
    spellings = (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1])
    wanted = {found.encode("utf-8", "surrogatepass").replace(_BETWEEN, b"").lower() for found in spellings}

    def find(frames: Sequence[bytes]) -> list[int]:
        whole = _BETWEEN.join(frames).lower()
        ends: list[int] | None = None
        found: set[int] = set()
        for needle in wanted:
            at = whole.find(needle)
            while at >= 0:
                ends = ends or list(accumulate(len(frame) + 1 for frame in frames))
                row = bisect_right(ends, at)
                if row >= len(frames):
                    break
                found.add(row)
                at = whole.find(needle, ends[row])  # one find in a frame is enough
        return sorted(found)

    return find


def pattern_finder(pattern: str | re.Pattern[Any]) -> Finder:
    """Return what finds a regular expression in a frame's text; of a str, in capitals or not.

    A str is matched with a time limit per frame; a compiled pattern is taken as it is, in bytes or text.

    Raises ArgumentError if it is not a regular expression, with the reason; and when it is used, if it takes
    too long.
    """
    if isinstance(pattern, re.Pattern):
        return _compiled_finder(pattern)
    if len(pattern) > _LONGEST:
        raise ArgumentError(f"a pattern has at most {_LONGEST:,} characters; got {len(pattern):,}")
    import regex

    try:
        compiled = regex.compile(pattern, regex.IGNORECASE | regex.VERSION0)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        said = str(error) or type(error).__name__
        raise ArgumentError(f"{pattern!r:.80} is not a regular expression: {said}") from None

    def find(frames: Sequence[bytes]) -> list[int]:
        found = []
        for row, frame in enumerate(frames):
            try:
                limit = _SECONDS + len(frame) / _BYTES_A_SECOND
                if compiled.search(frame.decode("utf-8", "replace"), timeout=limit):
                    found.append(row)
            except (TimeoutError, MemoryError, RecursionError):
                raise ArgumentError(
                    f"{pattern!r:.80} takes too long: more than {limit * 1000:.0f} ms on one event. Write it "
                    "without a repeat inside a repeat, or search by text"
                ) from None
        return found

    return find


def _compiled_finder(pattern: re.Pattern[Any]) -> Finder:
    if isinstance(pattern.pattern, bytes):
        return lambda frames: [row for row, frame in enumerate(frames) if pattern.search(frame)]
    return lambda frames: [
        row for row, frame in enumerate(frames) if pattern.search(frame.decode("utf-8", "surrogateescape"))
    ]


class Search:
    """Which of some events fit. ``look`` goes on; ``done`` says how many events were looked at so far."""

    def __init__(self, events: LogView, finder: Finder) -> None:
        self.done = 0
        self._events = events
        self._finder = finder
        self._hits: list[NDArray[np.int64]] = []

    @property
    def hits(self) -> NDArray[np.int64]:
        """The places in the events, shape ``(n,)``, of all that fit so far, in order."""
        if len(self._hits) != 1:
            self._hits = [np.concatenate([np.zeros(0, np.int64), *self._hits])]
        return self._hits[0]

    def look(self, stop: int, seconds: float | None = None) -> NDArray[np.int64]:
        """Look at events up to before ``stop``, for about so long, and return the places that were found.

        Each call takes a step, however short the time.
        """
        until = None if seconds is None else time.perf_counter() + seconds
        found: list[NDArray[np.int64]] = []
        while self.done < stop and not (found and until is not None and time.perf_counter() > until):
            end = min(self.done + _STEP, stop)
            # Of a log that grows, only what is looked at is numbered.
            rows = np.arange(self.done, end) if self._events.grows else self._events.rows[self.done : end]
            frames = self._events.source.columns_of(rows).frames
            found.append(np.array(self._finder(frames), np.int64) + self.done)
            self.done = end
        fresh = np.concatenate([np.zeros(0, np.int64), *found])
        self._hits.append(fresh)
        return fresh
