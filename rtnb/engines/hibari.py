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
_KNEE = 0.7  # above it the sound is bent, not cut
_FLOOR = 1e-3  # the model's own silence lies far below, the softest consonant above
_LEAD, _PAUSE, _REST = 0.02, 0.1, 0.25  # seconds of silence before speech, and after it within and at the end
_SLOWEST, _FASTEST = 0.25, 2.0  # the Realtime API allows 0.25 to 1.5; the model stays clear up to 2
# Voices of the hosted models, by the kind of voice that comes nearest. A voice whose file is not on this
# machine is never fetched from here: then the default speaks.
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
        here = [name for name in known if _lies(voice_path, name)]
        default = default or "heart"
        if default not in here:
            raise EngineError(
                f"the voice {default!r} is not on this machine; there are: {', '.join(here)}."
                + (f" Fetch it once with  hibari --voice {default} Hello" if default in known else "")
            )
        self.voices: tuple[str, ...] = (default, *(n for n in here if n != default))
        self._models: dict[str, Any] = {}
        self.speak("Ready.", default, 1.0)  # the first run pays for memory plans and the lexicon

    def speak(self, text: str, voice: str, speed: float) -> Samples:
        """Return the sound of ``text``; ``speed`` is held within 0.25 and 2.

        The model puts some 300 ms of silence before its words and up to 500 ms behind; most of it is cut off,
        so that an answer is heard early and clauses follow each other as in one breath.

        Raises:
            EngineError: ``speed`` is not a positive number.
        """
        if not (math.isfinite(speed) and speed > 0):
            raise EngineError(f"the speed of a voice is a number above 0, not {speed!r}")
        if not any(c.isalnum() for c in text):
            return np.zeros(0, np.float32)
        name = voice if voice in self.voices else _HOSTED.get(voice, "")
        name = name if name in self.voices else self.voices[0]
        if name not in self._models:
            self._models[name] = self._make(voice=name)
        speed = min(max(speed, _SLOWEST), _FASTEST)
        sound = _louder(np.asarray(self._models[name](text, speed=speed, seed=0), np.float32))
        rest = _REST if text.rstrip("\"'”’)] ").endswith((".", "!", "?", "…")) else _PAUSE
        return _trimmed(sound, round(_LEAD * self.rate), round(rest / speed * self.rate))


def _lies(voice_path: Callable[..., str], name: str) -> bool:
    """Tell whether the voice ``name`` is on this machine, without fetching it."""
    try:
        return Path(voice_path(name, download_missing=False)).is_file()
    except OSError:
        return False


def _louder(sound: Samples) -> Samples:
    sound = sound * np.float32(_GAIN)
    size = np.abs(sound)
    bent = _KNEE + (1 - _KNEE) * np.tanh((size - _KNEE) / (1 - _KNEE))
    return np.where(size > _KNEE, np.sign(sound) * bent, sound).astype(np.float32)


def _trimmed(sound: Samples, lead: int, rest: int) -> Samples:
    """Return ``sound`` with at most so many samples of silence before and after it."""
    loud = np.flatnonzero(np.abs(sound) > _FLOOR)
    if not len(loud):
        return sound
    return sound[max(0, int(loud[0]) - lead) : int(loud[-1]) + rest]


def hibari(setting: str = "") -> _Hibari:
    """Return the voice; ``setting`` is the name of the voice that speaks by default.

    Raises:
        MissingPackageError: hibari-tts is not installed.
        EngineError: There is no such voice on this machine.
    """
    return _Hibari(setting)
