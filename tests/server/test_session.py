from __future__ import annotations

import asyncio
import json

import pytest
from support.server import connected, types

from rtnb.engines.fake import fake
from rtnb.errors import ConnectionLost, RemoteProtocolError
from rtnb.protocol.dialects.names import CLIENT_EVENTS
from rtnb.server.session import serve
from rtnb.transports.memory import pair


async def test_the_first_frame_is_the_whole_session():
    async with connected(model="gpt-realtime") as wire:
        (created,) = wire.seen
        session = created["session"]
        assert session["model"] == "gpt-realtime"
        assert session["output_modalities"] == ["audio"]
        assert session["audio"]["input"]["turn_detection"] == {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
            "idle_timeout_ms": None,
            "create_response": True,
            "interrupt_response": True,
        }
        assert session["audio"]["output"] == {
            "format": {"type": "audio/pcm", "rate": 24000},
            "voice": "alloy",
            "speed": 1.0,
        }
        assert session["instructions"].startswith("Your knowledge cutoff")


@pytest.mark.parametrize(
    ("frame", "code", "param", "said"),
    [
        (b"hello", "invalid_json", None, "not valid JSON"),
        (b'{"type": "response.create"', "invalid_json", None, "not valid JSON"),
        (b'{"type": NaN}', "invalid_json", None, "not valid JSON"),
        (b"[" * 5000, "invalid_json", None, "not valid JSON"),
        (b"\xff\xfe", "invalid_json", None, "not valid JSON"),
        (b"[1]", "invalid_event", None, "JSON object"),
        (b"{}", "invalid_event", None, "The 'type' field is missing."),
        (b'{"type": 3}', "invalid_type", "type", "expected a string"),
        (b'{"type": "response.wish"}', "invalid_value", "type", "'session.update'"),
        (b'{"type": "response.create", "event_id": 7}', "invalid_type", "event_id", "expected a string"),
        (b'{"type": "response.create", "wish": 7}', "unknown_parameter", "wish", "'wish'"),
        (b'{"type": "session.update"}', "missing_required_parameter", "session", "'session'"),
        (b'{"type": "session.update", "session": null}', "missing_required_parameter", "session", ""),
        (b'{"type": "session.update", "session": 3}', "invalid_type", "session", "an object"),
        (b'{"type": "session.update", "session": {}}', "missing_required_parameter", "session.type", ""),
        (b'{"type": "input_audio_buffer.append"}', "missing_required_parameter", "audio", ""),
        (b'{"type": "conversation.item.delete"}', "missing_required_parameter", "item_id", ""),
        (b'{"type": "conversation.item.delete", "item_id": 1}', "invalid_type", "item_id", "a string"),
        (b'{"type": "response.create", "response": 1}', "invalid_type", "response", "an object"),
        (b'{"type": "response.cancel"}', "response_cancel_not_active", None, ""),
        (b'{"type": "output_audio_buffer.clear"}', "invalid_value", "type", "WebRTC"),
    ],
)
async def test_what_is_wrong_is_an_error_and_the_session_goes_on(frame, code, param, said):
    async with connected() as wire:
        await wire.raw(frame)
        error = await wire.error()
        assert (error["code"], error["param"], error["event_id"]) == (code, param, None)
        assert said in error["message"]
        await wire.configure(instructions="still here")


async def test_all_accepted_types_are_named_to_who_sends_another():
    async with connected() as wire:
        await wire.send("nonsense")
        message = (await wire.error())["message"]
        assert all(f"'{name}'" in message for name in CLIENT_EVENTS)


async def test_event_ids_are_echoed_up_to_512_signs():
    async with connected() as wire:
        for length, echoed in ((512, True), (513, False)):
            id = "e" * length
            await wire.raw(json.dumps({"type": "response.cancel", "event_id": id}).encode())
            error = await wire.error()
            assert (error["event_id"] == id) == echoed
            assert (error["code"] == "response_cancel_not_active") == echoed


async def test_a_binary_frame_is_an_error():
    client, server = pair()
    receive = server.recv
    frames = 0

    async def recv() -> bytes:
        nonlocal frames
        frames += 1
        if frames == 1:
            raise RemoteProtocolError("Expected a text WebSocket message, but got a binary one.")
        return await receive()

    server.recv = recv  # type: ignore[method-assign]
    running = asyncio.create_task(serve(server, fake({})))
    assert json.loads(await client.recv())["type"] == "session.created"
    error = json.loads(await client.recv())["error"]
    assert error["code"] == "invalid_event"
    assert error["message"].startswith("Expected a text WebSocket message")
    await client.close()
    await running


async def test_a_session_ends_after_its_hour():
    client, server = pair()
    await serve(server, fake({}), cap_seconds=0.01)
    assert json.loads(await client.recv())["type"] == "session.created"
    with pytest.raises(ConnectionLost) as lost:
        await client.recv()
    assert lost.value.code == 1001
    assert lost.value.reason == "Your session hit the maximum duration of 60 minutes."


async def test_a_client_may_leave_in_the_middle_of_an_answer():
    client, server = pair()
    running = asyncio.create_task(serve(server, fake({})))
    content = [{"type": "input_text", "text": "tell me a long story"}]
    item = {"type": "message", "role": "user", "content": content}
    await client.send(json.dumps({"type": "conversation.item.create", "item": item}).encode())
    await client.send(b'{"type": "response.create"}')
    while json.loads(await client.recv())["type"] != "response.output_audio.delta":
        pass
    await client.close()
    async with asyncio.timeout(30):
        await running


async def test_two_sessions_share_an_engine():
    engine = fake({})
    async with connected(engine) as one, connected(engine, output_modalities=["text"]) as two:
        assert one.server.context.workers is two.server.context.workers
        await one.say("tell me a long story")
        await two.say("hello")
        await one.send("response.create")
        assert types(await two.respond())[-1] == "rate_limits.updated"
        await one.send("response.cancel")
        await one.until("rate_limits.updated", "error")


async def test_an_update_is_whole_or_nothing():
    async with connected() as wire:
        await wire.send(
            "session.update", session={"type": "realtime", "instructions": "new", "bogus_field": 1}
        )
        error = await wire.error()
        assert (error["code"], error["param"]) == ("unknown_parameter", "session.bogus_field")
        session = await wire.configure(model="gpt-realtime-2.1")
        assert session["instructions"] != "new"
        assert session["model"] == "gpt-4o-realtime-preview"


async def test_the_voice_is_fixed_once_audio_was_sent():
    async with connected() as wire:
        await wire.configure(audio={"output": {"voice": "verse"}})
        await wire.say("hello")
        await wire.respond()
        await wire.send(
            "session.update", session={"type": "realtime", "audio": {"output": {"voice": "alloy"}}}
        )
        assert (await wire.error())["code"] == "cannot_update_voice"
        session = await wire.configure(audio={"output": {"voice": "verse", "speed": 1.2}})
        assert session["audio"]["output"]["speed"] == 1.2
        await wire.send("response.create", response={"audio": {"output": {"voice": "alloy"}}})
        assert (await wire.error())["code"] == "cannot_update_voice"
