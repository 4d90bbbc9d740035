"""Check a client's events against structs; the errors have the codes and messages of the hosted service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .. import structs
from ..protocol.changes import ErrorData
from ..protocol.dialects import Dialect
from ..protocol.events import Event
from ..structs import FieldError

__all__ = ["InvalidRequest", "check", "check_event", "invalid_type", "invalid_value", "missing", "quoted"]


class InvalidRequest(Exception):
    """A client event is invalid and none of it takes effect."""

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

    def data(self, event_id: str | None = None) -> ErrorData:
        """Return the error as it is reported; ``event_id`` is that of the invalid event."""
        return ErrorData(self.message, self.type, self.code, self.param, event_id)

    def written(self, dialect: Dialect) -> InvalidRequest:
        """Return an error about a field of GA's shape as one about that field in ``dialect``."""
        if self.param is None:
            return self
        param = dialect.path(self.param)
        message = self.message.replace(f"'{self.param}'", f"'{param}'")
        return InvalidRequest(self.code, message, param, type=self.type)


def quoted(values: Iterable[str]) -> str:
    """Return ``'a', 'b', and 'c'``."""
    words = [f"'{value}'" for value in values]
    if len(words) < 3:
        return " and ".join(words)
    return f"{', '.join(words[:-1])}, and {words[-1]}"


def kind_of(value: Any) -> str:
    """Return the JSON type of a value, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    kinds = {int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}
    return kinds.get(type(value), "another value")


def missing(path: str) -> InvalidRequest:
    """Return the error for a missing required field."""
    return InvalidRequest("missing_required_parameter", f"Missing required parameter: '{path}'.", path)


def invalid_type(path: str, expected: str, value: Any) -> InvalidRequest:
    """Return the error for a value of the wrong JSON type; ``expected`` has its article: "a string"."""
    return InvalidRequest(
        "invalid_type",
        f"Invalid type for '{path}': expected {expected}, but got {kind_of(value)} instead.",
        path,
    )


def invalid_value(path: str, value: Any, allowed: Iterable[str], note: str = "") -> InvalidRequest:
    """Return the error for a value that is not among ``allowed``; ``note`` is appended to the message."""
    shown = f"{value!r:.80}" if not isinstance(value, str) else f"'{value:.80}'"
    return InvalidRequest(
        "invalid_value",
        f"Invalid value: {shown}. Supported values are: {quoted(allowed)}. {note}".rstrip(),
        path,
    )


def check_event(schemas: Mapping[str, type[msgspec.Struct]], event: Event) -> None:
    """Check a client event against the struct of its type.

    Raises:
        InvalidRequest: It has no type or one that is not among ``schemas``, or does not match it.
    """
    if event.get("type") is None:
        raise InvalidRequest("invalid_event", "The 'type' field is missing.")
    if not isinstance(event["type"], str):
        raise invalid_type("type", "a string", event["type"])
    schema = schemas.get(event["type"])
    if schema is None:
        raise invalid_value("type", event["type"], sorted(schemas))
    if session := structs.fields(schema).get("session"):
        given = event.get("session")
        if given is None:
            raise missing("session")
        for field in msgspec.structs.fields(session):  # before unknown ones: they show the other dialect
            if field.required and isinstance(given, dict) and field.name not in given:
                raise missing(f"session.{field.name}")
    check(schema, event)


def check(type: type[msgspec.Struct], value: Any, path: str = "") -> dict[str, Any]:
    """Return ``value`` as a JSON object, with the defaults of ``type`` and without unset fields.

    Raises:
        InvalidRequest: ``value`` does not match ``type``; the error names the field.
    """
    try:
        return dict(msgspec.to_builtins(structs.check(type, value, path)))
    except FieldError as error:
        raise _refusal(error) from None


def _refusal(error: FieldError) -> InvalidRequest:
    path, value = error.path, error.value
    invalid = f"Invalid '{path:.200}'"
    code = "invalid_value"
    if error.reason == "unknown":
        return InvalidRequest("unknown_parameter", f"Unknown parameter: '{path}'.", path)
    if error.reason == "missing":
        return missing(path)
    if error.reason in ("below", "above"):
        kind = "decimal" if isinstance(error.limit, float) else "integer"
        bound, sign = ("minimum", ">=") if error.reason == "below" else ("maximum", "<=")
        code = f"{kind}_{error.reason}_{bound[:3]}_value"
        message = (
            f"{invalid}: {kind} {error.reason} {bound} value. Expected a value {sign} {error.limit},"
            f" but got {value} instead."
        )
    elif error.reason == "length":
        code = "string_above_max_length"
        message = (
            f"{invalid}: string too long. Expected a string with maximum length {error.limit}, but got a"
            f" string with length {len(value)} instead."
        )
    elif error.reason == "value" and error.expected.startswith("'"):
        return invalid_value(path, value, error.allowed, error.description)
    elif error.reason == "type" and error.expected != "null":
        return invalid_type(path, error.expected, value)
    else:
        message = f"{invalid}: {error.description or f'expected {error.expected}'}."
    return InvalidRequest(code, message, path)
