"""What all static HTML is built with: style sheets from files, and data URIs.

HTML is made with `htpy`, which escapes every text. ``Markup`` is the only way around that: it is for style
sheets and SVG of this package, never for text that a model, a user or a service wrote.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

from htpy import Element, Node, details, div, fragment, p, pre, script, small, strong, summary
from markupsafe import Markup

from ..redaction import clean_text

__all__ = ["data_uri", "joined", "line_html", "markup", "note_html", "read_static", "scripts", "stylesheet"]

_STATIC = resources.files("rtnb.render").joinpath("static")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SPACE = re.compile(r"\s*([{};,])\s*")
_TOKEN = re.compile(r"(--rtnb-[\w-]+):\s*([^;]+);")
_USED = re.compile(r"var\((--rtnb-[\w-]+)")
_EMPTY = re.compile(r"[^{}]+\{\}")


@cache
def read_static(name: str) -> str:
    """Return a file of the folder ``static``, such as ``"tokens.css"``, as it is written."""
    return _STATIC.joinpath(name).read_text(encoding="utf-8")


@cache
def stylesheet(*names: str) -> Markup:
    """Return style sheets as one ``<style>`` element on one line, after the design tokens that they use.

    A saved notebook holds the element once per output, so tokens that nothing uses are left out.
    """
    rules = "".join(map(read_static, names))
    tokens = _COMMENT.sub("", read_static("tokens.css"))
    values = dict(_TOKEN.findall(tokens))
    used: set[str] = set()
    more = set(_USED.findall(rules))
    while more:
        used |= more
        more = {name for token in more for name in _USED.findall(values.get(token, ""))} - used
    tokens = _TOKEN.sub(lambda found: found[0] if found[1] in used else "", tokens)
    css = _SPACE.sub(r"\1", _COMMENT.sub("", tokens + rules)).strip()
    css = re.sub(r"\s+", " ", _EMPTY.sub("", css)).replace(": ", ":").replace(";}", "}")
    return Markup(f"<style>{css}</style>")


@cache
def scripts(*names: str) -> Element:
    """Return scripts as one ``<script>`` element, without lines of comments and indentation."""
    lines = (line.strip() for name in names for line in read_static(name).splitlines())
    return script[Markup("\n".join(line for line in lines if line and not line.startswith("//")))]


def markup(node: Node) -> Markup:
    """Return elements and texts as HTML that is a string and can be put into other elements."""
    return Markup(fragment[node])


def joined(parts: Iterable[Node]) -> list[Node]:
    """Return elements or texts with a dot between them."""
    return [node for number, part in enumerate(parts) for node in ((" · ", part) if number else (part,))]


def line_html(text: str) -> Markup:
    """Return one line of text for an output that is replaced soon, such as progress."""
    return markup([stylesheet("line.css"), small(".rtnb-line")[clean_text(text)]])


def note_html(text: str, more: str = "") -> Markup:
    """Return a warning as a note below what a cell shows; ``more``, such as a traceback, is folded."""
    note = div(".rtnb-tokens.rtnb-note", role="note")[
        p[strong["Note:"], f" {clean_text(text)}"],
        more and details[summary["Details"], pre[clean_text(more)]],
    ]
    return markup([stylesheet("note.css"), note])


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes as a ``data:`` URI of this media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
