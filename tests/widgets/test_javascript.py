"""The front end's logic, by node's own test runner."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rtnb.render.html import read_static
from rtnb.widgets import base

HERE = Path(__file__).parents[1] / "js"
STATIC = Path(base.__file__).parent / "static"
MODULES = sorted(path.relative_to(STATIC).with_suffix("").as_posix() for path in STATIC.glob("*/*.js"))


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name)
def test_logic(path: Path) -> None:
    done = subprocess.run(["node", "--test", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("name", MODULES)
def test_a_module_and_its_imports_become_one_valid_module(name: str, tmp_path: Path) -> None:
    """The page receives one module: no import is left in it, and no two files declare the same name."""
    text = base.esm(name)
    assert "./" not in "".join(line for line in text.splitlines() if line.startswith("import "))
    module = tmp_path / "module.mjs"
    module.write_text(text, "utf-8")
    done = subprocess.run(["node", "--check", str(module)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", sorted(path.name for path in STATIC.iterdir() if path.name != "shared"))
def test_each_widget_has_an_entry_module_named_after_its_folder(folder: str) -> None:
    assert "export default" in base.esm(f"{folder}/{folder}")


def test_style_sheets_take_colours_and_fonts_from_the_tokens() -> None:
    tokens = set(re.findall(r"(--rtnb-[\w-]+):", read_static("tokens.css")))
    for path in STATIC.glob("*/*.css"):
        text = path.read_text("utf-8")
        assert set(re.findall(r"var\((--rtnb-[\w-]+)", text)) <= tokens, path
        assert not re.search(r"var\(--jp-|#[0-9a-f]{3,6}\b", text), path
        assert text in base.css()
