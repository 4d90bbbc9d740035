"""The items of one response while they are generated: written and spoken messages, and function calls.

Each item reports its opening changes, streams, and ends with all its closing changes, in the order of the
hosted service (Realtime API reference and public wire logs).
"""

from __future__ import annotations

import re
from typing import Any

from ..audio.codecs import Codec
from ..audio.samples import Resampler
from ..engines.base import Call
from ..protocol.changes import (
    ArgumentsDelta,
    AudioDelta,
    AudioDone,
    Content,
    ItemAdded,
    ItemData,
    ItemDone,
    OutputItemAdded,
    OutputItemDone,
    PartAdded,
    PartDone,
    TextDelta,
    TextDone,
    ToolCall,
)
from ..protocol.events import server_id
from ..protocol.log_storage import Sound
from .clauses import Clause, ClauseSplitter, audio_deltas, played_text
from .conversation import item_data
from .prompt import ItemExtras
from .session_context import SessionContext
from .usage_meter import assistant_audio

__all__ = ["FunctionCall", "Output", "SpokenMessage", "WrittenMessage"]


class Output:
    """One item of a response. ``text_tokens`` and ``audio_tokens`` count its output so far."""

    def __init__(self, context: SessionContext, response_id: str, index: int, in_conversation: bool) -> None:
        self.context = context
        self.id = server_id("item")
        self.open = True
        self.text_tokens = 0
        self.audio_tokens = 0
        self._in_conversation = in_conversation
        self._place: dict[str, Any] = {"response_id": response_id, "output_index": index}
        context.item_extras[self.id] = ItemExtras()

    def _announce(self, item: ItemData) -> None:
        previous = self.context.last_item()
        self.context.emit(OutputItemAdded(item=item, **self._place))
        if self._in_conversation:
            self.context.emit(ItemAdded(item, previous))
        self._previous = previous

    def _end(self, status: str) -> None:
        self.open = False
        conversation = self.context.conversation
        item = item_data(conversation.items[self.id], status=status)
        if self._in_conversation and self.id in conversation:
            self.context.emit(ItemDone(item, self._previous))
        self.context.emit(OutputItemDone(item=item, **self._place))

    def close(self, status: str) -> None:
        """End the item with its present content; ``status`` is completed or incomplete."""
        raise NotImplementedError


class _Message(Output):
    kind: str

    def __init__(self, context: SessionContext, response_id: str, index: int, in_conversation: bool) -> None:
        super().__init__(context, response_id, index, in_conversation)
        self.text = ""
        self._announce(ItemData(self.id, "message", "assistant", "in_progress"))
        self._at: dict[str, Any] = {**self._place, "item_id": self.id}
        context.emit(PartAdded(content=Content(self.kind), **self._at))

    def _end(self, status: str) -> None:
        self.context.emit(TextDone(text=self.text, kind=self.kind, **self._at))
        self.context.emit(PartDone(content=Content(self.kind, self.text), **self._at))
        super()._end(status)


class WrittenMessage(_Message):
    """A message in text."""

    kind = "text"

    async def say(self, text: str, tokens: int) -> None:
        """Add a piece of text."""
        self.text += text
        self.text_tokens += tokens
        if text:
            self.context.emit(TextDelta(text=text, kind=self.kind, **self._at))

    def close(self, status: str) -> None:
        """End the message."""
        self._end(status)


class SpokenMessage(_Message):
    """A message in speech: clause by clause, each transcript just before its audio.

    ``budget`` is the most tokens of text and audio together; ``cut`` is true once it was reached.
    """

    kind = "audio"

    def __init__(
        self,
        context: SessionContext,
        response_id: str,
        index: int,
        in_conversation: bool,
        *,
        codec: Codec,
        voice: str,
        speed: float,
        budget: int,
    ) -> None:
        super().__init__(context, response_id, index, in_conversation)
        self.cut = False
        self._codec = codec
        self._voice, self._speed = voice, speed
        self._budget = budget
        self._clauses = ClauseSplitter()
        self._resampler = Resampler(context.engine.tts.rate, codec.rate)
        self._bytes = 0

    async def say(self, text: str, tokens: int) -> None:
        """Add a piece of text; synthesize it once its clause is complete."""
        for clause, size in self._clauses.feed(text, tokens):
            await self._speak(clause, size)

    async def finish(self) -> None:
        """Synthesize the rest of the text."""
        if rest := self._clauses.rest():
            await self._speak(*rest, last=True)
        elif not self.cut:
            self._send(self._resampler.process(_silence(), last=True))

    async def _speak(self, clause: str, tokens: int, last: bool = False) -> None:
        if self.cut:
            return
        samples = _silence()
        if words := clause.strip():
            samples = await self.context.synthesize(words, self._voice, self._speed)
        samples = self._resampler.process(samples, last=last)
        start = self._ms()
        room = self._budget - self.text_tokens - tokens
        most = max(0, int((room * 50 - start) * self._codec.rate / 1000))
        if len(samples) > most:
            self.cut = True
            whole = Clause(clause, start, start + len(samples) * 1000 / self._codec.rate)
            samples = samples[:most]
            clause = played_text([whole], start + most * 1000 / self._codec.rate)
            tokens = min(tokens, max(0, self._budget - self.text_tokens))
        self.text_tokens += tokens
        self.text += clause
        if clause:
            self.context.emit(TextDelta(text=clause, kind=self.kind, **self._at))
        self._send(samples)
        self.context.item_extras[self.id].clauses.append(Clause(clause, start, self._ms()))
        await self.context.outbox.room()

    def _send(self, samples: Any) -> None:
        data = self._codec.encode(samples)
        for delta in audio_deltas(data, self._codec.width, self._codec.bytes_per_second):
            self.context.has_spoken = True
            self.context.emit(AudioDelta(audio=Sound(delta), **self._at))
        self._bytes += len(data)
        self.audio_tokens = assistant_audio(self._ms())

    def _ms(self) -> float:
        return self._bytes * 1000 / self._codec.bytes_per_second

    def close(self, status: str) -> None:
        """End the message."""
        self.context.emit(AudioDone(**self._at))
        self._end(status)


class FunctionCall(Output):
    """A function call: its arguments, complete from the start, are streamed as the hosted service does."""

    def __init__(
        self, context: SessionContext, response_id: str, index: int, in_conversation: bool, call: Call
    ) -> None:
        super().__init__(context, response_id, index, in_conversation)
        self.text_tokens = call.tokens
        self._call_id, self._call = server_id("call"), call
        self._announce(
            ItemData(self.id, "function_call", status="in_progress", call_id=self._call_id, name=call.name)
        )

    def close(self, status: str) -> None:
        """Stream the arguments and end the item."""
        place: dict[str, Any] = {**self._place, "item_id": self.id, "call_id": self._call_id}
        emit, call = self.context.emit, self._call
        for delta in re.findall(r"\s*\S{1,16}|\s+", call.arguments):
            emit(ArgumentsDelta(text=delta, **place))
        emit(ToolCall(arguments=call.arguments, name=call.name, **place))
        self._end(status)


def _silence() -> Any:
    import numpy as np

    return np.zeros(0, np.float32)
