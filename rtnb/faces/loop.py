"""The event loop that all sessions of a process live on, in a thread of its own.

A notebook's own loop is never used: a busy cell would stop the sound, and a cell that waits would wait for
itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache
from typing import Any, TypeVar

__all__ = ["call", "run"]

T = TypeVar("T")

_POLL = 0.25
"""Seconds between looks for an interrupt: Windows wakes no thread that waits on a lock."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rtnb", daemon=True).start()
    return loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the sessions' loop and return its result. Ctrl-C cancels it."""
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return _result(future)
    except BaseException:
        future.cancel()
        raise


def call(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a plain function on the sessions' loop and return its result."""

    async def called() -> T:
        return function(*args, **kwargs)

    return run(called())


def _result(future: Future[T]) -> T:
    while True:
        try:
            return future.result(_POLL)
        except FutureTimeout:
            if future.done():
                return future.result()
