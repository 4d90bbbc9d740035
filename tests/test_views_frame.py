import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb.errors import ArgumentError, MissingPackageError
from rtnb.views.frame import KINDS, frame

COLUMNS = {
    "turn": [0, 1, None],
    "type": ["a", "b", None],
    "t": [0.5, None, 2.0],
    "heard": [True, None, False],
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
        assert values(made, kind, name) == list(column)


def test_whole_numbers_stay_whole_beside_missing_ones():
    pytest.importorskip("pandas")
    made = frame(COLUMNS)
    assert (str(made["turn"].dtype), str(made["heard"].dtype)) == ("Int64", "boolean")
    assert str(made["t"].dtype) == "float64"
    assert str(made["bytes"].dtype) == "uint32"


def test_no_rows(kind):
    made = frame({"a": [], "b": np.array([], np.int64)}, kind)
    assert len(made) == 0 if kind != "arrow" else made.num_rows == 0


@settings(deadline=None)
@given(st.lists(st.none() | st.integers() | st.integers(2**62, 2**70), max_size=8))
def test_numbers_of_any_size_are_held(numbers):
    for kind in KINDS:
        pytest.importorskip("pyarrow" if kind == "arrow" else kind)
        held = values(frame({"n": numbers}, kind), kind, "n")
        assert held == pytest.approx(numbers) if numbers else held == []


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
