"""The static view of a clip: its waveform as an image and a player, right without a kernel.

A saved notebook that is not trusted loses inline ``<svg>`` but keeps ``<img>`` and ``<audio>`` whose data is
in their own ``src``; so that is how both are written. The sound is kept once, as Opus in Ogg at 24 kHz or
less: about 180 kB a minute of speech.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from rtnb.audio.files import encode
from rtnb.audio.peaks import peaks
from rtnb.audio.samples import Samples, as_number, resample
from rtnb.errors import AudioError
from rtnb.formatting import duration, peak_level
from rtnb.render.html import data_uri

if TYPE_CHECKING:
    from rtnb.audio.clip import Clip

__all__ = [
    "MAX_INLINE_SECONDS",
    "clip_html",
    "opus",
    "player_html",
    "waveform_html",
    "waveform_svg",
]

MAX_INLINE_SECONDS = 300.0
"""Longer sound (about 0.9 MB of Opus) is not put into a notebook, only its waveform."""

_RATE = 24_000
# Styles of their own elements: no class of a sheet reaches a clip that is shown alone.
_FRAME = (
    "box-sizing:border-box;max-width:840px;margin:2px 0 6px;padding:10px 14px;border-radius:6px;"
    "border:1px solid var(--jp-border-color2,rgba(128,128,128,.4))"
)
_SOFT = "margin-top:4px;font-size:.84em;color:var(--jp-ui-font-color2,#767676)"
# Mid-tones: at least 3:1 against white and against #111, since an image cannot know the notebook's theme.
_SOUND = "#2a7ab8"
_GREY = "#858a93"


def waveform_svg(
    samples: Samples, rate: int, *, width: int = 480, height: int = 64, heard_seconds: float | None = None
) -> str:
    """Draw sound as an SVG document of ``width`` × ``height`` pixels.

    One column for every 2 pixels, from the smallest to the largest sample in it; full scale is the full
    height. What lies after ``heard_seconds`` is drawn grey and hatched: it was made and not heard. None
    means that all was heard, or that it is not known.

    Parameters
    ----------
    samples
        float32 of shape ``(n,)``, n ≥ 0, full scale 1.0.
    rate
        Samples per second.

    Raises
    ------
    AudioError
        No room to draw in, or a negative ``heard_seconds``.
    """
    if width < 2 or height < 2:
        raise AudioError(f"a waveform needs at least 2 × 2 pixels; got {width} × {height}")
    if heard_seconds is not None:
        heard_seconds = as_number(heard_seconds, "heard_seconds", 0)
    seconds = len(samples) / rate
    edge = float(width)
    if heard_seconds is not None and heard_seconds < seconds:
        edge = round(width * heard_seconds / seconds, 1)
    columns = width // 2
    middle = height / 2
    heard: list[str] = []
    unheard: list[str] = []
    for number, (low, high) in enumerate(np.clip(peaks(samples, columns), -1.0, 1.0).tolist()):
        top, bottom = middle * (1 - high), middle * (1 - low)
        tall = max(bottom - top, 1.0)
        top = min(top, height - tall)
        (heard if 2 * number < edge else unheard).append(f"M{2 * number} {_n(top)}h1.4v{_n(tall)}h-1.4z")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
    ]
    if edge < width:
        parts.append(
            '<defs><pattern id="p" width="6" height="6" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><path stroke="{_GREY}" d="M0 0v6" opacity=".6"/></pattern></defs>'
            f'<rect x="{_n(edge)}" width="{_n(width - edge)}" height="{height}" fill="url(#p)"/>'
        )
    parts.append(f'<path fill="{_SOUND}" d="{"".join(heard)}"/>')
    if unheard:
        parts.append(f'<path fill="{_GREY}" d="{"".join(unheard)}"/>')
    if edge < width:
        parts.append(f'<rect fill="{_GREY}" x="{_n(max(0.0, edge - 1))}" width="1" height="{height}"/>')
    parts.append("</svg>")
    return "".join(parts)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def waveform_html(
    samples: Samples, rate: int, *, width: int = 480, height: int = 64, heard_seconds: float | None = None
) -> str:
    """Return `waveform_svg` as an ``<img>`` that has its words too."""
    svg = waveform_svg(samples, rate, width=width, height=height, heard_seconds=heard_seconds)
    seconds = len(samples) / rate
    words = f"Waveform of {duration(seconds)} of sound"
    if heard_seconds is not None and heard_seconds < seconds:
        words += f", of which the first {duration(heard_seconds)} was heard"
    source = data_uri(svg.encode(), "image/svg+xml")
    return (
        f'<img src="{source}" alt="{html.escape(words)}" width="{width}" height="{height}" '
        f'style="display:block;width:100%;max-width:100%;height:{height}px">'
    )


def player_html(samples: Samples, rate: int, *, label: str = "Play", file: str | None = None) -> str:
    """Return an ``<audio>`` that holds the sound, or a sentence where it is too long to be kept in a page.

    ``file`` is where the sound lies, seen from the notebook: then the sentence is a link to it.
    """
    seconds = len(samples) / rate
    if not len(samples):
        return "<div>No sound.</div>"
    if seconds > MAX_INLINE_SECONDS and file is not None:
        return (
            f'<div><a href="{html.escape(quote(file))}">{html.escape(file)}</a> has the sound: '
            f"{duration(seconds)} is too long to be kept in the notebook "
            f"(the limit is {duration(MAX_INLINE_SECONDS)}).</div>"
        )
    if seconds > MAX_INLINE_SECONDS:
        return (
            f"<div>{duration(seconds)} is too long to be kept in the notebook "
            f"(the limit is {duration(MAX_INLINE_SECONDS)}): write it to a file with "
            "<code>clip.write(&quot;sound.ogg&quot;)</code>, listen to it in "
            "<code>rtnb.Waveform(clip)</code>, or show a piece, such as <code>clip[0:60]</code>.</div>"
        )
    source = data_uri(opus(samples, rate), "audio/ogg")
    return (
        f'<audio controls preload="metadata" src="{source}" aria-label="{html.escape(label)}" '
        f'style="display:block;width:100%;height:34px;margin-top:4px"></audio>'
    )


def opus(samples: Samples, rate: int) -> bytes:
    """Return sound as pages keep it: Opus in Ogg, at 24 kHz or less."""
    sound = resample(samples, rate, _RATE) if rate > _RATE else samples
    return encode(sound, min(rate, _RATE), "opus")


def clip_html(clip: Clip, *, heard_seconds: float | None = None) -> str:
    """Return a clip as static HTML: waveform, player, and a line on what it is."""
    picture = waveform_html(clip.samples, clip.rate, heard_seconds=heard_seconds)
    player = player_html(clip.samples, clip.rate, label=f"Play {duration(clip.seconds)}")
    words = f"{duration(clip.seconds)} · {clip.rate / 1000:g} kHz · {peak_level(clip.peak_db)}"
    return f'<div style="{_FRAME}">{picture}{player}<div style="{_SOFT}">{words}</div></div>'
