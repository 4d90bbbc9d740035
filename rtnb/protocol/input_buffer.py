"""The input audio buffer, as both sides can know it from the frames."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..audio.codecs import Codec
from .sound import Chunk, cut

__all__ = ["InputBuffer", "Mark"]


@dataclass(slots=True)
class Mark:
    """A commit, a clear or a change of format that the client sent and the server has not answered."""

    verb: str
    position: int  # bytes of input since the session began
    event_id: str | None


class InputBuffer:
    """The input audio buffer, as seen from the frames: appended bytes with their place in the session."""

    def __init__(self) -> None:
        self.start = 0  # position of the first byte kept
        self.end = 0
        self.chunks: deque[Chunk] = deque()
        self.marks: deque[Mark] = deque()
        self.speech: dict[str, list[float | None]] = {}  # item id → [start ms, end ms]

    def append(self, data: Chunk) -> None:
        """Take what the client appended."""
        self.chunks.append(data)
        self.end += len(data)

    def drop_to(self, position: int) -> None:
        """Forget everything before a position."""
        while self.chunks and self.start + len(self.chunks[0]) <= position:
            self.start += len(self.chunks.popleft())
        if self.chunks and self.start < position:
            self.chunks[0] = cut(self.chunks[0], position - self.start, len(self.chunks[0]))
            self.start = position

    def take(self, start: int, end: int) -> list[Chunk]:
        """Return the sound between two positions and forget everything up to ``end``."""
        found, at = [], self.start
        for chunk in self.chunks:
            first, last = max(start - at, 0), min(end - at, len(chunk))
            if first < last:
                found.append(cut(chunk, first, last))
            at += len(chunk)
        self.drop_to(end)
        return found

    def change_codec(self, position: int, before: Codec, after: Codec) -> None:
        """Go on in another form from ``position``: what was not committed by then is dropped.

        Positions are bytes in the present form, so that they still tell the time since the session began.
        """
        self.drop_to(position)
        samples = position * after.bytes_per_second // before.bytes_per_second // after.width
        moved = samples * after.width - position
        self.start, self.end = max(self.start, position) + moved, self.end + moved
        for mark in self.marks:
            mark.position += moved
