"""The kernel's side of the live event log: the queries of pages, their answers, and notifications."""

import asyncio
import json
import threading
import time

import orjson
import pytest
from frames import Wire, b64, full, tone

import rtnb
from rtnb import Clip
from rtnb.analysis.events import Events
from rtnb.protocol.log import Log
from rtnb.widgets.event_log import MAX_LINES, EventQueries

KEY = "sk-proj-abcdefghijklmnop0123456789"


def queries_of(state):
    return EventQueries(Events(state.log, state=lambda: state))


def lines(queries, **message):
    """Query lines until all of the log was read, and return the last answer."""
    query = {"type": "lines", "filter": {}, "start": 0, "stop": 400} | message
    while True:
        answer, buffers = queries.answer(query)
        assert buffers == []
        json.dumps(answer)  # what crosses the comm is JSON
        if answer["whole"]:
            return answer


def rows_of(answer):
    return [line for line in answer["lines"] if len(line) > 3]


def test_lines_are_returned_by_window():
    queries = queries_of(full().state)
    whole = lines(queries)
    assert (whole["total"], whole["size"], whole["error"]) == (len(whole["lines"]), 66, "")
    assert whole["lines"][0] == [-1, 0.0, ""]
    assert whole["lines"][1] == [0, 1, 0.0, 1, "session.created", False, -1, "gpt-4o-realtime-preview"]
    assert [1, 0.16, "How is the weather?"] in whole["lines"]
    assert whole["counts"]["errors"] == 1
    assert whole["counts"]["client"] + whole["counts"]["server"] == 66
    part = lines(queries, start=5, stop=9)
    assert part["lines"] == whole["lines"][5:9]
    tail = lines(queries, start=0, stop=4, tail=True)
    assert (tail["start"], tail["lines"]) == (whole["total"] - 4, whole["lines"][-4:])
    for start, stop in ((-9, 3), (10**9, 10**9 + 5), (7, 2), ("x", None)):
        assert lines(queries, start=start, stop=stop)["error"] == ""
    assert lines(queries, filter={"chips": ["errors"]})["total"] == 2


def test_an_answer_is_bounded_and_repeats_its_query():
    log = Log()
    for n in range(2000):
        log.append(b"{}", "server", "a", mono_ns=n, wall_ns=n)
    answer = lines(EventQueries(Events(log)), start=0, stop=10**9, serial=7, view="v")
    assert len(answer["lines"]) == MAX_LINES
    assert (answer["serial"], answer["view"], answer["total"]) == (7, "v", 2001)


def test_a_search_continues_from_query_to_query():
    log = Log()
    for n in range(60_000):
        log.append(b'{"n":%d}' % n, "server", "a", mono_ns=n, wall_ns=n)
    queries = EventQueries(Events(log))
    seen = []
    for _ in range(200):
        answer, _ = queries.answer({"type": "lines", "filter": {"query": "59999"}, "start": 0, "stop": 9})
        seen.append(answer["searched"])
        if answer["whole"]:
            break
    assert seen == sorted(seen)
    assert seen[-1] == 60_000
    assert [line[0] for line in rows_of(answer)] == [59_999]
    found = lines(queries, find=59_999)
    assert found["at"] == 60_000
    assert lines(queries, filter={"query": "7"}, find=0)["at"] == -1


def test_a_bad_pattern_is_reported_and_others_still_work():
    queries = queries_of(full().state)
    answer = lines(queries, filter={"query": "(", "regex": True})
    assert "is not a regular expression" in answer["error"]
    assert answer["lines"] == []
    slow = lines(queries_of(evil().state), filter={"query": "(x+x+)+y", "regex": True})
    assert "takes too long" in slow["error"]
    assert lines(queries)["total"] > 60


def evil():
    wire = Wire()
    wire.server("odd", text="x" * 3000)
    return wire


def test_one_event_in_full():
    queries = queries_of(full().state)
    whole = lines(queries)
    run = next(line for line in rows_of(whole) if line[1] == 5)
    event = run[0]
    answer, _ = queries.answer({"type": "event", "event": event})
    assert json.loads(answer["json"])["delta"] == "[audio 100 ms, 4,800 bytes]"
    assert (answer["audio_paths"], answer["kind"], answer["side"]) == (
        [["delta"]], "response.output_audio.delta", "server"
    )  # fmt: skip
    assert (answer["at"], answer["count"], answer["before"], answer["after"]) == (0, 5, -1, event + 1)
    assert (answer["track"]["label"], answer["track"]["seconds"], answer["track"]["at"]) == (
        "Assistant, turn 2", 0.5, 0.0
    )  # fmt: skip
    last, _ = queries.answer({"type": "event", "event": event + 4})
    assert (last["at"], last["before"], last["after"]) == (4, event + 3, -1)
    assert last["track"]["key"] == answer["track"]["key"]
    for wrong in (-1, 10**9, "0", None, True, 1.5):
        assert queries.answer({"type": "event", "event": wrong}) is None
        assert queries.answer({"type": "copy", "event": wrong}) is None
        assert queries.answer({"type": "audio", "event": wrong}) is None
    assert queries.answer({"type": "nonsense"}) is None
    assert queries.answer({}) is None


def test_frames_that_are_not_json_are_shown_as_text():
    log = Log()
    for frame in (
        b"\xff\xfe plain",
        b"[" * 400 + b"]" * 400,
        b'{"type":"x","t":"' + b"y" * 3_000_000 + b'"}',
    ):
        log.append(frame, "server", "(binary)", mono_ns=0, wall_ns=0)
    queries = EventQueries(Events(log))
    lines(queries)
    assert json.loads(queries.answer({"type": "event", "event": 0})[0]["json"]) == "\ufffd\ufffd plain"
    assert queries.answer({"type": "event", "event": 1})[0]["json"]
    assert len(queries.answer({"type": "event", "event": 2})[0]["json"]) < 2_100_000


def test_copies_are_whole():
    queries = queries_of(full().state)
    events = queries.events
    lines(queries)
    for number, entry in enumerate(events):
        text = queries.answer({"type": "copy", "event": number, "form": "json"})[0]["text"]
        assert orjson.loads(text) == entry.data
        python = queries.answer({"type": "copy", "event": number, "form": "python"})[0]["text"]
        assert python.startswith("s.send_event(" if entry.direction == "client" else "event = ")


def test_audio_is_that_of_the_item_with_its_events():
    queries = queries_of(full().state)
    event = next(line[0] for line in rows_of(lines(queries)) if line[1] == 5)
    answer, (data,) = queries.answer({"type": "audio", "event": event + 2})
    assert (answer["kind"], answer["error"]) == ("audio/wav", "")
    assert answer["events"] == list(range(event, event + 5))
    assert answer["leads"] == [event] * 5
    assert answer["starts"] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert answer["track"]["at"] == 0.2
    assert Clip.from_bytes(data).to_pcm16() == tone(500)
    assert queries.answer({"type": "audio", "event": event})[1][0] is data
    assert queries.answer({"type": "audio", "event": 0}) is None
    wire = Wire()
    wire.append(tone(8000))
    long = queries_of(wire.state)
    lines(long)
    answer, (data,) = long.answer({"type": "audio", "event": 0})
    assert answer["kind"] == "audio/ogg"
    assert Clip.from_bytes(data).seconds == pytest.approx(8, abs=0.1)


def test_keys_never_reach_a_page():
    wire = Wire()
    wire.client("conversation.item.create", item={"role": "user", "type": "message",
                "content": [{"type": "input_text", "text": f"my key {KEY}"}]})  # fmt: skip
    wire.server("x.delta", delta=KEY)
    queries = queries_of(wire.state)
    texts = [str(lines(queries))]
    for event in range(2):
        texts += [str(queries.answer({"type": kind, "event": event})[0]) for kind in ("event", "copy")]
        texts.append(str(queries.answer({"type": "copy", "event": event, "form": "python"})[0]))
    assert KEY not in "".join(texts)


def test_a_page_may_query_while_the_log_grows():
    wire = full()
    queries = queries_of(wire.state)
    before = lines(queries)
    wire.delta("output_audio", tone(20), "resp_3", "item_a2")
    wire.server("odd", item={"content": [{"audio": b64(tone(20))}]})
    after = lines(queries)
    assert after["lines"][: before["stable"]] == before["lines"][: before["stable"]]
    assert after["total"] == before["total"] + 2


# The widget.

anywidget = pytest.importorskip("anywidget")

from rtnb.widgets.event_log import EventLog  # noqa: E402


def test_the_widget_is_sent_with_its_first_lines():
    state = full().state
    widget = EventLog(Events(state.log, state=lambda: state, finished=True))
    assert not widget.follows
    assert widget.first["lines"][1][4] == "session.created"
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "Event log" in data["text/html"]
    assert "session.created" in data["text/html"]
    assert len(json.dumps(widget.first)) < 20_000
    assert repr(widget).startswith("66 events")
    widget.close()


def test_pages_are_answered_and_notified():
    wire = full()
    sent = []
    widget = EventLog(Events(wire.state.log, state=lambda: wire.state))
    notified = threading.Event()

    def send(content, buffers=None):
        sent.append(content)
        notified.set()

    widget.send = send
    assert widget.follows
    widget._on_message(widget, {"type": "lines", "filter": {}, "start": 0, "stop": 2}, [])
    assert sent.pop()["lines"]
    widget._on_message(widget, {"type": "nonsense"}, [])
    assert not sent
    notified.clear()
    for _ in range(500):
        wire.server("odd")
    assert notified.wait(20)
    assert sent[0]["type"] == "grown"
    assert len(sent) < 20
    widget.close()
    notified.clear()
    wire.server("odd")
    assert not wire.state.log._watchers


def test_a_widget_that_no_page_shows_stops_watching_until_the_next_query(monkeypatch):
    monkeypatch.setattr("rtnb.widgets.event_log._NOTIFY_UNANSWERED_SECONDS", 0.001)
    monkeypatch.setattr("rtnb.widgets.event_log._NOTIFY_SECONDS", 0.001)
    wire = full()
    widget = EventLog(Events(wire.state.log, state=lambda: wire.state))
    sent = []
    widget.send = lambda content, buffers=None: sent.append(content)
    for _ in range(5000):
        wire.server("odd")
        time.sleep(0.002)
        if not wire.state.log._watchers:
            break
    assert not wire.state.log._watchers
    assert 30 <= len(sent) <= 33
    widget._on_message(widget, {"type": "lines", "filter": {}, "start": 0, "stop": 2}, [])
    assert wire.state.log._watchers
    widget.close()
    assert not wire.state.log._watchers


async def test_a_sessions_log_is_live():
    session = rtnb.connect(engine="fake")
    try:
        log = session.log
        assert log.live
        assert not log[:].live
        assert log.about["engine"] == "fake"
        widget = EventLog(log)
        sent = []
        widget.send = lambda content, buffers=None: sent.append(content)
        turn = session.send("hello")
        await turn
        until = time.monotonic() + 20
        while not sent and time.monotonic() < until:
            await asyncio.sleep(0.01)
        assert sent[0]["type"] == "grown"
        assert turn.events.counts()["response.done"] == 1
        assert isinstance(turn.events, Events)
        widget.close()
    finally:
        session.close()
