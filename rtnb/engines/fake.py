"""The fake engine: every part of an engine, deterministic and instant, with no model in it.

It detects speech by its level, transcribes only how long it was, answers by quoting the user, calls a tool
that the user names, and speaks in tones. That is enough to run the whole protocol, a lesson or a test
anywhere, in milliseconds and with the same result each time.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import EngineError
from .base import Call, Engine, Samples, TextPiece
from .chat_stream import arguments_text
from .json_schema import fill

__all__ = ["fake"]

# The voices of the hosted models (Realtime API reference), so that a session written for them runs here.
_VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
_LOUD, _QUIET = 0.020, 0.013  # root mean square at which speech starts and stops
_TOKEN = re.compile(r"\s*(?:[^\W_]{1,16}(?:'[^\W_]{1,16})?|[^\w\s]|_+)|\s+\Z")
_STORY = re.compile(r"\b(long story|tell me a long)\b", re.I)


class _Stream:
    """Speech level with hysteresis; one quiet window within speech still counts as speech."""

    def __init__(self) -> None:
        self._held = 0

    def __call__(self, window: Samples) -> float:
        level = _rms(window)
        if level >= _LOUD or (self._held and level >= _QUIET):
            self._held = 2
        elif self._held:
            self._held -= 1
        return 1.0 if self._held else 0.0


class _VAD:
    rate = 16_000
    window = 512

    def stream(self) -> _Stream:
        return _Stream()


class _ASR:
    rate = 16_000
    languages: tuple[str, ...] = ("en",)

    def transcribe(self, samples: Samples) -> str:
        whole = len(samples) // 512 * 512
        windows = [samples[i : i + 512] for i in range(0, whole, 512)] or [samples]
        if not any(_rms(w) >= _LOUD for w in windows):
            return ""
        return f"(speech, {len(samples) / self.rate:.1f} seconds)"


class _LLM:
    name = "fake"
    context = 32_768
    eager = True

    def generate(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        tool_choice: str | dict[str, Any],
        max_tokens: int,
        stopped: Callable[[], bool],
    ) -> Iterator[TextPiece | Call]:
        calls = _calls(messages, tools, tool_choice)
        used = 0
        for name, arguments in calls:
            if stopped():
                return
            tokens = self.count(name) + self.count(arguments)
            if used + tokens > max_tokens:
                yield TextPiece("", max(0, max_tokens - used))
                return
            used += tokens
            yield Call(name, arguments, tokens)
        if calls:
            return
        for piece in _TOKEN.findall(_answer(messages)):
            if used >= max_tokens or stopped():
                return
            used += 1
            yield TextPiece(piece)

    def prefill(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> None:
        """Do nothing: there is no cache to warm."""

    def count(self, text: str) -> int:
        return len(_TOKEN.findall(text))


class _TTS:
    rate = 24_000
    voices: tuple[str, ...] = _VOICES
    languages: tuple[str, ...] = ("en",)

    def speak(self, text: str, voice: str, speed: float) -> Samples:
        """Return one tone of 60 ms and a gap of 20 ms for each word, both divided by ``speed``.

        Raises:
            EngineError: ``speed`` is not a positive number.
        """
        if not (math.isfinite(speed) and speed > 0):
            raise EngineError(f"the speed of a voice must be a number above 0, got {speed!r}")
        chosen = voice if voice in _VOICES else _VOICES[0]
        words = [w for w in text.lower().split() if any(c.isalnum() for c in w)]
        if not words:
            return np.zeros(0, np.float32)
        return np.concatenate([_tone(chosen, w.strip(".,;:!?\"'()"), speed) for w in words])


@lru_cache(maxsize=512)
def _tone(voice: str, word: str, speed: float) -> Samples:
    length, gap = round(0.060 * _TTS.rate / speed), round(0.020 * _TTS.rate / speed)
    pitch = 110.0 * 2 ** (_VOICES.index(voice) / 8 + zlib.crc32(word.encode()) % 12 / 12)
    t = np.arange(length) / _TTS.rate
    wave = np.sin(2 * np.pi * pitch * t) + 0.3 * np.sin(4 * np.pi * pitch * t)
    edge = np.minimum(1.0, np.minimum(np.arange(length), np.arange(length)[::-1]) / max(1, length // 8))
    tone = np.concatenate([0.3 / 1.3 * wave * edge, np.zeros(gap)]).astype(np.float32)
    tone.flags.writeable = False
    return tone


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _answer(messages: Sequence[dict[str, Any]]) -> str:
    outputs: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        outputs.insert(0, _text(message))
    if outputs:
        return "The tool said: " + "; ".join(outputs)
    text = _user_text(messages)
    if _STORY.search(text):
        return " ".join(_sentence(n) for n in range(1, 121))
    return f"You said: {text}" if text else "I heard nothing."


def _user_text(messages: Sequence[dict[str, Any]]) -> str:
    return next((_text(m).strip() for m in reversed(messages) if m.get("role") == "user"), "")


def _calls(
    messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]], tool_choice: str | dict[str, Any]
) -> list[tuple[str, str]]:
    """Return (name, arguments) of each call to make.

    Raises:
        EngineError: ``tool_choice`` names a tool that is not offered, or no value matches a tool's schema.
    """
    text = _user_text(messages)
    offered = {str(t["name"]): t for t in tools if t.get("type", "function") == "function" and t.get("name")}
    if isinstance(tool_choice, dict):
        name = str(tool_choice.get("name"))
        if name not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise EngineError(f"tool_choice names {name!r}, but the tools offered are: {known}")
        chosen = [name]
    elif tool_choice == "none" or not offered:
        chosen = []
    else:
        answering = bool(messages) and messages[-1].get("role") == "tool"
        chosen = [] if answering else [n for n in offered if _names(text, n)]
        if tool_choice == "required":
            chosen = chosen or [next(iter(offered))]
    return [(name, _arguments(offered[name], text)) for name in chosen]


def _names(text: str, name: str) -> bool:
    words = r"[\s_-]+".join(re.escape(w) for w in re.split(r"[\s_-]+", name) if w)
    return bool(words) and re.search(rf"(?<![^\W_]){words}(?![^\W_])", text, re.I) is not None


def _arguments(tool: Mapping[str, Any], text: str) -> str:
    name = str(tool["name"])
    # Words and numbers in the tool's name are not arguments.
    rest = re.sub(re.escape(name).replace("_", r"[\s_-]+"), " ", text, flags=re.I)
    try:
        value = fill(tool.get("parameters"), rest)
    except ValueError as error:
        raise EngineError(f"no arguments match the schema of the tool {name!r}: {error}") from None
    return arguments_text(value)


_WHO = (
    "keeper",
    "captain",
    "baker",
    "heron",
    "weaver",
    "ferryman",
    "gardener",
    "teacher",
    "fox",
    "cook",
    "smith",
)
_DID = ("repaired", "found", "carried", "painted", "hid", "remembered", "followed", "polished", "counted")
_WHAT = ("lantern", "rope", "map", "bell", "letter", "ladder", "kettle", "window", "drum", "boat")
_WHERE = ("by the quiet harbour", "under the old bridge", "behind the white church", "near the mill")


def _sentence(n: int) -> str:
    who, did = _WHO[n % len(_WHO)], _DID[n % len(_DID)]
    return f"On day {n}, the {who} {did} the {_WHAT[n % len(_WHAT)]} {_WHERE[n % len(_WHERE)]}."


def fake(options: Mapping[str, str]) -> Engine:
    """Return the fake engine.

    Raises:
        EngineError: ``options`` is not empty.
    """
    if options:
        raise EngineError(f"the fake engine takes no options, got {', '.join(sorted(options))}")
    return Engine(
        name="fake",
        vad=_VAD(),
        asr=_ASR(),
        llm=_LLM(),
        tts=_TTS(),
        about={
            "vad": "speech level only, no model",
            "asr": "no recognizer: the transcript says only how long the speech was",
            "llm": "no language model: quotes the user and calls the tool they name",
            "tts": "no voice: one tone per word",
        },
    )
