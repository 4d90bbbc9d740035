"""``rtnb lab``: which notebook is opened, and where."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from rtnb.cli import engine, main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def started(monkeypatch):
    """Note the commands instead of running them."""
    commands = []

    def note(command):
        commands.append(command)
        return 0

    monkeypatch.setattr(engine, "_run_in_foreground", note)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    return commands


@pytest.fixture
def packaged(monkeypatch, tmp_path):
    """Let the notebooks lie in an installed package."""
    home = tmp_path / "site" / "notebooks"
    home.mkdir(parents=True)
    for name in ("00-start.ipynb", "02-second.ipynb"):
        (home / name).write_text(f"{{}} {name}")
    monkeypatch.setattr(engine, "_notebooks_folder", lambda: (home, True))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return home


def test_in_a_checkout_the_start_page_is_opened_where_it_is(started, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "--no-browser", "--port", "8999"]) == 0
    start = ROOT / "notebooks" / "00-start.ipynb"
    address = "--LabApp.default_url=/lab/tree/00-start.ipynb"
    assert started == [
        [sys.executable, "-m", "jupyterlab", str(start), "--no-browser", address, "--port=8999"]
    ]
    assert list(tmp_path.iterdir()) == []


def test_an_installed_package_stays_untouched(started, packaged):
    assert main(["lab"]) == 0
    copy = Path("rtnb-notebooks/00-start.ipynb")
    assert started[0][3] == str(copy)
    assert sorted(path.name for path in copy.parent.iterdir()) == ["00-start.ipynb", "02-second.ipynb"]
    copy.write_text("my own work")
    assert main(["lab", "--folder", "elsewhere", "02-second"]) == 0
    assert started[1][3] == str(Path("elsewhere/02-second.ipynb"))
    assert main(["lab"]) == 0
    assert copy.read_text() == "my own work"
    assert (packaged / "00-start.ipynb").read_text() == "{} 00-start.ipynb"


def test_the_clips_of_a_notebook_come_along(started, packaged):
    (packaged / "02-second-audio").mkdir()
    (packaged / "02-second-audio" / "question.ogg").write_bytes(b"OggS")
    assert main(["lab"]) == 0
    copy = Path("rtnb-notebooks/02-second-audio/question.ogg")
    assert copy.read_bytes() == b"OggS"
    copy.write_bytes(b"my own voice")
    assert main(["lab"]) == 0
    assert copy.read_bytes() == b"my own voice"


def test_the_recordings_that_notebooks_replay_come_along(started, packaged):
    (packaged / "recordings").mkdir()
    (packaged / "recordings" / "02-second.rtnb").write_bytes(b"RTNB")
    assert main(["lab"]) == 0
    assert Path("rtnb-notebooks/recordings/02-second.rtnb").read_bytes() == b"RTNB"


def test_all_that_the_notebooks_name_is_copied(started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "--folder", "copies"]) == 0
    named = set()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        named |= set(re.findall(r"[\w-]+/[\w.-]+\.(?:rtnb|ogg)", path.read_text("utf-8")))
    assert len(named) >= 4
    for name in named:
        assert Path("copies", name).exists(), name


def test_a_notebook_of_ones_own_is_opened_where_it_is(started, packaged):
    Path("mine.ipynb").write_text("{}")
    assert main(["lab", "mine.ipynb"]) == 0
    assert started[0][3] == "mine.ipynb"
    assert not Path("rtnb-notebooks").exists()


def test_what_stands_after_the_dashes_is_for_jupyter(started, packaged):
    assert main(["lab", "--", "--allow-root", "--debug"]) == 0
    assert started[0][3:] == [str(Path("rtnb-notebooks/00-start.ipynb")), "--allow-root", "--debug"]
    assert main(["lab", "02-second", "--no-browser", "--", "--debug"]) == 0
    page = "--LabApp.default_url=/lab/tree/02-second.ipynb"
    assert started[1][4:] == ["--no-browser", page, "--debug"]
    assert main(["lab", "02-second", "--debug", "--port", "81", "--folder", "f", "--", "--folder"]) == 0
    assert started[2][3:] == [str(Path("f/02-second.ipynb")), "--port=81", "--debug", "--folder"]
    assert main(["lab", "--port", "82", "--folder", "f", "02-second", "--no-browser"]) == 0
    assert started[3][3:] == [str(Path("f/02-second.ipynb")), "--no-browser", page, "--port=82"]


def test_an_unknown_notebook_is_one_sentence(started, packaged, capsys):
    assert main(["lab", "nonesuch"]) == 1
    said = capsys.readouterr().err
    assert "'nonesuch'" in said
    assert "00-start, 02-second" in said
    assert started == []


def test_a_folder_that_cannot_be_made_is_one_sentence(started, packaged, capsys):
    Path("file").write_text("")
    assert main(["lab", "--folder", "file"]) == 1
    assert "--folder" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["jupyterlab", "ipykernel"])
def test_a_missing_package_is_named_with_the_install_command(package, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    assert main(["lab"]) == 1
    assert "pip install 'rtnb[lab]'" in capsys.readouterr().err


def test_the_exit_status_is_that_of_the_program():
    assert engine._run_in_foreground([sys.executable, "-c", "raise SystemExit(7)"]) == 7


def test_commands_in_cells_find_rtnb(capfd, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)
    assert engine._run_in_foreground([sys.executable, "-c", "import os; print(os.environ['PATH'])"]) == 0
    assert capfd.readouterr().out.split(os.pathsep)[0] == str(Path(sys.executable).parent)


def answers(address):
    """Ask until there is an answer: Jupyter says that it runs a little before it listens."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(300):
        try:
            with direct.open(address, timeout=30) as answer:
                return answer.status == 200
        except urllib.error.HTTPError:
            return False
        except urllib.error.URLError:
            time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send to one process there")
def test_jupyterlab_starts_and_ends_by_ctrl_c(tmp_path):
    pytest.importorskip("jupyterlab")
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.update({name: str(tmp_path / name) for name in folders})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "rtnb", "lab", "--no-browser", "--port", str(port), "--folder", "copies"]
    command += ["--", "--allow-root", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=t"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            for line in running.stderr:
                if "is running at" in line:
                    break
            assert "/lab/tree/00-start.ipynb" in next(running.stderr)
            assert answers(f"http://127.0.0.1:{port}/api/contents/00-start.ipynb?token=t&content=0")
            os.killpg(running.pid, signal.SIGINT)  # a terminal sends it to all of them
            rest = running.communicate(timeout=60)[1]
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 0, rest
    assert "Traceback" not in rest
    assert (tmp_path / "copies" / "00-start.ipynb").exists()


def test_options_of_jupyter_lab_may_stand_alone(started):
    assert main(["lab", "--allow-root", "--no-browser"]) == 0
    assert started[0][-1] == "--allow-root"
    assert main(["lab", "00-start", "--allow-root", "--ServerApp.port=8888"]) == 0
    assert started[1][-2:] == ["--allow-root", "--ServerApp.port=8888"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_ending_rtnb_lab_ends_what_it_started(number, tmp_path):
    child = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        f"    pathlib.Path({str(tmp_path / 'ended')!r}).touch()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    code = (
        "import sys; from rtnb.cli.engine import _run_in_foreground\n"
        f"sys.exit(_run_in_foreground([sys.executable, '-c', {child!r}]))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as lab_process:
        assert lab_process.stdout is not None
        assert lab_process.stdout.readline() == "ready\n"
        lab_process.send_signal(number)
        assert lab_process.wait(60) == 0
    assert (tmp_path / "ended").exists()
