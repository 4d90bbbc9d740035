"""What the parts of one server session share: the engine, the settings, the conversation and the way out."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from .generation import SpeculativeResponse

__all__ = ["ItemExtras", "State", "report"]

_log = logging.getLogger(__name__)

_HIGH_WATER = 64
"""Frames on their way beyond which whoever makes more waits for the client to read."""


def apply_event(conversation: Conversation, direction: Direction, event: Event) -> None:
    """Fold an event into the conversation."""
    for change in read(event, direction):
        conversation.apply(change)


@dataclass(slots=True)
class ItemExtras:
    """What only the server knows of an item.

    ``words`` has a future for each content part with sound from the user: what the recogniser understood.
    ``clauses`` tells when the words of an answer are heard.
    """

    words: dict[int, asyncio.Future[str]] = field(default_factory=dict)
    clauses: list[Clause] = field(default_factory=list)


class Outbox:
    """Frames on their way to the client, in order. Putting one in never waits."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._lower = asyncio.Event()
        self._lower.set()
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, frame: bytes) -> None:
        """Queue a frame."""
        self._frames.append(frame)
        self._filled.set()
        self._empty.clear()
        if len(self._frames) > _HIGH_WATER:
            self._lower.clear()

    async def room(self) -> None:
        """Wait while too many frames are on their way, and let others run in any case."""
        await asyncio.sleep(0)
        await self._lower.wait()

    async def flushed(self) -> None:
        """Wait until all frames were sent."""
        await self._empty.wait()

    async def send_all(self, send: Callable[[bytes], Any]) -> None:
        """Send frames as they come, for ever."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._frames:
                await send(self._frames[0])
                self._frames.popleft()
                if len(self._frames) <= _HIGH_WATER // 2:
                    self._lower.set()
            self._empty.set()


class State:
    """One session's state. Only its event loop touches it."""

    def __init__(
        self, engine: Engine, workers: Workers, session: dict[str, Any], limits: TokenWindow
    ) -> None:
        self.engine = engine
        self.workers = workers
        self.session = session
        self.limits = limits
        self.conversation_id = server_id("conv")
        self.conversation = Conversation()
        self.memory: dict[str, ItemExtras] = {}
        self.forgotten: set[str] = set()
        """Items that no longer fit the model's context: still in the conversation, no longer in prompts."""
        self.ledger = UsageMeter()
        self.outbox = Outbox()
        self.draft: SpeculativeResponse | None = None
        """The answer that was begun ahead to the item that is being made, until somebody takes it."""
        self._warming: Future[None] | None = None
        self._ahead: tuple[tuple[str, str, float], asyncio.Future[Samples]] | None = None
        self.spoke = False
        """Whether an answer was spoken in this session: from then on the voice is fixed."""

    def emit(self, type: str, **fields: Any) -> None:
        """Send an event, and fold it as the client will."""
        event: Event = {"type": type, "event_id": server_id("event"), **fields}
        apply_event(self.conversation, "server", event)
        self.outbox.put(orjson.dumps(event))

    def last_item(self) -> str | None:
        """Return the id of the conversation's last item."""
        order = self.conversation.order
        return order[-1] if order else None

    def remembered(self) -> list[tuple[Item, ItemExtras]]:
        """Return the conversation's items that prompts still hold, in order."""
        order = [id for id in self.conversation.order if id not in self.forgotten]
        return [(self.conversation.items[id], self.memory[id]) for id in order]

    def take_draft(self) -> SpeculativeResponse | None:
        """Return the answer that was begun ahead, if there is one; it is the caller's from now on."""
        draft, self.draft = self.draft, None
        return draft

    def listen(self, data: bytes, codec: Codec) -> asyncio.Future[str]:
        """Have encoded sound recognised, on the recogniser's thread."""
        asr = self.engine.asr

        def recognise() -> str:
            return asr.transcribe(resample(codec.decode(data), codec.rate, asr.rate)).strip()

        heard = asyncio.wrap_future(self.workers.asr.submit(self, recognise))
        heard.add_done_callback(_retrieve)
        return heard

    def speak(self, words: str, voice: str, speed: float) -> asyncio.Future[Samples]:
        """Have words spoken, on the voice's thread; what was spoken ahead is not spoken again."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == (words, voice, speed):
            return ahead[1]
        job = partial(self.engine.tts.speak, words, voice, speed)
        sound = asyncio.wrap_future(self.workers.tts.submit(self, job))
        sound.add_done_callback(_retrieve)
        return sound

    def speak_ahead(self, words: str, voice: str, speed: float) -> None:
        """Have words spoken that an answer is likely to begin with."""
        if words:
            self._ahead = (words, voice, speed), self.speak(words, voice, speed)

    def prefill(self, messages: Callable[[], list[dict[str, Any]]] | None = None) -> None:
        """Warm the model's cache, when the model is free, with the session's instructions and tools.

        ``messages`` makes other messages that a prompt will begin with; it runs on the model's thread.
        """
        start, tools = system_messages(self.session["instructions"]), self.session["tools"]

        def warm() -> None:
            try:
                self.engine.llm.prefill(start if messages is None else messages(), tools)
            except Exception:
                _log.warning("the model's cache could not be warmed", exc_info=True)

        self.skip_prefill()
        self._warming = self.workers.llm.submit(self, warm)

    def skip_prefill(self) -> None:
        """Drop a warming that has not begun: the answer that is asked for now does as much."""
        if self._warming is not None:
            self._warming.cancel()

    def end(self) -> None:
        """Let go of what nobody will wait for any more."""
        self.skip_prefill()
        if self._ahead is not None:
            self._ahead[1].cancel()
        for memory in self.memory.values():
            for words in memory.words.values():
                words.cancel()


def system_messages(instructions: str) -> list[dict[str, Any]]:
    """Return the messages that a prompt with these instructions begins with."""
    return [{"role": "system", "content": instructions}] if instructions else []


def _retrieve(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # whoever needs the words will see it; nobody may need them


_DEFAULT_MODEL = "gpt-4o-mini-transcribe"
_EVENT = "conversation.item.input_audio_transcription"


async def report(
    state: State,
    settings: Mapping[str, Any],
    item_id: str,
    content_index: int,
    ms: float,
    words: asyncio.Future[str],
) -> None:
    """Send the transcript of one content part of ``ms`` milliseconds, once ``words`` is known.

    ``settings`` is the session's ``transcription`` as it was when the sound was committed.
    """
    at = {"item_id": item_id, "content_index": content_index}
    model = settings.get("model") or _DEFAULT_MODEL
    asked = [code for code in (settings.get("language"), *settings.get("languages", ())) if code]
    offered = state.engine.asr.languages
    try:
        transcript = await asyncio.shield(words)
    except Exception as error:
        _log.exception("the speech recogniser failed")
        _fail(state, at, "server_error", None, f"The speech recogniser failed: {error}")
        return
    if asked and not any(_primary(code) in offered for code in asked):
        _fail(
            state,
            at,
            "invalid_request_error",
            "unsupported_language",
            f"The engine's speech recogniser knows {_list(offered)}; the session asks for {_list(asked)}.",
        )
        return
    if not transcript:
        message = "The audio could not be transcribed: no words were understood in it."
        _fail(state, at, "transcription_error", "audio_unintelligible", message)
        return
    # whisper-1 sends its text in one piece (digest of wire logs); the others word by word.
    deltas = [transcript] if model == "whisper-1" else re.findall(r"\s*\S+", transcript)
    for delta in deltas:
        state.emit(f"{_EVENT}.delta", **at, delta=delta)
    usage = transcription_usage(model, ms, transcript, settings.get("prompt") or "")
    state.emit(f"{_EVENT}.completed", **at, transcript=transcript, usage=usage)


def _fail(state: State, at: Mapping[str, Any], type: str, code: str | None, message: str) -> None:
    error = {"type": type, "code": code, "message": message, "param": None}
    state.emit(f"{_EVENT}.failed", **at, error=error)


def _primary(code: str) -> str:
    return re.split(r"[-_]", code.lower(), maxsplit=1)[0]


def _list(codes: Iterable[str]) -> str:
    return ", ".join(f"'{code:.20}'" for code in codes)
