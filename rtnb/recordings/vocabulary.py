"""The protocol's own words: which members and values of an event nobody wrote, and nobody said.

All other strings are somebody's, also those of members that are not known here: what is new is taken out
rather than left. Source: the JSON Schema of the Realtime API, GA, August 2026: members whose strings are an
id or a name that machines give, the values that it enumerates, and the members that hold further members of
the protocol; among those not the ones that it leaves to whoever fills them, such as ``metadata``.
"""

from __future__ import annotations

import re

from ..protocol.events import CLIENT_EVENTS, SERVER_EVENTS

__all__ = ["EVENTS", "KEYWORDS", "PLACES", "is_enumerated", "is_id", "is_member", "is_name", "is_plain"]

EVENTS = (
    CLIENT_EVENTS
    | SERVER_EVENTS
    | frozenset(
        """
        response.audio.delta response.audio.done response.audio_transcript.delta
        response.audio_transcript.done response.text.delta response.text.done session.close session.closed
        session.input_audio_buffer.append session.input_transcript.delta session.output_audio.delta
        session.output_transcript.delta transcription_session.created transcription_session.update
        transcription_session.updated
        """.split()  # noqa: SIM905
    )
)
"""The events whose members are the protocol's: those of the beta, and of translations, too."""

PLACES = frozenset(
    """
    allowed_callers always audio cached_tokens_details client_secret content conversation error expires_after
    format include input input_audio_noise_reduction input_audio_transcription input_token_details item
    languages logprobs modalities never noise_reduction output output_modalities output_token_details part
    prompt prompt_cache_breakpoint rate_limits reasoning require_approval response session status_details
    token_limits tool_choice tools top_logprobs tracing transcription truncation turn_detection usage voice
    """.split()  # noqa: SIM905
)
"""Members within which the protocol goes on. Within any other, all words are somebody's, keys too."""

KEYWORDS = frozenset(
    """
    $defs $ref additionalProperties allOf anyOf const default description enum examples format items maximum
    maxItems maxLength minimum minItems minLength not oneOf pattern properties required title type
    """.split()  # noqa: SIM905
)
"""The keys of a JSON Schema, which stay where keys are taken out: they are no names of anything."""

_NAMES = frozenset(
    """
    approval_request_id call_id client_id connector_id conversation conversation_id event_id file_id format id
    input_audio_format item_id language languages model object output_audio_format previous_item_id
    response_id role status tool_choice tunnel_id type voice
    """.split()  # noqa: SIM905
)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
_WORDS = frozenset(
    """
    arguments authorization code delta event file_data file_url filename group_id image_url instructions
    keywords message obfuscation param sdp server_description server_label server_url speaker target_uri text
    token tool_names transcript value version workflow_name
    """.split()  # noqa: SIM905
)
"""Members that the protocol leaves to somebody's words, or to what is not sound at any rate."""

_CODES = (("error", "code"), ("rate_limits", "name"))
_CODE = re.compile(r"[a-z]+(?:_[a-z]+)+")

_LEVELS = frozenset({"minimal", "low", "medium", "high", "xhigh"})
_ENUMERATED: dict[str, frozenset[str]] = {
    "allowed_callers": frozenset({"direct", "programmatic"}),
    "anchor": frozenset({"created_at"}),
    "delay": _LEVELS,
    "detail": frozenset({"auto", "high", "low", "original"}),
    "eagerness": _LEVELS | {"auto"},
    "effort": _LEVELS | {"none"},
    "include": frozenset({"item.input_audio_transcription.logprobs"}),
    "max_output_tokens": frozenset({"inf"}),
    "max_response_output_tokens": frozenset({"inf"}),
    "modalities": frozenset({"audio", "text"}),
    "mode": frozenset({"explicit"}),
    "name": frozenset({"requests", "tokens"}),  # of a rate limit
    "output_modalities": frozenset({"audio", "text"}),
    "reason": frozenset({"client_cancelled", "content_filter", "max_output_tokens", "turn_detected"}),
    "require_approval": frozenset({"always", "never"}),
    "role": frozenset({"assistant", "system", "user"}),
    "status": frozenset({"cancelled", "completed", "failed", "in_progress", "incomplete"}),
    "tool_choice": frozenset({"auto", "none", "required"}),
    "tracing": frozenset({"auto"}),
    "truncation": frozenset({"auto", "disabled"}),
    "type": frozenset(
        """
        audio audio/pcm audio/pcma audio/pcmu cancelled completed duration error failed far_field function
        function_call function_call_output http_error incomplete input_audio input_file input_image input_text
        item_reference mcp mcp_approval_request mcp_approval_response mcp_call mcp_list_tools message
        near_field output_audio output_text protocol_error realtime retention_ratio semantic_vad server_vad
        text tokens tool_execution_error transcription translation
        array boolean integer null number object string
        """.split()  # noqa: SIM905
    ),
}


def is_member(key: str) -> bool:
    """Tell whether the protocol knows a member: one that it does not know may hold anything, also sound."""
    return any(key in names for names in (PLACES, _NAMES, _WORDS, _ENUMERATED))


def is_enumerated(key: str, value: str) -> bool:
    """Tell whether the protocol, or JSON Schema, lists this very value for a member."""
    return value in _ENUMERATED.get(key, ())


def is_name(key: str, value: str, parent: str) -> bool:
    """Tell whether a member's value is a name that a machine gave, an id as they mostly are among them."""
    if (parent, key) in _CODES:
        return _CODE.fullmatch(value) is not None
    return key in _NAMES and is_plain(value)


def is_id(key: str) -> bool:
    """Tell whether a member's value is an id, however it looks."""
    return key in _NAMES and (key == "id" or key.endswith("_id"))


def is_plain(value: str) -> bool:
    """Tell whether a value looks like a name that a machine gave, and not like words."""
    return _NAME.fullmatch(value) is not None
