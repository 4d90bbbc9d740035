"""What the environment check finds, and what it advises."""

import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("anywidget")

from rtnb.engines import weights
from rtnb.notebook import environment

GOOD = {
    "frontend": "JupyterLab",
    "frontend_version": "4.6.6",
    "browser": "Chromium 156",
    "host": "localhost:8888",
    "secure": True,
    "media": True,
    "permission": "granted",
    "microphones": 1,
    "worklet": True,
    "autoplay": "running",
    "latency_ms": 21.3,
    "round_trips_ms": [9.0, 8.0, 30.0],
    "off_main_thread": True,
}


def found(name, rows):
    return next(check for check in rows if check.name == name)


def in_a_kernel(monkeypatch, **kernel):
    shell = (
        SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True, **kernel)) if kernel else SimpleNamespace()
    )
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    for name in ("VSCODE_PID", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    return shell


def versions(monkeypatch, **numbers):
    """Let these packages have these versions (None: not installed), and all others their own."""
    own = environment._version
    monkeypatch.setattr(environment, "_version", lambda name: numbers[name] if name in numbers else own(name))


def test_a_page_where_all_is_well():
    rows = environment.page_checks(GOOD)
    assert {check.state for check in rows} == {"ok"}
    assert not any(check.advice for check in rows)
    assert found("Page", rows).found == "JupyterLab 4.6.6 in Chromium 156"
    assert found("Binary messages", rows).found == "9 ms round trip (at most 30 ms)"


@pytest.mark.parametrize(
    ("facts", "name", "state", "word"),
    [
        ({"secure": False}, "Secure page", "problem", "ssh -L 8888:localhost:8888"),
        ({"media": False}, "Microphone", "problem", "upload a file"),
        ({"permission": "denied"}, "Microphone", "problem", "left of the address"),
        ({"microphones": 0}, "Microphone", "problem", "Plug one in"),
        ({"permission": "prompt"}, "Microphone", "note", "at the first recording"),
        ({"permission": None}, "Microphone", "note", "at the first recording"),
        ({"autoplay": "suspended"}, "Audio output", "note", "Shift+Enter"),
        ({"worklet": False}, "Audio output", "problem", "secure page"),
        ({"round_trips_ms": []}, "Binary messages", "problem", "proxies"),
        ({"round_trips_ms": [300, 250, 280]}, "Binary messages", "note", "slow"),
        ({"off_main_thread": False}, "While a cell runs", "note", "ipykernel 7.1"),
        ({"frontend": "Visual Studio Code"}, "Page", "note", "no microphone"),
        ({"frontend": "Google Colab"}, "Page", "note", "enable_custom_widget_manager"),
    ],
)
def test_a_problem_of_the_page_comes_with_advice(facts, name, state, word):
    check = found(name, environment.page_checks({**GOOD, **facts}))
    assert check.state == state
    assert word in check.advice


def test_a_page_that_reports_nothing_breaks_nothing():
    assert all(check.found for check in environment.page_checks({}))
    assert {check.state for check in environment.page_checks(None)} == {"unknown"}


def test_front_ends(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert environment.front_end() == "plain Python"
    in_a_kernel(monkeypatch)
    assert environment.front_end() == "IPython in a terminal"
    shell = in_a_kernel(monkeypatch, ident=b"")
    assert environment.front_end() == "a notebook"
    monkeypatch.setenv("VSCODE_PID", "7")
    assert environment.front_end() == "Visual Studio Code"
    monkeypatch.setenv("JPY_PARENT_PID", "8")  # Jupyter that was started in its terminal
    assert environment.front_end() == "a notebook"
    shell.kernel._allow_stdin = False
    assert environment.front_end() == "a notebook run unattended"
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    assert environment.front_end() == "Google Colab"


@pytest.mark.parametrize(
    ("number", "state", "routing"),
    [
        ("6.29.5", "problem", "problem"),
        ("7.0.1", "problem", "problem"),
        ("7.1.0", "ok", "ok"),
        ("7.10.0rc1", "ok", "ok"),
    ],
)
def test_the_floor_of_ipykernel(monkeypatch, number, state, routing):
    versions(monkeypatch, ipykernel=number)
    rows = environment.kernel_checks("a notebook")
    assert found("ipykernel", rows).state == state
    assert found("Comm routing", rows).state == routing


def test_a_kernel_whose_comms_cannot_be_pinned(monkeypatch):
    versions(monkeypatch, ipykernel="7.5.0")
    monkeypatch.setattr(environment, "_pinnable", lambda: False)
    check = found("Comm routing", environment.kernel_checks("a notebook"))
    assert (check.state, "7.5.0" in check.found) == ("problem", True)
    assert "pip install 'ipykernel<7.5'" in check.advice


def test_missing_packages(monkeypatch):
    versions(monkeypatch, anywidget=None, ipykernel=None, jupyterlab=None, notebook=None, ipywebrtc=None)
    rows = environment.kernel_checks("a notebook")
    assert found("anywidget", rows).state == found("ipykernel", rows).state == "problem"
    assert "pip install 'rtnb[lab]'" in found("anywidget", rows).advice
    assert found("Jupyter", rows).found == "not in this environment"
    assert found("ipywebrtc", rows).state == "ok"
    assert "Comm routing" not in [check.name for check in rows]


def test_the_engine(monkeypatch):
    monkeypatch.setattr(weights, "missing", lambda: ["kitten"])
    versions(monkeypatch, **{"hibari-tts": "1", "onnxruntime": "1", "xllamacpp": "1"})
    check = found("Local engine", environment.kernel_checks("plain Python"))
    assert (check.state, check.found) == ("note", "missing weights: kitten")
    assert "rtnb engine install" in check.advice
    versions(monkeypatch, onnxruntime=None)
    check = found("Local engine", environment.kernel_checks("plain Python"))
    assert "onnxruntime" in check.found
    assert "pip install 'rtnb[local]'" in check.advice


def test_nest_asyncio_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "nest_asyncio", SimpleNamespace())
    assert "nest-asyncio2" in found("nest_asyncio", environment.kernel_checks("plain Python")).advice
