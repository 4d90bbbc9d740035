"""The events of the GA protocol: their names and families.

An event is a dict with a ``type``, which alone determines its meaning. An event that is not listed here is
logged, shown and passed to listeners as well: its family is "other".
Source: Realtime API reference, GA, August 2026.
"""

from __future__ import annotations

import secrets
from collections import Counter
from string import ascii_letters, digits
from typing import Any, Literal

__all__ = [
    "BINARY",
    "CLIENT_EVENTS",
    "SERVER_EVENTS",
    "SOUND_DELTAS",
    "ClientIds",
    "Direction",
    "Event",
    "as_object",
    "family",
    "is_delta",
    "server_id",
]

_ALPHABET = digits + ascii_letters
_LENGTHS = {"call": 16}


def server_id(prefix: str) -> str:
    """Return a new random id: ``prefix`` is event, item, resp, conv, sess or call.

    21 base62 characters, 16 for calls, as in the hosted service's events.
    """
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(_LENGTHS.get(prefix, 21)))}"


class ClientIds:
    """Numbered ids, unique within one session: ``event_c0001``, ``item_c0001``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, prefix: str) -> str:
        """Return the next id with a prefix."""
        self._counts[prefix] += 1
        return f"{prefix}_c{self._counts[prefix]:04d}"


Event = dict[str, Any]
Direction = Literal["client", "server"]
Family = Literal["session", "audio", "text", "tool", "item", "response", "error", "limits", "other"]

BINARY = "(binary)"
"""The type that the log gives to a frame that is not a JSON object with a ``type``."""

CLIENT_EVENTS: frozenset[str] = frozenset(
    {
        "conversation.item.create",
        "conversation.item.delete",
        "conversation.item.retrieve",
        "conversation.item.truncate",
        "input_audio_buffer.append",
        "input_audio_buffer.clear",
        "input_audio_buffer.commit",
        "output_audio_buffer.clear",
        "response.cancel",
        "response.create",
        "session.update",
    }
)

SERVER_EVENTS: frozenset[str] = frozenset(
    {
        "conversation.created",
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.deleted",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.failed",
        "conversation.item.input_audio_transcription.segment",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "error",
        "input_audio_buffer.cleared",
        "input_audio_buffer.committed",
        "input_audio_buffer.dtmf_event_received",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.timeout_triggered",
        "mcp_list_tools.completed",
        "mcp_list_tools.failed",
        "mcp_list_tools.in_progress",
        "output_audio_buffer.cleared",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "rate_limits.updated",
        "response.content_part.added",
        "response.content_part.done",
        "response.created",
        "response.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.output_text.done",
        "session.created",
        "session.updated",
    }
)

SOUND_DELTAS: frozenset[str] = frozenset(
    {"response.output_audio.delta", "response.audio.delta", "session.output_audio.delta"}
)
"""The types whose ``delta`` is audio, including those of the beta and of translations, for other logs."""

# Longest prefix first: the first match determines the family.
_FAMILIES: tuple[tuple[str, Family], ...] = (
    ("response.output_audio_transcript.", "text"),
    ("response.output_audio.", "audio"),
    ("response.output_text.", "text"),
    ("response.function_call_arguments.", "tool"),
    ("response.mcp_", "tool"),
    ("mcp_", "tool"),
    ("conversation.item.input_audio_transcription.", "text"),
    ("conversation.", "item"),
    ("input_audio_buffer.", "audio"),
    ("output_audio_buffer.", "audio"),
    ("response.", "response"),
    ("session.", "session"),
    ("rate_limits.", "limits"),
    ("error", "error"),
)


def family(type: str) -> Family:
    """Return the family of an event type; "other" for an unknown one."""
    return next((name for prefix, name in _FAMILIES if type.startswith(prefix)), "other")


def is_delta(type: str) -> bool:
    """Return whether an event of this type is one piece of many (``….delta`` and appended audio)."""
    return type.endswith(".delta") or type == "input_audio_buffer.append"


def as_object(value: Any) -> Event:
    """Return a JSON value if it is an object, else {}, since a server may send anything."""
    return value if isinstance(value, dict) else {}
