"""`rtnb.table` and `rtnb.compare`: what they take, and that a live session and its recording are alike."""

import pytest

import rtnb
from rtnb.analysis.turn_table import TurnList

pytestmark = pytest.mark.usefixtures("server_home")


@pytest.fixture(scope="module")
def session(server_home):
    with rtnb.connect(engine="fake", autosave=False) as s:
        s.send("hello").wait()
        s.send("good day").wait()
        yield s


@pytest.fixture(scope="module")
def path(session, tmp_path_factory):
    return session.save(tmp_path_factory.mktemp("tables") / "x.rtnb")


def test_turns_are_lists_live_and_from_a_file(session, path):
    recording = rtnb.open(path)
    for turns in (session.turns, recording.turns):
        assert isinstance(turns, TurnList)
        assert len(turns) == 2
    assert repr(session.turns.table) == repr(recording.turns.table)


def test_whatever_has_turns(session, path):
    recording = rtnb.open(path)
    assert len(rtnb.table(session)) == len(rtnb.table([session])) == len(rtnb.table(path)) == 2
    assert not rtnb.table(path).named
    both = rtnb.table([session, recording, str(path)])
    assert {row.session for row in both.rows} == {session.endpoint, "x.rtnb", "x.rtnb (2)"}
    named = rtnb.table({"live": session, "file": recording.turns[:1], "turn": recording.turns[1]})
    assert [row.session for row in named.rows] == ["live", "live", "file", "turn"]
    assert len(rtnb.table(session.turns)) == 2
    assert len(rtnb.table(session.turns[0])) == 1
    assert len(rtnb.table([])) == 0


def test_compare(session, path):
    same = rtnb.compare(session, path)
    assert [part.title for part in same] == ["Session", "Turn 1", "Turn 2"]
    assert same.differences == []
    two = rtnb.compare(*session.turns)
    assert two.names == ("Turn 1", "Turn 2")
    assert "you" in [fact.name for _, fact in two.differences]


@pytest.mark.parametrize("thing", [42, [42], {"a": 42}, b"x", None])
def test_anything_else_is_refused(thing):
    with pytest.raises(rtnb.ArgumentError, match="expected sessions, recordings, their paths, turns"):
        rtnb.table(thing)


def test_a_recorded_clip_has_the_hash_of_its_file(path):
    recording = rtnb.open(path)
    turn = recording.turns[0]
    assert turn.audio is not None
    assert turn.audio.info["recording_sha256"] == recording.provenance.sha256
    assert turn.audio.info["engine"] == "fake"
    assert turn.audio.info["recorded"][:10] == recording.manifest["created"][:10]
