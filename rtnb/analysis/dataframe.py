"""Columns as a data frame of whichever library the reader works with; none of them is needed otherwise.

A column's type is stated and never guessed from its values: the frames of a session without turns, of one of
which nothing is known, and of any other have the same types, so that they can be put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, MissingPackageError
from ..protocol.entries import SERVER

if TYPE_CHECKING:
    from .events import Events

__all__ = ["KINDS", "Column", "events_frame", "frame"]

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


_SIDES = ["client", "server"]
_STEP = 16_384
"""Texts that exist as Python's own at a time."""


def events_frame(events: Events, kind: str, texts: Callable[[], Iterator[str]]) -> Any:
    """Return events as a data frame of this kind; ``texts`` yields the text of each."""
    log, rows = events.source, events.rows
    kinds, turns = log.kinds_and_turns(rows)
    t, wall = log.times(rows)
    side, type = (kinds >= SERVER).astype(np.int8), (kinds & np.uint16(SERVER - 1)).astype(np.int32)
    names = list(log.names)
    table = frame({"index": rows, "t": t, "wall": wall, "turn": turns, "bytes": log.lengths(rows)}, kind)
    return {"pandas": _events_pandas, "polars": _events_polars, "arrow": _events_arrow}[kind](
        table, side, type, names, texts()
    )


def _chunks(texts: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(texts, _STEP)):
        yield chunk


def _events_pandas(table: Any, side: Any, type: Any, names: list[str], texts: Iterator[str]) -> Any:
    import pandas

    table.insert(3, "direction", pandas.Categorical.from_codes(side, _SIDES))
    codes, used = _used(type, names)
    table.insert(4, "type", pandas.Categorical.from_codes(codes, pandas.Index(used, dtype=str)))
    try:
        import pyarrow

        parts = [pyarrow.array(chunk, pyarrow.large_string()) for chunk in _chunks(texts)]
        whole = pyarrow.chunked_array(parts, pyarrow.large_string())
        table["event"] = pandas.array(whole, dtype=pandas.StringDtype("pyarrow"))
    except ImportError:
        table["event"] = pandas.array(list(texts), dtype=pandas.StringDtype("python"))
    return table


def _events_polars(table: Any, side: Any, type: Any, names: list[str], texts: Iterator[str]) -> Any:
    import polars

    codes, used = _used(type, names)
    direction = polars.Series("direction", side).replace_strict(
        [0, 1], _SIDES, return_dtype=polars.Enum(_SIDES)
    )
    types = polars.Series("type", used, polars.Categorical).gather(codes)
    parts = [polars.Series("event", chunk, polars.String) for chunk in _chunks(texts)]
    event = polars.concat(parts) if parts else polars.Series("event", [], polars.String)
    return table.insert_column(3, direction).insert_column(4, types).with_columns(event)


def _events_arrow(table: Any, side: Any, type: Any, names: list[str], texts: Iterator[str]) -> Any:
    import pyarrow

    codes, used = _used(type, names)
    table = table.add_column(3, "direction", pyarrow.DictionaryArray.from_arrays(side, _SIDES))
    types = pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes), pyarrow.array(used, pyarrow.string()))
    table = table.add_column(4, "type", types)
    parts = [pyarrow.array(chunk, pyarrow.large_string()) for chunk in _chunks(texts)]
    return table.append_column("event", pyarrow.chunked_array(parts, pyarrow.large_string()))


def _used(codes: Any, names: list[str]) -> tuple[Any, list[str]]:
    """Return codes and names of those types alone that occur."""
    used, packed = np.unique(codes, return_inverse=True)
    return packed.astype(np.int32), [names[code] for code in used.tolist()]
