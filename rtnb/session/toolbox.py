"""The tools of a session: which calls can be run here, and running them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from ..analysis.turn import TOOL_ERROR, Call
from ..errors import ArgumentError
from .tools import Tool

__all__ = ["Toolbox"]

_log = logging.getLogger("rtnb")


class Toolbox:
    """Tools by name. A call to a tool without a function is the caller's to answer."""

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}

    def replace(self, tools: Iterable[Tool]) -> None:
        """Take these tools instead of all others."""
        self._tools = {tool.name: tool for tool in tools}

    def add(self, tools: Iterable[Tool]) -> None:
        """Take these tools too, as one response brings them."""
        self._tools.update((tool.name, tool) for tool in tools)

    def runs(self, calls: Iterable[Call]) -> bool:
        """Tell whether all calls can be answered here; a name that the model made up can."""
        known = (self._tools.get(call.name) for call in calls)
        return bool(self._tools) and all(tool is None or tool.function is not None for tool in known)

    async def run(self, calls: Iterable[Call]) -> list[str]:
        """Run all calls at once and return their outputs; what a tool raises becomes a text for the model."""
        return list(await asyncio.gather(*(self._run(call) for call in calls)))

    async def _run(self, call: Call) -> str:
        try:
            tool = self._tools.get(call.name)
            if tool is None:
                raise ArgumentError(f"there is no tool {call.name!r}; there is {', '.join(self._tools)}")
            return await tool.run(call.arguments)
        except Exception as error:
            _log.warning("the tool %s failed: %s: %s", call.name, type(error).__name__, error)
            return f"{TOOL_ERROR}{type(error).__name__}: {error}"
