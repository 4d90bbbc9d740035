"""``rtnb.replay`` of recordings whose words were removed: turns are answered in their order."""

import pytest

import rtnb
from rtnb.errors import ReplayError, ServiceError
from rtnb.server import launcher


def weather(city: str) -> str:
    """Return the weather.

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


SESSIONS = {
    "text": (by_text, {}),
    "speech": (by_speech, {}),
    "tools": (by_tools, {"tools": [weather], "instructions": "Be kind."}),
}
RULES = [{"text": "user"}, {"text": "all"}, {"text": "all", "voice": "all"}, {"matching": "e"}]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scrubbed")
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RTNB_HOME", str(folder))
        patch.setenv("RTNB_AUTOSAVE", "0")
        for name, (talk, options) in SESSIONS.items():
            with rtnb.connect(engine="fake", **options) as session:
                for turn in talk(session):
                    turn.wait(30)
                made[name] = session.save(folder / f"{name}.rtnb")
        launcher.stop("fake")
    return made


def shape(turns):
    """Return all that a turn has except for words, audio and times."""
    return [(turn.wait(30).status, turn.usage, len(turn.calls), turn.cost) for turn in turns]


def scrubbed(path, tmp_path, **rule):
    out = tmp_path / f"scrubbed-{path.name}"
    rtnb.open(path).scrub(out, **rule)
    return out


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("name", SESSIONS)
def test_the_same_code_gives_turns_of_the_same_shape(recorded, tmp_path, name, rule):
    talk, options = SESSIONS[name]
    path = scrubbed(recorded[name], tmp_path, **rule)
    turns = rtnb.open(path).turns
    with rtnb.replay(path, **options) as session:
        again = talk(session)
        assert shape(again) == shape(turns)
        assert [turn.text_so_far for turn in again] == [turn.text_so_far for turn in turns]
        assert [turn.audio_so_far for turn in again] == [turn.audio_so_far for turn in turns]
        assert session._transport.remaining == 0


@pytest.mark.parametrize("who", ["user", "all"])
def test_any_words_are_answered_in_order(recorded, tmp_path, who):
    path = scrubbed(recorded["text"], tmp_path, text=who)
    answers = [turn.text for turn in rtnb.open(path).turns]
    with rtnb.replay(path) as session:
        turns = [session.send("anything").wait(30) for _ in answers]
        assert [turn.text for turn in turns] == answers
        assert (answers[0] == "xxx xxxx: xxxxx xxxxx") == (who == "all")
        assert "Words were removed from it: turns are answered in their order" in turns[0].source
        more = session.send("anything else").wait(30)
        assert "expected nothing more from the client" in str(more.error)


def test_the_kinds_of_what_is_sent_still_matter(recorded, tmp_path):
    path = scrubbed(recorded["text"], tmp_path, text="all")
    with rtnb.replay(path) as session:
        wrong = session.send(rtnb.Clip.tone(200, 0.7)).wait(30)
        assert isinstance(wrong.error, ServiceError)
        assert "expected conversation.item.create 'xxxxx xxxxx'" in str(wrong.error)
        assert session.send("anything").wait(30).text == "xxx xxxx: xxxxx xxxxx"
    path = scrubbed(recorded["speech"], tmp_path, text="all")
    with rtnb.replay(path) as session:
        assert isinstance(session.send("anything").wait(30).error, ServiceError)


def test_tools_run_while_their_names_and_arguments_stay(recorded, tmp_path):
    with rtnb.replay(scrubbed(recorded["tools"], tmp_path, text="user"), tools=[weather]) as session:
        turn = session.send("anything").wait(30)
        assert [(call.name, call.output) for call in turn.calls] == [("weather", "sunny in Rome")]
        assert session.send("anything").wait(30).status == "completed"
    with rtnb.replay(scrubbed(recorded["tools"], tmp_path, text="all"), tools=[weather]) as session:
        turn = session.send("anything").wait(30)
        assert [(call.name, call.output) for call in turn.calls] == [("xxxxxxx", "xxxxx xx xxxx")]
        assert session.send("anything").wait(30).status == "completed"


@pytest.mark.parametrize("name", SESSIONS)
def test_it_is_configured_as_recorded_with_masked_words(recorded, tmp_path, name):
    path = scrubbed(recorded[name], tmp_path, text="all")
    with rtnb.replay(path) as session:
        assert session.send(rtnb.Clip.tone(300, 1.2) if name == "speech" else "anything") is not None


def test_what_concerns_the_assistant_alone_is_matched_by_words(recorded, tmp_path):
    for rule in ({"text": "assistant"}, {"voice": "all"}):
        with rtnb.replay(scrubbed(recorded["text"], tmp_path, **rule)) as session:
            assert isinstance(session.send("anything").wait(30).error, ServiceError)
            turn = session.send("hello there").wait(30)
            assert turn.status == "completed"
            assert "Words were removed" not in turn.source


def test_strict_mode_compares_bytes_all_the_same(recorded, tmp_path):
    path = scrubbed(recorded["text"], tmp_path, text="user")
    session = rtnb.replay(path, strict=True)
    turn = session.send("anything")
    with pytest.raises(ReplayError, match=r"got conversation\.item\.create 'anything'"):
        _ = turn.text
    assert "Words were removed" not in turn.source
    with pytest.raises(ReplayError):
        session.close()
    session.close()
