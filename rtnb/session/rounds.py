"""Rounds of tools: the calls of a response are run at once, and their outputs go back together.

Each turn that calls tools has a task of its own until its outputs are there, at most one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import RemoteProtocolError
from ..protocol.events import Event
from .toolbox import Toolbox
from .turn import Turn

__all__ = ["Rounds"]

_MOST = 8
"""How often the model may call tools within one turn before the turn is ended."""


class Rounds:
    """Runs the tools of a session's turns. ``done(turn, outputs)`` is called with the items to create."""

    def __init__(self, done: Callable[[Turn, list[Event]], None]) -> None:
        self.tools = Toolbox()
        self._done = done
        self._tasks: dict[Turn, asyncio.Task[None]] = {}
        self._counts: dict[Turn, int] = {}

    def start(self, turn: Turn) -> bool:
        """Run the calls of a turn that have no output, if all can be answered here; tell whether they can."""
        pending = [call for call in turn.calls if call.output is None]
        if not pending or not self.tools.runs(pending):
            return False
        self._counts[turn] = self._counts.get(turn, 0) + 1
        self._tasks[turn] = asyncio.ensure_future(self._run(turn))
        return True

    async def _run(self, turn: Turn) -> None:
        pending = [call for call in turn.calls if call.output is None]
        outputs = await self.tools.run(pending)
        self._tasks.pop(turn, None)
        self._done(
            turn,
            [
                {"type": "function_call_output", "call_id": call.id, "output": output}
                for call, output in zip(pending, outputs, strict=True)
            ],
        )

    def runs(self, turn: Turn) -> bool:
        """Whether tools of this turn run."""
        return turn in self._tasks

    def cancel(self, turn: Turn) -> bool:
        """Stop the tools of a turn; tell whether any ran."""
        task = self._tasks.pop(turn, None)
        if task is not None:
            task.cancel()
        return task is not None

    def too_many(self, turn: Turn) -> RemoteProtocolError | None:
        """Return why the turn gets no further round; None where it does."""
        if self._counts.get(turn, 0) < _MOST:
            return None
        return RemoteProtocolError(f"the model called tools {_MOST} times in one turn")

    def forget(self, turn: Turn) -> None:
        """The turn is over."""
        self._counts.pop(turn, None)

    async def close(self) -> None:
        """Stop all tools."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
