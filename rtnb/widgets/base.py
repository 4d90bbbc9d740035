"""A widget whose page talks with a session: messages both ways, none of them on the notebook's own loop.

All that such a widget does happens on the session's loop. What a page sends is handed over to it from
whatever thread the kernel heard it on; only the loop sends and sets traits. So a busy cell stops nothing, and
nothing needs a lock.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from .comms import pin

__all__ = ["Hear", "PageWidget"]

Hear = Callable[[dict[str, Any], list[memoryview]], None]

_KEPT_LETTERS = 20_000_000
"""Of the cards of widgets that are over, what the kernel holds for pages that are loaded again."""

_over: deque[PageWidget] = deque()


class PageWidget(anywidget.AnyWidget):
    """What all live widgets share. ``hear(message, buffers)`` is called for each message of a page."""

    uid = traitlets.Unicode().tag(sync=True)
    owner = traitlets.Unicode().tag(sync=True)
    """The page that plays and listens; "" for none. The same notebook in another tab only looks on."""
    playing = traitlets.Bool(False).tag(sync=True)
    played_ms = traitlets.Float(0.0).tag(sync=True)
    """How much sound was played, of all items together."""
    underruns = traitlets.Int(0).tag(sync=True)
    """How often the sound ran dry before its end."""
    error = traitlets.Unicode().tag(sync=True)
    """What the page cannot do, as a sentence."""
    card = traitlets.Unicode().tag(sync=True)
    """The static form of what is over, as HTML in which all that others wrote is escaped; "" until then."""

    def __init__(self, hear: Hear) -> None:
        self._hear: Hear | None = hear
        self._loads: set[str] = set()
        super().__init__(uid=uuid.uuid4().hex)
        pin(self)
        self.on_msg(self._on_message)

    def _on_message(self, _widget: Any, message: dict[str, Any], buffers: list[memoryview] | None) -> None:
        if self._hear is not None:
            self._hear(message, buffers or [])

    def tell(self, message: dict[str, Any], *buffers: bytes | memoryview) -> None:
        """Send a message to all pages; after the widget is over, to none."""
        if self._hear is not None:
            self.send(message, list(buffers))

    def greets(self, message: dict[str, Any]) -> bool:
        """Tell whether this is the first word of a page that shows the widget, since that page was loaded.

        Mostly it is its hello. That is repeated until it is answered, and where it waits for a cell that
        runs, other words come before it. Who only is "here" need not show the widget.
        """
        load = str(message.get("load"))
        if message.get("kind") == "here" or load in self._loads:
            return False
        self._loads.add(load)
        return True

    def finish(self, card: str) -> None:
        """Be over: show ``card`` where the widget still shows, and hear nobody any more.

        In the page that ran the cell another output takes the widget's place. A second tab, and a page that
        was loaded again, do not know where: they show the card themselves, as long as the kernel holds it.
        """
        self._hear = None  # and with it the session
        self.card = card
        _over.append(self)
        while sum(len(widget.card) for widget in _over) > _KEPT_LETTERS and len(_over) > 1:
            _over.popleft().close()

    @property
    def view(self) -> dict[str, Any]:
        """The widget as a mime bundle's entry."""
        return {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
