"""Timelines of any marks: what was not observed stays unknown, and nothing raises."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from frames import Wire, full, tone
from hypothesis import given, settings
from hypothesis import strategies as st

import rtnb
from rtnb.analysis.latency import LatencyView
from rtnb.analysis.spans import KINDS, Span, TurnTimes
from rtnb.analysis.timeline import Spread, Timeline
from rtnb.analysis.turn import TurnView
from rtnb.audio import Clip
from rtnb.errors import ArgumentError
from rtnb.formatting import clock, milliseconds
from rtnb.protocol.timing import MARKS, MEASURES
from rtnb.render.session_timeline_svg import bars_svg, scales, seen, strip_svg
from rtnb.render.svg import rows_for, ticks
from rtnb.render.turn_timeline_svg import turn_svg

moments = st.floats(0, 4000, allow_nan=False)
some_marks = st.dictionaries(st.sampled_from(list(MARKS)), moments)
own_marks = st.dictionaries(
    st.sampled_from(["created", "first_text", "first_audio", "last_audio", "done"]), moments
)
clips = st.sampled_from(
    [None, Clip(np.zeros(0, np.float32), 8000), Clip(np.full(4000, 0.3, np.float32), 8000)]
)
turn_times = st.builds(
    lambda number, status, marks, responses, heard, said, answered: TurnTimes(
        number, status, marks, tuple(responses), heard, "<b>", lambda: said, lambda: answered
    ),
    st.integers(0, 400),
    st.sampled_from(["completed", "interrupted", "failed", "in_progress", "incomplete", "cancelled"]),
    some_marks,
    st.lists(st.tuples(own_marks, st.floats(0, 200)), max_size=3),
    st.none() | st.floats(0, 300),
    clips,
    clips,
)


def pictures(page):
    """Return the pictures of a page, parsed: each is well-formed XML."""
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page, re.S)]


@settings(deadline=None, max_examples=150)
@given(turn_times)
def test_any_marks_of_a_turn_make_a_picture_and_no_number_is_invented(times):
    timeline = Timeline([times])
    page = re.sub(r"data:[^\"]*", "", timeline._repr_mimebundle_()["text/html"])
    pictures(timeline.html())
    assert "nan" not in page
    assert "inf" not in page
    assert page.count("not observed") == len(MARKS) - len(times.marks)
    known = {*times.marks.values()}
    for own, _ in times.responses:
        known |= {*own.values()}
    computed = ("speech", "sound", "speaking", "unheard")
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
    assert f"turn {times.number}" in repr(timeline)


@settings(deadline=None, max_examples=60)
@given(st.lists(turn_times, max_size=40))
def test_any_turns_make_a_session(turns):
    timeline = Timeline(turns, whole=True)
    page = re.sub(r"data:[^\"]*", "", timeline._repr_mimebundle_()["text/html"])
    pictures(timeline.html())
    assert "nan" not in page
    assert "<b>" not in page
    percentiles = timeline.percentiles()
    for name, spread in percentiles.items():
        values = [v for turn in turns if (v := getattr(turn.latency, name)) is not None]
        assert spread.n == len(values)
        assert (spread.max is None) == (not values)
        if values:
            assert min(values) <= spread.p50 <= spread.p90 <= spread.p95 <= spread.max == max(values)
    assert repr(timeline)
    assert len(timeline) == len(turns)


def test_marks_that_are_no_moments_are_not_known():
    times = TurnTimes(0, marks={"input": float("nan"), "done": float("inf"), "created": 1, "nonsense": 3})
    assert times.marks == {"created": 1.0}


def test_nothing_known_says_so():
    times = TurnTimes(3)
    assert (times.zero, times.start, times.end, times.spans()) == (None, None, None, [])
    assert turn_svg(times) == strip_svg([times]) == strip_svg([]) == ""
    page = Timeline([times])._repr_mimebundle_()["text/html"]
    assert "Nothing of this turn was observed." in page
    assert "No turns yet." in Timeline([], whole=True)._repr_mimebundle_()["text/html"]
    assert repr(Timeline([])) == "Timeline(no turns)"
    assert "unknown" in bars_svg([times], scales([times]))
    assert scales([]) == (1.0, 1.0)


SPOKEN = TurnTimes(
    0,
    "interrupted",
    {
        "input": 0.0,
        "input_end": 2.0,
        "requested": 2.0,
        "committed": 2.05,
        "created": 2.06,
        "first_text": 2.3,
        "first_audio": 2.4,
        "first_sound": 2.5,
        "last_audio": 2.9,
        "interrupted": 3.4,
        "cut": 3.45,
        "done": 3.0,
    },
    (({"created": 2.06, "first_text": 2.3, "first_audio": 2.4, "last_audio": 2.9, "done": 3.0}, 4.0),),
    heard=1.0,
    said=lambda: Clip(np.concatenate([np.zeros(8000), np.full(8000, 0.5)]).astype(np.float32), 8000),
    answered=lambda: Clip(np.full(32_000, 0.5, np.float32), 8000),
)


def spans_of(times):
    return {span.kind: (round(span.start, 3), round(span.end, 3)) for span in times.spans()}


def test_stretches_of_a_spoken_turn():
    assert spans_of(SPOKEN) == {
        "speech": (1.0, 2.0),
        "waiting": (2.0, 2.06),
        "thinking": (2.06, 2.3),
        "arriving": (2.3, 2.9),
        "speaking": (2.4, 3.4),
        "unheard": (3.4, 6.4),
    }
    notes = {span.kind: span.note for span in SPOKEN.spans()}
    assert notes["speech"] == "computed from the sound's energy"
    assert notes["speaking"] == "1.00 s of 4.00 s were heard"
    page = Timeline([SPOKEN]).html()
    assert "computed from the sound" in page
    assert "interrupted 1,400" in page
    assert "3.0 s not heard" in page
    assert ">Assistant</text>" in page
    for mark in SPOKEN.marks.keys() - {"input_end"}:  # a mark has one name everywhere
        assert re.search(rf">{mark.replace('_', ' ')}( [−,0-9]+)?</text>", page), mark


def test_sound_that_was_sent_at_once_has_no_place_for_its_speech():
    fast = replace(SPOKEN, marks={**SPOKEN.marks, "input": 1.99})
    assert "speech" not in spans_of(fast)
    assert spans_of(fast)["sound"] == (1.99, 2.0)
    assert "2.00 s of sound, sent at once" in Timeline([fast]).html()


def test_the_servers_word_on_speech_comes_before_the_sounds():
    told = replace(
        SPOKEN, marks={**SPOKEN.marks, "speech_begin": 0.9, "speech_end": 1.9, "speech_stopped": 2.0}
    )
    assert spans_of(told)["speech"] == (0.9, 1.9)
    assert spans_of(told)["pause"] == (1.9, 2.0)
    assert told.latency.since == "speech_end"
    waiting = bars_svg([told], scales([told]))
    assert "600 ms" in waiting  # from the end of speech to the first sound


def test_without_a_place_of_speech_its_notices_tell():
    marks = {"speech_started": 1.0, "speech_stopped": 2.0, "committed": 2.1}
    (span,) = TurnTimes(0, marks=marks).spans()
    assert (span.kind, span.start, span.end) == ("speech", 1.0, 2.0)
    assert "arrivals" in span.note


def test_responses_of_one_turn_sound_one_after_the_other():
    responses = (
        ({"created": 1.0, "first_audio": 1.1, "last_audio": 1.2, "done": 1.3}, 3.0),
        ({"created": 1.5, "first_audio": 1.6, "last_audio": 1.7, "done": 1.8}, 2.0),
    )
    times = TurnTimes(0, marks={"created": 1.0, "done": 1.8}, responses=responses)
    assert times.sounded == [(1.1, 4.1), (4.1, 6.1)]
    assert Span("model", "tools", 1.3, 1.5) in times.spans()
    cut = replace(times, heard=3.5)
    sounding = [(s.kind, s.start, round(s.end, 3)) for s in cut.spans() if s.kind in ("speaking", "unheard")]
    assert sounding == [("speaking", 1.1, 4.1), ("speaking", 4.1, 4.6), ("unheard", 4.6, 6.1)]


def test_what_the_server_played_itself_is_its_word():
    times = replace(SPOKEN, marks={**SPOKEN.marks, "played": 2.6, "played_end": 3.5})
    assert spans_of(times)["speaking"] == (2.6, 3.5)
    assert "unheard" not in spans_of(times)


def test_of_a_record():
    wire = full()
    views = [TurnView(wire.state, fold) for fold in wire.turns]
    assert [len(view.responses) for view in views] == [1, 2, 1]
    second = views[1].timeline
    assert (len(second), second[0].number, second[0].status) == (1, 1, "interrupted")
    assert second[0].seconds == pytest.approx(0.5)
    assert second[0].heard == pytest.approx(0.3)
    page = second._repr_mimebundle_()["text/html"]
    for word in (
        "Made and not heard",
        "Tools run",
        "interrupted",
        "by whose clock",
        "since the session began",
    ):
        assert word in page
    assert "<svg" not in page  # whose words would be left in a heap where a notebook is not trusted
    assert page.count('class="rtnb-frame"') == 1
    assert page.count('class="rtnb-spot"') == page.count("title=")
    spots = re.findall(r'style="left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%"', page)
    assert len(spots) == page.count('class="rtnb-spot"') > 10
    assert all(0 <= float(one[0]) <= 100 and float(one[2]) > 0 for one in spots)
    drawn = second.html()
    assert drawn.count("<svg") == 1
    assert drawn.count("<title>") == len(spots)
    assert len(Timeline([TurnTimes.of(view) for view in views])[1:]) == 2


def test_a_latency_is_shown_with_its_clocks():
    wire = full()
    view = TurnView(wire.state, wire.turns[1])
    latency = view.latency
    assert isinstance(latency, LatencyView)
    page = latency._repr_mimebundle_()["text/html"]
    for word in ("first audio", "computed here", "by whose clock", "unknown", "not observed"):
        assert word in page
    assert "<td>seen here → computed here</td>" in page
    assert "detected" in repr(latency)
    assert "unknown" in repr(LatencyView.of({}))
    assert set(MEASURES) <= set(re.findall(r"[a-z_]+", repr(latency)))
    assert "not observed" in LatencyView.of({})._repr_mimebundle_()["text/html"]


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


def test_labels_find_rows_and_no_leader_crosses_a_text():
    labels = [(10.0, "one long label"), (12.0, "another one"), (40.0, "third"), (300.0, "far")]
    assert rows_for(labels) == [2, 1, 0, 0]
    assert rows_for([]) == []
    assert [ticks(seconds) for seconds in (0.02, 1, 10, 60, 3600)] == [0.01, 0.2, 2, 10, 600]
    assert ticks(1e6) >= 1e6 / 9


def test_a_long_session_is_folded():
    turns = [
        replace(SPOKEN, number=k, marks={n: t + 12 * k for n, t in SPOKEN.marks.items()}) for k in range(300)
    ]
    timeline = Timeline(turns, whole=True)
    page = timeline.html(link=lambda turn: f"#turn-{turn.number}")
    assert page.count("<details") == 13
    assert page.count("<details open") == 1
    assert "Turns 25 to 49: first sound after 500 ms (median)" in page
    assert 'href="#turn-299"' in page
    assert len(page) < 1_500_000
    assert len(Timeline(turns * 2, whole=True).html()) < 3_000_000
    assert "more turns" in Timeline(turns * 2, whole=True).html()


def waiting(seconds, number=0):
    return TurnTimes(number, marks={"requested": 0.0, "first_sound": seconds, "done": seconds})


def test_a_bar_is_broken_only_where_one_of_many_is_far_beyond_the_others():
    few = [waiting(0.4), waiting(2.5)]
    assert scales(few)[0] == 2.5
    assert "longer than is drawn" not in bars_svg(few, scales(few))
    many = [*map(waiting, [0.4] * 19), waiting(2.5)]
    assert scales(many)[0] == pytest.approx(0.6)
    drawn = bars_svg(many, scales(many))
    assert drawn.count("longer than is drawn") == 1
    assert "2,500 ms" in drawn


def test_the_legend_tells_only_of_what_is_seen():
    assert seen([]) == seen([TurnTimes(0)]) == set()
    assert "waiting" in spans_of(SPOKEN)
    long = replace(SPOKEN, responses=((SPOKEN.responses[0][0], 600.0),), heard=None)
    assert {"speech", "thinking", "speaking"} <= seen([long])
    assert "waiting" not in seen([long])  # 60 ms of ten minutes
    assert (
        KINDS["waiting"] not in Timeline([long], whole=True).html().split("rtnb-legend")[-1].split("</ul>")[0]
    )


def test_percentiles_are_numpys():
    assert Spread.of([]) == Spread(0)
    values = [float(k) for k in range(1, 101)]
    assert Spread.of(values) == Spread(100, 50.5, pytest.approx(90.1), pytest.approx(95.05), 100.0)
    shown = Timeline([SPOKEN, TurnTimes(1)], whole=True).percentiles()
    assert shown["first_sound"] == Spread(1, 500.0, 500.0, 500.0, 500.0)
    assert shown["detected"] == Spread(0)
    assert "unknown" in repr(shown)
    assert "unknown" in shown._repr_mimebundle_()["text/html"]


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    timeline = Timeline([SPOKEN, TurnTimes(1, "failed")], whole=True)
    frame = timeline.to_frame()
    assert list(frame["turn"]) == [0, 1]
    assert frame["first_sound_ms"][0] == 500.0
    assert pandas.isna(frame["first_sound_ms"][1])
    assert pandas.isna(frame["heard_s"][1])
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


def test_live_and_recorded_tell_the_same(tmp_path, server_home):
    with rtnb.connect(engine="fake") as s:
        s.send("one two three four five").wait(60)
        turn = s.send("six seven eight nine ten").wait(60)
        turn.interrupt(0)
        s.send("and on").wait(60)
        s.save(tmp_path / "a.rtnb")
        live = s.timeline
        html = live.html()
    recorded = rtnb.open(tmp_path / "a.rtnb").timeline
    assert recorded.html() == html
    assert [one.heard for one in recorded] == [None, 0.0, None]
    assert [one.status for one in recorded] == ["completed", "interrupted", "completed"]


def test_silence_and_noise_of_a_wire():
    wire = Wire()
    wire.session()
    wire.append(tone(300))
    wire.client("input_audio_buffer.commit")
    wire.ask()
    wire.committed("u")
    view = TurnView(wire.state, wire.turns[0])
    assert view.timeline._repr_mimebundle_()["text/html"]
    assert view.timeline[0].status == "in_progress"
