"""``s.log``: every frame of a session, both directions, to look at, search, filter, count and keep."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from ..protocol.log import Log, LogView
from ..protocol.state import SessionState
from ..redaction import clean
from .event_codecs import Formats
from .event_search import Search, pattern_finder, text_finder
from .event_text import shown_frame

__all__ = ["Events"]


class Events(LogView):
    """Rows of a session's log: a sequence of `Entry`. Shown in a notebook it is the event log, live.

    Slices, ``filter`` and ``find`` give further ones; nothing is copied. ``s.log`` is all of them and grows
    with the session; what was cut or filtered out of it does not. A million events take little more memory
    than their own bytes.
    """

    def __init__(
        self,
        log: Log,
        rows: NDArray[np.int64] | None = None,
        *,
        state: Callable[[], SessionState] | None = None,
        about: Mapping[str, object] | None = None,
        over: bool = False,
    ) -> None:
        """Hold the rows of a log. ``record`` gives its folds, ``about`` says with whom the session was.

        ``over`` means that nothing more will come, as in a recording.
        """
        super().__init__(log, rows)
        self._over = over
        self._state = state
        self.about = dict(about or {})

    def _of(self, rows: NDArray[np.int64]) -> Self:
        return type(self)(self._log, rows, state=self._state, about=self.about, over=self._over)

    @property
    def live(self) -> bool:
        """Whether more may come."""
        return self.grows and not self._over

    @property
    def state(self) -> SessionState:
        """The log and all that is folded from it; folded now, where nobody has."""
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
        """Return the events whose frames contain a text, in capitals or not, or match a compiled pattern.

        Sound is not searched. Raises ArgumentError for a text of more than 1,000 letters, and for what is
        neither.
        """
        if not isinstance(what, (str, re.Pattern)):
            raise ArgumentError(f"what is to be found is a text or a compiled pattern, not {what!r:.80}")
        finder = pattern_finder(what) if isinstance(what, re.Pattern) else text_finder(what)
        search = Search(self, finder)
        search.look(len(self))
        return self._of(self.rows[: search.done][search.hits])

    def to_frame(self, kind: str = "pandas", *, sound: bool = False) -> Any:
        """Return a data frame, one row an event: ``pandas``, ``polars``, or ``arrow`` for a table.

        Its columns: ``index`` in the log, ``t`` (seconds since the log began), ``wall`` (seconds since 1970),
        ``direction`` and ``type`` as categories, ``turn`` (-1 for none), ``bytes`` of the frame, and
        ``event``: the frame's text, keys hidden, with base64 sound in words unless ``sound`` is true.

        Raises ArgumentError for another ``kind``, MissingPackageError where its package is not installed.
        """
        from .dataframe import events_frame

        now = self._of(self.rows)  # what arrives meanwhile is in no column, or it would be in some
        return events_frame(now, kind, now._texts(sound))

    def _texts(self, sound: bool) -> Callable[[], Any]:
        formats = Formats(self._log)

        def texts() -> Any:
            formats.extend()
            for row in self.rows.tolist():
                entry = self._log.entry(row)
                plain = clean(entry.frame)
                yield (plain if sound else shown_frame(plain, entry, formats)).decode("utf-8", "replace")

        return texts

    def to_jsonl(self, path: str | os.PathLike[str]) -> Path:
        """Write JSON Lines, one event a line, and return the path. ``rtnb.open`` reads them again.

        Every frame comes back byte for byte, but for keys, which are made unreadable. Raises RecordingError
        where it cannot be written.
        """
        from .event_jsonl import write

        return write(self, path, self.about)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from ..render.event_table import events_html

        return {"text/plain": repr(self), "text/html": events_html(self)}
