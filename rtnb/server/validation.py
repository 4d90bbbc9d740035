"""The shapes that JSON from a client may have: small checks that compose.

A check takes a value and its path and returns the value as the server keeps it, or raises a Fault that
names the path and what is allowed there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .faults import above_max, below_min, invalid_type, invalid_value, missing, unknown_parameter

__all__ = [
    "Check",
    "array",
    "boolean",
    "decimal",
    "integer",
    "mapping",
    "null_or",
    "one_of",
    "record",
    "string",
]

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
