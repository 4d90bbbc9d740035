"""The names of events on the wire: which there are, what each is about, and what the beta called them.

An event that is not listed here is kept, shown and passed on all the same: its family is "other".
Sources: Realtime API reference, GA, August 2026; the last beta specification, July 2025.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "APPEND",
    "AUDIO_DELTAS",
    "BETA_NAMES",
    "CLIENT_EVENTS",
    "SERVER_EVENTS",
    "Family",
    "family",
    "is_delta",
]

Family = Literal["session", "audio", "text", "tool", "item", "response", "error", "limits", "other"]

APPEND = "input_audio_buffer.append"

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

AUDIO_DELTAS: frozenset[str] = frozenset(
    {"response.output_audio.delta", "response.audio.delta", "session.output_audio.delta"}
)
"""The types whose ``delta`` is audio: GA's, the beta's and that of translations."""

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
    return type.endswith(".delta") or type == APPEND
