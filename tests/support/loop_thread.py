"""An event loop on a thread of its own, for servers that a blocking client talks to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from rtnb.engines.fake import fake
from rtnb.server.app import App

__all__ = ["LoopThread", "real_server"]

T = TypeVar("T")
PATIENCE = 60.0


class LoopThread:
    """The loop, from ``with`` to the end of it."""

    def __enter__(self) -> LoopThread:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    @contextmanager
    def entered(self, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter an asynchronous context on the loop, and leave it there."""
        ready: asyncio.Queue[T] = asyncio.Queue()
        end = asyncio.Event()

        async def hold() -> None:
            async with context as value:
                ready.put_nowait(value)
                await end.wait()

        holding = asyncio.run_coroutine_threadsafe(hold(), self._loop)
        try:
            yield self.run(ready.get())
        finally:
            self._loop.call_soon_threadsafe(end.set)
            holding.result(PATIENCE)


@contextmanager
def real_server(loop: LoopThread) -> Iterator[int]:
    """Run the real server with the fake engine, and give its port."""

    async def listen() -> Any:
        return await App(fake({})).listen()

    with loop.entered(loop.run(listen())) as server:
        yield next(iter(server.sockets)).getsockname()[1]
