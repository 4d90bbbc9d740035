"""The README keeps its word: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import rtnb
from rtnb.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S)
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S)
SPANS = re.findall(r"`([^`\n]+)`", PROSE)
SHELL = [line for kind, code in BLOCKS if kind == "sh" for line in code.splitlines()] + SPANS


def test_the_two_commands_come_first_and_are_one_line_each():
    first, second = BLOCKS[:2]
    assert (first[0], second[0]) == ("sh", "sh")
    for _, code in (first, second):
        assert code.count("\n") == 1
        assert code.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert first[1].endswith(" && .venv/bin/rtnb demo\n")
    assert second[1].endswith(" && .venv/bin/python -m pytest\n")


@pytest.mark.usefixtures("server_home")
async def test_the_first_python_runs_as_it_stands(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RTNB_ENGINE", "weightless")
    monkeypatch.chdir(tmp_path)
    code = next(code for kind, code in BLOCKS if kind == "python")
    files = re.findall(r'"([\w-]+\.wav)"', code)
    assert files
    for file in files:
        rtnb.Clip.tone(300, 0.5).write(file)
    names: dict[str, object] = {"__name__": "__main__"}
    compiled = compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(compiled, names)
    if inspect.isawaitable(running):
        await running
    session = names["s"]
    assert isinstance(session, rtnb.Session)
    with session:
        assert len(session.turns) == code.count("s.send(")
        for turn in session.turns:
            assert turn.wait(60).status == "completed"
        assert session.turns[0] is names["turn"]
        assert session.turns[-1].text == "The tool said: sunny"
    assert capsys.readouterr().out == session.turns[2].text


def test_every_python_block_is_python():
    for kind, code in BLOCKS:
        if kind == "python":
            compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_link_leads_somewhere():
    links = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", PROSE)
    assert any(link.endswith(".png") for link in links)
    for link in links:
        if "://" not in link:
            assert (ROOT / link.partition("#")[0]).exists(), link


def test_every_file_of_ours_that_is_named_exists():
    named = [span for span in SPANS if re.match(r"(rtnb|tests|notebooks)/", span)]
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_every_command_exists(capsys):
    found = [
        m for line in SHELL for m in re.finditer(r"(?<![\w.-])rtnb ([a-z]+)(?: ([a-z]+)\b)?([^&|#]*)", line)
    ]
    assert {m[1] for m in found} >= {"demo", "engine", "lab", "serve"}
    for m in found:
        assert m[1] in COMMANDS, m[0]
        with pytest.raises(SystemExit) as ended:
            main([m[1], *([m[2]] if m[1] == "engine" and m[2] else []), "--help"])
        assert ended.value.code == 0, m[0]
        said = capsys.readouterr().out
        for option in re.findall(r"--[a-z][a-z-]*", m[3]):
            assert option in said, m[0]
