"""Timelines of any marks: what was not observed stays unknown, and nothing raises."""

from dataclasses import replace

import pytest
from frames import Wire, full, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from support.turn_times import SPOKEN, any_times, spans_of

import rtnb
from rtnb.analysis.latency import LatencyView
from rtnb.analysis.spans import KINDS, Span, TurnTimes
from rtnb.analysis.timeline import Spread, Timeline
from rtnb.analysis.turn import TurnView
from rtnb.errors import ArgumentError
from rtnb.formatting import clock, milliseconds
from rtnb.protocol.timing import MARKS


@settings(deadline=None, max_examples=150)
@given(any_times)
def test_any_marks_of_a_turn_are_spans_and_no_number_is_invented(times):
    known = {*times.marks.values()}
    for own, _ in times.responses:
        known |= {*own.values()}
    computed = ("speech", "sent", "speaking", "not_played")
    for span in times.spans():
        assert span.kind in KINDS
        assert span.end > span.start
        if span.kind not in computed:
            assert {span.start, span.end} <= known
    latency = times.latency
    zero = times.marks.get(latency.since)
    for name, mark in (("first_text", "first_text"), ("first_sound", "first_sound"), ("total", "done")):
        value = getattr(latency, name)
        if zero is None or mark not in times.marks:
            assert value is None
        else:
            assert value == pytest.approx((times.marks[mark] - zero) * 1000, abs=0.001)
    assert f"turn {times.number + 1}" in repr(Timeline([times]))


@settings(deadline=None, max_examples=60)
@given(st.lists(any_times, max_size=40))
def test_any_turns_have_percentiles(turns):
    timeline = Timeline(turns, whole=True)
    percentiles = timeline.percentiles()
    for name, spread in percentiles.items():
        values = [v for turn in turns if (v := getattr(turn.latency, name)) is not None]
        assert spread.n == len(values)
        assert (spread.max is None) == (not values)
        if values:
            assert min(values) <= spread.p50 <= spread.p90 <= spread.p95 <= spread.max == max(values)
    assert repr(timeline)
    assert len(timeline) == len(turns)


def test_a_mark_that_is_not_a_moment_is_not_known():
    times = TurnTimes(0, marks={"input": float("nan"), "done": float("inf"), "created": 1, "nonsense": 3})
    assert times.marks == {"created": 1.0}


def test_nothing_is_known():
    times = TurnTimes(3)
    assert (times.zero, times.start, times.end, times.spans()) == (None, None, None, [])
    assert repr(Timeline([])) == "Timeline(no turns)"


def test_control_codes_of_a_status_are_not_in_the_text():
    assert "\x1b" not in repr(Timeline([TurnTimes(0, "odd \x1b[2J")]))


def test_spans_of_a_spoken_turn():
    assert spans_of(SPOKEN) == {
        "speech": (1.0, 2.0),
        "waiting": (2.0, 2.06),
        "thinking": (2.06, 2.3),
        "arriving": (2.3, 2.9),
        "speaking": (2.4, 3.4),
        "not_played": (3.4, 6.4),
    }
    notes = {span.kind: span.note for span in SPOKEN.spans()}
    assert notes["speech"] == "computed from the energy of the audio"
    assert notes["speaking"] == "1.00 s of 4.00 s were played"


def test_audio_that_was_sent_at_once_has_no_place_for_its_speech():
    fast = replace(SPOKEN, marks={**SPOKEN.marks, "input": 1.99})
    assert "speech" not in spans_of(fast)
    assert spans_of(fast)["sent"] == (1.99, 2.0)


def test_what_the_server_reports_of_speech_comes_before_the_energy_of_the_audio():
    times = replace(
        SPOKEN, marks={**SPOKEN.marks, "speech_begin": 0.9, "speech_end": 1.9, "speech_stopped": 2.0}
    )
    assert spans_of(times)["speech"] == (0.9, 1.9)
    assert spans_of(times)["pause"] == (1.9, 2.0)
    assert times.latency.since == "speech_end"


def test_without_a_place_of_speech_its_events_are_taken():
    marks = {"speech_started": 1.0, "speech_stopped": 2.0, "committed": 2.1}
    (span,) = TurnTimes(0, marks=marks).spans()
    assert (span.kind, span.start, span.end) == ("speech", 1.0, 2.0)
    assert "arrived" in span.note


def test_responses_of_one_turn_play_one_after_the_other():
    responses = (
        ({"created": 1.0, "first_audio": 1.1, "last_audio": 1.2, "done": 1.3}, 3.0),
        ({"created": 1.5, "first_audio": 1.6, "last_audio": 1.7, "done": 1.8}, 2.0),
    )
    times = TurnTimes(0, marks={"created": 1.0, "done": 1.8}, responses=responses)
    assert times.playback == [(1.1, 4.1), (4.1, 6.1)]
    assert Span("model", "tools", 1.3, 1.5) in times.spans()
    cut = replace(times, played=3.5)
    playback = [span for span in cut.spans() if span.kind in ("speaking", "not_played")]
    playing = [(span.kind, span.start, round(span.end, 3)) for span in playback]
    assert playing == [("speaking", 1.1, 4.1), ("speaking", 4.1, 4.6), ("not_played", 4.6, 6.1)]


def test_what_the_server_played_itself_is_as_it_reported():
    times = replace(SPOKEN, marks={**SPOKEN.marks, "played": 2.6, "played_end": 3.5})
    assert spans_of(times)["speaking"] == (2.6, 3.5)
    assert "not_played" not in spans_of(times)


def test_of_a_record():
    wire = full()
    views = [TurnView(wire.state, fold) for fold in wire.turns]
    assert [len(view.responses) for view in views] == [1, 2, 1]
    second = views[1].timeline
    assert (len(second), second[0].number, second[0].status) == (1, 1, "interrupted")
    assert second[0].seconds == pytest.approx(0.5)
    assert second[0].played == pytest.approx(0.3)
    assert len(Timeline([view.times for view in views])[1:]) == 2


def test_moments_in_words():
    assert [clock(t) for t in (0, 1.5, 61.0004, 3600, -0.25)] == [
        "00:00.000",
        "00:01.500",
        "01:01.000",
        "1:00:00.000",
        "−00:00.250",
    ]
    assert [milliseconds(value) for value in (None, 0, -0.2, 1234.4, -12.0)] == [
        "unknown",
        "0",
        "0",
        "1,234",
        "−12",
    ]


def test_percentiles_are_numpys():
    assert Spread.of([]) == Spread(0)
    values = [float(k) for k in range(1, 101)]
    assert Spread.of(values) == Spread(100, 50.5, pytest.approx(90.1), pytest.approx(95.05), 100.0)
    shown = Timeline([SPOKEN, TurnTimes(1)], whole=True).percentiles()
    assert shown["first_sound"] == Spread(1, 500.0, 500.0, 500.0, 500.0)
    assert shown["detected"] == Spread(0)
    assert "unknown" in repr(shown)


def test_clocks_of_a_latency():
    wire = full()
    latency = TurnView(wire.state, wire.turns[1]).latency
    assert isinstance(latency, LatencyView)
    assert latency.clocks("first_audio") == "measured here"
    assert latency.clocks("first_sound") == "measured here → computed here"
    assert LatencyView.of({}).clocks("total") == "not observed"


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    timeline = Timeline([SPOKEN, TurnTimes(1, "failed")], whole=True)
    frame = timeline.to_frame()
    assert list(frame["turn"]) == [0, 1]
    assert frame["first_sound_ms"][0] == 500.0
    assert pandas.isna(frame["first_sound_ms"][1])
    assert frame["played_s"][0] == 1.0
    assert pandas.isna(frame["played_s"][1])
    assert set(MARKS) <= set(frame.columns)
    assert next(iter(timeline.percentiles().to_frame()["n"])) == 0
    with pytest.raises(ArgumentError, match="kind"):
        timeline.to_frame("spreadsheet")


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_a_frames_types_are_those_of_any_other(kind):
    pytest.importorskip("pyarrow" if kind == "arrow" else kind)
    timelines = [Timeline([SPOKEN], whole=True), Timeline([TurnTimes(1)]), Timeline([])]
    for frames in (
        [timeline.to_frame(kind) for timeline in timelines],
        [timeline.percentiles().to_frame(kind) for timeline in timelines],
    ):
        types = [list(map(str, made.schema.types if kind == "arrow" else made.dtypes)) for made in frames]
        assert types == types[:1] * 3
        assert {"object", "Null", "null"}.isdisjoint(types[0])


def test_live_and_recorded_are_equal(tmp_path, server_home):
    with rtnb.connect(engine="fake") as s:
        s.send("one two three four five").wait(60)
        turn = s.send("six seven eight nine ten").wait(60)
        turn.interrupt(0)
        s.send("and on").wait(60)
        s.save(tmp_path / "a.rtnb")
        live = s.timeline
        html = live._repr_mimebundle_()["text/html"]
    recorded = rtnb.open(tmp_path / "a.rtnb").timeline
    assert recorded._repr_mimebundle_()["text/html"] == html
    assert [one.played for one in recorded] == [None, 0.0, None]
    assert [one.status for one in recorded] == ["completed", "interrupted", "completed"]


def test_a_turn_that_is_running():
    wire = Wire()
    wire.session()
    wire.append(tone(300))
    wire.client("input_audio_buffer.commit")
    wire.ask()
    wire.committed("u")
    view = TurnView(wire.state, wire.turns[0])
    assert view.timeline._repr_mimebundle_()["text/html"]
    assert view.timeline[0].status == "in_progress"
