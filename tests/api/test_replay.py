"""``rtnb.replay``: the same code against the recording gives the same turns."""

import asyncio

import pytest

import rtnb
from rtnb.errors import RecordingError, ReplayError, ServiceError
from rtnb.server import launcher
from rtnb.session.async_session import AsyncSession
from rtnb.transports import Replay


def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: the city.
    """
    return f"sunny in {city}"


def by_text(session):
    return [session.send("hello there"), session.send("and again", modalities="text"), session.send("ünï✓")]


def by_speech(session):
    return [session.send(rtnb.Clip.tone(300, 1.2)), session.send(["Listen:", rtnb.Clip.tone(200, 0.7)])]


def by_tools(session):
    return [session.send("use the weather tool for Rome").wait(), session.send("thanks")]


def by_cancel(session):
    turn = session.send("tell me a long story")
    for delta in turn:
        if delta.kind == "text":
            turn.cancel()
            break
    return [turn.wait(), session.send("hello")]


def by_voice(session):
    sound = rtnb.Clip.join([rtnb.Clip.silence(0.3), rtnb.Clip.tone(300, 1.0), rtnb.Clip.silence(1.0)])
    session.speak(sound, speed=50)
    while not session.turns:
        session.speak(rtnb.Clip.silence(0.2), speed=50)
    return [session.turns[0].wait()]


SESSIONS = {
    "text": (by_text, {}),
    "speech": (by_speech, {}),
    "tools": (by_tools, {"tools": [weather]}),
    "cancel": (by_cancel, {}),
    "voice": (by_voice, {"turn_detection": "server_vad"}),
    "telephone": (by_speech, {"input_format": "g711_ulaw", "output_format": "g711_alaw"}),
}


def told(turns):
    """Return all that a turn tells except for times."""
    return [
        (
            turn.wait(30).status,
            turn.text_so_far,
            turn.audio_so_far,
            turn.input,
            turn.input.audio,
            turn.usage,
            turn.calls,
            turn.cost,
        )
        for turn in turns
    ]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Each session, recorded: its file, and what its turns told."""
    folder = tmp_path_factory.mktemp("recorded")
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RTNB_HOME", str(folder))
        patch.setenv("RTNB_AUTOSAVE", "0")
        for name, (talk, options) in SESSIONS.items():
            with rtnb.connect(engine="fake", **options) as session:
                turns = told(talk(session))
                made[name] = session.save(folder / f"{name}.rtnb"), turns
        launcher.stop("fake")
    return made


@pytest.mark.parametrize("name", SESSIONS)
@pytest.mark.parametrize("speed", [None, 20])
def test_the_same_code_gives_the_same_turns(recorded, name, speed):
    talk, options = SESSIONS[name]
    path, turns = recorded[name]
    with rtnb.replay(path, speed=speed, **options) as session:
        assert told(talk(session)) == turns
        assert session.model == "gpt-4o-realtime-preview"
        assert f"a replay of {name}.rtnb" in repr(session)


@pytest.mark.parametrize("name", ["text", "speech", "tools", "telephone"])
def test_strictly_too(recorded, name):
    talk, options = SESSIONS[name]
    path, turns = recorded[name]
    with rtnb.replay(path, strict=True, **options) as session:
        assert told(talk(session)) == turns
    original, again = rtnb.open(path).log, session.log
    assert sorted(e.frame for e in again) == sorted(e.frame for e in original)


@pytest.mark.parametrize("name", SESSIONS)
def test_opened_it_tells_the_same(recorded, name):
    path, turns = recorded[name]
    recording = rtnb.open(path)
    assert [(t[0], t[1], t[2], t[5], t[6], t[7]) for t in told(recording.turns)] == [
        (t[0], t[1], t[2], t[5], t[6], t[7]) for t in turns
    ]
    assert recording.endpoint == "the embedded engine (fake)"


def test_without_options_it_is_configured_as_recorded(recorded):
    path, turns = recorded["telephone"]
    with rtnb.replay(path, strict=True) as session:
        assert told(by_speech(session)) == turns


def test_the_card_says_that_it_is_a_replay_and_of_what(recorded):
    with rtnb.replay(recorded["text"][0]) as session:
        turn = session.send("hello there").wait()
    card = turn._repr_mimebundle_()["text/html"]
    assert "A replay of text.rtnb, recorded " in card
    assert "with the embedded engine (fake)." in card
    assert "No model answered" in card
    assert (turn.engine, turn.billed) == ("fake", False)
    opened = rtnb.open(recorded["text"][0]).turns[0]
    assert "From text.rtnb, recorded " in opened._repr_mimebundle_()["text/html"]


def test_what_is_not_recorded_fails_its_turn_and_the_session_goes_on(recorded):
    with rtnb.replay(recorded["text"][0]) as session:
        wrong = session.send("something else").wait(30)
        assert isinstance(wrong.error, ServiceError)
        assert "expected conversation.item.create 'hello there' (event 3), got" in str(wrong.error)
        assert session.send("hello there").text == "You said: hello there"


def test_strictly_it_ends_the_session(recorded):
    session = rtnb.replay(recorded["text"][0], strict=True)
    turn = session.send("something else")
    with pytest.raises(ReplayError, match=r"got conversation\.item\.create 'something else'"):
        _ = turn.text
    assert isinstance(session.problem, ReplayError)
    with pytest.raises(ReplayError):
        session.close()
    session.close()


def test_strictly_a_rest_is_an_error(recorded):
    with (
        pytest.raises(
            ReplayError, match=r"was not used to its end: expected conversation\.item\.create 'and again'"
        ),
        rtnb.replay(recorded["text"][0], strict=True) as session,
    ):
        session.send("hello there").wait()
    with pytest.raises(KeyError, match="first"), rtnb.replay(recorded["text"][0], strict=True):
        raise KeyError("first")
    with pytest.raises(ReplayError, match=r"expected session.update \(event 1\)"):
        rtnb.replay(recorded["text"][0], strict=True, voice="echo")


async def test_it_is_a_transport(recorded):
    log = rtnb.open(recorded["text"][0]).log
    async with rtnb.connect(Replay(log)) as session:
        assert (await session.send("hello there")).text == "You said: hello there"
    core = await AsyncSession(Replay(log)).open({"turn_detection": False, "transcription": True})
    assert (await asyncio.wait_for(core.send("hello there"), 30)).text == "You said: hello there"
    await core.close()


def test_a_turn_that_was_in_progress_ends(recorded, tmp_path):
    from rtnb.protocol.state import SessionState
    from rtnb.recordings import save
    from rtnb.recordings.manifest import manifest
    from rtnb.recordings.writer import pieces

    recording = rtnb.open(recorded["text"][0])
    half = recording.log.filter("response.output_text.delta")[0].index
    record = SessionState()
    for entry in recording.log[:half]:
        record.append(entry.frame, entry.direction, mono_ns=0, wall_ns=0)
    save(pieces(record.log), manifest(record), tmp_path / "half.rtnb")
    with rtnb.replay(tmp_path / "half.rtnb") as session:
        first, second = (
            session.send("hello there").wait(),
            session.send("and again", modalities="text").wait(),
        )
    assert first.status == "completed"
    assert "the recording ends here: it was saved while a turn was in progress" in str(second.error)


def test_a_replay_can_be_saved_and_replayed(recorded, tmp_path):
    path, turns = recorded["speech"]
    with rtnb.replay(path, strict=True) as session:
        by_speech(session)[-1].wait()
        session.save(tmp_path / "again.rtnb")
    with rtnb.replay(tmp_path / "again.rtnb", strict=True) as session:
        assert told(by_speech(session)) == turns


def test_no_such_file(tmp_path):
    with pytest.raises(RecordingError):
        rtnb.replay(tmp_path / "none.rtnb")


@pytest.mark.engine
def test_with_the_real_engine(tmp_path, server_home):
    with rtnb.connect() as session:
        turns = told([session.send("Say hello."), session.send("And good bye.")])
        path = session.save(tmp_path / "x.rtnb")
        frames = [(e.frame, e.direction, e.t) for e in session.log]
    recording = rtnb.open(path)
    assert [(e.frame, e.direction, e.t) for e in recording.log][: len(frames)] == frames[: len(recording.log)]
    with rtnb.replay(path, strict=True) as session:
        assert told([session.send("Say hello."), session.send("And good bye.")]) == turns


def test_times_of_a_time_scaled_replay_are_not_passed_off_as_the_models(recorded, tmp_path):
    path = recorded["text"][0]
    with rtnb.replay(path, speed=1) as session:
        paced = session.send("hello there").wait()
    assert "first audio" in page(paced)
    assert "not of the model" not in page(paced)
    with rtnb.replay(path) as session:
        turn = session.send("hello there").wait()
        session.save(tmp_path / "again.rtnb")
        assert "not of the model" in session.timeline._repr_mimebundle_()["text/html"]
    again = rtnb.open(tmp_path / "again.rtnb").turns[0]
    for one in (turn, again):
        assert "first audio" not in page(one)
        assert "Its times are those of the replay, not of the model." in page(one)


def page(turn):
    return turn._repr_mimebundle_()["text/html"]
