"""Only the dialects name events of the wire: everything else reads typed changes and commands."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rtnb.protocol.dialects.names import EVENTS

PACKAGE = Path(__file__).parents[3] / "rtnb"
NAMES = EVENTS - {"error"}
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "dialects"]


def named(path: Path) -> list[str]:
    """Return the event names among a file's string literals, docstrings left out."""
    tree = ast.parse(path.read_text("utf-8"))
    return [
        f"{node.lineno}: {node.value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in NAMES
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_names_no_event(path: Path) -> None:
    assert named(path) == []
