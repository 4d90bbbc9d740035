"""The event loop that all sessions of a process run on, in a thread of its own.

A notebook's own loop is never used: a busy cell would stop playback, and a waiting cell would deadlock.
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

from ..errors import ArgumentError, not_copyable

__all__ = ["POLL", "Notifier", "call", "run"]

POLL = 0.25
"""Seconds between checks for an interrupt: on Windows, Ctrl-C does not wake a thread that waits on a lock."""


class Notifier:
    """Counts changes. A waiter passes the count that it has seen, so that no change is missed."""

    __reduce_ex__ = not_copyable("a notifier cannot be pickled or copied: threads and tasks wait on it")

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._futures: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._waiting = 0
        self.count = 0

    def fire(self) -> None:
        """Wake all waiters. Only one thread may call it; without waiters it costs next to nothing.

        A waiter registers before it reads the count, and the count is raised before the check for waiters, so
        one of the two always sees the other.
        """
        self.count += 1
        if not self._waiting:
            return
        with self._condition:
            self._condition.notify_all()
            futures, self._futures = self._futures, []
        for loop, future in futures:
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
            self._futures.append((loop, future))
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
"""How long the process waits for cancelled tasks when it exits."""


class _LoopThread:
    """The loop and its thread, started once when first needed, from whatever thread."""

    def __init__(self) -> None:
        self.reset()
        if sys.platform != "win32":  # a forked child inherits this object but not the thread
            os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None

    @property
    def started(self) -> bool:
        """Whether the loop was started."""
        return self._running is not None

    def get(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        with self._lock:
            if self._running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="rtnb", daemon=True)
                thread.start()
                self._running = loop, thread
            return self._running


_loop_thread = _LoopThread()


@atexit.register
def _end() -> None:
    """Cancel all tasks before the interpreter exits, which warns about pending tasks that it destroys."""
    if _loop_thread.started:
        with contextlib.suppress(FutureTimeout):
            asyncio.run_coroutine_threadsafe(_cancel_all(), _loop_thread.get()[0]).result(_END_SECONDS)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the sessions' loop and return its result. Ctrl-C cancels it.

    Raises ArgumentError on that loop's own thread, where blocking would stop all sessions.
    """
    loop, thread = _loop_thread.get()
    if threading.current_thread() is thread:
        work.close()
        raise ArgumentError(
            "this call would block the sessions' own thread, on which listeners and async tools run: "
            "make the tool a plain function, or call this from another thread"
        )
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return _result(future)
    except BaseException:
        future.cancel()
        raise


def call(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a plain function on the sessions' loop and return its result."""
    if threading.current_thread() is _loop_thread.get()[1]:
        return function(*args, **kwargs)

    async def called() -> T:
        return function(*args, **kwargs)

    return run(called())


def on(loop: asyncio.AbstractEventLoop, function: Callable[..., T], *args: Any) -> T:
    """Call a plain function on a loop, which runs in this thread or another, and return its result."""
    try:
        if asyncio.get_running_loop() is loop:
            return function(*args)
    except RuntimeError:  # no loop runs in this thread
        pass

    async def called() -> T:
        return function(*args)

    return _result(asyncio.run_coroutine_threadsafe(called(), loop))


def _result(future: Future[T]) -> T:
    while True:
        try:
            return future.result(POLL)
        except FutureTimeout:
            if future.done():
                return future.result()
