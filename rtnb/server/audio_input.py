"""The input audio buffer: appended audio becomes user items, by turn detection or by a commit.

Times are milliseconds of appended audio since the start of the session, not of the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..audio.codecs import Codec
from ..audio.samples import Resampler
from ..engines.base import Samples
from ..protocol.changes import (
    AppendAudio,
    Clear,
    Commit,
    Content,
    InputCleared,
    InputCommitted,
    ItemAdded,
    ItemData,
    ItemDone,
    SpeechStarted,
    SpeechStopped,
)
from ..protocol.events import server_id
from .conversation import checked_audio
from .generation import SpeculativeResponse, warm_cache
from .prompt import ItemExtras
from .schema import SILENCE_BY_EAGERNESS
from .session_context import SessionContext
from .validation import InvalidRequest

__all__ = ["AudioInput", "TurnDetector"]

_ONSET = 2
"""Consecutive windows of speech that start a turn; a single one is a click."""

_HYSTERESIS = 0.15
"""How far below the threshold the probability must fall to count as silence (as in Silero VAD)."""

_PAUSE_MS = 60
"""Silence after which the audio is recognized before the end of the turn."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A change in the speech: it started, paused, resumed or stopped, at ``ms``.

    For started, that is without padding. For stopped, it is the end of the turn, which includes the silence
    that ended it. For paused, ``end_ms`` is where the turn will end unless the speech resumes.
    """

    kind: Literal["started", "paused", "resumed", "stopped"]
    ms: float
    end_ms: float | None = None


class TurnDetector:
    """Finds turns in one stream, under a ``turn_detection`` object (server_vad or semantic_vad)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.speaking = False
        self._onset: list[float] = []
        self._silent_since: float | None = None
        self._paused = False
        self.configure(settings)

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Apply new settings; a turn in progress continues."""
        self._threshold = float(settings.get("threshold", 0.5))
        self.padding_ms = int(settings.get("prefix_padding_ms", 300))
        if settings["type"] == "semantic_vad":
            self._silence_ms = SILENCE_BY_EAGERNESS[settings["eagerness"]]
        else:
            self._silence_ms = int(settings["silence_duration_ms"])

    def reset(self) -> None:
        """Abandon a turn in progress."""
        self.speaking, self._paused = False, False
        self._onset.clear()
        self._silent_since = None

    def feed(self, probability: float, start_ms: float, end_ms: float) -> Edge | None:
        """Add the next window; return the change that it causes, if any."""
        if not self.speaking:
            if probability < self._threshold:
                self._onset.clear()
                return None
            self._onset.append(start_ms)
            if len(self._onset) < _ONSET:
                return None
            start = self._onset[0]
            self.reset()
            self.speaking = True
            return Edge("started", start)
        if probability >= self._threshold - _HYSTERESIS:
            paused, self._paused, self._silent_since = self._paused, False, None
            return Edge("resumed", start_ms) if paused else None
        if self._silent_since is None:
            self._silent_since = start_ms
        silent = end_ms - self._silent_since
        if silent >= self._silence_ms:
            end = self._silent_since + self._silence_ms
            self.reset()
            return Edge("stopped", max(end, start_ms))
        if silent >= _PAUSE_MS and not self._paused:
            self._paused = True
            return Edge("paused", end_ms, self._silent_since + self._silence_ms)
        return None


_LEAST_COMMIT_MS = 100.0
_SLICE_SECONDS = 1
"""Seconds of audio that are processed before other tasks of the event loop run."""


class _SpeechDetector:
    """Runs the voice detector on a stream of encoded audio: decodes, resamples and splits it into windows."""

    def __init__(self, context: SessionContext, codec: Codec, start_ms: float) -> None:
        vad = context.engine.vad
        self._codec, self._rate, self._window = codec, vad.rate, vad.window
        self._stream = vad.stream()
        self._resampler = Resampler(codec.rate, vad.rate)
        self._rest: Samples = np.zeros(0, np.float32)
        self._start_ms = start_ms
        self._windows = 0

    def probabilities(self, data: bytes) -> list[tuple[float, float, float]]:
        """Return (probability of speech, start ms, end ms) of each window that is now complete."""
        samples = np.concatenate([self._rest, self._resampler.process(self._codec.decode(data))])
        found: list[tuple[float, float, float]] = []
        width = self._window * 1000 / self._rate
        for start in range(0, len(samples) - self._window + 1, self._window):
            probability = float(self._stream(samples[start : start + self._window]))
            window_start = self._start_ms + self._windows * width
            self._windows += 1
            found.append((probability, window_start, window_start + width))
        self._rest = samples[len(found) * self._window :]
        return found


class AudioInput:
    """The input audio buffer of one session.

    ``on_speech()`` is called when a turn starts. ``on_item(item_id, ms, transcript, by_turn, speculative)``
    is called for each new item: ``by_turn`` is true if the end of a turn created it, so that a response may
    be due, and ``speculative`` is the response that was started in advance, if any. The callee adopts or
    drops it.
    """

    def __init__(
        self,
        context: SessionContext,
        *,
        on_speech: Callable[[], None],
        on_item: Callable[[str, float, asyncio.Future[str], bool, SpeculativeResponse | None], None],
    ) -> None:
        self._context = context
        self._on_speech, self._on_item = on_speech, on_item
        self._codec = context.conversation.input_codec
        self._data = bytearray()
        self._first = 0  # position of the first byte of _data
        self._consumed = 0  # position up to which audio is committed or cleared
        self._end = 0
        self._speech_detector: _SpeechDetector | None = None
        self._turn_detector: TurnDetector | None = None
        self._item_id: str | None = None  # of the turn in progress
        self._start = 0
        self._early_transcript: asyncio.Future[str] | None = None
        self._speculative: SpeculativeResponse | None = None
        self._cache_task: asyncio.Task[None] | None = None

    @property
    def _settings(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._context.session["audio"]["input"]["turn_detection"]
        return found

    def configure(self) -> None:
        """Apply a change of the session's input settings."""
        codec = self._context.conversation.input_codec
        if codec != self._codec:
            self._abandon_turn()
            samples = self._end * codec.bytes_per_second // self._codec.bytes_per_second // codec.width
            self._end = samples * codec.width
            self._first = self._consumed = self._end
            self._data.clear()
            self._codec = codec
        settings = self._settings
        if settings is None:
            self._abandon_turn()
            self._turn_detector = None
        elif self._turn_detector is not None:
            self._turn_detector.configure(settings)

    async def append(self, command: AppendAudio) -> None:
        """Append encoded audio.

        Raises:
            InvalidRequest: It ends within a sample, or is too long.
        """
        data = checked_audio(command.audio, "audio", self._codec)
        self._context.conversation.apply(command)
        size = _SLICE_SECONDS * self._codec.bytes_per_second
        for start in range(0, len(data), size):
            if start:
                await asyncio.sleep(0)
            self._append(data[start : start + size])

    def _append(self, data: bytes) -> None:
        before = self._ms(self._end)
        self._data += data
        self._end += len(data)
        settings = self._settings
        if settings is None:
            return
        if self._speech_detector is None or self._turn_detector is None:
            self._speech_detector = _SpeechDetector(self._context, self._codec, before)
            self._turn_detector = self._turn_detector or TurnDetector(settings)
        for probability, start, end in self._speech_detector.probabilities(data):
            if edge := self._turn_detector.feed(probability, start, end):
                self._turn(edge, self._turn_detector)
        if self._item_id is None:
            self._discard_before(self._position(self._ms(self._end) - self._turn_detector.padding_ms - 200))

    def _turn(self, edge: Edge, detector: TurnDetector) -> None:
        if edge.kind == "started":
            self._item_id = server_id("item")
            self._start = max(self._consumed, self._position(edge.ms - detector.padding_ms))
            self._context.emit(SpeechStarted(self._item_id, round(self._ms(self._start))))
            self._on_speech()
            if not self._context.transcribes_only:
                self._cache_task = asyncio.create_task(warm_cache(self._context))
        elif edge.kind == "paused":
            self._speculate(edge)
        elif edge.kind == "resumed":
            self._drop_early_work()
        elif self._item_id is not None:
            id, end = self._item_id, round(edge.ms)
            self._context.emit(SpeechStopped(id, end))
            self._consumed = self._position(end)
            self._item_id = None
            self._create_item(id, by_turn=True)

    def _speculate(self, pause: Edge) -> None:
        """Recognize, and start to answer, the turn as it will be unless speech resumes: ending in silence."""
        context = self._context
        self._stop_warming()
        until = self._position(pause.ms)
        speech = bytes(self._data[self._start - self._first : until - self._first])
        missing = self._bytes(round(pause.end_ms or pause.ms)) - until
        silence = self._codec.encode(np.zeros(max(0, missing) // self._codec.width, np.float32))
        turn = speech + silence
        self._early_transcript = context.transcribe(turn, self._codec)
        due = context.answers_turns and getattr(context.engine.llm, "eager", False)
        if due and self._item_id is not None:
            self._speculative = SpeculativeResponse(
                context, self._item_id, self._ms(len(turn)), self._early_transcript
            )

    def commit(self, command: Commit) -> None:
        """Create an item of all buffered audio. ``command`` is folded in once it is accepted.

        Raises:
            InvalidRequest: The buffer has less than 100 ms of audio.
        """
        ms = self._ms(self._end - self._consumed)
        if ms < _LEAST_COMMIT_MS:
            raise InvalidRequest(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but"
                f" buffer only has {ms:.2f}ms of audio.",
            )
        self._context.conversation.apply(command)
        id = self._item_id or server_id("item")
        self._abandon_turn()
        self._consumed = self._end
        self._create_item(id, by_turn=False)

    def clear(self, command: Clear) -> None:
        """Discard all buffered audio."""
        self._context.conversation.apply(command)
        self._abandon_turn()
        self._consumed = self._end
        self._discard_before(self._end)
        self._context.emit(InputCleared())

    def end(self) -> None:
        """Abandon a turn in progress, as the session ends."""
        self._abandon_turn()
        self._stop_warming()

    def _create_item(self, id: str, *, by_turn: bool) -> None:
        context = self._context
        previous = context.last_item()
        context.emit(InputCommitted(id, previous))
        part = context.conversation.items[id].parts[0]
        transcript = self._early_transcript or context.transcribe(part.data, self._codec)
        self._early_transcript = None
        context.item_extras[id] = ItemExtras(transcripts={0: transcript})
        item = ItemData(id, "message", "user", "completed", contents=[Content("audio")])
        context.emit(ItemAdded(item, previous))
        context.emit(ItemDone(item, previous))
        self._discard_before(self._consumed)
        speculative, self._speculative = self._speculative, None
        self._on_item(id, part.ms, transcript, by_turn, speculative)

    def _abandon_turn(self) -> None:
        """Drop a turn in progress and restart turn detection."""
        self._drop_early_work()
        self._item_id = None
        self._speech_detector = None
        if self._turn_detector is not None:
            self._turn_detector.reset()

    def _drop_early_work(self) -> None:
        if self._speculative is not None:
            self._speculative.drop()
            self._speculative = None
        if self._early_transcript is not None:
            self._early_transcript.cancel()
            self._early_transcript = None

    def _stop_warming(self) -> None:
        if self._cache_task is not None:
            self._cache_task.cancel()

    def _discard_before(self, position: int) -> None:
        position = min(max(position, self._first), self._end)
        del self._data[: position - self._first]
        self._first = position

    def _ms(self, position: int) -> float:
        return position * 1000 / self._codec.bytes_per_second

    def _position(self, ms: float) -> int:
        return min(self._bytes(ms), self._end)

    def _bytes(self, ms: float) -> int:
        return int(max(0.0, ms) * self._codec.rate / 1000) * self._codec.width
