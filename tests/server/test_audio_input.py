from __future__ import annotations

import threading
from base64 import b64encode

import numpy as np
import pytest
from support.server import Wire, connected, done, silence, tone, types

from rtnb.audio.codecs import alaw, pcm16, ulaw
from rtnb.engines.fake import fake

SPEECH = np.concatenate([silence(0.5), tone(1.0), silence(0.6)])
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"


async def detection(wire: Wire, **settings: object) -> None:
    await wire.configure(audio={"input": {"turn_detection": {"type": "server_vad", **settings}}})


async def test_a_spoken_turn_is_detected_and_answered():
    async with connected() as wire:
        await wire.append(SPEECH)
        events = await wire.until("rate_limits.updated")
        assert types(events)[:7] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "response.output_item.added",
        ]
        started, stopped, committed, added = events[:4]
        # Speech begins at 500 ms and ends at 1500 ms; padding is 300 ms, the silence that ends a turn 200 ms.
        assert started["audio_start_ms"] == pytest.approx(200, abs=40)
        assert stopped["audio_end_ms"] == pytest.approx(1700, abs=80)
        assert len({e["item_id"] for e in (started, stopped, committed)} | {added["item"]["id"]}) == 1
        assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
        item = wire.conversation.items[committed["item_id"]]
        assert item.audio_ms == pytest.approx(stopped["audio_end_ms"] - started["audio_start_ms"], abs=1)
        usage = done(events)["usage"]
        assert usage["input_token_details"]["audio_tokens"] == -(-round(item.audio_ms, 3) // 100)
        assert "speech" in done(events)["output"][0]["content"][0]["transcript"]


@pytest.mark.parametrize("codec", [pcm16, ulaw, alaw], ids=lambda codec: codec.type)
async def test_input_formats(codec):
    async with connected(audio={"input": {"format": codec.format}}, output_modalities=["text"]) as wire:
        sound = np.concatenate([silence(0.5, codec.rate), tone(1.0, codec.rate), silence(0.6, codec.rate)])
        await wire.append(sound, codec)
        events = await wire.until("rate_limits.updated")
        assert events[0]["audio_start_ms"] == pytest.approx(200, abs=40)
        assert events[1]["audio_end_ms"] == pytest.approx(1700, abs=80)
        assert "speech" in done(events)["output"][0]["content"][0]["text"]


async def test_one_big_append_holds_two_turns():
    async with connected(output_modalities=["text"]) as wire:
        await detection(wire, create_response=False)
        await wire.append(np.concatenate([SPEECH, SPEECH]), chunk_ms=10_000)
        await wire.settle()
        starts = [e["audio_start_ms"] for e in wire.seen if e["type"].endswith("speech_started")]
        stops = [e["audio_end_ms"] for e in wire.seen if e["type"].endswith("speech_stopped")]
        assert starts == pytest.approx([200, 2300], abs=40)
        assert stops == pytest.approx([1700, 3800], abs=80)
        assert len(wire.conversation) == 2
        assert "response.created" not in types(wire.seen)


async def test_a_longer_silence_joins_two_utterances():
    async with connected(output_modalities=["text"]) as wire:
        await detection(wire, silence_duration_ms=1400, prefix_padding_ms=100, create_response=False)
        await wire.append(np.concatenate([SPEECH, SPEECH, silence(1.0)]))
        await wire.settle()
        assert [e["audio_start_ms"] for e in wire.seen if "audio_start_ms" in e] == pytest.approx(
            [400], abs=40
        )
        assert len(wire.conversation) == 1


async def test_the_threshold_is_the_detectors():
    engine = fake({})
    engine.vad.stream = lambda: lambda window: 0.6 if np.abs(window).max() > 0.1 else 0.0  # type: ignore[method-assign]
    async with connected(engine, output_modalities=["text"]) as wire:
        await detection(wire, threshold=0.7)
        await wire.append(SPEECH)
        await wire.settle()
        assert not [name for name in types(wire.seen) if "speech" in name]
        await detection(wire, threshold=0.5)
        await wire.append(SPEECH)
        await wire.until("rate_limits.updated")


async def test_speech_interrupts_the_answer():
    async with connected() as wire:
        await wire.say("tell me a long story")
        await wire.send("response.create")
        await wire.until("response.output_audio.delta")
        await wire.append(tone(0.4))
        events = await wire.until("rate_limits.updated")
        names = types(events)
        started = names.index("input_audio_buffer.speech_started")
        assert names[started + 1 :] == [
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        response = done(events)
        assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        assert response["output"][0]["status"] == "incomplete"
        await wire.settle()
        assert wire.seen[-2]["type"] == "rate_limits.updated"  # nothing is said any more


async def test_without_interruption_the_answer_goes_on_and_a_second_is_refused():
    async with connected() as wire:
        await detection(wire, interrupt_response=False)
        await wire.say("tell me a long story")
        await wire.send("response.create")
        await wire.until("response.output_audio.delta")
        await wire.append(SPEECH)
        error = (await wire.until("error"))[-1]["error"]
        assert error["code"] == "conversation_already_has_active_response"
        assert error["event_id"] is None
        await wire.send("response.cancel")
        await wire.until("rate_limits.updated")


async def test_push_to_talk():
    async with connected(audio={"input": {"turn_detection": None}}, output_modalities=["text"]) as wire:
        await wire.send("input_audio_buffer.commit")
        error = await wire.error()
        assert error["code"] == "input_audio_buffer_commit_empty"
        assert error["message"] == (
            "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but"
            " buffer only has 0.00ms of audio."
        )
        await wire.append(tone(0.05))
        await wire.send("input_audio_buffer.clear")
        assert (await wire.next())["type"] == "input_audio_buffer.cleared"
        await wire.append(tone(0.0999))
        await wire.send("input_audio_buffer.commit")
        assert "99.92ms" in (await wire.error())["message"]
        await wire.append(tone(0.5))
        await wire.send("input_audio_buffer.commit")
        events = await wire.until("conversation.item.done")
        assert types(events) == [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert next(iter(wire.conversation)).audio_ms == pytest.approx(599.9, abs=0.2)
        assert done(await wire.respond())["status"] == "completed"


async def test_a_commit_in_the_middle_of_detected_speech():
    async with connected(output_modalities=["text"]) as wire:
        await wire.append(np.concatenate([silence(0.3), tone(0.5)]))
        started = (await wire.until("input_audio_buffer.speech_started"))[-1]
        await wire.send("input_audio_buffer.commit")
        committed = (await wire.until("conversation.item.done"))[0]
        assert committed["item_id"] == started["item_id"]
        await wire.append(silence(0.5))
        await wire.settle()
        assert "response.created" not in types(wire.seen)


async def test_clearing_forgets_the_speech_that_goes_on():
    async with connected(output_modalities=["text"]) as wire:
        await wire.append(tone(0.5))
        await wire.until("input_audio_buffer.speech_started")
        await wire.send("input_audio_buffer.clear")
        await wire.append(silence(0.5))
        await wire.settle()
        assert not len(wire.conversation)
        await wire.append(SPEECH)
        events = await wire.until("rate_limits.updated")
        assert events[0]["audio_start_ms"] == pytest.approx(1200, abs=40)


async def test_words_are_recognised_before_the_turn_ends():
    engine = fake({})
    heard: list[float] = []
    asked = threading.Event()
    transcribe = engine.asr.transcribe

    def listening(samples):
        heard.append(len(samples) / 16_000)
        asked.set()
        return transcribe(samples)

    engine.asr.transcribe = listening
    async with connected(engine, output_modalities=["text"]) as wire:
        await detection(wire, silence_duration_ms=500, create_response=False)
        await wire.append(np.concatenate([silence(0.4), tone(0.5), silence(0.2)]))
        await wire.settle()
        assert asked.wait(30)
        assert not len(wire.conversation)
        await wire.append(tone(0.5))  # speech goes on: the guess is dropped
        await wire.append(silence(0.6))
        await wire.until("conversation.item.done")
        (item,) = wire.conversation
        await wire.server.context.item_extras[item.id].transcripts[0]
        assert heard == pytest.approx([1.3, item.audio_ms / 1000], abs=0.1)
        assert heard[1] == pytest.approx(item.audio_ms / 1000, abs=0.001)


@pytest.mark.parametrize(
    ("settings", "usage"),
    [
        ({"model": "whisper-1"}, {"type": "duration", "seconds": 0.8}),
        (
            {"model": "gpt-4o-transcribe", "language": "en-US"},
            {
                "type": "tokens",
                "total_tokens": 14,
                "input_tokens": 8,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 8},
                "output_tokens": 6,
            },
        ),
    ],
)
async def test_transcripts_are_sent_when_asked_for(settings, usage):
    async with connected(audio={"input": {"turn_detection": None, "transcription": settings}}) as wire:
        await wire.append(tone(0.8))
        await wire.send("input_audio_buffer.commit")
        events = await wire.until(COMPLETED)
        assert events[-1]["transcript"] == "(speech, 0.8 seconds)"
        assert events[-1]["usage"] == usage
        deltas = [e["delta"] for e in events if e["type"].endswith("transcription.delta")]
        assert "".join(deltas) == "(speech, 0.8 seconds)"
        assert (len(deltas) == 1) == (settings["model"] == "whisper-1")


@pytest.mark.parametrize(
    ("settings", "sound", "code", "said"),
    [
        ({"model": "whisper-1"}, silence(0.5), "audio_unintelligible", "no words"),
        ({"model": "whisper-1", "language": "de"}, tone(0.5), "unsupported_language", "'de'"),
    ],
)
async def test_transcripts_that_cannot_be(settings, sound, code, said):
    async with connected(audio={"input": {"turn_detection": None, "transcription": settings}}) as wire:
        await wire.append(sound)
        await wire.send("input_audio_buffer.commit")
        error = (await wire.until(FAILED))[-1]["error"]
        assert error["code"] == code
        assert said in error["message"]


async def test_a_broken_recognizer_fails_the_transcript_and_the_answer():
    engine = fake({})

    def broken(samples):
        raise RuntimeError("out of order")

    engine.asr.transcribe = broken
    audio = {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}
    async with connected(engine, audio=audio) as wire:
        await wire.append(tone(0.5))
        await wire.send("input_audio_buffer.commit")
        assert "out of order" in (await wire.until(FAILED))[-1]["error"]["message"]
        response = done(await wire.respond())
        assert response["status"] == "failed"
        assert "out of order" in response["status_details"]["error"]["message"]
        await wire.say("never mind")
        assert done(await wire.respond())["status"] == "completed"


@pytest.mark.parametrize(
    ("audio", "said"),
    [
        ("not base64!", "not valid base64"),
        ("ÄÖÜ=", "not valid base64"),
        (b64encode(b"abc").decode(), "2 bytes a sample"),
        ("A" * (20 * 1024 * 1024 + 8), "more than 15 MiB"),
    ],
    ids=["letters", "umlauts", "half a sample", "too much"],
)
async def test_invalid_audio_is_refused(audio, said):
    async with connected() as wire:
        await wire.raw(b'{"type":"input_audio_buffer.append","audio":"%s"}' % audio.encode())
        error = await wire.error()
        assert (error["code"], error["param"]) == ("invalid_value", "audio")
        assert said in error["message"]


async def test_fifteen_mebibytes_are_taken():
    async with connected(audio={"input": {"turn_detection": None}}) as wire:
        audio = b64encode(bytes(15 * 1024 * 1024)).decode()
        await wire.send("input_audio_buffer.append", audio=audio)
        await wire.send("input_audio_buffer.clear")
        assert (await wire.next())["type"] == "input_audio_buffer.cleared"


async def test_the_format_may_change_between_turns():
    async with connected(output_modalities=["text"]) as wire:
        await wire.append(SPEECH)
        await wire.until("rate_limits.updated")
        await wire.configure(audio={"input": {"format": {"type": "audio/pcmu"}}})
        sound = np.concatenate([silence(0.5, 8000), tone(1.0, 8000), silence(0.6, 8000)])
        await wire.append(sound, ulaw)
        events = await wire.until("rate_limits.updated")
        assert events[0]["audio_start_ms"] == pytest.approx(2300, abs=40)
        item = wire.conversation.items[events[0]["item_id"]]
        assert item.audio_ms == pytest.approx(1500, abs=80)


async def test_semantic_detection_waits_longer():
    async with connected(output_modalities=["text"]) as wire:
        await wire.configure(
            audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}}
        )
        await wire.append(np.concatenate([SPEECH[: 24_000 * 3 // 2], silence(0.4)]))
        await wire.settle()
        assert not len(wire.conversation)
        await wire.append(silence(0.3))
        await wire.until("rate_limits.updated")
