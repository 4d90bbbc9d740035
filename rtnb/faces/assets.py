"""The front end's files: plain ES modules and one style sheet, read from the package, bundled by nobody.

A widget is one ``static/NAME.js`` that may import siblings (``import { x } from "./common.js"``). A widget's
code reaches the page as one string, so siblings are put before it here, each once; names at the top level of
all modules must differ, which a test holds. Node's test runner imports the files as they are.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

__all__ = ["css", "esm", "source"]

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|class|const|let)", re.MULTILINE)


@cache
def source(file: str) -> str:
    """Return the text of one file of the front end, such as ``"capture-worklet.js"``."""
    return resources.files("rtnb.faces").joinpath("static", file).read_text(encoding="utf-8")


@cache
def esm(name: str) -> str:
    """Return the module ``static/NAME.js`` with all that it imports, as one ES module."""
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
