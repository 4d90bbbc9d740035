"""The audio player of everything static, and the view of a clip: right without a kernel.

A player is a picture of the waveform and an ``<audio>``. The script ``player.js`` makes one control of them:
the waveform is where one seeks. A saved notebook that is not trusted loses scripts, styles and inline
``<svg>`` but keeps ``<img>`` and ``<audio>`` whose data is in their own ``src``; so that is how both are
written. The audio is kept once, as Opus in Ogg at 24 kHz or less: about 180 kB a minute of speech.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from textwrap import shorten
from typing import Protocol
from urllib.parse import quote

import numpy as np
from htpy import Element, Node, VoidElement, a, audio, b, br, code, div, img, p, small, span
from markupsafe import Markup

from ..audio import Clip
from ..audio.files import encode
from ..audio.peaks import peaks
from ..audio.samples import Samples, as_number, resample
from ..audio.tags import PROVENANCE
from ..errors import AudioError
from ..formatting import duration, moment, peak_level
from ..redaction import clean_text
from .html import data_uri, joined, markup, scripts, stylesheet

__all__ = [
    "ANSWER",
    "MAX_INLINE_SECONDS",
    "SPEECH",
    "AudioSlots",
    "Players",
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
_PITCH, _BAR = 4, 2.4
# Mid-tones: at least 3:1 against white and against #111, since an image cannot know the notebook's theme.
SPEECH, ANSWER = "#3d78d0", "#1f9478"
"""The waveforms of what the user said and of what was answered, where both stand side by side."""
_NOT_PLAYED = "#858a93"


def waveform_svg(
    samples: Samples,
    rate: int,
    *,
    width: int = 480,
    height: int = 40,
    played_seconds: float | None = None,
    colour: str = SPEECH,
) -> str:
    """Draw audio as an SVG document of ``width`` × ``height`` pixels.

    One bar for every 4 pixels, from the smallest to the largest sample in it; full scale is the full
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
    if width < 4 or height < 4:
        raise AudioError(f"a waveform needs at least 4 × 4 pixels; got {width} × {height}")
    if played_seconds is not None:
        played_seconds = as_number(played_seconds, "played_seconds", 0)
    seconds = len(samples) / rate
    edge = float(width)
    if played_seconds is not None and played_seconds < seconds:
        edge = round(width * played_seconds / seconds, 1)
    middle, tall = height / 2, height / 2 - _BAR / 2
    played: list[str] = []
    rest: list[str] = []
    for number, (low, high) in enumerate(np.clip(peaks(samples, width // _PITCH), -1.0, 1.0).tolist()):
        x = _PITCH * number
        bar = f"M{x + _PITCH // 2} {_n(middle - tall * high)}v{_n(max(tall * (high - low), 0.1))}"
        (played if x < edge else rest).append(bar)
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
    parts.append(f'<g stroke-width="{_BAR}" stroke-linecap="round">')
    parts += (
        f'<path stroke="{stroke}" d="{"".join(bars)}"/>'
        for stroke, bars in ((colour, played), (_NOT_PLAYED, rest))
        if bars or bars is played
    )
    return "".join([*parts, "</g></svg>"])


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def waveform_html(
    samples: Samples,
    rate: int,
    *,
    width: int = 480,
    height: int = 40,
    played_seconds: float | None = None,
    colour: str = SPEECH,
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


def player_html(
    clip: Clip,
    label: str,
    *,
    who: str = "user",
    small: bool = False,
    played: float | None = None,
    source: str | None = None,
    instead: Node = None,
) -> Element:
    """Return the player of a clip that has audio: an ``<img>`` and an ``<audio>``, which ``player.js`` joins.

    ``label`` names the clip for a screen reader, ``who`` ("user" or "assistant") decides its colour, and
    ``small`` is for tables. What comes after ``played`` seconds was not played. ``source`` is the URI of the
    audio, by default the audio itself; ``instead`` is shown in place of it.
    """
    if instead is None:
        instead = audio(
            controls=True,
            preload="metadata",
            src=source or data_uri(opus(clip.samples, clip.rate), "audio/ogg"),
            aria_label=f"Play {label}, {duration(clip.seconds)}",
            style="display:block;width:100%;height:34px;margin-top:4px",
        )
    cut = None if played is None or played >= clip.seconds else f"{played:.2f}"
    kind = "assistant" if who == "assistant" else "you"
    return div(
        class_=["rtnb-player", f"rtnb-of-{kind}", {"rtnb-small": small}],
        data_seconds=f"{clip.seconds:.2f}",
        data_played=cut,
    )[
        waveform_html(
            clip.samples,
            clip.rate,
            width=160 if small else 480,
            height=28 if small else 40,
            played_seconds=played,
            colour=ANSWER if kind == "assistant" else SPEECH,
        ),
        instead,
    ]


class AudioSlots(Protocol):
    """What becomes of the audio of several players in one output."""

    def player(
        self, clip: Clip | None, label: str, who: str, code: str = "", played: float | None = None
    ) -> Node:
        """Return a clip's player, or why it has none; None without audio.

        ``label``, ``who`` and ``played`` are as in `player_html`; ``code`` is Python that writes the clip.
        """
        ...


class Players:
    """Players for a notebook, which keeps ``left`` seconds of audio in all."""

    def __init__(self, left: float = math.inf, *, small: bool = False) -> None:
        self._left, self._limit, self._small = left, left, small

    def player(
        self, clip: Clip | None, label: str, who: str, code: str = "", played: float | None = None
    ) -> Node:
        """Return a clip's player, or a sentence if there is no room for its audio; None without audio."""
        if clip is None or not len(clip.samples):
            return None
        if clip.seconds > self._left:  # its picture is left out too: hundreds of them make megabytes
            limit = duration(self._limit)
            return _omitted(
                f"is not kept: of all these turns together, the notebook keeps {limit}", clip, code
            )
        instead = None
        if clip.seconds > MAX_INLINE_SECONDS:
            limit = duration(MAX_INLINE_SECONDS)
            instead = _omitted(f"is too long to be kept in the notebook (the limit is {limit})", clip, code)
        else:
            self._left -= clip.seconds
        return player_html(clip, label, who=who, small=self._small, played=played, instead=instead)


def _omitted(why: str, clip: Clip, write: str) -> Element:
    long = f"{duration(clip.seconds)} of audio {why}."
    return p(".rtnb-none")[long, write and [" Write it to a file: ", code[write]]]


def opus(samples: Samples, rate: int) -> bytes:
    """Return audio as pages keep it: Opus in Ogg, at 24 kHz or less."""
    kept = resample(samples, rate, _RATE) if rate > _RATE else samples
    return encode(kept, min(rate, _RATE), "opus")


def clip_html(clip: Clip) -> Markup:
    """Return a clip as static HTML: its player, and a line with its length, rate and level."""
    note = clip.info.get("note")
    facts = (
        f"{duration(clip.seconds)} · {clip.rate / 1000:g} kHz · {peak_level(clip.peak_db)}",
        _origin(clip),
        f"Note: {note}" if note else "",
    )
    too_long = (
        "write it to a file with ",
        code['clip.write("audio.ogg")'],
        ", listen to it in ",
        code["rtnb.Waveform(clip)"],
        ", or show a piece, such as ",
        code["clip[0:60]"],
    )
    foot = [[number > 0 and br, clean_text(fact)] for number, fact in enumerate(filter(None, facts))]
    return _card(f"Clip, {duration(clip.seconds)}", _sole_player(clip, "the clip", too_long), foot)


def _sole_player(clip: Clip, label: str, too_long: Node) -> Node:
    """Return the player of a clip that is shown alone; ``too_long`` is what to do if it cannot be kept."""
    if not len(clip.samples):
        return p(".rtnb-none")["No audio."]
    instead = None
    if clip.seconds > MAX_INLINE_SECONDS:
        limit = duration(MAX_INLINE_SECONDS)
        why = f"{duration(clip.seconds)} is too long to be kept in the notebook (the limit is {limit}): "
        instead = p(".rtnb-none")[why, too_long, "."]
    return player_html(clip, label, who=str(clip.info.get("source", "")), instead=instead)


def _card(label: str, content: Node, foot: Node) -> Markup:
    card = div(".rtnb-tokens.rtnb-turn", role="group", aria_label=label)[
        div(".rtnb-side")[content], p(".rtnb-foot", dir="auto")[small[foot]]
    ]
    return markup([stylesheet("turn_card.css", "player.css"), card, scripts("player.js")])


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
    """Return a stored clip as static HTML: its name, player, text and facts."""
    content = [
        p[b[stored.name]],
        _sole_player(stored.clip, stored.name, [a(href=quote(stored.link))[stored.link], " has the audio"]),
        stored.text and p(".rtnb-text", dir="auto")[clean_text(stored.text)],
        stored.note and p(".rtnb-none")[stored.note],
    ]
    return _card(f"Clip {stored.name}", content, joined([span[clean_text(fact)] for fact in stored.facts]))
