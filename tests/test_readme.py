"""The README is true: its code runs, its commands exist, and its links lead to files."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import shutil
import subprocess
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


@pytest.mark.skipif(shutil.which("sed") is None, reason="needs sed")
def test_continuous_integration_finds_the_test_command():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    expression = re.search(r"sed -n '(.*?)' README.md", script)[1]
    found = subprocess.run(
        ["sed", "-n", expression, "README.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == BLOCKS[1][1]


async def run(code: str, names: dict[str, object]) -> None:
    compiled = compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(compiled, names)
    if inspect.isawaitable(running):
        await running


@pytest.mark.usefixtures("server_home")
async def test_the_first_python_runs_as_it_stands(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RTNB_ENGINE", "fake")
    monkeypatch.chdir(tmp_path)
    code = next(code for kind, code in BLOCKS if kind == "python")
    files = re.findall(r'"([\w-]+\.wav)"', code)
    assert files
    for file in files:
        rtnb.Clip.tone(300, 0.5).write(file)
    names: dict[str, object] = {"__name__": "__main__"}
    await run(code, names)
    session = names["s"]
    assert isinstance(session, rtnb.Session)
    with session:
        assert len(session.turns) == code.count("s.send(") + code.count("s.ask(")
        for turn in session.turns:
            assert turn.wait(60).status == "completed"
        assert session.turns[0] is names["turn"]
        assert session.turns[-2].text == "The tool said: sunny"
        assert session.turns[-1].text == "You said: Is the user satisfied?"
    assert capsys.readouterr().out == session.turns[2].text


@pytest.mark.usefixtures("server_home")
async def test_what_follows_on_the_first_python_runs_too(monkeypatch, tmp_path):
    """Except for what needs a page, or a model that is not installed."""
    pytest.importorskip("pandas")
    monkeypatch.setenv("RTNB_ENGINE", "fake")
    monkeypatch.chdir(tmp_path)
    blocks = [code for kind, code in BLOCKS if kind == "python"][1:]
    needy = [code for code in blocks if "s.talk()" in code or "engine=" in code]
    assert len(needy) == 2
    session = rtnb.connect()
    turn = session.send("Describe the sea in one sentence.").wait()
    session.send("And once more.").wait()
    names: dict[str, object] = {"rtnb": rtnb, "s": session, "turn": turn}
    try:
        for code in blocks:
            if code not in needy:
                await run(code, names)
    finally:
        session.close()
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"sea.rtnb", "anonymous.rtnb", "sea.txt", "sea.html", "log.jsonl"}
    again = names["again"]
    assert isinstance(again, rtnb.Session)
    assert [said.text for said in again.turns] == [turn.text]


@pytest.mark.usefixtures("server_home")
def test_the_commands_on_recordings_run_in_their_order(monkeypatch, tmp_path):
    monkeypatch.setenv("RTNB_ENGINE", "fake")
    monkeypatch.chdir(tmp_path)
    rtnb.Clip.tone(300, 0.5).write("question.wav")
    block = next(code for kind, code in BLOCKS if kind == "sh" and "rtnb record" in code)
    commands = [words for line in block.splitlines() for words in parted(shlex.split(line, comments=True))]
    assert len(commands) == 8
    for words in commands:
        assert words[0] == "rtnb"
        assert main(words[1:]) == (words[1] == "diff"), words  # what was scrubbed differs
    assert {path.name for path in tmp_path.iterdir()} >= {"sea.rtnb", "anonymous.rtnb", "sea.txt", "sea.html"}


def parted(words: list[str]) -> list[list[str]]:
    """Part the words of a line at &&."""
    text = "\0".join(words).split("\0&&\0")
    return [part.split("\0") for part in text]


def test_every_python_block_is_python():
    for kind, code in BLOCKS:
        if kind == "python":
            compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_link_leads_to_a_file():
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
