"""The model catalogue: what each model can do, its limits, and its dated prices.

The table is ``models.json`` beside this file, with its sources. A model that is not in it is not refused: its
properties are unknown, and an unknown price is None, never 0.

Prices change, and an Azure deployment may have its own. ``load`` replaces or adds rows for this process; the
environment variable ``RTNB_MODELS`` names a JSON file to load at first::

    rtnb.models.load({"as_of": "2027-01-05", "models": [{"id": "gpt-realtime-2.1", "audio": [30, 0.4, 60]}]})
    rtnb.models.load({"models": [{"id": "my-deployment", "like": "gpt-realtime-2.1"}]})
    rtnb.models.load("prices.json")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import orjson

from .. import model_tables
from ..errors import ArgumentError

__all__ = ["SEED", "Model", "Price", "Tier", "catalogue", "find", "load", "reset", "resolve"]

SEED = "gpt-4o-realtime-preview"
"""The first model with this protocol, and the one that the embedded engine stands in for."""

Feature = Literal[
    "function_calling", "structured_outputs", "image", "fine_tuning", "distillation", "predicted_outputs"
]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. None if no price is published."""

    input: float
    cached: float
    output: float | None


@dataclass(frozen=True, slots=True)
class Tier:
    """Rate limits of a usage tier: requests per minute and per day, tokens per minute. None is unlimited."""

    tier: int
    rpm: int | None = None
    rpd: int | None = None
    tpm: int | None = None


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
    yours: bool = False
    """Whether the row is the user's, from ``load`` or ``RTNB_MODELS``."""

    def supports(self, feature: Feature) -> bool | None:
        """Return whether the model has a feature; None if that is unknown."""
        return self.features.get(feature)


class _Catalogue:
    """The rows in use."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._all: tuple[Model, ...] = ()
        self._by_name: dict[str, Model] = {}

    def load(self) -> _Catalogue:
        """Read the built-in table and the environment's, once."""
        if not self._rows:
            table = orjson.loads(resources.files("rtnb.protocol").joinpath("models.json").read_bytes())
            rows = {row["id"]: {**row, "as_of": table["as_of"]} for row in table["models"]}
            stated = model_tables.from_environment()
            self._take(rows if stated is None else _with(rows, stated))
        return self

    def add(self, table: Mapping[str, Any]) -> None:
        """Add the rows of a checked table, all or none."""
        self._take(_with(self.load()._rows, table))

    def _take(self, rows: dict[str, dict[str, Any]]) -> None:
        every = tuple(map(_row, rows.values()))
        names = {row["id"]: model for row, model in zip(rows.values(), every, strict=True)}
        for row in rows.values():
            for name in row.get("snapshots", ()):
                own = row.get("snapshot_prices", {}).get(name, {})
                names.setdefault(name, _row({**row, **own, "id": name}))
        self._rows, self._all, self._by_name = rows, every, names

    @property
    def all(self) -> tuple[Model, ...]:
        return self._all

    def find(self, id: str) -> Model | None:
        return self._by_name.get(id)


def _with(rows: Mapping[str, dict[str, Any]], table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows updated by those of a checked table; fields that it does not set stay."""
    made = dict(rows)
    for number, stated in enumerate(table["models"]):
        like = stated.get("like")
        base = _named(made, like or stated["id"])
        if like is not None and base is None:
            raise ArgumentError(
                f"models[{number}].like: unknown model {like!r:.80}: expected one of {', '.join(made)}"
            )
        if stated["id"] not in made:  # a snapshot does not inherit the snapshots of its family
            base = {key: value for key, value in (base or {}).items() if not key.startswith("snapshot")}
        made[stated["id"]] = {
            "kind": "realtime",
            "status": "stated by you",
            "source": "stated by you",
            "as_of": "",
            **(base or {}),
            **{key: value for key, value in stated.items() if key != "like"},
            "yours": True,
        }
    return made


def _named(rows: Mapping[str, dict[str, Any]], id: str) -> dict[str, Any] | None:
    """Return the row of an id or of a snapshot's."""
    if id in rows:
        return rows[id]
    for row in rows.values():
        if id in row.get("snapshots", ()):
            return {**row, **row.get("snapshot_prices", {}).get(id, {})}
    return None


_catalogue = _Catalogue()


def load(table: str | Path | Mapping[str, Any]) -> None:
    """Replace or add rows, for this process, from a dict or a JSON file of the form of ``models.json``.

    A row for a known model replaces the fields that it sets; with ``like``, a row starts as a copy of another
    model's. Prices need ``as_of``, their date. Rows that were loaded before stay.

    Raises ArgumentError that names the place in the table; then no row is loaded.
    """
    _catalogue.add(model_tables.read(table))


def reset() -> None:
    """Restore the built-in rows and those of the file that ``RTNB_MODELS`` names."""
    _catalogue.reset()


def catalogue() -> tuple[Model, ...]:
    """Return all rows, the seed model first. Raises ArgumentError for an invalid table in ``RTNB_MODELS``."""
    return _catalogue.load().all


def find(id: str) -> Model:
    """Return the row of a model's or a snapshot's id; for an unknown id, a row with all fields unknown.

    A snapshot has its family's row under its own name, with its own price if it has one.
    """
    return _catalogue.load().find(id) or Model(id)


def resolve(reported: str, requested: str = "") -> Model:
    """Return the row of a session's model, which the server reported and the caller requested.

    A row of the user's own for the requested name comes first: an Azure deployment may have its own prices.
    Otherwise it is the row of the reported model, or of the requested one if only that is known.
    """
    of_requested = find(requested)
    if of_requested.yours or not reported:
        return of_requested
    of_reported = find(reported)
    return of_reported if of_reported.known or not of_requested.known else of_requested


def _row(row: Mapping[str, Any]) -> Model:
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
        as_of=row["as_of"],
        yours=row.get("yours", False),
    )
