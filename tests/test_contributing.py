"""The guides for contributors name only files, names and commands that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import rtnb

ROOT = Path(__file__).parents[1]
MAP = ROOT / "rtnb" / "README.md"
GUIDE = ROOT / ".github" / "CONTRIBUTING.md"

# `path/to/file.py`, `path/to/folder/`, or `path/to/file.py:Name`, with methods as `Class.method`.
_PLACE = re.compile(r"(\.?[\w.-]*(?:/[\w.-]+)*(?:/|\.(?:py|js|json|toml|md|yml|yaml|cff)))(?::([\w.]+))?\Z")


def places(document: Path, base: Path) -> list[tuple[str, str]]:
    """Return each path in backticks, relative to ``base`` or the repository, and the name after its colon."""
    if not document.exists():  # a source distribution has no .github
        return []
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.M | re.S)
    found = dict.fromkeys(
        (match[1], match[2] or "")
        for span in re.findall(r"`([^`\n]+)`", text)
        if (match := _PLACE.match(span)) and not span.startswith(("/", "../shared"))
    )
    return [(str(where(path, base).relative_to(ROOT)), name) for path, name in found]


def where(path: str, base: Path) -> Path:
    return next((top / path for top in (base, ROOT) if (top / path).exists()), ROOT / path)


@pytest.mark.parametrize(("path", "name"), places(MAP, ROOT / "rtnb"))
def test_the_map_names_what_exists(path: str, name: str) -> None:
    check(path, name)


@pytest.mark.parametrize(("path", "name"), places(GUIDE, ROOT))
def test_the_guide_names_what_exists(path: str, name: str) -> None:
    check(path, name)


def check(path: str, name: str) -> None:
    assert (ROOT / path).exists(), f"there is no {path}"
    if not name:
        return
    text = (ROOT / path).read_text("utf-8")
    for part in name.split("."):
        defined = rf"^\s*(?:export )?(?:async )?(?:def|class|function) {part}\b|^{part}\b.*="
        assert re.search(defined, text, re.M), f"{path} defines no {part}"


def test_the_map_and_the_contract_have_the_same_layers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = next(one for one in project["tool"]["importlinter"]["contracts"] if one["id"] == "layers")
    layers = [set(re.findall(r"\w+", layer)) - {"_version"} for layer in contract["layers"]]
    drawn = re.findall(r"^ \d   (.+)$", MAP.read_text("utf-8"), re.M)
    assert [set(re.findall(r"\w+", line)) for line in drawn] == [layer for layer in layers if layer]


def test_the_citation_is_of_this_version() -> None:
    citation = ROOT / "CITATION.cff"
    if not citation.exists():
        pytest.skip("a source distribution has none")
    assert f"\nversion: {rtnb.__version__}\n" in citation.read_text("utf-8")
