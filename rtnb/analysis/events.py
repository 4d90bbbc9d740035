"""``s.log``: every frame of a session, both directions, to look at, search, filter, count and save."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..displayable import Displayable
from ..errors import ArgumentError
from ..protocol.audio_formats import AudioFormats
from ..protocol.log import Log, LogView
from ..protocol.state import SessionState
from ..redaction import clean
from .event_search import Search, pattern_finder, text_finder
from .event_text import shown_frame

__all__ = ["Events"]


class Events(LogView, Displayable):
    """Rows of a session's log: a sequence of `Entry`. Shown in a notebook it is the event log, live.

    Slices, ``filter`` and ``find`` give further ones; nothing is copied. ``s.log`` is all of them and grows
    with the session; what was cut or filtered out of it does not. A million events take little more memory
    than their own bytes.
    """

    renderer = "rtnb.render.event_table:events_html"

    def __init__(
        self,
        log: Log,
        rows: NDArray[np.int64] | None = None,
        *,
        state: Callable[[], SessionState] | None = None,
        about: Mapping[str, object] | None = None,
        finished: bool = False,
    ) -> None:
        """Hold the rows of a log. ``state`` returns its folds, ``about`` says what the session was with.

        ``finished`` means that no more frames will come, as in a recording.
        """
        super().__init__(log, rows)
        self._finished = finished
        self._state = state
        self.about = dict(about or {})

    def _of(self, rows: NDArray[np.int64]) -> Self:
        return type(self)(self._log, rows, state=self._state, about=self.about, finished=self._finished)

    @property
    def live(self) -> bool:
        """Whether more frames may come."""
        return self.grows and not self._finished

    @property
    def state(self) -> SessionState:
        """The log and all that is folded from it; folded now if it has not been."""
        return SessionState.of(self._log) if self._state is None else self._state()

    @property
    def bytes(self) -> int:
        """How many bytes of frames these are."""
        return self._log.bytes if self.grows else int(self._log.lengths(self.rows).sum())

    @property
    def nbytes(self) -> int:
        """How many bytes of memory the whole log takes."""
        return self._log.nbytes

    def find(self, what: str | re.Pattern[Any]) -> Self:
        """Return the events whose frames contain a text, ignoring case, or match a compiled pattern.

        Audio is not searched. Raises ArgumentError for a text of more than 1,000 characters, and for any
        other type.
        """
        if not isinstance(what, (str, re.Pattern)):
            raise ArgumentError(f"find() expects a str or a compiled pattern, got {what!r:.80}")
        finder = pattern_finder(what) if isinstance(what, re.Pattern) else text_finder(what)
        search = Search(self, finder)
        search.look(len(self))
        return self._of(self.rows[: search.done][search.hits])

    def to_frame(self, kind: str = "pandas", *, audio: bool = False) -> Any:
        """Return a data frame, one row an event: ``pandas``, ``polars``, or ``arrow`` for a table.

        Its columns: ``index`` in the log, ``t`` (seconds since the log began), ``wall`` (seconds since 1970),
        ``direction`` and ``type`` as categories, ``turn`` (-1 for none), ``bytes`` of the frame, and
        ``event``: the frame's text, keys redacted, with notes in place of base64 audio unless ``audio`` is
        true.

        Raises ArgumentError for another ``kind``, MissingPackageError if its package is not installed.
        """
        from .dataframe import events_frame

        now = self._of(self.rows)  # frames that arrive meanwhile are in none of the columns
        return events_frame(self._log, now.rows, now._texts(audio)(), kind)

    def _texts(self, audio: bool) -> Callable[[], Any]:
        formats = AudioFormats(self._log)

        def texts() -> Any:
            formats.extend()
            for row in self.rows.tolist():
                entry = self._log.entry(row)
                frame = clean(entry.frame)
                yield (frame if audio else shown_frame(frame, entry, formats)).decode("utf-8", "replace")

        return texts

    def to_jsonl(self, path: str | os.PathLike[str]) -> Path:
        """Write JSON Lines, one event a line, and return the path. ``rtnb.open`` reads them again.

        Every frame comes back byte for byte, except for keys, which are redacted. Raises RecordingError if
        it cannot be written.
        """
        from .event_jsonl import write

        return write(self, path, self.about)
