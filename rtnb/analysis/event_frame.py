"""Events as a data frame. Names are categories and texts lie end to end, so that a million rows have room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..protocol.columns import SERVER
from .dataframe import frame

if TYPE_CHECKING:
    from .events import Events

__all__ = ["events_frame"]

_SIDES = ["client", "server"]
_STEP = 16_384
"""Texts that exist as Python's own at a time."""


def events_frame(events: Events, kind: str, texts: Callable[[], Iterator[str]]) -> Any:
    """Return events as a data frame of this kind; ``texts`` yields the text of each."""
    log, rows = events.source, events.rows
    kinds, turns = log.sorts(rows)
    t, wall = log.clocks(rows)
    side, type = (kinds >= SERVER).astype(np.int8), (kinds & np.uint16(SERVER - 1)).astype(np.int32)
    names = list(log.names)
    table = frame({"index": rows, "t": t, "wall": wall, "turn": turns, "bytes": log.lengths(rows)}, kind)
    return {"pandas": _pandas, "polars": _polars, "arrow": _arrow}[kind](table, side, type, names, texts())


def _chunks(texts: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(texts, _STEP)):
        yield chunk


def _pandas(table: Any, side: Any, type: Any, names: list[str], texts: Iterator[str]) -> Any:
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


def _polars(table: Any, side: Any, type: Any, names: list[str], texts: Iterator[str]) -> Any:
    import polars

    codes, used = _used(type, names)
    direction = polars.Series("direction", side).replace_strict(
        [0, 1], _SIDES, return_dtype=polars.Enum(_SIDES)
    )
    types = polars.Series("type", used, polars.Categorical).gather(codes)
    parts = [polars.Series("event", chunk, polars.String) for chunk in _chunks(texts)]
    event = polars.concat(parts) if parts else polars.Series("event", [], polars.String)
    return table.insert_column(3, direction).insert_column(4, types).with_columns(event)


def _arrow(table: Any, side: Any, type: Any, names: list[str], texts: Iterator[str]) -> Any:
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
