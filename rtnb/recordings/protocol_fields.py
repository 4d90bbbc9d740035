"""The members of the protocol's events, and what each of them holds: the allow-list of scrubbing.

What is not in this table may hold anything, and is masked like a text. All events have one table: a member
has the same meaning in each of them, except for ``delta``. It has GA's and the beta's members, and those of
transcriptions and translations; the configuration is that of `protocol.session_config` and of the beta's
structs, so a field that is added there is known here.

Sources: Realtime API reference, GA, August 2026; the last beta specification, July 2025. What servers send
beyond them (Chat Completions' names of tokens, ``phase``, sampling rates) is as in `protocol.dialects`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from msgspec import Struct

from ..protocol.dialects.client_schema import BetaResponse, BetaSession, BetaTranscription
from ..protocol.dialects.names import AUDIO_DELTAS, EVENTS
from ..protocol.session_config import FORMATS, FunctionTool, McpTool, Response, Session
from ..structs import fields, is_struct, options, origin_of

__all__ = ["LIKELY_AUDIO", "PROTOCOL_WORDS", "Field", "event_field", "members_of"]

FieldKind = Literal[
    "unknown", "id", "name", "code", "number", "audio", "likely", "text", "part", "bytes", "schema", "type"
]


@dataclass(frozen=True, slots=True)
class Field:
    """What a member holds, or each element of its array.

    ``kind`` is that of a value: an id; the name of something technical, such as a model; the code of an
    error; a number; audio; a text, or a part of one; the bytes of a token; a JSON Schema; the type of an
    event. ``listed`` are the words that the protocol lists for it, ``members`` those of an object. The author
    of the session wrote what is ``of_session``, wherever it is.
    """

    kind: FieldKind = "unknown"
    listed: frozenset[str] = frozenset()
    members: Mapping[str, Field] = field(default_factory=dict)
    of_session: bool = False

    def __or__(self, other: Field) -> Field:
        return Field(
            other.kind if self.kind == "unknown" else self.kind,
            self.listed | other.listed,
            _merged(self.members, other.members),
            self.of_session or other.of_session,
        )

    def member(self, name: str) -> Field | None:
        """Return what a member of this object holds; None for one that the protocol does not have."""
        if self.kind != "schema":
            return self.members.get(name)
        return _SCHEMA_TYPE if name == "type" else self if name in _KEYWORDS else None

    @property
    def rest(self) -> Field:
        """What any other member holds."""
        return self if self.kind == "schema" else UNKNOWN


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


UNKNOWN = Field()
LIKELY_AUDIO = Field("likely")
"""What a member named ``audio`` holds where the protocol has none."""
_SCHEMA = Field("schema", of_session=True)
_SCHEMA_TYPE = Field("schema", _set("array boolean integer null number object string"))
_KEYWORDS = _set(
    """
    $defs $ref additionalProperties allOf anyOf const default description enum examples format items maximum
    maxItems maxLength minimum minItems minLength not oneOf pattern properties required title type
    """
)
"""The keys of a JSON Schema; the others in it are names that the author of a tool chose."""


def _merged(*tables: Mapping[str, Field]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for table in tables:
        for name, one in table.items():
            found[name] = found[name] | one if name in found else one
    return found


def members_of(*structs: type[Struct]) -> dict[str, Field]:
    """Return the members that a configuration may have: those of some structs, and of the structs in them.

    >>> members_of(Session)["truncation"].listed >= {"auto", "disabled"}
    True
    """
    return _merged(*({name: _field(name, hint) for name, hint in fields(one).items()} for one in structs))


def _field(name: str, hint: Any) -> Field:
    found = UNKNOWN
    for one, meta in options(hint):
        if origin_of(one) is list:
            found |= _field(name, get_args(one)[0])
        elif origin_of(one) is Literal:
            found |= Field(listed=frozenset(get_args(one)))
        elif is_struct(one):
            found |= Field(members=members_of(one))
        elif one in (bool, int, float):
            found |= Field("number")
        elif one is str and (meta.extra or {}).get("identifier"):
            found |= Field("id" if name == "id" or name.endswith("_id") else "name")
        elif one is str:
            found |= Field("text", of_session=True)
        elif origin_of(one) is dict:
            found |= _SCHEMA if name == "parameters" else Field(of_session=True)
    return found


def _table(
    listed: Mapping[str, str] | None = None,
    objects: Mapping[str, Mapping[str, Field]] | None = None,
    **kinds: str,
) -> dict[str, Field]:
    """Return members by kind; ``listed`` has the words of each, ``objects`` the members of each."""
    tables = [{name: Field(kind) for name in names.split()} for kind, names in kinds.items()]  # type: ignore[arg-type]
    tables.append({name: Field(listed=_set(words)) for name, words in (listed or {}).items()})
    tables.append({name: Field(members=members) for name, members in (objects or {}).items()})
    return _merged(*tables)


def _of_session(names: str) -> dict[str, Field]:
    return {name: Field("text", of_session=True) for name in names.split()}


_FORMATS = " ".join(FORMATS)
_STATUSES = "cancelled completed failed in_progress incomplete"

_ERROR = _table(
    id="event_id",
    code="code type",
    text="message param reason why",  # the last two are of the end in a recording's head
    listed={"type": "error"},
)
_TOKENS = _table(number="audio_tokens cached_tokens image_tokens reasoning_tokens text_tokens")
_DETAILS = _TOKENS | _table(objects={"cached_tokens_details": _TOKENS})
_SIDES = (
    "input_token",
    "input_tokens",
    "output_token",
    "output_tokens",
    "prompt_tokens",
    "completion_tokens",
)
_USAGE = _table(
    number="completion_tokens input_tokens output_tokens prompt_tokens seconds total_tokens",
    listed={"type": "duration tokens"},
    objects={f"{side}_details": _DETAILS for side in _SIDES},
)
_TOOL = members_of(FunctionTool, McpTool) | {"input_schema": _SCHEMA, "annotations": Field(of_session=True)}
_CONTENT = _table(
    id="file_id id",
    audio="audio",
    text="file_data file_url filename image_url text transcript",
    listed={
        "type": "audio input_audio input_file input_image input_text output_audio output_text text",
        "detail": "auto high low original",
        "format": _FORMATS,
    },
    objects={"prompt_cache_breakpoint": _table(listed={"mode": "explicit"})},
)
_ITEM = _of_session("name server_label") | _table(
    id="approval_request_id call_id id",
    number="approve",
    text="arguments output reason",
    listed={
        "type": """
            function_call function_call_output item_reference mcp_approval_request mcp_approval_response
            mcp_call mcp_list_tools message
        """,
        "object": "realtime.item",
        "role": "assistant system tool user",
        "status": _STATUSES,
        "phase": "commentary final_answer",
    },
    objects={
        "content": _CONTENT,
        "error": _ERROR,
        "tools": _TOOL,
    },
)
_RESPONSE = _merged(
    members_of(Response, BetaResponse),
    _table(
        id="conversation conversation_id id",
        listed={"object": "realtime.response", "status": _STATUSES},
        objects={
            "input": _ITEM,
            "output": _ITEM,
            "status_details": _table(
                listed={
                    "type": _STATUSES,
                    "reason": "client_cancelled content_filter max_output_tokens turn_detected",
                },
                objects={"error": _ERROR},
            ),
            "usage": _USAGE,
        },
    ),
)
_SESSION = _merged(
    members_of(Session, BetaSession, BetaTranscription),
    _table(
        id="id",
        number="expires_at input_audio_sampling_rate output_audio_sampling_rate",
        listed={
            "type": "transcription translation",
            "object": "realtime.session realtime.transcription_session realtime.translation_session",
        },
        objects={
            "audio": _table(
                objects={
                    "input": _table(listed={"format": _FORMATS}),
                    "output": _table(name="language", listed={"format": _FORMATS}),
                }
            ),
            "client_secret": _table(number="expires_at", text="value"),
        },
    ),
)
_EVENT = Field(
    members=_merged(
        _of_session("name"),
        _USAGE,  # that of a translation is at the top
        _table(
            id="call_id event_id id item_id previous_item_id response_id",
            number="""
                audio_end_ms audio_start_ms channels content_index elapsed_ms end output_index received_at
                sample_rate start
            """,
            audio="audio",
            text="arguments event speaker text transcript",
            part="delta obfuscation",
            listed={"format": _FORMATS},
            objects={
                "conversation": _table(id="id", listed={"object": "realtime.conversation"}),
                "error": _ERROR,
                "item": _ITEM,
                "languages": _table(name="code"),
                "logprobs": _table(number="logprob", part="token", bytes="bytes"),
                "part": _CONTENT,
                "rate_limits": _table(
                    number="limit remaining reset_seconds", code="name", listed={"name": "requests tokens"}
                ),
                "response": _RESPONSE,
                "session": _SESSION,
                "usage": _USAGE,
            },
        ),
        {"type": Field("type")},
    )
)
_AUDIO_EVENT = Field(members={**_EVENT.members, "delta": Field("audio")})


def _words(field: Field) -> Iterator[str]:
    yield from field.listed
    for name, member in field.members.items():
        yield name
        yield from _words(member)


PROTOCOL_WORDS = EVENTS | _KEYWORDS | _SCHEMA_TYPE.listed | frozenset(_words(_EVENT))
"""The names of all members and events, and the words that the protocol lists."""


def event_field(type: str) -> Field:
    """Return the members of an event."""
    return _AUDIO_EVENT if type in AUDIO_DELTAS else _EVENT
