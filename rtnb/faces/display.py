"""How a notebook shows what is not over: the formatter that puts a live turn into its cell."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from importlib.util import find_spec
from typing import Any

from ..errors import TurnTimeout
from ..session.turn import Turn
from ..views.log.events import Events

__all__ = ["Place", "install", "live_pages"]

_tasks: set[asyncio.Future[None]] = set()
_BATCH_SECONDS = 600.0
"""How long a notebook that runs without a reader waits for a turn that it shows."""


class Place:
    """One output in the running cell, made of a mime bundle, to be replaced later from any thread."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        from IPython import display

        handle: Any = display.DisplayHandle
        self._handle = handle()
        self._handle.display(bundle, raw=True)

    def replace(self, bundle: dict[str, Any]) -> None:
        """Show another bundle in the same place."""
        self._handle.update(bundle, raw=True)


def install() -> None:
    """Show turns and event logs live in the running kernel; outside of one do nothing."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get() if get is not None else None
    if shell is None or getattr(shell, "kernel", None) is None:
        return
    formatter = shell.display_formatter.ipython_display_formatter
    formatter.for_type(Turn, _show)
    formatter.for_type(Events, _show_events)


def _show_events(events: Events) -> None:
    """Show an event log to whoever can work with it; to others as all else is shown."""
    if not live_pages():
        raise NotImplementedError
    from .events import show

    show(events)


def _show(turn: Turn) -> None:
    """Show a turn that is not over. NotImplementedError is IPython's word for "as all else is shown"."""
    if turn.done:
        raise NotImplementedError
    if _batch():
        # Nobody watches, and what comes after the cell's end is not kept: the card must be whole now.
        with contextlib.suppress(TurnTimeout):
            turn.wait(_BATCH_SECONDS)
        raise NotImplementedError
    if not live_pages():
        _show_still(turn)
        return
    from .live import show

    show(turn)


def live_pages() -> bool:
    """Tell whether live widgets may work here: a reader's front end sent the cell, and anywidget is there."""
    return find_spec("anywidget") is not None and not _batch()


def _show_still(turn: Turn) -> None:
    """Show the card as far as it is known, and the whole card when the turn is over."""
    place = Place(turn._repr_mimebundle_())

    async def replace() -> None:
        await turn
        place.replace(await turn.session.loop.run_in_executor(None, turn._repr_mimebundle_))

    turn.session.call_soon(lambda: _tasks.add(asyncio.ensure_future(replace())))


def _batch() -> bool:
    """Tell whether the cell was sent by a program: only a reader's front end can be asked for input."""
    shell: Any = sys.modules["IPython"].get_ipython()
    return not getattr(shell.kernel, "_allow_stdin", True)
