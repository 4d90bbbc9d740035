"""Which audio format a session speaks, frame by frame: enough to pack its sound well."""

from __future__ import annotations

from typing import Any

import orjson

from ..audio.codecs import Codec, wire_format
from ..errors import AudioError
from ..protocol.events import as_object
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
            event = as_object(orjson.loads(frame))
        except orjson.JSONDecodeError:
            return
        if type == "response.created":
            self._now["server"] = _told(event.get("response"), "output") or self._session["server"]
            return
        for direction, name in (("client", "input"), ("server", "output")):
            told = _told(event.get("session"), name)
            if told is not None:
                self._now[direction] = self._session[direction] = told


def _told(where: Any, name: str) -> Codec | None:
    """Return the format that a session or a response tells; None where it is none, whatever stands there."""
    form: Any = as_object(as_object(as_object(where).get("audio")).get(name)).get("format")
    try:
        return wire_format(form)
    except AudioError:
        return None
