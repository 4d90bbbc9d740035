"""What all pictures of time share: colours, hatching, ticks, and how labels find their room."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape, unescape

from .html import data_uri

__all__ = [
    "BAD",
    "COLOURS",
    "band",
    "hatched",
    "legend",
    "n",
    "rows_for",
    "still",
    "svg",
    "text",
    "ticks",
]

# Mid-tones: at least 3:1 against white and against #111.
COLOURS = {
    "speech": "#2a7ab8",
    "sound": "#5b6fd0",
    "pause": "#7fb0d8",
    "waiting": "#9399a3",
    "thinking": "#c27a1a",
    "arriving": "#5aa994",
    "tools": "#8f63c9",
    "speaking": "#1f9478",
    "unheard": "#8b9099",
}
BAD = "#d8433c"

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_GAP = 7.0
_LETTER = 6.4  # pixels of a letter at 12 px, on the wide side


def n(value: float) -> str:
    """Return a length in pixels, short."""
    return f"{value:.1f}".removesuffix(".0")


def svg(width: float, height: float, label: str, body: str, ink: str) -> str:
    """Return an SVG element of this size in pixels, that shrinks with its place."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {n(width)} {n(height)}" width="{n(width)}" '
        f'height="{n(height)}" role="img" aria-label="{escape(label)}" fill="{ink}" '
        f'font-family="system-ui,sans-serif" font-size="12">{body}</svg>'
    )


def band(x: float, y: float, width: float, height: float, kind: str, title: str) -> str:
    """Return a stretch of time as a bar, at least a pixel wide, that tells of itself when pointed at."""
    width = max(width, 1.0)
    told = f"<title>{escape(title)}</title>"
    if kind == "unheard":
        return f"<g>{told}{hatched(x, y, width, height)}</g>"
    shape = f'<rect x="{n(x)}" y="{n(y)}" width="{n(width)}" height="{n(height)}" rx="1.5"'
    return f'{shape} fill="{COLOURS[kind]}">{told}</rect>'


def hatched(x: float, y: float, width: float, height: float) -> str:
    """Return a hatched bar. Its lines are drawn: a shared pattern is lost where its picture is hidden."""
    lines = []
    offset = -height
    while offset < width:
        start, end = max(offset, 0.0), min(offset + height, width)
        bottom = y + height + offset
        lines.append(f"M{n(x + start)} {n(bottom - start)}L{n(x + end)} {n(bottom - end)}")
        offset += 5
    grey = COLOURS["unheard"]
    return (
        f'<rect x="{n(x)}" y="{n(y)}" width="{n(width)}" height="{n(height)}" fill="{grey}" opacity=".14"/>'
        f'<path d="{"".join(lines)}" stroke="{grey}" stroke-width="1.2" fill="none"/>'
    )


def text(x: float, y: float, said: str, *, anchor: str = "start", soft: bool = False, more: str = "") -> str:
    """Return a line of text."""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    faint = ' class="rtnb-faint"' if soft else ""
    return f'<text x="{n(x)}" y="{n(y)}"{place}{faint}{more}>{escape(said)}</text>'


def still(drawn: str, alt: str) -> str:
    """Return a picture as an ``<img>``, over which lies what it tells when pointed at.

    A notebook that is not trusted loses ``<svg>`` but keeps the words in it, in a heap; so there are none.
    """
    whole = re.match(r'<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
    if whole is None:
        return ""
    wide, tall = float(whole[1]), float(whole[2])
    spots = []
    for found in _TOLD.finditer(drawn):
        x, y, width, height = _place(found)
        style = f"left:{x / wide:.2%};top:{y / tall:.2%};width:{width / wide:.2%};height:{height / tall:.2%}"
        told = escape(unescape(found["title"] or found["named"]))
        spots.append(f'<span class="rtnb-spot" style="{style}" title="{told}"></span>')
    source = data_uri(drawn.encode(), "image/svg+xml")
    image = f'<img class="rtnb-drawn" src="{source}" alt="{escape(alt)}" style="max-width:100%">'
    return f'<div class="rtnb-frame">{image}{"".join(spots)}</div>'


_NUMBER = r"(-?[\d.]+)"
_RECT = rf'<rect x="{_NUMBER}" y="{_NUMBER}" width="{_NUMBER}" height="{_NUMBER}"'
_TOLD = re.compile(
    rf"{_RECT}[^>]*><title>(?P<title>[^<]*)</title>"
    rf"|<g><title>(?P<named>[^<]*)</title>(?:{_RECT}|<path d=\"M{_NUMBER} {_NUMBER}V{_NUMBER}\")"
)


def _place(found: re.Match[str]) -> tuple[float, float, float, float]:
    """Return x, y, width and height of what tells of itself; a mark's line is made wide enough to be hit."""
    groups = found.groups()
    for at in (0, 6):  # a bar alone, and one in a group
        if groups[at] is not None:
            x, y, width, height = map(float, groups[at : at + 4])
            return x, y, width, height
    x, start, end = map(float, groups[10:13])
    return x - 3, min(start, end), 7, abs(end - start)


def ticks(seconds: float, most: int = 9) -> float:
    """Return the step between ticks, in seconds, so that ``seconds`` have about ``most`` of them."""
    return next((step for step in _STEPS if seconds / step <= most), math.ceil(seconds / most / 3600) * 3600)


def rows_for(labels: Sequence[tuple[float, str]]) -> list[int]:
    """Return for each label, of (x, text) from left to right, the row that it stands in; 0 is the nearest.

    A label begins at its own x. From right to left each takes the nearest row that is free, so that no
    leader to a farther row crosses a text.
    """
    rows: list[int] = [0] * len(labels)
    begins: list[float] = []  # of each row, where its leftmost text begins
    for place in range(len(labels) - 1, -1, -1):
        x, said = labels[place]
        end = x + len(said) * _LETTER + _GAP
        row = next((row for row, begin in enumerate(begins) if end <= begin), len(begins))
        if row == len(begins):
            begins.append(x)
        begins[row] = x
        rows[place] = row
    return rows


def legend(kinds: Sequence[tuple[str, str]]) -> str:
    """Return what each colour means, in words, as HTML: (kind, words) in order."""
    items = []
    for kind, words in kinds:
        shape = hatched(0, 0, 16, 9) if kind == "unheard" else ""
        shape = shape or f'<rect width="16" height="9" rx="2" fill="{COLOURS[kind]}"/>'
        drawn = f'<svg xmlns="http://www.w3.org/2000/svg" width="16" height="9">{shape}</svg>'
        key = data_uri(drawn.encode(), "image/svg+xml")
        items.append(
            f'<li><img class="rtnb-drawn" src="{key}" alt="" width="16" height="9"> {escape(words)}</li>'
        )
    return f'<ul class="rtnb-legend">{"".join(items)}</ul>'
