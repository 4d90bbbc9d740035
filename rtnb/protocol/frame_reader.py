"""Reads frames: what each says, whatever its dialect, and which dialect it shows.

Pieces of answers have readers of their own (``dialects.fast``); all else, and whatever is odd, is parsed and
read leniently. Nothing that a frame says is lost only because something else in it cannot be read.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from ..redaction import clean_name
from . import dialects
from .changes import AddItem, AppendAudio, AudioDelta, Command, Unknown
from .dialects import GA, Dialect, ReadFrame, Unreadable
from .dialects.fast import read_fast
from .events import BINARY, Direction, Event
from .log_storage import Cut, find_cut

__all__ = ["FrameReader", "written"]


class FrameReader:
    """Reads the frames of one session. ``dialect`` is what the other side speaks, until a frame shows it."""

    def __init__(self, dialect: Dialect = GA) -> None:
        self.dialect = dialect
        self._shown = False  # whether a frame has shown the dialect

    def read(self, frame: bytes, direction: Direction) -> ReadFrame:
        """Return what a frame says."""
        if direction == "server" and (fast := read_fast(frame)) is not None:
            if not self._shown:
                self._detect({"type": fast.type}, direction)
            return fast
        event, problem = _parse(frame)
        if event is None:
            odd = _parse_leniently(frame) if direction == "server" else None
            return ReadFrame(BINARY, "", [] if odd is None else _read_odd(odd), problem)
        if not self._shown:
            self._detect(event, direction)
        try:
            found: list[Any] = list(dialects.read(event, direction))
        except Unreadable as error:
            found = list(error.changes)
            problem = f"{clean_name(event['type']):.80} cannot be read: {error}"
        id = event.get("event_id")
        cut = _cut(found[0], frame) if found else None
        return ReadFrame(event["type"], id if isinstance(id, str) else "", found, problem, cut)

    def _detect(self, event: Event, direction: Direction) -> None:
        shown = dialects.detect(event, direction)
        if shown is not None:
            self.dialect, self._shown = shown, True


def written(frame: bytes, type: str, command: Command) -> ReadFrame:
    """Return what a frame says that was written for a command: nothing needs to be read."""
    return ReadFrame(type, "", [command], None, _cut(command, frame))


def _read_odd(event: Event) -> list[Any]:
    """Return what a frame says that is nearly JSON: the end of a response, or text, must not be lost."""
    try:
        return [one for one in dialects.read(event, "server") if not isinstance(one, Unknown)]
    except Unreadable as error:
        return list(error.changes)


def _cut(change: Any, frame: bytes) -> Cut | None:
    """Return where the audio of a change stands in its frame."""
    if isinstance(change, (AppendAudio, AudioDelta)):
        return find_cut(frame, change.encoded, change.audio) if change.encoded else None
    if isinstance(change, AddItem):
        for content in change.item.contents:
            if content.audio is not None:
                return find_cut(frame, content.encoded, content.audio)
    return None


def _parse(frame: bytes) -> tuple[Event | None, str | None]:
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        return None, f"a frame is not JSON: {error}"
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return None, "a frame is not a JSON object with a type"
    return event, None


def _parse_leniently(frame: bytes) -> Event | None:
    """Return an event that is JSON but for NaN, infinity, half a surrogate pair, bad UTF-8 or control codes.

    What cannot be kept is replaced. Returns None for anything else.
    """

    def number(text: str) -> float | None:
        value = float(text)
        return value if math.isfinite(value) else None

    try:
        text = frame.decode("utf-8-sig", "replace")
        value = json.loads(text, strict=False, parse_float=number, parse_constant=lambda name: None)
        value = orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("type"), str) else None
