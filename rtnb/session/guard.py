"""What holds a session to its budget: nothing is asked for once it is used up, nor answered unasked.

A server that detects turns answers by itself. It is told in time not to (``create_response`` false); an
answer that it has begun all the same is cancelled, and of that one the service may bill what it read.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..errors import BudgetError, BudgetWarning, RtnbError
from ..protocol.events import Event
from ..protocol.state import Record
from .budget import Budget

__all__ = ["Guard"]

_log = logging.getLogger("rtnb")


class Guard:
    """Asks the budget before each response. ``update`` sends a ``session.update`` and awaits its answer."""

    def __init__(self, record: Record, update: Callable[[Event], Awaitable[None]]) -> None:
        self.budget: Budget | None = None
        self.hushed = False
        """Whether the server was told, for the budget's sake, to answer nothing by itself."""
        self._record = record
        self._update = update
        self._tasks: set[asyncio.Future[None]] = set()

    @property
    def spent(self) -> BudgetError | None:
        """Why no response may begin; None while one may."""
        said = self.budget.spent if self.budget is not None else None
        return None if said is None else BudgetError(said)

    def check(self) -> None:
        """Raise BudgetError where no response may begin; nothing was sent."""
        if (spent := self.spent) is not None:
            raise BudgetError(f"nothing was sent: {spent}")

    def look(self) -> None:
        """Warn where the budget is near its end; at its end, keep the server from answering by itself."""
        if self.budget is None:
            return
        for said in self.budget.warnings():
            try:  # on the session's thread there is no line of the user's to point at
                warnings.warn_explicit(said, BudgetWarning, "rtnb", 0)
            except BudgetWarning:  # a filter makes it an error: nobody is there to take one
                _log.warning("%s", said)
        detection = self._record.conversation.turn_detection
        if not self.hushed and _answers(detection) and self.budget.spent is not None:
            self._tell(detection, create=False)

    def change(self, budget: Budget | None) -> None:
        """Take another budget, or none; a server that was hushed may answer again if this one allows it."""
        self.budget = budget
        if self.hushed and self.spent is None:
            self._tell(self._record.conversation.turn_detection, create=True)
        self.look()

    def amend(self, session: Event) -> Event:
        """Return a session that is to be set, so that no answer comes for which the budget has no room."""
        sound = session.get("audio")
        sound_in = sound.get("input") if isinstance(sound, Mapping) else None
        if not isinstance(sound, Mapping) or not isinstance(sound_in, Mapping):
            return session
        if "turn_detection" not in sound_in:
            return session
        detection = sound_in["turn_detection"]
        self.hushed = self.spent is not None and _answers(detection)
        if not self.hushed:
            return session
        quiet = {**detection, "create_response": False}
        return {**session, "audio": {**sound, "input": {**sound_in, "turn_detection": quiet}}}

    def _tell(self, detection: Mapping[str, Any] | None, *, create: bool) -> None:
        self.hushed = not create
        if not detection:
            return
        kept = {name: value for name, value in detection.items() if value is not None}
        session = {"audio": {"input": {"turn_detection": {**kept, "create_response": create}}}}
        task = asyncio.ensure_future(self._tried(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tried(self, session: Event) -> None:
        try:
            await self._update({"type": "realtime", **session})
        except RtnbError as error:  # what it begins is cancelled then
            _log.info("the server was asked to begin no answers by itself, and said: %s", error)

    async def close(self) -> None:
        """End what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _answers(detection: Any) -> bool:
    """Whether a server with this detection answers by itself."""
    return isinstance(detection, Mapping) and detection.get("create_response") is not False
