from pathlib import Path

import pytest

from rtnb import ArgumentError, AudioError, Clip
from rtnb.notebook.clip_store import ClipStore, notebook_path

SOUND = Clip.tone(440, 0.4)


def stored(folder, name="question"):
    folder.mkdir(parents=True, exist_ok=True)
    SOUND.write(folder / f"{name}.ogg")


def test_the_front_end_provides_the_notebooks_path(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert notebook_path({}) is None
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/talk.ipynb")
    assert notebook_path({}) == Path("/home/me/talk.ipynb")
    assert notebook_path({"__vsc_ipynb_file__": "/other/place.ipynb"}) == Path("/other/place.ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", "console-1-0c2f")
    assert notebook_path({}) is None


def test_a_clip_is_stored_next_to_its_notebook(tmp_path):
    store = ClipStore(tmp_path / "talk.ipynb", Path("/nowhere"))
    assert store.find("question", rate=24_000) is None
    clip = store.store("question", SOUND.with_info(source="microphone", odd={1, 2}), "Say <b>it</b>.")
    assert clip.path == tmp_path / "talk-audio" / "question.ogg"
    again = ClipStore(tmp_path / "talk.ipynb", Path("/nowhere")).find("question", rate=24_000)
    assert again is not None
    assert again.clip == clip.clip
    assert again.text == "Say <b>it</b>."
    assert again.clip.info["source"] == "microphone"
    assert [path.name for path in sorted(clip.path.parent.iterdir())] == ["question.json", "question.ogg"]
    store.store("question", Clip.tone(880, 1.0), "")
    assert store.find("question", rate=8_000).clip.seconds == pytest.approx(1.0, abs=0.03)


def test_the_view_is_static_and_safe(tmp_path):
    info = {"source": "microphone", "recorded": "2026-11-20T10:00:00+00:00", "echo_cancellation": True,
            "noise_suppression": False, "auto_gain_control": None}  # fmt: skip
    clip = ClipStore(tmp_path / "talk.ipynb", tmp_path).store(
        "q", SOUND.with_info(**info), "<script>alert(1)</script>"
    )
    page = clip._repr_mimebundle_()["text/html"]
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert page.count("data:audio/ogg;base64,") == 1
    assert "echo cancellation on" in page
    assert "noise suppression off" in page
    assert "gain control" not in page
    assert "talk-audio/q.ogg" in page


def test_without_a_name_the_folders_are_searched(tmp_path):
    stored(tmp_path / "talk-audio")
    (tmp_path / "talk.ipynb").write_text("{}")
    assert ClipStore(None, tmp_path).find("question", rate=24_000).path.parent.name == "talk-audio"
    assert ClipStore(None, tmp_path).find("other", rate=24_000) is None
    stored(tmp_path / "more-audio")
    with pytest.raises(ArgumentError, match=r"more-audio, talk-audio.*--folder"):
        ClipStore(None, tmp_path).find("question", rate=24_000)
    found = ClipStore(None, tmp_path, "talk-audio").find("question", rate=24_000)
    assert found.path.parent.name == "talk-audio"
    assert ClipStore(None, tmp_path, "talk-audio").find("other", rate=24_000) is None


def test_a_notebook_that_was_renamed_finds_its_clips_and_not_those_of_others(tmp_path):
    stored(tmp_path / "old-audio")
    (tmp_path / "new.ipynb").write_text("{}")
    assert (
        ClipStore(tmp_path / "new.ipynb", tmp_path).find("question", rate=24_000).path.parent.name
        == "old-audio"
    )
    (tmp_path / "old.ipynb").write_text("{}")  # it was not a rename: the other notebook is there
    assert ClipStore(tmp_path / "new.ipynb", tmp_path).find("question", rate=24_000) is None


def test_damaged_metadata_are_ignored(tmp_path):
    stored(tmp_path / "talk-audio")
    (tmp_path / "talk-audio" / "question.json").write_text("[")
    assert ClipStore(tmp_path / "talk.ipynb", tmp_path).find("question", rate=24_000).text == ""


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "talk-audio").write_text("in the way")
    with pytest.raises(AudioError, match=r"cannot be stored.*--folder"):
        ClipStore(tmp_path / "talk.ipynb", tmp_path).store("q", SOUND, "")


def test_a_clip_too_long_to_embed_is_a_link_to_its_file(tmp_path):
    store = ClipStore(tmp_path / "a talk.ipynb", tmp_path)
    store.store("lecture", Clip.silence(301.0, 8_000), "")
    page = store.find("lecture", rate=8_000)._repr_mimebundle_()["text/html"]
    assert '<a href="a%20talk-audio/lecture.ogg">a talk-audio/lecture.ogg</a> has the audio' in page
    assert "<audio" not in page


def test_the_link_leads_from_the_notebook_to_the_file_however_deep(tmp_path):
    for folder, place in [("clips/deep", "clips/deep/q.ogg"), (str(tmp_path / "far"), "../far/q.ogg")]:
        home = tmp_path / "notes"
        home.mkdir(exist_ok=True)
        clip = ClipStore(home / "talk.ipynb", home, folder).store("q", Clip.silence(301.0, 8_000), "")
        assert f'<a href="{place}">' in clip._repr_mimebundle_()["text/html"]
        assert (home / place).is_file()


def test_a_notebook_named_notebook_uses_no_clips_of_others(tmp_path):
    stored(tmp_path / "other-audio")
    (tmp_path / "other.ipynb").write_text("{}")
    (tmp_path / "notebook.ipynb").write_text("{}")
    assert ClipStore(tmp_path / "notebook.ipynb", tmp_path).find("question", rate=24_000) is None
    assert ClipStore(None, tmp_path).find("question", rate=24_000) is not None
