"""A signal that something changed, for threads and for event loops alike."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["Signal"]


class Signal:
    """Counts changes. Whoever waits names the count it has seen, so no change is ever missed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sleepers: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self.count = 0

    def fire(self) -> None:
        """Wake all who wait."""
        with self._condition:
            self.count += 1
            self._condition.notify_all()
            if not self._sleepers:
                return
            sleepers, self._sleepers = self._sleepers, []
        for loop, future in sleepers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, future)

    def wait(self, seen: int, timeout: float | None = None) -> int:
        """Block this thread until the count differs from ``seen`` or ``timeout`` seconds passed."""
        with self._condition:
            if self.count == seen:
                self._condition.wait(timeout)
            return self.count

    async def changed(self, seen: int) -> int:
        """Wait on the running event loop until the count differs from ``seen``."""
        loop = asyncio.get_running_loop()
        with self._condition:
            if self.count != seen:
                return self.count
            future: asyncio.Future[None] = loop.create_future()
            self._sleepers.append((loop, future))
        await future
        return self.count


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
