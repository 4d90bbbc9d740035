"""What a saved notebook keeps of a recorder: an output after the widget that shows its clip.

The widget's own output does not change, since the page would draw it again while someone may be working in
it. As long as the recorder is live, the page hides this output.
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

_DELAY_SECONDS = 0.3
"""Time without another change after which the output is written: compressing a long clip takes a while."""


class StaticRecorder:
    """The static outputs of one recorder. ``read`` returns its clip or raises RtnbError."""

    def __init__(self, read: Callable[[], Clip]) -> None:
        self.bundle: dict[str, Any] = {"text/html": markup(div(".rtnb-recorder-static"))}
        """What the outputs hold now."""
        self._read = read
        self._lock = threading.Lock()
        self._timer = threading.Timer(0, self._write)
        self._cells: list[Any] = []

    def show(self) -> None:
        """Add an output to the running cell."""
        from ..notebook.display import OutputCell

        self._cells.append(OutputCell(self.bundle))
        self.schedule()

    def schedule(self) -> None:
        """Write the clip soon, unless it changes again before that."""
        with self._lock:
            self._timer.cancel()
            self._timer = threading.Timer(_DELAY_SECONDS, self._write)
            self._timer.daemon = True
            self._timer.start()

    def _write(self) -> None:
        timer = self._timer
        if not self._cells:
            return
        try:
            clip = self._read()
        except RtnbError:
            return
        bundle = {
            "text/html": markup(div(".rtnb-recorder-static")[clip_html(clip)]),
            "text/plain": repr(clip),
        }
        with self._lock:
            if self._timer is timer:
                self.bundle = bundle
                for cell in self._cells:
                    cell.replace(bundle)
