"""The static view of a clip: its waveform as an image and a player, right without a kernel.

A saved notebook that is not trusted loses inline ``<svg>`` but keeps ``<img>`` and ``<audio>`` whose data is
in their own ``src``; so that is how both are written. The audio is kept once, as Opus in Ogg at 24 kHz or
less: about 180 kB a minute of speech.
"""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import shorten
from typing import Protocol
from urllib.parse import quote

import numpy as np
from htpy import Element, VoidElement, a, audio, b, code, div, img, p, small, span
from markupsafe import Markup

from ..audio import Clip
from ..audio.files import encode
from ..audio.peaks import peaks
from ..audio.samples import Samples, as_number, resample
from ..audio.tags import PROVENANCE
from ..errors import AudioError
from ..formatting import duration, moment, peak_level
from ..redaction import clean_text
from .html import data_uri, joined, markup, stylesheet

__all__ = [
    "ANSWER",
    "MAX_INLINE_SECONDS",
    "SPEECH",
    "StoredClip",
    "clip_html",
    "opus",
    "player_html",
    "stored_clip_html",
    "waveform_html",
    "waveform_svg",
]

MAX_INLINE_SECONDS = 300.0
"""Longer audio (about 0.9 MB of Opus) is not put into a notebook, only its waveform."""

_RATE = 24_000
# Mid-tones: at least 3:1 against white and against #111, since an image cannot know the notebook's theme.
_PLAYED = "#2a7ab8"
SPEECH, ANSWER = "#3d78d0", "#1f9478"
"""The waveforms of what the user said and of what was answered, where both stand side by side."""
_NOT_PLAYED = "#858a93"


def waveform_svg(
    samples: Samples,
    rate: int,
    *,
    width: int = 480,
    height: int = 64,
    played_seconds: float | None = None,
    colour: str = _PLAYED,
) -> str:
    """Draw audio as an SVG document of ``width`` × ``height`` pixels.

    One column for every 2 pixels, from the smallest to the largest sample in it; full scale is the full
    height. What comes after ``played_seconds`` is drawn grey and hatched: it was generated but not played.
    None means that all was played, or that it is not known.

    Parameters
    ----------
    samples
        float32 of shape ``(n,)``, n ≥ 0, full scale 1.0.
    rate
        Samples per second.

    Raises
    ------
    AudioError
        No room to draw in, or a negative ``played_seconds``.
    """
    if width < 2 or height < 2:
        raise AudioError(f"a waveform needs at least 2 × 2 pixels; got {width} × {height}")
    if played_seconds is not None:
        played_seconds = as_number(played_seconds, "played_seconds", 0)
    seconds = len(samples) / rate
    edge = float(width)
    if played_seconds is not None and played_seconds < seconds:
        edge = round(width * played_seconds / seconds, 1)
    columns = width // 2
    middle = height / 2
    played: list[str] = []
    rest: list[str] = []
    for number, (low, high) in enumerate(np.clip(peaks(samples, columns), -1.0, 1.0).tolist()):
        top, bottom = middle * (1 - high), middle * (1 - low)
        tall = max(bottom - top, 1.0)
        top = min(top, height - tall)
        (played if 2 * number < edge else rest).append(f"M{2 * number} {_n(top)}h1.4v{_n(tall)}h-1.4z")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
    ]
    if edge < width:
        parts.append(
            '<defs><pattern id="p" width="6" height="6" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><path stroke="{_NOT_PLAYED}" d="M0 0v6" opacity=".6"/></pattern>'
            f'</defs><rect x="{_n(edge)}" width="{_n(width - edge)}" height="{height}" fill="url(#p)"/>'
        )
    parts.append(f'<path fill="{colour}" d="{"".join(played)}"/>')
    if rest:
        parts.append(f'<path fill="{_NOT_PLAYED}" d="{"".join(rest)}"/>')
    if edge < width:
        parts.append(f'<rect fill="{_NOT_PLAYED}" x="{_n(max(0.0, edge - 1))}" width="1" height="{height}"/>')
    parts.append("</svg>")
    return "".join(parts)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def waveform_html(
    samples: Samples,
    rate: int,
    *,
    width: int = 480,
    height: int = 64,
    played_seconds: float | None = None,
    colour: str = _PLAYED,
) -> VoidElement:
    """Return `waveform_svg` as an ``<img>`` with a text that describes it."""
    svg = waveform_svg(
        samples, rate, width=width, height=height, played_seconds=played_seconds, colour=colour
    )
    seconds = len(samples) / rate
    alt = f"Waveform of {duration(seconds)} of audio"
    if played_seconds is not None and played_seconds < seconds:
        alt += f", of which the first {duration(played_seconds)} was played"
    return img(
        src=data_uri(svg.encode(), "image/svg+xml"),
        alt=alt,
        width=width,
        height=height,
        style=f"display:block;width:100%;max-width:100%;height:{height}px",
    )


def player_html(samples: Samples, rate: int, *, label: str = "Play", file: str | None = None) -> Element:
    """Return an ``<audio>`` that holds the audio, or a sentence if it is too long to be kept in a page.

    ``file`` is the audio file's path as seen from the notebook: then the sentence links to it.
    """
    seconds = len(samples) / rate
    if not len(samples):
        return p["No audio."]
    if seconds > MAX_INLINE_SECONDS:
        why = (
            f"{duration(seconds)} is too long to be kept in the notebook "
            f"(the limit is {duration(MAX_INLINE_SECONDS)})"
        )
        if file is not None:
            return p[a(href=quote(file))[file], " has the audio: ", why, "."]
        return p[
            f"{why}: write it to a file with ",
            code['clip.write("audio.ogg")'],
            ", listen to it in ",
            code["rtnb.Waveform(clip)"],
            ", or show a piece, such as ",
            code["clip[0:60]"],
            ".",
        ]
    return audio(
        controls=True,
        preload="metadata",
        src=data_uri(opus(samples, rate), "audio/ogg"),
        aria_label=label,
        style="display:block;width:100%;height:34px;margin-top:4px",
    )


def opus(samples: Samples, rate: int) -> bytes:
    """Return audio as pages keep it: Opus in Ogg, at 24 kHz or less."""
    kept = resample(samples, rate, _RATE) if rate > _RATE else samples
    return encode(kept, min(rate, _RATE), "opus")


def clip_html(clip: Clip) -> Markup:
    """Return a clip as static HTML: waveform, player, and a line with its length, rate and level."""
    facts = f"{duration(clip.seconds)} · {clip.rate / 1000:g} kHz · {peak_level(clip.peak_db)}"
    origin = _origin(clip)
    card = div(".rtnb-tokens.rtnb-clip", role="group", aria_label=f"Clip, {duration(clip.seconds)}")[
        waveform_html(clip.samples, clip.rate),
        player_html(clip.samples, clip.rate, label=f"Play {duration(clip.seconds)}"),
        p[facts],
        origin and p(dir="auto")[clean_text(origin)],
        (note := clip.info.get("note")) and p[f"Note: {clean_text(str(note))}"],
    ]
    return markup([stylesheet("clip.css"), card])


def _origin(clip: Clip) -> str:
    """Return who is in a clip of a turn, when, and in answer to what; "" for other clips."""
    known = {name: str(clip.info[name]) for name in PROVENANCE if clip.info.get(name)}
    if known.get("source") not in ("assistant", "user"):
        return ""
    prompt = shorten(known.get("prompt", ""), 120, placeholder=" …")
    parts = (
        "you" if known["source"] == "user" else known.get("model", ""),
        f"embedded engine “{known['engine']}”" if "engine" in known else "",
        f"voice {known['voice']}" if "voice" in known else "",
        moment(known["recorded"]) if "recorded" in known else "",
        f"in answer to “{prompt}”" if prompt else "",
    )
    return " · ".join(filter(None, parts))


class StoredClip(Protocol):
    """A clip that is stored as a file beside the notebook."""

    @property
    def name(self) -> str:
        """Its name in the notebook."""
        ...

    @property
    def clip(self) -> Clip:
        """The audio."""
        ...

    @property
    def text(self) -> str:
        """What is said in it, as far as it is known."""
        ...

    @property
    def link(self) -> str:
        """The file's path as seen from the notebook."""
        ...

    @property
    def note(self) -> str:
        """A sentence on what is wrong with it; "" if nothing is."""
        ...

    @property
    def facts(self) -> Iterable[str]:
        """Length, rate, level and origin, in a few words each."""
        ...


def stored_clip_html(stored: StoredClip) -> Markup:
    """Return a stored clip as static HTML: its name, waveform, player, text and facts."""
    clip = stored.clip
    label = f"Play {stored.name}, {duration(clip.seconds)}"
    card = div(".rtnb-tokens.rtnb-turn", role="group", aria_label=f"Clip {stored.name}")[
        div(".rtnb-sides")[
            div(".rtnb-side.rtnb-user")[
                p(".rtnb-who")[b[stored.name]],
                div(".rtnb-audio")[
                    waveform_html(clip.samples, clip.rate, height=48),
                    player_html(clip.samples, clip.rate, label=label, file=stored.link),
                ],
                stored.text and p(".rtnb-text", dir="auto")[clean_text(stored.text)],
                stored.note and p(".rtnb-none")[stored.note],
            ]
        ],
        p(".rtnb-foot")[small[joined([span[clean_text(fact)] for fact in stored.facts])]],
    ]
    return markup([stylesheet("turn_card.css"), card])
