"""What the parts of one server session share: engine, settings, conversation, outgoing frames."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

import orjson

from ..audio.codecs import Codec
from ..audio.samples import resample
from ..engines.base import Engine, Samples
from ..protocol.changes import (
    Change,
    ErrorData,
    InputTranscript,
    InputTranscriptDelta,
    InputTranscriptFailed,
)
from ..protocol.conversation import Conversation
from ..protocol.dialects import Dialect
from ..protocol.events import server_id
from .prompt import ItemExtras, system_messages
from .prompt_entries import PromptEntries
from .usage_meter import TokenWindow, UsageMeter, transcription_usage
from .workers import Workers

__all__ = ["SessionContext", "frames", "send_transcript"]

_log = logging.getLogger(__name__)

_HIGH_WATER = 64
"""Queued frames above which responses wait for the client to read."""


def frames(dialect: Dialect, change: Change) -> Iterator[bytes]:
    """Yield the frames that report a change in a dialect, each with a new event id."""
    for event in dialect.events(change):
        yield orjson.dumps({"type": event["type"], "event_id": server_id("event"), **event})


class Outbox:
    """The queue of frames to the client."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._not_empty = asyncio.Event()
        self._not_full = asyncio.Event()
        self._not_full.set()
        self._flushed = asyncio.Event()
        self._flushed.set()

    def put(self, frame: bytes) -> None:
        """Queue a frame, without waiting."""
        self._frames.append(frame)
        self._not_empty.set()
        self._flushed.clear()
        if len(self._frames) > _HIGH_WATER:
            self._not_full.clear()

    async def room(self) -> None:
        """Wait while too many frames are queued. In any case, let other tasks run."""
        await asyncio.sleep(0)
        await self._not_full.wait()

    async def flushed(self) -> None:
        """Wait until all frames are sent."""
        await self._flushed.wait()

    async def send_all(self, send: Callable[[bytes], Any]) -> None:
        """Send frames as they are queued, until cancelled."""
        while True:
            await self._not_empty.wait()
            self._not_empty.clear()
            while self._frames:
                await send(self._frames[0])
                self._frames.popleft()
                if len(self._frames) <= _HIGH_WATER // 2:
                    self._not_full.set()
            self._flushed.set()


class SessionContext:
    """What one session shares, used only on its event loop."""

    def __init__(
        self,
        engine: Engine,
        workers: Workers,
        session: dict[str, Any],
        limits: TokenWindow,
        dialect: Dialect,
    ) -> None:
        self.engine = engine
        self.workers = workers
        self.session = session
        self.limits = limits
        self.dialect = dialect
        self.conversation_id = server_id("conv")
        self.conversation = Conversation()
        self.item_extras: dict[str, ItemExtras] = {}
        self.prompt_entries = PromptEntries(self.conversation, self.item_extras)
        self.usage_meter = UsageMeter()
        self.outbox = Outbox()
        self._prefill: Future[None] | None = None
        self._early_speech: tuple[tuple[str, str, float], asyncio.Future[Samples]] | None = None
        self.has_spoken = False
        """Whether audio was sent in this session: from then on the voice is fixed."""

    def emit(self, change: Change) -> None:
        """Report a change to the client, and fold it into the conversation as the client will."""
        self.conversation.apply(change)
        self.prompt_entries.note(change)
        for frame in frames(self.dialect, change):
            self.outbox.put(frame)

    @property
    def transcribes_only(self) -> bool:
        """Whether the session has transcripts of what the user says, and no responses."""
        return bool(self.session["type"] == "transcription")

    @property
    def answers_turns(self) -> bool:
        """Whether a user's turn that has ended is answered without a request."""
        detection = self.session["audio"]["input"]["turn_detection"]
        return bool(detection and detection["create_response"]) and not self.transcribes_only

    def last_item(self) -> str | None:
        """Return the id of the conversation's last item."""
        order = self.conversation.order
        return order[-1] if order else None

    def transcribe(self, data: bytes, codec: Codec) -> asyncio.Future[str]:
        """Recognize encoded audio, on the recognizer's thread."""
        asr = self.engine.asr

        def recognize() -> str:
            return asr.transcribe(resample(codec.decode(data), codec.rate, asr.rate)).strip()

        transcript = asyncio.wrap_future(self.workers.asr.submit(self, recognize))
        transcript.add_done_callback(_mark_retrieved)
        return transcript

    def synthesize(self, text: str, voice: str, speed: float) -> asyncio.Future[Samples]:
        """Synthesize a clause, on the voice's thread, or return what was synthesized ahead."""
        early, self._early_speech = self._early_speech, None
        if early is not None and early[0] == (text, voice, speed):
            return early[1]
        job = partial(self.engine.tts.speak, text, voice, speed)
        samples = asyncio.wrap_future(self.workers.tts.submit(self, job))
        samples.add_done_callback(_mark_retrieved)
        return samples

    def synthesize_ahead(self, text: str, voice: str, speed: float) -> None:
        """Synthesize a clause that an answer is likely to start with."""
        if text:
            self._early_speech = (text, voice, speed), self.synthesize(text, voice, speed)

    def prefill(self, messages: Callable[[], list[dict[str, Any]]] | None = None) -> None:
        """Put the session's instructions and tools into the model's cache, once its worker is free.

        ``messages`` returns other messages to cache instead; it is called on the model's thread.
        """
        start, tools = system_messages(self.session["instructions"]), self.session["tools"]

        def warm() -> None:
            try:
                self.engine.llm.prefill(start if messages is None else messages(), tools)
            except Exception:
                _log.warning("prefilling the language model's cache failed", exc_info=True)

        self.skip_prefill()
        self._prefill = self.workers.llm.submit(self, warm)

    def skip_prefill(self) -> None:
        """Cancel a prefill that has not started; the next answer fills the cache as well."""
        if self._prefill is not None:
            self._prefill.cancel()

    def end(self) -> None:
        """Cancel all work in progress, as the session ends."""
        self.skip_prefill()
        if self._early_speech is not None:
            self._early_speech[1].cancel()
        for extras in self.item_extras.values():
            for transcript in extras.transcripts.values():
                transcript.cancel()


def _mark_retrieved(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # asyncio would warn about an error that no one awaits


_DEFAULT_TRANSCRIPTION_MODEL = "gpt-4o-mini-transcribe"


async def send_transcript(
    context: SessionContext,
    settings: Mapping[str, Any],
    item_id: str,
    content_index: int,
    ms: float,
    transcript: asyncio.Future[str],
) -> None:
    """Send the transcript of a content part with ``ms`` milliseconds of audio, once it is available.

    ``settings`` are the session's ``transcription`` settings when the audio was committed.
    """
    model = settings.get("model") or _DEFAULT_TRANSCRIPTION_MODEL
    requested = [code for code in (settings.get("language"), *settings.get("languages", ())) if code]
    supported = context.engine.asr.languages
    try:
        text = await asyncio.shield(transcript)
    except Exception as error:
        _log.exception("the recognizer failed")
        failure = ErrorData(f"The recognizer failed: {error}", "server_error")
        context.emit(InputTranscriptFailed(item_id, failure, content_index))
        return
    if requested and not any(_primary(code) in supported for code in requested):
        failure = ErrorData(
            f"The engine's recognizer supports {_list(supported)}; the session requests {_list(requested)}.",
            "invalid_request_error",
            "unsupported_language",
        )
        context.emit(InputTranscriptFailed(item_id, failure, content_index))
        return
    if not text:
        message = "The audio could not be transcribed: no words were recognized in it."
        failure = ErrorData(message, "transcription_error", "audio_unintelligible")
        context.emit(InputTranscriptFailed(item_id, failure, content_index))
        return
    # On the wire, whisper-1 sends its text in one delta, the other models word by word.
    deltas = [text] if model == "whisper-1" else re.findall(r"\s*\S+", text)
    for delta in deltas:
        context.emit(InputTranscriptDelta(item_id, delta, content_index))
    usage = transcription_usage(model, ms, text, settings.get("prompt") or "")
    context.emit(InputTranscript(item_id, text, content_index, usage))


def _primary(code: str) -> str:
    return re.split(r"[-_]", code.lower(), maxsplit=1)[0]


def _list(codes: Iterable[str]) -> str:
    return ", ".join(f"'{code:.20}'" for code in codes)
