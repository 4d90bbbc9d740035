"""Requests that wait for the server's answer."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from ..errors import ConnectionLost, RtnbError
from ..protocol.changes import Change

__all__ = ["PendingRequests"]


@dataclass(slots=True, eq=False)
class _Pending:
    answers: tuple[type[Change], ...]
    event_id: str
    future: asyncio.Future[Change]


class PendingRequests:
    """Requests without an answer. The server answers those of one kind in order, and refuses by event id."""

    def __init__(self) -> None:
        self._waiting: deque[_Pending] = deque()

    async def wait(
        self, answers: tuple[type[Change], ...], timeout: float, what: str, event_id: str = ""
    ) -> Change:
        """Wait for the first change of one of these types, which answers this request, and return it.

        Raises what ``refuse`` and ``fail`` were given; ConnectionLost after ``timeout`` seconds, with
        ``what`` the server has not done.
        """
        pending = _Pending(answers, event_id, asyncio.get_running_loop().create_future())
        self._waiting.append(pending)
        try:
            return await asyncio.wait_for(pending.future, timeout)
        except TimeoutError:
            raise ConnectionLost(f"the server did not {what} within {timeout:g} s") from None
        finally:
            self._waiting.remove(pending)

    def answer(self, change: Change) -> None:
        """Resolve the oldest request that this change answers."""
        for pending in self._waiting:
            if isinstance(change, pending.answers) and not pending.future.done():
                pending.future.set_result(change)
                return

    def refuse(self, event_id: str, error: RtnbError) -> bool:
        """Fail the request with this event id; return whether there was one."""
        for pending in self._waiting:
            if event_id and pending.event_id == event_id and not pending.future.done():
                pending.future.set_exception(error)
                return True
        return False

    def refuse_only(self, error: RtnbError) -> bool:
        """Fail the only request that waits; return whether there is just one."""
        waiting = [pending for pending in self._waiting if not pending.future.done()]
        if len(waiting) != 1:
            return False
        waiting[0].future.set_exception(error)
        return True

    def fail(self, error: RtnbError) -> None:
        """Fail all requests: no answer will come."""
        for pending in self._waiting:
            if not pending.future.done():
                pending.future.set_exception(error)
