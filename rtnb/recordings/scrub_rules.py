"""Where words and sound stand in an event, and whose they are: to take them out and to write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..protocol.events import SOUND_DELTAS, Direction, Event
from .masks import masked
from .vocabulary import EVENTS, KEYWORDS, PLACES, is_enumerated, is_id, is_member, is_name

__all__ = ["Kind", "changed", "speaker_of"]

_PLAIN = re.compile(r"\w+", re.ASCII)
"""How the protocol, and whoever extends it, names a member."""

Kind = Literal["sound", "likely", "text", "part", "name"]
"""What is "likely" is sound by its looks, where nothing else tells.

A "part" is words that may stand elsewhere by chance: a piece of a text, or the name of a member.
"""

Change = Callable[[str, Kind, str, frozenset[str]], str]

_SOUND_URL = re.compile(r"\s*data:audio/", re.IGNORECASE)
_SOUND = re.compile(r"\s*[A-Za-z0-9+/_-]{64,}={0,2}\s*")

_WHOSE = {
    "user": "user",
    "assistant": "assistant",
    "system": "session",
    "input_audio": "user",
    "function_call": "assistant",
    "function_call_output": "tool",
    "mcp_call": "assistant",
}
_OF_SESSION = frozenset({"instructions", "metadata", "name", "server_label", "tools"})
"""Members that whoever set up the session filled, wherever they stand."""


def speaker_of(direction: Direction, type: str) -> str:
    """Return whose an event's words are, where the event itself does not say: user, assistant or session."""
    type = type.removeprefix("session.")  # as the events of a translation begin
    if type.startswith(("response.", "output_audio.", "output_transcript.")) and direction == "server":
        return "assistant"
    if ".input_audio_transcription." in type or type.startswith(("input_audio_buffer.", "input_transcript.")):
        return "user"
    return "session"


def changed(direction: Direction, event: Event, change: Change) -> Event:
    """Return the event with ``change(value, kind, whose, ids)`` in place of all its words and sound.

    A number whose meaning nobody knows is shown to ``change`` as its digits, and is 0 where they change.
    A "name" that a machine gave is shown to ``change`` too, for what it may repeat; it stays, but for an id:
    that may be changed. ``ids`` are those of the items that it belongs to, or the event's type where it
    tells of no item.
    """
    type = str(event.get("type", ""))
    id = event.get("item_id")
    ids = frozenset({id if isinstance(id, str) else type})
    top = _Place("", "", 0, speaker_of(direction, type), ids, False)
    return _Walk(direction, type, change).inside(event, top)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in an event a value stands: ``foreign`` is what the protocol leaves to others to fill."""

    key: str
    parent: str
    depth: int
    whose: str
    ids: frozenset[str]
    foreign: bool


@dataclass(frozen=True, slots=True)
class _Walk:
    direction: Direction
    type: str
    change: Change

    def value(self, value: Any, at: _Place) -> Any:
        if isinstance(value, dict):
            return self.inside(value, at)
        if isinstance(value, list):
            if at.key == "bytes" and all(isinstance(one, int) and 0 <= one < 256 for one in value):
                text = bytes(value).decode("utf-8", "replace")  # of a log probability: the token once more
                return value if self.change(text, "part", at.whose, at.ids) == text else None
            return [self.value(inner, at) for inner in value]
        if isinstance(value, str):
            return self.string(value, at)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and (at.foreign or self.type not in EVENTS):
            text = str(value)  # whose meaning nobody knows: a year of birth, say
            return value if self.change(text, "part", at.whose, at.ids) == text else type(value)(0)
        return value

    def inside(self, value: dict[str, Any], at: _Place) -> dict[str, Any]:
        whose, ids, new = at.whose, at.ids, {}
        for name in (value.get("type"), value.get("role")):
            whose = _WHOSE.get(name, whose) if isinstance(name, str) else whose
        if isinstance(value.get("id"), str):
            ids = ids | {value["id"]}
        for key, inner in value.items():
            owner = "session" if key in _OF_SESSION else whose
            foreign = at.foreign or (isinstance(inner, (dict, list)) and key not in PLACES)
            place = _Place(key, at.key, at.depth + 1, owner, ids, foreign)
            if (at.foreign and key not in KEYWORDS) or not _PLAIN.fullmatch(key):
                key = self.change(key, "part", owner, ids)
                while key in new:  # two keys may become the same: neither member is to be lost
                    key += "x"
            new[key] = self.value(inner, place)
        return new

    def string(self, value: str, at: _Place) -> str:
        if at.key == "audio" or (at.key == "delta" and self.type in SOUND_DELTAS):
            whose = at.whose
            if whose not in ("user", "assistant"):  # then it is the voice of the side that sends it
                whose = "user" if self.direction == "client" else "assistant"
            return self.change(value, "sound", whose, at.ids)
        of_protocol = self.type in EVENTS and not at.foreign
        if is_enumerated(at.key, value) and (at.key == "type" or of_protocol):
            return value
        if is_id(at.key) and not at.foreign:
            return self.change(value, "name", at.whose, at.ids)
        of_event = at.key == "type" and at.depth == 1  # the log names it so, whatever it is
        if of_event or (of_protocol and is_name(at.key, value, at.parent)):
            if at.key != "object" and value not in EVENTS:  # those are the protocol's own
                self.change(value, "name", at.whose, at.ids)
            return value
        known = self.type in EVENTS and is_member(at.key)
        if _SOUND_URL.match(value) or (not known and _SOUND.fullmatch(value) and masked(value) != value):
            return self.change(value, "likely", at.whose, at.ids)
        delta = at.key == "delta" and at.depth == 1 and self.type.endswith(".delta")
        token = at.key == "token" and at.parent.endswith("logprobs")
        return self.change(value, "part" if delta or token else "text", at.whose, at.ids)
