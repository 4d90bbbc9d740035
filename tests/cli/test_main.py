from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rtnb
from rtnb.cli import COMMANDS, main


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["serve", "--nonsense"]])
def test_unknown_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: rtnb" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"rtnb {rtnb.__version__}\n"


def test_the_version_stands_in_one_place():
    root = Path(rtnb.__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert root / project["tool"]["hatch"]["version"]["path"] == Path(rtnb._version.__file__)


@pytest.mark.parametrize("pace", ["quick", "0", "51", "nan"])
def test_what_a_pace_is(pace, capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--pace", pace])
    assert capsys.readouterr().err.endswith(
        f"argument --pace: expected a number from 0.1 to 50, got {pace!r}\n"
    )


def test_the_help_warns_of_an_open_server(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert "Without a key it is open to every program on this machine" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_command_brings_in_only_what_it_needs():
    code = "import sys; from rtnb.cli import main\ntry: main(['serve', '--help'])\nexcept SystemExit: pass\n"
    code += (
        "print([m for m in ('numpy', 'websockets', 'onnxruntime', 'rtnb.cli.record') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_closed_pipe_ends_a_command_quietly():
    gone, out = os.pipe()
    os.close(gone)
    with os.fdopen(out, "wb") as closed:
        ran = subprocess.run(
            [sys.executable, "-m", "rtnb", "engine", "status"],
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_an_ascii_terminal_is_not_an_error():
    ran = subprocess.run(
        [sys.executable, "-m", "rtnb", "demo", "no such file…"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("rtnb: No such file")
