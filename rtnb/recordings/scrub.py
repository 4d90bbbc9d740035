"""Removing a voice or words from a recording, by rule, and verifying that they are gone.

Audio becomes silence of the same length, and words become "x" letter by letter, so that turns, tokens and the
times of events do not change. A frame that is not an event may contain anything, and is removed completely.
What stays is listed (see ``protocol_fields``); everything else is a text.

Verification reads the new file: all audio under the rule is silence, all text under it has no letter but x,
and none of the removed texts occurs anywhere else. That, and that nothing but x, names and the protocol's own
words is left where all text was removed, is looked for in all strings of a frame, whatever the list says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import orjson
from pybase64 import b64decode, b64encode

from ..audio.codecs import decoded_length
from ..errors import ArgumentError
from ..protocol.audio_formats import AudioFormats
from ..protocol.dialects.names import AUDIO_DELTAS, FORMAT_EVENTS, SESSION_CHANGE
from ..protocol.entries import Columns, Entry
from ..protocol.events import Direction, Event, as_object
from .format import Media, silence
from .manifest import manifest
from .protocol_fields import PROTOCOL_WORDS
from .reader import Reader, open_reader
from .scrub_rules import (
    Kind,
    RemovedTexts,
    changed,
    event_of,
    is_plain,
    masked,
    readings,
    repeats,
    speaker_of,
    strings,
)
from .view import RecordingView
from .writer import pieces, recording_path, save, whole_frames

__all__ = ["ScrubReport", "ScrubRule", "scrub"]

_WHO = ("user", "assistant", "all")
_PARTS = {"*.delta": "delta", "*.segment": "text"}
"""The events that carry a text in parts, and the member that has it."""
_BLANK = b"*"
_OWN_FIELDS = frozenset(
    {"clocks", "columns", "files", "format", "libraries", "prices", "scrubbed", "session", "tracks"}
)
"""Fields of a recording's head with words of rtnb only, and the session, which is verified like its event."""
_REPEATS = "repeats a text that was removed elsewhere"


@dataclass(frozen=True, slots=True)
class ScrubRule:
    """What to remove: ``voice`` and ``text`` of "user", "assistant" or "all".

    All text includes that of tools and instructions, and everything outside the protocol with the numbers in
    it: only ids, names such as a model's, and the words and numbers of the protocol stay. ``matching`` is a
    regular expression: it removes all words of each item in whose text it is found, final or in parts, and
    their audio if the assistant spoke them.

    What is measured in the audio is removed with it: without the assistant's voice no turn has a
    ``first_sound``. `rtnb.replay` serves the same code after each rule. After ``text`` of "user" or "all", or
    ``matching``, the words that it sends are not compared: turns are answered in their order. Raises
    ArgumentError for a rule that removes nothing, or is invalid.
    """

    voice: str | None = None
    text: str | None = None
    matching: str | None = None

    def __post_init__(self) -> None:
        for name, who in (("voice", self.voice), ("text", self.text)):
            if who not in (None, *_WHO):
                raise ArgumentError(f"{name} must be user, assistant or all; got {who!r:.60}")
        if not (self.voice or self.text or self.matching):
            raise ArgumentError("say what to remove: voice, text, or a pattern to match")
        try:
            re.compile(self.matching or "")
        except re.error as error:
            raise ArgumentError(f"invalid pattern {self.matching!r:.100}: {error}") from None

    @property
    def words(self) -> list[str]:
        """The rule as in the manifest of a recording. A pattern is not shown: it may be the secret itself."""
        words = [f"voice of {self.voice}"] if self.voice else []
        words += [f"text of {self.text}"] if self.text else []
        return words + (["text by a pattern"] if self.matching else [])


@dataclass(slots=True)
class ScrubReport:
    """What was removed, and what is ``left`` of it, one sentence each; empty if all is gone.

    ``frames`` is the number of frames that are not events and were removed completely. ``problem`` is what is
    wrong with the recording that was scrubbed, and so with the new one.
    """

    audio_parts: int = 0
    seconds: float = 0.0
    texts: int = 0
    frames: int = 0
    problem: str | None = None
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "NOT all of it is gone" if self.left else "nothing of it is left"
        frames = f" and {self.frames:,} frames that are not events" if self.frames else ""
        audio = f"{self.audio_parts:,} parts of audio ({self.seconds:.1f} s)"
        return f"removed {audio} and {self.texts:,} texts{frames}: {verdict}"


def scrub(path: str | os.PathLike[str], out: str | os.PathLike[str], rule: ScrubRule) -> ScrubReport:
    """Write ``path`` to ``out`` without what the rule removes, and read that file to verify it.

    Raises RecordingError if the file cannot be read or the new one cannot be written, ArgumentError if
    ``out`` is ``path``.
    """
    reader = open_reader(path)
    source = RecordingView(reader)
    out = recording_path(out)
    if os.path.exists(out) and out.samefile(source.path):
        raise ArgumentError("out is the recording itself: choose another name for the scrubbed copy")
    work = _Work(rule, source)
    about = dict(source.manifest)
    if not isinstance(reader, Reader):  # JSON Lines have fewer fields than a manifest
        about = {**manifest(source.state), **about}
    new = changed("server", _manifest_event(about, None), partial(work.change, "server"))
    about |= {"session": new["session"], "scrubbed": [*about.get("scrubbed", ()), *rule.words]}
    about["autosave"] = False
    if about.get("end") or source.problem:
        about["end"] = _end(about.get("end"), new["error"], source.problem)
    media: Iterable[Media] = ()
    copies = None
    if isinstance(reader, Reader):
        media, copies = map(work.media, reader.media), reader.copies() or None
    groups = map(work.piece, pieces(reader.log))
    save(groups, about, out, media=media, redacted=reader.redacted, copies=copies)
    report = ScrubReport(work.audio_parts, round(work.seconds, 3), work.texts, work.frames, source.problem)
    report.left = list(work.left(RecordingView(Reader(out))))
    return report


def _manifest_event(about: Mapping[str, Any], problem: str | None) -> Event:
    """Return what a manifest repeats from the frames, as an event, without the file's ``problem``."""
    end = as_object(about.get("end"))
    texts = {name: end[name] for name in ("reason", "why") if isinstance(end.get(name), str)}
    error = {name: text.removesuffix(problem or "") for name, text in texts.items()}
    return {"type": SESSION_CHANGE, "session": about.get("session"), "error": error}


def _end(end: Mapping[str, Any] | None, error: Event, problem: str | None) -> dict[str, Any]:
    """Return how a recording ended, with the scrubbed ``error`` texts and the ``problem`` of the file."""
    new = {"code": None, "reason": "", "why": "", **(end or {}), **error}
    return {**new, "why": "; ".join(filter(None, (new["why"], problem)))}


class _Work:
    def __init__(self, rule: ScrubRule, source: RecordingView) -> None:
        self._rule = rule
        self._source = source
        self._pattern = re.compile(rule.matching) if rule.matching else None
        self._formats = AudioFormats()
        self._ids: dict[str, str] = {}
        self._removed: set[str] = set()
        self.audio_parts = self.texts = self.frames = 0
        self.seconds = 0.0
        self._items = set(self._matching(source))

    def _matching(self, recording: RecordingView) -> Iterator[str]:
        """Yield the items in whose text the pattern is found: the final text, or its parts."""
        if self._pattern is not None:
            for id, text in _texts(recording):
                if self._pattern.search(text) and masked(text) != text:
                    yield id

    def _covers(self, value: str, kind: Kind, whose: str, ids: frozenset[str]) -> bool:
        who = self._rule.voice if kind == "audio" else self._rule.text
        if who == "all" or (who is not None and who == whose):
            return True
        matched = self._pattern is not None and kind in ("text", "part") and bool(self._pattern.search(value))
        return matched or not ids.isdisjoint(self._items)

    def _classify(self, direction: Direction, value: str, kind: Kind, whose: str) -> tuple[Kind, str]:
        """Return the kind and the owner of a value, which may differ from those of its member's name."""
        if kind == "likely":
            side = "user" if direction == "client" else "assistant"
            side = whose if whose in ("user", "assistant") else side
            if self._rule.text not in (whose, "all") and self._rule.voice in (side, "all"):
                return "audio", side
            return "text", whose
        if kind == "audio" and self._rule.text == "all":
            was_text = "x" in value and masked(value) == value  # which may look like base64 by now
            return ("text" if was_text or not _is_base64(value) else "audio"), whose
        return kind, whose

    def change(self, direction: Direction, value: str, kind: Kind, whose: str, ids: frozenset[str]) -> str:
        """Return the replacement of a value."""
        kind, whose = self._classify(direction, value, kind, whose)
        if kind == "name":
            return self._new_id(value)
        if not value or not self._covers(value, kind, whose, ids):
            return value
        if kind == "audio":
            codec = self._formats.now(direction)
            size = decoded_length(value)
            self.audio_parts += 1
            self.seconds += size / codec.bytes_per_second
            return b64encode(silence(codec.type, size)).decode()
        self.texts += 1
        if kind == "text":
            self._removed.add(value)
        return masked(value)

    def _new_id(self, id: str) -> str:
        """Return the replacement of an id, the same one wherever the id occurs.

        An id that does not look like one may contain words; masked, it could become equal to another.
        """
        if self._rule.text != "all" or not id or is_plain(id):
            return id
        return self._ids.setdefault(id, f"scrubbed_{len(self._ids) + 1}")

    def piece(self, piece: Columns) -> Columns:
        """Return events without what is removed; audio that stays is stored beside its frame as before."""
        held = dict(zip(piece.sound_rows.tolist(), piece.sounds, strict=True))
        frames, cuts = [], []
        for row, event in enumerate(whole_frames(piece)):
            frame = self._frame(*event)
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

    def media(self, media: Media) -> Media:
        """Return audio that came beside the frames: silence, if its voice is removed."""
        whose = "user" if media.side == "input" else "assistant"
        if self._rule.voice not in (whose, "all"):
            return media
        self.audio_parts += 1
        self.seconds += len(media.audio) / media.codec.bytes_per_second
        return media._replace(audio=silence(media.codec.type, len(media.audio)))

    def _frame(self, direction: Direction, type: str, frame: bytes) -> bytes:
        event = self._event(direction, type, frame)
        with suppress(RecursionError, orjson.JSONEncodeError):  # nested deeper than in any protocol
            if event is not None:
                new = changed(direction, event, partial(self.change, direction))
                return frame if new == event and not repeats(frame, event) else orjson.dumps(new)
        if not self._suspects(frame):
            return frame
        self.frames += 1
        return _BLANK * len(frame)

    def _event(self, direction: Direction, type: str, frame: bytes) -> Event | None:
        """Return the event of a frame, or None; an audio format that it declares is noted."""
        if type in FORMAT_EVENTS and direction == "server":
            self._formats.update(type, frame)
        return event_of(frame)

    def _suspects(self, frame: bytes) -> bool:
        """Return whether a frame that is not an event may contain what the rule removes."""
        if not frame.strip(_BLANK):
            return False
        if self._rule.voice or self._rule.text or self._pattern is None:
            return True
        return any(self._pattern.search(text) for text in readings(frame))

    # Verification.

    def _joined(self) -> Iterator[str]:
        """Yield the joined texts that were removed in parts: a part alone may occur elsewhere by chance."""
        if self._rule.text or self._pattern:
            for id, whose, text in _parts(self._source):
                if self._covers(text, "text", whose, frozenset({id})):
                    yield text

    def left(self, scrubbed: RecordingView) -> Iterator[str]:
        """Yield what is still in the file, one sentence each."""
        self._formats = AudioFormats()
        removed = RemovedTexts(self._removed.union(self._joined()))
        for entry in scrubbed.log:
            event = self._event(entry.direction, entry.type, entry.frame)
            for what in self._wrong(entry, event, removed):
                yield f"event {entry.index} ({entry.type}) {what}"
        found = self._look("server", _manifest_event(scrubbed.manifest, self._source.problem), removed)
        others = [value for name, value in scrubbed.manifest.items() if name not in _OWN_FIELDS]
        if any(map(removed.occur_in, strings(others))):
            found.append(_REPEATS)
        for what in dict.fromkeys(found):
            yield f"the manifest {what}"
        for id in dict.fromkeys(self._matching(scrubbed)):
            yield f"the parts of {id} still join to a text with the pattern"
        yield from self._spoken()

    def _wrong(self, entry: Entry, event: Event | None, removed: RemovedTexts) -> list[str]:
        """Return what is wrong in a frame, as the ends of sentences."""
        with suppress(RecursionError, orjson.JSONEncodeError):  # nested deeper than in any protocol
            if event is not None:
                twice = ["has a member twice"] if repeats(entry.frame, event) else []
                return twice + self._look(entry.direction, event, removed)
        return ["is not an event and may contain anything"] if self._suspects(entry.frame) else []

    def _look(self, direction: Direction, event: Event, removed: RemovedTexts) -> list[str]:
        """Return what is wrong in an event, as the ends of sentences."""
        found: list[str] = []
        audio = set()

        def look(value: str, kind: Kind, whose: str, ids: frozenset[str]) -> str:
            kind, whose = self._classify(direction, value, kind, whose)
            if kind == "audio":
                audio.add(value)
            if kind == "name":
                if self._new_id(value) != value:  # a type may be anything
                    found.append("may have words as its type")
            elif value and self._covers(value, kind, whose, ids) and not self._gone(direction, value, kind):
                found.append(f"still has {'audio' if kind == 'audio' else 'text'}")
            return value

        changed(direction, event, look)
        for text in strings(event):
            if text in PROTOCOL_WORDS or text in audio or masked(text) == text:
                continue
            if self._rule.text == "all" and not is_plain(text) and text != event["type"]:
                found.append("still has text")
            if removed.occur_in(text):
                found.append(_REPEATS)
        return list(dict.fromkeys(found))

    def _spoken(self) -> Iterator[str]:
        """Yield whose voice still speaks the words that a pattern removed."""
        items = self._source.conversation.items
        matched = [items[id] for id in self._items if id in items]
        spoken = [item for item in matched if item.role == "user" and item.audio_ms]
        if spoken and self._rule.voice not in ("user", "all"):
            yield f"the user's voice still speaks the text of {len(spoken)} items: remove the voice as well"
        for type in sorted(self._items - items.keys()):  # a transcript without an item id
            whose = speaker_of("server", type)
            if "transcript" in type and self._rule.voice not in (whose, "all"):
                yield f"the {whose}'s voice still speaks the text of {type}: remove that voice as well"

    def _gone(self, direction: Direction, value: str, kind: Kind) -> bool:
        if kind != "audio":
            return masked(value) == value
        codec = self._formats.now(direction)
        try:
            data = b64decode(value, validate=True)
        except ValueError:
            return False
        return data == silence(codec.type, len(data))


def _texts(recording: RecordingView) -> Iterator[tuple[str, str]]:
    """Yield each item's id and texts: the final ones, and the joined parts, which may differ."""
    for item in recording.conversation.items.values():
        yield from ((item.id, text) for text in (item.text, item.arguments, item.output or ""))
    yield from ((id, text) for id, _, text in _parts(recording))


def _parts(recording: RecordingView) -> Iterator[tuple[str, str, str]]:
    """Yield the texts that arrived in parts: the item's id, whose words they are, and all parts joined.

    Parts without an item have their event's type as id.
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
