"""Sentences that came with rtnb, spoken: something to send where there is no microphone."""

from __future__ import annotations

from importlib import resources

from ..errors import ArgumentError
from . import Clip

__all__ = ["names", "read"]

# Spoken by hibari-tts 0.2.1 (Apache-2.0), voice heart.
_SAMPLES = {
    "Can you tell me something about the ocean?": "question.ogg",
    "Please roll dice with twenty sides.": "dice.ogg",
    "Tell me a long story about a lighthouse.": "story.ogg",
}


def names() -> tuple[str, ...]:
    """Return the sentences, by which `read` knows them."""
    return tuple(_SAMPLES)


def read(name: str) -> Clip:
    """Return a sample at 24 kHz. Raises ArgumentError for a name that is none."""
    if name not in _SAMPLES:
        raise ArgumentError(f"there is no sample {name!r}; there are: {', '.join(_SAMPLES)}")
    data = resources.files("rtnb.audio").joinpath("spoken", _SAMPLES[name]).read_bytes()
    return Clip.read(data, rate=24_000, info={"source": "sample", "text": name})
