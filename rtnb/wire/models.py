"""The model catalogue: what each model can do, its limits, and its dated prices.

The table is ``models.json`` beside this file, with its sources. A model that is not in it is not refused: all
about it is unknown, and an unknown price is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

import orjson

__all__ = ["SEED", "Model", "Price", "Tier", "catalogue", "find"]

SEED = "gpt-4o-realtime-preview"
"""The model that rtnb began with, and the one that the embedded engine stands in for."""

Feature = Literal[
    "function_calling", "structured_outputs", "image", "fine_tuning", "distillation", "predicted_outputs"
]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. None where no price is published."""

    input: float
    cached: float
    output: float | None


@dataclass(frozen=True, slots=True)
class Tier:
    """Rate limits of one usage tier: requests per minute and per day, tokens per minute. None: unlimited."""

    tier: int
    rpm: int | None
    rpd: int | None
    tpm: int | None


@dataclass(frozen=True, slots=True)
class Model:
    """One model's row. ``context`` and ``max_output`` are in tokens; None is unknown."""

    id: str
    known: bool = False
    kind: str = "realtime"
    snapshots: tuple[str, ...] = ()
    context: int | None = None
    max_output: int | None = None
    reasoning: bool = False
    text: Price | None = None
    audio: Price | None = None
    image: Price | None = None
    per_minute: float | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    tiers: tuple[Tier, ...] = ()
    status: str = "unknown"
    source: str = ""
    note: str = ""
    as_of: str = ""

    def supports(self, feature: Feature) -> bool | None:
        """Tell whether the model has a feature; None where that is unknown."""
        return self.features.get(feature)


@cache
def catalogue() -> tuple[Model, ...]:
    """Return all rows, the seed model first."""
    table = orjson.loads(resources.files("rtnb.wire").joinpath("models.json").read_bytes())
    return tuple(_row(row, table["as_of"]) for row in table["models"])


@cache
def find(id: str) -> Model:
    """Return the row of a model id or of a snapshot's id; for a stranger, a row with all unknown.

    A snapshot takes its family's row under its own name, with its own price where it has one.
    """
    for model in catalogue():
        if id == model.id:
            return model
    table = orjson.loads(resources.files("rtnb.wire").joinpath("models.json").read_bytes())
    for row in table["models"]:
        if id in row.get("snapshots", ()):
            own = row.get("snapshot_prices", {}).get(id, {})
            return _row({**row, **own, "id": id}, table["as_of"])
    return Model(id)


def _row(row: Mapping[str, Any], as_of: str) -> Model:
    def price(kind: str) -> Price | None:
        return Price(*row[kind]) if row.get(kind) else None

    return Model(
        id=row["id"],
        known=True,
        kind=row["kind"],
        snapshots=tuple(row.get("snapshots", ())),
        context=row.get("context"),
        max_output=row.get("max_output"),
        reasoning=row.get("reasoning", False),
        text=price("text"),
        audio=price("audio"),
        image=price("image"),
        per_minute=row.get("per_minute"),
        features=row.get("features", {}),
        tiers=tuple(Tier(**tier) for tier in row.get("tiers", ())),
        status=row["status"],
        source=row["source"],
        note=row.get("note", ""),
        as_of=as_of,
    )
