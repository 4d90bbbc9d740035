"""The items of one answer while they are made: written, spoken, or a function's call.

Each announces itself, streams, and ends with its whole set of closing events, in the order that the hosted
service has them (Realtime API reference and public wire logs).
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from ..audio.codecs import Codec
from ..audio.samples import Resampler
from ..engines.base import Call
from ..protocol.events import server_id
from .clauses import Clause, ClauseSplitter, heard_text, pieces
from .conversation import wire_item
from .session_context import ItemExtras, State
from .usage_meter import assistant_audio

__all__ = ["FunctionCall", "Output", "SpokenMessage", "WrittenMessage"]


class Output:
    """One item of a response. ``text_tokens`` and ``audio_tokens`` are what was made of it so far."""

    def __init__(self, state: State, response_id: str, index: int, in_conversation: bool) -> None:
        self.state = state
        self.id = server_id("item")
        self.open = True
        self.text_tokens = 0
        self.audio_tokens = 0
        self._in_conversation = in_conversation
        self._place = {"response_id": response_id, "output_index": index}
        state.memory[self.id] = ItemExtras()

    def _announce(self, item: dict[str, Any]) -> None:
        wire = {"id": self.id, **item, "status": "in_progress"}
        previous = self.state.last_item()
        self.state.emit("response.output_item.added", **self._place, item=wire)
        if self._in_conversation:
            self.state.emit("conversation.item.added", previous_item_id=previous, item=wire)
        self._previous = previous

    def _end(self, status: str) -> None:
        self.open = False
        wire = {**wire_item(self.state.conversation.items[self.id]), "status": status}
        if self._in_conversation and self.id in self.state.conversation.order:
            self.state.emit("conversation.item.done", previous_item_id=self._previous, item=wire)
        self.state.emit("response.output_item.done", **self._place, item=wire)

    def close(self, status: str) -> None:
        """End the item as it is: completed or incomplete."""
        raise NotImplementedError


class _Message(Output):
    kind: str

    def __init__(self, state: State, response_id: str, index: int, in_conversation: bool) -> None:
        super().__init__(state, response_id, index, in_conversation)
        self.text = ""
        self._announce({"type": "message", "role": "assistant", "content": []})
        self._at = {**self._place, "item_id": self.id, "content_index": 0}
        state.emit("response.content_part.added", **self._at, part=self._part())

    def _part(self) -> dict[str, Any]:
        return {"type": self.kind, "text" if self.kind == "text" else "transcript": self.text}

    def _end(self, status: str) -> None:
        self.state.emit("response.content_part.done", **self._at, part=self._part())
        super()._end(status)


class WrittenMessage(_Message):
    """An answer in text."""

    kind = "text"

    async def say(self, text: str, tokens: int) -> None:
        """Add a piece of text."""
        self.text += text
        self.text_tokens += tokens
        if text:
            self.state.emit("response.output_text.delta", **self._at, delta=text)

    def close(self, status: str) -> None:
        """End the message."""
        self.state.emit("response.output_text.done", **self._at, text=self.text)
        self._end(status)


class SpokenMessage(_Message):
    """An answer in speech: clause by clause, the words just before their sound.

    ``budget`` is how many tokens of text and sound together the item may take; ``cut`` tells that it was
    reached.
    """

    kind = "audio"

    def __init__(
        self,
        state: State,
        response_id: str,
        index: int,
        in_conversation: bool,
        *,
        codec: Codec,
        voice: str,
        speed: float,
        budget: int,
    ) -> None:
        super().__init__(state, response_id, index, in_conversation)
        self.cut = False
        self._codec = codec
        self._voice, self._speed = voice, speed
        self._budget = budget
        self._clauses = ClauseSplitter()
        self._resampler = Resampler(state.engine.tts.rate, codec.rate)
        self._bytes = 0

    async def say(self, text: str, tokens: int) -> None:
        """Add a piece of text; speak it once its clause is whole."""
        for clause, size in self._clauses.feed(text, tokens):
            await self._speak(clause, size)

    async def finish(self) -> None:
        """Speak what is left."""
        if rest := self._clauses.rest():
            await self._speak(*rest, last=True)
        elif not self.cut:
            self._send(self._resampler.process(_silence(), last=True))

    async def _speak(self, clause: str, tokens: int, last: bool = False) -> None:
        if self.cut:
            return
        samples = _silence()
        if words := clause.strip():
            samples = await self.state.speak(words, self._voice, self._speed)
        samples = self._resampler.process(samples, last=last)
        start = self._ms()
        room = self._budget - self.text_tokens - tokens
        most = max(0, int((room * 50 - start) * self._codec.rate / 1000))
        if len(samples) > most:
            self.cut = True
            whole = Clause(clause, start, start + len(samples) * 1000 / self._codec.rate)
            samples = samples[:most]
            clause = heard_text([whole], start + most * 1000 / self._codec.rate)
            tokens = min(tokens, max(0, self._budget - self.text_tokens))
        self.text_tokens += tokens
        self.text += clause
        if clause:
            self.state.emit("response.output_audio_transcript.delta", **self._at, delta=clause)
        self._send(samples)
        self.state.memory[self.id].clauses.append(Clause(clause, start, self._ms()))
        await self.state.outbox.room()

    def _send(self, samples: Any) -> None:
        data = self._codec.encode(samples)
        for delta in pieces(data, self._codec.width, self._codec.bytes_per_second):
            self.state.spoke = True
            self.state.emit("response.output_audio.delta", **self._at, delta=b64encode(delta).decode())
        self._bytes += len(data)
        self.audio_tokens = assistant_audio(self._ms())

    def _ms(self) -> float:
        return self._bytes * 1000 / self._codec.bytes_per_second

    def close(self, status: str) -> None:
        """End the message."""
        self.state.emit("response.output_audio.done", **self._at)
        self.state.emit("response.output_audio_transcript.done", **self._at, transcript=self.text)
        self._end(status)


class FunctionCall(Output):
    """A function's call, with all its arguments at once, streamed as the service streams them."""

    def __init__(self, state: State, response_id: str, index: int, in_conversation: bool, call: Call) -> None:
        super().__init__(state, response_id, index, in_conversation)
        self.text_tokens = call.tokens
        self._call_id, self._call = server_id("call"), call
        self._announce(
            {"type": "function_call", "call_id": self._call_id, "name": call.name, "arguments": ""}
        )

    def close(self, status: str) -> None:
        """Stream the arguments and end the item."""
        place = {**self._place, "item_id": self.id, "call_id": self._call_id}
        emit = self.state.emit
        for delta in re.findall(r"\s*\S{1,16}|\s+", self._call.arguments):
            emit("response.function_call_arguments.delta", **place, delta=delta)
        emit(
            "response.function_call_arguments.done",
            **place,
            name=self._call.name,
            arguments=self._call.arguments,
        )
        self._end(status)


def _silence() -> Any:
    import numpy as np

    return np.zeros(0, np.float32)
