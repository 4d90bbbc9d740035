"""The front end's files: plain ES modules and one style sheet, read from the package, bundled by nobody.

A widget is one ``static/FOLDER/NAME.js``; what it imports (``import { x } from "../shared/common.js"``)
reaches the page in one string with it: imported modules are put before it here, each once. Names at the
top level of all modules must differ, which a test holds. Node's test runner imports the files as they are.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

__all__ = ["css", "esm", "source"]

_IMPORT = re.compile(r'^import \{[^}]*\} from "\.{1,2}/(?:[\w-]+/)?([\w-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|class|const|let)", re.MULTILINE)


@cache
def _paths() -> dict[str, Traversable]:
    folders = resources.files("rtnb.widgets").joinpath("static").iterdir()
    return {file.name: file for folder in folders if folder.is_dir() for file in folder.iterdir()}


@cache
def source(file: str) -> str:
    """Return the text of one file of the front end, such as ``"player-worklet.js"``."""
    return _paths()[file].read_text(encoding="utf-8")


@cache
def esm(name: str) -> str:
    """Return the module ``NAME.js`` with all that it imports, as one ES module."""
    order: list[str] = []
    _order(name, order)
    siblings = [_EXPORT.sub("", _IMPORT.sub("", source(f"{sibling}.js"))) for sibling in order[:-1]]
    return "\n".join([*siblings, _IMPORT.sub("", source(f"{name}.js"))])


def _order(name: str, order: list[str]) -> None:
    """Append ``name`` after everything it imports, each once."""
    for wanted in _IMPORT.findall(source(f"{name}.js")):
        if wanted not in order:
            _order(wanted, order)
    if name not in order:
        order.append(name)


@cache
def css() -> str:
    """Return the style sheet of all widgets."""
    return source("rtnb.css")
