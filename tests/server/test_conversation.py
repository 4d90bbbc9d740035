from __future__ import annotations

from base64 import b64decode, b64encode

import numpy as np
import pytest
from support.server import connected, done, silence, tone, types

from rtnb.audio.codecs import to_pcm16
from rtnb.engines.fake import fake

TEXT = {"type": "input_text", "text": "hello"}
SOUND = b64encode(to_pcm16(tone(0.5))).decode()


async def refused(wire, **item):
    await wire.send("conversation.item.create", item=item)
    return await wire.error()


async def test_items_of_each_kind_are_added_in_order():
    async with connected(output_modalities=["text"]) as wire:
        system = await wire.create(
            id="sys1", type="message", role="system", content=[{"type": "input_text", "text": "Rules."}]
        )
        user = await wire.create(type="message", role="user", content=[TEXT])
        assistant = await wire.create(
            type="message", role="assistant", content=[{"type": "output_text", "text": "Hi."}]
        )
        call = await wire.create(type="function_call", call_id="call_1", name="look", arguments="{}")
        output = await wire.create(type="function_call_output", call_id="call_1", output="seen")
        assert system == "sys1"
        assert wire.conversation.order == [system, user, assistant, call, output]
        assert [e.get("previous_item_id") for e in wire.seen if e["type"].endswith("item.added")] == [
            None,
            system,
            user,
            assistant,
            call,
        ]
        assert done(await wire.respond())["output"][0]["content"][0]["text"] == "The tool said: seen"


async def test_places():
    async with connected() as wire:
        first = await wire.say("1")
        third = await wire.say("3")
        second = await wire.create(first, type="message", role="user", content=[TEXT])
        zeroth = await wire.create("root", type="message", role="user", content=[TEXT])
        assert wire.conversation.order == [zeroth, first, second, third]
        await wire.send("conversation.item.create", previous_item_id="nobody", item={"type": "message"})
        assert (await wire.error())["code"] == "missing_required_parameter"
        await wire.send(
            "conversation.item.create",
            previous_item_id="nobody",
            item={"type": "message", "role": "user", "content": [TEXT]},
        )
        error = await wire.error()
        assert error["param"] == "previous_item_id"
        assert "root" in error["message"]


@pytest.mark.parametrize(
    ("item", "param", "said"),
    [
        ({}, "item.type", "Missing required parameter"),
        ({"type": "wish"}, "item.type", "'function_call_output'"),
        ({"type": "message"}, "item.role", "Missing"),
        ({"type": "message", "role": "user"}, "item.content", "Missing"),
        ({"type": "message", "role": "user", "content": []}, "item.content", "at least one part"),
        ({"type": "message", "role": "user", "content": "hi"}, "item.content", "expected an array"),
        ({"type": "message", "role": "king", "content": [TEXT]}, "item.role", "'assistant'"),
        (
            {"type": "message", "role": "user", "content": [TEXT], "color": 1},
            "item.color",
            "Unknown parameter",
        ),
        ({"type": "message", "role": "user", "content": [{}]}, "item.content[0].type", "Missing"),
        (
            {"type": "message", "role": "system", "content": [{"type": "input_audio", "audio": SOUND}]},
            "item.content[0].type",
            "'input_text'",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio"}]},
            "item.content[0].audio",
            "Missing",
        ),
        (
            {"type": "message", "role": "user", "content": [TEXT, {"type": "input_audio", "audio": "?"}]},
            "item.content[1].audio",
            "base64",
        ),
        (
            {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "audio": SOUND}]},
            "item.content[0].type",
            "'output_text'",
        ),
        (
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}],
            },
            "item.content[0].type",
            "does not accept images",
        ),
        ({"type": "function_call", "name": "f"}, "item.arguments", "Missing"),
        ({"type": "function_call_output", "call_id": "call_x", "output": "1"}, "item.call_id", "not found"),
    ],
)
async def test_items_that_are_refused(item, param, said):
    async with connected() as wire:
        error = await refused(wire, **item)
        assert error["param"] == param
        assert said in error["message"]
        assert not len(wire.server.context.conversation)


async def test_an_image_is_taken_for_a_model_that_sees_and_the_engine_says_that_it_does_not():
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    async with connected(model="gpt-realtime", output_modalities=["text"]) as wire:
        await wire.create(type="message", role="user", content=[image])
        answer = done(await wire.respond())["output"][0]["content"][0]["text"]
        assert answer == "You said: (an image, which you cannot see)"
        await wire.send("conversation.item.retrieve", item_id=wire.conversation.order[0])
        assert (await wire.next())["item"]["content"] == [{k: image[k] for k in ("type", "image_url")}]


async def test_an_id_is_used_once():
    async with connected() as wire:
        await wire.create(id="mine", type="message", role="user", content=[TEXT])
        error = await refused(wire, id="mine", type="message", role="user", content=[TEXT])
        assert error["param"] == "item.id"
        assert "already exists" in error["message"]


async def test_spoken_items_are_understood_and_never_echoed():
    async with connected(
        output_modalities=["text"], audio={"input": {"transcription": {"model": "whisper-1"}}}
    ) as wire:
        item = await wire.create(
            type="message", role="user", content=[{"type": "input_audio", "audio": SOUND}, TEXT]
        )
        assert "audio" not in wire.seen[-1]["item"]["content"][0]
        completed = (await wire.until("conversation.item.input_audio_transcription.completed"))[-1]
        assert (completed["item_id"], completed["content_index"]) == (item, 0)
        answer = done(await wire.respond())
        assert answer["output"][0]["content"][0]["text"] == "You said: (speech, 0.5 seconds)\nhello"
        assert answer["usage"]["input_token_details"]["audio_tokens"] == 5


async def test_retrieving_returns_the_audio():
    async with connected(audio={"input": {"turn_detection": None}}) as wire:
        await wire.append(tone(0.5))
        await wire.send("input_audio_buffer.commit")
        added = (await wire.until("conversation.item.done"))[-1]
        await wire.send("conversation.item.retrieve", item_id=added["item"]["id"])
        part = (await wire.next())["item"]["content"][0]
        assert b64decode(part["audio"]) == to_pcm16(tone(0.5))
        await wire.respond()
        spoken = list(wire.conversation)[-1]
        await wire.send("conversation.item.retrieve", item_id=spoken.id)
        part = (await wire.next())["item"]["content"][0]
        assert b64decode(part["audio"]) == spoken.parts[0].data
        assert part["transcript"] == spoken.text


async def test_deleting():
    async with connected(output_modalities=["text"]) as wire:
        first = await wire.say("one")
        second = await wire.say("two")
        await wire.send("conversation.item.delete", item_id=second)
        assert (await wire.next())["type"] == "conversation.item.deleted"
        assert wire.conversation.order == [first]
        assert done(await wire.respond())["output"][0]["content"][0]["text"] == "You said: one"


@pytest.mark.parametrize("verb", ["retrieve", "delete", "truncate"])
async def test_items_that_are_not_there(verb):
    async with connected() as wire:
        fields = {"content_index": 0, "audio_end_ms": 1} if verb == "truncate" else {}
        await wire.send(f"conversation.item.{verb}", item_id="item_x", **fields)
        error = await wire.error()
        assert error["code"] == f"item_{verb}_invalid_item_id"
        assert "'item_x'" in error["message"]
        assert error["param"] == "item_id"


async def truncate(wire, item, ms, index=0):
    await wire.send("conversation.item.truncate", item_id=item, content_index=index, audio_end_ms=ms)
    return await wire.next()


async def test_truncating_removes_what_was_not_played():
    engine = fake({})
    prompts = []
    generate = engine.llm.generate

    def noting(messages, *rest):
        prompts.append(messages)
        return generate(messages, *rest)

    engine.llm.generate = noting
    async with connected(engine) as wire:
        await wire.say("one two three four five six. Seven eight nine ten.")
        await wire.respond()
        item = list(wire.conversation)[-1]
        assert item.audio_ms == 960
        # Twelve words of 80 ms: after 650 ms eight were heard, and a part of the ninth.
        event = await truncate(wire, item.id, 650)
        assert event["type"] == "conversation.item.truncated"
        await wire.send("conversation.item.retrieve", item_id=item.id)
        part = (await wire.next())["item"]["content"][0]
        assert len(b64decode(part["audio"])) == 650 * 48
        assert "transcript" not in part
        await wire.say("go on")
        usage = done(await wire.respond())["usage"]
        heard = prompts[-1][2]
        assert heard["role"] == "assistant"
        assert heard["content"].startswith("You said: one two three four five six.")
        assert "nine" not in heard["content"]
        assert usage["input_token_details"]["audio_tokens"] == 13
        assert item.text.endswith("ten.")  # the client keeps its copy
        # Once more, shorter; and never longer.
        assert (await truncate(wire, item.id, 100))["type"] == "conversation.item.truncated"
        error = (await truncate(wire, item.id, 650))["error"]
        assert error["message"] == "Audio content of 100ms is already shorter than 650ms"
        assert (await truncate(wire, item.id, 0))["type"] == "conversation.item.truncated"
        await wire.respond()
        assert prompts[-1][2]["content"] == ""


async def test_only_spoken_answers_can_be_truncated():
    async with connected(output_modalities=["text"]) as wire:
        user = await wire.say("hello")
        await wire.respond()
        written = wire.conversation.order[-1]
        for item, index in ((user, 0), (written, 0), (written, 3)):
            error = (await truncate(wire, item, 0, index))["error"]
            assert error["code"] == "unsupported_content_type"
            assert error["message"] == "Only model output audio messages can be truncated"


async def test_truncating_more_than_there_is():
    async with connected() as wire:
        await wire.say("one")
        await wire.respond()
        item = list(wire.conversation)[-1]
        error = (await truncate(wire, item.id, 5_000))["error"]
        assert error["message"] == "Audio content of 240ms is already shorter than 5000ms"
        assert (await truncate(wire, item.id, -1))["error"]["code"] == "integer_below_min_value"


async def test_an_interrupted_answer_is_truncated_to_what_was_played():
    async with connected() as wire:
        await wire.say("tell me a long story")
        await wire.send("response.create")
        await wire.until("response.output_audio.delta")
        await wire.append(np.concatenate([tone(0.4), silence(0.1)]))
        response = done(await wire.until("rate_limits.updated"))
        item = response["output"][0]["id"]
        assert (await truncate(wire, item, 160))["type"] == "conversation.item.truncated"
        assert wire.conversation.items[item].played_ms == 160


async def test_items_given_with_a_response_must_be_right():
    async with connected(output_modalities=["text"]) as wire:
        await wire.send("response.create", response={"input": [{"type": "item_reference", "id": "item_x"}]})
        error = await wire.error()
        assert error["param"] == "response.input[0].id"
        await wire.send("response.create", response={"input": [{"type": "message", "role": "user"}]})
        assert (await wire.error())["param"] == "response.input[0].content"
        sound = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": SOUND}]}
        answer = done(await wire.respond(input=[sound], conversation="none"))
        assert answer["output"][0]["content"][0]["text"] == "You said: (speech, 0.5 seconds)"
        assert types(wire.seen)[-1] == "rate_limits.updated"
