"""The event log in a notebook: live, searchable, with its audio; a page requests the lines that it shows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from ..analysis.event_audio import Track, Tracks
from ..analysis.event_filter import Line, Selection, Wanted
from ..analysis.event_rows import CHIPS, ERROR, Rows
from ..analysis.event_text import EventDescriber, as_json, as_python, shown
from ..analysis.events import Events
from ..audio.files import encode
from ..errors import ArgumentError, AudioError
from ..formatting import clock
from ..protocol.audio_formats import AudioFormats
from ..redaction import clean
from ..render.event_table import events_html
from ..session import event_loop
from .base import anywidget, css, esm, pin_to_subshell, traitlets

__all__ = ["MAX_LINES", "EventLog", "EventQueries", "show"]

MAX_LINES = 400
"""The most lines in one answer."""

_CACHE_SIZE = 4  # selections, and encoded tracks
_MAX_WAV_SECONDS = 5.0
_MAX_RATE = 24_000
_MAX_EVENT_CHARACTERS = 2_000_000
"""How much of one event is sent to a page: more than any event of the protocol has, apart from audio."""

Answer = tuple[dict[str, Any], list[bytes]]


class EventQueries:
    """Answers the queries of pages that show some events, one at a time."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._rows = Rows(events)
        self._formats = AudioFormats(events.source)
        self._describer = EventDescriber(self._rows, self._formats)
        self._tracks = Tracks(self._rows, self._formats, lambda: events.state.conversation)
        self._selections: OrderedDict[Wanted, Selection] = OrderedDict()
        self._encoded: OrderedDict[str, bytes] = OrderedDict()
        self._counted = -1
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._handlers: dict[str, Callable[[dict[str, Any]], Answer | None]] = {
            "lines": self._lines,
            "event": self._event,
            "copy": self._copy,
            "audio": self._audio,
        }

    def answer(self, query: dict[str, Any]) -> Answer | None:
        """Answer a page's message; None if it is not a query. Every answer repeats its query."""
        handler = self._handlers.get(str(query.get("type")))
        if handler is None:
            return None
        with self._lock:
            answer = handler(query)
        return None if answer is None else ({**query, **answer[0]}, answer[1])

    # Lines.

    def _lines(self, query: dict[str, Any]) -> Answer:
        """Return the lines from ``start`` up to ``stop``, and how many there are.

        While the log is not yet read or searched to its end, ``whole`` is false, and another query continues.
        ``find`` is an event whose line is returned as ``at``, -1 for none. With ``tail``, ``start`` and
        ``stop`` count from the end.
        """
        wanted = Wanted.of(query.get("filter"))
        try:
            selection = self._selection(wanted)
            selection.update()
        except ArgumentError as error:
            self._selections.pop(wanted, None)
            return self._facts(None) | {"lines": [], "total": 0, "stable": 0, "error": str(error)}, []
        start, stop = _integer(query.get("start")), _integer(query.get("stop"))
        if query.get("tail"):
            start, stop = len(selection) - stop, len(selection) - start
        start = max(start, 0)
        lines = selection.lines(start, min(stop, start + MAX_LINES))
        answer = {
            "start": start,
            "lines": [self._line(line) for line in lines],
            "total": len(selection),
            "stable": min(selection.stable, selection.last_heading),
            "error": "",
        }
        if query.get("find") is not None:
            answer["at"] = selection.line_of(_integer(query["find"]))
        return self._facts(selection) | answer, []

    def _selection(self, wanted: Wanted) -> Selection:
        selection = self._selections.pop(wanted, None)
        if selection is None:
            selection = Selection(self._rows, wanted)
        self._selections[wanted] = selection
        while len(self._selections) > _CACHE_SIZE:
            self._selections.popitem(last=False)
        return selection

    def _facts(self, selection: Selection | None) -> dict[str, Any]:
        rows = self._rows
        if self._counted != rows.size:
            self._counted, self._counts = rows.size, _chip_counts(rows)
        return {
            "size": len(self.events),
            "read": rows.size,
            "searched": rows.size if selection is None else selection.searched,
            "whole": selection is None or selection.whole,
            "counts": self._counts,
        }

    def _line(self, line: Line) -> list[Any]:
        if line.kind == "turn":
            return [line.turn, self.events[line.event].t, self._describer.user_text(line.turn)]
        row = self._describer.describe(line)
        side = 1 if row.direction == "server" else 0
        return [line.event, line.count, row.t, side, row.type, row.failed, row.turn, row.summary]

    # One event.

    def _event(self, query: dict[str, Any]) -> Answer | None:
        """Return an event in full."""
        event = self._event_number(query)
        if event is None:
            return None
        entry = self.events[event]
        frame = clean(entry.frame)
        try:
            found = shown(orjson.loads(frame), entry.type, self._formats.of(entry))
            text = orjson.dumps(found.value).decode()
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            found, text = None, ""
        if found is None or len(text) > _MAX_EVENT_CHARACTERS:
            raw = frame.decode("utf-8", "replace")
            text, found = orjson.dumps(raw[:_MAX_EVENT_CHARACTERS]).decode(), None
        row = self._rows.row_at(event)
        members = self._rows.members(row)
        at = int(np.searchsorted(members, event))
        track = self._tracks.of(event)
        return {
            "index": entry.index,
            "t": entry.t,
            "when": clock(entry.t),
            "wall": entry.wall,
            "side": entry.direction,
            "kind": entry.type,
            "bad": bool(self._rows.flags(event) & ERROR),
            "turn": entry.turn,
            "bytes": len(entry.frame),
            "json": text,
            "audio_paths": [] if found is None else [list(path) for path, _, _ in found.audio],
            "at": at,
            "count": len(members),
            "before": int(members[at - 1]) if at else -1,
            "after": int(members[at + 1]) if at + 1 < len(members) else -1,
            "track": None if track is None else _track_info(track),
        }, []

    def _copy(self, query: dict[str, Any]) -> Answer | None:
        """Return an event as JSON or as Python, for the clipboard."""
        event = self._event_number(query)
        if event is None:
            return None
        write = as_python if query.get("form") == "python" else as_json
        return {"text": write(self.events[event])}, []

    def _audio(self, query: dict[str, Any]) -> Answer | None:
        """Return the audio of an event's item: WAV if it is short, else Opus, which takes a moment."""
        event = self._event_number(query)
        track = None if event is None else self._tracks.of(event)
        if track is None:
            return None
        data = self._encoded.pop(track.key, None)
        try:
            data = data or _encode(track)
        except AudioError as error:
            return {"error": str(error)}, []
        self._encoded[track.key] = data
        while len(self._encoded) > _CACHE_SIZE:
            self._encoded.popitem(last=False)
        answer = {
            "track": _track_info(track),
            "events": track.events,
            "starts": track.starts,
            "leads": [self._rows.row(self._rows.row_at(event))[0] for event in track.events],
            "kind": "audio/wav" if track.seconds <= _MAX_WAV_SECONDS else "audio/ogg",
            "error": "",
        }
        return answer, [data]

    def _event_number(self, query: dict[str, Any]) -> int | None:
        """Return the number of the event that a query is about; None if there is no such event."""
        event = query.get("event")
        known = isinstance(event, int) and not isinstance(event, bool) and 0 <= event < self._rows.size
        return event if known else None


def _chip_counts(rows: Rows) -> dict[str, int]:
    """Return how many events match each chip of the filter bar."""
    about = np.bincount(rows.about, minlength=256)
    bits = np.arange(256)
    server = int(rows.side.sum())
    counts = {name: int(about[bits & bit != 0].sum()) for name, bit in CHIPS.items()}
    return counts | {"client": rows.size - server, "server": server}


def _track_info(track: Track) -> dict[str, Any]:
    return {"key": track.key, "label": track.label, "seconds": track.seconds, "at": track.at}


def _encode(track: Track) -> bytes:
    clip = track.clip
    if clip.seconds <= _MAX_WAV_SECONDS:
        return clip.to_bytes("wav")
    clip = clip.resample(_MAX_RATE) if clip.rate > _MAX_RATE else clip
    return encode(clip.samples, clip.rate, "opus")


def _integer(value: Any) -> int:
    return int(value) if isinstance(value, int) else 0


_NOTIFY_SECONDS = 0.15
"""Interval between two notifications of the pages that the log has grown."""
_NOTIFY_UNANSWERED_SECONDS = 1.0
"""The same while no page responds."""
_MAX_UNANSWERED = 30
"""After so many notifications without a query the widget stops watching the log until the next query."""
_FIRST_LINES = 40
"""Lines that are sent with the widget, so that its first view needs no query."""


class EventLog(anywidget.AnyWidget):
    """A live event log of some events: see `rtnb.analysis.events.Events`.

    Raises MissingPackageError if anywidget is not installed.
    """

    _esm = esm("event_log/event_log")
    _css = css()
    uid = traitlets.Unicode().tag(sync=True)
    first = traitlets.Dict().tag(sync=True)
    """The answer to a page's first query."""
    follows = traitlets.Bool().tag(sync=True)
    """Whether more events may come: then a page starts at the end and stays there."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._queries = EventQueries(events)
        self._notification_due = False
        self._answered = True
        self._unanswered = 0
        self._last_notification = 0.0
        self._unwatch: Callable[[], None] | None = None
        query = {"type": "lines", "filter": {}, "start": 0, "stop": _FIRST_LINES, "tail": events.live}
        answer = self._queries.answer(query)
        super().__init__(uid=uuid.uuid4().hex, first=answer[0] if answer else {}, follows=events.live)
        self.on_msg(self._on_message)
        pin_to_subshell(self)
        if events.live:
            self._loop = event_loop.call(asyncio.get_running_loop)
            self._watch()

    def _watch(self) -> None:
        if self._unwatch is None:
            self._unwatch = self.events.source.watch(self._on_growth)

    def _stop_watching(self) -> None:
        """Stop watching the log: a widget whose cell was run again must not work indefinitely."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def close(self) -> None:
        """Close the widget; the events stay."""
        self._stop_watching()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/html"] = events_html(self.events)
        return bundle

    def __repr__(self) -> str:
        return repr(self.events)

    # Queries of pages.

    def _on_message(self, widget: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        self._answered, self._unanswered = True, 0
        if self.events.live:
            self._watch()
        answer = self._queries.answer(dict(message))
        if answer is not None:
            self.send(*answer)

    # Notifications of pages.

    def _on_growth(self) -> None:
        """Schedule a notification. Called often, on the thread that appends to the log: it must be quick."""
        if not self._notification_due:
            self._notification_due = True
            with contextlib.suppress(RuntimeError):  # the loop ends before the process does
                self._loop.call_soon_threadsafe(self._schedule)

    def _schedule(self) -> None:
        due = self._last_notification + _NOTIFY_SECONDS
        self._loop.call_later(max(0.0, due - self._loop.time()), self._notify)

    def _notify(self) -> None:
        now = self._loop.time()
        if not self._answered and now < self._last_notification + _NOTIFY_UNANSWERED_SECONDS:
            self._loop.call_later(_NOTIFY_SECONDS, self._notify)
            return
        self._unanswered = 0 if self._answered else self._unanswered + 1
        self._notification_due, self._answered, self._last_notification = False, False, now
        if self._unanswered >= _MAX_UNANSWERED:
            self._stop_watching()
        if self.comm is not None:
            self.send({"type": "grown", "size": len(self.events)})


def show(events: Events) -> EventLog:
    """Show events live in the running cell and return the widget."""
    from ..notebook.display import OutputCell

    widget = EventLog(events)
    bundle = widget._repr_mimebundle_()
    data = bundle[0] if bundle is not None else events._repr_mimebundle_()
    OutputCell(data | {"text/plain": repr(events)})
    return widget
