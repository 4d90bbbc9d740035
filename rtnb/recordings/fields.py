"""Where words and sound stand in an event, and whose they are: to take them out and to write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ..wire.events import SOUND_DELTAS, Direction, Event

__all__ = ["Kind", "changed", "speaker_of"]

Kind = Literal["sound", "text"]
Change = Callable[[str, Kind, str, frozenset[str]], str]

_TEXTS = frozenset(
    {
        "arguments",
        "delta",
        "description",
        "image_url",
        "instructions",
        "message",
        "output",
        "prompt",
        "text",
        "token",
        "transcript",
    }
)
_WHOSE = {
    "user": "user",
    "assistant": "assistant",
    "function_call": "assistant",
    "function_call_output": "tool",
}


def speaker_of(direction: Direction, type: str) -> str:
    """Return whose an event's words are, where the event itself does not say: user, assistant or session."""
    if type.startswith("response.") and direction == "server":
        return "assistant"
    if ".input_audio_transcription." in type or type.startswith("input_audio_buffer."):
        return "user"
    return "session"


def changed(direction: Direction, event: Event, change: Change) -> Event:
    """Return the event with ``change(value, kind, whose, item ids)`` in place of all its words and sound."""
    type = str(event.get("type", ""))
    ids = frozenset(id for id in (event.get("item_id"),) if isinstance(id, str))
    new: Event = _walk(event, "", speaker_of(direction, type), ids, type in SOUND_DELTAS, change)
    return new


def _walk(value: Any, key: str, whose: str, ids: frozenset[str], sound_delta: bool, change: Change) -> Any:
    if isinstance(value, dict):
        for name in (value.get("role"), value.get("type")):
            whose = _WHOSE.get(name, whose) if isinstance(name, str) else whose
            whose = "session" if name == "system" else whose
        if isinstance(value.get("id"), str):
            ids = ids | {value["id"]}
        new = {name: _walk(inner, name, whose, ids, sound_delta, change) for name, inner in value.items()}
        if "bytes" in new and new.get("token") != value.get("token"):
            new["bytes"] = None  # of a log probability: the token once more
        return new
    if isinstance(value, list):
        return [_walk(inner, key, whose, ids, sound_delta, change) for inner in value]
    if not isinstance(value, str):
        return value
    if key == "audio" or (key == "delta" and sound_delta):
        return change(value, "sound", whose, ids)
    return change(value, "text", whose, ids) if key in _TEXTS else value
