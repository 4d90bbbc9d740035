"""What an engine is: four small parts, each replaceable.

All calls of a part are blocking and CPU bound, and the server runs them on threads of its own: one call at
a time per part, never two at once on the same object. Sound is float32, mono, in [-1, 1]. Parts are made
by factories that register under the entry point groups ``rtnb.vad``, ``rtnb.asr``, ``rtnb.llm``,
``rtnb.tts`` (``factory(setting: str) -> part``; setting is "" or what stood behind the name, such as a
path or a URL) and ``rtnb.engines`` (``factory(options: Mapping[str, str]) -> Engine``). A part may also have
``about``, one line on what it is, for people, and ``close()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["ASR", "LLM", "TTS", "VAD", "Call", "Engine", "Samples", "TextPiece", "VADStream"]

Samples = NDArray[np.float32]


class VADStream(Protocol):
    """Voice activity of one audio stream; keeps its own state between windows."""

    def __call__(self, window: Samples) -> float:
        """Return the probability in [0, 1] that ``window`` (``VAD.window`` samples) holds speech."""
        ...


class VAD(Protocol):
    """A voice activity detector: one model, many streams."""

    rate: int  # Hz, of the windows
    window: int  # samples per window

    def stream(self) -> VADStream:
        """Return a fresh stream."""
        ...


class ASR(Protocol):
    """A speech recogniser."""

    rate: int  # Hz, of the samples it takes
    languages: tuple[str, ...]  # ISO 639-1

    def transcribe(self, samples: Samples) -> str:
        """Return the words in ``samples`` (shape ``(n,)``, any n ≥ 0); "" where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of the answer's text, with its own leading space. Pieces join to the whole text.

    The text may be empty: such a piece only accounts for tokens.
    """

    text: str
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Call:
    """One whole function call: ``arguments`` is a JSON object as text that fits the tool's schema."""

    name: str
    arguments: str
    tokens: int = 0


class LLM(Protocol):
    """A chat model.

    Messages are dicts as in the chat completions format: ``{"role": "system"|"user"|"assistant"|"tool",
    "content": str, "tool_calls": [...], "tool_call_id": str}``. Tools are the session's own:
    ``{"type": "function", "name", "description", "parameters"}``. ``tool_choice`` is "auto", "none",
    "required" or ``{"type": "function", "name": …}``.
    """

    name: str
    context: int  # tokens

    # An LLM with ``eager = True`` is also asked ahead, before it is sure that an answer is due; much of what
    # it makes then is thrown away. Leave it out where a run costs money.

    def generate(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        tool_choice: str | dict[str, Any],
        max_tokens: int,
        stopped: Callable[[], bool],
    ) -> Iterator[TextPiece | Call]:
        """Yield the answer. Poll ``stopped()`` at least once a token and return soon after it is true.

        At most ``max_tokens`` tokens. A run cut by that limit raises no error; the sum of ``tokens``
        tells. A session that asks for a tool gets Calls, before or instead of text.
        """
        ...

    def prefill(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> None:
        """Warm the prefix cache with the beginning of a prompt that will come.

        Before a session's first turn that is its instructions and tools; later the conversation so far.
        """
        ...

    def count(self, text: str) -> int:
        """Return how many tokens ``text`` is."""
        ...


class TTS(Protocol):
    """A voice."""

    rate: int  # Hz, of the samples it gives
    voices: tuple[str, ...]  # its own names; the first is the default
    languages: tuple[str, ...]

    def speak(self, text: str, voice: str, speed: float) -> Samples:
        """Return ``text`` (one clause) as sound. An unknown ``voice`` means the default one."""
        ...


@dataclass(slots=True)
class Engine:
    """A whole voice engine. ``about`` maps a part's kind to one line on what it is, for people."""

    name: str
    vad: VAD
    asr: ASR
    llm: LLM
    tts: TTS
    about: dict[str, str] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None
