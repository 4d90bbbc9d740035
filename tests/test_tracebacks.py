"""What IPython shows of rtnb's errors: the user's frames and the sentence."""

import atexit
import re
import traceback

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import rtnb
from rtnb.errors import RtnbError


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """Run cells in a shell of their own; return what they print of the last one's error, without colours."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)

    def run(*cells):
        for cell in cells:
            capsys.readouterr()
            shell.run_cell(cell)
        return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)

    yield run
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()


MISSING = "import rtnb\ndef ask():\n    return rtnb.Clip.read('/nowhere.wav')\nask()"


def test_only_the_users_frames_and_the_sentence(shown):
    text = shown(MISSING)
    assert "----> 4 ask()" in text
    assert "----> 3     return rtnb.Clip.read('/nowhere.wav')" in text
    assert text.rstrip().endswith("AudioError: No such file: '/nowhere.wav'")
    assert "File " not in text
    assert text.count("Cell") == 2


def test_the_error_itself_is_unchanged(shown):
    with pytest.raises(RtnbError) as caught:
        rtnb.Clip.read("/nowhere.wav")
    error = caught.value
    before = traceback.format_exception(error)
    error._render_traceback_()
    assert traceback.format_exception(error) == before
    assert any("clip.py" in line for line in before)


@pytest.mark.parametrize("again", ["ask()", "%tb"])
def test_all_frames_on_request(shown, monkeypatch, again):
    monkeypatch.setenv("RTNB_TRACEBACK", "1")
    assert "clip.py" in shown(MISSING, again)
    monkeypatch.setenv("RTNB_TRACEBACK", "0")
    assert "clip.py" not in shown("%tb")


def test_a_cause_is_shown_if_it_has_frames_of_the_user(shown):
    text = shown(
        "from rtnb.errors import RtnbError\n"
        "def key():\n"
        "    try:\n"
        "        {}['a']\n"
        "    except KeyError as error:\n"
        "        raise RtnbError('no such key') from error\n"
        "key()"
    )
    assert "KeyError: 'a'" in text
    assert "direct cause" in text
    text = shown(
        "import json\n"
        "def own():\n"
        "    raise RtnbError('not JSON') from made\n"
        "try:\n"
        "    json.loads('{')\n"
        "except ValueError as error:\n"
        "    made = error.with_traceback(error.__traceback__.tb_next)\n"
        "own()"
    )
    assert "direct cause" not in text
    assert text.rstrip().endswith("RtnbError: not JSON")


def test_an_error_without_any_frame_is_its_sentence(shown):
    shown("1")
    assert "alone" in "".join(RtnbError("alone")._render_traceback_())


def test_without_ipython_it_is_the_usual_traceback():
    try:
        raise RtnbError("plain")
    except RtnbError as error:
        text = "".join(error._render_traceback_())
    assert text.startswith("Traceback (most recent call last)")
    assert "test_tracebacks.py" in text
