from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.server import connected, done, types

from rtnb.engines.base import Call, TextPiece
from rtnb.engines.fake import fake
from rtnb.errors import EngineError

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather at a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


class Scripted:
    """A model that says what it is told to, with a gate to hold it at."""

    name = "scripted"
    context = 4096

    def __init__(self, *pieces: TextPiece | Call | Exception, hold_after: int | None = None) -> None:
        self.pieces = pieces
        self.hold_after = hold_after
        self.held, self.go, self.returned = threading.Event(), threading.Event(), threading.Event()
        self.prompts: list[list[dict[str, Any]]] = []
        self.stopped_early = False

    def generate(self, messages, tools, tool_choice, max_tokens, stopped) -> Iterator[TextPiece | Call]:
        self.prompts.append(list(messages))
        try:
            for index, piece in enumerate(self.pieces):
                if index == self.hold_after:
                    self.held.set()
                    while not (self.go.wait(0.005) or stopped()):
                        pass
                if stopped():
                    self.stopped_early = True
                    return
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.returned.set()

    def prefill(self, messages, tools) -> None:
        pass

    def count(self, text: str) -> int:
        return len(text.split())


def scripted(*pieces: TextPiece | Call | Exception, hold_after: int | None = None):
    engine = fake({})
    engine.llm = Scripted(*pieces, hold_after=hold_after)
    return engine


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


def sums_agree(usage: dict[str, Any]) -> None:
    into, out = usage["input_token_details"], usage["output_token_details"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] == sum(into[f"{kind}_tokens"] for kind in ("text", "audio", "image"))
    assert usage["output_tokens"] == out["text_tokens"] + out["audio_tokens"]
    cached = into["cached_tokens_details"]
    assert into["cached_tokens"] == sum(cached.values())
    assert into["cached_tokens"] % 64 == 0
    assert all(cached[f"{kind}_tokens"] <= into[f"{kind}_tokens"] for kind in ("text", "audio", "image"))


async def test_a_text_response_has_the_whole_lifecycle_in_order():
    async with connected(output_modalities=["text"]) as wire:
        user = await wire.say("Describe the sea.")
        events = await wire.respond()
        assert types(events) == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        assert events[0]["response"]["usage"] is None
        assert events[2]["previous_item_id"] == user
        response = done(events)
        assert response["status"] == "completed"
        assert response["output"][0]["content"] == [
            {"type": "output_text", "text": "You said: Describe the sea."}
        ]
        sums_agree(response["usage"])
        assert response["usage"]["output_tokens"] == 7
        limits = events[-1]["rate_limits"]
        assert [limit["name"] for limit in limits] == ["tokens"]
        assert limits[0]["remaining"] == 40_000 - response["usage"]["total_tokens"]


async def test_a_spoken_response_interleaves_transcript_and_audio():
    async with connected() as wire:
        await wire.say("one two three four five six. Seven eight nine ten.")
        events = await wire.respond()
        assert types(events) == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            *["response.output_audio_transcript.delta", "response.output_audio.delta"] * 2,
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        item = next(iter(reversed(list(wire.conversation))))
        assert item.text == "You said: one two three four five six. Seven eight nine ten."
        assert item.audio_ms == 12 * 80
        for chunk in item.parts[0].chunks:
            assert 100 <= len(chunk) / 48 <= 200
        usage = done(events)["usage"]
        sums_agree(usage)
        assert usage["output_token_details"]["audio_tokens"] == -(-12 * 80 // 50)


async def test_a_response_may_override_the_session():
    async with connected() as wire:
        await wire.say("hello")
        events = await wire.respond(
            output_modalities=["text"],
            instructions="Be brief.",
            max_output_tokens=2,
            metadata={"purpose": "test"},
        )
        response = done(events)
        assert (response["status"], response["status_details"]) == (
            "incomplete",
            {"type": "incomplete", "reason": "max_output_tokens"},
        )
        assert response["metadata"] == {"purpose": "test"}
        assert response["output_modalities"] == ["text"]
        assert response["output"][0]["status"] == "incomplete"
        assert response["output"][0]["content"][0]["text"] == "You said"
        assert response["usage"]["output_tokens"] == 2


async def test_audio_counts_towards_max_output_tokens():
    async with connected() as wire:
        await wire.say("one two three four five six seven eight nine ten")
        response = done(await wire.respond(max_output_tokens=20))
        assert response["status"] == "incomplete"
        assert 15 <= response["usage"]["output_tokens"] <= 20
        sums_agree(response["usage"])


async def test_other_formats_and_voices():
    async with connected() as wire:
        await wire.say("one two three")
        output = {"format": {"type": "audio/pcmu"}, "voice": "verse"}
        response = done(await wire.respond(audio={"output": output}))
        assert response["audio"]["output"] == output
        item = list(wire.conversation)[-1]
        assert item.parts[0].codec is not None
        assert item.parts[0].codec.rate == 8_000
        assert item.audio_ms == pytest.approx(5 * 80, abs=2)


async def test_a_second_response_waits_its_turn():
    async with connected(
        scripted(TextPiece("a"), TextPiece("b"), hold_after=1), output_modalities=["text"]
    ) as wire:
        await wire.say("hello")
        await wire.send("response.create")
        created = await wire.next()
        await wire.until("response.output_text.delta")
        event_id = await wire.send("response.create")
        error = await wire.error()
        assert error["code"] == "conversation_already_has_active_response"
        assert created["response"]["id"] in error["message"]
        assert error["event_id"] == event_id
        wire.server.context.engine.llm.go.set()
        assert done(await wire.until("rate_limits.updated"))["status"] == "completed"


async def test_a_cancel_ends_it_at_once_and_the_model_stops():
    engine = scripted(TextPiece("one"), TextPiece(" two"), TextPiece(" three"), hold_after=2)
    async with connected(engine, output_modalities=["text"]) as wire:
        await wire.say("hello")
        await wire.send("response.create")
        await reached(engine.llm.held)
        await wire.send("response.cancel")
        events = await wire.until("rate_limits.updated")
        response = done(events)
        assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert response["output"][0]["status"] == "incomplete"
        assert response["output"][0]["content"][0]["text"] == "one two"
        await reached(engine.llm.returned)
        assert engine.llm.stopped_early
        await wire.send("response.cancel")
        error = await wire.error()
        assert error["code"] == "response_cancel_not_active"
        assert error["message"] == "Cancellation failed: no active response found"


async def test_a_cancel_before_the_first_word():
    engine = scripted(TextPiece("one"), hold_after=0)
    async with connected(engine) as wire:
        await wire.say("hello")
        await wire.send("response.create")
        await reached(engine.llm.held)
        await wire.send("response.cancel", response_id=(await wire.next())["response"]["id"])
        assert types(await wire.until("rate_limits.updated")) == ["response.done", "rate_limits.updated"]


async def test_a_long_story_is_cancelled_in_the_middle():
    async with connected() as wire:
        await wire.say("tell me a long story")
        await wire.send("response.create")
        await wire.until("response.output_audio.delta")
        await wire.send("response.cancel")
        response = done(await wire.until("rate_limits.updated"))
        assert response["status"] == "cancelled"
        assert "day 120" not in response["output"][0]["content"][0]["transcript"]
        sums_agree(response["usage"])


async def test_a_failing_model_fails_the_response_and_not_the_session():
    engine = scripted(TextPiece("one"), EngineError("the model lost its way"))
    async with connected(engine, output_modalities=["text"]) as wire:
        await wire.say("hello")
        events = await wire.respond()
        response = done(events)
        assert response["status"] == "failed"
        assert response["status_details"]["error"]["message"] == "the model lost its way"
        assert response["usage"]["total_tokens"] == 0
        assert "response.output_item.done" in types(events)
        engine.llm.pieces = (TextPiece("well"),)
        assert done(await wire.respond())["status"] == "completed"


async def test_a_function_is_called_and_its_output_read():
    async with connected(output_modalities=["text"], tools=[WEATHER]) as wire:
        await wire.say('get_weather "Lisbon"')
        events = await wire.respond()
        assert types(events) == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        call = done(events)["output"][0]
        assert (call["type"], call["name"], call["status"]) == ("function_call", "get_weather", "completed")
        deltas = "".join(e["delta"] for e in events if e["type"].endswith("arguments.delta"))
        assert deltas == call["arguments"] == '{"place": "Lisbon"}'
        await wire.create(type="function_call_output", call_id=call["call_id"], output="Sun.")
        answer = done(await wire.respond())["output"][0]["content"][0]["text"]
        assert answer == "The tool said: Sun."


async def test_a_call_may_follow_words():
    engine = scripted(
        TextPiece("Let me see."), Call("get_weather", '{"place":"Rome"}', 5), Call("other", "{}", 2)
    )
    async with connected(engine, tools=[WEATHER]) as wire:
        await wire.say("hello")
        output = done(await wire.respond())["output"]
        assert [item["type"] for item in output] == ["message", "function_call", "function_call"]
        assert [item["status"] for item in output] == ["completed"] * 3
        for item in output[1:]:
            await wire.create(type="function_call_output", call_id=item["call_id"], output="ok")
        await wire.respond()
        roles = [message["role"] for message in engine.llm.prompts[-1]]
        assert roles == ["system", "user", "assistant", "assistant", "tool", "tool"]
        assert len(engine.llm.prompts[-1][3]["tool_calls"]) == 2


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ("none", "message"),
        ("auto", "message"),
        ("required", "function_call"),
        ({"type": "function", "name": "get_weather"}, "function_call"),
    ],
)
async def test_tool_choice(choice, kind):
    async with connected(output_modalities=["text"], tools=[WEATHER]) as wire:
        await wire.say("hello")
        assert done(await wire.respond(tool_choice=choice))["output"][0]["type"] == kind


async def test_out_of_band_beside_the_conversation():
    async with connected(output_modalities=["text"]) as wire:
        first = await wire.say("remember the lighthouse")
        before = list(wire.conversation.order)
        events = await wire.respond(
            conversation="none",
            metadata={"topic": "summary"},
            input=[
                {"type": "item_reference", "id": first},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "sum up"}]},
            ],
        )
        assert not [name for name in types(events) if name.startswith("conversation.")]
        response = done(events)
        assert response["conversation_id"] is None
        assert response["metadata"] == {"topic": "summary"}
        assert response["output"][0]["content"][0]["text"] == "You said: sum up"
        assert wire.conversation.order == before


async def test_out_of_band_runs_beside_a_response():
    engine = scripted(TextPiece("a"), TextPiece("b"), hold_after=1)
    async with connected(engine, output_modalities=["text"]) as wire:
        await wire.say("hello")
        await wire.send("response.create")
        await wire.send("response.create", response={"conversation": "none", "metadata": {"n": "2"}})
        while len(created := [e for e in wire.seen if e["type"] == "response.created"]) < 2:
            await wire.next()
        out_of_band = created[1]["response"]
        assert out_of_band["metadata"] == {"n": "2"}
        await wire.send("response.cancel", response_id=out_of_band["id"])
        assert (await wire.until("response.done"))[-1]["response"]["id"] == out_of_band["id"]
        engine.llm.go.set()
        assert (await wire.until("response.done"))[-1]["response"]["status"] == "completed"


async def test_an_empty_input_is_an_empty_context():
    engine = scripted(TextPiece("ok"))
    async with connected(engine, output_modalities=["text"]) as wire:
        await wire.say("hello")
        await wire.respond(input=[], instructions="Only this.")
        assert engine.llm.prompts == [[{"role": "system", "content": "Only this."}]]


async def test_the_conversation_is_billed_again_and_its_beginning_is_cached():
    async with connected(output_modalities=["text"]) as wire:
        await wire.say("hello")
        first = done(await wire.respond())["usage"]
        await wire.say("hello again")
        second = done(await wire.respond())["usage"]
        sums_agree(first)
        sums_agree(second)
        setup = wire.server.context.engine.llm.count(wire.server.context.session["instructions"])
        assert first["input_token_details"]["cached_tokens"] == setup // 64 * 64 > 0
        assert second["input_tokens"] == first["input_tokens"] + first["output_tokens"] + 2
        assert second["input_token_details"]["cached_tokens"] == first["input_tokens"] // 64 * 64
        await wire.configure(instructions="Something else.")
        assert done(await wire.respond())["usage"]["input_token_details"]["cached_tokens"] == 0


async def test_what_no_longer_fits_is_left_out_in_a_block():
    engine = scripted(TextPiece("ok"))
    engine.llm.context = 100
    async with connected(engine, output_modalities=["text"], instructions="Short.") as wire:
        for n in range(8):
            await wire.say(f"number {n} " + "word " * 10)
        assert done(await wire.respond())["status"] == "completed"
        kept = [m["content"][:8] for m in engine.llm.prompts[-1] if m["role"] == "user"]
        assert kept[-1] == "number 7"
        assert len(kept) == 3
        await wire.configure(truncation="disabled")
        for n in range(8):
            await wire.say(f"number {n} " + "word " * 10)
        response = done(await wire.respond())
        assert response["status"] == "failed"
        assert "truncation is disabled" in response["status_details"]["error"]["message"]


async def test_the_prompt_is_warmed_at_the_start_and_when_it_changes():
    warmed: list[Any] = []
    done_once = threading.Event()
    engine = scripted(TextPiece("ok"))

    def prefill(messages, tools) -> None:
        warmed.append((messages, tools))
        done_once.set()

    engine.llm.prefill = prefill
    async with connected(engine, output_modalities=["text"]) as wire:
        await reached(done_once)
        assert warmed[0][0][0]["role"] == "system"
        done_once.clear()
        await wire.configure(tool_choice="none")  # nothing that the model reads
        await wire.configure(instructions="", tools=[WEATHER])
        await reached(done_once)
        assert warmed[1:] == [([], [WEATHER])]


async def test_an_answer_replaces_a_prefill_that_has_not_started():
    warmed: list[Any] = []
    engine = scripted(TextPiece("one"), TextPiece("two"), hold_after=1)
    async with connected(engine, output_modalities=["text"]) as wire:
        await wire.send("response.create", response={"conversation": "none"})
        await reached(engine.llm.held)
        engine.llm.prefill = lambda *given: warmed.append(given)
        await wire.send("session.update", session={"type": "realtime", "instructions": "Other."})
        await wire.until("session.updated")
        await wire.send("response.create")
        await wire.until("response.created")
        await wire.settle()
        engine.llm.go.set()
        while len([event for event in wire.seen if event["type"] == "response.done"]) < 2:
            await wire.next()
    assert warmed == []
