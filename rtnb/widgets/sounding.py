"""Who has a session's sound: a talk for the turns since it began, and live turns one after the other.

What is over must leave: what is here keeps its session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..session.async_session import AsyncSession

if TYPE_CHECKING:
    from .talk import Talk

__all__ = ["leave", "stand", "talking"]

talking: dict[AsyncSession, Talk] = {}
"""The talk that plays a session's turns since it began, so that nothing else should: one at a time."""

_lines: dict[AsyncSession, list[Callable[[], None]]] = {}
"""Those that have a session's sound, first, or wait for it. Each stands for a turn in a cell of its own."""


def stand(core: AsyncSession, begin: Callable[[], None]) -> None:
    """Call ``begin`` once all that stood in line before it have left; one that stands there already stays."""
    line = _lines.setdefault(core, [])
    if begin not in line:
        line.append(begin)
        if len(line) == 1:
            begin()


def leave(core: AsyncSession, begin: Callable[[], None]) -> None:
    """Let those behind ``begin`` come forward; one that stands in no line leaves none."""
    line = _lines.get(core, [])
    if begin not in line:
        return
    first = line[0] == begin
    line.remove(begin)
    if not line:
        del _lines[core]
    elif first:
        core.loop.call_soon(line[0])  # not now: what ends this one may be about to end the next one too
