"""A signal that something changed, for threads and for event loops alike."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["POLL", "Signal"]

POLL = 0.25
"""Seconds between looks for an interrupt: Windows wakes no thread that waits on a lock."""


class Signal:
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
