"""The configuration of a session and of a response: every field, with its type and limits.

This is the only list of these fields. The client and the server check against it, and scrubbing finds in it
which texts are free text: a plain ``str`` is, a ``Literal`` or an ``Identifier`` is not. Fields are absent by
default, since an update has only the fields that change.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["FORMATS", "Response", "Session"]

Identifier = Annotated[str, Meta(extra={"identifier": True})]
"""A technical name or id, such as a model's: scrubbing does not change it."""

Absent = UnsetType
Level = Literal["minimal", "low", "medium", "high", "xhigh"]
Milliseconds = Annotated[int, Meta(ge=0)]


class _Part(Struct, forbid_unknown_fields=True):
    pass


class Pcm(_Part, tag_field="type", tag="audio/pcm"):
    """16 bit, mono, little endian."""

    rate: Annotated[int, Meta(ge=24_000, le=24_000)] = 24_000


class Ulaw(_Part, tag_field="type", tag="audio/pcmu"):
    """G.711 µ-law, 8 kHz."""


class Alaw(_Part, tag_field="type", tag="audio/pcma"):
    """G.711 A-law, 8 kHz."""


Format = Pcm | Ulaw | Alaw
FORMATS: dict[str, dict[str, Any]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24_000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
"""The formats by their short names, which the beta protocol used."""


class _TurnDetection(_Part, tag_field="type"):
    create_response: bool | Absent = UNSET
    interrupt_response: bool | Absent = UNSET


class ServerVad(_TurnDetection, tag="server_vad"):
    """A turn ends after silence."""

    threshold: Annotated[float, Meta(ge=0, le=1)] | Absent = UNSET
    prefix_padding_ms: Annotated[int, Meta(ge=0, le=10_000)] | Absent = UNSET
    silence_duration_ms: Annotated[int, Meta(ge=0, le=60_000)] | Absent = UNSET
    idle_timeout_ms: Annotated[int, Meta(ge=5000, le=30000)] | Absent | None = UNSET


class SemanticVad(_TurnDetection, tag="semantic_vad"):
    """A turn ends where a model judges that the user has finished."""

    eagerness: Literal["low", "medium", "auto", "high"] | Absent = UNSET


class Transcription(_Part):
    """How the user's speech is transcribed."""

    model: Identifier | Absent = UNSET
    language: Identifier | Absent | None = UNSET
    languages: list[Identifier] | Absent = UNSET
    keywords: list[str] | Absent = UNSET
    prompt: str | Absent | None = UNSET
    delay: Level | Absent = UNSET


class NoiseReduction(_Part):
    """The kind of microphone whose noise is removed."""

    type: Literal["near_field", "far_field"] | Absent = UNSET


class AudioInput(_Part):
    """The user's audio."""

    format: Format | Absent = UNSET
    transcription: Transcription | Absent | None = UNSET
    noise_reduction: NoiseReduction | Absent | None = UNSET
    turn_detection: ServerVad | SemanticVad | Absent | None = UNSET


class CustomVoice(_Part):
    """A voice of the user's own."""

    id: Identifier


class ResponseAudioOutput(_Part):
    """The assistant's audio in one response."""

    format: Format | Absent = UNSET
    voice: Identifier | CustomVoice | Absent = UNSET


class AudioOutput(ResponseAudioOutput):
    """The assistant's audio."""

    speed: Annotated[float, Meta(ge=0.25, le=1.5)] | Absent = UNSET


class Audio(_Part):
    """The audio of a session, in both directions."""

    input: AudioInput | Absent = UNSET
    output: AudioOutput | Absent = UNSET


class ResponseAudio(_Part):
    """The audio of a response."""

    output: ResponseAudioOutput | Absent = UNSET


ToolName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9_-]{1,64}\Z",
        description="a tool's name is 1 to 64 letters, digits, '_' and '-'",
    ),
]


class FunctionTool(_Part, tag_field="type", tag="function"):
    """A function that the client runs."""

    name: ToolName
    description: str | Absent | None = UNSET
    parameters: dict[str, Any] | Absent | None = UNSET


class McpToolFilter(_Part):
    """Some of an MCP server's tools."""

    tool_names: list[str] | Absent = UNSET
    read_only: bool | Absent = UNSET


class McpApproval(_Part):
    """Which of an MCP server's tools need the user's approval."""

    always: McpToolFilter | Absent = UNSET
    never: McpToolFilter | Absent = UNSET


class McpTool(_Part, tag_field="type", tag="mcp"):
    """An MCP server whose tools the hosted service runs."""

    server_label: str
    server_url: str | Absent = UNSET
    connector_id: Identifier | Absent = UNSET
    tunnel_id: Identifier | Absent = UNSET
    authorization: str | Absent = UNSET
    server_description: str | Absent = UNSET
    headers: dict[str, str] | Absent | None = UNSET
    allowed_tools: list[str] | McpToolFilter | Absent | None = UNSET
    allowed_callers: list[Literal["direct", "programmatic"]] | Absent | None = UNSET
    require_approval: Literal["always", "never"] | McpApproval | Absent | None = UNSET
    defer_loading: bool | Absent = UNSET


class FunctionChoice(_Part, tag_field="type", tag="function"):
    """The function to call."""

    name: str


class McpChoice(_Part, tag_field="type", tag="mcp"):
    """The MCP tool to call."""

    server_label: str
    name: str | Absent | None = UNSET


class Reasoning(_Part):
    """How much a reasoning model thinks."""

    effort: Literal["none"] | Level | Absent | None = UNSET


class TokenLimits(_Part):
    """How many tokens of the conversation are kept."""

    post_instructions: Annotated[int, Meta(ge=0)] | Absent = UNSET


class RetentionRatio(_Part):
    """How much of the context is kept when it is truncated."""

    type: Literal["retention_ratio"]
    retention_ratio: Annotated[float, Meta(ge=0, le=1)]
    token_limits: TokenLimits | Absent = UNSET


class Tracing(_Part):
    """How the service's trace of the session is labelled."""

    workflow_name: str | Absent = UNSET
    group_id: str | Absent = UNSET
    metadata: dict[str, Any] | Absent = UNSET


class Prompt(_Part):
    """A prompt that the hosted service stores."""

    id: Identifier
    version: str | Absent | None = UNSET
    variables: dict[str, Any] | Absent | None = UNSET


class _Settings(_Part):
    """What a session sets and a response may override."""

    output_modalities: list[Literal["text", "audio"]] | Absent = UNSET
    instructions: str | Absent | None = UNSET
    tools: list[FunctionTool | McpTool] | Absent | None = UNSET
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | McpChoice | Absent = UNSET
    parallel_tool_calls: bool | Absent = UNSET
    reasoning: Reasoning | Absent | None = UNSET
    max_output_tokens: Annotated[int, Meta(ge=1)] | Literal["inf"] | Absent | None = UNSET
    prompt: Prompt | Absent | None = UNSET


class Session(_Settings):
    """The ``session`` of a ``session.update``."""

    type: Literal["realtime"] = "realtime"
    model: Identifier | Absent = UNSET
    audio: Audio | Absent = UNSET
    include: list[Literal["item.input_audio_transcription.logprobs"]] | Absent | None = UNSET
    tracing: Literal["auto"] | Tracing | Absent | None = UNSET
    truncation: Literal["auto", "disabled"] | RetentionRatio | Absent | None = UNSET


Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


class Response(_Settings):
    """The ``response`` of a ``response.create``."""

    audio: ResponseAudio | Absent = UNSET
    conversation: Literal["auto", "none"] | Absent = UNSET
    metadata: Metadata | Absent | None = UNSET
    input: list[dict[str, Any]] | Absent | None = UNSET
