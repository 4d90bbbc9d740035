"""Whole text frames, cut out of what a socket received before the WebSocket library parses it.

Nearly all that a session receives is such frames, and to parse one in the library costs more than all else
that is done with it (``tests/bench/client_cost.py``). The rest remains the library's: control frames,
fragments, compressed and malformed frames, and those that arrive in several reads.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["TextFrames"]

_TEXT = 0x81
"""The first byte of a frame that is one whole text message, not compressed (RFC 6455, section 5.2)."""


class TextFrames:
    """Finds the bounds of frames: whole text frames go to ``text``, as payload, all other bytes to ``other``.

    ``other`` gets them in order, and never bytes of two frames at once. ``limit`` is the longest payload that
    ``text`` takes; it takes none while ``enabled`` is False.
    """

    def __init__(
        self, text: Callable[[bytes], None], other: Callable[[bytes], None], limit: float = float("inf")
    ) -> None:
        self.enabled = True
        self._text = text
        self._other = other
        self._limit = limit
        self._held = b""  # the start of a header
        self._owed = 0  # bytes to come of a frame whose start went to ``other``

    def feed(self, data: bytes) -> None:
        """Take what a socket received."""
        if self._held:
            data, self._held = self._held + data, b""
        at, end = 0, len(data)
        if self._owed:
            at = min(self._owed, end)
            self._owed -= at
            self._other(data[:at])
        while end - at >= 2:
            second = data[at + 1]  # 128 if masked, + 7 bits of length; 126 and 127 announce longer ones
            length, start = second & 127, at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[at + 2 : start])
            start += 4 if second >= 128 else 0
            if start > end:
                break
            stop = start + length
            if stop > end:
                self._owed = stop - end
                self._other(data[at:])
                return
            if data[at] == _TEXT and second < 128 and length <= self._limit and self.enabled:
                self._text(data[start:stop])
            else:
                self._other(data[at:stop])
            at = stop
        self._held = data[at:]
