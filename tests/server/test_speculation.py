from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
from support.server import Wire, connected, done, silence, tone, types

from rtnb.engines.base import Engine
from rtnb.engines.fake import fake

BEGIN = np.concatenate([silence(0.4), tone(0.6), silence(0.2)])  # a pause, not yet the end of the turn
REST = silence(0.6)


class Watched:
    """The fake engine, with what its model and its voice were asked for."""

    def __init__(self, *, eager: bool = True) -> None:
        self.engine: Engine = fake({})
        self.asked: list[list[dict[str, Any]]] = []
        self.read: list[list[dict[str, Any]]] = []
        self.spoken: list[str] = []
        self.begun = threading.Semaphore(0)
        self.going = threading.Event()
        self.going.set()
        llm, tts = self.engine.llm, self.engine.tts
        llm.eager = eager  # type: ignore[attr-defined]
        generate, speak = llm.generate, tts.speak

        def watched(messages, tools, choice, limit, stopped):
            self.asked.append(list(messages))
            self.begun.release()
            for piece in generate(messages, tools, choice, limit, stopped):
                self.going.wait(30)
                yield piece

        def speaking(text, voice, speed):
            self.spoken.append(text)
            return speak(text, voice, speed)

        llm.generate, tts.speak = watched, speaking  # type: ignore[method-assign]
        llm.prefill = lambda messages, tools: self.read.append(list(messages))  # type: ignore[method-assign]

    async def drafted(self) -> None:
        """Wait until the model was asked once more."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=30)


async def listen(wire: Wire, **detection: Any) -> None:
    turns = {"type": "server_vad", "silence_duration_ms": 500, **detection}
    await wire.configure(audio={"input": {"turn_detection": turns}})


async def turn(
    *parts: np.ndarray, eager: bool = True
) -> tuple[Watched, list[dict[str, Any]], dict[str, Any]]:
    """Return what happened in one spoken turn, the events, and the response."""
    watched = Watched(eager=eager)
    async with connected(watched.engine) as wire:
        await listen(wire)
        await wire.append(BEGIN)
        if eager:
            await watched.drafted()
        for part in parts:
            await wire.append(part)
        events = await wire.until("rate_limits.updated")
        return watched, events, done(events)


async def test_a_speculative_response_is_used_when_the_turn_ends():
    watched, events, response = await turn(REST)
    _, _, plain = await turn(REST, eager=False)
    assert len(watched.asked) == 1
    assert len(watched.spoken) == len(set(watched.spoken))  # the first clause is not spoken twice
    assert response["output"][0]["content"] == plain["output"][0]["content"]
    assert response["usage"] == plain["usage"]
    order = types(events)
    assert order.index("response.created") < order.index("response.output_item.added")
    assert order.index("input_audio_buffer.committed") < order.index("response.created")


async def test_a_speculative_response_sends_nothing():
    watched = Watched()
    async with connected(watched.engine) as wire:
        await listen(wire)
        await wire.append(BEGIN)
        await watched.drafted()
        await wire.settle()
        assert "response.created" not in types(wire.seen)
        await wire.send("input_audio_buffer.clear")
        await wire.settle()
        assert not len(wire.conversation)
        await wire.say("hello")
        assert "hello" in done(await wire.respond())["output"][0]["content"][0]["transcript"]
        assert len(watched.asked) == 2


async def test_a_speculative_response_is_dropped_when_speech_resumes():
    watched, _, response = await turn(tone(0.7), REST)
    assert len(watched.asked) == 2
    assert watched.asked[0] != watched.asked[1]  # the words have changed
    words = watched.asked[1][-1]["content"]
    assert response["output"][0]["content"][0]["transcript"] == f"You said: {words}"


async def test_a_speculative_response_is_not_used_for_other_instructions():
    watched = Watched()
    async with connected(watched.engine, output_modalities=["text"]) as wire:
        await listen(wire)
        await wire.append(BEGIN)
        await watched.drafted()
        await wire.settle()
        await wire.configure(instructions="Be brief.")
        await wire.append(REST)
        assert done(await wire.until("rate_limits.updated"))["status"] == "completed"
        assert [messages[0]["content"] == "Be brief." for messages in watched.asked] == [False, True]


async def test_a_speculative_response_is_not_used_for_another_conversation():
    watched = Watched()
    async with connected(watched.engine, output_modalities=["text"]) as wire:
        await listen(wire)
        await wire.append(BEGIN)
        await watched.drafted()
        await wire.settle()
        await wire.say("and this")
        await wire.append(REST)
        await wire.until("rate_limits.updated")
        assert [m["content"] for m in watched.asked[-1]].count("and this") == 1
        assert len(watched.asked) == 2


async def test_a_speculative_response_is_dropped_if_none_may_start():
    watched = Watched()
    watched.going.clear()
    async with connected(watched.engine) as wire:
        await listen(wire, interrupt_response=False)
        await wire.say("hello")
        await wire.send("response.create")
        await watched.drafted()
        await wire.append(BEGIN)
        await wire.settle()
        await wire.append(REST)
        error = (await wire.until("error"))[-1]["error"]
        assert error["code"] == "conversation_already_has_active_response"
        watched.going.set()
        await wire.until("rate_limits.updated")
        await wire.settle()
        assert len(watched.asked) == 1


async def test_a_used_speculative_response_is_cancelled_at_once():
    watched = Watched()
    watched.going.clear()
    async with connected(watched.engine) as wire:
        await listen(wire)
        await wire.append(BEGIN)
        await watched.drafted()
        await wire.append(REST)
        await wire.until("response.created")
        await wire.send("response.cancel")
        events = await wire.until("rate_limits.updated")
        assert done(events)["status"] == "cancelled"
        watched.going.set()
        await wire.say("hello")
        assert done(await wire.respond())["status"] == "completed"


async def test_there_is_no_speculative_response_if_none_is_due_or_a_run_costs_money():
    for settings, eager in (({"create_response": False}, True), ({}, False)):
        watched = Watched(eager=eager)
        async with connected(watched.engine) as wire:
            await listen(wire, **settings)
            await wire.append(BEGIN)
            await wire.settle()
            await wire.server.context.transcribe(bytes(4_800), wire.conversation.input_codec)
            await wire.settle()
            assert watched.asked == []


async def test_the_conversation_is_read_again_when_the_user_begins_to_speak():
    watched = Watched()
    async with connected(watched.engine, output_modalities=["text"]) as wire:
        await listen(wire, create_response=False)
        await wire.say("remember this")
        await wire.append(np.concatenate([silence(0.4), tone(0.6)]))
        await wire.settle()
        await asyncio.wrap_future(wire.server.context.workers.llm.submit(wire.server.context, lambda: None))
        assert watched.read[-1][-1] == {"role": "user", "content": "remember this"}
