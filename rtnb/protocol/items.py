"""Items of a conversation and their content parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..audio.codecs import Codec
from .events import Event
from .log_storage import Chunk

__all__ = ["Item", "Part"]

_MOST_PARTS = 1000
"""Far more content parts than any item has: an index past that is an error and not to be made room for."""


@dataclass(slots=True)
class Part:
    """One content part of an item.

    ``kind`` is text, audio or image, whatever the wire calls it (``input_text``, ``output_text``, …). For
    sound, ``text`` is its transcript and ``chunks`` holds the encoded bytes in the form of ``codec``.
    """

    kind: str
    text: str = ""
    chunks: list[Chunk] = field(default_factory=list)
    codec: Codec | None = None
    image_url: str | None = None

    @property
    def data(self) -> bytes:
        """The encoded sound in whole samples: a chunk may end within one."""
        data = b"".join(map(bytes, self.chunks))
        return data[: len(data) - len(data) % self.codec.width] if self.codec is not None else data

    @property
    def ms(self) -> float:
        """The sound's length in milliseconds."""
        if self.codec is None:
            return 0.0
        return sum(map(len, self.chunks)) * 1000 / self.codec.bytes_per_second


@dataclass(slots=True)
class Item:
    """One item of a conversation: a message, a function call or its output.

    ``played_ms`` is set when the item was truncated, or removed because nothing of it was heard: what came
    after was generated and not heard. The text is kept as it was generated; the service deletes its own.
    """

    id: str
    type: str = "message"
    role: str | None = None
    status: str | None = None
    parts: list[Part] = field(default_factory=list)
    call_id: str | None = None
    name: str | None = None
    arguments: str = ""
    output: str | None = None
    played_ms: int | None = None
    response_id: str | None = None
    committed: bool = False
    """Whether it came through the input buffer: only such speech is transcribed."""
    transcribed: bool = False
    """Whether its transcript came, or failed."""
    transcription_error: str | None = None
    raw: Event = field(default_factory=dict, repr=False, compare=False)

    @property
    def text(self) -> str:
        """All text of the item, spoken or written."""
        return "".join(part.text for part in self.parts if part.kind != "image")

    @property
    def audio_ms(self) -> float:
        """The length of all its sound in milliseconds."""
        return sum(part.ms for part in self.parts)

    def part(self, index: int, kind: str) -> Part:
        """Return the content part at ``index``, made if the wire skipped its announcement."""
        if not 0 <= index < _MOST_PARTS:
            raise ValueError(f"content_index is 0 to {_MOST_PARTS - 1}, not {index}")
        while len(self.parts) <= index:
            self.parts.append(Part(kind))
        part = self.parts[index]
        if not part.kind:
            part.kind = kind
        return part
