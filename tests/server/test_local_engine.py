"""The server over the real engine: what is said is understood, answered and heard again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.server import connected, done, silence, types

from rtnb.audio.samples import resample
from rtnb.engines import weights
from rtnb.engines.base import Engine
from rtnb.server.app import warm

pytestmark = pytest.mark.engine

SPEECH = Path(__file__).parents[3] / "shared" / "speech"
SENTENCE = "What is the capital of France?"
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Tell the weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    if weights.missing():
        pytest.skip("the weights are not installed: run  rtnb engine install")
    from rtnb.engines.local import local

    engine = local({})
    warm(engine)
    yield engine
    engine.close()


def spoken(engine: Engine, text: str) -> np.ndarray:
    """Return ``text`` in the engine's own voice, at 24 kHz."""
    return resample(engine.tts.speak(text, "alloy", 1.0), engine.tts.rate, 24_000)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


async def ask(wire, sound: np.ndarray) -> list[dict]:
    await wire.append(np.concatenate([silence(0.5), sound, silence(1.2)]))
    return await wire.until("rate_limits.updated")


async def test_a_spoken_question_is_answered_in_speech(engine):
    detection = {"type": "server_vad", "silence_duration_ms": 500}
    audio = {"input": {"turn_detection": detection, "transcription": {"model": "whisper-1"}}}
    async with connected(engine, audio=audio) as wire:
        events = await ask(wire, spoken(engine, SENTENCE))
        question, answer = wire.conversation
        assert words(question.text) == words(SENTENCE)
        assert done(events)["status"] == "completed"
        assert "paris" in words(answer.text)
        part = answer.parts[0]
        heard = engine.asr.transcribe(resample(part.codec.decode(part.data), 24_000, engine.asr.rate))
        assert "paris" in words(heard)


async def test_people_are_understood(engine):
    if not SPEECH.is_dir():
        pytest.skip("the recordings are not at hand")
    import soundfile

    detection = {"type": "server_vad", "silence_duration_ms": 900, "create_response": False}
    audio = {"input": {"turn_detection": detection, "transcription": {"model": "whisper-1"}}}
    async with connected(engine, audio=audio) as wire:
        for row in json.loads((SPEECH / "transcripts.json").read_text()):
            before = len(wire.conversation)
            samples, rate = soundfile.read(SPEECH / row["wav"], dtype="float32")
            await wire.append(np.concatenate([resample(samples, rate, 24_000), silence(1.2)]))
            await wire.settle()
            items = list(wire.conversation)[before:]  # a pause in a speech may make two of it
            while not all(item.text for item in items):
                await wire.next()
            said, understood = words(row["text"]), words(" ".join(item.text for item in items))
            assert len(set(said) & set(understood)) >= 0.8 * len(set(said))


async def test_speech_interrupts_and_the_prompt_has_what_was_played(engine):
    async with connected(engine) as wire:
        await wire.say("Tell me about the sea, in four long sentences.")
        await wire.send("response.create")
        started = (await wire.until("response.output_audio.delta"))[-1]
        await wire.append(spoken(engine, "Stop."))
        response = done(await wire.until("rate_limits.updated"))
        if response["status"] == "cancelled":  # else it was said within one clause
            assert response["status_details"]["reason"] == "turn_detected"
        await wire.send(
            "conversation.item.truncate", item_id=started["item_id"], content_index=0, audio_end_ms=100
        )
        await wire.until("conversation.item.truncated")
        await wire.append(silence(1.0))
        assert done(await wire.until("rate_limits.updated"))["status"] == "completed"


async def test_a_function_is_called(engine):
    async with connected(engine, output_modalities=["text"], tools=[TOOL]) as wire:
        await wire.say("What is the weather in Paris?")
        events = await wire.respond(tool_choice="required")
        (call,) = done(events)["output"]
        assert json.loads(call["arguments"])["city"].lower() == "paris"
        await wire.create(type="function_call_output", call_id=call["call_id"], output="Rain, 12 degrees.")
        events = await wire.respond()
        assert "response.output_text.delta" in types(events)
