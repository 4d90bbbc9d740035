"""How a notebook shows what is not over: the formatter that puts a live turn into its cell."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from html import escape
from importlib.util import find_spec
from typing import Any

from ..analysis.events import Events
from ..errors import TurnTimeout
from ..session.turn import Turn

__all__ = ["OutputCell", "install", "live_pages", "progress_line"]

_tasks: set[asyncio.Future[None]] = set()
_SOON_SECONDS = 1.0
"""What takes no longer is not worth a word."""
_BATCH_SECONDS = 600.0
"""How long a notebook that runs without a reader waits for a turn that it shows."""


class OutputCell:
    """One output in the running cell, made of a mime bundle, to be replaced later from any thread."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        from IPython import display

        handle: Any = display.DisplayHandle
        self._handle = handle()
        self._handle.display(bundle, raw=True)

    def replace(self, bundle: dict[str, Any]) -> None:
        """Show another bundle in the same place."""
        self._handle.update(bundle, raw=True)


@contextlib.contextmanager
def progress_line(over: str) -> Iterator[Callable[[str], None] | None]:
    """Give what tells the running cell how far something is that takes more than a second.

    It is one line, quiet where stderr would be red, and is ``over`` and the seconds in the end, or that it
    failed. None outside of a kernel; where a program runs the notebook nothing is told.
    """
    if _kernel_shell() is None:
        yield None
        return
    began, place = time.monotonic(), None

    def tell(text: str) -> None:
        nonlocal place
        if place is not None:
            place.replace(_line(text))
        elif time.monotonic() - began > _SOON_SECONDS and not _batch():
            place = OutputCell(_line(text))

    said = "It failed after"
    try:
        yield tell
        said = f"{over} in"
    finally:
        if place is not None:
            place.replace(_line(f"{said} {time.monotonic() - began:.0f} s."))


def _line(text: str) -> dict[str, Any]:
    style = "color:var(--jp-ui-font-color2,#767676)"
    return {"text/plain": text, "text/html": f'<small style="{style}">{escape(text)}</small>'}


def _kernel_shell() -> Any:
    """Return the shell of the running kernel; None outside of one."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get() if get is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


def install() -> None:
    """Show turns and event logs live in the running kernel; outside of one do nothing."""
    shell = _kernel_shell()
    if shell is None:
        return
    formatter = shell.display_formatter.ipython_display_formatter
    formatter.for_type(Turn, _show)
    formatter.for_type(Events, _show_events)


def _show_events(events: Events) -> None:
    """Show an event log to whoever can work with it; to others as all else is shown."""
    if not live_pages():
        raise NotImplementedError
    from ..widgets.event_log import show

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
    from ..widgets.live_turn import show

    show(turn)


def live_pages() -> bool:
    """Tell whether live widgets may work here: a reader's front end sent the cell, and anywidget is there."""
    return find_spec("anywidget") is not None and not _batch()


def _show_still(turn: Turn) -> None:
    """Show the card as far as it is known, and the whole card when the turn is over."""
    place = OutputCell(turn._repr_mimebundle_())

    async def replace() -> None:
        await turn
        place.replace(await turn.session.loop.run_in_executor(None, turn._repr_mimebundle_))

    def begin() -> None:
        task = asyncio.ensure_future(replace())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    turn.session.call_soon(begin)


def _batch() -> bool:
    """Tell whether the cell was sent by a program: only a reader's front end can be asked for input."""
    shell: Any = sys.modules["IPython"].get_ipython()
    return not getattr(shell.kernel, "_allow_stdin", True)
