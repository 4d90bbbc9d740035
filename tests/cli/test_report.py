"""``rtnb report``: from a file to a page."""

import pytest
from frames import full

from rtnb.cli import main
from rtnb.recordings import save
from rtnb.recordings.manifest import manifest
from rtnb.recordings.writer import pieces


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = full().state
    save(pieces(record.log), manifest(record, endpoint="a test"), "x.rtnb")
    return tmp_path


def test_a_page_is_written(folder, capsys):
    assert main(["report", "x.rtnb", "x.html", "--title", "My talk"]) == 0
    out = capsys.readouterr()
    assert out.out.startswith("x.html: 0.")
    assert out.err == ""
    text = (folder / "x.html").read_text("utf-8")
    assert "<title>My talk</title>" in text
    assert "<audio" in text


def test_without_audio(folder, capsys):
    assert main(["report", "x.rtnb", "x.html", "--no-audio"]) == 0
    assert "<audio" not in (folder / "x.html").read_text("utf-8")
    assert main(["report", "x.rtnb", "x.html", "--max-mb", "0.004", "--force"]) == 0
    assert "limit of size" in (folder / "x.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["none.rtnb", "x.html"], "none.rtnb"),
        (["x.rtnb", "no/x.html"], "cannot be written"),
        (["x.rtnb", "x.pdf"], "must end in .html"),
        (["x.rtnb", "x.html", "--max-mb", "-1"], "max_mb"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(folder, capsys, command, said):
    assert main(["report", *command]) == 1
    err = capsys.readouterr().err
    assert err.startswith("rtnb: ")
    assert said in err
    assert "Traceback" not in err


def test_a_recording_is_never_overwritten(folder, capsys):
    before = (folder / "x.rtnb").read_bytes()
    assert main(["report", "x.rtnb", "x.rtnb"]) == 1
    assert "'x.rtnb' already exists" in capsys.readouterr().err
    assert main(["report", "x.rtnb", "x.rtnb", "--force"]) == 1
    assert "the name of a report must end in .html; got 'x.rtnb'" in capsys.readouterr().err
    assert (folder / "x.rtnb").read_bytes() == before
