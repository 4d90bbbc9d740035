"""The names of events on the wire: which there are, what each is about, and what the beta called them.

An event that is not listed here is kept, shown and passed on all the same: its family is "other".
Sources: Realtime API reference, GA, August 2026; the last beta specification, July 2025.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "APPENDS",
    "AUDIO_DELTAS",
    "BETA_NAMES",
    "CLIENT_EVENTS",
    "EVENTS",
    "FORMAT_EVENTS",
    "PLACING_EVENTS",
    "RESPONSE_END",
    "SERVER_EVENTS",
    "SESSION_CHANGE",
    "USAGE_EVENTS",
    "USER_TEXTS",
    "Family",
    "family",
    "holds_content",
    "is_delta",
    "is_failure",
]

Family = Literal["session", "audio", "text", "tool", "item", "response", "error", "limits", "other"]

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

BETA_NAMES: dict[str, str] = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "conversation.item.added": "conversation.item.created",
}
"""The beta's name for what GA renamed."""

EVENTS: frozenset[str] = (
    CLIENT_EVENTS
    | SERVER_EVENTS
    | frozenset(BETA_NAMES.values())
    | {
        "session.close",
        "session.closed",
        "session.input_audio_buffer.append",
        "session.input_transcript.delta",
        "session.output_audio.delta",
        "session.output_transcript.delta",
        "session.usage.updated",
        "transcription_session.created",
        "transcription_session.update",
        "transcription_session.updated",
    }
)
"""Every event that is known: GA's, the beta's, and those of translations and transcriptions."""

APPENDS: frozenset[str] = frozenset({"input_audio_buffer.append", "session.input_audio_buffer.append"})
"""The types by which a client appends audio: GA's and the beta's, and that of translations."""

AUDIO_DELTAS: frozenset[str] = frozenset(
    {"response.output_audio.delta", "response.audio.delta", "session.output_audio.delta"}
)
"""The types whose ``delta`` is audio: GA's, the beta's and that of translations."""

PLACING_EVENTS: frozenset[str] = frozenset(
    {
        "conversation.item.create",
        "conversation.item.truncate",
        "input_audio_buffer.clear",
        "input_audio_buffer.commit",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.timeout_triggered",
        "output_audio_buffer.cleared",
        "response.create",
        "response.created",
        "session.created",
        "session.updated",
    }
)
"""The events that say when input ended, and when an answer was cut."""

FORMAT_EVENTS: frozenset[str] = frozenset(
    {
        "response.created",
        "session.created",
        "session.updated",
        "transcription_session.created",
        "transcription_session.updated",
    }
)
"""The server's types that report an audio format."""

RESPONSE_END = "response.done"
"""The type that ends a response; its frame says how."""

SESSION_CHANGE = "session.updated"
"""The type that reports the configuration of a session."""

USER_TEXTS: tuple[str, ...] = (
    "conversation.item.create",
    "conversation.item.input_audio_transcription.completed",
)
"""The types that bring what the user wrote or said."""

USAGE_EVENTS: tuple[str, ...] = (
    RESPONSE_END,
    "conversation.item.input_audio_transcription.",
    "rate_limits.updated",
    "session.usage.updated",
)
"""The types, or their prefixes, that report tokens, durations and limits."""

_HOLDERS = ("conversation.item.", "response.output_item.", "response.content_part.")

# Longest prefix first: the first that fits names the family.
_FAMILIES: tuple[tuple[str, Family], ...] = (
    ("response.output_audio_transcript.", "text"),
    ("response.audio_transcript.", "text"),
    ("response.output_audio.", "audio"),
    ("response.audio.", "audio"),
    ("response.output_text.", "text"),
    ("response.text.", "text"),
    ("response.function_call_arguments.", "tool"),
    ("response.mcp_", "tool"),
    ("mcp_", "tool"),
    ("conversation.item.input_audio_transcription.", "text"),
    ("conversation.", "item"),
    ("input_audio_buffer.", "audio"),
    ("output_audio_buffer.", "audio"),
    ("response.", "response"),
    ("session.output_audio.", "audio"),
    ("session.input_audio_buffer.", "audio"),
    ("session.input_transcript.", "text"),
    ("session.output_transcript.", "text"),
    ("session.", "session"),
    ("transcription_session.", "session"),
    ("rate_limits.", "limits"),
    ("error", "error"),
)


def family(type: str) -> Family:
    """Return what an event type is about; "other" for one that is not known."""
    return next((name for prefix, name in _FAMILIES if type.startswith(prefix)), "other")


def is_delta(type: str) -> bool:
    """Return whether many events of this type make one whole (``….delta`` and appended audio)."""
    return type.endswith(".delta") or type in APPENDS


def is_failure(type: str) -> bool:
    """Return whether every event of this type reports that something failed."""
    return type == "error" or type.endswith(".failed")


def holds_content(type: str) -> bool:
    """Return whether events of this type hold an item or a content part."""
    return type.startswith(_HOLDERS)
