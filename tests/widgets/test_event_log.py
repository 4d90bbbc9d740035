"""The kernel's side of the live event log: what a page may ask, what it is told, when it hears of more."""

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
from rtnb.widgets.event_log import MOST_LINES, Desk

KEY = "sk-proj-abcdefghijklmnop0123456789"


def desk_of(state):
    return Desk(Events(state.log, state=lambda: state))


def lines(desk, **message):
    """Ask for lines until all of the log was read, and return the last answer."""
    question = {"type": "lines", "want": {}, "start": 0, "stop": 400} | message
    while True:
        answer, buffers = desk.ask(question)
        assert buffers == []
        json.dumps(answer)  # what crosses the comm is JSON
        if answer["whole"]:
            return answer


def rows_of(answer):
    return [line for line in answer["lines"] if len(line) > 3]


def test_lines_are_told_by_window():
    desk = desk_of(full().state)
    whole = lines(desk)
    assert (whole["total"], whole["size"], whole["error"]) == (len(whole["lines"]), 66, "")
    assert whole["lines"][0] == [-1, 0.0, ""]
    assert whole["lines"][1] == [0, 1, 0.0, 1, "session.created", False, -1, "gpt-4o-realtime-preview"]
    assert [1, 0.16, "How is the weather?"] in whole["lines"]
    assert whole["counts"]["errors"] == 1
    assert whole["counts"]["client"] + whole["counts"]["server"] == 66
    part = lines(desk, start=5, stop=9)
    assert part["lines"] == whole["lines"][5:9]
    tail = lines(desk, start=0, stop=4, tail=True)
    assert (tail["start"], tail["lines"]) == (whole["total"] - 4, whole["lines"][-4:])
    for start, stop in ((-9, 3), (10**9, 10**9 + 5), (7, 2), ("x", None)):
        assert lines(desk, start=start, stop=stop)["error"] == ""
    assert lines(desk, want={"chips": ["errors"]})["total"] == 2


def test_an_answer_is_bounded_and_repeats_its_question():
    log = Log()
    for n in range(2000):
        log.append(b"{}", "server", "a", mono_ns=n, wall_ns=n)
    answer = lines(Desk(Events(log)), start=0, stop=10**9, serial=7, view="v")
    assert len(answer["lines"]) == MOST_LINES
    assert (answer["serial"], answer["view"], answer["total"]) == (7, "v", 2001)


def test_a_search_goes_on_from_question_to_question():
    log = Log()
    for n in range(60_000):
        log.append(b'{"n":%d}' % n, "server", "a", mono_ns=n, wall_ns=n)
    desk = Desk(Events(log))
    seen = []
    for _ in range(200):
        answer, _ = desk.ask({"type": "lines", "want": {"query": "59999"}, "start": 0, "stop": 9})
        seen.append(answer["searched"])
        if answer["whole"]:
            break
    assert seen == sorted(seen)
    assert seen[-1] == 60_000
    assert [line[0] for line in rows_of(answer)] == [59_999]
    found = lines(desk, find=59_999)
    assert found["at"] == 60_000
    assert lines(desk, want={"query": "7"}, find=0)["at"] == -1


def test_a_bad_pattern_is_told_and_others_work_on():
    desk = desk_of(full().state)
    answer = lines(desk, want={"query": "(", "regex": True})
    assert "is not a regular expression" in answer["error"]
    assert answer["lines"] == []
    slow = lines(desk_of(evil().state), want={"query": "(x+x+)+y", "regex": True})
    assert "takes too long" in slow["error"]
    assert lines(desk)["total"] > 60


def evil():
    wire = Wire()
    wire.server("odd", text="x" * 3000)
    return wire


def test_one_event_in_full():
    desk = desk_of(full().state)
    whole = lines(desk)
    run = next(line for line in rows_of(whole) if line[1] == 5)
    event = run[0]
    answer, _ = desk.ask({"type": "look", "event": event})
    assert json.loads(answer["json"])["delta"] == "[audio 100 ms, 4,800 bytes]"
    assert (answer["sounds"], answer["kind"], answer["side"]) == (
        [["delta"]], "response.output_audio.delta", "server"
    )  # fmt: skip
    assert (answer["at"], answer["count"], answer["before"], answer["after"]) == (0, 5, -1, event + 1)
    assert (answer["track"]["label"], answer["track"]["seconds"], answer["track"]["at"]) == (
        "Assistant, turn 1", 0.5, 0.0
    )  # fmt: skip
    last, _ = desk.ask({"type": "look", "event": event + 4})
    assert (last["at"], last["before"], last["after"]) == (4, event + 3, -1)
    assert last["track"]["key"] == answer["track"]["key"]
    for wrong in (-1, 10**9, "0", None, True, 1.5):
        assert desk.ask({"type": "look", "event": wrong}) is None
        assert desk.ask({"type": "copy", "event": wrong}) is None
        assert desk.ask({"type": "sound", "event": wrong}) is None
    assert desk.ask({"type": "nonsense"}) is None
    assert desk.ask({}) is None


def test_frames_that_are_no_json_are_shown_as_text():
    log = Log()
    for frame in (
        b"\xff\xfe plain",
        b"[" * 400 + b"]" * 400,
        b'{"type":"x","t":"' + b"y" * 3_000_000 + b'"}',
    ):
        log.append(frame, "server", "(binary)", mono_ns=0, wall_ns=0)
    desk = Desk(Events(log))
    lines(desk)
    assert json.loads(desk.ask({"type": "look", "event": 0})[0]["json"]) == "\ufffd\ufffd plain"
    assert desk.ask({"type": "look", "event": 1})[0]["json"]
    assert len(desk.ask({"type": "look", "event": 2})[0]["json"]) < 2_100_000


def test_copies_are_whole():
    desk = desk_of(full().state)
    events = desk.events
    lines(desk)
    for number, entry in enumerate(events):
        text = desk.ask({"type": "copy", "event": number, "form": "json"})[0]["text"]
        assert orjson.loads(text) == entry.data
        python = desk.ask({"type": "copy", "event": number, "form": "python"})[0]["text"]
        assert python.startswith("s.send_event(" if entry.direction == "client" else "event = ")


def test_sound_is_that_of_the_item_with_its_events():
    desk = desk_of(full().state)
    event = next(line[0] for line in rows_of(lines(desk)) if line[1] == 5)
    answer, (data,) = desk.ask({"type": "sound", "event": event + 2})
    assert (answer["kind"], answer["error"]) == ("audio/wav", "")
    assert answer["events"] == list(range(event, event + 5))
    assert answer["leads"] == [event] * 5
    assert answer["starts"] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert answer["track"]["at"] == 0.2
    assert Clip.from_bytes(data).to_pcm16() == tone(500)
    assert desk.ask({"type": "sound", "event": event})[1][0] is data
    assert desk.ask({"type": "sound", "event": 0}) is None
    wire = Wire()
    wire.append(tone(8000))
    long = desk_of(wire.state)
    lines(long)
    answer, (data,) = long.ask({"type": "sound", "event": 0})
    assert answer["kind"] == "audio/ogg"
    assert Clip.from_bytes(data).seconds == pytest.approx(8, abs=0.1)


def test_keys_never_reach_a_page():
    wire = Wire()
    wire.client("conversation.item.create", item={"role": "user", "type": "message",
                "content": [{"type": "input_text", "text": f"my key {KEY}"}]})  # fmt: skip
    wire.server("x.delta", delta=KEY)
    desk = desk_of(wire.state)
    told = [str(lines(desk))]
    for event in range(2):
        told += [str(desk.ask({"type": kind, "event": event})[0]) for kind in ("look", "copy")]
        told.append(str(desk.ask({"type": "copy", "event": event, "form": "python"})[0]))
    assert KEY not in "".join(told)


def test_a_page_may_ask_anything_while_the_log_grows():
    wire = full()
    desk = desk_of(wire.state)
    before = lines(desk)
    wire.delta("output_audio", tone(20), "resp_3", "item_a2")
    wire.server("odd", item={"content": [{"audio": b64(tone(20))}]})
    after = lines(desk)
    assert after["lines"][: before["stable"]] == before["lines"][: before["stable"]]
    assert after["total"] == before["total"] + 2


# The widget.

anywidget = pytest.importorskip("anywidget")

from rtnb.widgets.event_log import EventLog  # noqa: E402


def test_the_widget_brings_its_first_picture_along():
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


def test_pages_are_answered_and_hear_of_more():
    wire = full()
    sent = []
    widget = EventLog(Events(wire.state.log, state=lambda: wire.state))
    heard = threading.Event()

    def send(content, buffers=None):
        sent.append(content)
        heard.set()

    widget.send = send
    assert widget.follows
    widget._hear(widget, {"type": "lines", "want": {}, "start": 0, "stop": 2}, [])
    assert sent.pop()["lines"]
    widget._hear(widget, {"type": "nonsense"}, [])
    assert not sent
    heard.clear()
    for _ in range(500):
        wire.server("odd")
    assert heard.wait(20)
    assert sent[0]["type"] == "grown"
    assert len(sent) < 20
    widget.close()
    heard.clear()
    wire.server("odd")
    assert not wire.state.log._watchers


def test_a_widget_that_no_page_shows_rests_and_wakes(monkeypatch):
    monkeypatch.setattr("rtnb.widgets.event_log._ALONE", 0.001)
    monkeypatch.setattr("rtnb.widgets.event_log._TICK", 0.001)
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
    widget._hear(widget, {"type": "lines", "want": {}, "start": 0, "stop": 2}, [])
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
