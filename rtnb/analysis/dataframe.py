"""Columns as a data frame of whichever library the reader works with; none of them is needed otherwise.

A column's type is stated and never guessed from its values: the frames of a session without turns, of one of
which nothing is known, and of any other have the same types, so that they can be put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, MissingPackageError

__all__ = ["KINDS", "Column", "frame"]

KINDS = ("pandas", "polars", "arrow")
"""The kinds of data frame; each is an extra of rtnb too."""

Column = tuple[type[Any], Sequence[Any]] | np.ndarray[Any, Any]
"""An array, taken as it is; or int, float, bool or str, and values of that type, with None for unknown."""

_LARGEST = 2**63 - 1


def frame(columns: Mapping[str, Column], kind: str = "pandas") -> Any:
    """Return columns of equal length as a ``pandas.DataFrame``, ``polars.DataFrame`` or ``pyarrow.Table``.

    What is unknown is missing, and so is a whole number that 64 bits cannot hold. Beside it whole numbers and
    truths stay what they are: in pandas they are ``Int64`` and ``boolean``, and texts ``string``.

    Raises ArgumentError for another ``kind``, MissingPackageError where its package is not installed.
    """
    if kind not in KINDS:
        raise ArgumentError(f"a data frame's kind is {', '.join(map(repr, KINDS))}, not {kind!r:.80}")
    package = "pyarrow" if kind == "arrow" else kind
    try:
        return {"pandas": _pandas, "polars": _polars, "arrow": _arrow}[kind](columns)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackageError(package, f"a data frame of the kind {kind!r}", kind) from None


def _made(
    columns: Mapping[str, Column], types: Mapping[type[Any], Any], make: Callable[[list[Any], Any], Any]
) -> dict[str, Any]:
    """Return arrays as they are, and of all other columns what ``make(values, type)`` returns."""
    return {
        name: column
        if isinstance(column, np.ndarray)
        else make([_value(column[0], value) for value in column[1]], types[column[0]])
        for name, column in columns.items()
    }


def _value(of: type[Any], value: Any) -> Any:
    """Return a value as what its column holds, or None."""
    if value is None or (of is int and abs(value) > _LARGEST):
        return None
    return of(value)


def _pandas(columns: Mapping[str, Column]) -> Any:
    import pandas

    types = {int: "Int64", float: "float64", bool: "boolean", str: "string"}
    return pandas.DataFrame(_made(columns, types, lambda values, type: pandas.Series(values, dtype=type)))


def _polars(columns: Mapping[str, Column]) -> Any:
    import polars

    types = {int: polars.Int64, float: polars.Float64, bool: polars.Boolean, str: polars.String}
    return polars.DataFrame(_made(columns, types, lambda values, type: polars.Series(values, dtype=type)))


def _arrow(columns: Mapping[str, Column]) -> Any:
    import pyarrow

    types = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_(), str: pyarrow.string()}
    return pyarrow.table(_made(columns, types, pyarrow.array))
