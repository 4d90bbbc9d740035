"""Taking voice or words out of a recording, by rule, and proving that they are gone.

Sound becomes silence of the same length, and words become "x" letter by letter, so that turns, tokens and
the times of events stay what they were. What is no event may hold anything: it goes whole. The proof reads
the new file: each sound of the rule is silence, each text of it holds no letter but x, and none of the texts
that were taken out stands anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pybase64 import b64decode, b64encode

from ..audio.codecs import decoded_length
from ..errors import ArgumentError
from ..protocol.dialects.names import AUDIO_DELTAS
from ..protocol.entries import Columns, Entry
from ..protocol.events import Direction, Event, as_object
from .format import silence
from .reader import Reader
from .recording import Recording
from .recording import open as open_recording
from .scrub_rules import Kind, Taken, changed, event_of, is_plain, masked, readings, repeats, speaker_of
from .writer import TELLING, Forms, header, pieces, save, whole_frames

__all__ = ["ScrubReport", "ScrubRule", "scrub"]

_WHO = ("user", "assistant", "all")
_PARTS = {"*.delta": "delta", "*.segment": "text"}
"""The events that bring a text in parts, and where they have it."""
_GONE = b"*"


@dataclass(frozen=True, slots=True)
class ScrubRule:
    """What is taken out: ``voice`` and ``text`` of "user", "assistant" or "all".

    All text is that of tools and instructions too, and of all that the protocol does not know, with the
    numbers in it: only its own words stay. ``matching`` takes out all words of each item in whose text the
    pattern is found, as it ended or as it came in parts, and their sound where the assistant spoke them.

    What is measured in the sound goes with it: without the assistant's voice no turn has a ``first_sound``.
    `rtnb.replay` answers the same code after ``voice``, or ``text`` of "assistant"; after ``text`` of "user"
    or "all" that code says other words than the recording has, and is refused. Raises ArgumentError for a
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
class ScrubReport:
    """What was taken out, and what is ``left`` of it, one sentence each; nothing in a good one.

    ``frames`` were taken out whole: what is no event may hold anything. ``problem`` says what is wrong with
    the recording that was scrubbed, and so with the new one.
    """

    sounds: int = 0
    seconds: float = 0.0
    texts: int = 0
    frames: int = 0
    problem: str | None = None
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "NOT all of it is gone" if self.left else "nothing of it is left"
        frames = f" and {self.frames:,} frames that are no events" if self.frames else ""
        taken = f"{self.sounds:,} sounds ({self.seconds:.1f} s) and {self.texts:,} texts{frames}"
        return f"{taken} taken out: {verdict}"


def scrub(path: str | Path, out: str | Path, rule: ScrubRule) -> ScrubReport:
    """Write ``path`` without what the rule takes out to ``out``, and read that again to prove it.

    Raises RecordingError: the file cannot be read or the new one not be written. ArgumentError: ``out`` is
    ``path``.
    """
    source = open_recording(path)
    if Path(out).exists() and Path(out).samefile(source.path):
        raise ArgumentError("out is the recording itself: name another file, and remove the first yourself")
    work = _Work(rule, source)
    reader = source._reader
    head = dict(source.header)
    if not isinstance(reader, Reader):  # JSON Lines tell less than a file's head does
        head = {**header(source.state), **head}
    new = changed("server", _told(head, None), partial(work.change, "server"))
    head |= {"session": new["session"], "scrubbed": [*head.get("scrubbed", ()), *rule.words]}
    head["capture"] = {**head.get("capture", {}), "spool": False}
    if head.get("end") or source.problem:
        head["end"] = _end(head.get("end"), new["error"], source.problem)
    options: dict[str, Any] = {"redacted": reader.redacted}
    groups = pieces(reader.log)
    if isinstance(reader, Reader) and head["capture"].get("audio") == "opus":
        groups = reader.groups()
        options |= {"audio": "opus", "copies": reader.copies()}
    save(map(work.piece, groups), head, out, **options)
    proof = ScrubReport(work.sounds, round(work.seconds, 3), work.texts, work.frames, source.problem)
    proof.left = list(work.left(open_recording(out)))
    return proof


def _told(head: Mapping[str, Any], problem: str | None) -> Event:
    """Return what a recording's head repeats of its frames, as an event; a ``problem`` is of the file."""
    end = as_object(head.get("end"))
    texts = {name: end[name] for name in ("reason", "why") if isinstance(end.get(name), str)}
    said = {name: text.removesuffix(problem or "") for name, text in texts.items()}
    return {"type": "session.updated", "session": head.get("session"), "error": said}


def _end(end: Mapping[str, Any] | None, said: Event, problem: str | None) -> dict[str, Any]:
    """Return how a recording ended: without what was ``said`` of it, and with what is wrong with the file."""
    new = {"code": None, "reason": "", "why": "", **(end or {}), **said}
    return {**new, "why": "; ".join(filter(None, (new["why"], problem)))}


class _Work:
    def __init__(self, rule: ScrubRule, source: Recording) -> None:
        self._rule = rule
        self._source = source
        self._pattern = re.compile(rule.matching) if rule.matching else None
        self._forms = Forms()
        self._ids: dict[str, str] = {}
        self._taken: set[str] = set()
        self.sounds = self.texts = self.frames = 0
        self.seconds = 0.0
        self._items = set(self._matching(source))

    def _matching(self, recording: Recording) -> Iterator[str]:
        """Yield the items in whose text the pattern is: as it ended, or as it came in parts."""
        if self._pattern is not None:
            for id, text in _texts(recording):
                if self._pattern.search(text) and masked(text) != text:
                    yield id

    def _covers(self, value: str, kind: Kind, whose: str, ids: frozenset[str]) -> bool:
        who = self._rule.voice if kind == "sound" else self._rule.text
        if who == "all" or (who is not None and who == whose):
            return True
        matched = self._pattern is not None and kind in ("text", "part") and bool(self._pattern.search(value))
        return matched or not ids.isdisjoint(self._items)

    def _sort(self, direction: Direction, value: str, kind: Kind, whose: str) -> tuple[Kind, str]:
        """Return what a value is and whose, where its member's name may say otherwise."""
        if kind == "likely":
            side = "user" if direction == "client" else "assistant"
            side = whose if whose in ("user", "assistant") else side
            if self._rule.text not in (whose, "all") and self._rule.voice in (side, "all"):
                return "sound", side
            return "text", whose
        if kind == "sound" and self._rule.text == "all" and not _is_base64(value):
            return "text", whose
        return kind, whose

    def change(self, direction: Direction, value: str, kind: Kind, whose: str, ids: frozenset[str]) -> str:
        """Return what stands in a value's place."""
        kind, whose = self._sort(direction, value, kind, whose)
        if kind == "name":
            return self._named(value)
        if not value or not self._covers(value, kind, whose, ids):
            return value
        if kind == "sound":
            lane = self._forms.lane(direction)
            size = decoded_length(value)
            self.sounds += 1
            self.seconds += size / lane.rate / (2 if lane.type == "audio/pcm" else 1)
            return b64encode(silence(lane.type, size)).decode()
        self.texts += 1
        if kind == "text":
            self._taken.add(value)
        return masked(value)

    def _named(self, id: str) -> str:
        """Return what stands in an id's place, the same one wherever it stands.

        One that does not look like an id may hold words; masked it could become the same as another.
        """
        if self._rule.text != "all" or not id or is_plain(id):
            return id
        return self._ids.setdefault(id, f"scrubbed_{len(self._ids) + 1}")

    def piece(self, piece: Columns) -> Columns:
        """Return some events without what is taken out; sound that stays lies beside its frame as it did."""
        held = dict(zip(piece.sound_rows.tolist(), piece.sounds, strict=True))
        frames, cuts = [], []
        for row, told in enumerate(whole_frames(piece)):
            frame = self._frame(*told)
            text = b'"%s"' % b64encode(held[row]) if row in held else b""
            at = frame.find(text) + 1 if text else 0
            if at:
                frame = frame[:at] + frame[at + len(text) - 2 :]
                cuts.append((row, at, held[row]))
            frames.append(frame)
        return replace(
            piece,
            lengths=np.array([len(frame) for frame in frames], np.uint32),
            frames=b"".join(frames),
            sound_rows=np.array([row for row, _, _ in cuts], np.uint32),
            sound_cuts=np.array([at for _, at, _ in cuts], np.uint32),
            sound_lengths=np.array([len(data) for _, _, data in cuts], np.uint32),
            sounds=[data for _, _, data in cuts],
        )

    def _frame(self, direction: Direction, type: str, frame: bytes) -> bytes:
        event = self._hear(direction, type, frame)
        with suppress(RecursionError, orjson.JSONEncodeError):  # deeper than any protocol goes
            if event is not None:
                new = changed(direction, event, partial(self.change, direction))
                return frame if new == event and not repeats(frame, event) else orjson.dumps(new)
        if not self._suspects(frame):
            return frame
        self.frames += 1
        return _GONE * len(frame)

    def _hear(self, direction: Direction, type: str, frame: bytes) -> Event | None:
        """Note what is known of a frame, and return its event; None where it is none."""
        if type in TELLING and direction == "server":
            self._forms.hear(type, frame)
        return event_of(frame)

    def _suspects(self, frame: bytes) -> bool:
        """Tell whether a frame that is no event may hold what the rule takes out."""
        if not frame.strip(_GONE):
            return False
        if self._rule.voice or self._rule.text or self._pattern is None:
            return True
        return any(self._pattern.search(text) for text in readings(frame))

    # The proof.

    def _joined(self) -> Iterator[str]:
        """Yield the texts that were taken out in parts: alone, each part may stand anywhere by chance."""
        if self._rule.text or self._pattern:
            for id, whose, text in _parts(self._source):
                if self._covers(text, "text", whose, frozenset({id})):
                    yield text

    def left(self, scrubbed: Recording) -> Iterator[str]:
        """Yield what is still there, one sentence each."""
        self._forms = Forms()
        taken = Taken(self._taken.union(self._joined()))
        for entry in scrubbed.log:
            event = self._hear(entry.direction, entry.type, entry.frame)
            for what in self._wrong(entry, event, taken):
                yield f"event {entry.index} ({entry.type}) {what}"
        for what in self._look("server", _told(scrubbed.header, self._source.problem), taken):
            yield f"the file's head {what}"
        for id in dict.fromkeys(self._matching(scrubbed)):
            yield f"the parts of {id} still make a text with the pattern"
        yield from self._spoken()

    def _wrong(self, entry: Entry, event: Event | None, taken: Taken) -> list[str]:
        """Return what is wrong in a frame, as the ends of sentences."""
        with suppress(RecursionError):
            if event is not None:
                return self._look(entry.direction, event, taken)
        return ["is no event, and may hold anything"] if self._suspects(entry.frame) else []

    def _look(self, direction: Direction, event: Event, taken: Taken) -> list[str]:
        """Return what is wrong in an event, as the ends of sentences."""
        found = []

        def look(value: str, kind: Kind, whose: str, ids: frozenset[str]) -> str:
            kind, whose = self._sort(direction, value, kind, whose)
            if kind == "name":
                if self._named(value) != value:  # a type may be anything
                    found.append("may have words for its type")
            elif value and self._covers(value, kind, whose, ids) and not self._gone(direction, value, kind):
                found.append(f"still holds {'sound' if kind == 'sound' else 'text'}")
            if kind != "sound" and taken.stand_in(value):
                found.append("repeats a text that was taken out elsewhere")
            return value

        changed(direction, event, look)
        return list(dict.fromkeys(found))

    def _spoken(self) -> Iterator[str]:
        """Yield whose voice still says what a pattern took out."""
        items = self._source.conversation.items
        said = [items[id] for id in self._items if id in items]
        spoken = [item for item in said if item.role == "user" and item.audio_ms]
        if spoken and self._rule.voice not in ("user", "all"):
            yield f"the user's voice still says what {len(spoken)} items said: take out their voice too"
        for type in sorted(self._items - items.keys()):  # a transcript that tells of no item
            whose = speaker_of("server", type)
            if "transcript" in type and self._rule.voice not in (whose, "all"):
                yield f"the {whose}'s voice still says what {type} said: take out that voice too"

    def _gone(self, direction: Direction, value: str, kind: Kind) -> bool:
        if kind != "sound":
            return masked(value) == value
        lane = self._forms.lane(direction)
        try:
            data = b64decode(value, validate=True)
        except ValueError:
            return False
        return data == silence(lane.type, len(data))


def _texts(recording: Recording) -> Iterator[tuple[str, str]]:
    """Yield each item's id and texts: as they ended, and as they came in parts, since those may differ."""
    for item in recording.conversation.items.values():
        yield from ((item.id, text) for text in (item.text, item.arguments, item.output or ""))
    yield from ((id, text) for id, _, text in _parts(recording))


def _parts(recording: Recording) -> Iterator[tuple[str, str, str]]:
    """Yield the texts that came in parts: the item's id, whose words they are, and all parts as one.

    Parts of no item have their event's type for an id.
    """
    for pattern, member in _PARTS.items():
        parts: dict[tuple[str, str, str, str], list[str]] = {}
        for entry in recording.log.filter(pattern):
            event = entry.data
            id, text = event.get("item_id"), event.get(member)
            if isinstance(text, str) and entry.type not in AUDIO_DELTAS:
                id = id if isinstance(id, str) else entry.type
                whose = speaker_of(entry.direction, entry.type)
                key = (id, whose, entry.type, str(event.get("content_index")))
                parts.setdefault(key, []).append(text)
        yield from ((id, whose, "".join(texts)) for (id, whose, *_), texts in parts.items())


def _is_base64(value: str) -> bool:
    try:
        b64decode(value, validate=True)
    except ValueError:
        return False
    return True
