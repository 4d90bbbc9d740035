"""Items of a conversation and their content parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..audio.codecs import Codec
from ..redaction import clean_name, clean_text
from .events import Event
from .log_storage import Chunk

__all__ = ["Item", "Part"]

_MOST_PARTS = 1000
"""Far more content parts than any item has: an index past that is an error, not an order to make room."""

_CERTAIN = 4
"""After so many pieces that repeat the text before them, a server surely sends cumulative text."""


@dataclass(slots=True, repr=False)
class Part:
    """One content part of an item.

    ``kind`` is text, audio or image, whatever the wire calls it (``input_text``, ``output_text``, …). Of
    audio, ``text`` is its transcript and ``chunks`` holds the encoded bytes in the format of ``codec``.
    """

    kind: str
    text: str = ""
    chunks: list[Chunk] = field(default_factory=list)
    codec: Codec | None = None
    image_url: str | None = None
    silent: int = field(default=0, repr=False, compare=False)
    """How many bytes at its start are known to be silence, while no sound was found."""
    _finished: int = field(default=-1, repr=False, compare=False)
    """How much of the text a "done" event has confirmed; -1 before the first of them."""
    _repeats: int = field(default=0, repr=False, compare=False)
    """How many pieces repeated all text before them; -1 once one did not."""
    _joined: str = field(default="", repr=False, compare=False)
    """The text if the first pieces repeat nothing after all."""

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

    def add_text(self, delta: str) -> None:
        """Add a piece of text.

        Some servers repeat the whole text so far in each piece, which shows in every one of them; and some
        finish a text sentence by sentence, and go on after the end without the space between.
        """
        text = self.text
        if self._repeats < 0 or not text:
            self.text = text + self._gap(delta) + delta
        elif delta.startswith(text) and len(delta) > len(text):
            self._repeats += 1
            self._joined = (self._joined or text) + delta if self._repeats < _CERTAIN else ""
            self.text = delta
        else:  # it repeats nothing, so what seemed to was new text
            if 0 < self._repeats < _CERTAIN:
                self.text = text = self._joined
            self.text = text + self._gap(delta) + delta
            self._repeats, self._joined = -1, ""

    def _gap(self, delta: str) -> str:
        ended = 0 < self._finished == len(self.text)
        return " " if ended and not (self.text[-1].isspace() or delta[:1].isspace()) else ""

    def finish_text(self, text: str) -> None:
        """Take a text that the server calls complete; "" leaves what has arrived."""
        before = self.text
        chunk = before[max(self._finished, 0) :]
        if not text or text == before:
            pass
        elif self._finished > 0 and not text.startswith(before):  # complete is only its latest sentence
            if chunk.strip() != text.strip():
                lead = "" if before[: self._finished][-1:].isspace() or text[:1].isspace() else " "
                self.text = before[: self._finished] + lead + text
        else:
            self.text = text
        self._finished = len(self.text)

    def merge_text(self, text: str) -> None:
        """Take the text of a part as an item shows it, unless it is only a piece of what is known."""
        if text and text not in self.text:
            self.text = text


@dataclass(slots=True, repr=False)
class Item:
    """One item of a conversation: a message, a function call or its output.

    ``played_ms`` is set when the item was truncated, or removed because nothing of it was played: the
    rest was generated but not played. The text is kept as generated; the service deletes its own.
    """

    id: str
    type: str = "message"
    role: str | None = None
    status: str | None = None
    parts: list[Part] = field(default_factory=list)
    phase: str | None = None
    """``commentary`` for a preamble, ``final_answer`` for the answer, where the model says which it is."""
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
        """The length of all its audio in milliseconds."""
        return sum(part.ms for part in self.parts)

    def part(self, index: int, kind: str) -> Part:
        """Return the content part at ``index``, made if the wire skipped its announcement."""
        if not 0 <= index < _MOST_PARTS:
            raise ValueError(f"content_index is {index}: expected 0 to {_MOST_PARTS - 1}")
        while len(self.parts) <= index:
            self.parts.append(Part(kind))
        part = self.parts[index]
        if not part.kind:
            part.kind = kind
        return part

    def __repr__(self) -> str:
        facts = (self.id, self.type, self.role, self.phase, self.name, self.status)
        names = " ".join(clean_name(str(fact)) for fact in facts if fact)
        length = f", {self.audio_ms / 1000:.2f} s of audio" if self.audio_ms else ""
        return f"<Item {names}: {_quoted(self.text or self.arguments or self.output or '')}{length}>"


def _quoted(text: str) -> str:
    clean = clean_text(text)
    return repr(clean if len(clean) <= 60 else f"{clean[:59]}…")
