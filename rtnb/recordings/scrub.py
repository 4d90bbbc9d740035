"""Taking voice or words out of a recording, by rule, and proving that they are gone.

Sound becomes silence of the same length, and words become "x" letter by letter, so that times, turns and
tokens stay what they were. The proof reads the new file: each sound of the rule is silence, each text of it
holds no letter but x, and none of the texts that were taken out stands anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pybase64 import b64decode, b64encode

from ..errors import ArgumentError
from ..wire.columns import Columns
from ..wire.events import BINARY, Direction
from .fields import Kind, changed
from .forms import TELLING, Forms
from .recording import Recording
from .recording import open as open_recording
from .sound import silence
from .writer import pieces, save, whole_frames

__all__ = ["Proof", "Rule", "scrub"]

_WHO = ("user", "assistant", "all")
_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")
_TELLING_LENGTH = 6  # a shorter text may stand anywhere by chance


@dataclass(frozen=True, slots=True)
class Rule:
    """What is taken out: ``voice`` and ``text`` of "user", "assistant" or "all".

    All text is that of tools and instructions too. ``matching`` takes out all words of each item in whose
    text the pattern is found, and their sound where the assistant spoke them. Raises ArgumentError for a
    rule that takes out nothing, or cannot be read.
    """

    voice: str | None = None
    text: str | None = None
    matching: str | None = None

    def __post_init__(self) -> None:
        for name, who in (("voice", self.voice), ("text", self.text)):
            if who not in (None, *_WHO):
                raise ArgumentError(f"{name} is user, assistant or all, not {who!r}")
        if not (self.voice or self.text or self.matching):
            raise ArgumentError("say what to take out: voice, text, or a pattern to match")
        try:
            re.compile(self.matching or "")
        except re.error as error:
            raise ArgumentError(f"the pattern {self.matching!r} cannot be read: {error}") from None

    @property
    def words(self) -> list[str]:
        """The rule as a recording's head has it; a pattern itself may be what is to be kept secret."""
        said = [f"voice of {self.voice}"] if self.voice else []
        said += [f"text of {self.text}"] if self.text else []
        return said + (["text by a pattern"] if self.matching else [])


@dataclass(slots=True)
class Proof:
    """What was taken out, and what is ``left`` of it, one sentence each; nothing in a good one."""

    sounds: int = 0
    seconds: float = 0.0
    texts: int = 0
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "NOT all of it is gone" if self.left else "nothing of it is left"
        return f"{self.sounds:,} sounds ({self.seconds:.1f} s) and {self.texts:,} texts taken out: {verdict}"


def scrub(path: str | Path, out: str | Path, rule: Rule) -> Proof:
    """Write ``path`` without what the rule takes out to ``out``, and read that again to prove it.

    Raises RecordingError: the file cannot be read or the new one not be written. ArgumentError: ``out`` is
    ``path``.
    """
    source = open_recording(path)
    if Path(out).exists() and Path(out).samefile(source.path):
        raise ArgumentError("out is the recording itself: name another file, and remove the first yourself")
    work = _Work(rule, source)
    head = dict(source.header)
    session = changed("server", {"type": "session", "session": head.get("session")}, work.change)
    head |= {"session": session["session"], "scrubbed": [*head.get("scrubbed", ()), *rule.words]}
    save(work.pieces(), head, out, audio=(head.get("capture") or {}).get("audio", "lossless"))
    proof = Proof(work.sounds, round(work.seconds, 3), work.texts)
    proof.left = list(work.left(open_recording(out)))
    return proof


class _Work:
    def __init__(self, rule: Rule, source: Recording) -> None:
        self._rule = rule
        self._source = source
        self._pattern = re.compile(rule.matching) if rule.matching else None
        self._forms = Forms()
        self._taken: set[str] = set()
        self._items: set[str] = set()
        self._spoken: set[str] = set()
        self._direction: Direction = "client"
        self.sounds = self.texts = 0
        self.seconds = 0.0
        if self._pattern is not None:
            for item in source.conversation.items.values():
                texts = (item.text, item.arguments, item.output or "")
                if any(self._pattern.search(text) for text in texts):
                    self._items.add(item.id)
                    self._spoken |= {item.id} if item.role == "user" and item.audio_ms else set()

    def _covers(self, value: str, kind: Kind, whose: str, ids: frozenset[str]) -> bool:
        who = self._rule.voice if kind == "sound" else self._rule.text
        if who == "all" or (who is not None and who == whose):
            return True
        matched = self._pattern is not None and kind == "text" and bool(self._pattern.search(value))
        return matched or not ids.isdisjoint(self._items)

    def change(self, value: str, kind: Kind, whose: str, ids: frozenset[str]) -> str:
        """Return what stands in a value's place."""
        if not value or not self._covers(value, kind, whose, ids):
            return value
        if kind == "sound":
            lane = self._forms.lane(self._direction)
            size = len(value) * 3 // 4 - value[-2:].count("=")
            self.sounds += 1
            self.seconds += size / lane.rate / (2 if lane.type == "audio/pcm" else 1)
            return b64encode(silence(lane.type, size)).decode()
        self.texts += 1
        self._taken.add(value)
        return _masked(value)

    def pieces(self) -> Iterator[Columns]:
        """Yield the recording's events without what is taken out."""
        for piece in pieces(self._source.log.source):
            frames = [self._frame(*row) for row in whole_frames(piece)]
            yield replace(
                piece,
                lengths=np.array([len(frame) for frame in frames], np.uint32),
                frames=b"".join(frames),
                sound_rows=np.zeros(0, np.uint32),
                sound_cuts=np.zeros(0, np.uint32),
                sound_lengths=np.zeros(0, np.uint32),
                sounds=(),
            )

    def _frame(self, direction: Direction, type: str, frame: bytes) -> bytes:
        self._direction = direction
        if type in TELLING and direction == "server":
            self._forms.hear(type, frame)
        event = _event(frame)
        if event is None:  # what it holds cannot be known
            side = "user" if direction == "client" else "assistant"
            return b"*" * len(frame) if {side, "all"} & {self._rule.voice, self._rule.text} else frame
        new = changed(direction, event, self.change)
        return frame if new == event else orjson.dumps(new)

    # The proof.

    def left(self, scrubbed: Recording) -> Iterator[str]:
        """Yield what is still there, one sentence each."""
        taken = {text for text in self._taken if len(text) >= _TELLING_LENGTH and _masked(text) != text}
        needles = [(text, orjson.dumps(text)[1:-1]) for text in taken]
        self._forms = Forms()
        for entry in scrubbed.log:
            self._direction = entry.direction
            if entry.type in TELLING and entry.direction == "server":
                self._forms.hear(entry.type, entry.frame)
            found: list[str] = []

            def look(
                value: str, kind: Kind, whose: str, ids: frozenset[str], found: list[str] = found
            ) -> str:
                if value and self._covers(value, kind, whose, ids) and not self._gone(value, kind):
                    found.append(kind)
                return value

            if entry.type != BINARY:
                changed(entry.direction, entry.data, look)
            for kind in found:
                yield f"event {entry.index} ({entry.type}) still holds {kind}"
            if any(needle in entry.frame for _, needle in needles):
                yield f"event {entry.index} ({entry.type}) repeats a text that was taken out elsewhere"
        if self._spoken and self._rule.voice not in ("user", "all"):
            yield f"the user's voice still says what {len(self._spoken)} items said: take out their voice too"
        head = orjson.dumps(dict(scrubbed.header))
        if any(needle in head for _, needle in needles):
            yield "the file's head repeats a text that was taken out"

    def _gone(self, value: str, kind: Kind) -> bool:
        if kind == "text":
            return _masked(value) == value
        lane = self._forms.lane(self._direction)
        try:
            data = b64decode(value, validate=True)
        except ValueError:
            return False
        return data == silence(lane.type, len(data))


def _masked(text: str) -> str:
    return _DIGIT.sub("0", _LETTER.sub("x", text))


def _event(frame: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None
