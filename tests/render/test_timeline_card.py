"""The cards of timelines and latency: pictures are well-formed, sizes limited, and nothing is invented."""

import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace

import pytest
from frames import full
from hypothesis import given, settings
from hypothesis import strategies as st
from support.turn_times import SPOKEN, any_times, session_of, spans_of, waiting

from rtnb.analysis.latency import LatencyView
from rtnb.analysis.spans import KINDS, TurnTimes
from rtnb.analysis.timeline import Timeline
from rtnb.analysis.turn import TurnView
from rtnb.protocol.timing import MARKS, MEASURES
from rtnb.render.session_timeline_svg import bars_svg, scales, seen, strip_svg
from rtnb.render.svg import rows_for, ticks
from rtnb.render.timeline_card import timeline_html, timeline_section
from rtnb.render.turn_timeline_svg import turn_svg


def pictures(page):
    """Return the pictures of a page, parsed: each is well-formed XML."""
    images = [b64decode(found).decode() for found in re.findall(r'data:image/svg\+xml;base64,([^"]*)', page)]
    return [ET.fromstring(found) for found in [*re.findall(r"<svg.*?</svg>", page, re.S), *images]]


def shown(thing):
    return thing._repr_mimebundle_()["text/html"]


def without_pictures(page):
    return re.sub(r"data:[^\"]*", "", page)


@settings(deadline=None, max_examples=150)
@given(any_times)
def test_any_marks_of_a_turn_make_a_picture(times):
    timeline = Timeline([times])
    assert bool(pictures(timeline_section(timeline))) == (times.zero is not None)
    assert bool(pictures(shown(timeline))) == (times.zero is not None)
    page = without_pictures(shown(timeline))
    assert "nan" not in page
    assert "inf" not in page
    assert page.count("not observed") == len(MARKS) - len(times.marks)


@settings(deadline=None, max_examples=60)
@given(st.lists(any_times, max_size=40))
def test_any_turns_make_a_session(turns):
    timeline = Timeline(turns, whole=True)
    pictures(timeline_section(timeline))
    pictures(shown(timeline))
    page = without_pictures(shown(timeline))
    assert "nan" not in page
    assert "<b>" not in page


def test_nothing_is_known():
    times = TurnTimes(3)
    assert turn_svg(times) == strip_svg([times]) == strip_svg([]) == ""
    assert "Nothing of this turn was observed." in shown(Timeline([times]))
    assert "No turns yet." in shown(Timeline([], whole=True))
    assert "unknown" in bars_svg([times], scales([times]))
    assert scales([]) == (1.0, 1.0)


def test_a_spoken_turn():
    page = timeline_section(Timeline([SPOKEN]))
    assert "computed from the energy of the audio" in page
    assert "interrupted 1,400" in page
    assert "3.0 s not played" in page
    assert ">Assistant</text>" in page
    for mark in SPOKEN.marks.keys() - {"input_end"}:  # a mark has one name everywhere
        assert re.search(rf">{mark.replace('_', ' ')}( [−,0-9]+)?</text>", page), mark


def test_audio_that_was_sent_at_once_is_said_to_be():
    fast = replace(SPOKEN, marks={**SPOKEN.marks, "input": 1.99})
    assert "2.00 s of audio, sent at once" in timeline_section(Timeline([fast]))


def test_waiting_begins_at_the_end_of_speech():
    marks = {**SPOKEN.marks, "speech_begin": 0.9, "speech_end": 1.9, "speech_stopped": 2.0}
    times = replace(SPOKEN, marks=marks)
    assert "600 ms" in bars_svg([times], scales([times]))


def test_of_a_record():
    wire = full()
    second = TurnView(wire.state, wire.turns[1]).timeline
    page = shown(second)
    for word in (
        "Generated but not played",
        "Tools run",
        "interrupted",
        "by which clock",
        "since the session began",
    ):
        assert word in page
    assert "<svg" not in page  # a notebook that is not trusted would leave its text in a heap
    assert page.count('class="rtnb-frame"') == 1
    assert page.count('class="rtnb-spot"') == page.count("title=")
    spots = re.findall(r'style="left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%"', page)
    assert len(spots) == page.count('class="rtnb-spot"') > 10
    assert all(0 <= float(one[0]) <= 100 and float(one[2]) > 0 for one in spots)
    drawn = timeline_section(second)
    assert drawn.count("<svg") == 1
    assert drawn.count("<title>") == len(spots)


def test_a_latency_is_shown_with_its_clocks():
    wire = full()
    latency = TurnView(wire.state, wire.turns[1]).latency
    page = shown(latency)
    for word in ("first audio", "computed here", "by which clock", "unknown", "not observed"):
        assert word in page
    assert "<td>measured here → computed here</td>" in page
    assert "detected" in repr(latency)
    assert "unknown" in repr(LatencyView.of({}))
    assert set(MEASURES) <= set(re.findall(r"[a-z_]+", repr(latency)))
    assert "not observed" in shown(LatencyView.of({}))


def test_labels_find_rows_and_no_leader_crosses_a_text():
    labels = [(10.0, "one long label"), (12.0, "another one"), (40.0, "third"), (300.0, "far")]
    assert rows_for(labels) == [2, 1, 0, 0]
    assert rows_for([]) == []
    assert [ticks(seconds) for seconds in (0.02, 1, 10, 60, 3600)] == [0.01, 0.2, 2, 10, 600]
    assert ticks(1e6) >= 1e6 / 9


def test_a_long_session_is_folded():
    turns = session_of(300)
    page = timeline_section(Timeline(turns, whole=True), link=lambda turn: f"#turn-{turn.number}")
    assert page.count("<details") == 13
    assert page.count("<details open") == 1
    assert "Turns 26 to 50: first sound after 500 ms (median)" in page
    assert 'href="#turn-299"' in page
    assert len(page) < 1_500_000
    longer = timeline_section(Timeline(turns * 2, whole=True))
    assert len(longer) < 3_000_000
    assert "more turns" in longer


@pytest.mark.parametrize(("count", "most"), [(8, 45_000), (50, 200_000), (51, 80_000), (1100, 300_000)])
def test_the_size_of_what_a_notebook_saves_is_limited(count, most):
    assert len(timeline_html(Timeline(session_of(count), whole=True))) < most


def test_the_pictures_of_a_long_session_have_all_turns():
    turns = session_of(120)
    page = timeline_html(Timeline(turns, whole=True))
    text = "".join(text for picture in pictures(page) for text in picture.itertext())
    assert text.count("500 ms") == text.count("1.0 of 4.0 s played") == 120
    assert 'class="rtnb-spot"' not in page
    assert "and 70 more turns" in page
    spoken = [round(turn.spans()[0].start) for turn in turns]
    strip = pictures(page)[0]
    bars = next(path for path in strip.iter() if path.get("stroke") == "#2a7ab8").get("d")
    assert bars.count("h") == len(spoken)


def test_a_shorter_session_keeps_its_tooltips():
    page = timeline_html(Timeline(session_of(50), whole=True))
    assert 'title="Turn 49. Generated but not played: 3.000 s"' in page


def test_a_bar_is_broken_only_where_one_of_many_is_far_beyond_the_others():
    few = [waiting(0.4), waiting(2.5)]
    assert scales(few)[0] == 2.5
    assert "longer than is drawn" not in bars_svg(few, scales(few))
    many = [*map(waiting, [0.4] * 19), waiting(2.5)]
    assert scales(many)[0] == pytest.approx(0.6)
    drawn = bars_svg(many, scales(many))
    assert drawn.count("longer than is drawn") == 1
    assert "2,500 ms" in drawn


def test_the_legend_explains_only_what_is_seen():
    assert seen([]) == seen([TurnTimes(0)]) == set()
    assert "waiting" in spans_of(SPOKEN)
    long = replace(SPOKEN, responses=((SPOKEN.responses[0][0], 600.0),), played=None)
    assert {"speech", "thinking", "speaking"} <= seen([long])
    assert "waiting" not in seen([long])  # 60 ms of ten minutes
    section = timeline_section(Timeline([long], whole=True))
    assert KINDS["waiting"] not in section.split("rtnb-legend")[-1].split("</ul>")[0]


def test_percentiles_count_the_turns_that_have_a_measure():
    page = shown(Timeline([SPOKEN, TurnTimes(1)], whole=True).percentiles())
    assert "unknown" in page
    assert "Milliseconds over 2 turns; a measure counts the turns that have it." in page
