"""The model catalogue: what each model can do, its limits, and its dated prices.

The table is ``models.json`` beside this file, with its sources. A model that is not in it is not refused: all
about it is unknown, and an unknown price is None, never 0.

Prices change, and those of an Azure deployment are its own. ``load`` replaces or adds rows, for this process;
the environment variable ``RTNB_MODELS`` names a JSON file to begin with::

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

__all__ = ["SEED", "Model", "Price", "Tier", "catalogue", "find", "load", "named", "reset"]

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
    """Whether the row was stated by you, with ``load`` or in ``RTNB_MODELS``."""

    def supports(self, feature: Feature) -> bool | None:
        """Tell whether the model has a feature; None where that is unknown."""
        return self.features.get(feature)


class _Catalogue:
    """The rows in use."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
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
        """Take a checked table in, or nothing of it."""
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
    """Return the rows with those of a checked table, which say anew what they say and keep the rest."""
    made = dict(rows)
    for number, stated in enumerate(table["models"]):
        like = stated.get("like")
        base = _named(made, like or stated["id"])
        if like is not None and base is None:
            raise ArgumentError(
                f"models[{number}].like: there is no model {like!r:.80}. There is {', '.join(made)}"
            )
        if stated["id"] not in made:  # what belongs to a family is not a member's
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

    A row says anew what it says; of a model that is there it keeps the rest, and with ``like`` it begins as
    another model's row. Prices need ``as_of``, the day they are of. Rows stated before stay.

    Raises ArgumentError that names the place in the table; then nothing of it is taken.
    """
    _catalogue.add(model_tables.read(table))


def reset() -> None:
    """Go back to the built-in rows and those of the file that ``RTNB_MODELS`` names."""
    _catalogue.forget()


def catalogue() -> tuple[Model, ...]:
    """Return all rows, the seed model first. Raises ArgumentError for a wrong table in ``RTNB_MODELS``."""
    return _catalogue.load().all


def find(id: str) -> Model:
    """Return the row of a model id or of a snapshot's id; for a stranger, a row with all unknown.

    A snapshot takes its family's row under its own name, with its own price where it has one.
    """
    return _catalogue.load().find(id) or Model(id)


def named(told: str, stated: str = "") -> Model:
    """Return the row of the model that a server ``told``, where the caller ``stated`` another name for it.

    A row of your own for the stated name comes first: an Azure deployment has its own prices. Else the
    server's word counts where its model is known, then the caller's.
    """
    mine = find(stated)
    if mine.yours or not told:
        return mine
    theirs = find(told)
    return theirs if theirs.known or not mine.known else mine


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
