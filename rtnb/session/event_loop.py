"""The event loop that all sessions of a process live on, in a thread of its own.

A notebook's own loop is never used: a busy cell would stop the sound, and a cell that waits would wait for
itself.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from ..errors import ArgumentError

__all__ = ["POLL", "Notifier", "call", "run"]

POLL = 0.25
"""Seconds between looks for an interrupt: Windows wakes no thread that waits on a lock."""


class Notifier:
    """Counts changes. Whoever waits names the count it has seen, so no change is ever missed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sleepers: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._waiting = 0
        self.count = 0

    def fire(self) -> None:
        """Wake all who wait. One thread fires; where nobody waits it costs next to nothing.

        A waiter announces itself before it looks at the count, and the count rises before the look for
        waiters: so either side sees the other.
        """
        self.count += 1
        if not self._waiting:
            return
        with self._condition:
            self._condition.notify_all()
            sleepers, self._sleepers = self._sleepers, []
        for loop, future in sleepers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, future)

    def wait(self, seen: int, timeout: float | None = None) -> int:
        """Block this thread until the count differs from ``seen`` or ``timeout`` seconds passed."""
        with self._condition:
            self._waiting += 1
            try:
                if self.count == seen:
                    self._condition.wait(timeout)
            finally:
                self._waiting -= 1
            return self.count

    async def changed(self, seen: int) -> int:
        """Wait on the running event loop until the count differs from ``seen``."""
        loop = asyncio.get_running_loop()
        with self._condition:
            self._waiting += 1
            if self.count != seen:
                self._waiting -= 1
                return self.count
            future: asyncio.Future[None] = loop.create_future()
            self._sleepers.append((loop, future))
        try:
            await future
        finally:
            with self._condition:
                self._waiting -= 1
        return self.count


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


T = TypeVar("T")

_END_SECONDS = 1.0
"""How long the process waits at its end for tasks that were cancelled."""


class _Keeper:
    """Starts the loop when it is first needed: once, however many threads ask."""

    def __init__(self) -> None:
        self.forget()
        if sys.platform != "win32":  # a forked child has the memory of the thread, and not the thread
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None

    @property
    def started(self) -> bool:
        """Whether the loop was needed so far."""
        return self._running is not None

    def get(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        with self._lock:
            if self._running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="rtnb", daemon=True)
                thread.start()
                self._running = loop, thread
            return self._running


_keeper = _Keeper()


@atexit.register
def _end() -> None:
    """Let every task end before the interpreter does: what it destroyed unfinished, it would complain of."""
    if _keeper.started:
        with contextlib.suppress(FutureTimeout):
            asyncio.run_coroutine_threadsafe(_cancel_all(), _keeper.get()[0]).result(_END_SECONDS)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the sessions' loop and return its result. Ctrl-C cancels it.

    Raises ArgumentError on that loop's own thread, where waiting would stop every session.
    """
    loop, thread = _keeper.get()
    if threading.current_thread() is thread:
        work.close()
        raise ArgumentError(
            "listeners and async tools run on the sessions' own thread, where nothing may block: "
            "make the tool a plain function, or do this on another thread"
        )
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return _result(future)
    except BaseException:
        future.cancel()
        raise


def call(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a plain function on the sessions' loop and return its result."""
    if threading.current_thread() is _keeper.get()[1]:
        return function(*args, **kwargs)

    async def called() -> T:
        return function(*args, **kwargs)

    return run(called())


def _result(future: Future[T]) -> T:
    while True:
        try:
            return future.result(POLL)
        except FutureTimeout:
            if future.done():
                return future.result()
