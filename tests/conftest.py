"""What all tests share: an environment of their own, and a server that ends with them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

_KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "RTNB_LLM_API_KEY")
_SETTINGS = ("RTNB_ENGINE", "RTNB_LLM", "RTNB_ASR", "RTNB_TTS", "RTNB_VAD", "RTNB_SERVE_KEY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the user's keys and settings from every test, and leave no spools behind."""
    monkeypatch.setenv("RTNB_SPOOL", "0")
    for name in (*_KEYS, *_SETTINGS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A home of its own for the shared server processes, which end with the tests."""
    from rtnb.server import process

    before = os.environ.get("RTNB_HOME")
    home = str(tmp_path_factory.mktemp("rtnb-home"))
    os.environ["RTNB_HOME"] = home
    yield home
    for running in process.status():
        process.stop(running.spec)
    if before is None:
        del os.environ["RTNB_HOME"]
    else:
        os.environ["RTNB_HOME"] = before
