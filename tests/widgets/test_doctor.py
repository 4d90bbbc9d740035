"""The report of the environment check: printed, shown, and filled in by a page."""

import subprocess
import sys

import pytest

pytest.importorskip("anywidget")

from rtnb.widgets import doctor as module
from rtnb.widgets.doctor import Doctor
from rtnb.widgets.doctor_widget import DoctorWidget

FACTS = {"frontend": "JupyterLab", "secure": False, "host": "<script>x</script>", "round_trips_ms": [5.0]}


@pytest.fixture
def in_a_notebook(monkeypatch):
    monkeypatch.setattr(module, "front_end", lambda: "a notebook")
    monkeypatch.setattr(module, "live_pages", lambda: True)


def test_a_script_prints_the_checks_that_need_no_page():
    code = "from rtnb.widgets.doctor import doctor; doctor()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ipykernel" in done.stdout
    assert "There is no page" in done.stdout
    assert "Secure page" not in done.stdout
    assert done.stderr == ""


def test_without_a_page_there_is_no_widget():
    bundle = Doctor()._repr_mimebundle_()
    assert sorted(bundle) == ["text/html", "text/plain"]


@pytest.mark.usefixtures("in_a_notebook")
def test_in_a_notebook_the_page_fills_it_in():
    report = Doctor()
    bundle = report._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "has not answered yet" in bundle["text/html"]
    widget = report._widget
    assert isinstance(widget, DoctorWidget)
    assert [row["state"] for row in widget.rows].count("unknown") == 6
    widget._on_message(widget, {"type": "facts", "facts": FACTS}, [])
    rows = {row["name"]: row for row in widget.rows}
    assert "Front end" not in rows
    assert rows["Secure page"]["state"] == "problem"
    assert "Secure page" in [check.name for check in report.problems]
    assert report.page["off_main_thread"] is False
    assert "ssh -L" in widget.text
    assert "<script>" not in report._repr_mimebundle_()["text/html"]


@pytest.mark.usefixtures("in_a_notebook")
def test_pings_are_answered_with_their_bytes():
    widget = Doctor()._widget
    sent = []
    widget.send = lambda content, buffers=None: sent.append((content, buffers))
    widget._on_message(widget, {"type": "ping", "n": 3}, [b"x" * 4800])
    widget._on_message(widget, {"type": "?"}, [])
    assert sent == [({"type": "pong", "n": 3}, [b"x" * 4800])]
