"""The front end's logic, by node's own test runner."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rtnb.widgets import base

HERE = Path(__file__).parents[1] / "js"
STATIC = Path(base.__file__).parent / "static"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name)
def test_logic(path: Path) -> None:
    done = subprocess.run(["node", "--test", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("name", sorted(path.stem for path in STATIC.glob("*/*.js")))
def test_each_module_stands_alone_when_its_siblings_are_put_before_it(name: str, tmp_path: Path) -> None:
    """What the page gets is one module: no import is left, and no two siblings share a name."""
    text = base.esm(name)
    assert "./" not in "".join(line for line in text.splitlines() if line.startswith("import "))
    module = tmp_path / "module.mjs"
    module.write_text(text, "utf-8")
    done = subprocess.run(["node", "--check", str(module)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
