import json
from pathlib import Path

import pytest

from rtnb.protocol.dialects.names import (
    APPENDS,
    AUDIO_DELTAS,
    CLIENT_EVENTS,
    EVENTS,
    FORMAT_EVENTS,
    SERVER_EVENTS,
    family,
    is_delta,
    is_failure,
)
from rtnb.protocol.events import BINARY

SCHEMA = Path(__file__).parents[4] / "shared" / "protocol" / "openai-realtime.schema.json"


@pytest.mark.skipif(not SCHEMA.exists(), reason="the schema is not here")
@pytest.mark.parametrize(
    ("union", "names"), [("GAClientEvent", CLIENT_EVENTS), ("GAServerEvent", SERVER_EVENTS)]
)
def test_the_names_are_those_of_the_schema(union, names):
    schema = json.loads(SCHEMA.read_text("utf-8"))["$defs"][union]
    assert set(schema["properties"]["type"]["enum"]) == names


def test_there_are_11_and_46():
    assert (len(CLIENT_EVENTS), len(SERVER_EVENTS)) == (11, 46)
    assert not CLIENT_EVENTS & SERVER_EVENTS


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("session.update", "session"),
        ("input_audio_buffer.append", "audio"),
        ("output_audio_buffer.cleared", "audio"),
        ("response.output_audio.delta", "audio"),
        ("response.output_audio_transcript.delta", "text"),
        ("response.output_text.done", "text"),
        ("conversation.item.input_audio_transcription.completed", "text"),
        ("conversation.item.created", "item"),
        ("conversation.created", "item"),
        ("response.function_call_arguments.delta", "tool"),
        ("response.mcp_call.failed", "tool"),
        ("mcp_list_tools.completed", "tool"),
        ("response.done", "response"),
        ("response.content_part.added", "response"),
        ("rate_limits.updated", "limits"),
        ("error", "error"),
        (BINARY, "other"),
        ("", "other"),
        ("something.new", "other"),
    ],
)
def test_families(type, expected):
    assert family(type) == expected


def test_every_event_of_the_protocol_has_a_family():
    assert all(family(type) != "other" for type in EVENTS)
    assert APPENDS | AUDIO_DELTAS | FORMAT_EVENTS < EVENTS


def test_deltas():
    assert {type for type in CLIENT_EVENTS | SERVER_EVENTS if is_delta(type)} == {
        "conversation.item.input_audio_transcription.delta",
        "input_audio_buffer.append",
        "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_text.delta",
    }


def test_deltas_of_other_dialects():
    assert {type for type in EVENTS - CLIENT_EVENTS - SERVER_EVENTS if is_delta(type)} == {
        "response.audio.delta",
        "response.audio_transcript.delta",
        "response.text.delta",
        "session.input_audio_buffer.append",
        "session.input_transcript.delta",
        "session.output_audio.delta",
        "session.output_transcript.delta",
    }


def test_failures():
    assert {type for type in EVENTS if is_failure(type)} == {
        "conversation.item.input_audio_transcription.failed",
        "error",
        "mcp_list_tools.failed",
        "response.mcp_call.failed",
    }
