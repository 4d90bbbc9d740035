"""Answers that somebody waits for: the server's reply to a request, or its refusal."""

from __future__ import annotations

import asyncio
from collections import deque

from ..errors import ConnectionLost, RtnbError
from ..protocol.events import Event

__all__ = ["Answers"]


class Answers:
    """Requests on their way. The server answers those of one kind in order, and refuses by event id."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str | None, asyncio.Future[Event]]] = deque()

    async def wait(self, kind: str, timeout: float, event_id: str | None = None) -> Event:
        """Return the next event of type ``kind`` that is the answer to this request.

        Raises what ``refuse`` and ``fail`` were given; ConnectionLost after ``timeout`` seconds.
        """
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        waiting = (kind, event_id, future)
        self._waiting.append(waiting)
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise ConnectionLost(f"the server sent no {kind} within {timeout:g} s") from None
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def answer(self, event: Event) -> None:
        """Hand an event to whoever waits for its type first."""
        for waiting in self._waiting:
            if waiting[0] == event["type"] and not waiting[2].done():
                waiting[2].set_result(event)
                return

    def refuse(self, event_id: str | None, error: RtnbError) -> bool:
        """Fail the request with this event id; tell whether there was one."""
        for waiting in self._waiting:
            if event_id is not None and waiting[1] == event_id and not waiting[2].done():
                waiting[2].set_exception(error)
                return True
        return False

    def fail(self, error: RtnbError) -> None:
        """Fail all requests: nobody will answer."""
        for waiting in self._waiting:
            if not waiting[2].done():
                waiting[2].set_exception(error)
