"""Identifiers on the wire.

A server's ids look like the hosted service's (``item_`` + 21 base62 signs). A client's are counted, so that
the same code makes the same frames again and a recording can be replayed byte for byte.
"""

from __future__ import annotations

import secrets
from collections import Counter
from string import ascii_letters, digits

__all__ = ["ClientIds", "server_id"]

_ALPHABET = digits + ascii_letters
_LENGTHS = {"call": 16}


def server_id(prefix: str) -> str:
    """Return a fresh random id: ``prefix`` is event, item, resp, conv, sess or call.

    21 base62 signs, 16 for calls, as seen on the wire of the hosted service.
    """
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(_LENGTHS.get(prefix, 21)))}"


class ClientIds:
    """Counted ids, unique within one session: ``event_c0001``, ``item_c0001``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, prefix: str) -> str:
        """Return the next id of its prefix."""
        self._counts[prefix] += 1
        return f"{prefix}_c{self._counts[prefix]:04d}"
