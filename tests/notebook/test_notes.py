"""rtnb's warnings are notes in the cell; outside of a kernel they stay warnings."""

import atexit
import logging
import warnings

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from support.notebook import html, plain, played, words

from rtnb.errors import BudgetWarning
from rtnb.notebook import notes


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Notes as in a kernel; afterwards warnings and logging are as before."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    others = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *rest: others.append(str(message)))
    logger = logging.getLogger("rtnb")
    before = logger.handlers[:]
    shell = InteractiveShell.instance()
    notes.install()
    notes.install()
    assert len(logger.handlers) == len(before) + 1
    yield others
    logger.handlers[:] = before
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()


def warned(category, text):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn_explicit(text, category, "rtnb", 0)


def test_a_budget_warning_is_a_note(installed, capsys):
    with capture_output() as shown:
        warned(BudgetWarning, "nearly used up: <b>9</b> of 10 tokens")
    [note] = shown.outputs
    assert note.data["text/plain"] == "Note: Nearly used up: <b>9</b> of 10 tokens."
    assert 'role="note"' in note.data["text/html"]
    assert "&lt;b&gt;9&lt;/b&gt;" in note.data["text/html"]
    assert shown.stderr == ""


def test_other_warnings_are_as_before(installed):
    with capture_output() as shown:
        warned(UserWarning, "something else")
    assert shown.outputs == []
    assert installed == ["something else"]


def test_what_rtnb_logs_is_a_note_with_its_traceback_folded(installed):
    with capture_output() as shown:
        logging.getLogger("rtnb").info("nothing to see")
        logging.getLogger("rtnb").warning("the tool %s failed: %s", "clock", "no time")
        try:
            raise ValueError("of a listener")
        except ValueError:
            logging.getLogger("rtnb").exception("a listener failed")
    first, second = (one.data["text/html"] for one in shown.outputs)
    assert "The tool clock failed: no time." in first
    assert "<details>" not in first
    assert "<details><summary>Details</summary>" in second
    assert "ValueError: of a listener" in second
    assert shown.stderr == ""


@pytest.mark.slow
def test_in_a_kernel(kernel, monkeypatch, tmp_path):
    import nbformat

    monkeypatch.setenv("RTNB_ENGINE", "fake")
    cells = {
        "note": 'import rtnb\ns = rtnb.connect(budget="60 tokens")\nt = s.send("Hello there").wait()',
        "error": "try:\n    s.send(42)\nexcept rtnb.RtnbError:\n    get_ipython().showtraceback()",
    }
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source, id=name) for name, source in cells.items()]
    )
    done = played(notebook, tmp_path)
    assert "Note: The budget is" in words(html(done["note"])).replace("\n", " ")
    assert not [one for one in done["note"].outputs if one.output_type == "stream"], plain(done["note"])
    [error] = [one for one in done["error"].outputs if one.output_type == "error"]
    assert "site-packages" not in "".join(error.traceback)
    assert "rtnb/" not in "".join(error.traceback)
    assert "s.send" in "".join(error.traceback)
