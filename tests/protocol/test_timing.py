import pytest

from rtnb.protocol.timing import CLOCKS, MARKS, MEASURES, SINCE, WORDS, Latency


def test_no_marks_no_figures():
    latency = Latency.of({})
    assert latency == Latency("")
    assert str(latency) == "latency unknown"


@pytest.mark.parametrize(
    ("marks", "since"),
    [
        ({"speech_end": 1, "requested": 2, "committed": 3, "created": 4}, "speech_end"),
        ({"requested": 2, "committed": 3, "created": 4}, "requested"),
        ({"committed": 3, "created": 4}, "committed"),
        ({"created": 4, "input": 0, "speech_stopped": 1}, "created"),
        ({"input": 0, "done": 9}, ""),
    ],
)
def test_where_the_wait_begins(marks, since):
    assert Latency.of(marks).since == since


def test_figures_are_milliseconds_from_there():
    marks = {
        "speech_end": 1.0,
        "committed": 1.3,
        "first_text": 1.55,
        "first_audio": 1.6,
        "first_sound": 1.6123456,
        "done": 3.0,
    }
    assert Latency.of(marks) == Latency("speech_end", 550.0, 600.0, 612.346, 2000.0, 300.0)
    assert Latency.of({**marks, "speech_stopped": 1.25}).detected == 250
    assert Latency.of(marks).marks == marks
    assert str(Latency.of(marks)) == "first audio 600 ms"


def test_what_was_not_observed_is_none():
    latency = Latency.of({"requested": 1.0, "first_text": 1.2})
    assert (latency.first_text, latency.first_audio, latency.first_sound) == (200.0, None, None)
    assert (latency.total, latency.commit_to_audio) == (None, None)
    assert str(latency) == "first text 200 ms"
    assert Latency.of({"first_audio": 5.0}).first_audio is None


def test_each_mark_is_explained():
    assert all(MARKS.values())
    assert {"speech_end", "requested", "first_sound", "done"} <= set(MARKS)
    assert list(CLOCKS) == list(MARKS) == list(WORDS)
    assert set(CLOCKS.values()) == {"here", "server", "computed", "player"}
    assert set(SINCE) <= set(MARKS)
    assert all(getattr(Latency(""), name) is None for name in MEASURES)
