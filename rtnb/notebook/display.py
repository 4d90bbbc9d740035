"""Output cells of the running kernel, and the formatters that show turns and event logs live in them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any

from ..analysis.events import Events
from ..errors import TurnTimeout
from ..redaction import clean_text
from ..render.html import line_html
from ..session.turn import Turn
from . import notes
from .environment import kernel_shell, unattended

__all__ = ["OutputCell", "install", "live_pages", "progress_line"]

_LIVE_VIEWS: dict[type, str] = {
    Turn: "rtnb.widgets.live_turn:show",
    Events: "rtnb.widgets.event_log:show",
}
"""The function that shows an object live, by the object's type. Imported on first use: it needs anywidget."""

_tasks: set[asyncio.Future[None]] = set()
_PROGRESS_DELAY = 1.0
"""Seconds before a progress line appears."""
_UNATTENDED_TIMEOUT = 600.0
"""How long an unattended notebook waits for a turn that it shows."""


class OutputCell:
    """One output of the running cell, given as a mime bundle; any thread may replace it later."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        from IPython import display

        handle: Any = display.DisplayHandle
        self._handle = handle()
        self._handle.display(bundle, raw=True)

    def replace(self, bundle: dict[str, Any]) -> None:
        """Show another bundle in the same place."""
        self._handle.update(bundle, raw=True)


@contextlib.contextmanager
def progress_line(done: str) -> Iterator[Callable[[str], None] | None]:
    """Yield a function that shows the progress of something slow as one line in the running cell.

    The line appears after a second and ends with ``done`` and the seconds taken, or says that it failed.
    Outside of a kernel None is yielded; an unattended notebook shows no line.
    """
    if kernel_shell() is None:
        yield None
        return
    started, cell = time.monotonic(), None

    def update(text: str) -> None:
        nonlocal cell
        if cell is not None:
            cell.replace(_line(text))
        elif time.monotonic() - started > _PROGRESS_DELAY and not unattended():
            cell = OutputCell(_line(text))

    outcome = "Failed after"
    try:
        yield update
        outcome = f"{done} in"
    finally:
        if cell is not None:
            cell.replace(_line(f"{outcome} {time.monotonic() - started:.0f} s."))


def _line(text: str) -> dict[str, Any]:
    return {"text/plain": clean_text(text), "text/html": line_html(text)}


def install() -> None:
    """Show turns and event logs live in the running kernel, and warnings as notes; nothing outside of one."""
    shell = kernel_shell()
    if shell is None:
        return
    formatter = shell.display_formatter.ipython_display_formatter
    formatter.for_type(Turn, _show)
    formatter.for_type(Events, _show_events)
    notes.install()


def _show_events(events: Events) -> None:
    """Show an event log live; NotImplementedError makes IPython use the next formatter."""
    if not live_pages():
        raise NotImplementedError
    _show_live(Events, events)


def _show(turn: Turn) -> None:
    """Show a turn that is not done live; NotImplementedError makes IPython use the next formatter."""
    if turn.done:
        raise NotImplementedError
    if unattended():
        # Output after the end of the cell would not be saved, so the card must be complete now.
        with contextlib.suppress(TurnTimeout):
            turn.wait(_UNATTENDED_TIMEOUT)
        raise NotImplementedError
    if not live_pages():
        _show_static(turn)
        return
    _show_live(Turn, turn)


def _show_live(kind: type, shown: Turn | Events) -> None:
    resolve_name(_LIVE_VIEWS[kind])(shown)


def live_pages() -> bool:
    """Return whether live widgets may work: anywidget is installed and the notebook is not unattended."""
    return find_spec("anywidget") is not None and not unattended()


def _show_static(turn: Turn) -> None:
    """Show the card with what is known so far, and the complete card when the turn is done."""
    cell = OutputCell(turn._repr_mimebundle_())

    async def replace() -> None:
        await turn
        cell.replace(await turn.session.loop.run_in_executor(None, turn._repr_mimebundle_))

    def start() -> None:
        task = asyncio.ensure_future(replace())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    turn.session.call_soon(start)
