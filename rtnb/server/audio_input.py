"""The input audio buffer: what the client appends becomes user items, by turn detection or by commit.

Times are milliseconds of sound since the session began, whatever the clock says.
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
from ..protocol.events import Event, server_id
from .conversation import decode_audio
from .generation import SpeculativeResponse, reread
from .schema import SILENCE_BY_EAGERNESS
from .session_context import ItemExtras, State, apply_event
from .validation import InvalidRequest

__all__ = ["AudioInput", "TurnDetector"]

_ONSET = 2
"""Windows of speech in a row that begin a turn; one alone is a click."""

_HYSTERESIS = 0.15
"""How far below the threshold speech must fall to count as silence (Silero VAD's own rule)."""

_PAUSE_MS = 60
"""Silence after which the words so far are worth recognising ahead of the turn's end."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What happened: speech started (``ms``: where it began, without padding), paused, resumed or stopped.

    For stopped, ``ms`` is where the turn ends: the silence that ended it is part of it. For paused,
    ``end_ms`` is where the turn will end unless speech goes on.
    """

    kind: Literal["started", "paused", "resumed", "stopped"]
    ms: float
    end_ms: float | None = None


class TurnDetector:
    """One stream's detector under a ``turn_detection`` object (server_vad or semantic_vad)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.speaking = False
        self._onset: list[float] = []
        self._silent_since: float | None = None
        self._paused = False
        self.configure(settings)

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Take new settings; a turn that is going on goes on."""
        self._threshold = float(settings.get("threshold", 0.5))
        self.padding_ms = int(settings.get("prefix_padding_ms", 300))
        if settings["type"] == "semantic_vad":
            self._silence_ms = SILENCE_BY_EAGERNESS[settings["eagerness"]]
        else:
            self._silence_ms = int(settings["silence_duration_ms"])

    def reset(self) -> None:
        """Forget a turn that is going on."""
        self.speaking, self._paused = False, False
        self._onset.clear()
        self._silent_since = None

    def feed(self, probability: float, start_ms: float, end_ms: float) -> Edge | None:
        """Take the next window and return what it brought about."""
        if not self.speaking:
            if probability < self._threshold:
                self._onset.clear()
                return None
            self._onset.append(start_ms)
            if len(self._onset) < _ONSET:
                return None
            began = self._onset[0]
            self.reset()
            self.speaking = True
            return Edge("started", began)
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
"""How much sound is looked through before others on the event loop get their turn."""


class _Ears:
    """Voice activity over a stream of encoded sound: decodes, resamples and cuts it into windows."""

    def __init__(self, state: State, codec: Codec, start_ms: float) -> None:
        vad = state.engine.vad
        self._codec, self._rate, self._window = codec, vad.rate, vad.window
        self._stream = vad.stream()
        self._resampler = Resampler(codec.rate, vad.rate)
        self._left: Samples = np.zeros(0, np.float32)
        self._start_ms = start_ms
        self._windows = 0

    def hear(self, data: bytes) -> list[tuple[float, float, float]]:
        """Return (probability, start ms, end ms) of each window that is whole now."""
        samples = np.concatenate([self._left, self._resampler.process(self._codec.decode(data))])
        heard: list[tuple[float, float, float]] = []
        width = self._window * 1000 / self._rate
        for start in range(0, len(samples) - self._window + 1, self._window):
            probability = float(self._stream(samples[start : start + self._window]))
            begins = self._start_ms + self._windows * width
            self._windows += 1
            heard.append((probability, begins, begins + width))
        self._left = samples[len(heard) * self._window :]
        return heard


class AudioInput:
    """One session's input.

    ``on_speech()`` is called when a turn begins, ``on_item(item id, ms, words, by turn)`` for each item made;
    ``by turn`` tells that the end of a turn made it, so that an answer may be due.
    """

    def __init__(
        self,
        state: State,
        *,
        on_speech: Callable[[], None],
        on_item: Callable[[str, float, asyncio.Future[str], bool], None],
    ) -> None:
        self._state = state
        self._on_speech, self._on_item = on_speech, on_item
        self._codec = state.conversation.input_codec
        self._data = bytearray()
        self._kept_from = 0  # position of the first byte of _data
        self._taken = 0  # position up to which sound is committed or cleared
        self._end = 0
        self._ears: _Ears | None = None
        self._detector: TurnDetector | None = None
        self._item_id: str | None = None  # of the turn that is going on
        self._start = 0
        self._guess: asyncio.Future[str] | None = None
        self._draft: SpeculativeResponse | None = None
        self._rereading: asyncio.Task[None] | None = None

    @property
    def _settings(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._state.session["audio"]["input"]["turn_detection"]
        return found

    def configure(self) -> None:
        """Follow a change of the session's input settings."""
        codec = self._state.conversation.input_codec
        if codec != self._codec:
            self._forget_turn()
            samples = self._end * codec.bytes_per_second // self._codec.bytes_per_second // codec.width
            self._end = samples * codec.width
            self._kept_from = self._taken = self._end
            self._data.clear()
            self._codec = codec
        settings = self._settings
        if settings is None:
            self._forget_turn()
            self._detector = None
        elif self._detector is not None:
            self._detector.configure(settings)

    async def append(self, event: Event) -> None:
        """Take encoded sound.

        Raises:
            Fault: It is not base64, not of whole samples, or too much.
        """
        data = decode_audio(event["audio"], "audio", self._codec)
        apply_event(self._state.conversation, "client", event)
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
        if self._ears is None or self._detector is None:
            self._ears = _Ears(self._state, self._codec, before)
            self._detector = self._detector or TurnDetector(settings)
        for probability, start, end in self._ears.hear(data):
            if edge := self._detector.feed(probability, start, end):
                self._turn(edge, self._detector)
        if self._item_id is None:
            self._keep_from(self._position(self._ms(self._end) - self._detector.padding_ms - 200))

    def _turn(self, edge: Edge, detector: TurnDetector) -> None:
        if edge.kind == "started":
            self._item_id = server_id("item")
            self._start = max(self._taken, self._position(edge.ms - detector.padding_ms))
            self._state.emit(
                "input_audio_buffer.speech_started",
                audio_start_ms=round(self._ms(self._start)),
                item_id=self._item_id,
            )
            self._on_speech()
            self._rereading = asyncio.create_task(reread(self._state))
        elif edge.kind == "paused":
            self._foresee(edge)
        elif edge.kind == "resumed":
            self._drop_guess()
        elif self._item_id is not None:
            id, end = self._item_id, round(edge.ms)
            self._state.emit("input_audio_buffer.speech_stopped", audio_end_ms=end, item_id=id)
            self._taken = self._position(end)
            self._item_id = None
            self._make_item(id, by_turn=True)

    def _foresee(self, pause: Edge) -> None:
        """Work ahead on the turn as it will be unless speech goes on: what is to come is silence."""
        state, settings = self._state, self._settings
        self._stop_rereading()
        until = self._position(pause.ms)
        heard = bytes(self._data[self._start - self._kept_from : until - self._kept_from])
        missing = self._bytes(round(pause.end_ms or pause.ms)) - until
        silence = self._codec.encode(np.zeros(max(0, missing) // self._codec.width, np.float32))
        sound = heard + silence
        self._guess = state.listen(sound, self._codec)
        due = settings is not None and settings["create_response"] and self._item_id is not None
        if due and getattr(state.engine.llm, "eager", False):
            self._draft = SpeculativeResponse(state, str(self._item_id), self._ms(len(sound)), self._guess)

    def commit(self, event: Event) -> None:
        """Make an item of all that is buffered; ``event`` is the client's, folded once it is accepted.

        Raises:
            Fault: There is less than 100 ms of it.
        """
        ms = self._ms(self._end - self._taken)
        if ms < _LEAST_COMMIT_MS:
            raise InvalidRequest(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but"
                f" buffer only has {ms:.2f}ms of audio.",
            )
        apply_event(self._state.conversation, "client", event)
        id = self._item_id or server_id("item")
        self._forget_turn()
        self._taken = self._end
        self._make_item(id, by_turn=False)

    def clear(self, event: Event) -> None:
        """Forget all that is buffered."""
        apply_event(self._state.conversation, "client", event)
        self._forget_turn()
        self._taken = self._end
        self._keep_from(self._end)
        self._state.emit("input_audio_buffer.cleared")

    def end(self) -> None:
        """Let go of what is being said."""
        self._forget_turn()
        self._stop_rereading()

    def _make_item(self, id: str, *, by_turn: bool) -> None:
        state = self._state
        previous = state.last_item()
        state.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=id)
        part = state.conversation.items[id].parts[0]
        words, self._guess = self._guess or state.listen(part.data, self._codec), None
        state.memory[id] = ItemExtras(words={0: words})
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": id, "type": "message", "status": "completed", "role": "user", "content": content}
        state.emit("conversation.item.added", previous_item_id=previous, item=item)
        state.emit("conversation.item.done", previous_item_id=previous, item=item)
        self._keep_from(self._taken)
        state.draft, self._draft = self._draft, None
        self._on_item(id, part.ms, words, by_turn)
        if (unwanted := state.take_draft()) is not None:
            unwanted.drop()

    def _forget_turn(self) -> None:
        """Start listening afresh, whatever is being said."""
        self._drop_guess()
        self._item_id = None
        self._ears = None
        if self._detector is not None:
            self._detector.reset()

    def _drop_guess(self) -> None:
        if self._draft is not None:
            self._draft.drop()
            self._draft = None
        if self._guess is not None:
            self._guess.cancel()
            self._guess = None

    def _stop_rereading(self) -> None:
        if self._rereading is not None:
            self._rereading.cancel()

    def _keep_from(self, position: int) -> None:
        position = min(max(position, self._kept_from), self._end)
        del self._data[: position - self._kept_from]
        self._kept_from = position

    def _ms(self, position: int) -> float:
        return position * 1000 / self._codec.bytes_per_second

    def _position(self, ms: float) -> int:
        return min(self._bytes(ms), self._end)

    def _bytes(self, ms: float) -> int:
        return int(max(0.0, ms) * self._codec.rate / 1000) * self._codec.width
