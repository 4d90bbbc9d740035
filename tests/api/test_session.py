"""The blocking face: the same in a script, in threads, under a running loop, and under Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import rtnb
from rtnb.server import launcher

pytestmark = pytest.mark.usefixtures("server_home")


@pytest.fixture
def session() -> rtnb.Session:
    with rtnb.connect(engine="fake") as made:
        yield made


def test_a_session_at_the_end_of_a_cell(session: rtnb.Session) -> None:
    page = session._repr_mimebundle_()["text/html"]
    assert "Session with the embedded engine (fake)" in page
    assert "<table" not in page
    session.send("<script>alert(1)</script> " + "and so on " * 40).wait()
    bundle = session._repr_mimebundle_()
    assert bundle["text/plain"] == repr(session)
    page = bundle["text/html"]
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "…</td>" in page
    assert "<td>completed</td>" in page
    assert "open</p>" in page
    session.close()
    assert "closed</p>" in session._repr_mimebundle_()["text/html"]


def test_a_turn_in_a_script(session: rtnb.Session) -> None:
    turn = session.send("hello there")
    assert turn.text == "You said: hello there"
    assert turn.status == "completed"
    assert turn.audio.seconds > 0
    assert session.usage == turn.usage
    assert session.turns == [turn]
    assert session.model == "gpt-4o-realtime-preview"
    assert "fake" in repr(session)
    assert "1 turn," in repr(session)
    kinds = [(entry.direction, entry.type) for entry in session.log[:3]]
    assert kinds == [
        ("server", "session.created"),
        ("client", "session.update"),
        ("server", "session.updated"),
    ]


def test_deltas_come_while_it_streams(session: rtnb.Session) -> None:
    turn = session.send("tell me a long story")
    deltas = list(turn)
    assert turn.done
    assert {delta.kind for delta in deltas} == {"text", "audio"}
    assert "".join(delta.text for delta in deltas) == turn.text
    assert [delta.t for delta in deltas] == sorted(delta.t for delta in deltas)


def test_wait_with_a_timeout(session: rtnb.Session) -> None:
    turn = session.send("tell me a long story")
    with pytest.raises(rtnb.TurnTimeout):
        turn.wait(0.0)
    assert turn.wait(60) is turn


async def test_under_a_running_loop(session: rtnb.Session) -> None:
    assert session.send("in a cell").text == "You said: in a cell"
    assert session.send("again").wait().input == "again"
    assert session.limits["tokens"]["limit"] == 40_000  # told at the end of a turn
    turn = await session.send("awaited")
    assert turn.text == "You said: awaited"
    texts = [delta.text async for delta in session.send("iterated") if delta.kind == "text"]
    assert "".join(texts) == "You said: iterated"
    first, second = session.send("one"), session.send("two")
    await asyncio.gather(asyncio.wait_for(first, 30), asyncio.wait_for(second, 30))
    assert second.text == "You said: two"


async def test_as_an_async_context_manager() -> None:
    async with rtnb.connect(engine="fake") as session:
        assert (await session.send("hello")).status == "completed"
    assert session.closed
    assert session.turns[0].text == "You said: hello"  # what was said stays readable


def test_from_many_threads(session: rtnb.Session) -> None:
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: texts.append(session.send(f"number {n}").text)) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(texts) == [f"You said: number {n}" for n in range(8)]


def test_tools_run_off_the_sessions_loop() -> None:
    seen: list[str] = []

    def weather(city: str) -> str:
        """Tell the weather."""
        seen.append(threading.current_thread().name)
        time.sleep(0.01)
        return "sunny"

    with rtnb.connect(engine="fake", tools=[weather]) as session:
        turn = session.send("what is the weather in Rome")
        assert turn.text == "The tool said: sunny"
    assert seen != ["rtnb"]


def test_push_to_talk_and_updates(session: rtnb.Session) -> None:
    session.append(rtnb.Clip.tone(300, 1.0))
    assert session.commit().text == "You said: (speech, 1.0 seconds)"
    session.update(modalities="text")
    assert session.send("hello").audio is None
    session.add("first")
    turn = session.send("second")
    assert turn.input  # there at once
    assert turn.wait().input == "first second"
    heard: list[str] = []
    end = session.subscribe(lambda change, number: heard.append(type(change).__name__))
    session.send_event({"type": "input_audio_buffer.clear"})
    session.send("hello").wait()
    end()
    assert "InputCleared" in heard


def test_a_session_that_was_closed(session: rtnb.Session) -> None:
    turn = session.send("hello").wait()
    session.close()
    session.close()
    with pytest.raises(rtnb.SessionClosed):
        session.send("more")
    assert turn.text == "You said: hello"
    assert "closed" in repr(session)


def test_two_sessions_share_one_server() -> None:
    with rtnb.connect(engine="fake") as one, rtnb.connect(engine="fake") as two:
        assert one.send("a").text == "You said: a"
        assert two.send("b").text == "You said: b"
        assert len([s for s in launcher.status() if s.spec.startswith("fake")]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_server_that_dies_is_a_sentence_and_the_next_session_works() -> None:
    session = rtnb.connect(engine="fake")
    (running,) = (s for s in launcher.status() if s.spec.startswith("fake"))
    os.kill(running.pid, signal.SIGSTOP)  # it cannot answer before it dies
    turn = session.send("tell me a long story")
    os.kill(running.pid, signal.SIGKILL)
    turn.wait(60)
    assert turn.status == "failed"
    assert session.closed
    assert isinstance(session.problem, rtnb.ConnectionLost)
    said = str(session.problem)
    assert said.startswith("the process of the engine 'fake' ended")
    assert str(running.log) in said
    assert str(running.log) in str(turn.error)
    with pytest.raises(rtnb.SessionClosed, match=r"\.log\).*Connect again to continue"):
        session.send("more")
    with rtnb.connect(engine="fake") as again:
        assert again.send("back").text == "You said: back"


def test_refused_before_anything_is_opened() -> None:
    for options, words in (
        ({"response_format": {"type": "json_schema"}}, "does not support structured outputs"),
        ({"modalities": "smell"}, "modalities"),
        ({"max_output_tokens": 10**6}, "1 to 4,096"),
        ({"turn_detection": {"silence_ms": 3}}, "unknown field 'silence_ms'"),
    ):
        with pytest.raises(rtnb.ArgumentError, match=words):
            rtnb.connect("ws://127.0.0.1:9/", **options)  # nobody listens there
    with pytest.raises(rtnb.ArgumentError, match="not both"):
        rtnb.connect("gpt-realtime", engine="local")
    with pytest.raises(rtnb.ArgumentError, match="The embedded engine needs none") as refused:
        rtnb.connect(api_key="sk-secret")
    assert "sk-secret" not in str(refused.value)
    with pytest.raises(rtnb.ArgumentError, match="send, recv and close, got int"):
        rtnb.connect(5)
    with pytest.raises(rtnb.ArgumentError, match="engine: expected a str"):
        rtnb.connect(engine=5)
    for timeout in (0, -1, "soon", None, float("nan")):
        with pytest.raises(rtnb.ArgumentError, match="timeout: expected a number of seconds"):
            rtnb.connect(engine="fake", timeout=timeout)
    with pytest.raises(rtnb.AuthError, match="OPENAI_API_KEY"):
        rtnb.connect("gpt-realtime-2.1")
    with pytest.raises(rtnb.ConnectionLost, match="cannot connect"):
        rtnb.connect("ws://127.0.0.1:9/")


INTERRUPTED = """
import asyncio, json, os, signal, sys, threading, time, rtnb
from rtnb.session.event_loop import Notifier
from rtnb.transports import memory

near, far = memory.pair()

def stop():
    "Press Ctrl-C as soon as the main thread waits for the turn."
    codes = set()
    while Notifier.wait.__code__ not in codes:
        time.sleep(0.001)
        frame, codes = sys._current_frames()[threading.main_thread().ident], set()
        while frame:
            codes.add(frame.f_code)
            frame = frame.f_back
    os.kill(os.getpid(), signal.SIGINT)

async def serve():
    async def say(type, **fields):
        await far.send(json.dumps({"type": type, "event_id": "e", **fields}).encode())
    session = {"type": "realtime", "id": "s", "model": "gpt-realtime"}
    await say("session.created", session=session)
    count = 0
    while True:
        try:
            asked = json.loads(await far.recv())
        except rtnb.ConnectionLost:
            return
        if asked["type"] == "session.update":
            await say("session.updated", session=session)
        elif asked["type"] == "response.create":
            count += 1
            response = {"id": f"r{count}", "status": "in_progress", "output": []}
            await say("response.created", response=response)
            if count % 2:  # an answer that never ends by itself
                threading.Thread(target=stop).start()
            else:
                await say("response.done", response={**response, "status": "completed"})
        elif asked["type"] == "response.cancel":
            await say("response.done", response={**response, "status": "cancelled"})

thread = threading.Thread(target=lambda: asyncio.run(serve()))
thread.start()
with rtnb.connect(near) as s:
    for wait in (rtnb.Turn.wait, list, lambda turn: turn.text):
        turn = s.send("for ever")
        try:
            wait(turn)
        except KeyboardInterrupt:
            print(turn.status)
        print(s.send("again").wait().status)
thread.join()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signal")
def test_ctrl_c_cancels_the_turn_and_leaves_a_usable_session() -> None:
    out = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert out.stdout.splitlines() == ["cancelled", "completed"] * 3, out.stderr
    assert (out.returncode, out.stderr) == (0, "")


def test_a_script_that_never_closes_ends_at_once() -> None:
    code = "import rtnb; s = rtnb.connect(engine='fake'); print(s.send('hello').text)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (out.stdout, out.stderr, out.returncode) == ("You said: hello\n", "", 0)
