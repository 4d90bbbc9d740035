"""What all pictures of time share: colours, hatching, ticks, room for labels, and drawings with tooltips."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import htpy
from htpy import Element, Node, VoidElement
from markupsafe import Markup

from .html import data_uri
from .palette import BAD, INK

__all__ = [
    "BAD",
    "COLOURS",
    "LETTER",
    "Drawing",
    "document",
    "hatched",
    "image",
    "legend",
    "n",
    "rows_for",
    "ticks",
]

# Mid-tones: at least 3:1 against white and against #111.
COLOURS = {
    "speech": "#2a7ab8",
    "sent": "#5b6fd0",
    "pause": "#7fb0d8",
    "waiting": "#9399a3",
    "thinking": "#c27a1a",
    "arriving": "#5aa994",
    "tools": "#8f63c9",
    "speaking": "#1f9478",
    "not_played": "#8b9099",
}

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_GAP = 7.0
LETTER = 6.4
"""Pixels of a letter at 12 px, at most."""
_HATCH = 5


def n(value: float) -> str:
    """Return a length in pixels, short."""
    return f"{value:.1f}".removesuffix(".0")


def document(width: float, height: float, body: Node, **attributes: str) -> Element:
    """Return an SVG element of this size in pixels."""
    size = {"viewBox": f"0 0 {n(width)} {n(height)}", "width": n(width), "height": n(height)}
    return htpy.svg(size, xmlns="http://www.w3.org/2000/svg", **attributes)[body]


def image(svg: Element, alt: str, **attributes: str) -> VoidElement:
    """Return an SVG document as an ``<img>``, which a notebook keeps where it is not trusted."""
    source = data_uri(str(svg).encode(), "image/svg+xml")
    return htpy.img(".rtnb-drawn", src=source, alt=alt, **attributes)


class Drawing:
    """A picture being drawn, as an element of the page or as an image.

    In the page it is drawn in the page's ink, and its shapes have titles. As an image it is drawn in an ink
    that can be read on any page; the titles are those of transparent boxes over it. A notebook that is not
    trusted loses ``<svg>`` but keeps the text in it, in a heap, so a saved picture is an image.

    A ``compact`` drawing has whole pixels, one path for all bars of a kind, and no titles.
    """

    def __init__(self, *, as_image: bool = False, compact: bool = False) -> None:
        self.as_image = as_image
        self.compact = compact
        self._titles: list[tuple[float, float, float, float, str]] = []
        self._hatches = False
        self._bars: dict[tuple[str, float], list[tuple[float, int, int]]] = defaultdict(list)

    def bar(self, x: float, y: float, width: float, height: float, kind: str, title: str) -> Node:
        """Return a span of time as a bar, at least a pixel wide."""
        if self.compact:
            start = round(x)
            self._bars[kind, height].append((y, start, max(round(x + width), start + 1)))
            return None
        width = max(width, 1.0)
        if kind == "not_played" and not self.as_image:
            shape: Node = hatched(x, y, width, height)
        else:
            place = {"x": n(x), "y": n(y), "width": n(width), "height": n(height), "rx": "1.5"}
            shape = htpy.rect(place, fill=self._fill(kind))
        return self.titled(shape, (x, y, width, height), title)

    def _fill(self, kind: str) -> str:
        """Return the fill of a bar that is not drawn as ``hatched``."""
        if kind == "not_played":
            self._hatches = True
            return "url(#hatch)"
        return COLOURS[kind]

    def titled(self, shape: Node, box: tuple[float, float, float, float], title: str) -> Node:
        """Return a shape that shows a title when the pointer is in ``box``: x, y, width and height."""
        if self.as_image:
            self._titles.append((*box, title))
            return shape
        return htpy.g[htpy.title[title], shape]

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "", soft: bool = False, fill: str = ""
    ) -> Node:
        """Return a line of text."""
        faint = "rtnb-faint" if soft and not self.as_image else None
        place = {"x": n(x), "y": n(y), "text-anchor": anchor or None, "fill": fill or None}
        return htpy.text({**place, "class": faint})[text]

    def column(self, x: float, lines: Iterable[tuple[float, str]]) -> Element:
        """Return lines of text that end at x, each as (y, text). It takes less room than a text for each."""
        place = {"transform": f"translate({n(x)})", "text-anchor": "end"}
        return htpy.g(place)[(htpy.text(y=n(y))[text] for y, text in lines)]

    def finish(self, width: float, height: float, label: str, body: Node) -> Markup:
        """Return the picture as HTML; ``label`` says what it shows."""
        common = {"fill": "currentColor", "font_family": "system-ui,sans-serif", "font_size": "12"}
        if not self.as_image:
            return Markup(document(width, height, body, role="img", aria_label=label, **common))
        paths = list(self._paths())
        pattern = _pattern() if self._hatches else None
        svg = document(width, height, [pattern, paths, body], color=INK, **common)
        boxes = []
        for x, y, wide, tall, title in self._titles:
            shares = {"left": x / width, "top": y / height, "width": wide / width, "height": tall / height}
            style = ";".join(f"{name}:{share:.2%}" for name, share in shares.items())
            boxes.append(htpy.span(".rtnb-spot", style=style, title=title))
        return Markup(htpy.div(".rtnb-frame")[image(svg, label, style="max-width:100%"), boxes])

    def _paths(self) -> Iterator[Element]:
        """Yield a path for all bars of a kind and height, those that touch in one piece."""
        for (kind, height), bars in self._bars.items():
            pieces: list[tuple[float, int, int]] = []
            for y, start, end in sorted(bars):
                if pieces and pieces[-1][0] == y and start <= pieces[-1][2]:
                    pieces[-1] = (y, pieces[-1][1], max(end, pieces[-1][2]))
                else:
                    pieces.append((y, start, end))
            line, row, at = "", -1.0, 0
            for y, start, end in pieces:
                line += f"m{n(start - at)} 0" if y == row else f"M{n(start)} {n(y + height / 2)}"
                line += f"h{n(end - start)}"
                row, at = y, end
            yield htpy.path(d=line, stroke=self._fill(kind), stroke_width=n(height))


def hatched(x: float, y: float, width: float, height: float) -> list[Element]:
    """Return a hatched bar. Its lines are drawn: a shared pattern is lost where its picture is hidden."""
    lines = []
    offset = -height
    while offset < width:
        start, end = max(offset, 0.0), min(offset + height, width)
        bottom = y + height + offset
        lines.append(f"M{n(x + start)} {n(bottom - start)}L{n(x + end)} {n(bottom - end)}")
        offset += _HATCH
    grey = COLOURS["not_played"]
    return [
        htpy.rect(x=n(x), y=n(y), width=n(width), height=n(height), fill=grey, opacity=".14"),
        htpy.path(d="".join(lines), stroke=grey, stroke_width="1.2", fill="none"),
    ]


def _pattern() -> Element:
    grey, size = COLOURS["not_played"], str(_HATCH)
    hatch = htpy.path(d=f"M0 {size}L{size} 0M-1 1L1-1M4 6L6 4", stroke=grey, stroke_width="1.2")
    paper = htpy.rect(width=size, height=size, fill=grey, opacity=".14")
    units = {"patternUnits": "userSpaceOnUse"}
    return htpy.defs[htpy.pattern(units, id="hatch", width=size, height=size)[paper, hatch]]


def ticks(seconds: float, most: int = 9) -> float:
    """Return the step between ticks, in seconds, so that ``seconds`` have about ``most`` of them."""
    return next((step for step in _STEPS if seconds / step <= most), math.ceil(seconds / most / 3600) * 3600)


def rows_for(labels: Sequence[tuple[float, str]]) -> list[int]:
    """Return the row of each label, of (x, text) from left to right; row 0 is the nearest.

    A label begins at its own x. From right to left each takes the nearest row that is free, so that no
    leader to a farther row crosses a text.
    """
    rows: list[int] = [0] * len(labels)
    begins: list[float] = []  # of each row, where its leftmost text begins
    for place in range(len(labels) - 1, -1, -1):
        x, text = labels[place]
        end = x + len(text) * LETTER + _GAP
        row = next((row for row, begin in enumerate(begins) if end <= begin), len(begins))
        if row == len(begins):
            begins.append(x)
        begins[row] = x
        rows[place] = row
    return rows


def legend(kinds: Iterable[tuple[str, str]]) -> Element:
    """Return what each colour means, in words, as HTML: (kind, words) in order."""
    items = []
    for kind, words in kinds:
        if kind == "not_played":
            shape: Node = hatched(0, 0, 16, 9)
        else:
            shape = htpy.rect(width="16", height="9", rx="2", fill=COLOURS[kind])
        items.append(htpy.li[image(document(16, 9, shape), "", width="16", height="9"), f" {words}"])
    return htpy.ul(".rtnb-legend")[items]
