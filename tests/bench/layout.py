"""The shape of the package as one JSON line: files, lines, module sizes, import cycles, repeated file names.

Run it alone: ``python tests/bench/layout.py``. It needs grimp, which comes with import-linter.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import grimp

PACKAGE = Path(__file__).parents[2] / "rtnb"


def repeated_names() -> dict[str, int]:
    """Return each file name that more than one folder of the package has, with how many have it."""
    names = Counter(path.name for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    return {name: count for name, count in sorted(names.items()) if count > 1}


def cycles() -> list[list[str]]:
    """Return the modules of each import cycle; imports for type checkers and inside functions count."""
    graph = grimp.build_graph("rtnb", exclude_type_checking_imports=False, cache_dir=None)
    imports = {
        module: graph.find_modules_directly_imported_by(module) - {"rtnb"}
        for module in graph.modules
        if module != "rtnb"
    }
    reachable = {module: _reachable(module, imports) for module in imports}
    groups = {
        frozenset(other for other in reachable[module] if module in reachable.get(other, ()))
        for module in imports
        if module in reachable[module]
    }
    return sorted(sorted(group) for group in groups)


def _reachable(start: str, imports: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    left = list(imports[start])
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += imports.get(module, ())
    return seen


def figures() -> dict[str, Any]:
    """Return the figures that describe the package's layout."""
    sizes = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    modules = {name: size for name, size in sizes.items() if not name.endswith("__init__.py")}
    largest = max(modules, key=modules.__getitem__)
    return {
        "files": len(sizes),
        "lines": sum(sizes.values()),
        "median_lines": median(modules.values()),
        "largest": f"{largest} ({modules[largest]})",
        "cycles": len(cycles()),
        "names_used_more_than_once": repeated_names(),
    }


if __name__ == "__main__":
    print(json.dumps(figures()))
