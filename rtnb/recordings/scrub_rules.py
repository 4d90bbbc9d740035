"""The words and the audio in an event, and whose they are: for scrubbing and for export.

What stays is listed, in `protocol_fields`. Everything else is a text, unless it could be audio.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from ..protocol.dialects.names import EVENTS
from ..protocol.events import Direction, Event, parse_object
from .protocol_fields import LIKELY_AUDIO, Field, event_field

__all__ = [
    "Kind",
    "RemovedTexts",
    "changed",
    "event_of",
    "is_plain",
    "masked",
    "readings",
    "repeats",
    "speaker_of",
    "strings",
]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
_CODE = re.compile(r"[a-z]+(?:_[a-z]+)+")


def is_plain(value: str) -> bool:
    """Return whether a value looks like a machine-made name, and not like words."""
    return _NAME.fullmatch(value) is not None


# Beyond ASCII every character: some scripts use combining marks, and symbols can be read as well.
_LETTER = re.compile(r"[A-Za-z]|[^\x00-\x7f]")
_DIGIT = re.compile(r"[0-9]")
_MIN_TEXT = 6  # a shorter text may occur anywhere by chance


def masked(text: str) -> str:
    """Return a meaningless text of the same length and punctuation. Masking twice changes nothing."""
    return _DIGIT.sub("0", _LETTER.sub("x", text))


class RemovedTexts:
    """Texts that were removed, indexed by their start: a recording can have as many as it has words."""

    def __init__(self, texts: Iterable[str]) -> None:
        # By length too: then one look-up decides among the many that start alike.
        self._by_start: dict[str, dict[int, set[str]]] = {}
        for text in texts:
            text = text.strip()
            if len(text) >= _MIN_TEXT and masked(text) != text:
                alike = self._by_start.setdefault(text[:_MIN_TEXT], {})
                alike.setdefault(len(text), set()).add(text)

    def occur_in(self, text: str) -> bool:
        """Return whether one of them occurs anywhere in a text."""
        if not self._by_start:
            return False
        return any(
            text[at : at + length] in same
            for at in range(len(text) - _MIN_TEXT + 1)
            for length, same in self._by_start.get(text[at : at + _MIN_TEXT], {}).items()
        )


def event_of(frame: bytes) -> Event | None:
    """Return a frame's event; None if it is not a JSON object with a type."""
    event = parse_object(frame)
    return event if isinstance(event.get("type"), str) else None


def readings(frame: bytes) -> list[str]:
    """Return a frame as text: as it is, and with its escapes resolved."""
    found = [frame.decode("utf-8", "replace")]
    with suppress(ValueError, RecursionError):  # not JSON
        found.append(json.dumps(json.loads(frame), ensure_ascii=False))
    return found


def repeats(frame: bytes, event: Event) -> bool:
    """Return whether a member occurs twice in a frame: its event has only the last of them."""
    if orjson.dumps(event) == frame:
        return False
    twice = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in pairs}) < len(pairs)

    json.loads(frame, object_pairs_hook=look, parse_int=str)
    return twice


def strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, the names of members too, whatever the protocol says of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


Kind = Literal["audio", "likely", "text", "part", "name"]
"""What a value is. "likely" may be audio: the protocol does not say what it is.

A "part" is words that may occur elsewhere by chance: a piece of a text, or the name of a member.
"""

Change = Callable[[str, Kind, str, frozenset[str]], str]

_AUDIO_URL = re.compile(r"\s*data:audio/", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")
_BASE64_LINE = 60  # of the lines in which base64 is broken, those of MIME are the longest, PEM's have 64

_SENDER = {"client": "user", "server": "assistant"}
_WHOSE = {
    "user": "user",
    "assistant": "assistant",
    "system": "session",
    "input_audio": "user",
    "function_call": "assistant",
    "function_call_output": "tool",
    "mcp_call": "assistant",
}


def speaker_of(direction: Direction, type: str) -> str:
    """Return whose words an event has, if the event itself does not say: user, assistant or session."""
    type = type.removeprefix("session.")  # the prefix of the events of a translation
    if type.startswith(("response.", "output_audio.", "output_transcript.")) and direction == "server":
        return "assistant"
    if ".input_audio_transcription." in type or type.startswith(("input_audio_buffer.", "input_transcript.")):
        return "user"
    return "session"


def changed(direction: Direction, event: Event, change: Change) -> Event:
    """Return the event with ``change(value, kind, whose, ids)`` in place of all its words and audio.

    A number of unknown meaning is passed to ``change`` as its digits, and becomes 0 if they change. A
    machine-made "name" is passed too, for what it may repeat; it stays, except that an id may be changed.
    ``ids`` are those of the items that the value belongs to, or the event's type if it has no item.
    """
    type = str(event.get("type", ""))
    id = event.get("item_id")
    ids = frozenset({id if isinstance(id, str) else type})
    walk = _Walk(direction, type in EVENTS, change)
    return walk.inside(event, event_field(type), speaker_of(direction, type), ids)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk through an event. Of one that is ``known``, what the protocol lists stays; else only ids do."""

    direction: Direction
    known: bool
    change: Change

    def value(self, value: Any, field: Field, whose: str, ids: frozenset[str]) -> Any:
        if isinstance(value, dict):
            return self.inside(value, field, whose, ids)
        if isinstance(value, list):
            if field.kind == "bytes" and all(isinstance(one, int) and 0 <= one < 256 for one in value):
                text = bytes(value).decode("utf-8", "replace")  # of a log probability: the token again
                return value if self.change(text, "part", whose, ids) == text else None
            return [self.value(inner, field, whose, ids) for inner in value]
        if isinstance(value, str):
            return self.string(value, field, whose, ids)
        stays = self.known and field.kind in ("number", "id", "code")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not stays:
            text = str(value)  # of unknown meaning, such as a year of birth
            return value if self.change(text, "part", whose, ids) == text else type(value)(0)
        return value

    def inside(self, value: dict[str, Any], field: Field, whose: str, ids: frozenset[str]) -> dict[str, Any]:
        new: dict[str, Any] = {}
        for name in (value.get("type"), value.get("role")):
            whose = _WHOSE.get(name, whose) if isinstance(name, str) else whose
        if isinstance(value.get("id"), str):
            ids = ids | {value["id"]}
        for key, inner in value.items():
            member = field.member(key)
            one = member or (LIKELY_AUDIO if key == "audio" else field.rest)
            owner = "session" if one.of_session else whose
            if member is None:
                key = self.change(key, "part", owner, ids)
                while key in new:  # two keys may become equal: both members stay
                    key += "x"
            new[key] = self.value(inner, one, owner, ids)
        return new

    def string(self, value: str, field: Field, whose: str, ids: frozenset[str]) -> str:
        kind = field.kind
        if kind == "id":
            return self.change(value, "name", whose, ids)
        if self.known and value in field.listed:
            return value
        pattern = _NAME if kind == "name" else _CODE if kind == "code" else None
        if kind == "type" or (self.known and pattern and pattern.fullmatch(value)):
            if value not in EVENTS:  # the log shows a type, whatever it is
                self.change(value, "name", whose, ids)
            return value
        if kind == "audio" and self.known:
            side = whose if whose in _SENDER.values() else _SENDER[self.direction]
            return self.change(value, "audio", side, ids)
        if kind in ("audio", "likely"):
            return self.change(value, "likely", whose, ids)
        of_text = kind in ("text", "part") and self.known
        if _AUDIO_URL.match(value) or (not of_text and _may_be_audio(value)):
            return self.change(value, "likely", whose, ids)
        return self.change(value, "part" if kind == "part" else "text", whose, ids)


def _may_be_audio(value: str) -> bool:
    """Return whether a value looks like base64, in one line or more; masked words do not."""
    lines = value.split()
    if any(len(line) < _BASE64_LINE for line in lines[:-1]):
        return False
    return _BASE64.fullmatch("".join(lines)) is not None and masked(value) != value
