"""The local engine: recognizer, language model and voice on this machine's CPU, without a network."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from ..errors import EngineError
from .base import ASR, VAD, Engine, Samples
from .registry import part

__all__ = ["local"]

_PARTS = {"vad": "silero", "asr": "moonshine", "llm": "llama", "tts": "hibari"}
_SPEECH = 0.3  # highest probability of speech below which a recognizer may invent words
_ABOUT = {
    "vad": "Silero VAD (MIT)",
    "asr": "Moonshine tiny (MIT), English",
    "tts": "hibari (Apache-2.0), English",
}


class _GatedRecognizer:
    """A recognizer that is only called if a voice detector finds speech."""

    def __init__(self, asr: ASR, vad: VAD) -> None:
        self._asr, self._vad = asr, vad
        self.rate, self.languages = asr.rate, asr.languages

    def transcribe(self, samples: Samples) -> str:
        probability, size = self._vad.stream(), self._vad.window
        starts = range(0, len(samples) - size + 1, size)
        if any(probability(samples[i : i + size]) >= _SPEECH for i in starts):
            return self._asr.transcribe(samples)
        return ""


def local(options: Mapping[str, str]) -> Engine:
    """Return the local engine; ``options`` choose other parts, by the keys "vad", "asr", "llm" and "tts".

    Loads and warms up every model, which takes about two seconds.

    Raises:
        EngineError: An option or a part is unknown, or a part cannot be loaded.
        WeightsError: The weights are not installed.
        MissingPackageError: A package of the extra ``local`` is not installed.
    """
    for key in options:
        if key not in _PARTS:
            near = difflib.get_close_matches(key, _PARTS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise EngineError(f"the local engine has no option {key!r}{hint} Options: {', '.join(_PARTS)}")
    names = {**_PARTS, **options}
    vad, asr = part("vad", names["vad"]), part("asr", names["asr"])
    if vad.rate == asr.rate:
        # It needs a detector of its own: each part is called from one thread at a time.
        asr = _GatedRecognizer(asr, part("vad", names["vad"]))
    parts = {"vad": vad, "asr": asr, "tts": part("tts", names["tts"]), "llm": part("llm", names["llm"])}
    about = {}
    for kind, each in parts.items():
        default = _ABOUT.get(kind, names[kind]) if names[kind] == _PARTS[kind] else names[kind]
        about[kind] = str(getattr(each, "about", default))
    return Engine(name="local", **parts, about=about, close=_closer(parts))


def _closer(parts: Mapping[str, object]) -> Callable[[], None]:
    def close() -> None:
        for each in parts.values():
            close_part = getattr(each, "close", None)
            if callable(close_part):
                close_part()

    return close
