from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from rtnb.engines.fake import fake
from rtnb.server.workers import WorkerThread, lease


@pytest.fixture
def lane():
    lane = WorkerThread("test")
    yield lane
    lane.end()
    lane.join(30)


@pytest.fixture
def gate(lane):
    """Hold the lane until the gate is opened."""
    opened, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        opened.wait(30)

    lane.submit("gate", wait)
    assert begun.wait(30)
    yield opened
    opened.set()


def test_owners_take_turns(lane, gate):
    order: list[str] = []
    jobs = [lane.submit("a", lambda n=n: order.append(f"a{n}")) for n in range(3)]
    jobs += [lane.submit("b", lambda n=n: order.append(f"b{n}")) for n in range(2)]
    jobs.append(lane.submit("c", lambda: order.append("c0")))
    gate.set()
    for job in jobs:
        job.result(30)
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2"]


def test_a_job_that_was_cancelled_is_not_done(lane, gate):
    done: list[int] = []
    dropped, kept = lane.submit("a", lambda: done.append(1)), lane.submit("a", lambda: done.append(2))
    assert dropped.cancel()
    gate.set()
    kept.result(30)
    assert done == [2]


def test_an_error_belongs_to_who_asked(lane):
    with pytest.raises(ZeroDivisionError):
        lane.submit("a", lambda: 1 / 0).result(30)
    assert lane.submit("a", lambda: 7).result(30) == 7


def test_what_waits_is_dropped_at_the_end(lane, gate):
    waiting = lane.submit("a", lambda: 1)
    lane.end()
    with pytest.raises(CancelledError):
        waiting.result(30)


def test_all_who_use_an_engine_share_its_threads():
    engine = fake({})
    with lease(engine) as one:
        with lease(engine) as two:
            assert one is two
        assert one.llm.submit("a", lambda: threading.current_thread().name).result(30) == "rtnb-llm-fake"
    with lease(engine) as three:
        assert three is not one
    three.join(30)


def test_an_engine_that_is_leased_again_is_still_called_once_at_a_time():
    engine = fake({})
    opened, begun = threading.Event(), threading.Event()
    order: list[str] = []

    def slow() -> None:
        begun.set()
        opened.wait(30)
        order.append("first")

    with lease(engine) as one:
        one.llm.submit("a", slow)
        assert begun.wait(30)
    with lease(engine) as two:
        assert two is not one
        later = two.llm.submit("b", lambda: order.append("second"))
        assert two.tts.submit("b", lambda: 7).result(30) == 7
        assert not later.done()
        opened.set()
        later.result(30)
    assert order == ["first", "second"]
