"""What all live widgets share: their scripts and styles, and their connection to the pages that show them.

A widget of a session does its work on the session's loop: messages of its pages are handed over from
whichever thread the kernel received them on, and only the loop sends and sets traits. So a busy cell blocks
nothing, and nothing needs a lock.
"""

from __future__ import annotations

import posixpath
import re
import uuid
from collections import deque
from functools import cache
from importlib import resources
from typing import Any, Protocol

from ..errors import MissingPackageError
from ..notebook.environment import front_end, kernel_shell
from ..render.html import read_static

# All widgets import these from here, so that one error names the install command if they are missing.
try:
    import anywidget
    import traitlets
except ImportError:
    raise MissingPackageError("anywidget", "a widget", "lab") from None

__all__ = [
    "BaseWidget",
    "MessageHandler",
    "anywidget",
    "css",
    "esm",
    "pin_to_subshell",
    "source",
    "traitlets",
    "why_delayed",
]

_BETWEEN_CELLS = ("Google Colab", "Visual Studio Code")
"""Front ends that send a widget's messages to the main shell, where they wait for the running cell."""


def pin_to_subshell(widget: Any) -> None:
    """Keep the page's messages to ``widget`` on the subshell that the page opened for it.

    ipykernel 7.4 replies on the shell that sent last, so one ``send`` from a cell would move the microphone
    to the main shell, where a busy cell starves it. On a kernel without subshells this does nothing.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default


def why_delayed() -> str:
    """Return why messages of a page arrive only between cells, as a clause; "" if they arrive at once."""
    name = front_end()
    if name in _BETWEEN_CELLS:
        return f"in {name} messages from the page arrive only between cells"
    kernel = getattr(kernel_shell(), "kernel", None)
    if kernel is not None and not getattr(kernel, "_supports_kernel_subshells", False):
        return "messages from the page arrive only between cells (with ipykernel 7.1 or newer, at once)"
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

    Imports and ``export`` are removed, so top-level names must be unique within the result.
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

    Each widget brings the whole sheet, since a page keeps the sheets of every widget on it: if they differed,
    the shared rules of one widget would follow, and so override, the own rules of another.
    """
    widgets = sorted(file.name for file in _STATIC.iterdir() if file.name != "shared")
    own = [f"{name}/{name}.css" for name in widgets]
    own.insert(0, "shared/shared.css")
    cards = map(read_static, ("tokens.css", "turn_card.css", "player.css"))
    return "\n".join([*cards, *map(source, own)])


class MessageHandler(Protocol):
    """Handles one message of a page. It is called on the kernel's thread that received the message."""

    def __call__(self, message: dict[str, Any], buffers: list[memoryview], /) -> None:
        """Handle ``message`` and the binary data that came with it."""


_MAX_CARD_CHARACTERS = 20_000_000
"""How much of the cards of finished widgets the kernel keeps for pages that are reloaded."""

_finished: deque[BaseWidget] = deque()


class BaseWidget(anywidget.AnyWidget):
    """A widget that plays a session in the page. ``handler`` receives the messages of all its pages.

    ``script`` is its entry module in ``widgets/static/``, such as ``"talk/talk"``.
    """

    _css = css()
    uid = traitlets.Unicode().tag(sync=True)
    owner = traitlets.Unicode().tag(sync=True)
    """The page that plays and records; "" for none. The notebook in another tab only shows the widget."""
    playing = traitlets.Bool(False).tag(sync=True)
    played_ms = traitlets.Float(0.0).tag(sync=True)
    """How much audio was played, of all items together."""
    underruns = traitlets.Int(0).tag(sync=True)
    """How often playback ran out of audio before its end."""
    error = traitlets.Unicode().tag(sync=True)
    """What the page cannot do, as a sentence."""
    card = traitlets.Unicode().tag(sync=True)
    """The static HTML that replaces a finished widget, with all foreign text escaped; "" until then."""

    def __init__(self, script: str, handler: MessageHandler) -> None:
        self._esm = read_static("player.js") + esm(script)
        self._handler: MessageHandler | None = handler
        self._loads: set[str] = set()
        super().__init__(uid=uuid.uuid4().hex)
        pin_to_subshell(self)
        self.on_msg(self._on_message)

    def _on_message(self, _widget: Any, message: dict[str, Any], buffers: list[memoryview] | None) -> None:
        if self._handler is not None:
            self._handler(message, buffers or [])

    def post(self, message: dict[str, Any], *buffers: bytes | memoryview) -> None:
        """Send a message to all pages; a finished widget sends nothing."""
        if self._handler is not None:
            self.send(message, list(buffers))

    def is_first_message(self, message: dict[str, Any]) -> bool:
        """Return whether this is the first message of a page that shows the widget since it was loaded.

        Usually it is the page's "hello". A page repeats that until it is answered; while it waits for a
        running cell, other messages may arrive before it. A page that only sends "here" need not show the
        widget.
        """
        load = str(message.get("load"))
        if message.get("kind") == "here" or load in self._loads:
            return False
        self._loads.add(load)
        return True

    def finish(self, card: str) -> None:
        """Replace the widget with a static card and ignore further messages.

        In the page that ran the cell another output takes the widget's place. A second tab and a reloaded
        page do not know that output: they show the card themselves, as long as the kernel keeps it.
        """
        self._handler = None  # and with it the session
        self.card = card
        _finished.append(self)
        while sum(len(widget.card) for widget in _finished) > _MAX_CARD_CHARACTERS and len(_finished) > 1:
            _finished.popleft().close()

    @property
    def view(self) -> dict[str, Any]:
        """The widget's entry in a mime bundle."""
        return {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
