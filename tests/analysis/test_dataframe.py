import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb.analysis.dataframe import KINDS, frame
from rtnb.errors import ArgumentError, MissingPackageError

COLUMNS = {
    "turn": (int, [0, 1, None]),
    "type": (str, ["a", "b", None]),
    "t": (float, [0.5, None, 2.0]),
    "played": (bool, [True, None, False]),
    "bytes": np.array([1, 2, 3], np.uint32),
}


def values(made, kind, name):
    if kind == "pandas":
        import pandas

        column = made[name]
        return [None if pandas.isna(value) else value for value in column]
    return made[name].to_list() if kind == "polars" else made[name].to_pylist()


@pytest.fixture(params=KINDS)
def kind(request):
    pytest.importorskip("pyarrow" if request.param == "arrow" else request.param)
    return request.param


def test_columns_come_back_with_what_is_unknown_missing(kind):
    made = frame(COLUMNS, kind)
    names = made.column_names if kind == "arrow" else list(made.columns)
    assert names == list(COLUMNS)
    for name, column in COLUMNS.items():
        assert values(made, kind, name) == list(column[1] if isinstance(column, tuple) else column)


TYPES = {
    "pandas": ["Int64", "string", "float64", "boolean", "uint32"],
    "polars": ["Int64", "String", "Float64", "Boolean", "UInt32"],
    "arrow": ["int64", "string", "double", "bool", "uint32"],
}


@pytest.mark.parametrize("rows", [slice(0), slice(1), slice(2, 3), slice(3)])
@pytest.mark.parametrize("known", [True, False])
def test_a_columns_type_is_the_one_stated_whatever_its_values(kind, rows, known):
    cut = {
        name: column[rows]
        if isinstance(column, np.ndarray)
        else (column[0], [value if known else None for value in column[1][rows]])
        for name, column in COLUMNS.items()
    }
    made = frame(cut, kind)
    types = [field.type for field in made.schema] if kind == "arrow" else list(made.dtypes)
    assert list(map(str, types)) == TYPES[kind]


@settings(deadline=None)
@given(st.lists(st.none() | st.integers() | st.integers(2**62, 2**70), max_size=8))
def test_whole_numbers_are_held_where_there_is_room(numbers):
    room = [number if number is not None and abs(number) < 2**63 else None for number in numbers]
    for kind in KINDS:
        pytest.importorskip("pyarrow" if kind == "arrow" else kind)
        assert values(frame({"n": (int, numbers)}, kind), kind, "n") == room


@pytest.mark.parametrize("kind", ["Pandas", "csv", "", None, 5, ["pandas"]])
def test_another_kind_is_refused(kind):
    with pytest.raises(ArgumentError, match="'pandas', 'polars', 'arrow', not"):
        frame(COLUMNS, kind)


@pytest.mark.parametrize(
    ("kind", "package"), [("pandas", "pandas"), ("polars", "polars"), ("arrow", "pyarrow")]
)
def test_a_missing_package_is_named_with_its_command(monkeypatch, kind, package):
    real = builtins.__import__

    def absent(name, *args, **more):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingPackageError, match=rf"pip install 'rtnb\[{kind}\]'") as caught:
        frame(COLUMNS, kind)
    assert caught.value.package == package
