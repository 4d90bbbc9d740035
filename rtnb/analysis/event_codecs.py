"""Which audio format an event's sound has, as the server's events before it told; read from the log alone."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np

from ..audio.codecs import Codec, pcm16, wire_format
from ..errors import AudioError
from ..protocol.entries import Entry
from ..protocol.events import Direction, as_object
from ..protocol.log import Log

__all__ = ["Formats"]

_TELLING = ("session.created", "session.updated", "response.created")


class Formats:
    """The formats of a log's sound; ``extend`` hears what is new. Untold, it is PCM16 at 24 kHz."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._heard = 0
        self._told: dict[Direction, tuple[list[int], list[Codec]]] = {
            "client": ([-1], [pcm16]),
            "server": ([-1], [pcm16]),
        }
        self._responses: dict[str, Codec] = {}

    def extend(self) -> None:
        """Hear what is new in the log."""
        start, self._heard = self._heard, len(self._log)
        if start == self._heard:
            return
        for row in self._log.rows(_TELLING, among=np.arange(start, self._heard)).tolist():
            entry = self._log.entry(row)
            if entry.type == "response.created":
                response = as_object(entry.data.get("response"))
                codec = _codec(response, "output")
                if codec is not None and isinstance(response.get("id"), str):
                    self._responses[response["id"]] = codec
                continue
            for direction, name in (("client", "input"), ("server", "output")):
                codec = _codec(as_object(entry.data.get("session")), name)
                if codec is not None:
                    rows, codecs = self._told[direction]  # type: ignore[index]
                    rows.append(row)
                    codecs.append(codec)

    def of(self, entry: Entry) -> Codec:
        """Return the format of an event's sound, if it has any."""
        self.extend()
        return self.at(entry.index, entry.direction, entry.data.get("response_id"))

    def at(self, index: int, direction: Direction, response: Any = None) -> Codec:
        """Return the format of the sound in the event at ``index``; ``response`` is its ``response_id``."""
        own = self._responses.get(response) if isinstance(response, str) else None
        if own is not None and direction == "server":
            return own
        rows, codecs = self._told[direction]
        return codecs[max(bisect_left(rows, index) - 1, 0)]


def _codec(told: dict[str, Any], name: str) -> Codec | None:
    form = as_object(as_object(told.get("audio")).get(name)).get("format")
    try:
        return wire_format(form) if isinstance(form, dict) else None
    except AudioError:
        return None
