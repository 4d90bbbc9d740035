"""Verifying, scrubbing, comparing and exporting a recording."""

import re

import orjson
import pytest
import soundfile
from frames import b64, full, tone

import rtnb
from rtnb.errors import ArgumentError, RecordingError
from rtnb.recordings import save
from rtnb.recordings.diff import diff
from rtnb.recordings.export import export, mix, transcript
from rtnb.recordings.header import header
from rtnb.recordings.scrub import Rule, scrub
from rtnb.recordings.verify import verify
from rtnb.recordings.writer import pieces
from rtnb.views.log.lines import lines


def keep(path, wire, **options):
    save(pieces(wire.record.log), header(wire.record, where="a test"), path, **options)
    return path


@pytest.fixture
def file(tmp_path):
    wire = full()
    item = {"id": "item_v", "type": "message", "role": "user"}
    content = [
        {"type": "input_audio", "audio": b64(tone(300))},
        {"type": "input_text", "text": "Remember 4711."},
    ]
    wire.client("conversation.item.create", item={**item, "content": content})
    content = [{"type": "input_audio", "transcript": None}, {"type": "input_text", "text": "Remember 4711."}]
    wire.item({**item, "status": "completed", "content": content})
    return keep(tmp_path / "x.rtnb", wire)


# Verify.


@pytest.mark.parametrize("audio", ["lossless", "opus"])
def test_a_good_file_is_good(tmp_path, audio):
    verdict = verify(keep(tmp_path / "x.rtnb", full(), audio=audio))
    assert verdict.faults == []
    assert verdict.said.startswith("good: 12 events sent and 54 received")
    assert ("Opus" in verdict.said) == (audio == "opus")


def test_the_damaged_chunk_is_named(file):
    data = bytearray(file.read_bytes())
    chunk = next(one for one in rtnb.open(file)._reader.chunks if one.kind == b"EVNT")
    data[chunk.at + 100] ^= 4
    file.write_bytes(data)
    verdict = verify(file)
    assert verdict.said.startswith("damaged: 0 events are whole")
    assert f"It has a EVNT chunk at byte {chunk.at:,} that is not as it was written." in verdict.faults
    file.write_bytes(file.read_bytes()[: chunk.at])
    assert any("It has no end" in fault for fault in verify(file).faults)


def test_a_file_whose_end_tells_another_hash(file):
    from rtnb.recordings import format

    tail = rtnb.open(file)._reader.chunks[-1]
    told = rtnb.open(file)._reader.tail
    data = file.read_bytes()[: tail.at]
    file.write_bytes(data + format.chunk(b"TAIL", orjson.dumps({**told, "sha256": "0" * 64})))
    assert verify(file).faults == ["Its frames are not those that were written: sha256 differs."]


# Scrub.


def frames_of(path):
    return b"".join(entry.frame for entry in rtnb.open(path).log)


@pytest.mark.parametrize("who", ["user", "assistant", "all"])
def test_voice_becomes_silence(file, tmp_path, who):
    proof = scrub(file, tmp_path / "y.rtnb", Rule(voice=who))
    assert proof.left == []
    assert proof.sounds > 0
    before, after = rtnb.open(file), rtnb.open(tmp_path / "y.rtnb")
    assert after.header["scrubbed"] == [f"voice of {who}"]
    assert [len(e.frame) for e in after.log] == [len(e.frame) for e in before.log]
    for one, other in zip(before.turns, after.turns, strict=True):
        assert other.said == one.said
        for gone, was, now in (
            ("user", one.input.audio, other.input.audio),
            ("assistant", one.sound, other.sound),
        ):
            if was is not None:
                assert now.seconds == was.seconds
                assert (now.peak == 0) == (who in (gone, "all"))
                assert (now == was) == (who not in (gone, "all"))
    assert verify(tmp_path / "y.rtnb").faults == []


def test_words_become_x(file, tmp_path):
    proof = scrub(file, tmp_path / "y.rtnb", Rule(text="all"))
    assert proof.left == []
    for word in (b"sunny", b"Hello", b"weather?", b"Rome", b"4711", b"Be short"):
        assert word in frames_of(file)
        assert word not in frames_of(tmp_path / "y.rtnb") + (tmp_path / "y.rtnb").read_bytes()
    before, after = rtnb.open(file), rtnb.open(tmp_path / "y.rtnb")
    assert [t.said.count(" ") for t in after.turns] == [t.said.count(" ") for t in before.turns]
    assert after.usage == before.usage
    assert [t.sound for t in after.turns] == [t.sound for t in before.turns]
    assert [t.marks for t in after.turns] == [t.marks for t in before.turns]


def test_words_that_the_other_side_repeats_are_told(tmp_path):
    wire = full()
    wire.text("item_q", "My name is Ossifrage.")
    wire.ask()
    wire.begin("resp_9", "item_r")
    wire.delta("output_text", "You said: My name is Ossifrage.", "resp_9", "item_r")
    wire.end("resp_9")
    path = keep(tmp_path / "x.rtnb", wire)
    proof = scrub(path, tmp_path / "y.rtnb", Rule(text="user"))
    assert any("repeats a text that was taken out elsewhere" in one for one in proof.left)
    proof = scrub(path, tmp_path / "z.rtnb", Rule(matching="Ossifrage"))
    assert proof.left == []
    assert b"Ossifrage" not in frames_of(tmp_path / "z.rtnb")
    assert b"Good day." in frames_of(tmp_path / "z.rtnb")
    assert rtnb.open(tmp_path / "z.rtnb").header["scrubbed"] == ["text by a pattern"]
    twice = scrub(tmp_path / "z.rtnb", tmp_path / "w.rtnb", Rule(voice="all"))
    assert twice.left == []
    assert rtnb.open(tmp_path / "w.rtnb").header["scrubbed"] == ["text by a pattern", "voice of all"]


def test_a_pattern_that_meets_speech_says_that_the_voice_is_left(file, tmp_path):
    proof = scrub(file, tmp_path / "y.rtnb", Rule(matching="weather"))
    assert any("the user's voice still says" in one for one in proof.left)
    assert scrub(file, tmp_path / "z.rtnb", Rule(matching="weather", voice="user")).left == []


def test_rules_that_are_none(file):
    with pytest.raises(ArgumentError, match="say what to take out"):
        Rule()
    with pytest.raises(ArgumentError, match="voice is user, assistant or all"):
        Rule(voice="me")
    with pytest.raises(ArgumentError, match="cannot be read"):
        Rule(matching="(")
    with pytest.raises(ArgumentError, match="the recording itself"):
        scrub(file, file, Rule(voice="all"))


def test_frames_that_are_no_events_go_with_their_side(tmp_path):
    wire = full()
    wire.record.append(b"\xff\x00 binary voice", "client", mono_ns=10**9, wall_ns=10**9)
    path = keep(tmp_path / "x.rtnb", wire)
    assert scrub(path, tmp_path / "y.rtnb", Rule(voice="user")).left == []
    assert b"binary voice" not in frames_of(tmp_path / "y.rtnb")


# Diff.


def test_the_same_session_twice_does_not_differ(file, tmp_path):
    other = full()
    assert list(diff(rtnb.open(file), rtnb.open(file))) == []
    told = list(diff(rtnb.open(file), rtnb.open(keep(tmp_path / "y.rtnb", other))))
    assert "conversation.item.create: 4 | 3 events" in " ".join(told) or any(
        "events" in line for line in told
    )
    assert told[-1].endswith("only in the first")


def test_what_differs_is_named(tmp_path):
    one, other = full(), full()
    one.text("item_z", "Yes")
    other.text("item_z", "No")
    other.session({"type": "semantic_vad"}, "session.updated")
    a, b = (rtnb.open(keep(tmp_path / f"{n}.rtnb", wire)) for n, wire in enumerate((one, other)))
    told = list(diff(a, b))
    assert "session.audio.input.turn_detection.type: 'server_vad' | 'semantic_vad'" in told
    assert any(line.endswith("you: 'Yes' | 'No'") for line in told)
    assert any("is the first whose contents differ" in line for line in told)


def test_a_voice_that_was_taken_out_is_a_difference(file, tmp_path):
    recording = rtnb.open(file)
    recording.scrub(tmp_path / "y.rtnb", voice="user")
    told = recording.diff(tmp_path / "y.rtnb")
    assert "taken out: nothing | voice of user" in told
    assert any(
        re.fullmatch(r"turn \d, your sound: [\d.]+ s of sound \| [\d.]+ s of silence", line) for line in told
    )
    assert not any("the answer's sound" in line for line in told)
    assert repr(told) == "\n".join(told)
    assert repr(recording.diff(file)) == "The same, but for ids, samples and times."


# Export.


def test_json_lines_hold_every_frame(tmp_path):
    wire = full()
    for frame in (b"no JSON", b"\xff\xfe", b'{"type": "spaced",  "x": 1}'):
        wire.record.append(frame, "server", mono_ns=10**12, wall_ns=10**12)
    recording = rtnb.open(keep(tmp_path / "x.rtnb", wire))
    [out] = export(recording, tmp_path / "x.jsonl")
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [row["type"] for row in rows] == [entry.type for entry in recording.log]
    assert [row["t"] for row in rows] == [entry.t for entry in recording.log]
    for row, entry in zip(rows, recording.log, strict=True):
        if "base64" in row:
            from base64 import b64decode

            assert b64decode(row["base64"]) == entry.frame
        else:
            assert (row.get("raw", "").encode() or orjson.dumps(row["event"])) == entry.frame
    assert len(list(lines(recording.log))) == len(recording.log)


def test_a_recording_has_the_tools_as_methods(file, tmp_path):
    recording = rtnb.open(file)
    assert str(recording.verify()).startswith("good: ")
    proof = recording.scrub(tmp_path / "y.rtnb", voice="all", text="all")
    assert not proof.left
    assert str(proof).endswith("taken out: nothing of it is left")
    assert any(line.startswith("turn 0, you") for line in recording.diff(rtnb.open(tmp_path / "y.rtnb")))
    assert recording.diff(file) == []
    with pytest.raises(rtnb.ArgumentError, match="is named by its path, not by int"):
        rtnb.open(5)
    assert recording.export(tmp_path / "x.txt") == [tmp_path / "x.txt"]


def test_a_transcript_says_who_said_what(file, tmp_path):
    [out] = export(rtnb.open(file), tmp_path / "x.txt")
    told = out.read_text("utf-8").splitlines()
    assert told == list(transcript(rtnb.open(file)))
    assert told[0].endswith("You: Hello")
    assert told[1].endswith("Assistant: Good day.")
    assert any("You: How is the weather?" in line for line in told)
    assert any('Call: weather({"city":"Rome"}) gave sunny' in line for line in told)
    assert any(line.endswith("(cancelled)") for line in told)


def test_sound_in_time_and_by_item(file, tmp_path):
    recording = rtnb.open(file)
    [out] = export(recording, tmp_path / "x.wav")
    samples, rate = soundfile.read(out)
    assert (rate, samples.shape[1]) == (24_000, 2)
    assert samples.shape == mix(recording.log).shape
    first = recording.log.filter("input_audio_buffer.append")[0].t
    assert not samples[: round(first * 24_000), 0].any()
    assert samples[round(first * 24_000) : round((first + 0.2) * 24_000), 0].any()
    assert len(samples) >= 24_000 * (first + 0.2)
    files = export(recording, tmp_path / "items")
    assert files[0].name.endswith("-user-item_u2.wav")
    assert rtnb.Clip.read(files[0]).seconds == pytest.approx(0.2)
    assert any("assistant" in path.name for path in files)


def test_other_forms_are_refused(file, tmp_path):
    with pytest.raises(RecordingError, match=r"is none of the forms: .jsonl, .txt, .wav"):
        export(rtnb.open(file), tmp_path / "x.mp3")
    with pytest.raises(RecordingError, match="cannot be written"):
        export(rtnb.open(file), tmp_path / "no" / "x.txt")
    with pytest.raises(RecordingError, match="cannot be written"):
        export(rtnb.open(file), tmp_path / "no" / "x.wav")
