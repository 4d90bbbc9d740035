"""What a frame says, also one that is no event, or that says more than its event shows."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import orjson

from ..protocol.events import Event

__all__ = ["event_of", "readings", "repeats"]


def event_of(frame: bytes) -> Event | None:
    """Return a frame's event; None for what is no JSON object with a type."""
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None


def readings(frame: bytes) -> list[str]:
    """Return the texts as which a frame may be read: as it stands, and with its escapes resolved."""
    found = [frame.decode("utf-8", "replace")]
    with suppress(ValueError, RecursionError):  # no JSON to anybody
        found.append(json.dumps(json.loads(frame), ensure_ascii=False))
    return found


def repeats(frame: bytes, event: Event) -> bool:
    """Tell whether a member is named twice in a frame: its event shows the last of them only."""
    if orjson.dumps(event) == frame:
        return False
    twice = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in pairs}) < len(pairs)

    json.loads(frame, object_pairs_hook=look)
    return twice
