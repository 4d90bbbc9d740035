"""The worker threads of an engine: one each for the language model, the recognizer and the voice.

So a part is never called twice at once. Sessions take turns, so that a session with many calls delays the
others only by the call that is running.
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
    """A thread with a queue that is fair between owners: one job of each owner in turn."""

    def __init__(self, name: str, after: WorkerThread | None = None) -> None:
        """``after`` is an ended worker of the same part, whose last call must return first."""
        self._after = after
        self._jobs: OrderedDict[object, deque[tuple[Future[Any], Callable[[], Any]]]] = OrderedDict()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, owner: object, job: Callable[[], T]) -> Future[T]:
        """Queue ``job`` for ``owner``. Cancelling the future drops the job if it has not started."""
        future: Future[T] = Future()
        with self._changed:
            self._jobs.setdefault(owner, deque()).append((future, job))
            self._changed.notify()
        return future

    def end(self) -> None:
        """Drop all jobs that have not started, and let the thread end."""
        with self._changed:
            self._stopped = True
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
            self._changed.wait_for(lambda: self._jobs or self._stopped)
            if self._stopped:
                return None
            owner, jobs = self._jobs.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._jobs[owner] = jobs  # at the end of the queue
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
            except BaseException as error:  # raised to the owner, by the future
                future.set_exception(error)
            else:
                future.set_result(result)


class Workers:
    """The three workers of one engine."""

    def __init__(self, name: str, after: Workers | None = None) -> None:
        self.llm: WorkerThread = WorkerThread(f"rtnb-llm-{name}", after.llm if after else None)
        self.asr: WorkerThread = WorkerThread(f"rtnb-asr-{name}", after.asr if after else None)
        self.tts: WorkerThread = WorkerThread(f"rtnb-tts-{name}", after.tts if after else None)

    @property
    def alive(self) -> bool:
        """Whether a call may still be running."""
        return any(worker.alive for worker in (self.llm, self.asr, self.tts))

    def end(self) -> None:
        """Drop all jobs that have not started, and let the threads end."""
        for worker in (self.llm, self.asr, self.tts):
            worker.end()

    def join(self, timeout: float) -> None:
        """Wait until the running calls have returned, at most ``timeout`` seconds per thread."""
        for worker in (self.llm, self.asr, self.tts):
            worker.join(timeout)


_leases: dict[int, tuple[Workers, int]] = {}
_ending: dict[int, Workers] = {}
_lock = threading.Lock()


@contextmanager
def lease(engine: Engine) -> Iterator[Workers]:
    """Yield the workers of ``engine``; leases at the same time, from any thread, share them."""
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
