"""What an engine is: a voice detector, a recognizer, a language model and a voice, each replaceable.

A part is made by a factory, which is registered as an entry point:

================  =================================================  ==================================
group             factory, and the protocol of its result            example
================  =================================================  ==================================
``rtnb.vad``      ``factory(setting: str) -> VAD``                   ``rtnb.engines.silero:silero``
``rtnb.asr``      ``factory(setting: str) -> ASR``                   ``rtnb.engines.moonshine:moonshine``
``rtnb.llm``      ``factory(setting: str) -> LLM``                   ``rtnb.engines.llama_cpp:llama``
``rtnb.tts``      ``factory(setting: str) -> TTS``                   ``rtnb.engines.hibari:hibari``
``rtnb.engines``  ``factory(options: Mapping[str, str]) -> Engine``  ``rtnb.engines.fake:fake``
================  =================================================  ==================================

``setting`` is the text after the part's name in an engine spec, such as ``heart`` in ``tts=hibari:heart``, or
""; ``options`` are the ``key=value`` pairs of the spec. A package of yours registers a recognizer with ::

    [project.entry-points."rtnb.asr"]
    whisper = "my_package:whisper"

and it is used as ``rtnb.connect(engine="local,asr=whisper")``.

Calls are blocking. The server runs them on worker threads, one call at a time for each part. Audio is
float32, mono, in [-1, 1]. A part may also have ``about``, a one-line description that is shown to the user,
and ``close()``, which is called once, after its last call.
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
    """Voice activity detection on one audio stream; keeps its state between windows."""

    def __call__(self, window: Samples) -> float:
        """Return the probability in [0, 1] that ``window``, shape ``(VAD.window,)``, contains speech."""
        ...


class VAD(Protocol):
    """A voice activity detector: one model for any number of streams."""

    rate: int  # Hz, of the windows
    window: int  # samples per window

    def stream(self) -> VADStream:
        """Return a new stream, at its initial state."""
        ...


class ASR(Protocol):
    """A speech recognizer."""

    rate: int  # Hz, of its input
    languages: tuple[str, ...]  # ISO 639-1

    def transcribe(self, samples: Samples) -> str:
        """Return the transcript of ``samples``, shape ``(n,)``, n ≥ 0; "" if they contain no speech."""
        ...


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of the answer's text, including its leading space: the pieces concatenate to the text.

    ``text`` may be empty: such a piece only counts tokens.
    """

    text: str
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Call:
    """A complete function call: ``arguments`` is the text of a JSON object that matches the tool's schema."""

    name: str
    arguments: str
    tokens: int = 0


class LLM(Protocol):
    """A language model.

    Messages are dicts in the chat completions format: ``{"role": "system"|"user"|"assistant"|"tool",
    "content": str, "tool_calls": [...], "tool_call_id": str}``. Tools are those of the session:
    ``{"type": "function", "name", "description", "parameters"}``. ``tool_choice`` is "auto", "none",
    "required" or ``{"type": "function", "name": …}``.
    """

    name: str
    context: int  # tokens of prompt and answer together

    # With the attribute ``eager = True`` the server also starts speculative responses, while the user may
    # still go on speaking, and discards many of them. Leave it out if a request costs money.

    def generate(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        tool_choice: str | dict[str, Any],
        max_tokens: int,
        stopped: Callable[[], bool],
    ) -> Iterator[TextPiece | Call]:
        """Yield the answer: text, function calls, or both.

        Call ``stopped()`` at least once per token and return soon after it is true. Yield at most
        ``max_tokens`` tokens; an answer that reaches the limit ends without an error, and the caller sees it
        from the sum of ``tokens``.
        """
        ...

    def prefill(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> None:
        """Warm the prefix cache with the beginning of a future prompt.

        That is a session's instructions and tools before its first turn, and the conversation so far later.
        """
        ...

    def count(self, text: str) -> int:
        """Return the number of tokens of ``text``."""
        ...


class TTS(Protocol):
    """A speech synthesizer: one or several voices."""

    rate: int  # Hz, of its output
    voices: tuple[str, ...]  # the first is the default
    languages: tuple[str, ...]  # ISO 639-1

    def speak(self, text: str, voice: str, speed: float) -> Samples:
        """Return the audio of ``text``, one clause. An unknown ``voice`` means the default."""
        ...


@dataclass(slots=True)
class Engine:
    """An engine. ``about`` maps the kind of each part (vad, asr, llm, tts) to its one-line description."""

    name: str
    vad: VAD
    asr: ASR
    llm: LLM
    tts: TTS
    about: dict[str, str] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None
