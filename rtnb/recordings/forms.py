"""Which audio format a session speaks, frame by frame: enough to pack its sound well."""

from __future__ import annotations

from typing import Any

import orjson

from ..audio.pcm import wire_format
from ..errors import AudioError
from .sound import Lane

__all__ = ["TELLING", "Forms"]

TELLING = frozenset({"session.created", "session.updated", "response.created"})
"""The server's events that tell a format."""


class Forms:
    """The format of each direction, as the server last told it. A wrong guess costs size and nothing else."""

    def __init__(self) -> None:
        pcm = wire_format({"type": "audio/pcm", "rate": 24000})
        self._session = {"client": pcm, "server": pcm}
        self._now = dict(self._session)

    def lane(self, direction: str) -> Lane:
        """Return the lane of sound that goes this way now."""
        codec = self._now[direction]
        return Lane(direction, codec.type, codec.rate)

    def hear(self, type: str, frame: bytes) -> None:
        """Take an event of the ``TELLING`` types."""
        try:
            event = orjson.loads(frame)
            if type == "response.created":
                self._now["server"] = self._session["server"]
                self._tell("server", event["response"], "output")
                return
            for direction, name in (("client", "input"), ("server", "output")):
                self._tell(direction, event["session"], name)
                self._session[direction] = self._now[direction]
        except (orjson.JSONDecodeError, AudioError, LookupError, TypeError):
            return

    def _tell(self, direction: str, told: Any, name: str) -> None:
        form = ((told.get("audio") or {}).get(name) or {}).get("format") if isinstance(told, dict) else None
        if form:
            self._now[direction] = wire_format(form)
