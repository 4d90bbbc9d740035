"""The voice of the local engine: hibari (Apache-2.0), English, 24 kHz, its weights in its own package."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError, MissingPackageError
from .base import Samples

__all__ = ["hibari"]

_GAIN = 2.0  # the model peaks near 0.24
_KNEE = 0.7  # level above which samples are compressed, not clipped
_FLOOR = 1e-3  # above the model's own silence, below its softest consonant
_LEAD, _CLAUSE_GAP, _SENTENCE_GAP = 0.02, 0.1, 0.25  # seconds of silence before and after speech
_SLOWEST, _FASTEST = 0.25, 2.0  # the Realtime API allows 0.25 to 1.5; the model is intelligible up to 2
# The most similar voice for each voice of the hosted models. A voice whose file is not on this machine is not
# downloaded; the default is used instead.
_HOSTED = {
    "alloy": "heart",
    "ash": "fenrir",
    "ballad": "fable",
    "cedar": "fenrir",
    "coral": "heart",
    "echo": "fenrir",
    "marin": "heart",
    "sage": "kore",
    "shimmer": "kore",
    "verse": "fable",
}


class _Hibari:
    rate = 24_000
    languages: tuple[str, ...] = ("en",)

    def __init__(self, default: str) -> None:
        try:
            from hibari import Hibari
            from hibari.voices import VOICES, voice_path
        except ImportError:
            raise MissingPackageError("hibari", "the voice of the local engine", "local") from None
        self._make = Hibari
        known: dict[str, Any] = VOICES
        installed = [name for name in known if _installed(voice_path, name)]
        default = default or "heart"
        if default not in installed:
            raise EngineError(
                f"the voice {default!r} is not installed; installed voices: {', '.join(installed)}."
                + (f" Download it with  hibari --voice {default} Hello" if default in known else "")
            )
        self.voices: tuple[str, ...] = (default, *(n for n in installed if n != default))
        self._models: dict[str, Any] = {}
        self.speak("Ready.", default, 1.0)  # the first run allocates memory and loads the lexicon

    def speak(self, text: str, voice: str, speed: float) -> Samples:
        """Return the audio of ``text``; ``speed`` is limited to 0.25 to 2.

        The model outputs about 300 ms of silence before the words and up to 500 ms after them. Most of it is
        removed, so that an answer starts early and clauses follow each other naturally.

        Raises:
            EngineError: ``speed`` is not a positive number.
        """
        if not (math.isfinite(speed) and speed > 0):
            raise EngineError(f"the speed of a voice must be a number above 0, got {speed!r}")
        if not any(c.isalnum() for c in text):
            return np.zeros(0, np.float32)
        name = voice if voice in self.voices else _HOSTED.get(voice, "")
        name = name if name in self.voices else self.voices[0]
        if name not in self._models:
            self._models[name] = self._make(voice=name)
        speed = min(max(speed, _SLOWEST), _FASTEST)
        samples = _amplified(np.asarray(self._models[name](text, speed=speed, seed=0), np.float32))
        gap = _SENTENCE_GAP if text.rstrip("\"'”’)] ").endswith((".", "!", "?", "…")) else _CLAUSE_GAP
        return _trimmed(samples, round(_LEAD * self.rate), round(gap / speed * self.rate))


def _installed(voice_path: Callable[..., str], name: str) -> bool:
    """Return whether the file of the voice ``name`` is on this machine; never downloads it."""
    try:
        return Path(voice_path(name, download_missing=False)).is_file()
    except OSError:
        return False


def _amplified(samples: Samples) -> Samples:
    samples = samples * np.float32(_GAIN)
    level = np.abs(samples)
    compressed = _KNEE + (1 - _KNEE) * np.tanh((level - _KNEE) / (1 - _KNEE))
    return np.where(level > _KNEE, np.sign(samples) * compressed, samples).astype(np.float32)


def _trimmed(samples: Samples, before: int, after: int) -> Samples:
    """Return ``samples`` with at most ``before`` and ``after`` samples of silence around the speech."""
    loud = np.flatnonzero(np.abs(samples) > _FLOOR)
    if not len(loud):
        return samples
    return samples[max(0, int(loud[0]) - before) : int(loud[-1]) + after]


def hibari(setting: str = "") -> _Hibari:
    """Return the synthesizer; ``setting`` is the name of the default voice.

    Raises:
        MissingPackageError: hibari-tts is not installed.
        EngineError: That voice is not installed.
    """
    return _Hibari(setting)
