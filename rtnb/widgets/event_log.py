"""The event log in a notebook: live, searchable, with its sound; a page asks for the lines that it shows."""

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
from ..analysis.event_codecs import Formats
from ..analysis.event_filter import Line, Selection, Wanted
from ..analysis.event_rows import CHIPS, ERROR, Rows
from ..analysis.event_text import Teller, as_json, as_python, shown
from ..analysis.events import Events
from ..audio.files import encode
from ..errors import ArgumentError, AudioError
from ..formatting import clock
from ..redaction import clean
from ..render.event_table import events_html
from ..session import event_loop
from .base import anywidget, css, esm, pin, traitlets

__all__ = ["MOST_LINES", "Desk", "EventLog", "show"]

MOST_LINES = 400
"""Lines that one answer holds at most."""

_KEPT = 4  # selections, and tracks, whose work is kept
_WAV_SECONDS = 5.0
_RATE = 24_000
_LONGEST = 2_000_000
"""Letters of one event that a page is told: more than any event of the protocol has, sound apart."""

Answer = tuple[dict[str, Any], list[bytes]]


class Desk:
    """Answers the pages that show some events, one question at a time."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._rows = Rows(events)
        self._formats = Formats(events.source)
        self._teller = Teller(self._rows, self._formats)
        self._tracks = Tracks(self._rows, self._formats, lambda: events.state.conversation)
        self._selections: OrderedDict[Wanted, Selection] = OrderedDict()
        self._sounds: OrderedDict[str, bytes] = OrderedDict()
        self._counted = -1
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._questions: dict[str, Callable[[dict[str, Any]], Answer | None]] = {
            "lines": self._lines,
            "look": self._look,
            "copy": self._copy,
            "sound": self._sound,
        }

    def ask(self, message: dict[str, Any]) -> Answer | None:
        """Answer a page's message; None for what is no question. Every answer repeats its question."""
        question = self._questions.get(str(message.get("type")))
        if question is None:
            return None
        with self._lock:
            answer = question(message)
        return None if answer is None else ({**message, **answer[0]}, answer[1])

    # The lines.

    def _lines(self, message: dict[str, Any]) -> Answer:
        """Return the lines ``start`` to before ``stop``, and how many there are.

        Where the fold or the search is not at its end, ``whole`` is false: asking again goes on. ``find``
        is an event whose line is asked for (``at``, -1 for none). With ``tail``, ``start`` and ``stop`` count
        from the end.
        """
        wanted = Wanted.of(message.get("want"))
        try:
            selection = self._selection(wanted)
            selection.update()
        except ArgumentError as error:
            self._selections.pop(wanted, None)
            return self._facts(None) | {"lines": [], "total": 0, "stable": 0, "error": str(error)}, []
        start, stop = _number(message.get("start")), _number(message.get("stop"))
        if message.get("tail"):
            start, stop = len(selection) - stop, len(selection) - start
        start = max(start, 0)
        lines = selection.lines(start, min(stop, start + MOST_LINES))
        answer = {
            "start": start,
            "lines": [self._line(line) for line in lines],
            "total": len(selection),
            "stable": min(selection.stable, selection.last_heading),
            "error": "",
        }
        if message.get("find") is not None:
            answer["at"] = selection.line_of(_number(message["find"]))
        return self._facts(selection) | answer, []

    def _selection(self, wanted: Wanted) -> Selection:
        selection = self._selections.pop(wanted, None)
        if selection is None:
            selection = Selection(self._rows, wanted)
        self._selections[wanted] = selection
        while len(self._selections) > _KEPT:
            self._selections.popitem(last=False)
        return selection

    def _facts(self, selection: Selection | None) -> dict[str, Any]:
        rows = self._rows
        if self._counted != rows.size:
            self._counted, self._counts = rows.size, _counts(rows)
        return {
            "size": len(self.events),
            "taken": rows.size,
            "searched": rows.size if selection is None else selection.searched,
            "whole": selection is None or selection.whole,
            "counts": self._counts,
        }

    def _line(self, line: Line) -> list[Any]:
        if line.kind == "turn":
            return [line.turn, self.events[line.event].t, self._teller.asked(line.turn)]
        told = self._teller.tell(line)
        side = 1 if told.direction == "server" else 0
        return [line.event, line.count, told.t, side, told.type, told.bad, told.turn, told.words]

    # One event.

    def _look(self, message: dict[str, Any]) -> Answer | None:
        event = self._event(message)
        if event is None:
            return None
        entry = self.events[event]
        frame = clean(entry.frame)
        try:
            found = shown(orjson.loads(frame), entry.type, self._formats.of(entry))
            text = orjson.dumps(found.value).decode()
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            found, text = None, ""
        if found is None or len(text) > _LONGEST:
            raw = frame.decode("utf-8", "replace")
            text, found = orjson.dumps(raw[:_LONGEST]).decode(), None
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
            "sounds": [] if found is None else [list(place) for place, _, _ in found.sounds],
            "at": at,
            "count": len(members),
            "before": int(members[at - 1]) if at else -1,
            "after": int(members[at + 1]) if at + 1 < len(members) else -1,
            "track": None if track is None else _told(track),
        }, []

    def _copy(self, message: dict[str, Any]) -> Answer | None:
        event = self._event(message)
        if event is None:
            return None
        write = as_python if message.get("form") == "python" else as_json
        return {"text": write(self.events[event])}, []

    def _sound(self, message: dict[str, Any]) -> Answer | None:
        """Return the sound of an event's item: WAV where it is short, else Opus, which takes a moment."""
        event = self._event(message)
        track = None if event is None else self._tracks.of(event)
        if track is None:
            return None
        data = self._sounds.pop(track.key, None)
        try:
            data = data or _encoded(track)
        except AudioError as error:
            return {"error": str(error)}, []
        self._sounds[track.key] = data
        while len(self._sounds) > _KEPT:
            self._sounds.popitem(last=False)
        leads = [self._rows.row(self._rows.row_at(event))[0] for event in track.events]
        kind = "audio/wav" if track.seconds <= _WAV_SECONDS else "audio/ogg"
        more = {"events": track.events, "starts": track.starts, "leads": leads, "kind": kind, "error": ""}
        return {"track": _told(track), **more}, [data]

    def _event(self, message: dict[str, Any]) -> int | None:
        """Return the event that a message is about, if there is one."""
        event = message.get("event")
        known = isinstance(event, int) and not isinstance(event, bool) and 0 <= event < self._rows.size
        return event if known else None


def _counts(rows: Rows) -> dict[str, int]:
    """Return how many events each chip stands for."""
    about = np.bincount(rows.about, minlength=256)
    bits = np.arange(256)
    server = int(rows.side.sum())
    counts = {name: int(about[bits & bit != 0].sum()) for name, bit in CHIPS.items()}
    return counts | {"client": rows.size - server, "server": server}


def _told(track: Track) -> dict[str, Any]:
    return {"key": track.key, "label": track.label, "seconds": track.seconds, "at": track.at}


def _encoded(track: Track) -> bytes:
    clip = track.clip
    if clip.seconds <= _WAV_SECONDS:
        return clip.to_bytes("wav")
    clip = clip.resample(_RATE) if clip.rate > _RATE else clip
    return encode(clip.samples, clip.rate, "opus")


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int) else 0


_TICK = 0.15
"""Seconds between two words to the pages that there is more."""
_ALONE = 1.0
"""The same, while no page asks for what there is more."""
_PATIENCE = 30
"""How often the pages are told so until the widget takes it that none is left. Asking makes it tell again."""
_FIRST = 40
"""Lines that come along with the widget, so that the first picture needs no question."""


class EventLog(anywidget.AnyWidget):
    """A live event log of some events: see `rtnb.analysis.events.Events`.

    Raises MissingPackageError where anywidget is not installed.
    """

    _esm = esm("event_log/event_log")
    _css = css()
    uid = traitlets.Unicode().tag(sync=True)
    first = traitlets.Dict().tag(sync=True)
    """The answer to a page's first question."""
    follows = traitlets.Bool().tag(sync=True)
    """Whether more may come: then a page begins at the end and stays there."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._desk = Desk(events)
        self._dirty = False
        self._asked = True
        self._last = 0.0
        question = {"type": "lines", "want": {}, "start": 0, "stop": _FIRST, "tail": events.live}
        answer = self._desk.ask(question)
        super().__init__(uid=uuid.uuid4().hex, first=answer[0] if answer else {}, follows=events.live)
        self.on_msg(self._hear)
        pin(self)
        self._unheard = 0
        self._end: Callable[[], None] | None = None
        if events.live:
            self._loop = event_loop.call(asyncio.get_running_loop)
            self._watch()

    def _watch(self) -> None:
        if self._end is None:
            self._end = self.events.source.watch(self._grown)

    def _rest(self) -> None:
        """Hear of nothing more: a widget whose cell ran again must not work for ever."""
        if self._end is not None:
            self._end()
            self._end = None

    def close(self) -> None:
        """End the widget; the events stay."""
        self._rest()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/html"] = events_html(self.events)
        return bundle

    def __repr__(self) -> str:
        return repr(self.events)

    # -- what the page asks for ------------------------------------------------------------------------

    def _hear(self, widget: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        self._asked, self._unheard = True, 0
        if self.events.live:
            self._watch()
        answer = self._desk.ask(dict(message))
        if answer is not None:
            self.send(*answer)

    # -- what the log tells ----------------------------------------------------------------------------

    def _grown(self) -> None:
        """Note that there is more, on the thread that brought it: many times a second, and briefly."""
        if not self._dirty:
            self._dirty = True
            with contextlib.suppress(RuntimeError):  # the loop ends before the process does
                self._loop.call_soon_threadsafe(self._soon)

    def _soon(self) -> None:
        self._loop.call_later(max(0.0, self._last + _TICK - self._loop.time()), self._tell)

    def _tell(self) -> None:
        now = self._loop.time()
        if not self._asked and now < self._last + _ALONE:
            self._loop.call_later(_TICK, self._tell)
            return
        self._unheard = 0 if self._asked else self._unheard + 1
        self._dirty, self._asked, self._last = False, False, now
        if self._unheard >= _PATIENCE:
            self._rest()
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
