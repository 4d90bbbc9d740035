"""Token usage as servers report it: GA's names, Chat Completions' names, and numbers of any type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..events import Event
from ..usage import Usage

__all__ = ["read_usage"]

_CHAT_NAMES = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "prompt_tokens_details": "input_token_details",
    "completion_tokens_details": "output_token_details",
    "input_tokens_details": "input_token_details",
    "output_tokens_details": "output_token_details",
}


def read_usage(value: Any) -> tuple[Usage | None, str | None]:
    """Return a response's usage, and why it cannot be used; (None, None) where none was reported.

    Unusable usage is unknown. It is never taken for 0 tokens.

    >>> usage, problem = read_usage({"input_tokens": "20", "output_tokens": 10.0})
    >>> usage.input_tokens, usage.output_tokens, problem
    (20, 10, None)
    """
    if value is None or value == {}:
        return None, None
    if not isinstance(value, Mapping):
        return None, f"usage is {type(value).__name__}: expected an object"
    try:
        usage = Usage.from_wire(_numbers(value))
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return None, f"usage cannot be read: {error}"
    return usage, None


def _numbers(wire: Mapping[str, Any]) -> Event:
    """Return usage under GA's names, with every count a whole number."""
    read: Event = {}
    for name, value in wire.items():
        name = _CHAT_NAMES.get(name, name)
        if isinstance(value, Mapping):
            read.setdefault(name, _numbers(value))
        elif name.endswith("_tokens") and value is not None:
            read.setdefault(name, _count(name, value))
        elif value is not None:
            read.setdefault(name, value)
    return read


def _count(name: str, value: Any) -> int:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r:.40}: expected a whole number of 0 or more")
    if value < 0 or value != int(value):
        raise ValueError(f"{name} is {value!r:.40}: expected a whole number of 0 or more")
    return int(value)
