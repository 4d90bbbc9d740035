"""The voice of the embedded engine, in this process: text to a clip, without a session."""

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
_MAX_SENTENCE = 240
"""Characters of a sentence that is spoken as a whole; longer ones are spoken clause by clause."""
_PAUSE = 0.15
"""Seconds between sentences, in addition to the silence at their own ends."""

_lock = threading.Lock()


def speak(text: str, *, voice: str = "", speed: float = 1.0) -> Clip:
    """Return ``text`` as spoken by the engine that ``RTNB_ENGINE`` names, "local" if none.

    ``voice`` is one of the engine's voices, or one of a hosted model's, for which the engine substitutes its
    own; "" is the default. ``speed`` is a factor above 0. Blocks: about a second to load the voice once, then
    a fraction of the audio's length.

    Raises ArgumentError if the text has no words or the voice is unknown; EngineError, WeightsError or
    MissingPackageError if the voice cannot be loaded.
    """
    parts = [part for sentence in _SENTENCE.split(text) for part in _clauses(sentence) if _has_words(part)]
    if not parts:
        raise ArgumentError("the text contains no words to speak")
    name, options = registry.parse_spec()
    with _lock:  # a voice speaks one text at a time
        tts = _tts(name, options.get("tts", ""))
        allowed = dict.fromkeys((*tts.voices, *VOICES))
        if voice and voice not in allowed:
            raise ArgumentError(f"unknown voice {voice!r}: expected one of {', '.join(allowed)}")
        clips = [Clip(tts.speak(part.strip(), voice, speed), tts.rate) for part in parts]
        default = tts.voices[0]
    return Clip.join(clips, gap=_PAUSE).with_info(source="voice", text=text, voice=voice or default)


def _clauses(sentence: str) -> list[str]:
    if len(sentence) <= _MAX_SENTENCE:
        return [sentence]
    clauses = ClauseSplitter()
    parts = [clause for clause, _ in clauses.feed(sentence, 0)]
    rest = clauses.rest()
    return parts if rest is None else [*parts, rest[0]]


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


@cache
def _tts(name: str, part: str) -> Any:
    """Return the voice of an engine, for the local one without loading its language model."""
    if name == "local":
        return registry.part("tts", part or "hibari")
    return registry.engine(name).tts
