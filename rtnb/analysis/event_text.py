"""One event as people read it: sound in words instead of base64, a line that sums it up, and as Python."""

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
from ..protocol.dialects.names import AUDIO_DELTAS
from ..protocol.entries import Entry
from ..protocol.events import Direction, parse_object
from ..protocol.log import Log
from ..redaction import clean, clean_text
from .event_codecs import Formats
from .event_filter import Line
from .event_rows import AUDIO, ERROR, Rows

__all__ = [
    "Place",
    "Shown",
    "Teller",
    "Told",
    "as_json",
    "as_python",
    "carried",
    "shown",
    "shown_frame",
    "sound_words",
    "summary",
]

Place = tuple[str | int, ...]
"""Where something stands in an event: keys and indices from the root on."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,")
_LEAST = 16  # letters of base64; shorter ones are read as they are
_LONGEST = 20_000
_SUM = 160
"""Letters that sum an event up, at most."""


@dataclass(slots=True)
class Shown:
    """An event to look at. ``sounds`` are the places of its sound, with its milliseconds and bytes."""

    value: Any
    sounds: list[tuple[Place, float | None, int]] = field(default_factory=list)


def sound_words(size: int, ms: float | None) -> str:
    """Return sound in words: ``[audio 100 ms, 4,800 bytes]``; without the time where that is not known."""
    if ms is None or not math.isfinite(ms):
        return f"[audio, {size:,} bytes]"
    long = f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"
    return f"[audio {long}, {size:,} bytes]"


def shown(event: Any, type: str, codec: Codec | None, *, whole: bool = False) -> Shown:
    """Return an event (parsed JSON) with sound in words, and unless ``whole`` long texts cut."""
    found = Shown(None)

    def walk(value: Any, key: str, place: Place) -> Any:
        if isinstance(value, dict):
            return {name: walk(inner, name, (*place, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, key, (*place, number)) for number, inner in enumerate(value)]
        if not isinstance(value, str) or len(value) < _LEAST:
            return value
        if _is_sound(value, key, type):
            size = decoded_length(value)
            ms = size * 1000 / codec.bytes_per_second if codec is not None else None
            found.sounds.append((place, ms, size))
            return sound_words(size, ms)
        if whole:
            return value
        if (url := _URL.match(value)) is not None:
            return f"[{url[1] or 'data'}, {decoded_length(value[url.end() :]):,} bytes]"
        if len(value) > _LONGEST:
            return f"{value[:_LONGEST]}… ({len(value) - _LONGEST:,} more letters; a copy has them all)"
        return value

    try:
        found.value = walk(event, "", ())
    except RecursionError:  # which JSON may do, and no protocol does
        found.value = f"[{type}: too deep to be shown; a copy has it all]"
        found.sounds.clear()
    return found


def shown_frame(frame: bytes, entry: Entry, formats: Formats) -> bytes:
    """Return an entry's frame (its keys hidden) with sound in words; as it is where it has none."""
    if b'"audio":' not in frame and entry.type not in AUDIO_DELTAS:
        return frame
    try:
        event = orjson.loads(frame)
        response = event.get("response_id") if isinstance(event, dict) else None
        found = shown(event, entry.type, formats.at(entry.index, entry.direction, response), whole=True)
        return orjson.dumps(found.value) if found.sounds else frame
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return frame


def _is_sound(value: str, key: str, type: str) -> bool:
    named = key == "audio" or (key == "delta" and type in AUDIO_DELTAS)
    return named and _BASE64.fullmatch(value) is not None


def carried(entry: Entry) -> list[bytes]:
    """Return the sound that an event carries, decoded; what is no base64 is left out."""
    found: list[bytes] = []

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, name)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, key)
        elif isinstance(value, str) and _is_sound(value, key, entry.type):
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
    """Return a whole frame as text on several lines, as it is where it is no JSON. Keys are hidden."""
    frame = clean(entry.frame)
    try:
        return orjson.dumps(orjson.loads(frame), option=orjson.OPT_INDENT_2).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return frame.decode("utf-8", "replace")


def as_python(entry: Entry, session: str = "s") -> str:
    """Return Python that sends the event again, where the client sent it, else that holds it."""
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


# A line that sums an event up.


def summary(event: dict[str, Any], type: str) -> str:
    """Return what an event says, in a few words; "" where its type says it all."""
    try:
        said = _said(event, type)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return ""  # not as the protocol has it: the tree shows what it is
    said = " ".join(said.split())
    return said if len(said) <= _SUM else said[: _SUM - 1] + "…"


def _said(event: dict[str, Any], type: str) -> str:
    teller = _TELLERS.get(type)
    if teller is not None:
        return teller(event)
    for name in ("delta", "text", "transcript", "arguments"):
        if isinstance(event.get(name), str):
            return str(event[name])
    if isinstance(event.get("error"), dict):
        return _error(event)
    if isinstance(event.get("item"), dict):
        return _item(event["item"])
    if isinstance(event.get("part"), dict):
        return " ".join(_part(event["part"]))
    return ""


def _error(event: dict[str, Any]) -> str:
    error = event["error"]
    return str(error.get("message") or error.get("code") or error.get("type") or "")


def _part(part: dict[str, Any]) -> list[str]:
    said = part.get("text") or part.get("transcript")
    return [str(said)] if said else [f"({str(part.get('type', 'part')).rpartition('_')[2]})"]


def _item(item: dict[str, Any]) -> str:
    if item.get("type") == "function_call":
        return f"{item.get('name')}({item.get('arguments') or ''})"
    if item.get("type") == "function_call_output":
        return f"→ {item.get('output')}"
    parts = [word for part in item.get("content") or () for word in _part(part)]
    who = str(item.get("role") or item.get("type") or "")
    return f"{who}: {' '.join(parts)}" if parts else who


def _session(event: dict[str, Any]) -> str:
    session = event["session"]
    audio = session.get("audio") or {}
    detection = (audio.get("input") or {}).get("turn_detection") or {}
    voice = (audio.get("output") or {}).get("voice")
    words = [session.get("model"), f"voice {voice}" if voice else "", detection.get("type")]
    words += [f"{len(session['tools'])} tools" if session.get("tools") else "", session.get("instructions")]
    return " · ".join(str(word) for word in words if word)


def _ask(event: dict[str, Any]) -> str:
    asked = event.get("response") or {}
    words = [", ".join(asked.get("output_modalities") or ()), asked.get("instructions")]
    words += ["out of band" if asked.get("conversation") == "none" else ""]
    return " · ".join(str(word) for word in words if word)


def _done(event: dict[str, Any]) -> str:
    response = event["response"]
    details = response.get("status_details") or {}
    usage = response.get("usage") or {}
    words = [str(response.get("status") or ""), details.get("reason") or ""]
    if details.get("error"):
        words.append(_error(details))
    if usage.get("input_tokens") is not None:
        words.append(f"{usage['input_tokens']:,} tokens in, {usage.get('output_tokens') or 0:,} out")
    return " · ".join(word for word in words if word)


def _limits(event: dict[str, Any]) -> str:
    told = (f"{each['name']} {each['remaining']:,} of {each['limit']:,}" for each in event["rate_limits"])
    return " · ".join(told)


def _milliseconds(*names: str) -> Callable[[dict[str, Any]], str]:
    return lambda event: " ".join(f"at {event[name]:,} ms" for name in names if event.get(name) is not None)


_TELLERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "conversation.item.truncate": _milliseconds("audio_end_ms"),
    "conversation.item.truncated": _milliseconds("audio_end_ms"),
    "input_audio_buffer.append": lambda event: "",
    "input_audio_buffer.speech_started": _milliseconds("audio_start_ms"),
    "input_audio_buffer.speech_stopped": _milliseconds("audio_end_ms"),
    "rate_limits.updated": _limits,
    "response.create": _ask,
    "response.created": lambda event: "",
    "response.done": _done,
    "response.output_audio.delta": lambda event: "",
    "session.created": _session,
    "session.update": _session,
    "session.updated": _session,
}


_READ = 60
"""Deltas of a row that are read, at most, for what they say together."""
_LETTERS = 160
_SAYING = ("conversation.item.create", "conversation.item.input_audio_transcription.completed")


@dataclass(frozen=True, slots=True)
class Told:
    """One line. ``index`` is the first event's in the log, ``t`` in seconds since the log began."""

    index: int
    t: float
    direction: Direction
    type: str
    count: int
    turn: int
    bad: bool
    words: str


class Teller:
    """Tells the lines of some rows."""

    def __init__(self, rows: Rows, formats: Formats) -> None:
        self._rows = rows
        self._log: Log = rows.events.source
        self._formats = formats
        self._said: dict[int, str] = {}

    def tell(self, line: Line) -> Told:
        """Return a row's line in words, keys hidden."""
        rows = self._rows
        entry = rows.events[line.event]
        about = rows.flags(line.event)
        words = self._words(entry, line, about)
        return Told(
            entry.index,
            entry.t,
            entry.direction,
            entry.type,
            line.count,
            line.turn,
            bool(about & ERROR),
            words,
        )

    def asked(self, turn: int) -> str:
        """Return what the user said in a turn, once that is known."""
        if turn < 0 or turn in self._said:
            return self._said.get(turn, "")
        for entry in self._rows.events.filter(_SAYING, turn=turn):
            event = parse_object(clean(entry.frame))
            item = event.get("item")
            if entry.type == _SAYING[0] and not (isinstance(item, dict) and item.get("role") == "user"):
                continue
            said = summary(event, entry.type).removeprefix("user: ")
            if said and said != "(audio)":
                self._said[turn] = said
                return said
        return ""

    def _words(self, entry: Entry, line: Line, about: int) -> str:
        event = parse_object(clean(entry.frame))
        said = event.get("delta") if entry.type.endswith(".delta") else None
        if about & AUDIO and (sound := self._sound(entry, line)):
            return sound
        if line.count > 1 and isinstance(said, str):
            return self._joined(line)
        return summary(event, entry.type)

    def _sound(self, entry: Entry, line: Line) -> str:
        """Return how much sound a line's events bring; "" where they bring none."""
        events = (
            np.array([line.event]) if line.count == 1 else self._rows.members(self._rows.row_at(line.event))
        )
        index = events if self._rows.events.grows else self._rows.events.rows[events]
        sizes = self._log.sound_sizes(index)
        size = int(sizes.sum())
        for whole in events[sizes == 0][:_READ].tolist():  # too short to be cut out, or not the protocol's
            size += sum(map(len, carried(self._rows.events[whole])))
        if not size:
            return ""
        return sound_words(size, size * 1000 / self._formats.of(entry).bytes_per_second)

    def _joined(self, line: Line) -> str:
        """Return what deltas say together."""
        text = ""
        for event in self._rows.members(self._rows.row_at(line.event))[:_READ].tolist():
            said = parse_object(clean(self._rows.events[event].frame)).get("delta")
            text += said if isinstance(said, str) else ""
            if len(text) > _LETTERS:
                break
        text = " ".join(clean_text(text).split())
        return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"
