"""A notebook's kernel is killed in the midst of a session: what had arrived is there again."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

import rtnb
from rtnb.cli import main
from rtnb.server import launcher

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

CONNECT = """
import hashlib, rtnb
s = rtnb.connect(engine="fake", autosave=True)
turn = s.send("Tell me something.").wait()
arrived = len(s.log)
"""

# Talks on in the background, as a notebook does; says what is safe, and a hash of it, and never ends.
TALK = """
import threading
talk = lambda: [s.send("And more, please.").wait() for _ in range(100_000)]
threading.Thread(target=talk, daemon=True).start()
digest, told = hashlib.sha256(), 0
while True:
    safe = s._autosave.written
    if safe <= max(told, arrived - 1):
        continue
    for entry in s.log[told:safe]:
        digest.update(entry.frame)
    told = safe
    print(told, digest.hexdigest(), flush=True)
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    folder = tmp_path / "share" / "kernels" / "suite"
    folder.mkdir(parents=True)
    words = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    told = {"argv": words, "display_name": "suite", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(told))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("RTNB_HOME", str(tmp_path / "home"))
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.chdir(tmp_path)
    manager = KernelManager(kernel_name="suite")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()
    launcher.stop("fake")


@pytest.mark.skipif(sys.platform == "win32", reason="the signal is POSIX's")
@pytest.mark.parametrize("lines", [1, 5, 17])
def test_every_frame_that_had_arrived_comes_back(kernel, tmp_path, capsys, lines):
    manager, client = kernel
    client.execute(CONNECT, reply=True, timeout=60)
    client.execute(TALK)
    said = ""
    while said.count("\n") < lines:
        message = client.get_iopub_msg(timeout=60)
        assert message["msg_type"] != "error", message["content"]
        if message["content"].get("name") == "stdout":
            said += message["content"]["text"]
    manager.provisioner.process.kill()
    manager.provisioner.process.wait()
    safe, digest = said.split("\n")[said.count("\n") - 1].split()
    assert main(["recover", "--list"]) == 0
    assert "1 in " in capsys.readouterr().out
    assert main(["recover", "saved.rtnb"]) == 0
    recording = rtnb.open(tmp_path / "saved.rtnb")
    frames = [entry.frame for entry in recording.log]
    assert capsys.readouterr().out == f"saved.rtnb: {len(frames):,} events\n"
    assert len(frames) >= int(safe) > 0
    assert hashlib.sha256(b"".join(frames[: int(safe)])).hexdigest() == digest
    assert recording.turns[0].text == "You said: Tell me something."
    assert recording.turns[0].audio is not None
    assert "ended with its process" in recording.manifest["end"]["why"]
    assert recording.engine == "fake"
    assert main(["recover"]) == 1
