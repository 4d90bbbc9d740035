"""What every layer calls an event of the wire, and the ids in it."""

from __future__ import annotations

import secrets
from collections import Counter
from string import ascii_letters, digits
from typing import Any, Literal

import orjson

__all__ = [
    "BINARY",
    "ClientIds",
    "Direction",
    "Event",
    "as_object",
    "parse_object",
    "server_id",
]

_ALPHABET = digits + ascii_letters
_LENGTHS = {"call": 16}


def server_id(prefix: str) -> str:
    """Return a fresh random id: ``prefix`` is event, item, resp, conv, sess or call.

    21 base62 signs, 16 for calls, as seen on the wire of the hosted service.
    """
    # One call of the system for all signs; 24 bytes are so many more than 21 signs that none is favoured.
    value, signs = int.from_bytes(secrets.token_bytes(24)), []
    for _ in range(_LENGTHS.get(prefix, 21)):
        value, sign = divmod(value, len(_ALPHABET))
        signs.append(_ALPHABET[sign])
    return f"{prefix}_{''.join(signs)}"


class ClientIds:
    """Counted ids, unique within one session: ``event_c0001``, ``item_c0001``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, prefix: str) -> str:
        """Return the next id of its prefix."""
        self._counts[prefix] += 1
        return f"{prefix}_c{self._counts[prefix]:04d}"


Event = dict[str, Any]
Direction = Literal["client", "server"]

BINARY = "(binary)"
"""What the log calls a frame that is not a JSON object with a ``type``."""


def as_object(value: Any) -> Event:
    """Return a JSON value if it is an object, else {}: a server may send anything anywhere."""
    return value if isinstance(value, dict) else {}


def parse_object(frame: bytes | str) -> Event:
    """Return a frame's JSON object; {} for any other frame, and for JSON nested more than 1,024 levels deep.

    >>> parse_object(b'{"type": "error"}'), parse_object(b"[1]"), parse_object(b"not JSON")
    ({'type': 'error'}, {}, {})
    """
    try:
        return as_object(orjson.loads(frame))
    except orjson.JSONDecodeError:
        return {}
