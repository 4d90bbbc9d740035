"""Whatever a client sends, the server answers within the protocol, and the session goes on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.schema import check_server_event

from rtnb.engines.fake import fake
from rtnb.protocol.dialects import BETA, GA, Dialect
from rtnb.server.schema import CLIENT_EVENTS
from rtnb.server.session import serve
from rtnb.transports.memory import pair

_NAMES = """type event_id session audio input output format rate voice speed turn_detection transcription
    model item item_id id previous_item_id role content text call_id name arguments response metadata
    conversation tools tool_choice parameters output_modalities instructions max_output_tokens content_index
    audio_end_ms truncation input threshold language modalities input_audio_format output_audio_format
    input_audio_transcription temperature max_response_output_tokens"""
_WORDS = """realtime server_vad semantic_vad audio/pcm audio/pcmu text audio user system assistant message
    function_call function_call_output item_reference input_text input_audio output_text AAAAAAAA root none
    auto inf whisper-1 alloy i1 call_1 function look pcm16 g711_ulaw"""
NAMES, WORDS = st.sampled_from(_NAMES.split()), st.sampled_from(_WORDS.split())
LEAVES = st.none() | st.booleans() | st.integers(-10, 30_000) | st.floats(-2, 2) | WORDS | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
EVENTS = st.builds(
    lambda type, fields: {**fields, "type": type},
    st.sampled_from(sorted({*CLIENT_EVENTS["ga"], *CLIENT_EVENTS["beta"]})),
    st.dictionaries(NAMES, VALUES, max_size=4),
)
ITEM = st.fixed_dictionaries(
    {
        "type": st.just("message"),
        "role": WORDS,
        "content": st.lists(st.dictionaries(NAMES, LEAVES), max_size=2),
    }
)
NEARLY = st.one_of(
    st.builds(lambda item: {"type": "conversation.item.create", "item": item}, ITEM),
    st.builds(
        lambda fields: {"type": "session.update", "session": {**fields, "type": "realtime"}},
        st.dictionaries(NAMES, VALUES, max_size=3),
    ),
    st.builds(
        lambda type, fields: {"type": type, "session": fields},
        st.sampled_from(["session.update", "transcription_session.update"]),
        st.dictionaries(NAMES, VALUES, max_size=2),
    ),
    st.builds(
        lambda fields: {"type": "response.create", "response": fields},
        st.dictionaries(NAMES, VALUES, max_size=3),
    ),
    st.just({"type": "input_audio_buffer.append", "audio": "f38A" * 4_000}),
    st.just({"type": "input_audio_buffer.commit"}),
    st.just({"type": "response.create"}),
    st.just({"type": "response.cancel"}),
)


async def converse(events: list[dict[str, Any]], dialect: Dialect) -> None:
    client, end = pair()
    serving = asyncio.create_task(serve(end, fake({}), dialect=dialect))
    for event in [*events, {"type": "probe", "event_id": "probe"}]:
        await client.send(json.dumps(event).encode())
    async with asyncio.timeout(30):
        while True:
            event = json.loads(await client.recv())
            check_server_event(event, dialect.name)
            if event["type"] == "error":
                assert event["error"]["type"] == "invalid_request_error", event
                if event["error"]["event_id"] == "probe":
                    break
        await client.close()
        await serving


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(st.lists(EVENTS | NEARLY, max_size=8), st.sampled_from([GA, BETA]))
def test_no_event_breaks_the_session(events, dialect):
    asyncio.run(converse(events, dialect))
