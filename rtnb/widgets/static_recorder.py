"""What a saved notebook keeps of a recorder: an output beside the widget that shows its clip.

It is not the widget's own output that changes, since the page would draw that anew, away from under whoever
is working in it. Beside a live recorder the page hides this one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from htpy import div

from ..audio import Clip
from ..errors import RtnbError
from ..render.audio_player import clip_html
from ..render.html import markup

__all__ = ["StaticRecorder"]

_MOMENT = 0.3
"""Seconds without another change after which the output is written: Opus of a long clip takes some."""


class StaticRecorder:
    """The outputs of one recorder, wherever it is shown. ``read`` gives its clip, or raises RtnbError."""

    def __init__(self, read: Callable[[], Clip]) -> None:
        self.bundle: dict[str, Any] = {"text/html": markup(div(".rtnb-still"))}
        """What they hold now."""
        self._read = read
        self._lock = threading.Lock()
        self._timer = threading.Timer(0, self._write)
        self._places: list[Any] = []

    def show(self) -> None:
        """Add an output to the running cell."""
        from ..notebook.display import OutputCell

        self._places.append(OutputCell(self.bundle))
        self.soon()

    def soon(self) -> None:
        """Write the clip when a moment has passed without another change to it."""
        with self._lock:
            self._timer.cancel()
            self._timer = threading.Timer(_MOMENT, self._write)
            self._timer.daemon = True
            self._timer.start()

    def _write(self) -> None:
        timer = self._timer
        if not self._places:
            return
        try:
            clip = self._read()
        except RtnbError:
            return
        bundle = {"text/html": markup(div(".rtnb-still")[clip_html(clip)]), "text/plain": repr(clip)}
        with self._lock:
            if self._timer is timer:
                self.bundle = bundle
                for place in self._places:
                    place.replace(bundle)
