"""The threads that an engine's parts run on: one each for the LLM, the recogniser and the voice.

A part is never called twice at once, whoever asks; sessions take turns, so that one that asks for much does
not keep the others waiting longer than the call that is running.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from ..engines.base import Engine

__all__ = ["WorkerThread", "Workers", "lease"]

T = TypeVar("T")


class WorkerThread:
    """One thread and a queue that is fair between owners: each has one job done, then the next owner."""

    def __init__(self, name: str, after: WorkerThread | None = None) -> None:
        """``after`` is a lane of the same part that was ended: its last call must have returned first."""
        self._after = after
        self._jobs: OrderedDict[object, deque[tuple[Future[Any], Callable[[], Any]]]] = OrderedDict()
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, owner: object, job: Callable[[], T]) -> Future[T]:
        """Queue ``job`` for ``owner``. Cancelling the future drops the job if it has not begun."""
        future: Future[T] = Future()
        with self._changed:
            self._jobs.setdefault(owner, deque()).append((future, job))
            self._changed.notify()
        return future

    def end(self) -> None:
        """Drop all jobs that have not begun, and let the thread go."""
        with self._changed:
            self._ended = True
            dropped = [future for jobs in self._jobs.values() for future, _ in jobs]
            self._jobs.clear()
            self._changed.notify()
        for future in dropped:
            future.cancel()

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout)

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._ended)
            if self._ended:
                return None
            owner, jobs = self._jobs.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._jobs[owner] = jobs  # to the end of the line
            return job

    @property
    def alive(self) -> bool:
        """Whether the thread has not ended yet."""
        return self._thread.is_alive()

    def _work(self) -> None:
        if self._after is not None:
            self._after._thread.join()
            self._after = None
        while (job := self._next()) is not None:
            future, call = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # it belongs to whoever waits for the future
                future.set_exception(error)
            else:
                future.set_result(result)


class Workers:
    """The three lanes of one engine."""

    def __init__(self, name: str, after: Workers | None = None) -> None:
        self.llm: WorkerThread = WorkerThread(f"rtnb-llm-{name}", after.llm if after else None)
        self.asr: WorkerThread = WorkerThread(f"rtnb-asr-{name}", after.asr if after else None)
        self.tts: WorkerThread = WorkerThread(f"rtnb-tts-{name}", after.tts if after else None)

    @property
    def alive(self) -> bool:
        """Whether a call may still be running."""
        return any(lane.alive for lane in (self.llm, self.asr, self.tts))

    def end(self) -> None:
        """Drop what waits, and let the threads go."""
        for lane in (self.llm, self.asr, self.tts):
            lane.end()

    def join(self, timeout: float) -> None:
        """Wait, for ``timeout`` seconds a thread at most, until the calls that are running have returned."""
        for lane in (self.llm, self.asr, self.tts):
            lane.join(timeout)


_leases: dict[int, tuple[Workers, int]] = {}
_ending: dict[int, Workers] = {}
_lock = threading.Lock()


@contextmanager
def lease(engine: Engine) -> Iterator[Workers]:
    """Give the workers of ``engine``, the same to all who hold it at a time, in whatever thread."""
    key = id(engine)
    with _lock:
        for other in [other for other, ending in _ending.items() if not ending.alive]:
            del _ending[other]
        workers, holders = _leases.get(key) or (Workers(engine.name, _ending.pop(key, None)), 0)
        _leases[key] = (workers, holders + 1)
    try:
        yield workers
    finally:
        with _lock:
            workers, holders = _leases[key]
            if holders > 1:
                _leases[key] = (workers, holders - 1)
            else:
                del _leases[key]
                _ending[key] = workers
                workers.end()
