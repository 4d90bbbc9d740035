"""A real ``rtnb serve`` process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(*arguments: str, engine: str = "fake", key: str | None = None) -> Iterator[str]:
    """Run ``rtnb serve`` on a free port and give its host and port, ``127.0.0.1:1234``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RTNB_")}
    if key is not None:
        environment["RTNB_SERVE_KEY"] = key
    command = [sys.executable, "-m", "rtnb", "serve", "--port", "0", "--engine", engine, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline().strip()
            assert line.startswith("ws://"), process.stderr.read()
            yield urlsplit(line).netloc
        finally:
            process.terminate()
            rest, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    assert rest == ""
    assert "Traceback" not in log, log
