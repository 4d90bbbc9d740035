"""The event log's Python side: the fold into rows, what is seen of it, searching, frames, lines and HTML."""

import builtins
import json
import re
from html.parser import HTMLParser
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from frames import Wire, b64, full, tone
from hypothesis import given, settings
from hypothesis import strategies as st

import rtnb
from rtnb.analysis.event_audio import MOST_SECONDS, Tracks
from rtnb.analysis.event_filter import Selection, Wanted
from rtnb.analysis.event_jsonl import lines, read
from rtnb.analysis.event_rows import Rows
from rtnb.analysis.event_search import Search, pattern_finder, text_finder
from rtnb.analysis.event_text import (
    EventDescriber,
    as_json,
    as_python,
    audio_note,
    decoded_audio,
    shown,
    summary,
)
from rtnb.analysis.events import Events
from rtnb.analysis.turn import TurnView
from rtnb.errors import ArgumentError, MissingPackageError, RecordingError
from rtnb.formatting import clock
from rtnb.protocol.audio_formats import AudioFormats
from rtnb.protocol.dialects.names import CLIENT_EVENTS, is_delta
from rtnb.protocol.entries import NO_TURN
from rtnb.protocol.log import Log
from rtnb.protocol.state import SessionState
from rtnb.redaction import known_keys
from rtnb.render.event_table import ROWS_SHOWN, events_html, headline
from rtnb.widgets.event_log import EventQueries

MS = 1_000_000
WALL = 1_700_000_000_000 * MS
KEY = "sk-proj-abcdefghijklmnop0123456789"


def events_of(record, **about):
    return Events(record.log, state=lambda: record, about=about)


def seen(events, **wanted):
    """Return a selection that took in everything."""
    selection = Selection(Rows(events), Wanted(**wanted))
    selection.finish()
    return selection


def types(selection):
    events = selection.rows.events
    return [events[line.event].type for line in selection.lines(0, len(selection)) if line.kind == "row"]


# Any log: known types and others, deltas of several items, duplicated, reordered and missing events.

EVENT = st.tuples(
    st.sampled_from(["client", "server"]),
    st.sampled_from(
        [
            "input_audio_buffer.append",
            "response.output_audio.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.done",
            "conversation.item.added",
            "rate_limits.updated",
            "error",
            "something.new",
            "something.new.delta",
            "",
        ]
    ),
    st.sampled_from([None, "item_1", "item_2", 7, ""]),
    st.integers(-1, 2),
    st.sampled_from(["", "rome", "Rome", "\u00e9\u4e2d", "a\nb", "\\"]),
)
LOG = st.lists(EVENT, max_size=40)


def log_of(rows, log=None):
    """Make a log of drawn events; one in five is no JSON object."""
    log = Log() if log is None else log
    for n, (direction, type, item, turn, text) in enumerate(rows, len(log)):
        event = {"type": type, "item_id": item, "text": text}
        frame = orjson.dumps(event) if n % 5 else text.encode("utf-16")
        log.append(frame, direction, type, mono_ns=n * MS, wall_ns=WALL + n * MS, turn=turn)
    return log


@settings(max_examples=200, deadline=None)
@given(LOG, st.lists(st.integers(0, 40), max_size=4))
def test_every_event_is_in_exactly_one_row_however_the_log_grows(drawn, cuts):
    log = Log()
    events = Events(log)
    rows = Rows(events)
    ends = sorted({min(cut, len(drawn)) for cut in cuts} | {len(drawn)})
    settled = []
    for start, stop in pairwise([0, *ends]):
        log_of(drawn[start:stop], log)
        before = [(rows.row(n), rows.members(n).tolist()) for n in range(rows.settled)]
        assert before == settled[: len(before)] or not settled
        rows.extend()
        settled = [(rows.row(n), rows.members(n).tolist()) for n in range(rows.settled)]
        assert settled[: len(before)] == before, "a row that was settled has changed"
    members = [rows.members(n).tolist() for n in range(len(rows))]
    assert sorted(chain.from_iterable(members)) == list(range(len(drawn)))
    assert [rows.row(n) for n in range(len(rows))] == [(group[0], len(group)) for group in members]
    assert [group[0] for group in members] == sorted(group[0] for group in members)
    for n, group in enumerate(members):
        first = events[group[0]]
        if len(group) > 1:
            assert is_delta(first.type)
        for event in group:
            assert rows.row_at(event) == n
            assert (events[event].type, events[event].direction) == (first.type, first.direction)
            assert events[event].turn == first.turn
            assert rows.item_of(event) == rows.item_of(group[0])
        between = events[group[0] : group[-1] + 1]
        assert len(group) == 1 or all(is_delta(entry.type) for entry in between)
    whole = Rows(events)
    whole.extend()
    assert [whole.row(n) for n in range(len(whole))] == [rows.row(n) for n in range(len(rows))]


@settings(max_examples=200, deadline=None)
@given(
    LOG,
    st.frozensets(
        st.sampled_from(["client", "server", "audio", "text", "tools", "errors", "limits"]), max_size=3
    ),
    st.sampled_from([("", False), ("ROME", False), ("r.me|error", True), ("é", False)]),
    st.booleans(),
    st.integers(0, 40),
)
def test_what_is_seen_equals_a_comprehension_and_stable_lines_stay(drawn, chips, query, each, cut):
    log = log_of(drawn[:cut])
    events = Events(log)
    selection = Selection(Rows(events), Wanted(chips, *query, each))
    selection.finish()
    stable = selection.lines(0, selection.stable)
    log_of(drawn[cut:], log)
    selection.finish()
    assert selection.lines(0, len(stable)) == stable
    found = selection.lines(0, len(selection) + 5)
    assert len(found) == len(selection)
    rows = selection.rows
    needle = re.compile(query[0] if query[1] else re.escape(query[0]), re.IGNORECASE)

    def fits(event):
        entry = events[event]
        sides = chips & {"client", "server"}
        about = [{"audio": 1, "text": 2, "tools": 4, "errors": 8, "limits": 16}[c] for c in chips - sides]
        return (not sides or entry.direction in sides) and (
            not about or any(rows.flags(event) & bit for bit in about)
        )

    def hit(event):
        return not query[0] or needle.search(events[event].frame.decode("utf-8", "replace")) is not None

    wanted = []
    if each:
        wanted = [(event, 1) for event in range(len(log)) if fits(event) and hit(event)]
    else:
        for n in range(len(rows)):
            first, count = rows.row(n)
            if fits(first) and any(hit(event) for event in rows.members(n).tolist()):
                wanted.append((first, count))
    assert [(line.event, line.count) for line in found if line.kind == "row"] == wanted
    turn = None
    for before, line in pairwise([None, *found]):
        if line.kind == "turn":
            assert before is None or before.kind == "row"
            turn = line.turn
        else:
            assert line.turn in (turn, -1)
    assert not found or found[0].kind == "turn"
    for number, line in enumerate(found):
        if line.kind == "row":
            assert selection.line_of(line.event) == number
    shown_events = {event for event, _ in wanted}
    for event in range(len(log)):
        lead = event if each else rows.row(rows.row_at(event))[0]
        assert (selection.line_of(event) >= 0) == (lead in shown_events)


@settings(max_examples=60, deadline=None)
@given(LOG, st.data())
def test_a_part_of_a_log_is_folded_as_a_log_of_its_own(drawn, data):
    log = log_of(drawn)
    part = Events(log)[data.draw(st.slices(len(drawn)))]
    rows = Rows(part)
    rows.extend()
    again = Log()
    for n, entry in enumerate(part):
        again.append(entry.frame, entry.direction, entry.type, mono_ns=n, wall_ns=WALL, turn=entry.turn)
    own = Rows(Events(again))
    own.extend()
    assert [rows.row(n) for n in range(len(rows))] == [own.row(n) for n in range(len(own))]
    assert [part[n].index for n in range(len(part))] == rows.indices(0, len(part)).tolist()


def test_streams_that_alternate_are_a_row_each():
    wire = Wire()
    wire.session()
    wire.ask()
    wire.begin()
    for n in range(6):
        wire.delta("output_audio_transcript", f"word{n} ")
        wire.delta("output_audio", tone(20))
        wire.append(tone(20))
    wire.end()
    selection = seen(events_of(wire.state))
    counts = [(line.kind, line.count) for line in selection.lines(0, 99)]
    assert counts.count(("row", 6)) == 3
    assert len(types(seen(selection.rows.events, each=True))) == len(wire.state.log)


def test_chips_know_what_an_event_holds():
    events = events_of(full().state)
    assert {"conversation.item.create", "response.function_call_arguments.done"} <= set(
        types(seen(events, chips=frozenset({"tools"})))
    )
    assert types(seen(events, chips=frozenset({"limits"}))) == ["rate_limits.updated"]
    assert types(seen(events, chips=frozenset({"errors"}))) == ["error"]
    assert set(types(seen(events, chips=frozenset({"client", "audio"})))) == {
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
    }
    wire = Wire()
    wire.ask()
    wire.begin()
    wire.end(status="failed", details={"error": {"code": "x"}})
    wire.server("conversation.item.input_audio_transcription.failed", item_id="i", error={"message": "no"})
    events = events_of(wire.state)
    assert len(types(seen(events, chips=frozenset({"errors"})))) == 2
    assert headline(events)[-1] == "2 errors"
    queries = EventQueries(events)
    queries.answer({"type": "lines", "filter": {}, "start": 0, "stop": 50})
    bad = [queries.answer({"type": "event", "event": at})[0]["bad"] for at in range(len(events))]
    assert [events[at].type for at, one in enumerate(bad) if one] == [
        "response.done", "conversation.item.input_audio_transcription.failed"
    ]  # fmt: skip


def test_what_a_page_wants_is_read_with_care():
    assert Wanted.of(None) == Wanted.of([]) == Wanted.of({"chips": 7, "query": None}) == Wanted()
    told = {"chips": ["audio", "nonsense", ["x"]], "query": "a", "regex": 1, "each": True}
    told["chips"].pop()
    assert Wanted.of(told) == Wanted(frozenset({"audio"}), "a", True, True)


# Searching.


def test_a_text_is_found_in_every_spelling_of_json():
    frames = [
        '{"a":"Café"}'.encode(),
        b'{"a":"caf\\u00e9"}',
        b'{"a":"caf\\u00E9"}',
        b'{"say":"\\"hi\\" there"}',
        b"\xff\xfe",
        b"",
        b'{"x":"CAFE"}',
    ]
    assert text_finder("café")(frames) == [0, 1, 2]
    assert text_finder('"hi" there')(frames) == [3]
    assert text_finder('"x":"cafe"')(frames) == [6]
    assert text_finder("}{")(frames) == []
    assert text_finder("zz")(frames) == []
    assert text_finder("x")([]) == []


def test_a_bad_pattern_is_a_sentence():
    with pytest.raises(ArgumentError, match=r"'\(' is not a regular expression: missing \)"):
        pattern_finder("(")
    with pytest.raises(ArgumentError, match="at most 1,000 characters"):
        pattern_finder("x" * 1001)
    with pytest.raises(ArgumentError, match="at most 1,000 characters"):
        text_finder("x" * 1001)


@pytest.mark.parametrize("evil", [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}b", r"((a{0,99}){0,99}){0,99}b"])
def test_no_pattern_holds_the_kernel(evil):
    """Each frame is over soon, by its answer or by its limit; how soon is not of interest, that it is."""
    try:
        pattern_finder(evil)([b"a" * 5000 + b"!"] * 50)
    except ArgumentError as error:
        ended = str(error)
    else:
        ended = "takes too long: it did not"
    assert "takes too long" in ended


def test_a_search_goes_on_where_it_stopped():
    log = log_of([("client", "error", None, 0, "rome")] * 9000)
    search = Search(Events(log), text_finder("rome"))
    steps = []
    while search.done < 9000:
        search.look(9000, 0.0)
        steps.append(search.done)
    assert steps == [4096, 8192, 9000]
    assert len(search.look(9000, 0.0)) == 0
    assert search.hits.tolist() == [n for n in range(9000) if n % 5]


def test_find_takes_texts_and_patterns():
    events = events_of(full().state)
    assert {entry.type for entry in events.find("ROME")} == {"response.function_call_arguments.done"}
    assert events.find(re.compile(r"Go+d day\.")).counts() == events.find("good day.").counts()
    assert [e.index for e in events.find(re.compile(rb"item_u1"))] == [
        e.index for e in events.find("item_u1")
    ]
    assert [e.index for e in events[10:20].find("Good")] == [10, 12, 13]
    assert isinstance(events.find("x"), Events)
    assert not events.find(events.filter("*.append")[0].data["audio"][:40])


# The facade.


def test_events_are_a_sequence_that_grows_with_the_session():
    wire = full()
    events = events_of(wire.state, endpoint="a test")
    size = len(events)
    part = events.filter("response.*", turn=1)
    assert isinstance(part, Events)
    assert isinstance(part[2:5], Events)
    assert part.about == events[1:].about == {"endpoint": "a test"}
    assert part.state is wire.state
    assert events.bytes == sum(len(entry.frame) for entry in events) == wire.state.log.bytes
    assert part.bytes == sum(len(entry.frame) for entry in part)
    assert part.counts()["response.output_audio.delta"] == 5
    assert [entry.turn for entry in events.filter(direction="client", turn=2)] == [2]
    wire.server("late")
    assert (len(events), events[-1].type, len(part)) == (size + 1, "late", len(part))
    assert events.nbytes == wire.state.log.nbytes
    assert Events(wire.state.log).state.turns.all[0].inputs == ["item_u1"]


COLUMNS = ["index", "t", "wall", "direction", "type", "turn", "bytes", "event"]


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_data_frames_of_every_kind(kind):
    pytest.importorskip("pyarrow" if kind == "arrow" else kind)
    events = events_of(full().state)
    for part in (events, events[::-3], events[:0]):
        table = part.to_frame(kind)
        rows = table.to_pylist() if kind == "arrow" else None
        if kind == "polars":
            rows = table.to_dicts()
        elif kind == "pandas":
            rows = table.to_dict("records")
        assert list(table.column_names if kind == "arrow" else table.columns) == COLUMNS
        assert len(rows) == len(part)
        for row, entry in zip(rows, part, strict=True):
            assert [row[name] for name in COLUMNS[:7]] == [
                entry.index, entry.t, entry.wall, entry.direction, entry.type, entry.turn, len(entry.frame)
            ]  # fmt: skip
            assert orjson.loads(row["event"])["type"] == entry.type
            assert len(row["event"]) < 800
    assert "[audio 200 ms, 9,600 bytes]" in str(events.filter("*.append").to_frame("pandas").event[0])
    whole = events.filter("*.append").to_frame("pandas", audio=True).event[0]
    assert whole == events.filter("*.append")[0].raw


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_data_frames_of_other_rows_have_the_same_types(kind):
    pytest.importorskip("pyarrow" if kind == "arrow" else kind)
    events = events_of(full().state)
    made = [part.to_frame(kind) for part in (events, events.filter("error"), events[:0])]
    types = [list(map(str, one.schema.types if kind == "arrow" else one.dtypes)) for one in made]
    assert types == types[:1] * 3
    if kind == "pandas":
        assert len({one["type"].cat.categories.dtype for one in made}) == 1
    elif kind == "polars":
        import polars

        assert len(polars.concat(made)) == sum(map(len, made))


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_a_data_frame_of_a_log_that_grows_meanwhile(kind, monkeypatch):
    pytest.importorskip("pyarrow" if kind == "arrow" else kind)
    wire = full()
    before, entry = len(wire.state.log), Log.entry

    def more(log, index):
        wire.client("something.else")
        return entry(log, index)

    monkeypatch.setattr(Log, "entry", more)
    assert len(events_of(wire.state).to_frame(kind)) == before


def test_what_is_no_type_is_refused():
    events = events_of(full().state)
    for wrong in (5, [5], ["error", None], b"error"):
        with pytest.raises(ArgumentError, match="type: expected a str"):
            events.filter(wrong)


def test_turns_are_meant_by_number_or_by_themselves_one_or_several():
    wire = full()
    events, turns = events_of(wire.state), wire.turns
    first, third = list(events.filter(turn=0)), list(events.filter(turn=2))
    assert first
    assert third
    for both in ([0, 2], (0, 2), {0, 2}, np.array([2, 0]), range(0, 4, 2), [turns[0], 2], iter([0, 2])):
        found = list(events.filter(turn=both))
        assert found == sorted(first + third, key=lambda entry: entry.index)
    for one in (0, np.int32(0), turns[0], (0,), range(1), TurnView(wire.state, turns[0])):
        assert list(events.filter(turn=one)) == first
    assert len(events.filter(turn=range(10**30))) == len(events) - len(events.filter(turn=NO_TURN))
    assert len(events.filter(turn=[])) == len(events.filter(turn=10**30)) == 0


@pytest.mark.parametrize("wrong", ["0", b"0", 0.0, True, [0, "1"], [[0]], object(), {"turn": 1}])
def test_what_is_no_turn_is_refused(wrong):
    with pytest.raises(ArgumentError, match="turn: expected a turn, its number, such as 0"):
        events_of(full().state).filter(turn=wrong)


@pytest.mark.parametrize("wrong", ["both", "", 5, ["client"], np.array(["client", "server"])])
def test_what_is_no_direction_is_refused(wrong):
    with pytest.raises(ArgumentError, match="direction: expected 'client' or 'server', got"):
        events_of(full().state).filter(direction=wrong)


@pytest.mark.parametrize("wrong", [5, None, b"x", ["x"], 0.5])
def test_what_is_no_text_and_no_pattern_is_not_looked_for(wrong):
    with pytest.raises(ArgumentError, match="expects a str or a compiled pattern, got"):
        events_of(full().state).find(wrong)


def test_a_data_frame_without_its_package_says_what_to_install(monkeypatch):
    events = events_of(full().state)
    with pytest.raises(ArgumentError, match="'pandas', 'polars', 'arrow'"):
        events.to_frame("excel")
    load = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.partition(".")[0] in ("pandas", "polars", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    for kind in ("pandas", "polars", "arrow"):
        with pytest.raises(MissingPackageError, match=rf"pip install 'rtnb\[{kind}\]'"):
            events.to_frame(kind)


def test_pandas_works_without_arrow(monkeypatch):
    pytest.importorskip("pandas")
    events = events_of(full().state)
    load = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "pyarrow":
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert orjson.loads(events.to_frame().event[0])["type"] == "session.created"


# JSON Lines.


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["client", "server"]),
            st.one_of(
                st.binary(max_size=30),
                st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3).map(
                    lambda value: json.dumps(value).encode()
                ),
                st.just(b'{"a": 1.0, "a": 2}'),
                st.just(b"[" * 254 + b"]" * 254),
                st.just("🦉".encode()),
            ),
            st.integers(0, 10**15),  # 11 days: seconds as a float keep each nanosecond of so long
        ),
        min_size=1,
        max_size=20,
    )
)
def test_json_lines_give_back_every_frame_and_time(tmp_path_factory, drawn):
    record = SessionState()
    for frame_of in drawn:
        direction, frame, mono = frame_of
        record.append(frame, direction, mono_ns=mono, wall_ns=WALL + mono)
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    path.write_bytes(b"".join(lines(record.log, {"endpoint": "here"})))
    again, head, problem = read(path)
    assert problem is None
    assert head == {"endpoint": "here"}
    assert [(e.frame, e.direction, e.type, e.turn, e.t) for e in again.log] == [
        (e.frame, e.direction, e.type, e.turn, e.t) for e in record.log
    ]
    assert [e.wall for e in again.log] == pytest.approx([e.wall for e in record.log], abs=2e-6)


def test_json_lines_open_as_a_recording(tmp_path):
    record = full().state
    about = {"endpoint": "the local engine", "engine": "local", "billed": False, "model": "m", "junk": [1]}
    path = Events(record.log, state=lambda: record, about=about).to_jsonl(tmp_path / "log.jsonl")
    recording = rtnb.open(path)
    assert [entry.frame for entry in recording.log] == [entry.frame for entry in record.log]
    assert (recording.endpoint, recording.engine, recording.billed, recording.model) == (
        "the local engine", "local", False, "m"
    )  # fmt: skip
    assert [turn.text_so_far for turn in recording.turns] == ["Good day.", "It is sunny.", ""]
    assert recording.turns[1].audio_so_far.seconds == 0.5
    assert "log.jsonl" in repr(recording)
    assert recording.problem is None
    assert "log.jsonl" in recording._repr_mimebundle_()["text/html"]
    part = rtnb.open(recording.turns[1].events.to_jsonl(tmp_path / "turn.ndjson"))
    assert part.log[0].t == 0.0
    assert part.log[0].wall == pytest.approx(recording.turns[1].events[0].wall)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b"{}", "its direction must be 'client' or 'server'; got None"),
        (b'{"direction":"client","event":{}}', "its 't' must be a number of seconds; got None"),
        (
            b'{"direction":"client","t":0,"wall":"x","event":{}}',
            "its 'wall' must be a number of seconds; got 'x'",
        ),
        (b'{"direction":"client","t":true,"wall":0,"event":{}}', "its 't' must be a number"),
        (b'{"direction":"client","t":1e300,"wall":0,"event":{}}', "its 't' must be a number"),
        (b'{"direction":"client","t":0,"wall":0}', "it has no event"),
        (b'{"direction":"client","t":0,"wall":0,"base64":"?"}', "its base64 is invalid"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, said):
    path = tmp_path / "x.jsonl"
    good = b'{"direction":"client","t":0,"wall":0,"event":{"type":"a"}}\n'
    path.write_bytes(good + b"\n" + line + b"\n" + good)
    with pytest.raises(RecordingError, match=r"x.jsonl', line 3: " + re.escape(said)):
        rtnb.open(path)


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = Events(full().state.log).to_jsonl(tmp_path / "x.jsonl")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [e.frame for e in rtnb.open(path).log] == [e.frame for e in full().state.log]


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_last_line_that_was_cut_is_left_out_and_reported(tmp_path, cut):
    log = full().state.log
    path = Events(log).to_jsonl(tmp_path / "x.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    recording = rtnb.open(path)
    if cut == 1:  # only the line's end is missing
        assert (len(recording.log), recording.problem) == (len(log), None)
    else:
        assert len(recording.log) == len(log) - 1
        assert recording.problem == f"'x.jsonl' was cut in line {len(log)}, which is left out"


def test_a_clock_that_was_set_back(tmp_path):
    path = tmp_path / "x.jsonl"
    times = [(0, 1000.0), (1.5, 1001.5), (2.5, -500.0), (2.0, 400.0)]
    row = '{"direction":"client","t":%s,"wall":%s,"event":{"type":"a"}}\n'
    path.write_text("".join(row % time for time in times), "utf-8")
    log = rtnb.open(path).log
    assert [entry.t for entry in log] == pytest.approx([t for t, _ in times])
    assert [entry.wall for entry in log] == pytest.approx([wall for _, wall in times])


def test_files_that_are_no_lines(tmp_path):
    with pytest.raises(RecordingError, match="No such file"):
        rtnb.open(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_bytes(b"\n\n")
    with pytest.raises(RecordingError, match="has no event"):
        rtnb.open(tmp_path / "empty.jsonl")
    with pytest.raises(RecordingError, match="cannot be written"):
        events_of(full().state).to_jsonl(tmp_path / "no" / "such" / "x.jsonl")


def test_keys_never_leave(tmp_path, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "0123456789abcdef0123456789abcdef")
    assert "0123456789abcdef0123456789abcdef" in known_keys()
    wire = Wire()
    wire.server("error", error={"message": f"bad key {KEY} and 0123456789abcdef0123456789abcdef"})
    wire.client("session.update", session={"instructions": f"Bearer {KEY}"})
    for n in range(3):
        wire.server("x.delta", delta=f"{KEY} {n}")
    events = events_of(wire.state)
    rows = Rows(events)
    rows.extend()
    describer = EventDescriber(rows, AudioFormats(rows.events.source))
    selection = seen(events)
    words = [describer.describe(line).summary for line in selection.lines(0, 9) if line.kind == "row"]
    assert any("bad key ***" in said for said in words)
    everything = [
        events_html(events),
        events.to_jsonl(tmp_path / "x.jsonl").read_text(),
        str(events.to_frame("arrow").to_pylist()),
        str(events.to_frame("arrow", audio=True).to_pylist()),
        *words,
        *map(as_json, events),
        *map(as_python, events),
    ]
    for text in everything:
        assert KEY not in text
        assert "0123456789abcdef0123456789abcdef" not in text


def test_a_key_in_pieces_or_in_an_address_never_leaves(tmp_path, monkeypatch):
    key = "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", key)
    wire = Wire()
    wire.text("item_u", "Hello")
    wire.ask()
    wire.begin()
    for start in range(0, len(key), 5):
        wire.delta("output_text", key[start : start + 5])
    wire.end()
    events = events_of(wire.state, endpoint=f"wss://somewhere/?api-key={key}")
    path = events.to_jsonl(tmp_path / "x.jsonl")
    assert key not in path.read_text()
    assert rtnb.open(path).endpoint.startswith("wss://somewhere/?api-key=***")
    recording = rtnb.open(path)
    for text in (events_html(events), repr(recording.turns[0]), recording._repr_mimebundle_()["text/html"]):
        assert key not in text
        assert "***" in text


# One event in words.


def test_sound_in_words():
    assert audio_note(4800, 100.0) == "[audio 100 ms, 4,800 bytes]"
    assert audio_note(1_440_000, 30_000.0) == "[audio 30.0 s, 1,440,000 bytes]"
    assert audio_note(5, None) == audio_note(5, float("nan")) == "[audio, 5 bytes]"
    event = {"type": "x", "item": {"content": [{"audio": b64(tone(100))}, {"audio": "not base64!! at all"}]}}
    found = shown(event, "x", rtnb.protocol.conversation.wire_format({"type": "audio/pcmu"}))
    assert found.value["item"]["content"][0]["audio"] == "[audio 600 ms, 4,800 bytes]"
    assert found.value["item"]["content"][1]["audio"] == "not base64!! at all"
    assert found.audio == [(("item", "content", 0, "audio"), 600.0, 4800)]
    picture = {"image_url": "data:image/png;base64," + "A" * 400, "text": "y" * 30_000}
    told = shown(picture, "x", None).value
    assert told["image_url"] == "[image/png, 300 bytes]"
    assert told["text"].endswith("… (10,000 more characters; a copy has them all)")
    deep = orjson.loads(b"[" * 900 + b"]" * 900)
    assert shown(deep, "x", None).value is not None


def test_formats_are_those_of_the_moment():
    wire = Wire()
    wire.append(tone(100))
    wire.session(form={"type": "audio/pcmu"})
    wire.append(bytes(800))
    wire.begin("resp_1")
    wire.delta("output_audio", bytes(800))
    wire.server(
        "response.created", response={"id": "resp_2", "audio": {"output": {"format": {"type": "audio/pcm"}}}}
    )
    wire.delta("output_audio", tone(100), "resp_2", "item_b")
    wire.server("session.updated", session={"audio": {"input": {"format": {"type": "nonsense"}}}})
    wire.server("session.updated", session=7)
    rows = Rows(events_of(wire.state))
    rows.extend()
    describer = EventDescriber(rows, AudioFormats(rows.events.source))
    words = [
        describer.describe(line).summary for line in seen(rows.events).lines(0, 99) if line.kind == "row"
    ]
    assert [said for said in words if "audio" in said] == [
        "[audio 100 ms, 4,800 bytes]",
        "[audio 100 ms, 800 bytes]",
        "[audio 100 ms, 800 bytes]",
        "[audio 100 ms, 4,800 bytes]",
    ]
    assert AudioFormats(Log()).at(0, "client").rate == 24_000


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            {"type": "rate_limits.updated", "rate_limits": [{"name": "t", "limit": 9000, "remaining": 8}]},
            "t 8 of 9,000",
        ),
        ({"type": "rate_limits.updated", "rate_limits": 3}, ""),
        ({"type": "response.done", "response": None}, ""),
        (
            {
                "type": "response.done",
                "response": {"status": "failed", "status_details": {"error": {"code": "x"}}},
            },
            "failed · x",
        ),
        ({"type": "error", "error": {"message": "no\n  such"}}, "no such"),
        ({"type": "session.updated", "session": {"model": "m", "tools": [1, 2]}}, "m · 2 tools"),
        ({"type": "response.create", "response": {"conversation": "none"}}, "out of band"),
        ({"type": "unknown", "text": "w" * 500}, "w" * 159 + "…"),
        ({"type": "x", "item": {"type": "function_call", "name": "f", "arguments": "{}"}}, "f({})"),
        ({"type": "input_audio_buffer.speech_started", "audio_start_ms": 1250}, "at 1,250 ms"),
    ],
)  # fmt: skip
def test_an_event_is_summed_up(event, said):
    direction = "client" if event["type"] in CLIENT_EVENTS else "server"
    assert summary(event, direction) == said


def test_times_are_minutes_seconds_and_milliseconds():
    assert [clock(t) for t in (0, 1.2345, 61.0004, 3599.9999, 3661.5, -0.25)] == [
        "00:00.000", "00:01.234", "01:01.000", "1:00:00.000", "1:01:01.500", "−00:00.250"
    ]  # fmt: skip


def test_a_copy_as_python_runs():
    events = events_of(full().state)
    for entry in events:
        sent = []
        names = {"s": SimpleNamespace(send_event=sent.append)}
        exec(as_python(entry), names)
        assert [names.get("event")] == [entry.data] or sent == [entry.data]
        assert (entry.direction == "client") == bool(sent)
        assert orjson.loads(as_json(entry)) == entry.data
    log = Log()
    log.append(b"\xff{", "server", "(binary)", mono_ns=0, wall_ns=0)
    log.append(b"[" * 900 + b"]" * 900, "server", "(binary)", mono_ns=0, wall_ns=0)
    assert as_python(log[0]) == "frame = b'\\xff{'\n"
    assert as_json(log[0]) == "\ufffd{"
    assert as_python(log[1]).startswith(("event = ", "frame = "))
    assert decoded_audio(log[1]) == []


# The sound around an event.


def tracks_of(record):
    rows = Rows(events_of(record))
    rows.extend()
    return rows, Tracks(rows, AudioFormats(rows.events.source), lambda: record.conversation)


def test_an_event_stands_in_the_sound_of_its_item():
    record = full().state
    rows, tracks = tracks_of(record)
    deltas = [entry.index for entry in record.log.filter("response.output_audio.delta")]
    found = [tracks.of(index) for index in deltas]
    assert [track.at for track in found] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert {(track.key, track.label) for track in found} == {
        (f"out:{deltas[0]}:{deltas[-1]}", "Assistant, turn 2")
    }
    assert found[0].events == deltas
    assert found[0].starts == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert found[0].data == tone(500)
    assert found[0].clip.seconds == found[0].seconds == 0.5
    cut = record.log.filter("conversation.item.truncate")[0].index
    assert tracks.of(cut).at == 0.3
    done = record.log.filter("response.output_audio.done")[0].index
    assert tracks.of(done).at == 0.5
    spoken = record.log.filter("conversation.item.input_audio_transcription.completed")[0].index
    assert (tracks.of(spoken).label, tracks.of(spoken).data) == ("You, turn 2", tone(200))
    assert tracks.of(0) is None
    assert tracks.of(rows.size - 2) is None  # the error


def test_appended_sound_is_that_of_its_turn():
    wire = Wire()
    wire.session({"type": "server_vad"})
    quiet = [len(wire.state.log) for _ in range(3) if wire.append(bytes(960)) is not None]
    wire.server("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    spoken = [len(wire.state.log) for _ in range(4) if wire.append(tone(20)) is not None]
    _, tracks = tracks_of(wire.state)
    assert tracks.of(quiet[0] - 1).events == [n - 1 for n in quiet]
    assert tracks.of(spoken[1] - 1).events == [n - 1 for n in spoken]
    assert tracks.of(spoken[1] - 1).label == "You, turn 1"
    part = events_of(wire.state)[3:]
    some = Rows(part)
    some.extend()
    assert Tracks(some, AudioFormats(some.events.source), lambda: wire.state.conversation).of(0).events == [0]


def test_a_long_track_is_cut_around_its_event():
    wire = Wire()
    wire.session()
    for _ in range(200):
        wire.append(bytes(48_000))
    _, tracks = tracks_of(wire.state)
    for event in (1, 100, 200):
        track = tracks.of(event)
        assert event in track.events
        assert track.at == track.starts[track.events.index(event)]
        assert MOST_SECONDS - 2 <= track.seconds <= MOST_SECONDS or event != 100
        assert track.seconds <= MOST_SECONDS


def test_sound_of_its_own_and_sound_that_is_damaged():
    wire = Wire()
    item = {
        "id": "i",
        "type": "message",
        "role": "user",
        "content": [{"type": "input_audio", "audio": b64(tone(50))}],
    }
    wire.client("conversation.item.create", item=item)
    wire.client("input_audio_buffer.append", audio="AAA")
    wire.server("response.output_audio.delta", item_id="i", delta="%%%%%%%%%%%%%%%%%%%%")
    _, tracks = tracks_of(wire.state)
    assert (tracks.of(0).seconds, tracks.of(0).label) == (0.05, "You, turn 1")
    assert tracks.of(1) is None or tracks.of(1).seconds == 0
    assert tracks.of(2) is None or tracks.of(2).seconds == 0


# The static form.


class Text(HTMLParser):
    """Keeps what a reader sees, and which elements there are."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags = "", []
        self._style = False
        self.feed(str(page))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._style = tag == "style"

    def handle_endtag(self, tag):
        self._style = False

    def handle_data(self, data):
        self.text += "" if self._style else data


def test_the_static_form_shows_turns_rows_and_json():
    events = events_of(full().state)
    page = Text(events_html(events))
    assert page.tags.count("script") == 0
    for said in ("Event log", "66 events", "1 error", "Turn 1", "Turn 2", "00:00.100", "session.created",
                 "response.output_audio.delta (5)", "[audio 500 ms, 24,000 bytes]", "It is sunny.",
                 "completed · 12 tokens in, 4 out", "sunny", '"type": "rate_limits.updated"'):  # fmt: skip
        assert said in page.text, said
    assert "more event" not in page.text or "s.log.to_frame()" in page.text
    bundle = events._repr_mimebundle_()
    assert bundle["text/plain"].startswith("66 events")
    assert "Event log" in Text(events_html(events[:0])).text


def test_the_static_form_is_bounded_and_says_how_to_get_the_rest():
    wire = full()
    for _ in range(500):
        wire.server("odd", text="<b>bold</b>" * 2000)
    page = events_html(events_of(wire.state))
    assert len(page) < 150_000
    seen_page = Text(page)
    assert seen_page.tags.count("details") <= ROWS_SHOWN + 10
    assert "b" not in seen_page.tags[seen_page.tags.index("div") + 3 :]
    assert "more events. In Python" in seen_page.text
    assert "s.log.to_jsonl" in seen_page.text


def test_memory_of_the_fold_is_near_nothing():
    log = log_of([("server", "something.new", None, 0, "")] * 5000)
    rows = Rows(Events(log))
    rows.extend()
    assert rows.nbytes < 40 * len(log)
    assert np.array_equal(rows.first, np.arange(5000))


# The published examples.

EXAMPLES = Path(__file__).parents[3] / "shared" / "protocol"


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the published examples are not at hand")
def test_published_examples_are_shown():
    record = SessionState()
    for side in ("client", "server"):
        for line in (EXAMPLES / f"examples-{side}.jsonl").read_bytes().splitlines():
            told = orjson.loads(line)
            event = next((told[name] for name in ("event", "example", "frame") if name in told), told)
            now = len(record.log) * 10 * MS
            record.append(orjson.dumps(event), side, mono_ns=now, wall_ns=WALL + now)
    events = events_of(record)
    rows, tracks = tracks_of(record)
    describer = EventDescriber(rows, AudioFormats(rows.events.source))
    said = {}
    for line in seen(events).lines(0, 9999):
        if line.kind == "row":
            row = describer.describe(line)
            said[row.type] = row.summary
            tracks.of(line.event)
            shown(events[line.event].data, row.type, None)
    assert len(said) > 30
    assert said["error"]
    assert said["response.done"].startswith(("completed", "in_progress", "cancelled", "failed", "incomplete"))
    assert "Event log" in events_html(events)
