"""The official client's beta interface, and a bare WebSocket, against a real server process."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest
from openai import AsyncOpenAI, OpenAI
from support.process import serving
from support.schema import check_server_event
from support.server import silence, tone
from websockets.sync.client import connect as websocket

from rtnb.audio.codecs import to_pcm16

KEY = "sk-local-test"
MODEL = "gpt-4o-realtime-preview"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(key=KEY) as address:
        yield address


@pytest.fixture
def connect(address):
    with OpenAI(api_key=KEY, websocket_base_url=f"ws://{address}/v1") as client:
        yield lambda model=MODEL: client.beta.realtime.connect(model=model)


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
        created = until(connection, "session.created")[-1].session
        assert (created.input_audio_format, created.temperature) == ("pcm16", 0.8)
        connection.session.update(session={"modalities": ["text"], "temperature": 0.7})
        assert until(connection, "session.updated")[-1].session.temperature == 0.7
        say(connection, "hello")
        assert until(connection, "conversation.item.created")[-1].item.role == "user"
        connection.response.create()
        events = until(connection, "response.done")
        text = "".join(event.delta for event in events if event.type == "response.text.delta")
        assert text == "You said: hello"
        response = events[-1].response
        assert response.output[0].content[0].type == "text"
        assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_a_spoken_turn(connect):
    with connect() as connection:
        connection.session.update(session={"input_audio_transcription": {"model": "whisper-1"}})
        for sound in (silence(0.3), tone(1.0), silence(0.6)):
            connection.input_audio_buffer.append(audio=b64encode(to_pcm16(sound)).decode())
        events = until(connection, "response.done")
        types = [event.type for event in events]
        assert "input_audio_buffer.speech_stopped" in types
        assert "conversation.item.input_audio_transcription.completed" in types
        audio = b"".join(b64decode(e.delta) for e in events if e.type == "response.audio.delta")
        assert len(audio) > 4_800


def test_a_transcription_session(connect):
    with connect() as connection:
        transcription = {"model": "gpt-4o-transcribe"}
        connection.transcription_session.update(session={"input_audio_transcription": transcription})
        updated = until(connection, "transcription_session.updated")[-1]
        assert updated.session.input_audio_transcription.model == "gpt-4o-transcribe"


def test_an_error_names_the_field(connect):
    with connect() as connection:
        connection.session.update(session={"input_audio_format": "mp3"}, event_id="mine")
        error = until(connection, "error")[-1].error
        assert (error.param, error.event_id) == ("session.input_audio_format", "mine")


def test_an_unknown_model(connect):
    with connect("gpt-imaginary") as connection:
        assert until(connection, "error")[-1].error.code == "invalid_model"


async def test_the_async_client(address):
    async with (
        AsyncOpenAI(api_key=KEY, websocket_base_url=f"ws://{address}/v1") as client,
        client.beta.realtime.connect(model=MODEL) as connection,
    ):
        await connection.session.update(session={"modalities": ["text"]})
        await connection.response.create(response={"input": [], "instructions": "none"})
        async for event in connection:
            if event.type == "response.done":
                assert event.response.output[0].content[0].text == "I heard nothing."
                break


@pytest.mark.parametrize("offered", [[], ["realtime"]])
def test_a_browser_asks_by_subprotocol(address, offered):
    protocols = [*offered, f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1"]
    url = f"ws://{address}/v1/realtime?model={MODEL}"
    with websocket(url, subprotocols=protocols, proxy=None) as socket:
        assert socket.subprotocol == (offered or ["openai-beta.realtime-v1"])[0]
        socket.send(json.dumps({"type": "session.update", "session": {"modalities": ["text"]}}))
        socket.send(json.dumps({"type": "response.create"}))
        names = []
        while not names or names[-1] != "rate_limits.updated":
            event = json.loads(socket.recv(timeout=30))
            check_server_event(event, "beta")
            names.append(event["type"])
        assert names[:2] == ["session.created", "session.updated"]
        assert "response.text.delta" in names


def test_one_server_serves_both_dialects(address, connect):
    url = f"ws://{address}/v1/realtime?model={MODEL}"
    headers = {"Authorization": f"Bearer {KEY}"}
    with connect() as beta, websocket(url, additional_headers=headers, proxy=None) as ga:
        assert until(beta, "session.created")[-1].session.modalities == ["text", "audio"]
        created = json.loads(ga.recv(timeout=30))
        check_server_event(created)
        assert created["session"]["output_modalities"] == ["audio"]
