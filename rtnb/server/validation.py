"""The shapes that JSON from a client may have: small checks that compose.

A check takes a value and its path and returns the value as the server keeps it, or raises a Fault that
names the path and what is allowed there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = [
    "Check",
    "InvalidRequest",
    "above_max",
    "array",
    "boolean",
    "decimal",
    "integer",
    "invalid_type",
    "invalid_value",
    "mapping",
    "missing",
    "null_or",
    "one_of",
    "quoted",
    "record",
    "string",
    "unknown_parameter",
]


class InvalidRequest(Exception):
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


def unknown_parameter(path: str) -> InvalidRequest:
    """Return the fault of a field that the protocol does not have."""
    return InvalidRequest("unknown_parameter", f"Unknown parameter: '{path}'.", path)


def missing(path: str) -> InvalidRequest:
    """Return the fault of a field that is required and absent."""
    return InvalidRequest("missing_required_parameter", f"Missing required parameter: '{path}'.", path)


def invalid_type(path: str, expected: str, value: Any) -> InvalidRequest:
    """Return the fault of a value of another JSON type; ``expected`` has its article: "a string"."""
    return InvalidRequest(
        "invalid_type",
        f"Invalid type for '{path}': expected {expected}, but got {kind_of(value)} instead.",
        path,
    )


def invalid_value(path: str, value: Any, allowed: Iterable[str]) -> InvalidRequest:
    """Return the fault of a value that is none of the ``allowed`` ones."""
    shown = f"{value!r:.80}" if not isinstance(value, str) else f"'{value:.80}'"
    return InvalidRequest(
        "invalid_value", f"Invalid value: {shown}. Supported values are: {quoted(allowed)}.", path
    )


def below_min(path: str, value: float, least: float) -> InvalidRequest:
    """Return the fault of a number that is too small."""
    kind = "integer" if isinstance(least, int) else "decimal"
    return InvalidRequest(
        f"{kind}_below_min_value",
        f"Invalid '{path}': {kind} below minimum value. Expected a value >= {least},"
        f" but got {value} instead.",
        path,
    )


def above_max(path: str, value: float, most: float) -> InvalidRequest:
    """Return the fault of a number that is too large."""
    kind = "integer" if isinstance(most, int) else "decimal"
    return InvalidRequest(
        f"{kind}_above_max_value",
        f"Invalid '{path}': {kind} above maximum value. Expected a value <= {most}, but got {value} instead.",
        path,
    )


Check = Callable[[Any, str], Any]


def mapping(value: Any, path: str) -> dict[str, Any]:
    """Take any object."""
    if not isinstance(value, dict):
        raise invalid_type(path, "an object", value)
    return value


def string(value: Any, path: str) -> str:
    """Take any string."""
    if not isinstance(value, str):
        raise invalid_type(path, "a string", value)
    return value


def boolean(value: Any, path: str) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise invalid_type(path, "a boolean", value)
    return value


def integer(least: int | None = None, most: int | None = None) -> Check:
    """Take an integer in a range, ends included."""

    def check(value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid_type(path, "an integer", value)
        if least is not None and value < least:
            raise below_min(path, value, least)
        if most is not None and value > most:
            raise above_max(path, value, most)
        return value

    return check


def decimal(least: float, most: float) -> Check:
    """Take a number in a range, ends included."""

    def check(value: Any, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise invalid_type(path, "a decimal", value)
        if value < least:
            raise below_min(path, value, float(least))
        if value > most:
            raise above_max(path, value, float(most))
        return value

    return check


def one_of(allowed: Iterable[str]) -> Check:
    """Take one of some strings."""
    words = tuple(allowed)

    def check(value: Any, path: str) -> str:
        if string(value, path) not in words:
            raise invalid_value(path, value, words)
        return str(value)

    return check


def null_or(check: Check) -> Check:
    """Take null, or what ``check`` takes."""
    return lambda value, path: None if value is None else check(value, path)


def array(each: Check, most: int | None = None) -> Check:
    """Take an array whose elements ``each`` takes."""

    def check(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise invalid_type(path, "an array", value)
        if most is not None and len(value) > most:
            raise above_max(path, len(value), most)
        return [each(element, f"{path}[{index}]") for index, element in enumerate(value)]

    return check


def record(fields: Mapping[str, Check], required: Iterable[str] = ()) -> Check:
    """Take an object that has these fields and no others; what is absent stays absent."""
    needed = tuple(required)

    def check(value: Any, path: str) -> dict[str, Any]:
        given = mapping(value, path)
        dot = f"{path}." if path else ""
        for name in given:
            if name not in fields:
                raise unknown_parameter(f"{dot}{name}")
        for name in needed:
            if name not in given:
                raise missing(f"{dot}{name}")
        return {name: fields[name](given[name], f"{dot}{name}") for name in given}

    return check
