"""The local engine: speech in, words, speech out, on the CPU of this machine and without a network."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from ..errors import EngineError
from .base import ASR, VAD, Engine, Samples
from .registry import part

__all__ = ["local"]

_PARTS = {"vad": "silero", "asr": "moonshine", "llm": "llama", "tts": "hibari"}
_SPEECH = 0.3  # probability of the likeliest window below which a recogniser would invent words
_ABOUT = {
    "vad": "Silero VAD (MIT)",
    "asr": "Moonshine tiny (MIT), English",
    "tts": "hibari (Apache-2.0), English",
}


class _Gated:
    """A recogniser that is asked only where a voice detector heard a voice."""

    def __init__(self, asr: ASR, vad: VAD) -> None:
        self._asr, self._vad = asr, vad
        self.rate, self.languages = asr.rate, asr.languages

    def transcribe(self, samples: Samples) -> str:
        heard, size = self._vad.stream(), self._vad.window
        starts = range(0, len(samples) - size + 1, size)
        if any(heard(samples[i : i + size]) >= _SPEECH for i in starts):
            return self._asr.transcribe(samples)
        return ""


def local(options: Mapping[str, str]) -> Engine:
    """Return the engine; ``options`` may name other parts: "vad", "asr", "llm", "tts".

    Loads and warms every model, some two seconds.

    Raises:
        EngineError: An option or a part is unknown, or a part cannot be loaded.
        WeightsError: Weights are not installed.
        MissingPackageError: A package of the extra ``local`` is not installed.
    """
    for key in options:
        if key not in _PARTS:
            near = difflib.get_close_matches(key, _PARTS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise EngineError(f"the local engine has no option {key!r}{hint} It takes: {', '.join(_PARTS)}")
    names = {**_PARTS, **options}
    vad, asr = part("vad", names["vad"]), part("asr", names["asr"])
    if vad.rate == asr.rate:
        # A detector of its own: parts are called from different threads, each one at a time.
        asr = _Gated(asr, part("vad", names["vad"]))
    parts = {"vad": vad, "asr": asr, "tts": part("tts", names["tts"]), "llm": part("llm", names["llm"])}
    about = {}
    for kind, made in parts.items():
        own = _ABOUT.get(kind, names[kind]) if names[kind] == _PARTS[kind] else names[kind]
        about[kind] = str(getattr(made, "about", own))
    return Engine(name="local", **parts, about=about, close=_closer(parts))


def _closer(parts: Mapping[str, object]) -> Callable[[], None]:
    def close() -> None:
        for made in parts.values():
            end = getattr(made, "close", None)
            if callable(end):
                end()

    return close
