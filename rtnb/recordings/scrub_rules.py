"""Where words and audio are in an event, and whose they are: for scrubbing and for export."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from ..protocol.dialects.names import AUDIO_DELTAS, EVENTS
from ..protocol.events import Direction, Event, parse_object
from ..protocol.session_config import Response, Session, vocabulary

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
]

_SETTINGS = vocabulary(Session, Response)
"""The fields of a session and of a response's overrides; the lists below are for everything else."""

PLACES = _SETTINGS.parts | frozenset(
    """
    cached_tokens_details client_secret content conversation error expires_after
    input_audio_noise_reduction input_audio_transcription input_token_details item
    logprobs modalities output_token_details part prompt_cache_breakpoint rate_limits response session
    status_details top_logprobs usage
    """.split()  # noqa: SIM905
)
"""Members with members of the protocol. Within any other, all words are the user's own, keys too."""

KEYWORDS = frozenset(
    """
    $defs $ref additionalProperties allOf anyOf const default description enum examples format items maximum
    maxItems maxLength minimum minItems minLength not oneOf pattern properties required title type
    """.split()  # noqa: SIM905
)
"""The keys of a JSON Schema, which stay when other keys are masked."""

_NAMES = _SETTINGS.names | frozenset(
    """
    approval_request_id call_id client_id conversation conversation_id event_id file_id format
    input_audio_format item_id object output_audio_format previous_item_id response_id role status
    tool_choice type
    """.split()  # noqa: SIM905
)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
_WORDS = _SETTINGS.words | frozenset(
    """
    arguments code delta event file_data file_url filename image_url message obfuscation param sdp speaker
    target_uri text token transcript value
    """.split()  # noqa: SIM905
)
"""Members with free text, or with something else that is never audio."""

_CODES = (("error", "code"), ("rate_limits", "name"))
_CODE = re.compile(r"[a-z]+(?:_[a-z]+)+")

_OTHERS: dict[str, frozenset[str]] = {
    "anchor": frozenset({"created_at"}),
    "detail": frozenset({"auto", "high", "low", "original"}),
    "max_response_output_tokens": frozenset({"inf"}),
    "modalities": frozenset({"audio", "text"}),
    "mode": frozenset({"explicit"}),
    "name": frozenset({"requests", "tokens"}),  # of a rate limit
    "reason": frozenset({"client_cancelled", "content_filter", "max_output_tokens", "turn_detected"}),
    "role": frozenset({"assistant", "system", "user"}),
    "status": frozenset({"cancelled", "completed", "failed", "in_progress", "incomplete"}),
    "type": frozenset(
        """
        audio cancelled completed duration error failed function_call function_call_output http_error
        incomplete input_audio input_file input_image input_text item_reference mcp_approval_request
        mcp_approval_response mcp_call mcp_list_tools message output_audio output_text protocol_error text
        tokens tool_execution_error transcription translation
        array boolean integer null number object string
        """.split()  # noqa: SIM905
    ),
}
_ENUMERATED = {
    name: _OTHERS.get(name, frozenset()) | _SETTINGS.enumerated.get(name, set())
    for name in _OTHERS.keys() | _SETTINGS.enumerated.keys()
}


def is_member(key: str) -> bool:
    """Return whether a member belongs to the protocol. Any other may contain anything, also audio."""
    return any(key in names for names in (PLACES, _NAMES, _WORDS, _ENUMERATED))


def is_enumerated(key: str, value: str) -> bool:
    """Return whether the protocol, or JSON Schema, lists this value for a member."""
    return value in _ENUMERATED.get(key, ())


def is_name(key: str, value: str, parent: str) -> bool:
    """Return whether a member's value is a machine-made name, such as most ids."""
    if (parent, key) in _CODES:
        return _CODE.fullmatch(value) is not None
    return key in _NAMES and is_plain(value)


def is_id(key: str) -> bool:
    """Return whether a member's value is an id, whatever it looks like."""
    return key in _NAMES and (key == "id" or key.endswith("_id"))


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

    json.loads(frame, object_pairs_hook=look)
    return twice


_PLAIN = re.compile(r"\w+", re.ASCII)
"""What the name of a member looks like, also in extensions of the protocol."""

Kind = Literal["audio", "likely", "text", "part", "name"]
"""What a value is. "likely" looks like audio, and nothing else decides.

A "part" is words that may occur elsewhere by chance: a piece of a text, or the name of a member.
"""

Change = Callable[[str, Kind, str, frozenset[str]], str]

_AUDIO_URL = re.compile(r"\s*data:audio/", re.IGNORECASE)
_BASE64_AUDIO = re.compile(r"\s*[A-Za-z0-9+/_-]{64,}={0,2}\s*")

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
"""Members that the author of the session filled, wherever they are."""


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
    top = _Position("", "", 0, speaker_of(direction, type), ids, False)
    return _Walk(direction, type, change).inside(event, top)


@dataclass(frozen=True, slots=True)
class _Position:
    """The position of a value in an event; ``foreign`` is outside the members of the protocol."""

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

    def value(self, value: Any, at: _Position) -> Any:
        if isinstance(value, dict):
            return self.inside(value, at)
        if isinstance(value, list):
            if at.key == "bytes" and all(isinstance(one, int) and 0 <= one < 256 for one in value):
                text = bytes(value).decode("utf-8", "replace")  # of a log probability: the token again
                return value if self.change(text, "part", at.whose, at.ids) == text else None
            return [self.value(inner, at) for inner in value]
        if isinstance(value, str):
            return self.string(value, at)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and (at.foreign or self.type not in EVENTS):
            text = str(value)  # of unknown meaning, such as a year of birth
            return value if self.change(text, "part", at.whose, at.ids) == text else type(value)(0)
        return value

    def inside(self, value: dict[str, Any], at: _Position) -> dict[str, Any]:
        whose, ids, new = at.whose, at.ids, {}
        for name in (value.get("type"), value.get("role")):
            whose = _WHOSE.get(name, whose) if isinstance(name, str) else whose
        if isinstance(value.get("id"), str):
            ids = ids | {value["id"]}
        for key, inner in value.items():
            owner = "session" if key in _OF_SESSION else whose
            foreign = at.foreign or (isinstance(inner, (dict, list)) and key not in PLACES)
            position = _Position(key, at.key, at.depth + 1, owner, ids, foreign)
            if (at.foreign and key not in KEYWORDS) or not _PLAIN.fullmatch(key):
                key = self.change(key, "part", owner, ids)
                while key in new:  # two keys may become equal: both members stay
                    key += "x"
            new[key] = self.value(inner, position)
        return new

    def string(self, value: str, at: _Position) -> str:
        if at.key == "audio" or (at.key == "delta" and self.type in AUDIO_DELTAS):
            whose = at.whose
            if whose not in ("user", "assistant"):  # the voice of the side that sends it
                whose = "user" if self.direction == "client" else "assistant"
            return self.change(value, "audio", whose, at.ids)
        of_protocol = self.type in EVENTS and not at.foreign
        if is_enumerated(at.key, value) and (at.key == "type" or of_protocol):
            return value
        if is_id(at.key) and not at.foreign:
            return self.change(value, "name", at.whose, at.ids)
        of_event = at.key == "type" and at.depth == 1  # the log shows it, whatever it is
        if of_event or (of_protocol and is_name(at.key, value, at.parent)):
            if at.key != "object" and value not in EVENTS:  # those are the protocol's own
                self.change(value, "name", at.whose, at.ids)
            return value
        known = self.type in EVENTS and is_member(at.key)
        if _AUDIO_URL.match(value) or (
            not known and _BASE64_AUDIO.fullmatch(value) and masked(value) != value
        ):
            return self.change(value, "likely", at.whose, at.ids)
        delta = at.key == "delta" and at.depth == 1 and self.type.endswith(".delta")
        token = at.key == "token" and at.parent.endswith("logprobs")
        return self.change(value, "part" if delta or token else "text", at.whose, at.ids)
