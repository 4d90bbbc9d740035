"""The notebooks that come with recordings: replayed as a reader gets them, solved, and live on the engine."""

from pathlib import Path
from textwrap import dedent

import nbformat
import pytest
from support.notebook import html, plain, played, words

import rtnb

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "notebooks"
ANATOMY, TOKENS, REPLAY = "04-anatomy-of-a-turn", "05-tokens-and-money", "06-record-and-replay"
SOLUTIONS = {
    ANATOMY: {
        "exercise-1": """
            from base64 import b64decode
            deltas = turn.events.filter("response.output_audio.delta")
            seconds = sum(len(b64decode(event.data["delta"])) for event in deltas) / 48_000
        """,
        "exercise-2": """
            waited = 1000 * (turn.marks["first_sound"] - turn.marks["speech_end"])
            silence = 1000 * (turn.marks["speech_stopped"] - turn.marks["speech_end"])
        """,
        "exercise-3": """
            told = story.events.filter(direction="client")[-1].data
            kind, heard_ms = told["type"], told["audio_end_ms"]
        """,
    },
    TOKENS: {
        "exercise-1": "tokens = question.seconds * 10",
        "exercise-2": "minute = 1200 * model.audio.output / 1e6",
        "exercise-3": """
            price, u = 0, turn.usage
            for kind, rate in ("text", model.text), ("audio", model.audio):
                given, cached, made = (getattr(u, f"{way}_{kind}") for way in ("input", "cached", "output"))
                price += (given - cached) * rate.input + cached * rate.cached + made * rate.output
            price /= 1e6
        """,
    },
    REPLAY: {
        "exercise-1": """
            sent = kept.log.filter(direction="client")
            frames, size = len(sent), sum(len(entry.frame) for entry in sent)
        """,
        "exercise-2": """
            broken = desk / "broken.rtnb"
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            broken.write_bytes(data)
            survivors = len(rtnb.open(broken, repair=True).log)
        """,
        "exercise-3": """
            voiceless = desk / "voiceless.rtnb"
            kept.scrub(voiceless, voice="user")
        """,
    },
}


@pytest.fixture(params=SOLUTIONS)
def name(request):
    return request.param


def run(name, *, live=False, solved=False):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if live and cell.id in ("connect", "talk"):
            assert "LIVE = False" in cell.source
            cell.source = cell.source.replace("LIVE = False", "LIVE = True")
        if solved and cell.id.startswith("exercise-") and cell.cell_type == "code":
            cell.source = dedent(SOLUTIONS[name][cell.id])
    cells = played(notebook, FOLDER)
    assert not [output for cell in cells.values() for output in cell.outputs if output.output_type == "error"]
    return cells


def checks(cells):
    told = "\n".join(plain(cell) for id, cell in cells.items() if id.startswith("check-"))
    return [line for line in told.splitlines() if line and "damaged" not in line]


def look(name, cells):
    """What every reader sees, whoever answered."""
    if name == ANATOMY:
        assert html(cells["speak"]).count("data:audio/ogg;base64,") == 2
        assert "input_audio_buffer.append" in words(html(cells["frames"]))
        assert "first sound" in words(html(cells["timeline"]))
        assert "hatched" in words(html(cells["interrupt"]))
    elif name == TOKENS:
        assert "Not billed." in words(html(cells["usage"]))
        assert "the budget is used up" in plain(cells["budget"])
        full, half = (float(line.split()[0].strip("$")) for line in plain(cells["table"]).splitlines())
        assert half < full
    else:
        assert "[True, True]" in plain(cells["replay"])
        assert "expected conversation.item.create" in words(html(cells["odd"]))
        assert "got conversation.item.create" in plain(cells["strict"])
        assert "intact: " in plain(cells["verify"])
        assert "nothing of it is left" in plain(cells["scrub"])


def test_as_a_reader_gets_it(name, kernel):
    cells = run(name)
    look(name, cells)
    assert len(checks(cells)) >= 3
    assert not any(line == "Right." for line in checks(cells))


def test_solved(name, kernel):
    cells = run(name, solved=True)
    assert [line for line in checks(cells) if "damaged" not in line] == ["Right."] * (
        4 if name == ANATOMY else 3
    )


@pytest.mark.engine
def test_live_on_the_engine(name, kernel):
    cells = run(name, live=True, solved=True)
    look(name, cells)
    assert checks(cells) == ["Right."] * (4 if name == ANATOMY else 3)


def test_the_recordings_say_who_speaks(name):
    recording = rtnb.open(FOLDER / "recordings" / f"{name}.rtnb")
    assert not recording.verify().faults
    assert recording.engine == "local"
    assert not recording.billed
    assert "The embedded engine answered in place of" in recording.turns[0]._repr_mimebundle_()["text/html"]
