"""Server processes: the command, and the one that notebooks share."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest
from support.process import ROOT, serving
from websockets.sync.client import connect

from rtnb.errors import EngineError, WeightsError
from rtnb.server import launcher, state_files


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("RTNB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RTNB_HOME", str(tmp_path))
    yield tmp_path / "servers"
    launcher.stop("fake")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rtnb", "serve", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_says_where_and_ends_on_a_signal():
    with serving() as address, connect(f"ws://{address}/v1/realtime", proxy=None) as socket:
        assert json.loads(socket.recv())["type"] == "session.created"


def test_the_command_exits_without_clients():
    ended = command("--port", "0", "--engine", "fake", "--idle", "0.2")
    assert ended.returncode == 0
    assert ended.stdout.startswith("ws://127.0.0.1:")
    assert ended.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "fake", "--port", "70000"], "--port must be from 0 to 65535, got 70000"),
        (["--engine", "fake", "--idle", "0"], "--idle must be a number of seconds greater than 0, got 0"),
        (["--engine", "fake", "--host", "0.0.0.0"], "listens only on this machine"),
        (["--engine", "nonsense"], "unknown engine 'nonsense'"),
    ],
)
def test_what_the_command_refuses_in_one_sentence(arguments, said):
    ended = command(*arguments)
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("rtnb: ")
    assert said in line


def test_a_port_in_use():
    with serving() as address:
        ended = command("--engine", "fake", "--port", address.rpartition(":")[2])
        assert ended.returncode == 1
        assert "it is in use" in ended.stderr


def test_one_process_is_shared_and_can_be_stopped(home):
    told: list[str] = []
    first = launcher.ensure("fake", progress=told.append)
    assert launcher.ensure(" fake ") == first
    assert first.key not in repr(first)
    assert first.engine == "fake"
    (running,) = launcher.status()
    assert (running.spec, running.url, running.sessions) == ("fake", first.url, 0)
    (state_file,) = home.glob("*.json")
    if os.name == "posix":
        assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert first.key not in "".join(file.read_text() for file in home.glob("*.log"))
    headers = {"Authorization": f"Bearer {first.key}"}
    with connect(first.url, additional_headers=headers, proxy=None) as socket:
        assert json.loads(socket.recv())["type"] == "session.created"
    with connect(first.url, proxy=None) as socket:
        assert json.loads(socket.recv())["type"] == "error"
    assert launcher.stop("fake")
    assert not launcher.stop("fake")
    assert launcher.status() == []


def test_a_process_that_died_is_started_again(home):
    first = launcher.ensure("fake")
    (running,) = launcher.status()
    os.kill(running.pid, 9)
    second = launcher.ensure("fake")
    assert second.key != first.key
    assert [found.url for found in launcher.status()] == [second.url]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_an_invalid_state_file_is_replaced(home, text):
    launcher.ensure("fake")
    launcher.stop("fake")
    state_files.paths("fake").state.write_text(text)
    assert launcher.status() == []
    assert launcher.ensure("fake").url


def test_another_program_at_the_port_is_not_taken_for_ours(home):
    launcher.ensure("fake")
    (state_file,) = home.glob("*.json")
    state = json.loads(state_file.read_text())
    state_file.write_text(json.dumps({**state, "pid": os.getpid()}))
    other = launcher.ensure("fake")
    assert other.url != state["url"]
    os.kill(state["pid"], 15)


def test_an_engine_that_cannot_start_says_why(home):
    with pytest.raises(EngineError, match="unknown engine 'nonsense'"):
        launcher.ensure("nonsense")
    assert not list(home.glob("*.json"))


@pytest.mark.parametrize("idle", ["abc", "0", "-1", "nan"])
def test_an_invalid_idle_time_is_one_sentence(home, monkeypatch, idle):
    monkeypatch.setenv("RTNB_IDLE", idle)
    said = f"RTNB_IDLE must be a number of seconds above 0, such as 600, got {idle!r}"
    with pytest.raises(EngineError, match=f"^{said}$"):
        launcher.ensure("fake")


def touch_the_code(monkeypatch):
    """Let the code be of another version from now on, without touching it."""
    newest = state_files._newest
    monkeypatch.setattr(state_files, "_newest", lambda folder: newest(folder) + 1)
    monkeypatch.setattr(state_files, "installed", lambda: False)


@pytest.mark.slow
def test_an_unused_server_of_older_code_is_stopped(home, monkeypatch):
    monkeypatch.setattr(state_files, "installed", lambda: False)
    first = launcher.ensure("fake")
    touch_the_code(monkeypatch)
    headers = {"Authorization": f"Bearer {first.key}"}
    with connect(first.url, additional_headers=headers, proxy=None) as socket:
        socket.recv()
        second = launcher.ensure("fake")
        assert second.pid != first.pid
        assert {found.pid: found.sessions for found in launcher.status()} == {first.pid: 1, second.pid: 0}
    touch_the_code(monkeypatch)
    third = launcher.ensure("fake")
    assert [found.pid for found in launcher.status()] == [third.pid]
    assert launcher.stop("fake")
    assert launcher.status() == []


def test_old_logs_are_removed(home, monkeypatch):
    paths = state_files.paths("fake")
    for number in range(9):
        paths.state.with_name(f"{paths.state.stem}-{number}.log").write_text("old")
    assert launcher.ensure("fake").log in paths.logs()
    assert len(paths.logs()) == 5


def test_all_servers_are_stopped_but_those_in_use(home):
    first = launcher.ensure("fake")
    assert launcher.exit_report(first) is None
    headers = {"Authorization": f"Bearer {first.key}"}
    with connect(first.url, additional_headers=headers, proxy=None) as socket:
        socket.recv()
        assert launcher.stop_all() == []
        assert [found.pid for found in launcher.status()] == [first.pid]
        (ended,) = launcher.stop_all(force=True)
        assert (ended.pid, ended.sessions) == (first.pid, 1)
    assert launcher.status() == launcher.stop_all() == []
    assert launcher.exit_report(first).startswith("the process of the engine 'fake' ended")


def test_the_report_of_an_ended_process_names_its_log(home):
    first = launcher.ensure("fake")
    first.log.write_text("noise\nassertion failed: n_ctx > 0\n")
    os.kill(first.pid, 9)
    said = launcher.exit_report(first)
    by = "by signal 9" if os.name == "posix" else "with status 9"
    assert said == (
        f"the process of the engine 'fake' ended {by} (log: {first.log});"
        " the last line of its log: 'assertion failed: n_ctx > 0'"
    )
    second = launcher.ensure("fake")
    assert second.log != first.log
    assert first.log.exists()
    assert launcher.exit_report(first) == said.replace(f" {by}", "")  # how it ended is not known


def test_a_home_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with monkeypatch.context() as patch:
        patch.setenv("RTNB_HOME", str(tmp_path / "file"))
        with pytest.raises(EngineError, match="set the environment variable RTNB_HOME"):
            launcher.ensure("fake")


def test_missing_weights_keep_their_kind(tmp_path):
    log = tmp_path / "log"
    log.write_text("noise\nrtnb: the weights are not installed\n")
    error = launcher._failed("local", 3, log)
    assert isinstance(error, WeightsError)
    assert str(error) == "the weights are not installed"
    log.write_text("")
    assert "the log is empty" in str(launcher._failed("local", 1, log))


def test_paths_in_a_spec_do_not_depend_on_the_folder(tmp_path, monkeypatch):
    (tmp_path / "model.gguf").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert launcher._absolute("local,llm=model.gguf") == f"local,llm=llama:{tmp_path / 'model.gguf'}"
    assert launcher._absolute("local,llm=http://127.0.0.1:1/v1#m") == "local,llm=chat:http://127.0.0.1:1/v1#m"
