"""A widget whose page talks with a session: messages both ways, none of them on the notebook's own loop.

All that such a widget does happens on the session's loop. What a page sends is handed over to it from
whatever thread the kernel heard it on; only the loop sends and sets traits. So a busy cell stops nothing, and
nothing needs a lock.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from .comms import pin

__all__ = ["Hear", "PageWidget"]

Hear = Callable[[dict[str, Any], list[memoryview]], None]


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

    def __init__(self, hear: Hear) -> None:
        super().__init__(uid=uuid.uuid4().hex)
        pin(self)
        self.on_msg(lambda _widget, message, buffers: hear(message, buffers or []))

    def tell(self, message: dict[str, Any], *buffers: bytes | memoryview) -> None:
        """Send a message to all pages; after the widget was closed, to none."""
        if self.comm is not None:
            self.send(message, list(buffers))

    @property
    def view(self) -> dict[str, Any]:
        """The widget as a mime bundle's entry."""
        return {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
