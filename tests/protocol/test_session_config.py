from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from rtnb.errors import ArgumentError
from rtnb.protocol import models
from rtnb.protocol import session_config as config
from rtnb.protocol.session_config import Response, Session
from rtnb.recordings import protocol_fields
from rtnb.recordings.protocol_fields import members_of
from rtnb.recordings.scrub_rules import changed, masked
from rtnb.server import schema
from rtnb.server.validation import InvalidRequest
from rtnb.session import options as client
from rtnb.structs import FieldError, check, fields, is_struct, options, origin_of

SEED = models.find(models.SEED)
TEXT = st.text(max_size=8)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type, as JSON."""
    return st.one_of([one_option(*option) for option in options(hint)])


def one_option(hint: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    args: tuple[Any, ...] = get_args(hint)
    if is_struct(hint):
        return structs(hint)
    if hint is Any:
        return st.integers(0, 9) | TEXT
    if origin_of(hint) is Literal:
        return st.sampled_from(args)
    if origin_of(hint) is list:
        return st.lists(values(args[0]), max_size=2)
    if origin_of(hint) is dict:
        return st.dictionaries(TEXT, values(args[1]), max_size=3)
    if hint is int:
        return st.integers(meta.ge, meta.le if meta.le is not None else 4_096)
    if hint is float:
        return st.floats(meta.ge, meta.le)
    if hint is str:
        return st.from_regex(meta.pattern) if meta.pattern else TEXT
    return {bool: st.booleans(), type(None): st.none()}[hint]


def structs(struct: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of a struct, with any of the fields that may be absent."""
    required = {name for name, one in zip(struct.__struct_fields__, defaults(struct), strict=True) if one}
    required |= {struct.__struct_config__.tag_field} - {None}
    every = {name: values(hint) for name, hint in fields(struct).items()}
    must = {name: one for name, one in every.items() if name in required}
    return st.fixed_dictionaries(
        must, optional={name: one for name, one in every.items() if name not in required}
    )


def defaults(struct: Any) -> list[bool]:
    missing = len(struct.__struct_fields__) - len(struct.__struct_defaults__)
    return [True] * missing + [one is msgspec.NODEFAULT for one in struct.__struct_defaults__]


def served(given: dict[str, Any]) -> dict[str, Any]:
    """The same without what this server does not offer."""
    kept = {name: one for name, one in given.items() if name not in ("prompt", "output_modalities")}
    tools = {tool["name"]: tool for tool in kept.get("tools") or () if tool["type"] == "function"}
    if "tools" in kept:
        kept["tools"] = list(tools.values())
    if isinstance(kept.get("tool_choice"), dict):
        del kept["tool_choice"]
    if "voice" in kept.get("audio", {}).get("output", {}):
        kept["audio"]["output"]["voice"] = "alloy"
    return kept


@given(structs(Session))
def test_any_session_round_trips_and_is_accepted_by_the_server(given):
    session = check(Session, given)
    wire = msgspec.to_builtins(session)
    assert check(Session, wire) == session
    assert given.keys() - {"type"} <= wire.keys()
    before = schema.defaults("sess_1", models.SEED, 0)
    update = {"type": "realtime", **served(given)}
    after = schema.update(before, update, voices=(), voice_fixed=False)
    assert schema.update(after, update, voices=(), voice_fixed=False) == after


@given(structs(Response))
def test_any_response_round_trips_and_is_accepted_by_the_server(given):
    response = check(Response, given)
    assert check(Response, msgspec.to_builtins(response)) == response
    assert schema.checked_response(served(given), ()).keys() == served(given).keys()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT | st.sampled_from([*fields(Session), "input", "output"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(list(fields(Session))), json_values), st.sampled_from([Session, Response])
)
def test_any_json_is_accepted_or_its_error_says_where(given, struct):
    refusal = None
    try:
        check(struct, given, "session")
    except FieldError as error:
        refusal = error
    if refusal is not None:
        assert refusal.path.startswith("session.")
        assert refusal.expected
        assert refusal.reason != "other" or refusal.description


class More(Session):
    """A session with fields that the next version of the protocol may have."""

    mood: Literal["calm", "lively"] | UnsetType = UNSET
    motto: str | UnsetType = UNSET
    theme: config.Identifier | UnsetType = UNSET


def test_a_field_is_added_in_one_place(monkeypatch):
    more = {"mood": "calm", "motto": "Ossifrage", "theme": "sea_2"}
    # Server
    monkeypatch.setattr(schema, "_SESSION", msgspec.defstruct("More", schema._NARROWED, bases=(More,)))
    before = schema.defaults("sess_1", models.SEED, 0)
    after = schema.update(before, {"type": "realtime", **more}, voices=(), voice_fixed=False)
    assert after.items() >= more.items()
    with pytest.raises(
        InvalidRequest, match=r"Invalid value: 'sad'\. Supported values are: 'calm' and 'lively'"
    ):
        schema.update(before, {"type": "realtime", "mood": "sad"}, voices=(), voice_fixed=False)
    # Client
    assert client._wire(More, more) == {"type": "realtime", **more}
    with pytest.raises(ArgumentError, match="mood: expected 'calm' or 'lively', got 'sad'"):
        client._wire(More, {"mood": "sad"})
    # Scrubbing
    found = members_of(More)
    monkeypatch.setitem(protocol_fields._EVENT.members, "session", protocol_fields.Field(members=found))
    event = {"type": "session.update", "session": {"type": "realtime", **more}}
    new = changed("client", event, lambda value, kind, whose, ids: masked(value) if kind == "text" else value)
    assert new["session"] == {"type": "realtime", **more, "motto": "xxxxxxxxx"}


def test_free_text_is_told_from_identifiers_and_enumerations():
    found = members_of(Session, Response)
    tool = found["tools"].members
    transcription = found["audio"].members["input"].members["transcription"].members
    texts = (found["instructions"], tool["description"], tool["server_label"], transcription["keywords"])
    assert {(text.kind, text.of_session) for text in texts} == {("text", True)}
    assert {transcription[name].kind for name in ("model", "language", "languages")} == {"name"}
    assert (found["prompt"].members["id"].kind, tool["tunnel_id"].kind) == ("id", "id")
    assert found["truncation"].listed == {"auto", "disabled"}
    assert found["truncation"].members["token_limits"].members["post_instructions"].kind == "number"
    assert found["max_output_tokens"] == protocol_fields.Field("number", frozenset({"inf"}))
    for free in (found["metadata"], tool["headers"], found["prompt"].members["variables"]):
        assert (free.kind, free.members) == ("unknown", {})
    assert tool["parameters"].kind == "schema"
