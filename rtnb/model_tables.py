"""A user's own table of models and prices: found, read and checked; ``rtnb.models`` takes it in.

It has the form of ``rtnb/protocol/models.json``:
``{"as_of": "2026-11-20", "source": "…", "models": [row, …]}``. A row names its ``id`` and whatever it says
anew: prices as ``[input, cached input, output]`` in US dollars
per million tokens for ``text``, ``audio`` and ``image``, dollars ``per_minute``, ``context`` and
``max_output`` in tokens. ``like`` takes all else from another model's row.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from .errors import ArgumentError

__all__ = ["VARIABLE", "from_environment", "read"]

VARIABLE = "RTNB_MODELS"
"""The environment variable that names a file with a table; it is read when a model is first looked up."""

_PRICES = ("text", "audio", "image", "per_minute")

_PRICE = "a price is [input, cached input, output] in US dollars per million tokens; the last may be null"
_HINTS = {
    "as_of": 'a day is written as "2026-11-20"',
    "models": 'a table is {"as_of": "2026-11-20", "models": [{"id": …, "text": […], "audio": […]}, …]}',
    **dict.fromkeys(("text", "audio", "image", "snapshot_prices"), _PRICE),
}


def from_environment() -> dict[str, Any] | None:
    """Return the table that ``RTNB_MODELS`` names; None where it is not set. Raises as ``read`` does."""
    path = os.environ.get(VARIABLE)
    return read(path, f"{VARIABLE}={path}") if path else None


def read(table: str | os.PathLike[str] | Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Return a checked table, from a JSON file or a dict; every row says its date and source.

    Raises ArgumentError: no such file, no JSON, or a field that is not as it should be, with its place.
    """
    if isinstance(table, Mapping):
        name, given = name or "the table", dict(table)
    elif isinstance(table, (str, os.PathLike)):
        name = name or Path(table).name
        try:
            given = orjson.loads(Path(table).read_bytes())
        except orjson.JSONDecodeError as error:
            raise ArgumentError(f"{name} is no JSON: {error}") from None
        except (OSError, ValueError) as error:
            raise ArgumentError(
                f"{name} cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from None
    else:
        raise ArgumentError(f"a table of models is a dict or a JSON file's path, not {type(table).__name__}")
    checked = _checked(given, name)
    for number, row in enumerate(checked["models"]):
        if any(row.get(kind) is not None for kind in _PRICES):
            row.setdefault("as_of", checked.get("as_of"))
            row.setdefault("source", checked.get("source") or f"stated in {name}")
            if row["as_of"] is None:
                raise ArgumentError(
                    f'{name}: models[{number}] states prices: say of which day with "as_of", '
                    'such as "2026-11-20", there or for the whole table'
                )
    return checked


def _checked(given: Any, name: str) -> dict[str, Any]:
    from pydantic import ValidationError

    try:
        return dict(_form().model_validate(given).model_dump(exclude_unset=True))
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        place = place.removeprefix(".") or "it"
        said = "there is no such field" if first["type"] == "extra_forbidden" else first["msg"]
        hint = next((_HINTS[part] for part in reversed(first["loc"]) if part in _HINTS), "")
        hint = f". Here {hint}" if hint and first["type"] != "extra_forbidden" else ""
        raise ArgumentError(f"{name}: {place}: {said}, not {repr(first['input'])[:60]}{hint}") from None


@cache
def _form() -> Any:
    """Return the form of a table, as pydantic checks it."""
    from typing import Annotated

    from pydantic import BaseModel, ConfigDict, Field, create_model

    class Form(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

    dollars: Any = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
    tokens: Any = Annotated[int, Field(strict=True, gt=0)] | None
    text: Any = Annotated[str, Field(strict=True, min_length=1)]
    day: Any = Annotated[str, Field(strict=True, pattern=r"^\d{4}-\d\d-\d\d$")]
    price: Any = Annotated[tuple[dollars, dollars, dollars | None], Field(strict=False)] | None
    texts: Any = Annotated[tuple[text, ...], Field(strict=False)]
    tier: Any = create_model(
        "Tier", __base__=Form, tier=(int, ...), rpm=(tokens, None), rpd=(tokens, None), tpm=(tokens, None)
    )
    tiers: Any = Annotated[tuple[tier, ...], Field(strict=False)]
    row: Any = create_model(
        "Row",
        __base__=Form,
        id=(text, ...),
        like=(text, None),
        kind=(text, "realtime"),
        snapshots=(texts, ()),
        context=(tokens, None),
        max_output=(tokens, None),
        reasoning=(bool, False),
        text=(price, None),
        audio=(price, None),
        image=(price, None),
        per_minute=(dollars | None, None),
        snapshot_prices=(dict[str, dict[str, price]], {}),
        features=(dict[str, Any], {}),
        tiers=(tiers, ()),
        status=(text, ""),
        source=(text, ""),
        note=(str, ""),
        as_of=(day, None),
    )
    rows: Any = Annotated[list[row], Field(strict=False)]
    return create_model(
        "Table",
        __base__=Form,
        as_of=(day, None),
        source=(text, ""),
        unit=(str, ""),
        models=(rows, ...),
    )
