"""A widget whose page talks with a session: messages both ways, none of them on the notebook's own loop.

All that such a widget does happens on the session's loop. What a page sends is handed over to it from
whatever thread the kernel heard it on; only the loop sends and sets traits. So a busy cell stops nothing, and
nothing needs a lock.
"""

from __future__ import annotations

import posixpath
import re
import uuid
from collections import deque
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from ..errors import MissingPackageError
from ..notebook.environment import front_end, kernel_shell
from ..render.html import read_css

# Every widget takes these from here, where their absence is one message with the install command.
try:
    import anywidget
    import traitlets
except ImportError:
    raise MissingPackageError("anywidget", "a widget", "lab") from None

__all__ = ["BaseWidget", "Hear", "anywidget", "css", "esm", "pin", "source", "traitlets", "unheard"]

_BETWEEN_CELLS = ("Google Colab", "Visual Studio Code")
"""Front ends that send a widget's messages to the main shell, where they wait for the running cell."""


def pin(widget: Any) -> None:
    """Keep the page's messages to ``widget`` on the subshell that the page opened for it.

    ipykernel 7.4 answers on the shell that last sent something, so one ``send`` from a cell would move the
    microphone to the main shell, where a busy cell starves it. Where there are no subshells, nothing happens.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default


def unheard() -> str:
    """Return why no page is heard here while a cell runs, as a clause; "" where one may be."""
    where = front_end()
    if where in _BETWEEN_CELLS:
        return f"in {where} the page is heard only between cells"
    kernel = getattr(kernel_shell(), "kernel", None)
    if kernel is not None and not getattr(kernel, "_supports_kernel_subshells", False):
        return "this kernel hears the page only between cells (ipykernel 7.1 or newer hears it at once)"
    return ""


_STATIC = resources.files("rtnb.widgets").joinpath("static")
_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.{1,2}/[\w./-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|class|const|let)", re.MULTILINE)


@cache
def source(path: str) -> str:
    """Return the text of one file of the front end, such as ``"shared/player_worklet.js"``."""
    return _STATIC.joinpath(path).read_text(encoding="utf-8")


@cache
def esm(module: str) -> str:
    """Return a module, such as ``"recorder/recorder"``, and everything it imports as one ES module.

    Imports are removed and exported names become plain ones, so top-level names must be unique within it.
    """
    *imported, last = _import_order(module)
    parts = [_EXPORT.sub("", _IMPORT.sub("", source(f"{name}.js"))) for name in imported]
    return "\n".join([*parts, _IMPORT.sub("", source(f"{last}.js"))])


def _import_order(module: str) -> list[str]:
    """Return the module and its imports, each once and after everything it imports itself."""
    order: list[str] = []

    def visit(name: str) -> None:
        for path in _IMPORT.findall(source(f"{name}.js")):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
            if target not in order:
                visit(target)
        order.append(name)

    visit(module)
    return order


@cache
def css() -> str:
    """Return the style sheet of all widgets.

    Each widget brings all of it: a page keeps the sheets of every widget on it. If they differed, the shared
    rules of one would come after another's own rules and win.
    """
    widgets = sorted(file.name for file in _STATIC.iterdir() if file.name != "shared")
    own = [f"{name}/{name}.css" for name in widgets]
    own.insert(0, "shared/shared.css")
    return "\n".join([read_css("tokens.css"), *map(source, own)])


Hear = Callable[[dict[str, Any], list[memoryview]], None]

_KEPT_LETTERS = 20_000_000
"""Of the cards of widgets that are over, what the kernel holds for pages that are loaded again."""

_over: deque[BaseWidget] = deque()


class BaseWidget(anywidget.AnyWidget):
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
