"""Spoken sentences that are part of rtnb, to send where there is no microphone."""

from __future__ import annotations

from importlib import resources

from ..errors import ArgumentError
from .clip import Clip

__all__ = ["names", "read"]

# Spoken by hibari-tts 0.2.1 (Apache-2.0), voice heart.
_SAMPLES = {
    "Can you tell me something about the ocean?": "question.ogg",
    "Please roll dice with twenty sides.": "dice.ogg",
    "Tell me a long story about a lighthouse.": "story.ogg",
}


def names() -> tuple[str, ...]:
    """Return the sentences; each is the name of a sample for `read`."""
    return tuple(_SAMPLES)


def read(name: str) -> Clip:
    """Return a sample at 24 kHz. Raises ArgumentError for another name."""
    if name not in _SAMPLES:
        raise ArgumentError(f"there is no sample {name!r:.80}; expected one of: {', '.join(_SAMPLES)}")
    data = resources.files("rtnb.audio").joinpath("spoken", _SAMPLES[name]).read_bytes()
    return Clip.read(data, rate=24_000, info={"source": "sample", "text": name})
