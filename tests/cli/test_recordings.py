"""The commands for recordings: each does its work, and says in a sentence where it cannot."""

import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from frames import full

import rtnb
from rtnb.api.session import Session
from rtnb.cli import main, record
from rtnb.errors import RecordingError, TurnTimeout
from rtnb.recordings import save, scrub
from rtnb.recordings.autosave import Autosave, autosaves
from rtnb.recordings.manifest import manifest
from rtnb.recordings.scrub import ScrubReport
from rtnb.recordings.writer import pieces
from rtnb.server import launcher
from rtnb.session.event_loop import Notifier


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RTNB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    whole = full().state
    save(pieces(whole.log), manifest(whole, endpoint="a test"), "x.rtnb")
    return tmp_path


def said(capsys):
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    return out.out + out.err


def test_record_then_replay_and_all_the_rest(folder, capsys):
    rtnb.Clip.tone(300, 1.0).write(folder / "tone.wav")
    (folder / "script.txt").write_text("and again\n\nthanks\n")
    try:
        command = ["record", "s.rtnb", "hello there", "@tone.wav", "--script", "script.txt"]
        assert main([*command, "--engine", "fake"]) == 0
    finally:
        launcher.stop("fake")
    out = said(capsys)
    assert "Assistant: You said: hello there" in out
    assert "You: (speech, 1.0 seconds)" in out
    assert "Recorded: s.rtnb" in out
    assert main(["replay", "s.rtnb", "--speed", "max"]) == 0
    out = said(capsys)
    assert "You: hello there\nAssistant: You said: hello there\n" in out
    assert "You: (speech, 1.0 seconds)" in out
    assert "Assistant: You said: thanks" in out
    assert main(["info", "s.rtnb"]) == 0
    assert "the embedded engine (fake)" in said(capsys)
    assert main(["info", "s.rtnb", "--json"]) == 0
    out = json.loads(said(capsys))
    assert (out["turns"], out["billed"], out["problem"]) == (4, False, None)
    assert out["cost_usd"] > 0
    assert out["prices"].startswith("gpt-4o-realtime-preview as of 20")
    assert out["context"].endswith("%)")
    assert "cached" in out["tokens_by_kind"]
    assert out["inconsistent_usage"] == []
    assert main(["verify", "s.rtnb"]) == 0
    assert "s.rtnb: intact: " in said(capsys)
    assert main(["diff", "s.rtnb", "s.rtnb"]) == 0
    assert "Equal" in said(capsys)
    assert main(["diff", "s.rtnb", "x.rtnb"]) == 1
    assert "turn 1, assistant: 'You said: hello there' | 'Good day.'" in said(capsys)
    assert main(["export", "s.rtnb", "s.txt"]) == 0
    assert said(capsys) == "s.txt\n"
    assert main(["scrub", "s.rtnb", "t.rtnb", "--voice", "all", "--text", "all"]) == 0
    out = said(capsys)
    assert out.startswith("t.rtnb was verified: ")
    assert "nothing of it is left." in out
    assert main(["scrub", "s.rtnb", "u.rtnb", "--text", "user"]) == 1
    assert "NOT all of it is gone" in said(capsys)
    (folder / "cut.rtnb").write_bytes((folder / "s.rtnb").read_bytes()[:-20])
    assert main(["scrub", "cut.rtnb", "v.rtnb", "--voice", "all"]) == 0
    assert "\n  Note: 'cut.rtnb' was cut: " in said(capsys)


@pytest.fixture
def fake(folder, monkeypatch):
    monkeypatch.setenv("RTNB_ENGINE", "fake")
    monkeypatch.setenv("RTNB_AUTOSAVE", "1")
    yield folder
    launcher.stop("fake")


def test_record_reads_every_file_before_it_connects(folder, capsys):
    (folder / "text.wav").write_text("no sound")
    for given in ("@none.wav", "@text.wav", " "):
        assert main(["record", "s.rtnb", "hello", given, "--to", "ws://127.0.0.1:9"]) == 1
        assert "127.0.0.1" not in said(capsys)
    assert not (folder / "s.rtnb").exists()


@pytest.mark.parametrize(("end", "status"), [(TurnTimeout("too long"), 1), (KeyboardInterrupt(), 130)])
def test_record_keeps_a_conversation_that_ends_early(fake, capsys, monkeypatch, end, status):
    def turn(session, thing):
        if thing == "and":
            raise end
        return send(session, thing)

    send = record._turn
    monkeypatch.setattr(record, "_turn", turn)
    assert main(["record", "s.rtnb", "hello", "and", "never"]) == status
    assert "Recorded: s.rtnb" in said(capsys)
    assert [turn.text_so_far for turn in rtnb.open("s.rtnb").turns] == ["You said: hello"]
    assert autosaves() == []


def test_record_leaves_the_autosave_if_it_cannot_save(fake, capsys, monkeypatch):
    def full_disk(*_, **__):
        raise RecordingError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "save", full_disk)
        assert main(["record", "s.rtnb", "hello"]) == 1
    assert "no space left. To save it from the autosave:  rtnb recover OTHER.rtnb" in said(capsys)
    assert main(["recover", "other.rtnb"]) == 0
    assert [turn.text_so_far for turn in rtnb.open("other.rtnb").turns] == ["You said: hello"]


def test_recover(folder, capsys):
    assert main(["recover"]) == 1
    assert "rtnb: nothing to recover in" in said(capsys)
    for _ in range(2):
        Autosave(full().state, Notifier().wait).close(discard=False)
    assert main(["recover", "--list"]) == 0
    assert "2 in " in said(capsys)
    assert main(["recover", "one.rtnb"]) == 0
    assert said(capsys) == "one.rtnb: 66 events\n"
    assert main(["recover"]) == 0
    assert "recovered-" in said(capsys)
    assert main(["recover"]) == 1
    running = Autosave(full().state, Notifier().wait)
    while not running.written:
        pass
    assert main(["recover"]) == 1
    assert "1 of running sessions" in said(capsys)
    running.close()
    assert len(rtnb.open("one.rtnb").log) == 66
    data = bytearray((folder / "x.rtnb").read_bytes())
    data[len(data) // 3] ^= 1
    (folder / "x.rtnb").write_bytes(data)
    assert main(["verify", "x.rtnb"]) == 1
    assert "x.rtnb: damaged: " in said(capsys)
    assert main(["recover", "x.rtnb", "y.rtnb"]) == 0
    assert "Left out: it has audio/input.flac, which" in said(capsys)
    assert main(["verify", "y.rtnb"]) == 0
    assert main(["recover", "a", "b", "c"]) == 1


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["info", "none.rtnb"], "No such file"),
        (["info", "text.txt"], "is not an rtnb recording: it starts with b'hell'"),
        (["verify", "text.txt"], "is not an rtnb recording"),
        (["verify", "x.jsonl"], "'x.jsonl' is JSON Lines, which has no hash"),
        (["recover", "x.jsonl", "y.rtnb"], "These commands work on it: rtnb info, replay, diff"),
        (
            ["replay", "x.rtnb", "--speed", "fast"],
            "--speed must be a number greater than 0, or max",
        ),
        (["replay", "x.rtnb", "--speed", "0"], "speed: expected a number above 0"),
        (["scrub", "x.rtnb", "y.rtnb"], "say what to remove"),
        (["export", "x.rtnb", "y.mp3"], "has an unknown suffix"),
        (["export", "x.rtnb", ""], "name what to export to"),
        (["diff", "x.rtnb", "none.rtnb"], "No such file"),
        (["recover", "none.rtnb", "y.rtnb"], "No such file"),
        (["record", "new.rtnb", "--script", "none.txt"], "the script 'none.txt' cannot be read"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(folder, capsys, command, sentence):
    (folder / "text.txt").write_text("hello")
    rtnb.open("x.rtnb").export("x.jsonl")
    assert main(command) == 1
    err = capsys.readouterr().err
    assert err.startswith("rtnb: ")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["record", "there.rtnb", "hello"],
        ["scrub", "x.rtnb", "there.rtnb", "--voice", "all"],
        ["export", "x.rtnb", "there.jsonl"],
        ["report", "x.rtnb", "there.html"],
        ["recover", "there.rtnb"],
        ["recover", "x.rtnb", "there.rtnb"],
    ],
    ids=" ".join,
)
def test_no_file_is_overwritten_without_force(folder, capsys, monkeypatch, command):
    monkeypatch.setenv("RTNB_ENGINE", "fake")
    Autosave(full().state, Notifier().wait).close(discard=False)
    there = next(folder / name for name in command[1:] if name.startswith("there."))
    there.write_bytes(b"mine")
    assert main(command) == 1
    refusal = f"rtnb: '{there.name}' already exists. Choose another name or use --force"
    assert refusal in said(capsys)
    assert there.read_bytes() == b"mine"
    assert main(["recover", "--list"]) == 0
    assert said(capsys).count("kB") == 1
    try:
        assert main([*command, "--force"]) == 0
    finally:
        launcher.stop("fake")
    assert there.read_bytes() != b"mine"
    os.chdir("/")
    missing = ["/no/such/" + name if name == there.name else name for name in command]
    assert main([str(folder / name) if name == "x.rtnb" else name for name in missing]) == 1
    assert "cannot be written: there is no folder '/no/such'" in said(capsys)


def test_the_error_says_how_to_repair_a_file(folder, capsys):
    Autosave(full().state, Notifier().wait).close(discard=False)
    assert main(["recover", "x.rtnb"]) == 1
    assert "To repair that file:  rtnb recover x.rtnb REPAIRED.rtnb\n" in said(capsys)


def test_an_unusable_autosave_does_not_block_the_others(folder, capsys):
    for _ in range(2):
        Autosave(full().state, Notifier().wait).close(discard=False)
    place = folder / "home" / "autosave"
    whole = min(place.glob("*.rtnb"))
    for number, name in enumerate(("bad.rtnb", "bare.rtnb")):
        shutil.copytree(whole, place / name)
        os.utime(place / name, (whole.stat().st_mtime + 10 + number,) * 2)
    (place / "bad.rtnb" / "manifest.json").write_bytes(b"not JSON at all")
    (place / "bad.rtnb" / "events.jsonl").write_bytes(b"not an event\n")
    with open(place / "bare.rtnb" / "events.jsonl", "r+b") as file:
        file.truncate(100)
    assert main(["recover", "one.rtnb"]) == 0
    out = said(capsys)
    assert out.startswith("one.rtnb: 66 events\n")
    assert "bare.rtnb stays: 'bare.rtnb' has no intact event" in out
    assert main(["recover"]) == 1
    out = said(capsys)
    assert "bad.rtnb stays: 'bad.rtnb' has no intact event" in out
    assert len(list(folder.glob("recovered-*.rtnb"))) == 1
    assert sorted(path.name for path in place.iterdir()) == ["bad.rtnb", "bare.rtnb"]
    assert main(["recover", "two.rtnb"]) == 1


def test_a_folder_with_files_is_overwritten_only_by_force(folder, capsys):
    (folder / "sounds").mkdir()
    assert main(["export", "x.rtnb", "sounds"]) == 0
    [first, *_] = sorted((folder / "sounds").iterdir())
    first.write_bytes(b"mine")
    assert main(["export", "x.rtnb", "sounds"]) == 1
    assert "'sounds' is not empty. Choose another folder or use --force" in capsys.readouterr().err
    assert first.read_bytes() == b"mine"
    assert main(["export", "x.rtnb", "sounds", "--force"]) == 0
    assert first.read_bytes() != b"mine"


def test_a_cut_recording_is_exported_with_a_message(folder, capsys):
    os.truncate("x.rtnb", os.stat("x.rtnb").st_size - 30)
    assert main(["export", "x.rtnb", "x.txt"]) == 0
    out = capsys.readouterr()
    assert out.out == "x.txt\n"
    assert out.err.startswith("rtnb: 'x.rtnb' was cut: ")


UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys (C0, DEL, C1), and what changes the direction of text."""
SIGNS = {
    "escape": "\x1b[31mred",
    "title": "\x1b]0;title\x07",
    "carriage return": "\rover",
    "bell": "\x07",
    "backspace": "\x08",
    "delete": "\x7f",
    "C1": "\x9b2J",
    "override": "\u202eevil",
    "isolate": "\u2066evil\u2069",
}


@pytest.fixture(params=SIGNS)
def sign(request):
    return f"hi {SIGNS[request.param]} there"


def printed(capsys, *command):
    main(list(command))
    out = capsys.readouterr()
    text = out.out + out.err
    assert text
    assert not UNSAFE.search(text), command
    return text


@pytest.fixture
def hostile(folder, sign):
    """A recording that has the sign wherever a server or a client can put it."""
    wire = full()
    wire.text(f"u_{sign}", sign)
    wire.ask()
    wire.begin("resp_9", f"a_{sign}")
    wire.delta("output_text", sign, "resp_9", f"a_{sign}")
    answer = {"id": f"a_{sign}", "type": "message", "role": "assistant"}
    wire.end("resp_9", answer | {"content": [{"type": "output_text", "text": sign}]})
    wire.server("response.function_call_arguments.done", name=sign, arguments=sign, item_id=sign)
    wire.server("conversation.item.input_audio_transcription.completed", item_id=sign, transcript=sign)
    wire.server("error", error={"type": "x", "message": sign})
    for _ in range(30):
        wire.server(sign)
    save(pieces(wire.state.log), manifest(wire.state, endpoint=sign, engine=sign), "hostile.rtnb")
    return wire


def test_no_control_code_of_a_recording_is_printed(hostile, sign, capsys):
    shown = UNSAFE.sub("\ufffd", sign)
    assert printed(capsys, "replay", "hostile.rtnb", "--speed", "max").count(shown) >= 5
    assert f"{shown} (30)" in printed(capsys, "info", "hostile.rtnb")
    assert repr(sign) in printed(capsys, "diff", "x.rtnb", "hostile.rtnb")
    printed(capsys, "scrub", "hostile.rtnb", "left.rtnb", "--text", "user", "--matching", "there")
    printed(capsys, "verify", "hostile.rtnb")
    printed(capsys, "export", "hostile.rtnb", "hostile")


def test_json_keeps_every_character_and_prints_none_of_them(hostile, sign, capsys):
    report = json.loads(printed(capsys, "info", "hostile.rtnb", "--json"))
    assert report["endpoint"] == sign
    assert report["most_frequent"][sign] == 30


def test_no_control_code_is_written_to_a_transcript(hostile, sign, folder):
    assert main(["export", "hostile.rtnb", "hostile.txt"]) == 0
    text = (folder / "hostile.txt").read_text("utf-8")
    assert UNSAFE.sub("\ufffd", sign) in text
    assert not UNSAFE.search(text)


def test_no_control_code_of_a_file_name_is_printed(folder, sign, capsys):
    name = f"{sign}.rtnb"
    for command in ("info", "verify", "replay"):
        assert "No such file" in printed(capsys, command, name)
    shutil.copy("x.rtnb", name)
    printed(capsys, "info", name)
    printed(capsys, "verify", name)
    printed(capsys, "scrub", "x.rtnb", name, "--voice", "all")
    printed(capsys, "scrub", name, f"{sign}.2.rtnb", "--voice", "all")
    printed(capsys, "export", name, f"{sign}.txt")
    printed(capsys, "report", name, f"{sign}.html")
    printed(capsys, "recover", name, f"{sign}.3.rtnb")
    Path(name).write_bytes(sign.encode())
    printed(capsys, "info", name)
    printed(capsys, "record", "new.rtnb", f"@{sign}")
    printed(capsys, "record", "new.rtnb", "--script", sign)


def test_no_control_code_of_a_scrub_report_is_printed(folder, sign, capsys, monkeypatch):
    report = ScrubReport(problem=sign, left=[f"the parts of {sign} still make a text"] * 21)
    monkeypatch.setattr(scrub, "scrub", lambda *_: report)
    text = printed(capsys, "scrub", "x.rtnb", "y.rtnb", "--voice", "all")
    assert text.count(UNSAFE.sub("\ufffd", sign)) == 21


def test_no_control_code_of_an_argument_is_printed(sign, capsys):
    for arguments in ([sign], ["info", "x", sign], ["demo", "--pace", sign], ["serve", "--engine", sign]):
        with suppress(SystemExit):
            assert main(arguments) == 1
        assert not UNSAFE.search(capsys.readouterr().err)


def test_no_control_code_of_an_engine_is_printed(folder, sign, capsys, monkeypatch):
    server = launcher.Status(sign, f"ws://{sign}", 1, 1, Path(sign))
    monkeypatch.setattr(launcher, "status", lambda: [server])
    monkeypatch.setattr(launcher, "stop_all", lambda force: [server])
    printed(capsys, "engine", "status")
    printed(capsys, "engine", "stop")
    assert json.loads(printed(capsys, "engine", "status", "--json"))["servers"][0]["spec"] == sign


def test_a_value_with_lines_stays_in_its_row(folder, capsys):
    wire = full()
    save(pieces(wire.state.log), manifest(wire.state, endpoint="a\nproblem  none"), "lines.rtnb")
    assert main(["info", "lines.rtnb"]) == 0
    assert "a problem  none\n" in capsys.readouterr().out


def test_an_item_whose_content_is_not_a_list_prints_nothing(folder, capsys):
    wire = full()
    wire.client("conversation.item.create", item={"type": "message", "role": "user", "content": True})
    save(pieces(wire.state.log), manifest(wire.state), "odd.rtnb")
    assert main(["replay", "odd.rtnb", "--speed", "max"]) == 0
    assert "You: " in said(capsys)


def test_a_folder_is_not_a_recording(folder, capsys):
    os.mkdir("d.rtnb")
    assert main(["info", "d.rtnb"]) == 1
    assert "'d.rtnb' is not a recording: the folder has no events.jsonl" in said(capsys)
