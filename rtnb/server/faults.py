"""What the server says when a client asks for something that cannot be.

A :class:`Fault` becomes an ``error`` event; the session goes on. Codes and words are the hosted service's
where they are known (Realtime API reference and public wire logs).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "Fault",
    "above_max",
    "below_min",
    "invalid_type",
    "invalid_value",
    "kind_of",
    "missing",
    "quoted",
    "unknown_parameter",
]


class Fault(Exception):
    """A client event that is refused as a whole: nothing of it took effect."""

    def __init__(
        self,
        code: str | None,
        message: str,
        param: str | None = None,
        *,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.type = type

    def wire(self, event_id: str | None = None) -> dict[str, Any]:
        """Return the ``error`` object of an error event; ``event_id`` is the culprit's own."""
        return {
            "type": self.type,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": event_id,
        }


def quoted(values: Iterable[str]) -> str:
    """Return ``'a', 'b', and 'c'``."""
    words = [f"'{value}'" for value in values]
    if len(words) < 3:
        return " and ".join(words)
    return f"{', '.join(words[:-1])}, and {words[-1]}"


def kind_of(value: Any) -> str:
    """Return what JSON calls a value, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    kinds = {int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}
    return kinds.get(type(value), "something else")


def unknown_parameter(path: str) -> Fault:
    """Return the fault of a field that the protocol does not have."""
    return Fault("unknown_parameter", f"Unknown parameter: '{path}'.", path)


def missing(path: str) -> Fault:
    """Return the fault of a field that is required and absent."""
    return Fault("missing_required_parameter", f"Missing required parameter: '{path}'.", path)


def invalid_type(path: str, expected: str, value: Any) -> Fault:
    """Return the fault of a value of another JSON type; ``expected`` has its article: "a string"."""
    return Fault(
        "invalid_type",
        f"Invalid type for '{path}': expected {expected}, but got {kind_of(value)} instead.",
        path,
    )


def invalid_value(path: str, value: Any, allowed: Iterable[str]) -> Fault:
    """Return the fault of a value that is none of the ``allowed`` ones."""
    shown = f"{value!r:.80}" if not isinstance(value, str) else f"'{value:.80}'"
    return Fault("invalid_value", f"Invalid value: {shown}. Supported values are: {quoted(allowed)}.", path)


def below_min(path: str, value: float, least: float) -> Fault:
    """Return the fault of a number that is too small."""
    kind = "integer" if isinstance(least, int) else "decimal"
    return Fault(
        f"{kind}_below_min_value",
        f"Invalid '{path}': {kind} below minimum value. Expected a value >= {least},"
        f" but got {value} instead.",
        path,
    )


def above_max(path: str, value: float, most: float) -> Fault:
    """Return the fault of a number that is too large."""
    kind = "integer" if isinstance(most, int) else "decimal"
    return Fault(
        f"{kind}_above_max_value",
        f"Invalid '{path}': {kind} above maximum value. Expected a value <= {most}, but got {value} instead.",
        path,
    )
