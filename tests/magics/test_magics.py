import atexit
import json

import numpy as np
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import rtnb
from rtnb import Clip

pytestmark = pytest.mark.usefixtures("server_home")


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A shell of its own, in a folder of its own, with rtnb's magics; no user is at it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    monkeypatch.setenv("RTNB_ENGINE", "fake")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    shell.run_line_magic("load_ext", "rtnb")
    shell.starting_dir = str(tmp_path)
    yield shell
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()


def run(shell, text):
    """Run a cell as a notebook does and return its result, after what it raised is raised here."""
    result = shell.run_cell(text)
    result.raise_error()
    return result.result


def usage(shell, capsys, text):
    """Return the one line that a cell failed with."""
    result = shell.run_cell(text)
    assert not result.success
    captured = capsys.readouterr()
    lines = [line for line in (captured.out + captured.err).splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("UsageError: ")
    return lines[0].removeprefix("UsageError: ")


def complete(shell, line, rest="\nsome text"):
    with provisionalcompleter():
        found = list(shell.Completer.completions(line + rest, len(line)))
    return [one.text for one in found]


# %%audio


def test_a_clip_is_spoken_stored_and_used_again(shell, capsys, tmp_path):
    run(shell, "%%audio question --say\nHello there. How are you?")
    question = shell.user_ns["question"]
    assert question.seconds > 0.3
    assert question.rate == 24_000
    assert question.info["source"] == "voice"
    assert question.info["text"] == "Hello there. How are you?"
    path = tmp_path / "notebook-audio" / "question.ogg"
    assert path.read_bytes()[:4] == b"OggS"
    assert Clip.read(path, rate=24_000) == question
    before = path.stat().st_mtime_ns
    del shell.user_ns["question"]
    run(shell, "%%audio question\nHello there. How are you?")  # as the notebook is run without a microphone
    assert shell.user_ns["question"] == question
    run(shell, "%%audio question --say\nHello there. How are you?")
    assert path.stat().st_mtime_ns == before
    assert "question = Clip(" in capsys.readouterr().out


def test_another_text_is_spoken_again_and_a_recording_stays(shell):
    run(shell, "%%audio question --say\nHello there.")
    first = shell.user_ns["question"]
    run(shell, "%%audio question --say\nHello there, my dear old friend.")
    assert shell.user_ns["question"] != first
    run(shell, "%%audio question --say --voice cedar\nHello there, my dear old friend.")
    assert shell.user_ns["question"].info["voice"] == "cedar"
    run(shell, "%%audio question\nAnother prompt.")
    assert shell.user_ns["question"].info["text"] == "Hello there, my dear old friend."


def test_a_file_becomes_a_clip(shell, tmp_path):
    Clip.tone(440, 0.5, rate=16_000).write(tmp_path / "tone.wav")
    run(shell, "%%audio tone --from tone.wav --rate 16000\nListen.")
    tone = shell.user_ns["tone"]
    assert (tone.rate, round(tone.seconds, 1)) == (16_000, 0.5)
    assert tone.info["file"] == "tone.wav"
    (tmp_path / "tone.wav").unlink()
    run(shell, "%%audio tone --from tone.wav\nListen.")  # what is stored is enough
    assert shell.user_ns["tone"].rate == 24_000
    Clip.tone(880, 1.0).write(tmp_path / "other.wav")
    run(shell, "%%audio tone --from other.wav\nListen.")
    assert round(shell.user_ns["tone"].seconds, 1) == 1.0


def test_a_file_that_changed_is_read_again(shell, tmp_path):
    line = "%%audio tone --from tone.wav\nListen."
    Clip.tone(440, 0.5).write(tmp_path / "tone.wav")
    run(shell, line)
    path = tmp_path / "notebook-audio" / "tone.ogg"
    before = path.stat().st_mtime_ns
    run(shell, line)
    assert path.stat().st_mtime_ns == before
    Clip.tone(880, 1.0).write(tmp_path / "tone.wav")
    run(shell, line)
    assert round(shell.user_ns["tone"].seconds, 1) == 1.0


def test_a_file_without_audio_is_refused(shell, capsys, tmp_path):
    Clip.silence(0).write(tmp_path / "empty.wav")
    assert "'empty.wav' contains no audio" in usage(shell, capsys, "%%audio a --from empty.wav\nText.")
    assert not (tmp_path / "notebook-audio").exists()


def test_again_without_a_page_names_the_stored_clip(shell, capsys):
    run(shell, "%%audio question --say\nHello there.")
    capsys.readouterr()
    message = usage(shell, capsys, "%%audio question --again\nHello there.")
    assert "--again needs a page with a microphone" in message
    assert "Remove --again to use the clip that is stored as notebook-audio/question.ogg" in message


def test_a_voice_is_for_speaking_whether_a_clip_is_stored_or_not(shell, capsys):
    for _ in range(2):
        assert "--voice needs --say" in usage(shell, capsys, "%%audio a --voice marin\nText.")
        run(shell, "%%audio a --say --voice marin\nText.")
        capsys.readouterr()


def test_an_unknown_voice_is_refused(shell, capsys):
    message = usage(shell, capsys, "%%audio a --say --voice bob\nText.")
    assert "unknown voice 'bob'" in message
    assert "marin" in message


def test_a_line_is_enough(shell, tmp_path):
    Clip.tone(440, 0.5).write(tmp_path / "tone.wav")
    run(shell, "%audio tone --from tone.wav")
    assert shell.user_ns["tone"].seconds == pytest.approx(0.5, abs=0.03)


def test_without_a_page_and_without_a_stored_clip(shell, capsys):
    message = usage(shell, capsys, "%%audio question\nSay something.")
    assert "notebook-audio/question.ogg" in message
    assert "--from FILE or --say" in message
    assert "question" not in shell.user_ns
    message = usage(shell, capsys, "%%audio question --again\nSay something.")
    assert "no page" in message


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("%%audio", "NAME"),
        ("%%audio 1st", "not a valid variable name"),
        ("%%audio class", "not a valid variable name"),
        ("%%audio a b", "unrecognized arguments"),
        ("%%audio a --loud", "--loud"),
        ("%%audio a --max soon", "--max"),
        ("%%audio a --rate 11025", "--rate"),
        ("%%audio a --from nowhere.wav", "No such file"),
        ("%%audio a --from x.wav --say", "exclude each other"),
        ("%%audio a --voice marin", "--voice needs --say"),
        ("%%audio a 'open", "no closing quotation"),
    ],
)
def test_audio_errors_are_one_line(shell, capsys, line, word):
    message = usage(shell, capsys, f"{line}\nText.")
    assert word.lower() in message.lower()


def test_nothing_to_speak(shell, capsys):
    assert "no words to speak" in usage(shell, capsys, "%%audio a --say\n…")


def test_a_damaged_clip_is_one_line(shell, capsys, tmp_path):
    folder = tmp_path / "notebook-audio"
    folder.mkdir()
    for line in ("%%audio question --say", "%%audio question --from tone.wav"):
        (folder / "question.ogg").write_bytes(b"OggS nothing of the kind")
        message = usage(shell, capsys, "%%audio question\nText.")
        assert "question.ogg" in message
        assert "--again" in message
        Clip.tone(440, 0.5).write(tmp_path / "tone.wav")
        run(shell, f"{line}\nText.")
        assert shell.user_ns.pop("question").seconds > 0
        capsys.readouterr()


def test_a_folder_that_cannot_be_made(shell, capsys, tmp_path):
    (tmp_path / "taken").write_text("a file")
    message = usage(shell, capsys, "%%audio a --say --folder taken\nText.")
    assert "--folder" in message


# %%say


def test_say_opens_a_session_once(shell):
    turn = run(shell, "%%say\nHello there.")
    assert "Hello there" in turn.wait().text
    assert shell.user_ns["_turn"] is turn
    session = shell.user_ns["_session"]
    second = run(shell, "%%say --turn answer --modalities text\nAnd again.")
    assert shell.user_ns["answer"] is second
    assert second.wait().audio is None
    assert shell.user_ns["_session"] is session
    session.close()
    run(shell, "%%say\nOnce more.").wait()  # a session that was closed is opened again
    assert shell.user_ns["_session"] is not session
    shell.user_ns["_session"].close()


def test_say_uses_the_users_session(shell, capsys):
    with rtnb.connect(engine="fake") as one, rtnb.connect(engine="fake") as two:
        shell.user_ns["one"] = one
        run(shell, "%%say\nHello.").wait()
        assert len(one.turns) == 1
        assert "_session" not in shell.user_ns
        shell.user_ns["two"] = two
        capsys.readouterr()
        assert "one, two" in usage(shell, capsys, "%%say\nHello.")
        run(shell, "%%say --session two --instructions 'Be brief.' --voice cedar\nHello.").wait()
        assert len(two.turns) == 1
        sent = next(frame.data for frame in two.turns[0].events if frame.data["type"] == "response.create")
        assert sent["response"]["instructions"] == "Be brief."
        assert sent["response"]["audio"]["output"]["voice"] == "cedar"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("%%say\n   ", "no text"),
        ("%%say --session unknown\nHello.", "is not a session"),
        ("%%say --session s --model gpt-realtime\nHello.", "keeps its model"),
        ("%%say --modalities smell\nHello.", "--modalities"),
        ("%%say --turn 1\nHello.", "not a valid variable name"),
    ],
)
def test_say_errors_are_one_line(shell, capsys, text, word):
    assert word in usage(shell, capsys, text)


# Tab


def test_tab_completes_options(shell):
    assert {"--again", "--from", "--say", "--no-aec"} <= set(complete(shell, "%%audio question --"))
    assert complete(shell, "%%audio question --ag") == ["--again"]
    assert set(complete(shell, "%%audio question --no-")) == {"--no-aec", "--no-ns", "--no-agc"}
    assert "--modalities" in complete(shell, "%%say --mo")
    assert "--again" in complete(shell, "%audio question ", "")


def test_tab_completes_the_values_of_options(shell):
    assert set(complete(shell, "%%say --modalities ")) == {"audio", "text"}
    assert complete(shell, "%%say --voice mar") == ["marin"]
    assert "24000" in complete(shell, "%%audio question --rate ")
    assert "gpt-realtime" in complete(shell, "%%say --model gpt-realtime")
    with rtnb.connect(engine="fake") as session:
        shell.user_ns["mine"] = session
        assert complete(shell, "%%say --session ") == ["mine"]


def test_tab_elsewhere_is_left_alone(shell):
    shell.user_ns["some_name"] = 1
    assert complete(shell, "some_na", "") == ["some_name"]
    with provisionalcompleter():
        text = "%%say --turn answer\nsome_na"
        found = [one.text for one in shell.Completer.completions(text, len(text))]
    assert "--voice" not in found


def test_help_lists_the_options(shell):
    for name, option in (("audio", "--again"), ("say", "--modalities")):
        help_text = shell.find_cell_magic(name).__doc__
        assert option in help_text
        assert f"\n    %%{name}" in help_text


def test_loading_twice_changes_nothing(shell):
    before = len(shell.Completer.custom_matchers)
    shell.run_line_magic("reload_ext", "rtnb")
    assert len(shell.Completer.custom_matchers) == before


def test_metadata_say_how_a_clip_was_made(shell, tmp_path):
    Clip(np.zeros(2400), 24_000).write(tmp_path / "quiet.wav")
    run(shell, "%%audio quiet --from quiet.wav\nNothing.")
    metadata = json.loads((tmp_path / "notebook-audio" / "quiet.json").read_text("utf-8"))
    assert metadata["text"] == "Nothing."
    assert metadata["info"]["file"] == "quiet.wav"
