"""Columns as a data frame of the library that the user works with; none of them is needed otherwise.

The type of a column is stated and never guessed from its values. The frames of an empty session, of one of
which nothing is known, and of any other have the same types, so that they can be concatenated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, MissingPackageError
from ..protocol.entries import SERVER
from ..protocol.log import Log

__all__ = ["KINDS", "Column", "Labels", "LongText", "events_frame", "frame"]

KINDS = ("pandas", "polars", "arrow")
"""The kinds of data frame; each is an extra of rtnb too."""


class LongText(str):
    """The type of a column of texts that together may take more than 2 GB."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """A categorical column: the place of each value in ``names``."""

    codes: NDArray[np.integer[Any]]
    names: list[str]

    @classmethod
    def used(cls, codes: NDArray[np.integer[Any]], names: list[str]) -> Labels:
        """Keep of the names only those that occur."""
        used, packed = np.unique(codes, return_inverse=True)
        return cls(packed.astype(np.int32), [names[code] for code in used.tolist()])


Column = tuple[type[Any], Iterable[Any]] | np.ndarray[Any, Any] | Labels
"""A numpy array, taken as it is; categories; or int, float, bool, str or LongText with values of that type.

None is unknown. Values are read a part at a time, so that a generator needs little memory.
"""

_LARGEST = 2**63 - 1
_STEP = 16_384
"""Values that exist as Python objects at a time."""


def frame(columns: Mapping[str, Column], kind: str = "pandas") -> Any:
    """Return columns of equal length as a ``pandas.DataFrame``, ``polars.DataFrame`` or ``pyarrow.Table``.

    What is unknown is missing, and so is an integer that 64 bits cannot hold. The other integers and booleans
    of such a column stay what they are: in pandas they are ``Int64`` and ``boolean``, and texts ``string``.

    Raises ArgumentError for another ``kind``, MissingPackageError where its package is not installed.
    """
    if kind not in KINDS:
        raise ArgumentError(f"kind must be one of {', '.join(map(repr, KINDS))}, not {kind!r:.80}")
    package = "pyarrow" if kind == "arrow" else kind
    try:
        column, table = {"pandas": _pandas, "polars": _polars, "arrow": _arrow}[kind]()
        return table({name: column(values) for name, values in columns.items()})
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackageError(package, f"a data frame of the kind {kind!r}", kind) from None


def events_frame(log: Log, rows: NDArray[np.int64], texts: Iterable[str], kind: str) -> Any:
    """Return rows of a log as a data frame of this kind; ``texts`` yields the text of each."""
    kinds, turns = log.kinds_and_turns(rows)
    t, wall = log.times(rows)
    columns: dict[str, Column] = {
        "index": rows,
        "t": t,
        "wall": wall,
        "direction": Labels((kinds >= SERVER).astype(np.int8), ["client", "server"]),
        "type": Labels.used(kinds & np.uint16(SERVER - 1), list(log.names)),
        "turn": turns,
        "bytes": log.lengths(rows),
        "event": (LongText, texts),
    }
    return frame(columns, kind)


_Library = tuple[Callable[[Column], Any], Callable[[dict[str, Any]], Any]]
"""What makes a column, and what makes a data frame of such columns."""


def _pandas() -> _Library:
    import pandas

    types = {int: "Int64", float: "float64", bool: "boolean", str: "string", LongText: "string"}

    def column(values: Column) -> Any:
        if isinstance(values, Labels):
            return pandas.Categorical.from_codes(values.codes, pandas.Index(values.names, dtype=str))
        if isinstance(values, np.ndarray):
            return values
        parts = [pandas.Series(part, dtype=types[values[0]]) for part in _parts(*values)]
        return pandas.concat(parts, ignore_index=True)

    return column, pandas.DataFrame


def _polars() -> _Library:
    import polars

    types = {
        int: polars.Int64,
        float: polars.Float64,
        bool: polars.Boolean,
        str: polars.String,
        LongText: polars.String,
    }

    def column(values: Column) -> Any:
        if isinstance(values, Labels):
            return polars.Series(values.names, dtype=polars.Categorical).gather(values.codes)
        if isinstance(values, np.ndarray):
            return values
        return polars.concat([polars.Series(part, dtype=types[values[0]]) for part in _parts(*values)])

    return column, polars.DataFrame


def _arrow() -> _Library:
    import pyarrow

    types = {
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
        str: pyarrow.string(),
        LongText: pyarrow.large_string(),
    }

    def column(values: Column) -> Any:
        if isinstance(values, Labels):
            return pyarrow.DictionaryArray.from_arrays(values.codes, pyarrow.array(values.names, types[str]))
        if isinstance(values, np.ndarray):
            return values
        return pyarrow.chunked_array([pyarrow.array(part, types[values[0]]) for part in _parts(*values)])

    return column, pyarrow.table


def _parts(of: type[Any], values: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the values in lists of a limited length, at least one; what a column cannot hold is None."""
    values = iter(values)
    part = [_value(of, value) for value in islice(values, _STEP)]
    yield part
    while part := [_value(of, value) for value in islice(values, _STEP)]:
        yield part


def _value(of: type[Any], value: Any) -> Any:
    if value is None or (of is int and abs(value) > _LARGEST):
        return None
    return value if isinstance(value, str) else of(value)
