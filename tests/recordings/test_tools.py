"""Verifying, scrubbing, comparing and exporting a recording."""

import re
import zipfile
from pathlib import Path

import orjson
import pytest
import soundfile
from frames import Wire, b64, full, tone
from support.talk_over import talk_over

import rtnb
from rtnb.analysis.event_jsonl import lines
from rtnb.errors import ArgumentError, RecordingError
from rtnb.recordings import save
from rtnb.recordings.autosave import Autosave, recover
from rtnb.recordings.export import export, mix, transcript
from rtnb.recordings.manifest import manifest
from rtnb.recordings.reader import Reader
from rtnb.recordings.scrub import ScrubRule, scrub
from rtnb.recordings.scrub_rules import RemovedTexts, changed, masked
from rtnb.recordings.verify import diff, verify
from rtnb.recordings.writer import pieces
from rtnb.recordings.zip_files import open_files
from rtnb.session.event_loop import Notifier

SHIPPED = sorted((Path(__file__).parents[2] / "notebooks" / "recordings").glob("*.rtnb"))
EXAMPLES = Path(__file__).parents[3] / "shared" / "protocol"


def keep(path, wire, **options):
    save(pieces(wire.state.log), manifest(wire.state, endpoint="a test"), path, **options)
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


@pytest.mark.parametrize("lossy", [False, True])
def test_a_good_file_is_good(tmp_path, lossy):
    verdict = verify(keep(tmp_path / "x.rtnb", full(), lossy=lossy))
    assert verdict.faults == []
    assert verdict.summary.startswith("intact: 12 events sent and 54 received")
    assert ("Opus" in verdict.summary) == lossy


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("README.txt", "It has README.txt, which differs from what was written."),
        ("events.jsonl", "It has events.jsonl, which differs from what was written."),
        ("audio/output.flac", "Its track output has damaged audio."),
        ("columns/kinds.npy", "It has columns/kinds.npy, which differs from what was written."),
    ],
)
def test_the_damaged_part_is_named(file, name, fault):
    member = open_files(file).members[name]
    data = bytearray(file.read_bytes())
    data[member.at + member.stored // 2] ^= 4
    file.write_bytes(data)
    verdict = verify(file)
    assert verdict.summary.startswith("damaged: ")
    assert fault in verdict.faults
    file.write_bytes(file.read_bytes()[: member.at])
    if name != "README.txt":
        assert any("It has no end" in fault for fault in verify(file).faults) or name == "events.jsonl"


def test_a_file_whose_manifest_has_another_hash(file):
    about = dict(rtnb.open(file).manifest)
    with zipfile.ZipFile(file) as source:
        files = {name: source.read(name) for name in source.namelist()}
    files["manifest.json"] = orjson.dumps({**about, "frames_sha256": "0" * 64})
    with zipfile.ZipFile(file, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    assert verify(file).faults == ["Its frames are not those that were written: frames_sha256 differs."]


# Scrub.


def frames_of(path):
    return b"".join(entry.frame for entry in rtnb.open(path).log)


@pytest.mark.parametrize("who", ["user", "assistant", "all"])
def test_voice_becomes_silence(file, tmp_path, who):
    proof = scrub(file, tmp_path / "y.rtnb", ScrubRule(voice=who))
    assert proof.left == []
    assert proof.audio_parts > 0
    before, after = rtnb.open(file), rtnb.open(tmp_path / "y.rtnb")
    assert after.manifest["scrubbed"] == [f"voice of {who}"]
    assert [len(e.frame) for e in after.log] == [len(e.frame) for e in before.log]
    for one, other in zip(before.turns, after.turns, strict=True):
        assert other.text_so_far == one.text_so_far
        for gone, was, now in (
            ("user", one.input.audio, other.input.audio),
            ("assistant", one.audio_so_far, other.audio_so_far),
        ):
            if was is not None:
                assert now.seconds == was.seconds
                assert (now.peak == 0) == (who in (gone, "all"))
                assert (now == was) == (who not in (gone, "all"))
    assert verify(tmp_path / "y.rtnb").faults == []


def test_words_become_x(file, tmp_path):
    proof = scrub(file, tmp_path / "y.rtnb", ScrubRule(text="all"))
    assert proof.left == []
    for word in (b"sunny", b"Hello", b"weather?", b"Rome", b"4711", b"Be short"):
        assert word in frames_of(file)
        assert word not in frames_of(tmp_path / "y.rtnb") + (tmp_path / "y.rtnb").read_bytes()
    before, after = rtnb.open(file), rtnb.open(tmp_path / "y.rtnb")
    assert [t.text_so_far.count(" ") for t in after.turns] == [t.text_so_far.count(" ") for t in before.turns]
    assert after.usage == before.usage
    assert [t.audio_so_far for t in after.turns] == [t.audio_so_far for t in before.turns]
    assert [t.marks for t in after.turns] == [t.marks for t in before.turns]


def test_words_that_the_other_side_repeats_are_told(tmp_path):
    wire = full()
    wire.text("item_q", "My name is Ossifrage.")
    wire.ask()
    wire.begin("resp_9", "item_r")
    wire.delta("output_text", "You said: My name is Ossifrage.", "resp_9", "item_r")
    wire.end("resp_9")
    path = keep(tmp_path / "x.rtnb", wire)
    proof = scrub(path, tmp_path / "y.rtnb", ScrubRule(text="user"))
    assert any("repeats a text that was removed elsewhere" in one for one in proof.left)
    proof = scrub(path, tmp_path / "z.rtnb", ScrubRule(matching="Ossifrage"))
    assert proof.left == []
    assert b"Ossifrage" not in frames_of(tmp_path / "z.rtnb")
    assert b"Good day." in frames_of(tmp_path / "z.rtnb")
    assert rtnb.open(tmp_path / "z.rtnb").manifest["scrubbed"] == ["text by a pattern"]
    twice = scrub(tmp_path / "z.rtnb", tmp_path / "w.rtnb", ScrubRule(voice="all"))
    assert twice.left == []
    assert rtnb.open(tmp_path / "w.rtnb").manifest["scrubbed"] == ["text by a pattern", "voice of all"]


def test_a_pattern_that_meets_speech_says_that_the_voice_is_left(file, tmp_path):
    proof = scrub(file, tmp_path / "y.rtnb", ScrubRule(matching="weather"))
    assert any("the user's voice still speaks" in one for one in proof.left)
    assert scrub(file, tmp_path / "z.rtnb", ScrubRule(matching="weather", voice="user")).left == []


def test_rules_that_are_none(file):
    with pytest.raises(ArgumentError, match="say what to remove"):
        ScrubRule()
    with pytest.raises(ArgumentError, match="voice must be user, assistant or all"):
        ScrubRule(voice="me")
    with pytest.raises(ArgumentError, match="invalid pattern"):
        ScrubRule(matching="(")
    with pytest.raises(ArgumentError, match="the recording itself"):
        scrub(file, file, ScrubRule(voice="all"))


def test_frames_that_are_no_events_are_taken_out_whole(tmp_path):
    """What they hold, and whose it is, nobody can tell."""
    wire = full()
    frames = (
        b"\xff\x00 binary voice",
        orjson.dumps({"audio": b64(tone(100)), "text": "binary voice"}),
        b'["binary voice"]',
        rb'{"type":"response.output_text.delta","delta":"binary voice \ud83d"}',
        b'{"type":"x","deep":' + b"[" * 600 + b'"binary voice"' + b"]" * 600 + b"}",
    )
    for direction in ("client", "server"):
        for frame in frames:
            wire.state.append(frame, direction, mono_ns=10**9, wall_ns=10**9)
    path = keep(tmp_path / "x.rtnb", wire)
    for rule in (ScrubRule(voice="user"), ScrubRule(text="assistant"), ScrubRule(matching="binary +voice")):
        proof = scrub(path, tmp_path / "y.rtnb", rule)
        assert proof.left == []
        assert proof.frames == 10
        assert "10 frames that are not events: nothing" in str(proof)
        assert b"binary voice" not in frames_of(tmp_path / "y.rtnb")
        after = rtnb.open(tmp_path / "y.rtnb")
        assert [len(e.frame) for e in after.log] == [len(e.frame) for e in rtnb.open(path).log]
        assert len(after.turns) == len(rtnb.open(path).turns)
    for pattern in (".", r"\*"):  # the mark itself is found too
        assert scrub(path, tmp_path / "z.rtnb", ScrubRule(matching=pattern, voice="user")).left == []
        assert scrub(path, tmp_path / "z.rtnb", ScrubRule(matching=pattern)).left[:-1] == []
    assert scrub(path, tmp_path / "z.rtnb", ScrubRule(matching="Hello")).frames == 0
    assert frames_of(tmp_path / "z.rtnb").count(b"binary voice") == 10


def test_the_voice_of_a_translation_goes_by_its_direction(tmp_path):
    wire = full()
    mine, theirs = b64(tone(100, 300)), b64(tone(100, 500))
    wire.client("session.input_audio_buffer.append", audio=mine)
    wire.server("session.output_audio.delta", delta=theirs)
    wire.client("x.unknown", audio=mine)
    wire.server("x.unknown", chunks=[theirs])
    wire.client("session.update", session={"greeting": f"data:audio/pcm;base64,{mine}"})
    path = keep(tmp_path / "x.rtnb", wire)
    for who, gone in (("user", (mine,)), ("assistant", (theirs,)), ("all", (mine, theirs))):
        assert scrub(path, tmp_path / "y.rtnb", ScrubRule(voice=who)).left == []
        for sound, count in ((mine, 3), (theirs, 2)):
            left = frames_of(tmp_path / "y.rtnb").count(sound.encode())
            assert left == (0 if sound in gone else count)
    proof = scrub(path, tmp_path / "y.rtnb", ScrubRule(voice="user", text="all"))
    assert proof.left == []
    assert mine.encode() not in frames_of(tmp_path / "y.rtnb")


def test_a_member_that_is_named_twice_hides_nothing(tmp_path):
    wire = full()
    sound = b64(tone(100, 777))
    twice = f'{{"type":"response.output_audio.delta","item_id":"i","delta":"{sound}","delta":""}}'
    wire.state.append(twice.encode(), "server", mono_ns=10**9, wall_ns=10**9)
    path = keep(tmp_path / "x.rtnb", wire)
    assert scrub(path, tmp_path / "y.rtnb", ScrubRule(voice="assistant")).left == []
    assert sound.encode() not in frames_of(tmp_path / "y.rtnb")


def test_what_the_rule_does_not_concern_keeps_its_bytes(tmp_path):
    wire = full()
    frame = b'{"type": "x",  "n": ' + b"9" * 50 + b', "t": "\\u00e9"}'
    wire.state.append(frame, "server", mono_ns=10**9, wall_ns=10**9)
    path = keep(tmp_path / "x.rtnb", wire)
    assert scrub(path, tmp_path / "y.rtnb", ScrubRule(voice="all", text="user")).left == []
    assert rtnb.open(tmp_path / "y.rtnb").log[-1].frame == frame


TOOL = {
    "type": "function",
    "name": "MARK name",
    "description": "MARK description",
    "parameters": {
        "type": "object",
        "title": "MARK title",
        "properties": {"MARK key": {"type": "string", "enum": ["MARK enum"], "default": "MARK default"}},
        "required": ["MARK key"],
    },
}
SESSION = {
    "type": "realtime",
    "instructions": "MARK instructions",
    "tools": [TOOL, {"type": "mcp", "server_label": "MARKlabel", "authorization": "MARKauthorization"}],
    "prompt": {"id": "pmpt_1", "variables": {"MARK variable": {"type": "input_text", "text": "MARK text"}}},
    "audio": {
        "input": {"transcription": {"model": "whisper-1", "prompt": "MARK", "keywords": ["MARK keyword"]}}
    },
    "tracing": {"workflow_name": "MARK", "metadata": {"id": "MARKid"}},
}
FAILED = {"type": "failed", "reason": "MARKreason", "error": {"type": "server_error", "message": "MARK"}}
MARKED = (
    ("client", "session.update", {"session": SESSION}),
    ("client", "response.create", {"response": {"metadata": {"MARK": "MARK"}, "input": []}}),
    ("server", "response.done", {"response": {"id": "resp_9", "status": "failed", "status_details": FAILED}}),
    ("server", "conversation.item.input_audio_transcription.segment", {"text": "MARK", "speaker": "MARKs"}),
    ("client", "conversation.item.create", {"item": {"type": "mcp_approval_response", "reason": "MARK"}}),
    ("server", "conversation.item.added", {"item": {"id": "m", "type": "mcp_call", "name": "MARK"}}),
    ("server", "conversation.item.added", {"item": {"id": "n", "type": "mcp_list_tools", "tools": [TOOL]}}),
    ("server", "input_audio_buffer.dtmf_event_received", {"event": "MARK5", "received_at": 1}),
    ("client", "conversation.item.create", {"item": {"type": "message", "role": "user", "content": "MARK"}}),
    (
        "client",
        "conversation.item.create",
        {
            "item": {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_file", "filename": "MARK", "file_data": "MARK"}],
            }
        },
    ),
    ("server", "session.output_transcript.delta", {"delta": "MARK"}),
    ("server", "x.unknown", {"audio": "MARK!", "value": "MARK", "more": {"id": "MARKid", "MARK": ["MARK"]}}),
    (
        "server",
        "error",
        {"error": {"type": "x_error", "code": "not_good", "message": "MARK", "param": "MARK"}},
    ),
)


def test_all_text_is_what_is_not_the_protocols_own(tmp_path):
    wire = full()
    for direction, type, members in MARKED:
        wire.say(direction, type, **members)
    path = keep(tmp_path / "x.rtnb", wire)
    for rule in (
        ScrubRule(text="all"),
        ScrubRule(text="all", voice="all"),
        ScrubRule(matching="MARK", voice="all"),
    ):
        proof = scrub(path, tmp_path / "y.rtnb", rule)
        assert proof.left == []
        assert b"MARK" not in frames_of(tmp_path / "y.rtnb")
        assert "MARK" not in repr(rtnb.open(tmp_path / "y.rtnb").manifest)
    kept = rtnb.open(tmp_path / "y.rtnb").log
    assert kept[-1].data["error"]["code"] == "not_good"
    scrub(path, tmp_path / "y.rtnb", ScrubRule(text="all"))
    session = rtnb.open(tmp_path / "y.rtnb").log.filter("session.update")[-1].data["session"]
    assert session["prompt"]["id"] == "pmpt_1"
    assert session["audio"]["input"]["transcription"]["model"] == "whisper-1"
    assert session["tools"][0]["parameters"] == {
        "type": "object",
        "title": "xxxx xxxxx",
        "properties": {"xxxx xxx": {"type": "string", "enum": ["xxxx xxxx"], "default": "xxxx xxxxxxx"}},
        "required": ["xxxx xxx"],
    }


def test_keys_that_become_the_same_keep_their_members():
    event = {"type": "error", "metadata": {"ab": "1", "cd": "2"}, "said: hi": 5}
    new = changed(
        "client", event, lambda value, kind, whose, ids: masked(value) if kind in ("text", "part") else value
    )
    assert new == {"type": "error", "xxxxxxxx": {"xx": "0", "xxx": "0"}, "xxxx: xx": 0}


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the published examples are not here")
def test_what_the_protocol_enumerates_and_its_ids_stay():
    def mask(value, kind, whose, ids):
        return masked(value) if kind in ("text", "part") else value

    def ids(value, key=""):
        if isinstance(value, dict):
            return [one for name, inner in value.items() for one in ids(inner, name)]
        if isinstance(value, list):
            return [one for inner in value for one in ids(inner, key)]
        named = key in ("type", "status", "role", "object", "model", "voice") or key.split("_")[-1] == "id"
        return [(key, value)] if named else []

    count = 0
    for side in ("client", "server"):
        for line in (EXAMPLES / f"examples-{side}.jsonl").read_bytes().splitlines():
            event = orjson.loads(line)["example"]
            assert ids(changed(side, event, mask)) == ids(event)
            count += 1
    assert count > 100


def test_marks_and_signs_of_every_script_go():
    assert masked("नमस्ते ไทยที่ é️ 🎉 a1!") == "xxxxxx xxxxxx xx x x0!"
    assert masked(masked("Grüße, 4711")) == masked("Grüße, 4711") == "xxxxx, 0000"
    assert RemovedTexts(["Ossifrage", "short"]).occur_in("an Ossifrages' short")
    assert not RemovedTexts(["Ossifrage", "short"]).occur_in("short")
    assert not RemovedTexts([" short\n"]).occur_in("a short\n")
    assert RemovedTexts([" Ossifrage\n"]).occur_in("Ossifrage")


def test_a_pattern_is_found_where_its_text_came_in_parts(tmp_path):
    wire = full()
    for part in ("my sec", "ret is 42"):
        wire.server("conversation.item.input_audio_transcription.delta", item_id="item_s", delta=part)
        wire.server("response.mcp_call_arguments.delta", item_id="item_m", delta=f"{{{part}")
        wire.server("session.input_transcript.delta", delta=part)
    completed = {"item_id": "item_s", "content_index": 0, "transcript": "my sack red is 42"}
    wire.server("conversation.item.input_audio_transcription.completed", **completed)
    path = keep(tmp_path / "x.rtnb", wire)
    proof = scrub(path, tmp_path / "y.rtnb", ScrubRule(matching=r"sec\{?ret"))
    assert b"ret is" not in frames_of(tmp_path / "y.rtnb")
    assert b"sack" not in frames_of(tmp_path / "y.rtnb")
    told = (
        "the user's voice still speaks the text of session.input_transcript.delta: remove that voice as well"
    )
    assert proof.left == [told]
    assert scrub(path, tmp_path / "y.rtnb", ScrubRule(matching=r"sec\{?ret", voice="user")).left == []


def test_a_cut_recording_stays_one_that_was_cut(file, tmp_path):
    end = {"code": 1001, "reason": "Ossifrage", "why": "the server said Ossifrage"}
    for given, why in ((None, ""), (end, "xxx xxxxxx xxxx xxxxxxxxx; ")):
        recording = rtnb.open(file)
        cut = tmp_path / "cut.rtnb"
        save(pieces(recording.log.source), {**recording.manifest, "end": given}, cut)
        cut.write_bytes(cut.read_bytes()[: open_files(cut).members["audio/output.flac"].at + 900])
        proof = scrub(cut, tmp_path / "y.rtnb", ScrubRule(text="all"))
        assert proof.left == []
        count = len(recording.log)
        assert proof.problem.startswith(f"'cut.rtnb' was cut: {count} of {count} events are intact; ")
        told = rtnb.open(tmp_path / "y.rtnb").manifest["end"]
        assert told["why"] == why + proof.problem
        assert "Ossifrage" not in str(told)
    assert scrub(file, tmp_path / "y.rtnb", ScrubRule(text="all")).problem is None
    assert rtnb.open(tmp_path / "y.rtnb").manifest["end"] is None


def test_keys_that_were_made_unreadable_stay_noted(tmp_path, monkeypatch):
    wire = full()
    wire.server("error", error={"message": "sk-proj-abcdefgh1234567890 or sk-proj-1234567890abcdefgh"})
    rows = [len(wire.state.log) - 1]
    path = keep(tmp_path / "x.rtnb", wire)
    monkeypatch.setenv("RTNB_HOME", str(tmp_path / "home"))
    kept = Autosave(wire.state, Notifier().wait)
    kept.close(discard=False)
    for source, count in ((path, 2), (kept.path, 1)):
        scrub(source, tmp_path / "y.rtnb", ScrubRule(text="user"))
        recover(source, tmp_path / "z.rtnb")
        save(pieces(rtnb.open(source).log.source), manifest(wire.state), tmp_path / "w.rtnb", redacted=rows)
        for name, told in (("y", count), ("z", count), ("w", 1)):
            reader = Reader(tmp_path / f"{name}.rtnb")
            assert reader.manifest["redacted"] == told
            assert reader.redacted == rows
            assert reader.manifest["autosave"] is False


RULES = [ScrubRule(**{what: who}) for what in ("text", "voice") for who in ("user", "assistant", "all")]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "rule", [*RULES, ScrubRule(matching="the", voice="user")], ids=lambda rule: " ".join(rule.words)
)
def test_an_ordinary_recording_raises_no_alarm(path, rule, tmp_path):
    assert scrub(path, tmp_path / "y.rtnb", rule).left == []


def test_a_text_that_came_in_parts_only_is_told_where_it_is_repeated(tmp_path):
    """A part alone is not: a word stands anywhere by chance."""
    wire = full()
    for part in ("my Ossi", "frage", " without"):
        wire.server("conversation.item.input_audio_transcription.delta", item_id="item_s", delta=part)
    path = tmp_path / "x.rtnb"
    wire.delta("output_text", "Not without a reason.", "resp_9", "item_r")
    assert scrub(keep(path, wire), tmp_path / "y.rtnb", ScrubRule(text="user")).left == []
    wire.delta("output_text", "So: my Ossifrage without.", "resp_9", "item_q")
    told = scrub(keep(path, wire), tmp_path / "y.rtnb", ScrubRule(text="user")).left
    assert len(told) == 1
    assert "repeats a text that was removed elsewhere" in told[0]


def test_a_text_that_is_a_word_of_the_protocol_raises_no_alarm(tmp_path):
    wire, path, out = full(), tmp_path / "x.rtnb", tmp_path / "y.rtnb"
    wire.text("item_w", "response")
    wire.begin("resp_w", "item_x")
    assert scrub(keep(path, wire), out, ScrubRule(text="user")).left == []
    wire.begin("resp_x", "item_y", metadata={"response": "no", "why": "response"})
    parameters = {"type": "object", "properties": {"session": {}}, "required": ["session"]}
    tool = {"type": "function", "name": "ask", "parameters": parameters}
    wire.server("session.updated", session={"object": "realtime.session", "tools": [tool]})
    assert scrub(keep(path, wire), out, ScrubRule(text="all")).left == []
    wire.text("response_1", "Yes")  # an id is somebody's choice
    assert len(scrub(keep(path, wire), out, ScrubRule(text="all")).left) == 3


def test_the_name_of_a_member_is_no_text(tmp_path):
    """Many a tool names a parameter as an id or a model is named."""
    wire = full()
    wire.begin("Ossifrage_1", "item_x", metadata={"Ossifrage": "no"})
    assert scrub(keep(tmp_path / "x.rtnb", wire), tmp_path / "y.rtnb", ScrubRule(text="all")).left == []


def test_ids_that_look_like_none_stay_as_different_as_they_were(tmp_path):
    wire = full()
    names = ("item+ab=", "item+cd=", "item ef", "item@gh", "i" * 129, "j" * 129)
    for name in names:
        wire.text(name, "Hello there")
        wire.ask()
        wire.begin(f"resp {name}", f"answer {name}", name)
        wire.delta("output_text", "Back", f"resp {name}", f"answer {name}")
        wire.end(f"resp {name}")
    wire.server("conversation.item.deleted", item_id=names[0])
    wire.server("something new", item_id=names[0])
    path = keep(tmp_path / "x.rtnb", wire)
    before = rtnb.open(path)
    for rule in RULES:
        told = ["event 121 (something new) may have words as its type"] if rule.text == "all" else []
        assert scrub(path, tmp_path / "y.rtnb", rule).left == told
        after = rtnb.open(tmp_path / "y.rtnb")
        assert len(after.turns) == len(before.turns)
        assert [turn.status for turn in after.turns] == [turn.status for turn in before.turns]
        items, others = before.conversation.items, after.conversation.items
        assert [len(item.text) for item in items.values()] == [len(item.text) for item in others.values()]
        assert [turn.text_so_far == "" for turn in after.turns] == [
            turn.text_so_far == "" for turn in before.turns
        ]
        if rule.text == "all":
            assert not any(name.encode() in frames_of(tmp_path / "y.rtnb") for name in names)
        else:
            assert list(items) == list(others)


def test_the_bytes_of_a_token_spell_no_word(tmp_path):
    wire = full()
    tokens = [{"token": token, "logprob": -0.1, "bytes": list(token.encode())} for token in ("Ossi", "frage")]
    where = {"item_id": "item_s", "content_index": 0}
    for part in tokens:
        type = "conversation.item.input_audio_transcription.delta"
        wire.server(type, **where, delta=part["token"], logprobs=[part])
    type = "conversation.item.input_audio_transcription.completed"
    wire.server(type, **where, transcript="Ossifrage", logprobs=tokens)
    path = keep(tmp_path / "x.rtnb", wire)
    for rule in (ScrubRule(text="user"), ScrubRule(text="all"), ScrubRule(matching="Ossi", voice="user")):
        assert scrub(path, tmp_path / "y.rtnb", rule).left == []
        last = rtnb.open(tmp_path / "y.rtnb").log[-1].data
        assert [one["bytes"] for one in last["logprobs"]] == [None, None]
        assert str(list(b"frage")).replace(" ", "").encode() not in frames_of(tmp_path / "y.rtnb")
    scrub(path, tmp_path / "y.rtnb", ScrubRule(text="assistant"))
    assert rtnb.open(tmp_path / "y.rtnb").log[-1].data["logprobs"] == tokens


def test_the_proof_reads_the_bytes_of_a_token():
    found = []
    event = {"type": "x", "logprobs": [{"token": "xxx", "bytes": list("né".encode())}]}
    changed("server", event, lambda value, kind, whose, ids: found.append(value) or value)
    assert "né" in found


def test_a_pattern_is_found_across_segments_and_within_one_part_of_an_item(tmp_path):
    wire = full()
    for text in ("my Ossi", "frage. Yes"):
        wire.server("conversation.item.input_audio_transcription.segment", item_id="item_s", text=text)
    for index, text in ((0, "my Ossi"), (1, "or"), (0, "frage. No"), (1, " not")):
        wire.delta("refusal", text, "resp_9", "item_r", index)
    path = keep(tmp_path / "x.rtnb", wire)
    assert scrub(path, tmp_path / "y.rtnb", ScrubRule(matching="Ossifrage")).left == []
    for text in (b"my Ossi", b"frage. Yes", b"frage. No"):
        assert text in frames_of(path)
        assert text not in frames_of(tmp_path / "y.rtnb")


def test_a_pattern_that_the_letters_of_sound_make_finds_no_text(tmp_path):
    wire = full()
    wire.speak(tone(100, 777), "", "resp_9", "item_r")
    path = keep(tmp_path / "x.rtnb", wire)
    proof = scrub(path, tmp_path / "y.rtnb", ScrubRule(matching=re.escape(b64(tone(100, 777))[40:80])))
    assert (proof.audio_parts, proof.texts, proof.left) == (0, 0, [])


def test_the_manifest_is_the_servers_whoever_spoke_last(tmp_path):
    wire, sound = full(), b64(tone(100, 777))
    wire.server("session.updated", session={"type": "realtime", "greeting": f"data:audio/pcm;base64,{sound}"})
    wire.client("x.unknown")
    path = keep(tmp_path / "x.rtnb", wire)
    assert sound in str(rtnb.open(path).manifest)
    for who, left in (("user", True), ("assistant", False)):
        assert scrub(path, tmp_path / "y.rtnb", ScrubRule(voice=who)).left == []
        assert (sound in str(rtnb.open(tmp_path / "y.rtnb").manifest)) == left


def test_json_lines_become_a_recording_with_a_whole_manifest(file, tmp_path):
    before = rtnb.open(file)
    before.export(tmp_path / "x.jsonl")
    assert scrub(tmp_path / "x.jsonl", tmp_path / "y.rtnb", ScrubRule(voice="user", text="all")).left == []
    after = rtnb.open(tmp_path / "y.rtnb")
    assert after.manifest.keys() == before.manifest.keys()
    for name in ("format", "created", "model", "endpoint", "dialect", "clocks"):
        assert after.manifest[name] == before.manifest[name]
    assert after.manifest["scrubbed"] == ["voice of user", "text of all"]
    assert "Be short" not in str(after.manifest)
    assert len(after.turns) == len(before.turns)
    assert verify(tmp_path / "y.rtnb").faults == []


def test_sound_goes_wherever_the_protocol_knows_no_member(tmp_path):
    wire, sound = full(), b64(tone(100, 777))
    for role, type in (("assistant", "output_audio"), ("user", "input_audio")):
        content = [{"type": type, "audio": {"id": "a_1", "data": f" {sound}\n"}}]
        item = {"id": "item_r", "type": "message", "role": role, "content": content}
        wire.server("conversation.item.retrieved", item=item)
    wire.server("response.done", response={"id": "resp_9", "output": [item], "metadata": {"sound": sound}})
    wire.server("conversation.item.done", item={**item, "content": [{"type": "input_text", "text": sound}]})
    path = keep(tmp_path / "x.rtnb", wire)
    for who, left in (("user", 3), ("assistant", 3), ("all", 1)):  # what the protocol has for text is text
        assert scrub(path, tmp_path / "y.rtnb", ScrubRule(voice=who)).left == []
        assert frames_of(tmp_path / "y.rtnb").count(sound.encode()) == left


def test_words_that_became_x_do_not_pass_for_sound(tmp_path):
    wire = full()
    wire.server("x.unknown", note="é" * 70)
    path = keep(tmp_path / "x.rtnb", wire)
    assert scrub(path, tmp_path / "y.rtnb", ScrubRule(matching="é", voice="all")).left == []


def test_of_an_event_that_is_not_known_only_ids_and_its_type_stay(tmp_path):
    wire = full()
    names = ("status", "language", "object", "model", "role", "voice", "tool_choice")
    said = {name: f"MARK{name}" for name in names}
    numbers = {"phone": 4915112345678, "born": 1971.5, "much": 1e300, "yes": True, "none": None}
    wire.server(
        "x.unknown", item_id="item_z", **said, **numbers, error={"code": "so_it_is"}, item={"id": "i"}
    )
    wire.server("x.other", **{"": {"type": "MARK"}, "role": "user"})
    schema = {"enum": [4915112345678], "minItems": 4}
    session = {"tools": [{"type": "function", "name": "a", "parameters": schema}], "speed": 1.5}
    wire.server("session.updated", session=session)
    path = keep(tmp_path / "x.rtnb", wire)
    assert scrub(path, tmp_path / "y.rtnb", ScrubRule(text="all")).left == []
    unknown, other, known = (entry.data for entry in rtnb.open(tmp_path / "y.rtnb").log[-3:])
    kept = {"type": "x.unknown", "item_id": "item_z", "item": {"id": "i"}, "error": {"code": "xx_xx_xx"}}
    assert unknown.items() >= kept.items()
    gone = [value for name, value in unknown.items() if name not in kept]
    assert gone == [*map(masked, said.values()), 0, 0.0, 0.0, True, None]
    assert {*map(masked, unknown)} >= {name for name in unknown if name not in kept}
    assert other == {"type": "x.other", "": {"xxxx": "xxxx"}, "xxxx": "xxxx"}
    assert known["session"]["speed"] == 1.5
    assert known["session"]["tools"][0]["parameters"] == {"enum": [0], "minItems": 0}
    scrub(path, tmp_path / "y.rtnb", ScrubRule(text="user"))
    assert rtnb.open(tmp_path / "y.rtnb").log[-3].frame == rtnb.open(path).log[-3].frame


def test_many_texts_that_begin_alike_are_looked_for_together():
    """One by one, fifty times as many as are quick here would take minutes, and the test be ended."""
    taken = RemovedTexts(f"lighthouse {number}" for number in range(50_000))
    assert not taken.occur_in("lighthouse " * 20_000)
    assert taken.occur_in("lighthouse " * 20_000 + "4711")


def test_what_is_measured_in_a_voice_goes_with_it(file, tmp_path):
    before = rtnb.open(file)
    assert any("first_sound" in turn.marks for turn in before.turns)
    scrub(file, tmp_path / "y.rtnb", ScrubRule(voice="assistant"))
    assert not any("first_sound" in turn.marks for turn in rtnb.open(tmp_path / "y.rtnb").turns)


def sounds_of(path):
    return [e.frame for e in rtnb.open(path).log if e.type == "response.output_audio.delta"]


def test_sound_in_opus_that_stays_is_as_it_was(tmp_path):
    """It would change each time that it was encoded again."""
    wire = full()
    for name, words in (("s", "Ossifrage"), ("t", "Good day")):
        wire.begin(f"resp_{name}", f"item_{name}")
        wire.delta("output_text", words, f"resp_{name}", f"item_{name}")
        wire.speak(tone(800, 333), "", f"resp_{name}", f"item_{name}")
        wire.end(f"resp_{name}")
    item = {"id": "item_v", "type": "message", "role": "user"}
    wire.client("conversation.item.create", item={**item, "content": [{"audio": b64(tone(300))}]})
    path = keep(tmp_path / "x.rtnb", wire, lossy=True)
    out = tmp_path / "y.rtnb"
    for rule in (ScrubRule(text="user"), ScrubRule(voice="user"), ScrubRule(text="all")):
        assert scrub(path, out, rule).left == []
        assert sounds_of(out) == sounds_of(path)
        assert out.stat().st_size < path.stat().st_size + 1000
        assert rtnb.open(out).manifest["lossy"] is True
        assert verify(out).faults == []
    assert scrub(path, out, ScrubRule(matching="Ossifrage")).left == []
    changed = [a != b for a, b in zip(sounds_of(out), sounds_of(path), strict=True)]
    assert sum(changed) == sum(b"item_s" in frame for frame in sounds_of(path)) > 0
    assert verify(out).faults == []


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
    assert "removed: nothing | voice of user" in told
    assert any(
        re.fullmatch(r"turn \d, your audio: [\d.]+ s of audio \| [\d.]+ s of silence", line) for line in told
    )
    assert not any("the answer's audio" in line for line in told)
    assert repr(told) == "\n".join(told)
    assert repr(recording.diff(file)) == "Equal, except for ids, samples and times."


# Export.


def test_json_lines_hold_every_frame(tmp_path):
    wire = full()
    for frame in (b"no JSON", b"\xff\xfe", b'{"type": "spaced",  "x": 1}'):
        wire.state.append(frame, "server", mono_ns=10**12, wall_ns=10**12)
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
    assert str(recording.verify()).startswith("intact: ")
    proof = recording.scrub(tmp_path / "y.rtnb", voice="all", text="all")
    assert not proof.left
    assert str(proof).endswith(": nothing of it is left")
    assert any(line.startswith("turn 1, you") for line in recording.diff(rtnb.open(tmp_path / "y.rtnb")))
    assert recording.diff(file) == []
    with pytest.raises(rtnb.ArgumentError, match=r"expected a path \(str or pathlib.Path\), got int"):
        rtnb.open(5)
    assert recording.export(tmp_path / "x.txt") == [tmp_path / "x.txt"]


def test_a_transcript_says_who_said_what(file, tmp_path):
    [out] = export(rtnb.open(file), tmp_path / "x.txt")
    told = out.read_text("utf-8").splitlines()
    assert told == list(transcript(rtnb.open(file)))
    assert told[0].endswith("You: Hello")
    assert told[1].endswith("Assistant: Good day.")
    assert any("You: How is the weather?" in line for line in told)
    assert any('Call: weather({"city":"Rome"}) returned sunny' in line for line in told)
    assert any(line.endswith("(cancelled)") for line in told)


def test_sound_in_time_and_by_item(file, tmp_path):
    recording = rtnb.open(file)
    [out] = export(recording, tmp_path / "x.wav")
    samples, rate = soundfile.read(out)
    assert (rate, samples.shape[1]) == (24_000, 2)
    assert samples.shape == mix(recording.state).shape
    first = recording.log.filter("input_audio_buffer.append")[0].t
    assert not samples[: round(first * 24_000), 0].any()
    assert samples[round(first * 24_000) : round((first + 0.2) * 24_000), 0].any()
    assert len(samples) >= 24_000 * (first + 0.2)
    files = export(recording, tmp_path / "items")
    assert files[0].name.endswith("-user-item_u2.wav")
    assert rtnb.Clip.read(files[0]).seconds == pytest.approx(0.2)
    assert any("assistant" in path.name for path in files)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_recordings_have_no_talk_over(path, tmp_path):
    recording = rtnb.open(path)
    [out] = export(recording, tmp_path / "x.wav")
    samples, rate = soundfile.read(out)
    assert talk_over(samples, rate) == 0
    answers = sum(turn.audio.seconds for turn in recording.turns if turn.audio and turn.played is None)
    assert len(samples) / rate > 0.5 * answers


def test_a_transcript_has_the_times_of_the_stereo_export(tmp_path):
    wire = Wire()
    wire.session()
    for n in (1, 2):
        wire.text(f"u{n}", f"Question {n}")
        wire.ask()
        wire.begin(f"r{n}", f"a{n}")
        wire.speak(tone(5000), "Words.", f"r{n}", f"a{n}")
        wire.end(f"r{n}")
    lines = list(transcript(rtnb.open(keep(tmp_path / "x.rtnb", wire))))
    assert lines[2].startswith("[00:05.")
    assert lines[2].endswith("You: Question 2")


def test_other_forms_are_refused(file, tmp_path):
    with pytest.raises(RecordingError, match=r"has an unknown suffix: expected .jsonl, .txt, .wav"):
        export(rtnb.open(file), tmp_path / "x.mp3")
    with pytest.raises(RecordingError, match="cannot be written"):
        export(rtnb.open(file), tmp_path / "no" / "x.txt")
    with pytest.raises(RecordingError, match="cannot be written"):
        export(rtnb.open(file), tmp_path / "no" / "x.wav")
