"""One event as people read it: a note instead of base64 audio, a one-line summary, and as Python."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pprint import pformat
from typing import Any

import numpy as np
import orjson
from pybase64 import b64decode

from ..audio.codecs import Codec, decoded_length
from ..protocol.audio_formats import AudioFormats
from ..protocol.changes import (
    AddItem,
    ArgumentsDelta,
    Change,
    Command,
    Configure,
    Content,
    ErrorData,
    Failed,
    InputTranscript,
    InputTranscriptDelta,
    InputTranscriptFailed,
    ItemAdded,
    ItemData,
    ItemDone,
    ItemRetrieved,
    Limits,
    Other,
    OutputItemAdded,
    OutputItemDone,
    PartAdded,
    PartDone,
    Respond,
    ResponseEnded,
    SessionChanged,
    SessionStarted,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextDone,
    ToolCall,
    Truncate,
    Truncated,
    Unknown,
)
from ..protocol.dialects import Unreadable, read, reading
from ..protocol.dialects.names import APPENDS, AUDIO_DELTAS, USER_TEXTS
from ..protocol.entries import Entry
from ..protocol.events import Direction, parse_object
from ..protocol.log import Log
from ..redaction import clean, clean_text, plain
from .event_filter import Line
from .event_rows import AUDIO, ERROR, Rows

__all__ = [
    "EventDescriber",
    "EventRow",
    "Place",
    "Shown",
    "as_json",
    "as_python",
    "audio_note",
    "decoded_audio",
    "shown",
    "shown_frame",
    "summary",
]

Place = tuple[str | int, ...]
"""The path to a value in an event: keys and indices from the root on."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,")
_LEAST = 16  # characters of base64; shorter ones are shown as they are
_LONGEST = 20_000
_SUMMARY = 160
"""Characters of an event's summary, at most."""


@dataclass(slots=True)
class Shown:
    """An event to look at. ``audio`` are the places of its audio, with its milliseconds and bytes."""

    value: Any
    audio: list[tuple[Place, float | None, int]] = field(default_factory=list)


def audio_note(size: int, ms: float | None) -> str:
    """Return what is shown for audio: ``[audio 100 ms, 4,800 bytes]``; without the time if it is unknown."""
    if ms is None or not math.isfinite(ms):
        return f"[audio, {size:,} bytes]"
    long = f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"
    return f"[audio {long}, {size:,} bytes]"


def shown(event: Any, type: str, codec: Codec | None, *, whole: bool = False) -> Shown:
    """Return an event (parsed JSON) with notes for its audio, and unless ``whole`` with long texts cut."""
    found = Shown(None)

    def walk(value: Any, key: str, place: Place) -> Any:
        if isinstance(value, dict):
            return {name: walk(inner, name, (*place, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, key, (*place, number)) for number, inner in enumerate(value)]
        if not isinstance(value, str) or len(value) < _LEAST:
            return value
        if _is_audio(value, key, type):
            size = decoded_length(value)
            ms = size * 1000 / codec.bytes_per_second if codec is not None else None
            found.audio.append((place, ms, size))
            return audio_note(size, ms)
        if whole:
            return value
        if (url := _URL.match(value)) is not None:
            return f"[{url[1] or 'data'}, {decoded_length(value[url.end() :]):,} bytes]"
        if len(value) > _LONGEST:
            return f"{value[:_LONGEST]}… ({len(value) - _LONGEST:,} more characters; a copy has them all)"
        return value

    try:
        found.value = walk(event, "", ())
    except RecursionError:  # valid JSON may be this deep; no event of the protocol is
        found.value = f"[{type}: too deep to be shown; a copy has it all]"
        found.audio.clear()
    return found


def shown_frame(frame: bytes, entry: Entry, formats: AudioFormats) -> bytes:
    """Return an entry's frame (its keys redacted) with notes for its audio; unchanged if it has none."""
    if b'"audio":' not in frame and entry.type not in AUDIO_DELTAS:
        return frame
    try:
        event = orjson.loads(frame)
        response = event.get("response_id") if isinstance(event, dict) else None
        found = shown(event, entry.type, formats.at(entry.index, entry.direction, response), whole=True)
        return orjson.dumps(found.value) if found.audio else frame
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return frame


def _is_audio(value: str, key: str, type: str) -> bool:
    named = key == "audio" or (key == "delta" and type in AUDIO_DELTAS)
    return named and _BASE64.fullmatch(value) is not None


def decoded_audio(entry: Entry) -> list[bytes]:
    """Return the audio in an event, decoded; what is not base64 is left out."""
    found: list[bytes] = []

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, name)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, key)
        elif isinstance(value, str) and _is_audio(value, key, entry.type):
            try:
                found.append(b64decode(value, validate=True))
            except ValueError:
                return

    try:
        walk(entry.data, "")
    except RecursionError:
        return []
    return found


def as_json(entry: Entry) -> str:
    """Return a whole frame as indented JSON; unchanged if it is not JSON. Keys are redacted."""
    frame = clean(entry.frame)
    try:
        return orjson.dumps(orjson.loads(frame), option=orjson.OPT_INDENT_2).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return frame.decode("utf-8", "replace")


def as_python(entry: Entry, session: str = "s") -> str:
    """Return Python code that sends the event again if the client sent it, else that defines it."""
    frame = clean(entry.frame)
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return f"frame = {frame!r}\n"
    try:
        text = pformat(event, width=100, sort_dicts=False)
    except RecursionError:
        return f"frame = {frame!r}\n"
    if entry.direction == "client" and isinstance(event, dict):
        return f"{session}.send_event({_indented(text, len(session) + 12)})\n"
    return f"event = {_indented(text, 8)}\n"


def _indented(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by)


# The summary of an event.


def summary(event: dict[str, Any], direction: Direction) -> str:
    """Return an event's content in a few words; "" if its type says it all."""
    try:
        text = _content(event, direction)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return ""  # not as the protocol has it: the JSON shows what it is
    return _shortened(text)


def _shortened(text: str) -> str:
    text = " ".join(plain(text).split())
    return text if len(text) <= _SUMMARY else text[: _SUMMARY - 1] + "…"


def _content(event: dict[str, Any], direction: Direction) -> str:
    if not isinstance(event.get("type"), str):
        return _generic(event)
    try:
        found = read(event, direction)
    except Unreadable:
        return _generic(event)
    if any(isinstance(change, (Unknown, Other)) for change in found):
        return _generic(event)
    if isinstance(found[0] if found else None, PartAdded) and "part" not in event:
        return ""  # of which kind it is, is not known
    described = (_SUMMARIES[type(change)](change) for change in found if type(change) in _SUMMARIES)
    return " · ".join(filter(None, described))


def _generic(event: dict[str, Any]) -> str:
    """Return the content of an event of an unknown type, or of one that lacks what its type needs."""
    if event.get("type") in AUDIO_DELTAS or event.get("type") in APPENDS:
        return ""
    for name in ("delta", "text", "transcript", "arguments"):
        if isinstance(event.get(name), str):
            return str(event[name])
    if isinstance(event.get("error"), dict):
        return _error(reading.error(event["error"]))
    if isinstance(event.get("item"), dict):
        return _item(reading.item(event["item"]))
    if isinstance(event.get("part"), dict):
        return _part(reading.content(event["part"]))
    return " ".join(_at(event[name]) for name in ("audio_start_ms", "audio_end_ms") if name in event)


def _error(error: ErrorData) -> str:
    return error.message or error.code or error.type or ""


def _part(part: Content) -> str:
    return part.text or f"({part.kind})"


def _item(item: ItemData) -> str:
    if item.type == "function_call":
        return f"{item.name}({item.arguments})"
    if item.type == "function_call_output":
        return f"→ {item.output}"
    parts = " ".join(map(_part, item.contents))
    who = item.role or item.type
    return f"{who}: {parts}" if parts else who


def _session(change: Configure | SessionStarted | SessionChanged) -> str:
    session = change.config
    audio = session.get("audio") or {}
    settings = audio.get("input") or {}
    model, voice = session.get("model"), (audio.get("output") or {}).get("voice")
    if session.get("type") == "transcription":
        model = model or (settings.get("transcription") or {}).get("model")
    detection = settings.get("turn_detection") or {}
    words = [model, f"voice {voice}" if voice else "", detection.get("type")]
    words += [f"{len(session['tools'])} tools" if session.get("tools") else "", session.get("instructions")]
    return " · ".join(str(word) for word in words if word)


def _respond(command: Respond) -> str:
    options = command.options
    words = [", ".join(options.get("output_modalities") or ()), options.get("instructions")]
    words += ["out of band" if command.out_of_band else ""]
    return " · ".join(str(word) for word in words if word)


def _ended(change: ResponseEnded) -> str:
    if not change.raw:
        return ""
    words = [change.status, change.reason, _error(change.error) if change.error else ""]
    if change.usage is not None:
        words.append(f"{change.usage.input_tokens:,} tokens in, {change.usage.output_tokens:,} out")
    return " · ".join(word for word in words if word)


def _limits(change: Limits) -> str:
    limits = (f"{name} {one['remaining']:,} of {one['limit']:,}" for name, one in change.limits.items())
    return " · ".join(limits)


def _at(ms: float | None) -> str:
    return "" if ms is None else f"at {ms:,.0f} ms"


_SUMMARIES: dict[type, Callable[[Any], str]] = {
    **dict.fromkeys((ArgumentsDelta, InputTranscript, InputTranscriptDelta), lambda change: change.text),
    **dict.fromkeys((TextDelta, TextDone), lambda change: change.text),
    **dict.fromkeys((AddItem, ItemAdded, ItemDone, ItemRetrieved), lambda change: _item(change.item)),
    **dict.fromkeys((OutputItemAdded, OutputItemDone), lambda change: _item(change.item)),
    **dict.fromkeys((PartAdded, PartDone), lambda change: _part(change.content)),
    **dict.fromkeys((Configure, SessionChanged, SessionStarted), _session),
    **dict.fromkeys((Failed, InputTranscriptFailed), lambda change: _error(change.error)),
    **dict.fromkeys((SpeechStarted, SpeechStopped, Truncate, Truncated), lambda change: _at(change.ms)),
    Limits: _limits,
    Respond: _respond,
    ResponseEnded: _ended,
    ToolCall: lambda change: change.arguments,
}
"""Those of other types say nothing more than their name."""


def _read(entry: Entry) -> list[Change] | list[Command]:
    """Return what an entry's frame says, keys redacted; [] where that is nothing usable."""
    event = parse_object(clean(entry.frame))
    try:
        return read(event, entry.direction) if "type" in event else []
    except Unreadable:
        return []


_READ = 60
"""Deltas of a row that are read, at most, for the text that they make together."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One row as it is shown. ``index`` is its first event's, ``t`` in seconds since the log began."""

    index: int
    t: float
    direction: Direction
    type: str
    count: int
    turn: int
    failed: bool
    summary: str


class EventDescriber:
    """Describes the lines of some rows in words."""

    def __init__(self, rows: Rows, formats: AudioFormats) -> None:
        self._rows = rows
        self._log: Log = rows.events.source
        self._formats = formats
        self._user_texts: dict[int, str] = {}

    def describe(self, line: Line) -> EventRow:
        """Return a row's line in words, keys redacted."""
        rows = self._rows
        entry = rows.events[line.event]
        about = rows.flags(line.event)
        return EventRow(
            entry.index,
            entry.t,
            entry.direction,
            entry.type,
            line.count,
            line.turn,
            bool(about & ERROR),
            self._summary(entry, line, about),
        )

    def user_text(self, turn: int) -> str:
        """Return what the user said in a turn; "" until that is known."""
        if turn < 0 or turn in self._user_texts:
            return self._user_texts.get(turn, "")
        for entry in self._rows.events.filter([*USER_TEXTS], turn=turn):
            for change in _read(entry):
                text = ""
                if isinstance(change, InputTranscript):
                    text = change.text
                elif isinstance(change, AddItem) and change.item.role == "user":
                    text = " ".join(map(_part, change.item.contents))
                if text and text != "(audio)":
                    self._user_texts[turn] = _shortened(text)
                    return self._user_texts[turn]
        return ""

    def _summary(self, entry: Entry, line: Line, about: int) -> str:
        event = parse_object(clean(entry.frame))
        delta = event.get("delta") if entry.type.endswith(".delta") else None
        if about & AUDIO and (note := self._audio(entry, line)):
            return note
        if line.count > 1 and isinstance(delta, str):
            return self._joined(line)
        return summary(event, entry.direction)

    def _audio(self, entry: Entry, line: Line) -> str:
        """Return how much audio a line's events bring; "" if they bring none."""
        events = (
            np.array([line.event]) if line.count == 1 else self._rows.members(self._rows.row_at(line.event))
        )
        index = events if self._rows.events.grows else self._rows.events.rows[events]
        sizes = self._log.sound_sizes(index)
        size = int(sizes.sum())
        for whole in events[sizes == 0][:_READ].tolist():  # too short to be cut out, or not the protocol's
            size += sum(map(len, decoded_audio(self._rows.events[whole])))
        if not size:
            return ""
        return audio_note(size, size * 1000 / self._formats.of(entry).bytes_per_second)

    def _joined(self, line: Line) -> str:
        """Return the text that deltas make together."""
        text = ""
        for event in self._rows.members(self._rows.row_at(line.event))[:_READ].tolist():
            delta = parse_object(clean(self._rows.events[event].frame)).get("delta")
            text += delta if isinstance(delta, str) else ""
            if len(text) > _SUMMARY:
                break
        return _shortened(clean_text(text))
