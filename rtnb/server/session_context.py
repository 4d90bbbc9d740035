"""What the parts of one server session share: engine, settings, conversation, outgoing frames."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from ..audio.codecs import Codec
from ..audio.samples import resample
from ..engines.base import Engine, Samples
from ..protocol.conversation import Conversation
from ..protocol.dialects import read
from ..protocol.events import Direction, Event, server_id
from ..protocol.items import Item
from .clauses import Clause
from .usage_meter import TokenWindow, UsageMeter, transcription_usage
from .workers import Workers

__all__ = ["ItemExtras", "SessionContext", "send_transcript", "system_messages"]

_log = logging.getLogger(__name__)

_HIGH_WATER = 64
"""Queued frames above which responses wait for the client to read."""


def apply_event(conversation: Conversation, direction: Direction, event: Event) -> None:
    """Fold an event into the conversation."""
    for change in read(event, direction):
        conversation.apply(change)


@dataclass(slots=True)
class ItemExtras:
    """What only the server knows of an item.

    ``transcripts`` has a future for each content part with audio of the user. ``clauses`` say when the words
    of a spoken answer are played.
    """

    transcripts: dict[int, asyncio.Future[str]] = field(default_factory=dict)
    clauses: list[Clause] = field(default_factory=list)


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
        self, engine: Engine, workers: Workers, session: dict[str, Any], limits: TokenWindow
    ) -> None:
        self.engine = engine
        self.workers = workers
        self.session = session
        self.limits = limits
        self.conversation_id = server_id("conv")
        self.conversation = Conversation()
        self.item_extras: dict[str, ItemExtras] = {}
        self.dropped_items: set[str] = set()
        """Items that no longer fit into the model's context: in the conversation, but not in prompts."""
        self.usage_meter = UsageMeter()
        self.outbox = Outbox()
        self._prefill: Future[None] | None = None
        self._early_speech: tuple[tuple[str, str, float], asyncio.Future[Samples]] | None = None
        self.has_spoken = False
        """Whether audio was sent in this session: from then on the voice is fixed."""

    def emit(self, type: str, **fields: Any) -> None:
        """Send an event, and apply it to the conversation as the client will."""
        event: Event = {"type": type, "event_id": server_id("event"), **fields}
        apply_event(self.conversation, "server", event)
        self.outbox.put(orjson.dumps(event))

    def last_item(self) -> str | None:
        """Return the id of the conversation's last item."""
        order = self.conversation.order
        return order[-1] if order else None

    def prompt_items(self) -> list[tuple[Item, ItemExtras]]:
        """Return the items of the conversation that are in prompts, in order."""
        order = [id for id in self.conversation.order if id not in self.dropped_items]
        return [(self.conversation.items[id], self.item_extras[id]) for id in order]

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


def system_messages(instructions: str) -> list[dict[str, Any]]:
    """Return the messages that a prompt with these instructions starts with."""
    return [{"role": "system", "content": instructions}] if instructions else []


def _mark_retrieved(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # asyncio would warn about an error that no one awaits


_DEFAULT_TRANSCRIPTION_MODEL = "gpt-4o-mini-transcribe"
_EVENT = "conversation.item.input_audio_transcription"


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
    at = {"item_id": item_id, "content_index": content_index}
    model = settings.get("model") or _DEFAULT_TRANSCRIPTION_MODEL
    requested = [code for code in (settings.get("language"), *settings.get("languages", ())) if code]
    supported = context.engine.asr.languages
    try:
        text = await asyncio.shield(transcript)
    except Exception as error:
        _log.exception("the recognizer failed")
        _fail(context, at, "server_error", None, f"The recognizer failed: {error}")
        return
    if requested and not any(_primary(code) in supported for code in requested):
        _fail(
            context,
            at,
            "invalid_request_error",
            "unsupported_language",
            f"The engine's recognizer supports {_list(supported)}; the session requests {_list(requested)}.",
        )
        return
    if not text:
        message = "The audio could not be transcribed: no words were recognized in it."
        _fail(context, at, "transcription_error", "audio_unintelligible", message)
        return
    # On the wire, whisper-1 sends its text in one delta, the other models word by word.
    deltas = [text] if model == "whisper-1" else re.findall(r"\s*\S+", text)
    for delta in deltas:
        context.emit(f"{_EVENT}.delta", **at, delta=delta)
    usage = transcription_usage(model, ms, text, settings.get("prompt") or "")
    context.emit(f"{_EVENT}.completed", **at, transcript=text, usage=usage)


def _fail(context: SessionContext, at: Mapping[str, Any], type: str, code: str | None, message: str) -> None:
    error = {"type": type, "code": code, "message": message, "param": None}
    context.emit(f"{_EVENT}.failed", **at, error=error)


def _primary(code: str) -> str:
    return re.split(r"[-_]", code.lower(), maxsplit=1)[0]


def _list(codes: Iterable[str]) -> str:
    return ", ".join(f"'{code:.20}'" for code in codes)
