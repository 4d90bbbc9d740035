"""What a client may send, field by field: for a server, which refuses anything else.

Reading a frame is lenient (see ``client_events``); this is the strict side. The structs of GA's session and
response are in ``protocol.session_config``; here are the beta's, the events around them, and items.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..session_config import (
    CustomVoice,
    FunctionChoice,
    FunctionTool,
    Identifier,
    Metadata,
    NoiseReduction,
    SemanticVad,
    ServerVad,
    Tracing,
    Transcription,
)

__all__ = [
    "CONTENT_PARTS",
    "LONGEST_EVENT_ID",
    "BetaResponse",
    "BetaSession",
    "BetaTranscription",
    "ClientItem",
    "ItemReference",
    "client_events",
]

LONGEST_EVENT_ID = 512

_TEXT_OR_NULL = str | None | UnsetType
_Index = Annotated[int, Meta(ge=0)]
_EventId = Annotated[str, Meta(max_length=LONGEST_EVENT_ID)]


def client_events(
    session: Any, response: Any, transcription: type[Struct] | None = None
) -> dict[str, type[Struct]]:
    """Return the struct of each client event, by its type.

    ``session`` and ``response`` are the structs of what a session and a response may set, ``transcription``
    that of a transcription session where it has an event of its own.
    """
    fields: dict[str, list[Any]] = {
        "session.update": [("session", session)],
        "input_audio_buffer.append": [("audio", str)],
        "input_audio_buffer.commit": [],
        "input_audio_buffer.clear": [],
        "conversation.item.create": [
            ("item", dict[str, Any]),
            ("previous_item_id", _TEXT_OR_NULL, UNSET),
        ],
        "conversation.item.retrieve": [("item_id", str)],
        "conversation.item.truncate": [
            ("item_id", str),
            ("content_index", _Index),
            ("audio_end_ms", _Index),
        ],
        "conversation.item.delete": [("item_id", str)],
        "response.create": [("response", response | None | UnsetType, UNSET)],
        "response.cancel": [("response_id", _TEXT_OR_NULL, UNSET)],
        "output_audio_buffer.clear": [],
    }
    if transcription is not None:
        fields["transcription_session.update"] = [("session", transcription)]
    return {
        type: msgspec.defstruct(
            "ClientEvent",
            [("event_id", _EventId | None | UnsetType, UNSET), *own],
            tag_field="type",
            tag=type,
            kw_only=True,
            forbid_unknown_fields=True,
        )
        for type, own in fields.items()
    }


# The beta's configuration: flat, with formats as strings.

_Format = Literal["pcm16", "g711_ulaw", "g711_alaw"]
_Modalities = Annotated[list[Literal["text", "audio"]], Meta(min_length=1)]
_Temperature = Annotated[float, Meta(ge=0.6, le=1.2)]
_Limit = Annotated[int, Meta(ge=1, le=4_096)] | Literal["inf"] | None


class _Flat(Struct, forbid_unknown_fields=True, kw_only=True):
    pass


_Transcription = Transcription | UnsetType | None
_NoiseReduction = NoiseReduction | UnsetType | None
_TurnDetection = ServerVad | SemanticVad | UnsetType | None


class _BetaOutput(_Flat):
    modalities: _Modalities | UnsetType = UNSET
    instructions: str | UnsetType | None = UNSET
    voice: Identifier | CustomVoice | UnsetType = UNSET
    output_audio_format: _Format | UnsetType = UNSET
    tools: list[FunctionTool] | UnsetType | None = UNSET
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | UnsetType = UNSET
    temperature: _Temperature | UnsetType = UNSET
    max_response_output_tokens: _Limit | UnsetType = UNSET


class BetaSession(_BetaOutput):
    """The ``session`` of the beta's ``session.update``."""

    model: Identifier | UnsetType = UNSET
    input_audio_format: _Format | UnsetType = UNSET
    input_audio_transcription: _Transcription = UNSET
    input_audio_noise_reduction: _NoiseReduction = UNSET
    turn_detection: _TurnDetection = UNSET
    speed: Annotated[float, Meta(ge=0.25, le=1.5)] | UnsetType = UNSET
    tracing: Literal["auto"] | Tracing | UnsetType | None = UNSET


class BetaTranscription(_Flat):
    """The ``session`` of a ``transcription_session.update``; its ``modalities`` have no effect."""

    modalities: _Modalities | UnsetType = UNSET
    input_audio_format: _Format | UnsetType = UNSET
    input_audio_transcription: _Transcription = UNSET
    input_audio_noise_reduction: _NoiseReduction = UNSET
    turn_detection: _TurnDetection = UNSET
    include: list[Literal["item.input_audio_transcription.logprobs"]] | UnsetType | None = UNSET


class BetaResponse(_BetaOutput):
    """The ``response`` of the beta's ``response.create``: its limit has the session's name, or GA's."""

    max_output_tokens: _Limit | UnsetType = UNSET
    conversation: Literal["auto", "none"] | UnsetType = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    input: list[dict[str, Any]] | UnsetType | None = UNSET


# Items, the same in both dialects.


class _Wire(Struct, forbid_unknown_fields=True, tag_field="type"):
    pass


class _Item(_Wire):
    id: str | UnsetType = UNSET
    object: Literal["realtime.item"] | UnsetType = UNSET
    status: Literal["completed", "incomplete", "in_progress"] | UnsetType = UNSET


class _FunctionCall(_Item, tag="function_call", kw_only=True):
    call_id: str | UnsetType = UNSET
    name: str
    arguments: str


class _FunctionCallOutput(_Item, tag="function_call_output", kw_only=True):
    call_id: str
    output: str


class _Message(_Item, tag="message", kw_only=True):
    role: Literal["system", "user", "assistant"]
    content: list[dict[str, Any]]


ClientItem: Any = _Message | _FunctionCall | _FunctionCallOutput
"""An item that a client may create; its content is one of `CONTENT_PARTS`."""


class ItemReference(_Wire, tag="item_reference"):
    """An item of the conversation, in the input of a response."""

    id: str


class _InputText(_Wire, tag="input_text"):
    text: str


class _OutputText(_Wire, tag="output_text"):
    text: str


class _InputAudio(_Wire, tag="input_audio"):
    audio: str
    transcript: str | UnsetType | None = UNSET
    format: str | UnsetType | None = UNSET


class _InputImage(_Wire, tag="input_image"):
    image_url: str
    detail: str | UnsetType = UNSET


CONTENT_PARTS: dict[str, type[Struct]] = {
    "input_text": _InputText,
    "input_audio": _InputAudio,
    "input_image": _InputImage,
    "output_text": _OutputText,
}
"""The content parts that a client may send, by type."""
