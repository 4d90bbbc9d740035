"""The sessions' own loop: one for all threads, none of a parent's, and never waited for on itself."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

import rtnb
from rtnb.protocol.changes import Change, Command, ResponseEnded
from rtnb.session import event_loop

pytestmark = pytest.mark.usefixtures("server_home")

RACE = """
import asyncio, sys, threading
from rtnb.session import event_loop as loop
sys.setswitchinterval(1e-6)
start, seen = threading.Barrier(8), set()
def ask():
    start.wait()
    seen.add(loop.call(asyncio.get_running_loop))
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(seen))
"""

FORKED = """
import os, sys, rtnb
s = rtnb.connect(engine="fake")
print(s.send("parent").text, flush=True)
child = os.fork()
if not child:
    try:
        s.send("not mine")
    except rtnb.SessionClosed as error:
        print(error, flush=True)
    with rtnb.connect(engine="fake") as own:
        print(own.send("child").text, flush=True)
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(s.send("still here").text)
"""


def ran(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_many_threads_start_one_loop() -> None:
    assert ran(RACE) == ["1"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_child_has_a_loop_of_its_own_and_leaves_its_parents_sessions_alone() -> None:
    assert ran(FORKED) == [
        "You said: parent",
        "the session belongs to the process that opened it: connect again in this process",
        "You said: child",
        "5",
        "You said: still here",
    ]


def test_a_listener_may_send_and_may_not_wait() -> None:
    errors: list[Exception] = []
    sent: list[rtnb.Turn] = []
    done = threading.Event()

    with rtnb.connect(engine="fake") as session:

        def listen(change: Change | Command, number: int) -> None:
            if isinstance(change, ResponseEnded) and not sent:
                sent.append(session.send("from a listener"))
                for forbidden in (session.close, lambda: session.update(instructions="Be brief.")):
                    try:
                        forbidden()
                    except rtnb.ArgumentError as error:
                        errors.append(error)
                done.set()

        session.subscribe(listen)
        session.send("hello").wait(30)
        assert done.wait(30)
        assert sent[0].wait(30).text == "You said: from a listener"
    assert ["would block" in str(error) for error in errors] == [True, True]


def test_an_async_tool_that_sends_does_not_lock_up() -> None:
    inner: list[rtnb.Turn] = []

    with rtnb.connect(engine="fake") as session:

        async def weather(city: str) -> str:
            """Tell the weather."""
            inner.append(session.send("inner"))
            return "sunny"

        turn = session.send("what is the weather in Rome", tools=[weather])
        assert turn.wait(30).text == "The tool said: sunny"
        assert inner[0].wait(30).text == "You said: inner"


def test_an_error_passes_through() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        event_loop.call(fail)


def test_what_still_runs_ends_with_the_process() -> None:
    code = """
import asyncio
from rtnb.session import event_loop as loop
tasks = []
async def begin():
    async def forever():
        await asyncio.Queue().get()
    tasks.append(asyncio.ensure_future(forever()))
    await asyncio.sleep(0)
loop.run(begin())
"""
    assert ran(code) == []
