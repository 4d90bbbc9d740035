"""The shape of the package: who may import whom, what an import costs, and that each module is tested."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import rtnb

ROOT = Path(rtnb.__file__).parent
TESTS = Path(__file__).parent

HEAVY = (
    "numpy",
    "av",
    "soundfile",
    "soxr",
    "pydantic",
    "websockets",
    "onnxruntime",
    "IPython",
    "asyncio",
    "orjson",
)


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("rtnb.protocol.")])
def test_the_wire_does_nothing(name):
    """No I/O, no clock, no tasks: what is folded from a file is what was folded live."""
    doers = {
        "asyncio",
        "concurrent",
        "datetime",
        "http",
        "os",
        "random",
        "selectors",
        "socket",
        "subprocess",
        "time",
    }
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        assert not doers & {one.split(".")[0] for one in names}, f"{name}:{node.lineno}"


def test_importing_rtnb_imports_nothing_heavy():
    code = f"import rtnb, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_importing_everything_prints_nothing():
    """No module has work to do at import, and none warns."""
    names = [name for name in MODULES if not name.endswith("__main__")]
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_public_name_resolves():
    for name in rtnb.__all__:
        assert getattr(rtnb, name) is not None
    assert sorted(rtnb.__all__) == rtnb.__all__
    assert len(set(rtnb.__all__)) == len(rtnb.__all__)
    assert set(rtnb.__all__) == {*rtnb._HOME, "__version__"}
    assert dir(rtnb) == rtnb.__all__
    with pytest.raises(AttributeError, match="module 'rtnb' has no attribute 'nonsense'"):
        _ = rtnb.nonsense
    assert rtnb.transports.memory is importlib.import_module("rtnb.transports.memory")
    assert rtnb.models.SEED == "gpt-4o-realtime-preview"


def test_type_checkers_see_the_same_names():
    tree = ast.parse(MODULES["rtnb"].read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body for alias in node.names}
    assert seen == set(rtnb._HOME)


@pytest.mark.parametrize("name", list(MODULES))
def test_every_module_says_what_is_public(name):
    """A package's ``__init__`` that holds a docstring alone has nothing to say."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    assert ast.get_docstring(tree), f"{name} has no docstring"
    if len(tree.body) == 1 or name.endswith("__main__"):
        return
    names = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert "__all__" in names, f"{name} has no __all__"


@pytest.mark.parametrize("name", [name for name in MODULES if name != "rtnb"])
def test_every_name_in_all_exists(name):
    if not name.endswith("__main__"):
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            assert hasattr(module, public), f"{name}.{public}"


def test_the_tree_of_errors():
    from rtnb import errors

    for name in errors.__all__:
        kind = UserWarning if name == "BudgetWarning" else errors.RtnbError
        assert issubclass(getattr(errors, name), kind)
        assert name in errors.__doc__
        assert getattr(rtnb, name) is getattr(errors, name)
    assert issubclass(errors.ArgumentError, ValueError)
    assert issubclass(errors.AudioError, ValueError)
    assert issubclass(errors.TurnTimeout, TimeoutError)
    assert issubclass(errors.MissingPackageError, ImportError)
    missing = errors.MissingPackageError("jupyterlab", "the lab", "lab")
    assert (missing.package, missing.extra) == ("jupyterlab", "lab")
    assert str(missing) == "the lab needs the package 'jupyterlab': run  pip install 'rtnb[lab]'"
    lost = errors.ConnectionLost("gone", code=1001, reason="bye")
    assert (lost.code, lost.reason) == (1001, "bye")
    refused = errors.ServiceError("no", type="t", code="c", param="p")
    assert (refused.type, refused.code, refused.param) == ("t", "c", "p")
