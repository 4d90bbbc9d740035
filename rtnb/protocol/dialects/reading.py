"""Lenient reading of wire values: of a field that is missing or of another type, its default.

Only what a change cannot do without raises, as `Unreadable`: the caller keeps the frame and lists it among
the session's problems.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pybase64 import b64decode

from ..changes import UNSTATED, Change, Content, ErrorData, ItemData
from ..events import Event, as_object
from ..log_storage import Sound

__all__ = [
    "MOST_PARTS",
    "Unreadable",
    "audio",
    "content",
    "error",
    "identifier",
    "index",
    "item",
    "metadata",
    "milliseconds",
    "previous",
    "text",
]

MOST_PARTS = 1000
"""Far more content parts than any item has: an index past that is an error, not an order to make room."""


class Unreadable(ValueError):
    """A frame lacks what its type cannot do without; ``field`` is the one in question, if it is known.

    ``changes`` are what the frame says all the same.
    """

    def __init__(self, message: str, field: str = "", changes: Sequence[Change] = ()) -> None:
        super().__init__(message)
        self.field = field
        self.changes = changes


def text(value: Any) -> str:
    """Return a string, or "" for anything else."""
    return value if isinstance(value, str) else ""


def identifier(event: Mapping[str, Any], name: str) -> str:
    """Return an id as a string, also where the server sent a number; "" where there is none.

    >>> identifier({"item_id": 7}, "item_id")
    '7'
    """
    value = event.get(name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def index(event: Mapping[str, Any], name: str = "content_index") -> int:
    """Return an index, 0 where it is missing. Raises Unreadable beyond what an item can hold."""
    value = event.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    if not 0 <= value < MOST_PARTS:
        raise Unreadable(f"{name} is {value}: expected 0 to {MOST_PARTS - 1}", name)
    return value


def milliseconds(event: Mapping[str, Any], name: str) -> float | None:
    """Return milliseconds of 0 or more; None where they are missing or not a number."""
    value = event.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return max(float(value), 0.0)


def previous(event: Mapping[str, Any]) -> str | None:
    """Return ``previous_item_id``: an id, None for the first place, `UNSTATED` where it is missing."""
    value = event.get("previous_item_id", UNSTATED)
    if value is None or isinstance(value, str):
        return value
    return UNSTATED


def audio(value: Any) -> Sound | None:
    """Return what base64 decodes to; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        return Sound(b64decode(value, validate=True))
    except ValueError:
        return None


def error(value: Any) -> ErrorData:
    """Return an error object, also where it is a string, or is missing some of its members."""
    if isinstance(value, str):
        return ErrorData(message=value)
    wire = as_object(value)
    message = wire.get("message")
    if message is not None and not isinstance(message, str):
        message = str(message)[:500]
    code = wire.get("code")
    return ErrorData(
        message=message or "",
        type=text(wire.get("type")) or None,
        code=None if code in (None, "") else str(code)[:100],
        param=text(wire.get("param")) or None,
        event_id=identifier(wire, "event_id") or None,
    )


_KINDS = {"text": "text", "audio": "audio", "image": "image"}


def content(value: Any) -> Content:
    """Return a content part: its kind is text, audio or image, whatever prefix the wire gives it."""
    wire = as_object(value)
    name = text(wire.get("type"))
    kind = _KINDS.get(name.rpartition("_")[2], name)
    encoded = text(wire.get("audio"))
    sound = audio(encoded) if encoded else None
    if not kind:
        kind = "audio" if encoded or "transcript" in wire else "text"
    return Content(
        kind=kind,
        text=text(wire.get("text")) or text(wire.get("transcript")),
        audio=sound,
        encoded=encoded if sound is not None else "",
        image_url=text(wire.get("image_url")) or None,
    )


def item(value: Any) -> ItemData:
    """Return an item; of a value that is not an object, an empty one."""
    wire = as_object(value)
    contents = wire.get("content")
    output = wire.get("output")
    arguments = wire.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = _json(arguments)
    return ItemData(
        id=identifier(wire, "id"),
        type=text(wire.get("type")),
        role=text(wire.get("role")),
        status=text(wire.get("status")),
        phase=text(wire.get("phase")),
        call_id=identifier(wire, "call_id"),
        name=text(wire.get("name")),
        arguments=text(arguments),
        output=output if isinstance(output, str) or output is None else _json(output),
        contents=[content(part) for part in contents] if isinstance(contents, list) else [],
        raw=wire,
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def metadata(value: Any) -> Event | None:
    """Return a response's metadata; None where it has none."""
    return value if isinstance(value, dict) and value else None
