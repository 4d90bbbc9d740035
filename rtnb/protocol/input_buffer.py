"""The input audio buffer, as the frames show it: what was appended and is not part of an item yet."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..audio.codecs import Codec
from .log_storage import Chunk, cut

__all__ = ["InputBuffer"]


@dataclass(slots=True)
class Mark:
    """A commit, a clear or a change of format that the client sent and the server has not answered."""

    verb: str
    position: int  # bytes of input since the session began
    event_id: str


class InputBuffer:
    """Appended bytes with their position in the session."""

    def __init__(self) -> None:
        self.start = 0  # position of the first byte kept
        self.end = 0
        self.chunks: deque[Chunk] = deque()
        self.marks: deque[Mark] = deque()
        self.speech: dict[str, list[float | None]] = {}  # item id → [start ms, end ms]

    def append(self, data: Chunk) -> None:
        """Add what the client appended."""
        self.chunks.append(data)
        self.end += len(data)

    def mark(self, verb: str, event_id: str) -> None:
        """Note that the client sent ``commit``, ``clear`` or ``update`` here."""
        self.marks.append(Mark(verb, self.end, event_id))

    def pop_mark(self, verb: str) -> Mark | None:
        """Return and forget the oldest mark of a verb: the server has answered it."""
        for mark in self.marks:
            if mark.verb == verb:
                self.marks.remove(mark)
                return mark
        return None

    def refuse(self, event_id: str) -> None:
        """Forget the mark of an event that the server refused."""
        self.marks = deque(mark for mark in self.marks if mark.event_id != event_id)

    def drop_to(self, position: int) -> None:
        """Forget everything before a position."""
        while self.chunks and self.start + len(self.chunks[0]) <= position:
            self.start += len(self.chunks.popleft())
        if self.chunks and self.start < position:
            self.chunks[0] = cut(self.chunks[0], position - self.start, len(self.chunks[0]))
            self.start = position

    def take(self, start: int, end: int) -> list[Chunk]:
        """Return the audio between two positions and forget everything up to ``end``."""
        found, at = [], self.start
        for chunk in self.chunks:
            first, last = max(start - at, 0), min(end - at, len(chunk))
            if first < last:
                found.append(cut(chunk, first, last))
            at += len(chunk)
        self.drop_to(end)
        return found

    def take_speech(self, item_id: str, codec: Codec) -> list[Chunk]:
        """Return the audio of a committed item: the detected speech, or all up to the client's commit."""
        span = self.speech.pop(item_id, None)
        if span is None or span[1] is None:
            mark = self.pop_mark("commit")
            return self.take(self.start, mark.position if mark else self.end)
        per_ms, width = codec.bytes_per_second / 1000, codec.width
        first = int((span[0] or 0) * per_ms) // width * width
        return self.take(first, int(span[1] * per_ms) // width * width)

    def change_codec(self, before: Codec, after: Codec) -> None:
        """Continue in another format from where the client asked for it; what was not committed is dropped.

        Positions are bytes in the new format, so that they still measure the time since the session began.
        """
        mark = self.pop_mark("update")
        if before == after:
            return
        position = mark.position if mark else self.end
        self.drop_to(position)
        samples = position * after.bytes_per_second // before.bytes_per_second // after.width
        moved = samples * after.width - position
        self.start, self.end = max(self.start, position) + moved, self.end + moved
        for each in self.marks:
            each.position += moved
