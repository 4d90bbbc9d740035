"""A client of the beta protocol, in memory: each frame is checked against its schema and the SDK's types."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai.types.beta.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from support.server import Wire, connected, done, silence, tone, types

import rtnb
from rtnb.audio.codecs import ulaw
from rtnb.engines.fake import fake
from rtnb.protocol.dialects import BETA
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.transports import pair

SDK: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
NEEDS_A_SECRET = "transcription_session.updated"  # in the SDK; over a WebSocket there is none
TOOL = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


@asynccontextmanager
async def beta(**session: Any) -> AsyncIterator[Wire]:
    async with connected(dialect=BETA, **session) as wire:
        yield wire
        await wire.settle()
        for event in wire.seen:
            if event["type"] != NEEDS_A_SECRET:
                SDK.validate_python(event)


async def test_the_first_frame_is_the_flat_session():
    async with beta() as wire:
        session = wire.seen[0]["session"]
        assert session["id"].startswith("sess_")
        assert (
            session.items()
            >= {
                "object": "realtime.session",
                "model": "gpt-4o-realtime-preview",
                "modalities": ["text", "audio"],
                "voice": "alloy",
                "speed": 1.0,
                "input_audio_format": "pcm16",
                "output_audio_format": "pcm16",
                "input_audio_transcription": None,
                "input_audio_noise_reduction": None,
                "tool_choice": "auto",
                "tools": [],
                "temperature": 0.8,
                "max_response_output_tokens": "inf",
            }.items()
        )
        assert session["turn_detection"]["type"] == "server_vad"
        assert (
            not {
                "type",
                "audio",
                "output_modalities",
                "max_output_tokens",
                "truncation",
                "prompt",
            }
            & session.keys()
        )


async def test_an_update_is_flat_and_partial():
    async with beta() as wire:
        before = wire.seen[0]["session"]
        change = {
            "modalities": ["text"],
            "instructions": "Be kind.",
            "voice": "sage",
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "g711_alaw",
            "input_audio_transcription": {"model": "whisper-1"},
            "input_audio_noise_reduction": {"type": "near_field"},
            "turn_detection": None,
            "tools": [TOOL],
            "tool_choice": "required",
            "temperature": 1.0,
            "max_response_output_tokens": 100,
            "speed": 1.25,
            "tracing": "auto",
        }
        assert await wire.configure(**change, model="gpt-4o-realtime-preview-2024-12-17") == before | change
        assert await wire.configure(temperature=0.6) == before | change | {"temperature": 0.6}
        assert wire.server.context.conversation.input_codec == ulaw


@pytest.mark.parametrize(
    ("change", "code", "param", "said"),
    [
        ({"bogus": 1}, "unknown_parameter", "session.bogus", "'session.bogus'"),
        ({"type": "realtime"}, "unknown_parameter", "session.type", ""),
        ({"audio": {}}, "unknown_parameter", "session.audio", ""),
        ({"output_modalities": ["text"]}, "unknown_parameter", "session.output_modalities", ""),
        ({"max_output_tokens": 1}, "unknown_parameter", "session.max_output_tokens", ""),
        ({"truncation": "auto"}, "unknown_parameter", "session.truncation", ""),
        ({"input_audio_format": "mp3"}, "invalid_value", "session.input_audio_format", "'g711_ulaw'"),
        (
            {"output_audio_format": {"type": "audio/pcm"}},
            "invalid_type",
            "session.output_audio_format",
            "an object",
        ),
        ({"modalities": ["video"]}, "invalid_value", "session.modalities[0]", "'audio'"),
        ({"modalities": "text"}, "invalid_type", "session.modalities", "an array"),
        ({"modalities": ["text", "text"]}, "invalid_value", "session.modalities", ""),
        ({"voice": "tarzan"}, "invalid_value", "session.voice", "'alloy'"),
        ({"temperature": 2}, "decimal_above_max_value", "session.temperature", "1.2"),
        ({"temperature": 0.5}, "decimal_below_min_value", "session.temperature", "0.6"),
        (
            {"max_response_output_tokens": 5000},
            "integer_above_max_value",
            "session.max_response_output_tokens",
            "4096",
        ),
        (
            {"turn_detection": {"type": "server_vad", "threshold": 3}},
            "decimal_above_max_value",
            "session.turn_detection.threshold",
            "",
        ),
        (
            {"input_audio_transcription": {"wish": 1}},
            "unknown_parameter",
            "session.input_audio_transcription.wish",
            "",
        ),
        ({"speed": 9}, "decimal_above_max_value", "session.speed", ""),
        ({"tools": [TOOL, TOOL]}, "invalid_value", "session.tools[1].name", "two tools"),
    ],
)
async def test_errors_name_the_beta_field_and_nothing_takes_effect(change, code, param, said):
    async with beta() as wire:
        event_id = await wire.send("session.update", session={"instructions": "new", **change})
        error = await wire.error()
        assert (error["code"], error["param"], error["event_id"]) == (code, param, event_id)
        assert said in error["message"]
        assert (await wire.configure())["instructions"] != "new"


@pytest.mark.parametrize(
    ("response", "code", "param"),
    [
        ({"output_modalities": ["text"]}, "unknown_parameter", "response.output_modalities"),
        ({"audio": {}}, "unknown_parameter", "response.audio"),
        ({"voice": "tarzan"}, "invalid_value", "response.voice"),
        ({"output_audio_format": "mp3"}, "invalid_value", "response.output_audio_format"),
        ({"temperature": "hot"}, "invalid_type", "response.temperature"),
        ({"max_response_output_tokens": 0}, "integer_below_min_value", "response.max_response_output_tokens"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "invalid_value", "response.input[0].id"),
    ],
)
async def test_responses_that_are_refused(response, code, param):
    async with beta() as wire:
        await wire.send("response.create", response=response)
        error = await wire.error()
        assert (error["code"], error["param"]) == (code, param)


async def test_both_dialects_name_the_events_that_they_accept():
    for options, accepted in (({"dialect": BETA}, True), ({}, False)):
        async with connected(**options) as wire:
            await wire.send("nonsense")
            message = (await wire.error())["message"]
            assert "'session.update'" in message
            assert ("'transcription_session.update'" in message) == accepted


async def test_a_text_turn():
    async with beta(modalities=["text"]) as wire:
        user = await wire.say("Describe the sea.")
        events = await wire.respond(temperature=0.9, metadata={"purpose": "test"})
        assert types(events) == [
            "response.created",
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
            "response.text.delta",
            "response.text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        assert events[2]["previous_item_id"] == user
        response = done(events)
        assert response["output"][0]["content"] == [{"type": "text", "text": "You said: Describe the sea."}]
        assert response["modalities"] == ["text"]
        assert response["temperature"] == 0.9
        assert response["metadata"] == {"purpose": "test"}
        assert not {"audio", "output_modalities"} & response.keys()


async def test_a_spoken_turn():
    async with beta(output_audio_format="g711_ulaw") as wire:
        await wire.say("one two three")
        events = await wire.respond(max_response_output_tokens=4000)
        assert types(events) == [
            "response.created",
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
            "response.audio_transcript.delta",
            "response.audio.delta",
            "response.audio.done",
            "response.audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        response = done(events)
        assert response["output"][0]["content"] == [
            {"type": "audio", "transcript": "You said: one two three"}
        ]
        assert (response["voice"], response["output_audio_format"]) == ("alloy", "g711_ulaw")
        assert (response["temperature"], response["max_output_tokens"]) == (0.8, 4000)
        data = b"".join(b64decode(e["delta"]) for e in events if e["type"] == "response.audio.delta")
        assert len(data) / ulaw.bytes_per_second == pytest.approx(5 * 0.08, abs=0.002)
        await wire.send("session.update", session={"voice": "sage"})
        error = await wire.error()
        assert (error["code"], error["param"]) == ("cannot_update_voice", "session.voice")


async def test_one_response_may_override_voice_and_format():
    async with beta() as wire:
        await wire.say("hello")
        response = done(await wire.respond(voice="verse", output_audio_format="g711_alaw"))
        assert (response["voice"], response["output_audio_format"]) == ("verse", "g711_alaw")


async def test_detected_speech_is_transcribed_and_answered():
    async with beta(input_audio_transcription={"model": "whisper-1"}, modalities=["text"]) as wire:
        for samples in (silence(0.4), tone(1.0), silence(0.6)):
            await wire.append(samples)
        names = types(await wire.until("rate_limits.updated"))
        assert names[:4] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.created",
        ]
        await wire.settle()
        names = types(wire.seen)
        assert "conversation.item.input_audio_transcription.completed" in names
        assert "response.text.done" in names


async def test_a_function_call_and_its_output():
    async with beta(modalities=["text"], tools=[TOOL]) as wire:
        await wire.say('get_weather "Oslo"')
        call = done(await wire.respond())["output"][0]
        assert (call["type"], call["arguments"]) == ("function_call", '{"place": "Oslo"}')
        await wire.create(type="function_call_output", call_id=call["call_id"], output="snow")
        assert done(await wire.respond())["output"][0]["content"][0]["text"] == "The tool said: snow"


async def test_items_have_the_content_types_of_the_beta():
    async with beta() as wire:
        content = [{"type": "text", "text": "I said this."}]
        id = await wire.create(type="message", role="assistant", content=content)
        assert wire.seen[-1]["item"]["content"] == content
        await wire.say("one two three")
        spoken = done(await wire.respond())["output"][0]["id"]
        for item, kind in ((id, "text"), (spoken, "audio")):
            await wire.send("conversation.item.retrieve", item_id=item)
            shown = (await wire.next())["item"]
            assert (shown["id"], shown["content"][0]["type"]) == (item, kind)
        await wire.send("conversation.item.truncate", item_id=spoken, content_index=0, audio_end_ms=100)
        assert (await wire.next())["audio_end_ms"] == 100
        await wire.send("conversation.item.delete", item_id=id)
        assert (await wire.next())["type"] == "conversation.item.deleted"


async def test_out_of_band():
    async with beta(modalities=["text"]) as wire:
        first = await wire.say("remember the lighthouse")
        text = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "sum up"}]}
        events = await wire.respond(
            conversation="none", input=[{"type": "item_reference", "id": first}, text]
        )
        assert not [name for name in types(events) if name.startswith("conversation.")]
        assert done(events)["output"][0]["content"][0]["text"] == "You said: sum up"


async def test_a_transcription_session_has_transcripts_and_no_responses():
    async with beta() as wire:
        await wire.send(
            "transcription_session.update",
            session={
                "input_audio_format": "g711_ulaw",
                "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 200},
                "include": ["item.input_audio_transcription.logprobs"],
            },
        )
        updated = await wire.next()
        assert updated["type"] == "transcription_session.updated"
        session = updated["session"]
        assert session["object"] == "realtime.transcription_session"
        assert session["input_audio_format"] == "g711_ulaw"
        assert session["input_audio_transcription"] == {"model": "gpt-4o-transcribe", "language": "en"}
        assert session["include"] == ["item.input_audio_transcription.logprobs"]
        assert not {"instructions", "voice", "temperature", "tools", "model"} & session.keys()
        for samples in (silence(0.4, 8_000), tone(1.0, 8_000), silence(0.6, 8_000)):
            await wire.append(samples, ulaw)
        await wire.until("conversation.item.input_audio_transcription.completed")
        await wire.send("response.create")
        assert "no responses" in (await wire.error())["message"]
        await wire.send("transcription_session.update", session={"instructions": "x"})
        assert (await wire.error())["param"] == "session.instructions"
        assert (await wire.configure(modalities=["text"]))["modalities"] == ["text"]
        assert done(await wire.respond())["status"] == "completed"
        assert not any(event["type"].startswith("response.") for event in wire.seen[:10])


def weather(city: str) -> str:
    """Tell the weather."""
    return "rain"


async def test_our_own_client_follows_the_server():
    client, end = pair()
    serving = asyncio.create_task(serve(end, fake({}), dialect=BETA))
    session = AsyncSession(client)
    await session.open({"turn_detection": False, "transcription": True, "tools": [weather]})
    assert session.state.dialect is BETA
    assert (await session.send("use weather now")).text_so_far == "The tool said: rain"
    assert (await session.send(rtnb.Clip.tone(300, 0.5))).text_so_far == "You said: (speech, 0.5 seconds)"
    await session.update(output_format="g711_ulaw")
    turn = await session.send("hello")
    assert turn.audio_so_far.rate == 8_000
    assert turn.usage.output_tokens > 0
    assert not session.state.problems
    await session.close()
    await serving
