"""How the server of a spec is told from others: by environment, folder, and version of the code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtnb.errors import EngineError
from rtnb.server import state_files
from rtnb.server.state_files import ServerState


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RTNB_HOME", str(tmp_path))
    monkeypatch.setattr(state_files, "PACKAGE", tmp_path / "rtnb")
    (tmp_path / "rtnb" / "inner").mkdir(parents=True)
    (tmp_path / "rtnb" / "inner" / "module.py").write_text("")
    return tmp_path / "servers"


def test_each_name_of_one_environments_python_means_one_server(monkeypatch):
    first = state_files.paths("local")
    monkeypatch.setattr(sys, "executable", sys.executable + "3")
    assert state_files.paths("local") == first
    assert state_files.paths("fake").lock != first.lock
    monkeypatch.setattr(sys, "prefix", "/another/environment")
    assert state_files.paths("local").lock != first.lock


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_one_environment_under_two_paths_is_one(monkeypatch, tmp_path):
    first = state_files.paths("local")
    (tmp_path / "link").symlink_to(sys.prefix)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "link"))
    assert state_files.paths("local") == first


def test_newer_code_is_another_server_under_the_same_lock(monkeypatch, tmp_path):
    first = state_files.paths("local")
    os.utime(tmp_path / "rtnb" / "inner" / "module.py", ns=(0, 10**18 * 3))
    second = state_files.paths("local")
    assert second.lock == first.lock
    assert second.state != first.state
    (tmp_path / "rtnb" / "data.json").write_text("")
    assert state_files.paths("local") == second
    for state in (first.state, second.state):
        state.write_text("")
    assert state_files.paths("local").states() == sorted([first.state, second.state])
    monkeypatch.setattr(state_files, "__version__", "99")
    assert state_files.paths("local").state not in (first.state, second.state)


def test_installed_code_is_known_by_its_version_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(state_files.sysconfig, "get_path", lambda name: str(tmp_path))
    assert state_files.installed()
    first = state_files.paths("local")
    os.utime(tmp_path / "rtnb" / "inner" / "module.py", ns=(0, 10**18 * 3))
    assert state_files.paths("local") == first


def test_a_state_is_read_back_and_its_repr_omits_the_key(home):
    state = ServerState("fake", "ws://127.0.0.1:1/v1/realtime", 7, "x.log", "hush")
    file = state_files.paths("fake").state
    state_files.write(file, state)
    assert state_files.read(file) == state
    assert "hush" not in repr(state)
    assert state_files.health(state) is None
    with pytest.raises(ConnectionRefusedError):
        state_files.ask(state.url, state.pid, 1.0)


def test_a_lock_that_is_held_is_one_sentence(monkeypatch, home):
    lock = state_files.paths("fake").lock
    monkeypatch.setattr(state_files, "_LOCK_SECONDS", 0.05)
    code = "import sys, filelock\nwith filelock.FileLock(sys.argv[1]): print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with (
            pytest.raises(EngineError, match=r"another process .* delete .*\.lock"),
            state_files.locked(lock),
        ):
            pass
        other.communicate()
    with state_files.locked(lock):
        pass


def test_no_folder_means_no_servers(monkeypatch, tmp_path):
    from rtnb.server import launcher

    monkeypatch.setenv("RTNB_HOME", str(tmp_path / "nothing"))
    assert launcher.status() == launcher.stop_all() == []
    assert not Path(tmp_path / "nothing").exists()
