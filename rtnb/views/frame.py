"""Columns as a data frame of whichever library the reader works with; none of them is needed otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, MissingPackageError

__all__ = ["KINDS", "frame"]

KINDS = ("pandas", "polars", "arrow")
"""The kinds of data frame; each is an extra of rtnb too."""

_LARGEST = 2**63 - 1


def frame(columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]], kind: str = "pandas") -> Any:
    """Return columns of equal length as a ``pandas.DataFrame``, ``polars.DataFrame`` or ``pyarrow.Table``.

    None is what is unknown; it stays missing and whole numbers stay whole beside it, in pandas as ``Int64``.
    Arrays are taken as they are.

    Raises ArgumentError for another ``kind``, MissingPackageError where its package is not installed.
    """
    if kind not in KINDS:
        raise ArgumentError(f"a data frame's kind is {', '.join(map(repr, KINDS))}, not {kind!r:.80}")
    ready = {
        name: values if isinstance(values, np.ndarray) else _within(list(values))
        for name, values in columns.items()
    }
    package = "pyarrow" if kind == "arrow" else kind
    try:
        if kind == "pandas":
            import pandas

            return pandas.DataFrame({name: _pandas(values) for name, values in ready.items()})
        if kind == "polars":
            import polars

            return polars.DataFrame(ready, strict=False)
        import pyarrow

        return pyarrow.table(ready)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackageError(package, f"a data frame of the kind {kind!r}", kind) from None


def _within(values: list[Any]) -> list[Any]:
    """Return whole numbers that no column of 64 bits can hold as floats; all else as it is."""
    if any(isinstance(value, int) and abs(value) > _LARGEST for value in values):
        return [float(value) if isinstance(value, int) else value for value in values]
    return values


def _pandas(values: Any) -> Any:
    """Return whole numbers and truths beside missing ones as what pandas keeps whole."""
    import pandas

    if isinstance(values, np.ndarray) or None not in values:
        return values
    kinds = {type(value) for value in values if value is not None}
    for kind, name in ((int, "Int64"), (bool, "boolean")):
        if kinds == {kind}:
            return pandas.array(values, dtype=name)
    return values
