"""The page's half of `rtnb.doctor`, apart from it since `doctor` must work, and say so, without anywidget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..notebook.environment import Check
from .base import anywidget, css, esm, pin_to_subshell, traitlets

__all__ = ["DoctorWidget"]


class DoctorWidget(anywidget.AnyWidget):
    """The report as a table. The page checks itself, and sends what it found to ``on_facts``.

    ``read`` returns the checks and the report as text; it is called again after ``on_facts``.
    """

    _esm = esm("doctor/doctor")
    _css = css()
    rows: Any = traitlets.List().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        read: Callable[[], tuple[Sequence[Check], str]],
        on_facts: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._read = read
        self._on_facts = on_facts
        super().__init__(**self._report())
        self.on_msg(self._on_message)
        pin_to_subshell(self)

    @property
    def view(self) -> dict[str, Any]:
        """The widget's entry in a mime bundle."""
        return {"version_major": 2, "version_minor": 0, "model_id": self.model_id}

    def _report(self) -> dict[str, Any]:
        checks, text = self._read()
        return {"rows": [asdict(check) for check in checks], "text": text}

    def _on_message(self, widget: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        if message.get("type") == "ping":
            self.send({"type": "pong", "n": message.get("n")}, buffers=list(buffers))
        elif message.get("type") == "facts":
            off_main = threading.current_thread() is not threading.main_thread()
            self._on_facts({**message["facts"], "off_main_thread": off_main})
            with self.hold_sync():
                for name, value in self._report().items():
                    setattr(self, name, value)
