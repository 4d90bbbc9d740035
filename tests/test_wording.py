"""Code, labels, errors and guides use the field's standard terms: no word here has a private meaning.

Each entry of ``BANNED`` is a regular expression with the term to use instead. It is searched as a word,
in upper or lower case; an underscore separates words, so ``_heard`` and ``heard_ms`` are found as well.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BANNED = {
    r"told": "reported, said or returned",
    r"(?<![.:])tells?(?!\(|(?: it)? apart)": "report, say, show or return",
    r"(?:un)?heard": "played, not played, or received",
    r"hush(?:ed|es)?": "stop playback, or suspend",
    r"spool(?:s|ed|ing)?": "autosave",
    r"anew": "again",
    r"for ever": "forever, or indefinitely",
    r"whence": "from where",
    r"dear(?:er|est)": "more expensive, or the highest rate",
    r"mend(?:s|ed|ing)?": "repair, or fix",
    r"hearken|farewell|goodbye": "close",
    r"desk": "controller",
    r"aside": "out of band",
    r"hurried": "time_scaled",
    r"nobody|somebody|whoever": "no client, the caller, the user",
    r"what came": "what was received, or given",
    r"by whose": "by which",
    r"(?:give|gives|gave|given) (?:it )?away": "share, or publish",
    r"gave": "returned, or reported",
    r"begun": "started",
    r"is there already|are there already": "already exists",
    r"lies": "is",
    r"(?<!there )(?:is|are|was|were) no (?!longer|more|such|need|way|reason|one\b)\w+": "is not a",
}
FILES = (
    *sorted(path for kind in ("py", "js", "css") for path in (ROOT / "rtnb").rglob(f"*.{kind}")),
    ROOT / "README.md",
    ROOT / "rtnb" / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "pyproject.toml",
    *sorted(path for path in (ROOT / ".github").rglob("*") if path.is_file()),
)
QUOTED = (
    "tell me a long",
    "Tell me a long",
    "Can you tell me something",
    "should so some tell than",
    "I heard nothing.",
)
"""What the sample clips and the stand-in model say."""

_WORDS = [(re.compile(rf"(?<![^\W_])(?:{word})(?![^\W_])", re.I), term) for word, term in BANNED.items()]


def found(text: str) -> list[str]:
    """Return the banned words in a text, each with its line and the term to use instead."""
    return [
        f"{number}: {match[0]!r}: use {term}"
        for number, line in enumerate(text.splitlines(), 1)
        for word, term in _WORDS
        for match in word.finditer(line)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_uses_standard_terms(path: Path) -> None:
    if not path.exists():
        pytest.skip("a source distribution does not contain this file")
    text = path.read_text("utf-8")
    for quoted in QUOTED:
        text = text.replace(quoted, "")
    if path.name == "CHANGELOG.md":  # its tables have the former names
        text = re.sub(r"^\|.*$", "", text, flags=re.M)
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "It is told.",
        "self._heard = 0",
        "heard_ms",
        "TOLD",
        "x is no key",
        "are no JSON",
        "a mended file",
        "it lies at 4",
    ],
)
def test_a_banned_word_is_found(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text",
    [
        "there is no such file",
        "is no longer sent",
        "is no one else's",
        "recommended",
        "amend(session)",
        "widget.tell({})",
        "the replies",
        "applies",
        "besides",
        "tellurium",
    ],
)
def test_an_ordinary_word_is_not(text: str) -> None:
    assert found(text) == []
