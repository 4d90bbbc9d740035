"""Check JSON values against msgspec structs; errors say where, what was expected and what was given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, UnsetType

from .redaction import clean_text

__all__ = ["FieldError", "Option", "check", "fields", "is_struct", "options", "origin_of"]

T = TypeVar("T")
Option = tuple[Any, Meta]
"""One of the types that a value may have, without its annotations, and its constraints."""

Reason = Literal["unknown", "missing", "type", "value", "below", "above", "length", "key", "other"]

_PLACE = re.compile(r"(.*) - at `(key` in `)?\$([^`]*)`", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")
_LIMIT = re.compile(r"Expected `(\w+)` (of length )?(>=|<=) (\S+)")
_NAMES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "a boolean",
    list: "an array",
    tuple: "an array",
    dict: "an object",
}
_NO_META = Meta()


@dataclass(eq=False)
class FieldError(Exception):
    """A value that does not match its type.

    ``expected`` describes the type, such as "a number from 0.25 to 1.5". ``allowed`` are the strings that an
    enumeration has, or the field names of an object with an unknown field. ``limit`` is the bound that
    ``value``, or its length, violates. ``description`` is that of the type, if it has one.
    """

    reason: Reason
    path: str
    value: Any
    expected: str
    allowed: tuple[str, ...] = ()
    limit: float = 0
    description: str = ""

    def __str__(self) -> str:
        return clean_text(f"{self.path}: expected {self.expected}, got {self.value!r:.80}")


def check(type: type[T], value: Any, path: str = "") -> T:
    """Return ``value``, as parsed from JSON, as a ``type``; ``path`` is its place, for the error.

    Raises:
        FieldError: It is not valid.
    """
    try:
        return msgspec.convert(value, type)
    except msgspec.ValidationError as error:
        raise _explained(str(error), type, value, path) from None


@cache
def fields(struct: type[Struct]) -> dict[str, Any]:
    """Return the fields of a struct with their types, including its tag."""
    tag = struct.__struct_config__
    hints = get_type_hints(struct, include_extras=True)
    own = {name: hints[name] for name in struct.__struct_fields__}
    return {tag.tag_field: Literal[tag.tag], **own} if tag.tag_field else own


def options(hint: Any, meta: Meta = _NO_META) -> Iterator[Option]:
    """Yield the members of a union, or the type itself, without the marker of an absent field."""
    origin, args = origin_of(hint), get_args(hint)
    if origin is Annotated:
        yield from options(args[0], args[-1])
    elif origin in (Union, UnionType):
        for one in args:
            yield from options(one, meta)
    elif hint is not UnsetType:
        yield hint, meta


def origin_of(hint: Any) -> Any:
    """Return ``list`` for ``list[int]``, ``Literal`` for any Literal, and None for a plain type."""
    return get_origin(hint)


def is_struct(hint: Any) -> bool:
    """Return whether a type is a struct."""
    return isinstance(hint, type) and issubclass(hint, Struct)


def _inner(here: list[Option], step: str, value: Any) -> list[Option]:
    """Return the types of a field, of an index, or ("...") of any key."""
    found: list[Option] = []
    for hint, meta in here:
        args: tuple[Any, ...] = get_args(hint)
        if step == "..." and origin_of(hint) is dict:
            found += options(args[1])
        elif step.isdigit() and origin_of(hint) in (list, tuple):
            found += options(args[int(step)] if origin_of(hint) is tuple and args[-1] is not ... else args[0])
        elif is_struct(hint) and step == _tag_field(hint):
            found.append((fields(hint)[step], meta))
    return found or [one for hint in _tagged(here, value) if step in hint for one in options(hint[step])]


def _tag_field(struct: type[Struct]) -> str:
    return struct.__struct_config__.tag_field or ""


def _tagged(here: list[Option], value: Any) -> list[dict[str, Any]]:
    """Return the fields of each struct that ``value`` may be: only of that with its tag, if it has one."""
    structs = [hint for hint, _ in here if is_struct(hint)]
    given = value if isinstance(value, dict) else {}
    same = [one for one in structs if given.get(_tag_field(one), ...) == one.__struct_config__.tag]
    return [fields(one) for one in same or structs]


def _of_map(here: list[Option], index: int) -> Any:
    """Return the type of a map's keys (0) or values (1); a struct's keys are strings."""
    return next((get_args(hint)[index] for hint, _ in here if origin_of(hint) is dict), str)


def _first_misfit(values: Iterable[tuple[str, Any]], hint: Any) -> tuple[str, Any]:
    for key, value in values:
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError:
            return key, value
    return "", None


def _explained(message: str, type: Any, value: Any, path: str) -> FieldError:
    match = _PLACE.fullmatch(message)
    reason, of_key, place = match.groups() if match else (message, None, "")
    here, parent = list(options(type)), ""
    for name, index in _STEP.findall(place):
        inner = _inner(here, name or index, value)
        parent = ""
        if index.isdigit():
            path, value = f"{path}[{index}]", value[int(index)]
        else:
            if index:  # msgspec does not say which key of a map it is
                parent = path
                name, value = _first_misfit(value.items(), _of_map(here, 1))
            else:
                value = value.get(name) if isinstance(value, dict) else None
            path = f"{path}.{name}".lstrip(".")
        here = inner
    if of_key:
        hint = _of_map(here, 0)
        value, here = _first_misfit(((key, key) for key in value), hint)[1], list(options(hint))
    error = FieldError("other", path, value, _described(here), description=_description(here))
    return _with_reason(error, reason, here, parent or path, bool(of_key))


def _with_reason(error: FieldError, text: str, here: list[Option], parent: str, of_key: bool) -> FieldError:
    error.allowed = tuple(word for hint, _ in here for word in get_args(hint) if origin_of(hint) is Literal)
    if text.startswith("Object "):
        error.reason = "missing" if "missing" in text else "unknown"
        name = text[text.index("`") + 1 : text.rindex("`")]
        error.allowed = tuple(field for names in _tagged(here, error.value) for field in names)
        error.path, error.value = f"{error.path}.{name}".lstrip("."), name
    elif text.startswith("Invalid "):
        error.reason = "value"
    elif limit := _LIMIT.fullmatch(text):
        kind, of_length, sign, number = limit.groups()
        most = "least" if sign == ">=" else "most"
        error.limit = float(number) if kind == "float" else int(number)
        error.reason = "below" if sign == ">=" else "above"
        if kind == "str":
            error.reason, error.path = "length", parent
            error.expected = f"a string of at {most} {error.limit} characters"
        elif of_length:
            error.value, error.expected = len(error.value), f"at {most} {error.limit} members"
    elif of_key:
        error.reason, error.expected = "key", "strings as names"
    elif "got `" in text and " of length " not in text:
        error.reason = "type"
    return error


def _description(here: list[Option]) -> str:
    return next((meta.description for _, meta in here if meta.description), "")


def _described(here: list[Option]) -> str:
    """Return what a value may be, such as "an integer from 1 to 4096 or 'inf'"."""
    words: list[str] = []
    for hint, meta in here:
        if origin_of(hint) is Literal:
            words += [f"'{word}'" if isinstance(word, str) else str(word) for word in get_args(hint)]
        elif hint is not NoneType:
            name = "an object" if is_struct(hint) else _NAMES.get(origin_of(hint) or hint, "another value")
            words.append(name + (_range(meta) if hint in (int, float) else ""))
    words = list(dict.fromkeys(words)) or ["null"]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _range(meta: Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    return f" of at least {meta.ge}" if meta.ge is not None else ""
