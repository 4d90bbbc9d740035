"""The beta protocol (``OpenAI-Beta: realtime=v1``), which Azure Voice Live, Qwen and archives still speak.

It differs from GA in the names of what a response produces, in the flat shape of the session, in the content
types of the assistant's items, and in having one event, ``conversation.item.created``, where GA has two.
"""

from __future__ import annotations

from typing import Any

from ..changes import Change, ItemDone, SessionChanged, SessionStarted
from ..events import Direction, Event, as_object
from .ga import GaDialect
from .names import BETA_NAMES
from .session_shapes import flat_path, flat_response, flat_session, is_flat

__all__ = ["BETA", "BetaDialect"]


class BetaDialect(GaDialect):
    """GA's predecessor, both directions."""

    name = "beta"

    def command(self, command: Any) -> Event:
        """Return the event that a client sends for a command. Raises TypeError for one it cannot express."""
        event = super().command(command)
        if event["type"] == "session.update" and command.config.get("type") == "transcription":
            event["type"] = "transcription_session.update"
        return event

    def events(self, change: Change) -> list[Event]:
        """Return the events that a server sends for a change: none for the completion of an item."""
        if isinstance(change, ItemDone):
            return []
        written = super().events(change)
        if (
            isinstance(change, (SessionStarted, SessionChanged))
            and change.config.get("type") == "transcription"
        ):
            for event in written:
                event["type"] = f"transcription_{event['type']}"
        return written

    def shown_by(self, event: Event, direction: Direction) -> bool:
        """Return whether only a peer that speaks this dialect sends such an event."""
        kind = event["type"]
        if kind in _ONLY_BETA or kind.startswith("transcription_session."):
            return True
        if kind in ("session.created", "session.update", "session.updated"):
            return is_flat(as_object(event.get("session")))
        return False

    def name_of(self, ga_name: str) -> str:
        """Return the beta's name for an event."""
        return BETA_NAMES.get(ga_name, ga_name)

    def session(self, config: Event) -> Event:
        """Return a session's configuration in the flat shape."""
        return flat_session(config)

    def response(self, response: Event) -> Event:
        """Return a response, or the options of one, in the flat shape."""
        return flat_response(response)

    def path(self, path: str) -> str:
        """Return where a field of GA's shape is in the flat one."""
        return flat_path(path)

    def assistant_content(self, content: Any) -> Any:
        """Return a content part of the assistant's: ``text`` or ``audio``."""
        renamed = {"output_text": "text", "output_audio": "audio"}.get(str(as_object(content).get("type")))
        return {**content, "type": renamed} if renamed else content


_ONLY_BETA = frozenset(BETA_NAMES.values()) - {"conversation.item.created"}
# GA's own union still lists conversation.item.created, so that one shows nothing.

BETA = BetaDialect()
