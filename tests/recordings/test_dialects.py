"""Archives in each dialect of the protocol, written by hand as JSON Lines, are understood alike."""

from base64 import b64encode

import numpy as np
import orjson
import pytest

import rtnb
from rtnb.analysis.event_audio import Tracks
from rtnb.analysis.event_filter import Selection, Wanted
from rtnb.analysis.event_rows import Rows
from rtnb.analysis.event_text import EventDescriber
from rtnb.analysis.events import Events
from rtnb.audio.codecs import ulaw
from rtnb.protocol.audio_formats import AudioFormats
from rtnb.recordings.manifest import manifest
from rtnb.recordings.scrub import ScrubRule, scrub
from rtnb.recordings.writer import pieces, save
from rtnb.transports import Replay


def tone(hz, codec_rate):
    """Return half a second as float32."""
    n = codec_rate // 2
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(n) / codec_rate)).astype(np.float32)


SPOKEN = ulaw.encode(tone(440, 8000))
ANSWER = ulaw.encode(tone(220, 8000))
USAGE = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {"text_tokens": 5, "audio_tokens": 15, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 4, "audio_tokens": 6},
}
USER = {"id": "item_u", "type": "message", "role": "user", "status": "completed"}
WHERE = {"response_id": "resp_1", "item_id": "item_a", "output_index": 0, "content_index": 0}


def b64(data):
    return b64encode(data).decode()


def in_base64(data, size=1600):
    return [b64(data[start : start + size]) for start in range(0, len(data), size)]


def conversation(beta):
    """Return one spoken turn, as (direction, event) rows."""
    output = "" if beta else "output_"
    kind = "audio" if beta else "output_audio"
    nested = {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}}
    nested["output"] = {"format": {"type": "audio/pcmu"}, "voice": "sage"}
    session = {"type": "realtime", "output_modalities": ["audio"], "audio": nested}
    if beta:
        session = {"modalities": ["text", "audio"], "voice": "sage", "turn_detection": None}
        session |= {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_ulaw"}
    session |= {"model": "gpt-4o-realtime-preview", "instructions": "Be short."}
    answer = {"id": "item_a", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    done = {**answer, "status": "completed", "content": [{"type": kind, "transcript": "Good day."}]}
    added = "conversation.item.created" if beta else "conversation.item.added"
    user = {**USER, "content": [{"type": "input_audio", "transcript": None}]}
    response = {"id": "resp_1", "object": "realtime.response", "status": "in_progress", "output": []}
    ended = {**response, "status": "completed", "output": [done], "usage": USAGE}
    shape = {"modalities": ["text", "audio"]} if beta else {"output_modalities": ["audio"]}
    return [
        ("server", {"type": "session.created", "session": session}),
        ("client", {"type": "session.update", "event_id": "event_1", "session": session}),
        ("server", {"type": "session.updated", "session": session}),
        *(("client", {"type": "input_audio_buffer.append", "audio": piece}) for piece in in_base64(SPOKEN)),
        ("client", {"type": "input_audio_buffer.commit", "event_id": "event_2"}),
        ("client", {"type": "response.create", "event_id": "event_3", "response": shape}),
        ("server", {"type": "input_audio_buffer.committed", "item_id": "item_u", "previous_item_id": None}),
        ("server", {"type": added, "previous_item_id": None, "item": user}),
        ("server", {"type": "response.created", "response": response}),
        ("server", {"type": "response.output_item.added", "response_id": "resp_1", "item": answer}),
        ("server", {"type": added, "previous_item_id": "item_u", "item": answer}),
        ("server", {"type": f"response.{output}audio_transcript.delta", **WHERE, "delta": "Good "}),
        ("server", {"type": f"response.{output}audio_transcript.delta", **WHERE, "delta": "day."}),
        *(
            ("server", {"type": f"response.{output}audio.delta", **WHERE, "delta": piece})
            for piece in in_base64(ANSWER)
        ),
        ("server", {"type": f"response.{output}audio.done", **WHERE}),
        (
            "server",
            {"type": f"response.{output}audio_transcript.done", **WHERE, "transcript": "Good day."},
        ),
        ("server", {"type": "response.output_item.done", "response_id": "resp_1", "item": done}),
        ("server", {"type": "response.done", "response": ended}),
        (
            "server",
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "item_u",
                "content_index": 0,
                "transcript": "Hello.",
            },
        ),
    ]


def transcription():
    """Return a transcription session of the beta's."""
    session = {"input_audio_format": "g711_ulaw", "input_audio_transcription": {"model": "whisper-1"}}
    user = {**USER, "content": [{"type": "input_audio", "transcript": None}]}
    heading = "conversation.item.input_audio_transcription"
    return [
        ("server", {"type": "transcription_session.created", "session": session}),
        ("client", {"type": "transcription_session.update", "session": session}),
        ("server", {"type": "transcription_session.updated", "session": session}),
        *(("client", {"type": "input_audio_buffer.append", "audio": piece}) for piece in in_base64(SPOKEN)),
        ("client", {"type": "input_audio_buffer.commit"}),
        ("server", {"type": "input_audio_buffer.committed", "item_id": "item_u", "previous_item_id": None}),
        ("server", {"type": "conversation.item.created", "previous_item_id": None, "item": user}),
        ("server", {"type": f"{heading}.delta", "item_id": "item_u", "delta": "Hel"}),
        ("server", {"type": f"{heading}.delta", "item_id": "item_u", "delta": "lo."}),
        ("server", {"type": f"{heading}.completed", "item_id": "item_u", "transcript": "Hello."}),
    ]


def translation():
    """Return a translation: 24 kHz PCM16, one response without a beginning or an end."""
    session = {"type": "translation", "model": "gpt-realtime-translate"}
    said, answer = (rtnb.Clip(tone(hz, 24_000), 24_000).to_pcm16() for hz in (440, 220))
    rows = [("server", {"type": "session.created", "session": session})]
    rows += [
        ("client", {"type": "session.input_audio_buffer.append", "audio": piece})
        for piece in in_base64(said, 4800)
    ]
    rows.append(("server", {"type": "session.input_transcript.delta", "delta": "Hello."}))
    rows.append(("server", {"type": "session.output_transcript.delta", "delta": "Guten "}))
    rows.append(("server", {"type": "session.output_transcript.delta", "delta": "Tag."}))
    rows += [
        ("server", {"type": "session.output_audio.delta", "delta": piece})
        for piece in in_base64(answer, 4800)
    ]
    return rows


def archive(folder, rows):
    """Write the rows 10 ms apart and return the file, opened."""
    path = folder / "archive.jsonl"
    lines = (
        {"t": n / 100, "wall": 1.7e9 + n / 100, "direction": direction, "event": event}
        for n, (direction, event) in enumerate(rows)
    )
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return rtnb.open(path)


def described(recording):
    """Return the type and the words of each row of the event log, and what finds the audio of events."""
    events = Events(recording.state.log)
    rows = Rows(events)
    rows.extend()
    formats = AudioFormats(recording.state.log)
    describer = EventDescriber(rows, formats)
    selection = Selection(rows, Wanted())
    selection.finish()
    lines = [describer.describe(line) for line in selection.lines(0, 99) if line.kind == "row"]
    tracks = Tracks(rows, formats, lambda: recording.conversation)
    return [(line.type, line.summary) for line in lines], tracks, describer


@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_a_conversation(tmp_path, dialect):
    recording = archive(tmp_path, conversation(dialect == "beta"))
    state = recording.state
    assert (state.dialect.name, state.problems) == (dialect, [])
    assert recording.model == "gpt-4o-realtime-preview"
    [turn] = recording.turns
    assert (turn.status, turn.text, turn.input.text) == ("completed", "Good day.", "Hello.")
    assert (turn.usage.input_tokens, turn.usage.output_tokens, turn.usage.input_audio) == (20, 10, 15)
    assert recording.usage.total_tokens == 30
    for id, sent in (("item_u", SPOKEN), ("item_a", ANSWER)):
        [part] = recording.conversation.items[id].parts
        assert (part.codec.type, part.codec.rate, bytes(part.data)) == ("audio/pcmu", 8000, sent)
        assert recording.conversation.items[id].audio_ms == 500
    assert turn.audio.rate == 8000
    np.testing.assert_array_equal(turn.audio.samples, ulaw.decode(ANSWER))


def test_the_event_log_describes_the_beta_as_it_describes_ga(tmp_path):
    words = {}
    for dialect in ("ga", "beta"):
        recording = archive(tmp_path, conversation(dialect == "beta"))
        found, tracks, describer = described(recording)
        words[dialect] = [text for _, text in found]
        assert describer.user_text(0) == "Hello."
        by_type = dict(found)
        assert by_type["session.created"] == "gpt-4o-realtime-preview · voice sage · Be short."
        assert by_type["session.update"] == by_type["session.created"]
        assert by_type["input_audio_buffer.append"] == "[audio 500 ms, 4,000 bytes]"
        assert by_type["response.create"] == "audio"
        assert by_type["response.done"] == "completed · 20 tokens in, 10 out"
        prefix = "response.audio" if dialect == "beta" else "response.output_audio"
        assert by_type[f"{prefix}_transcript.delta"] == "Good day."
        assert by_type[f"{prefix}.delta"] == "[audio 500 ms, 4,000 bytes]"
        assert by_type["response.output_item.done"] == "assistant: Good day."
        delta = next(entry.index for entry in recording.state.log.filter(f"{prefix}.delta"))
        appended = next(entry.index for entry in recording.state.log.filter("*.append"))
        for index, sent in ((delta, ANSWER), (appended, SPOKEN)):
            track = tracks.of(index)
            assert (track.codec.type, track.codec.rate, track.seconds) == ("audio/pcmu", 8000, 0.5)
            assert track.data == sent
    assert words["beta"] == words["ga"]


@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_both_voices_are_exported(tmp_path, dialect):
    recording = archive(tmp_path, conversation(dialect == "beta"))
    [path] = recording.export(tmp_path / "both.wav")
    clip = rtnb.Clip.of(path)
    # The clip was sent at once: after it come the wait from its commit to the answer, and the answer.
    assert clip.seconds == pytest.approx(0.03 + 0.5 + 0.09 + 0.5, abs=0.001)
    items = {path.name: rtnb.Clip.of(path) for path in recording.export(tmp_path / "items")}
    assert [clip.seconds for clip in items.values()] == [0.5, 0.5]
    assert {clip.rate for clip in items.values()} == {8000}
    save(pieces(recording.state.log), manifest(recording.state), tmp_path / "again.rtnb")
    saved = rtnb.open(tmp_path / "again.rtnb")
    assert [entry.frame for entry in saved.log] == [entry.frame for entry in recording.log]
    assert saved.state.dialect.name == dialect


def test_a_transcription(tmp_path):
    recording = archive(tmp_path, transcription())
    state = recording.state
    assert (state.dialect.name, state.problems) == ("beta", [])
    item = recording.conversation.items["item_u"]
    assert (item.text, item.audio_ms, item.parts[0].codec.rate) == ("Hello.", 500, 8000)
    found, tracks, _ = described(recording)
    by_type = dict(found)
    assert by_type["transcription_session.created"] == by_type["transcription_session.update"] == "whisper-1"
    assert by_type["input_audio_buffer.append"] == "[audio 500 ms, 4,000 bytes]"
    assert by_type["conversation.item.input_audio_transcription.delta"] == "Hello."
    assert tracks.of(3).codec.type == "audio/pcmu"
    [path] = recording.export(tmp_path / "items")
    assert (rtnb.Clip.of(path).seconds, rtnb.Clip.of(path).rate) == (0.5, 8000)


def test_a_translation(tmp_path):
    recording = archive(tmp_path, translation())
    assert (recording.state.dialect.name, recording.state.problems) == ("ga", [])
    assert recording.model == "gpt-realtime-translate"
    item = recording.conversation.items["translation"]
    assert (item.text, item.audio_ms) == ("Guten Tag.", 500)
    assert recording.conversation.items["translation_input"].text == "Hello."
    both = recording.state.tracks
    assert (both["input"].seconds, both["output"].seconds) == (0.5, 0.5)
    found, tracks, _ = described(recording)
    assert dict(found) == {
        "session.created": "gpt-realtime-translate",
        "session.input_audio_buffer.append": "[audio 500 ms, 24,000 bytes]",
        "session.input_transcript.delta": "Hello.",
        "session.output_transcript.delta": "Guten Tag.",
        "session.output_audio.delta": "[audio 500 ms, 24,000 bytes]",
    }
    last = len(recording.state.log) - 1
    assert (tracks.of(last).seconds, tracks.of(last).at) == (0.5, pytest.approx(0.4))
    assert tracks.of(1).seconds == 0.5
    assert rtnb.Clip.of(recording.export(tmp_path / "both.wav")[0]).seconds > 0.5


async def test_a_recording_of_the_beta_is_replayed_to_either_dialect(tmp_path):
    recording = archive(tmp_path, conversation(beta=True))
    for beta in (True, False):
        transport = Replay(recording.log)
        for direction, event in conversation(beta):
            if direction == "client":
                await transport.send(orjson.dumps(event))
        answers = len(recording.log.filter(direction="server"))
        types = [orjson.loads(await transport.recv())["type"] for _ in range(answers)]
        assert "error" not in types
        transport.check()


def test_the_same_code_replays_it(tmp_path):
    recording = archive(tmp_path, conversation(beta=True))
    options = {"input_format": "g711_ulaw", "output_format": "g711_ulaw", "turn_detection": None}
    with rtnb.replay(recording, **options) as session:
        session.append(SPOKEN)
        turn = session.commit(modalities="audio")
        assert turn.wait(10).status == "completed"
        assert turn.text == "Good day."
        assert session.state.dialect.name == "beta"


@pytest.mark.parametrize("beta", [False, True])
def test_a_voice_is_scrubbed(tmp_path, beta):
    recording = archive(tmp_path, conversation(beta))
    report = scrub(recording.path, tmp_path / "x.rtnb", ScrubRule(voice="all", text="all"))
    assert (report.left, report.seconds) == ([], 1.0)
    [turn] = rtnb.open(tmp_path / "x.rtnb").turns
    assert (turn.text, turn.audio.seconds) == ("xxxx xxx.", 0.5)
