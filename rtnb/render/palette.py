"""The colours of pictures: their ink, and the kinds of tokens in the order in which pictures stack them.

Hue distinguishes text from audio, tone input from output, and hatching marks what was cached. All are
mid-tones, at least 3:1 against white and against #111, since an image cannot know the notebook's theme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import htpy
from htpy import Element

from ..protocol.usage import Usage

__all__ = [
    "BAD",
    "DARK",
    "GREY",
    "INK",
    "LIGHT",
    "SHADES",
    "WARN",
    "Shade",
    "gauge_colour",
    "hatching",
    "used",
]

INK = "#747a83"
"""The letters of an image: as easy to read on white as on black, since it cannot know what is behind it."""

LIGHT, DARK = 0.9, 1.25
"""How bright ``picture.css`` makes an image in each theme: its letters have a contrast of 4.5:1 and more."""

GREY = "#858a93"
WARN = "#b9770e"
BAD = "#d8433c"

_ALMOST = 0.8
"""From here on a gauge warns."""


@dataclass(frozen=True, slots=True)
class Shade:
    """A kind of tokens: its name, side ("in" or "out"), colour, and count in a usage."""

    name: str
    side: str
    colour: str
    cached: bool
    count: Callable[[Usage], int]

    @property
    def fill(self) -> str:
        """The fill for SVG; what was cached needs ``hatching`` in the same document."""
        return f"url(#{self.colour[1:]})" if self.cached else self.colour


SHADES = (
    Shade("text cached", "in", "#cf8230", True, lambda u: min(u.cached_text, u.input_text)),
    Shade("audio cached", "in", "#4f98d3", True, lambda u: min(u.cached_audio, u.input_audio)),
    Shade("image cached", "in", "#5b9a4a", True, lambda u: min(u.cached_image, u.input_image)),
    Shade("text new", "in", "#cf8230", False, lambda u: max(u.input_text - u.cached_text, 0)),
    Shade("audio new", "in", "#4f98d3", False, lambda u: max(u.input_audio - u.cached_audio, 0)),
    Shade("image new", "in", "#5b9a4a", False, lambda u: max(u.input_image - u.cached_image, 0)),
    Shade("in, kind unknown", "in", GREY, False, lambda u: u.input_unsorted),
    Shade("text out", "out", "#a85a14", False, lambda u: u.output_text),
    Shade("audio out", "out", "#2673af", False, lambda u: u.output_audio),
    Shade("out, kind unknown", "out", GREY, False, lambda u: u.output_unsorted),
)


def used(usages: Iterable[Usage]) -> list[Shade]:
    """Return the kinds that any of these usages has."""
    every = list(usages)
    return [shade for shade in SHADES if any(shade.count(usage) for usage in every)]


def hatching(shades: Iterable[Shade]) -> Element | None:
    """Return the patterns that fill the cached ones of these, for the head of an SVG document."""
    patterns = [
        htpy.pattern(
            {"patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"},
            id=shade.colour[1:],
            width="4",
            height="4",
        )[
            htpy.path(fill=shade.colour, opacity=".25", d="M0 0h4v4H0z"),
            htpy.path(stroke=shade.colour, stroke_width="2.4", d="M0 0v4"),
        ]
        for shade in shades
        if shade.cached
    ]
    return htpy.defs[patterns] if patterns else None


def gauge_colour(share: float) -> str:
    """Return the colour of a gauge that is full to this share."""
    return "#4f98d3" if share < _ALMOST else WARN if share < 1 else BAD
