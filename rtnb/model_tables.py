"""Read and check a user's own table of models and prices, for ``rtnb.models``.

It has the form of ``rtnb/protocol/models.json``:
``{"as_of": "2026-11-20", "source": "…", "models": [row, …]}``. A row has an ``id`` and the
fields that it changes: prices as ``[input, cached input, output]`` in US dollars
per million tokens for ``text``, ``audio`` and ``image``, dollars ``per_minute``, ``context`` and
``max_output`` in tokens. ``like`` copies the rest from another model's row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import UNSET, Meta, Struct, UnsetType

from .errors import ArgumentError
from .paths import user_path
from .structs import FieldError, check

__all__ = ["VARIABLE", "from_environment", "read"]

VARIABLE = "RTNB_MODELS"
"""The environment variable that names a file with a table; it is read when a model is first looked up."""

_PRICES = ("text", "audio", "image", "per_minute")

_PRICE = "a price is [input, cached input, output] in US dollars per million tokens; the last may be null"
_HINTS = {
    "models": 'a table is {"as_of": "2026-11-20", "models": [{"id": …, "text": […], "audio": […]}, …]}',
    **dict.fromkeys(("text", "audio", "image", "snapshot_prices"), _PRICE),
}

_Dollars = Annotated[float, Meta(ge=0, le=1_000_000)]
_Tokens = Annotated[int, Meta(ge=1)] | None | UnsetType
_Text = Annotated[str, Meta(min_length=1)]
_Day = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$", description='a day, such as "2026-11-20"')]
_Price = tuple[_Dollars, _Dollars, _Dollars | None] | None


class _Tier(Struct, forbid_unknown_fields=True):
    tier: int
    rpm: _Tokens = UNSET
    rpd: _Tokens = UNSET
    tpm: _Tokens = UNSET


class _Row(Struct, forbid_unknown_fields=True):
    id: _Text
    like: _Text | UnsetType = UNSET
    kind: _Text | UnsetType = UNSET
    snapshots: list[_Text] | UnsetType = UNSET
    context: _Tokens = UNSET
    max_output: _Tokens = UNSET
    reasoning: bool | UnsetType = UNSET
    text: _Price | UnsetType = UNSET
    audio: _Price | UnsetType = UNSET
    image: _Price | UnsetType = UNSET
    per_minute: _Dollars | UnsetType | None = UNSET
    snapshot_prices: dict[str, dict[str, _Price]] | UnsetType = UNSET
    features: dict[str, Any] | UnsetType = UNSET
    tiers: list[_Tier] | UnsetType = UNSET
    status: _Text | UnsetType = UNSET
    source: _Text | UnsetType = UNSET
    note: str | UnsetType = UNSET
    as_of: _Day | UnsetType = UNSET


class _Table(Struct, forbid_unknown_fields=True):
    models: list[_Row]
    as_of: _Day | UnsetType = UNSET
    source: _Text | UnsetType = UNSET
    unit: str | UnsetType = UNSET


def from_environment() -> dict[str, Any] | None:
    """Return the table that ``RTNB_MODELS`` names, or None if it is not set. Raises as ``read`` does."""
    path = os.environ.get(VARIABLE)
    return read(path, f"{VARIABLE}={path}") if path else None


def read(table: str | os.PathLike[str] | Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Return a checked table, from a JSON file or a dict; every row with prices has a date and a source.

    Raises ArgumentError for a file that cannot be read or is not JSON, and for a wrong field, with its place.
    """
    if isinstance(table, Mapping):
        name, given = name or "the table", dict(table)
    elif isinstance(table, (str, os.PathLike)):
        path = user_path(table, "a table of models")
        name = name or path.name or str(path)
        try:
            given = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise ArgumentError(f"{name} is not JSON: {error}") from None
        except OSError as error:
            raise ArgumentError(f"cannot read {name:.200}: {error.strerror or error}") from None
    else:
        raise ArgumentError(
            f"a table of models: expected a dict or a path to a JSON file, got {type(table).__name__}"
        )
    checked = _checked(given, name)
    for number, row in enumerate(checked["models"]):
        if any(row.get(kind) is not None for kind in _PRICES):
            row.setdefault("as_of", checked.get("as_of"))
            row.setdefault("source", checked.get("source") or f"stated in {name}")
            if row["as_of"] is None:
                raise ArgumentError(
                    f'{name}: models[{number}] has prices without a date: give "as_of", such as '
                    '"2026-11-20", there or for the whole table'
                )
    return checked


def _checked(given: Any, name: str) -> dict[str, Any]:
    try:
        return dict(msgspec.to_builtins(check(_Table, given)))
    except FieldError as error:
        place, value = error.path or "the table", f"{error.value!r:.60}"
        if error.reason == "unknown":
            raise ArgumentError(f"{name}: {place}: there is no such field") from None
        expected = error.description or error.expected
        wrong = "this field is required" if error.reason == "missing" else f"expected {expected}, got {value}"
        hint = next((_HINTS[part] for part in reversed(re.findall(r"\w+", place)) if part in _HINTS), "")
        raise ArgumentError(f"{name}: {place}: {wrong}{hint and f'. Here {hint}'}") from None
