"""The page's part of `rtnb.doctor`: it looks at itself, and shows the whole report."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .base import anywidget, css, esm, pin, traitlets

if TYPE_CHECKING:
    from .doctor import Doctor

__all__ = ["DoctorWidget"]


class DoctorWidget(anywidget.AnyWidget):
    """The report as a table that is filled in when the page has looked at itself."""

    _esm = esm("doctor/doctor")
    _css = css()
    rows: Any = traitlets.List().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)

    def __init__(self, report: Doctor) -> None:
        self._report = report
        super().__init__(**self._shown())
        self.on_msg(self._hear)
        pin(self)

    @property
    def view(self) -> dict[str, Any]:
        """The widget as a mime bundle's entry."""
        return {"version_major": 2, "version_minor": 0, "model_id": self.model_id}

    def _shown(self) -> dict[str, Any]:
        return {"rows": [asdict(check) for check in self._report.checks], "text": str(self._report)}

    def _hear(self, widget: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        if message.get("type") == "ping":
            self.send({"type": "pong", "n": message.get("n")}, buffers=list(buffers))
        elif message.get("type") == "facts":
            heard = threading.current_thread() is not threading.main_thread()
            self._report.page_answered({**message["facts"], "off_main_thread": heard})
            with self.hold_sync():
                for name, value in self._shown().items():
                    setattr(self, name, value)
