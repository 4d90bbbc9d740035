"""What all tests share: an environment of their own, and a server that ends with them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow for a moment: no test depends on the wall clock.
# In CI the examples are the same in each run, so that what fails there was changed there.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("suite")

# A shell ignores Ctrl-C in what it runs in the background, and so would this process and its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "RTNB_LLM_API_KEY")
_SETTINGS = (
    "RTNB_ENGINE",
    "RTNB_LLM",
    "RTNB_ASR",
    "RTNB_TTS",
    "RTNB_VAD",
    "RTNB_SERVE_KEY",
    "RTNB_TRACEBACK",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the user's keys and settings from every test, and leave no autosave files behind."""
    monkeypatch.setenv("RTNB_AUTOSAVE", "0")
    for name in (*_KEYS, *_SETTINGS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A home of its own for the shared server processes, which end with the tests."""
    from rtnb.server import launcher

    before = os.environ.get("RTNB_HOME")
    home = str(tmp_path_factory.mktemp("rtnb-home"))
    os.environ["RTNB_HOME"] = home
    yield home
    for running in launcher.status():
        launcher.stop(running.spec)
    if before is None:
        del os.environ["RTNB_HOME"]
    else:
        os.environ["RTNB_HOME"] = before


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A kernel of this Python, with a home of its own and no keys."""
    from rtnb.server import launcher

    monkeypatch.setenv("RTNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RTNB_IDLE", "60")
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    # The kernel finds the rtnb that is tested, and this Python whatever kernels are installed.
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    kernel = tmp_path / "share" / "kernels" / "suite"
    kernel.mkdir(parents=True)
    python = sys.executable.replace("\\", "\\\\")
    (kernel / "kernel.json").write_text(
        f'{{"argv": ["{python}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"],'
        ' "display_name": "suite", "language": "python"}',
        "utf-8",
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    yield
    launcher.stop_all(force=True)
