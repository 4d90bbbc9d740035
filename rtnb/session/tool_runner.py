"""The function calls of a session's turns: run here, answered by the caller, or approved first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..analysis.turn import TOOL_ERROR, Call
from ..errors import ArgumentError, RemoteProtocolError
from ..protocol.changes import ItemData
from ..redaction import clean_name, clean_text
from .tools import Tool, as_text
from .turn import Turn, tool_session

__all__ = ["ToolRunner"]

_log = logging.getLogger("rtnb")

_MOST = 8
"""How often the model may call tools in one turn before the turn fails."""

_REFUSED = f"{TOOL_ERROR}the user refused this call"


def _reason(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except BaseException:  # an exception's own text is the tool's code as well
        return name


@dataclass(slots=True)
class _Round:
    """The calls of one response, until each has an output."""

    calls: list[Call]
    outputs: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, Call] = field(default_factory=dict)
    """The calls that wait for the caller or the user, by id."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class ToolRunner:
    """Gets the outputs of all calls of a response, and calls ``done(turn, outputs)`` with their items.

    ``waits(turn)`` is called when nothing runs any more and calls wait for the caller.
    """

    def __init__(self, done: Callable[[Turn, list[ItemData]], None], waits: Callable[[Turn], None]) -> None:
        self._done = done
        self._waits = waits
        self._tools: dict[str, Tool] = {}
        self._rounds: dict[Turn, _Round] = {}
        self._counts: dict[Turn, int] = {}

    def replace(self, tools: Iterable[Tool]) -> None:
        """Replace all tools."""
        self._tools = {tool.name: tool for tool in tools}

    def add(self, tools: Iterable[Tool]) -> None:
        """Add tools, such as those of one response."""
        self._tools.update((tool.name, tool) for tool in tools)

    def start(self, turn: Turn) -> None:
        """Get the outputs of a turn's calls that have none."""
        open_calls = [call for call in turn.calls if call.output is None]
        open_calls.sort(key=lambda call: not call.name)  # stable: those that can be run come first
        calls = list({call.id: call for call in reversed(open_calls)}.values())[::-1]  # each id once
        self._counts[turn] = self._counts.get(turn, 0) + 1
        self._rounds[turn] = round = _Round(calls)
        for call in calls:
            if self._waits_for_caller(call):
                round.waiting[call.id] = call
            else:
                self._run(turn, call)
        self._check_waiting(turn)

    def _waits_for_caller(self, call: Call) -> bool:
        tool = self._tools.get(call.name)
        if tool is None:  # the model made the name up, unless the tools are not known here at all
            return not self._tools
        return tool.function is None or tool.approve

    def _run(self, turn: Turn, call: Call) -> None:
        round = self._rounds[turn]
        turn.waiting = False
        task = asyncio.ensure_future(self._output(turn, call))
        round.tasks.add(task)

    async def _output(self, turn: Turn, call: Call) -> None:
        tool_session.set(turn.session)
        output = await self._called(call)
        round = self._rounds.get(turn)
        task = asyncio.current_task()
        if round is not None and task is not None:
            round.tasks.discard(task)
            self._take(turn, call.id, output)

    async def _called(self, call: Call) -> str:
        try:
            tool = self._tools.get(call.name)
            if tool is None:
                raise ArgumentError(f"unknown tool {call.name!r}: expected one of {', '.join(self._tools)}")
            return await tool.run(call.arguments)
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # this side stops the tools; otherwise the tool has raised it
            reason = _reason(error)
            _log.warning("the tool %s failed: %s", clean_name(call.name), clean_text(reason))
            return as_text(f"{TOOL_ERROR}{reason}")

    def _take(self, turn: Turn, call_id: str, output: str) -> None:
        round = self._rounds[turn]
        round.outputs[call_id] = output
        if len(round.outputs) < len(round.calls):
            self._check_waiting(turn)
            return
        del self._rounds[turn]
        self._done(
            turn,
            [
                ItemData(type="function_call_output", call_id=call.id, output=round.outputs[call.id])
                for call in round.calls
            ],
        )

    def _check_waiting(self, turn: Turn) -> None:
        round = self._rounds[turn]
        if round.waiting and not round.tasks:
            self._waits(turn)

    def waiting(self, turn: Turn) -> list[Call]:
        """Return the calls of a turn that wait for the caller or the user."""
        round = self._rounds.get(turn)
        return [] if round is None else list(round.waiting.values())

    def can_run(self, call: Call) -> bool:
        """Return whether a call has a function here, which its approval runs."""
        tool = self._tools.get(call.name)
        return tool is not None and tool.function is not None

    def answer(self, turn: Turn, call_id: str, output: Any) -> None:
        """Take the caller's output of a call that waits. Raises ArgumentError for one that does not."""
        text = as_text(output)
        self._pop_waiting(turn, call_id)
        self._take(turn, call_id, text)

    def approve(self, turn: Turn, call_id: str) -> None:
        """Run a call that waits for approval. Raises ArgumentError for any other, and without a function."""
        call = self._rounds[turn].waiting.get(call_id) if turn in self._rounds else None
        if call is not None and not self.can_run(call):
            raise ArgumentError(f"{call.name} has no function to run: pass its output to turn.answer")
        self._run(turn, self._pop_waiting(turn, call_id))

    def refuse(self, turn: Turn, call_id: str) -> None:
        """Answer a call with the error that the user refused it."""
        self._pop_waiting(turn, call_id)
        self._take(turn, call_id, _REFUSED)

    def _pop_waiting(self, turn: Turn, call_id: str) -> Call:
        round = self._rounds.get(turn)
        if round is None or call_id not in round.waiting:
            waiting = ", ".join(call.id for call in self.waiting(turn)) or "none"
            raise ArgumentError(f"call {call_id!r:.80} does not wait for an answer; waiting calls: {waiting}")
        return round.waiting.pop(call_id)

    def cancel(self, turn: Turn) -> None:
        """Stop the tools of a turn."""
        round = self._rounds.pop(turn, None)
        for task in () if round is None else tuple(round.tasks):
            task.cancel()

    def too_many(self, turn: Turn) -> RemoteProtocolError | None:
        """Return why the turn may not call tools again; None if it may."""
        if self._counts.get(turn, 0) < _MOST:
            return None
        return RemoteProtocolError(f"the model called tools {_MOST} times in one turn")

    def forget(self, turn: Turn) -> None:
        """Forget the turn, which is done."""
        self.cancel(turn)
        self._counts.pop(turn, None)

    async def close(self) -> None:
        """Stop all tools."""
        tasks = [task for round in self._rounds.values() for task in round.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
