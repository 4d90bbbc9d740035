"""Cutting an answer to what was heard of it: which events that takes."""

from __future__ import annotations

from collections.abc import Callable

from ..analysis.turn import TurnView
from ..protocol.conversation import UNHEARD
from ..protocol.events import Event

__all__ = ["cuts"]


def cuts(turn: TurnView, heard: float, ids: Callable[[str], str]) -> list[Event]:
    """Return what cuts a turn's answer to ``heard`` seconds; [] where all was heard, or it is cut already.

    The server answers with ``conversation.item.truncated``, or ``.deleted`` where nothing was heard.
    """
    made: list[Event] = []
    left = heard * 1000
    for item in turn.items:
        spoken = any(part.kind == "audio" for part in item.parts)
        if item.type != "message" or not spoken:
            continue
        if (left < item.audio_ms or left <= 0) and item.heard_ms is None:
            made.append(_cut(item.id, int(max(0.0, left)), ids))
        left -= item.audio_ms
    return made


def _cut(item_id: str, heard_ms: int, ids: Callable[[str], str]) -> Event:
    if heard_ms <= 0:  # nothing was heard: there is nothing to truncate to
        return {"type": "conversation.item.delete", "event_id": ids(UNHEARD), "item_id": item_id}
    return {
        "type": "conversation.item.truncate",
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": heard_ms,
    }
