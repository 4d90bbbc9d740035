"""The keys that this process knows by their value, so that they are found wherever they stand.

A server may echo a key in an error, and not every key has a shape that gives it away: a gateway's token looks
like any word. The keys are held in memory alone, and nothing shows them.
"""

from __future__ import annotations

import os

__all__ = ["known_keys", "remember"]

_VARIABLES = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "RTNB_LLM_API_KEY", "RTNB_SERVE_KEY")
_given: set[str] = set()


def remember(key: str) -> None:
    """Know a key from now on; "" is none."""
    if key:
        _given.add(key)


def known_keys() -> list[str]:
    """Return the keys of the environment, and those that were given to a connection."""
    variables = {os.environ.get(name, "").strip() for name in _VARIABLES}
    return [*_given.union(variables - {""})]
