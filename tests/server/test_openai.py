"""The official client against a real server process."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest
from openai import AsyncOpenAI, OpenAI
from support.process import serving
from support.server import silence, tone

from rtnb.audio.codecs import to_pcm16

KEY = "sk-local-test"
MODEL = "gpt-4o-realtime-preview"
TOOL = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(key=KEY) as address:
        yield address


@pytest.fixture
def connect(address):
    with OpenAI(api_key=KEY, base_url=f"http://{address}/v1") as client:
        yield lambda model=MODEL: client.realtime.connect(model=model)


def until(connection, *types):
    events = []
    for event in connection:
        events.append(event)
        if event.type in types:
            break
    return events


def say(connection, text):
    content = [{"type": "input_text", "text": text}]
    connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})


def test_a_text_turn(connect):
    with connect() as connection:
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        say(connection, "hello")
        connection.response.create()
        events = until(connection, "response.done")
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert text == "You said: hello"
        usage = events[-1].response.usage
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_a_spoken_turn(connect):
    with connect() as connection:
        transcription = {"model": "gpt-4o-mini-transcribe"}
        connection.session.update(
            session={"type": "realtime", "audio": {"input": {"transcription": transcription}}}
        )
        for sound in (silence(0.3), tone(1.0), silence(0.6)):
            connection.input_audio_buffer.append(audio=b64encode(to_pcm16(sound)).decode())
        events = until(connection, "response.done")
        types = [event.type for event in events]
        assert "input_audio_buffer.speech_stopped" in types
        assert "conversation.item.input_audio_transcription.completed" in types
        audio = b"".join(b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
        assert len(audio) > 4_800
        assert events[-1].response.status == "completed"


def test_a_function_call(connect):
    with connect() as connection:
        connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "tools": [TOOL]}
        )
        say(connection, 'get_weather "Oslo"')
        connection.response.create()
        call = until(connection, "response.done")[-1].response.output[0]
        assert json.loads(call.arguments) == {"place": "Oslo"}
        connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call.call_id, "output": "snow"}
        )
        connection.response.create()
        answer = until(connection, "response.done")[-1].response.output[0]
        assert answer.content[0].text == "The tool said: snow"


def test_cancel_and_truncate(connect):
    with connect() as connection:
        say(connection, "tell me a long story")
        connection.response.create()
        item_id = until(connection, "response.output_audio.delta")[-1].item_id
        connection.response.cancel()
        response = until(connection, "response.done")[-1].response
        assert (response.status, response.status_details.reason) == ("cancelled", "client_cancelled")
        connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=100)
        assert until(connection, "conversation.item.truncated")[-1].audio_end_ms == 100


def test_errors(connect):
    with connect() as connection:
        connection.response.cancel(event_id="mine")
        error = until(connection, "error")[-1].error
        assert (error.code, error.event_id) == ("response_cancel_not_active", "mine")
        connection.session.update(
            session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}
        )
        error = until(connection, "error")[-1].error
        assert error.code == "integer_below_min_value"
        assert error.param == "session.audio.input.format.rate"


def test_an_unknown_model(connect):
    with connect("gpt-imaginary") as connection:
        assert until(connection, "error")[-1].error.code == "invalid_model"


async def test_the_async_client(address):
    async with (
        AsyncOpenAI(api_key=KEY, base_url=f"http://{address}/v1") as client,
        client.realtime.connect(model=MODEL) as connection,
    ):
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.response.create(response={"input": [], "instructions": "none"})
        async for event in connection:
            if event.type == "response.done":
                assert event.response.output[0].content[0].text == "I heard nothing."
                break
