"""Items of a conversation and their content parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..audio.codecs import Codec
from ..redaction import clean_name, clean_text
from .events import Event
from .log_storage import Chunk

__all__ = ["Item", "Part"]

_MAX_PARTS = 1000
"""Far more content parts than any item has; a larger index is an error, and nothing is allocated for it."""


@dataclass(slots=True, repr=False)
class Part:
    """One content part of an item.

    ``kind`` is text, audio or image, for all content types of the wire (``input_text``, ``output_text``, …).
    For audio, ``text`` is its transcript and ``chunks`` are its bytes, encoded as ``codec`` says.
    """

    kind: str
    text: str = ""
    chunks: list[Chunk] = field(default_factory=list)
    codec: Codec | None = None
    image_url: str | None = None

    @property
    def data(self) -> bytes:
        """The encoded audio in whole samples: a chunk may end within one."""
        data = b"".join(map(bytes, self.chunks))
        return data[: len(data) - len(data) % self.codec.width] if self.codec is not None else data

    @property
    def ms(self) -> float:
        """The audio's length in milliseconds."""
        if self.codec is None:
            return 0.0
        return sum(map(len, self.chunks)) * 1000 / self.codec.bytes_per_second

    def __repr__(self) -> str:
        length = f", {self.ms / 1000:.2f} s" if self.chunks else ""
        return f"<Part {clean_name(self.kind)}: {_quoted(self.text)}{length}>"


@dataclass(slots=True, repr=False)
class Item:
    """One item of a conversation: a message, a function call or its output.

    ``played_ms`` is set if the item was truncated, or deleted because nothing of it was played: audio after
    it was generated but not played. The text stays as it was generated; the service deletes its own.
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
    """Whether it came through the input audio buffer: only such speech is transcribed."""
    transcribed: bool = False
    """Whether its transcription has completed or failed."""
    transcription_error: str | None = None
    raw: Event = field(default_factory=dict, repr=False, compare=False)

    @property
    def text(self) -> str:
        """All text of the item, spoken or written."""
        return "".join(part.text for part in self.parts if part.kind != "image")

    @property
    def audio_ms(self) -> float:
        """The length of all its audio in milliseconds."""
        return sum(part.ms for part in self.parts)

    def part(self, index: int, kind: str) -> Part:
        """Return the content part at ``index``, created if no event announced it."""
        if not 0 <= index < _MAX_PARTS:
            raise ValueError(f"content_index: expected 0 to {_MAX_PARTS - 1}, got {index}")
        while len(self.parts) <= index:
            self.parts.append(Part(kind))
        part = self.parts[index]
        if not part.kind:
            part.kind = kind
        return part

    def __repr__(self) -> str:
        facts = (self.id, self.type, self.role, self.name, self.status)
        names = " ".join(clean_name(str(fact)) for fact in facts if fact)
        length = f", {self.audio_ms / 1000:.2f} s of audio" if self.audio_ms else ""
        return f"<Item {names}: {_quoted(self.text or self.arguments or self.output or '')}{length}>"


def _quoted(text: str) -> str:
    clean = clean_text(text)
    return repr(clean if len(clean) <= 60 else f"{clean[:59]}…")
