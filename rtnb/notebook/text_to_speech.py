"""The voice of the embedded engine in this process: a text becomes a clip, without a session."""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any

from ..audio import Clip
from ..engines import registry
from ..errors import ArgumentError
from ..server.clauses import ClauseSplitter
from ..server.schema import VOICES

__all__ = ["speak"]

_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
_LONGEST = 240
"""Letters of a sentence that a voice takes at once; longer ones are spoken clause by clause."""
_PAUSE = 0.15
"""Seconds between sentences, beside the quiet that each has at its own ends."""

_one_at_a_time = threading.Lock()


def speak(text: str, *, voice: str = "", speed: float = 1.0) -> Clip:
    """Return ``text`` as spoken by the engine that ``RTNB_ENGINE`` names, "local" if none.

    ``voice`` is one of the engine's or of a hosted model's, for which the engine has one of its own; "" means
    the default. ``speed`` is a factor above 0. Blocks: about a second to load the voice once, then a fraction
    of the sound's length.

    Raises ArgumentError where there is nothing to say or the voice is unknown, EngineError, WeightsError or
    MissingPackageError where there is no voice.
    """
    parts = [part for sentence in _SENTENCE.split(text) for part in _clauses(sentence) if _spoken(part)]
    if not parts:
        raise ArgumentError("there is no word to speak in the text")
    name, options = registry.parse_spec()
    with _one_at_a_time:
        tts = _tts(name, options.get("tts", ""))
        allowed = dict.fromkeys((*tts.voices, *VOICES))
        if voice and voice not in allowed:
            raise ArgumentError(f"there is no voice {voice!r}; there are: {', '.join(allowed)}")
        sounds = [Clip(tts.speak(part.strip(), voice, speed), tts.rate) for part in parts]
        default = tts.voices[0]
    return Clip.join(sounds, gap=_PAUSE).with_info(source="voice", text=text, voice=voice or default)


def _clauses(sentence: str) -> list[str]:
    if len(sentence) <= _LONGEST:
        return [sentence]
    clauses = ClauseSplitter()
    parts = [clause for clause, _ in clauses.feed(sentence, 0)]
    rest = clauses.rest()
    return parts if rest is None else [*parts, rest[0]]


def _spoken(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


@cache
def _tts(name: str, part: str) -> Any:
    """Return only the voice of an engine; the local one need not load its language model for it."""
    if name == "local":
        return registry.part("tts", part or "hibari")
    return registry.engine(name).tts
