"""The event log in a notebook: live, searchable, with its sound; a page asks for the lines that it shows."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..analysis.events import Events
from ..errors import MissingPackageError
from ..render.event_table import events_html
from ..session import event_loop
from .assets import css, esm
from .comms import pin
from .desk import Desk

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise MissingPackageError("anywidget", "a live event log", "lab") from error

__all__ = ["EventLog", "show"]

_TICK = 0.15
"""Seconds between two words to the pages that there is more."""
_ALONE = 1.0
"""The same, while no page asks for what there is more."""
_PATIENCE = 30
"""How often the pages are told so until the widget takes it that none is left. Asking makes it tell again."""
_FIRST = 40
"""Lines that come along with the widget, so that the first picture needs no question."""


class EventLog(anywidget.AnyWidget):
    """A live event log of some events: see `rtnb.analysis.events.Events`.

    Raises MissingPackageError where anywidget is not installed.
    """

    _esm = esm("events")
    _css = css()
    uid = traitlets.Unicode().tag(sync=True)
    first = traitlets.Dict().tag(sync=True)
    """The answer to a page's first question."""
    follows = traitlets.Bool().tag(sync=True)
    """Whether more may come: then a page begins at the end and stays there."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._desk = Desk(events)
        self._dirty = False
        self._asked = True
        self._last = 0.0
        question = {"type": "lines", "want": {}, "start": 0, "stop": _FIRST, "tail": events.live}
        answer = self._desk.ask(question)
        super().__init__(uid=uuid.uuid4().hex, first=answer[0] if answer else {}, follows=events.live)
        self.on_msg(self._hear)
        pin(self)
        self._unheard = 0
        self._end: Callable[[], None] | None = None
        if events.live:
            self._loop = event_loop.call(asyncio.get_running_loop)
            self._watch()

    def _watch(self) -> None:
        if self._end is None:
            self._end = self.events.source.watch(self._grown)

    def _rest(self) -> None:
        """Hear of nothing more: a widget whose cell ran again must not work for ever."""
        if self._end is not None:
            self._end()
            self._end = None

    def close(self) -> None:
        """End the widget; the events stay."""
        self._rest()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/html"] = events_html(self.events)
        return bundle

    def __repr__(self) -> str:
        return repr(self.events)

    # -- what the page asks for ------------------------------------------------------------------------

    def _hear(self, widget: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        self._asked, self._unheard = True, 0
        if self.events.live:
            self._watch()
        answer = self._desk.ask(dict(message))
        if answer is not None:
            self.send(*answer)

    # -- what the log tells ----------------------------------------------------------------------------

    def _grown(self) -> None:
        """Note that there is more, on the thread that brought it: many times a second, and briefly."""
        if not self._dirty:
            self._dirty = True
            with contextlib.suppress(RuntimeError):  # the loop ends before the process does
                self._loop.call_soon_threadsafe(self._soon)

    def _soon(self) -> None:
        self._loop.call_later(max(0.0, self._last + _TICK - self._loop.time()), self._tell)

    def _tell(self) -> None:
        now = self._loop.time()
        if not self._asked and now < self._last + _ALONE:
            self._loop.call_later(_TICK, self._tell)
            return
        self._unheard = 0 if self._asked else self._unheard + 1
        self._dirty, self._asked, self._last = False, False, now
        if self._unheard >= _PATIENCE:
            self._rest()
        if self.comm is not None:
            self.send({"type": "grown", "size": len(self.events)})


def show(events: Events) -> EventLog:
    """Show events live in the running cell and return the widget."""
    from ..notebook.display import Place

    widget = EventLog(events)
    bundle = widget._repr_mimebundle_()
    data = bundle[0] if bundle is not None else events._repr_mimebundle_()
    Place(data | {"text/plain": repr(events)})
    return widget
