"""The notebooks run from top to bottom, in this Python, on both embedded engines."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from support.notebook import html, plain, played, words

pytestmark = [pytest.mark.slow]

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIRST = ROOT / "notebooks" / "01-first-turn.ipynb"
SECOND = ROOT / "notebooks" / "02-audio-cells.ipynb"
TALK = ROOT / "notebooks" / "03-talk.ipynb"


@pytest.fixture(params=["fake", pytest.param("local", marks=pytest.mark.engine)])
def engine(request, monkeypatch, kernel):
    monkeypatch.setenv("RTNB_ENGINE", request.param)
    return request.param


def executed(path, folder):
    return played(nbformat.read(path, as_version=4), folder)


def test_the_first_notebook(engine, tmp_path):
    cells = executed(FIRST, tmp_path)
    assert not [output for cell in cells.values() for output in cell.outputs if output.output_type == "error"]
    assert f"the embedded engine ({engine})" in plain(cells["connect"])

    card = html(cells["say"])
    assert "Describe the sea in one sentence." in words(card)
    assert card.count("data:audio/ogg;base64,") == 1
    assert "first audio" in words(card)
    assert "Not billed." in words(card)
    assert "embedded" in words(card)

    inspected = plain(cells["inspect"])
    assert re.search(r"Clip\(\d+\.\d\d s, 24 kHz", inspected)
    assert re.search(r"\d+ tokens in, \d+ out", inspected)
    assert "not billed" in inspected

    assert html(cells["speak"]).count("data:audio/ogg;base64,") == 2

    tool = words(html(cells["tool"]))
    assert "roll_dice(sides=20)" in tool
    assert re.search(r"returned \d+", tool)
    assert "The tool failed" not in tool

    inspected = plain(cells["log"])
    assert "↑ response.create" in inspected
    assert "↓ response.created" in inspected
    assert "Describe the sea in one sentence." in inspected

    if engine == "fake":
        assert "You said: Describe the sea" in words(card)
        assert "(speech, 0." in words(html(cells["speak"]))
    else:
        spoken = words(card).partition("Assistant")[2].split(".")[0]
        assert spoken.split()[0].lower() in words(html(cells["speak"])).partition("Assistant")[0].lower()


def test_the_notebook_that_talks(engine, tmp_path):
    """Nobody is there to speak, and no page: a clip speaks, and each card is whole all the same."""
    cells = executed(TALK, tmp_path)
    assert not [output for cell in cells.values() for output in cell.outputs if output.output_type == "error"]
    for name in ("live", "interrupt"):
        assert html(cells[name]).count("data:audio/ogg;base64,") == 1
        assert "widget-view" not in str(cells[name].outputs)
    assert "The hatched part was generated but not played." in words(html(cells["interrupt"]))
    assert re.search(r"\d\.\d s of \d+\.\d s were heard: interrupted", plain(cells["heard"]))
    assert "press Start" in words(html(cells["talk"]))
    assert html(cells["speak"]).count("data:audio/ogg;base64,") == 2
    assert re.search(r"0\.00 s  speech started", plain(cells["marks"]))
    assert "first sound" in plain(cells["marks"])
    assert re.search(r"turn 5: .* cached\), +\d+ out", plain(cells["cost"]))
    assert "not billed" in plain(cells["cost"])


def test_the_second_notebook(engine, tmp_path):
    """Its clips are stored beside it, so it runs without a microphone."""
    shutil.copytree(SECOND.with_name("02-audio-cells-audio"), tmp_path / "02-audio-cells-audio")
    before = {path: path.read_bytes() for path in (tmp_path / "02-audio-cells-audio").iterdir()}
    cells = executed(SECOND, tmp_path)
    assert not [output for cell in cells.values() for output in cell.outputs if output.output_type == "error"]
    for name in ("question", "story"):
        cell = cells[name if name == "question" else "voice"]
        assert f"{name} = Clip(2." in plain(cell)
        assert html(cell).count("data:audio/ogg;base64,") == 1
        assert f"02-audio-cells-audio/{name}.ogg" in words(html(cell))
    assert {path: path.read_bytes() for path in before} == before
    assert html(cells["send"]).count("data:audio/ogg;base64,") == 2
    assert "And why is it salty?" in words(html(cells["say"]))
    loud, *_, quiet = plain(cells["whisper"]).splitlines()
    assert "(nothing)" in quiet
    assert "ocean" in loud if engine == "local" else "(speech, 2." in loud
    assert "data:audio/ogg" in html(cells["join"])
    assert "Press Record above" in plain(cells["recorded"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_clean(path):
    text = path.read_text("utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert nbformat.writes(notebook) + "\n" == text
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert notebook.metadata.kernelspec.name == "python3"


def test_the_first_notebook_is_short():
    assert len(nbformat.read(FIRST, as_version=4).cells) < 10
