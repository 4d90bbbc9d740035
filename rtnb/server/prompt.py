"""The language model's prompt: the conversation as chat messages, and as billed tokens.

A truncated answer is in it with the words that were played; the user's speech with its transcript, whether or
not the client asked for transcripts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any

import orjson

from ..errors import EngineError
from ..protocol.items import Item
from .clauses import Clause, played_text
from .usage_meter import Segment, assistant_audio, user_audio

__all__ = [
    "Entry",
    "ItemExtras",
    "Prompt",
    "entries",
    "read_entry",
    "require_transcripts",
    "retention_ratio",
    "spoken",
    "system_messages",
]

_IMAGE = "(an image, which you cannot see)"
_RETENTION_RATIO = 0.8
_LEAST_OUTPUT = 256


@dataclass(slots=True)
class ItemExtras:
    """What only the server knows of an item.

    ``transcripts`` has a future for each content part with audio of the user. ``clauses`` say when the words
    of a spoken answer are played.
    """

    transcripts: dict[int, asyncio.Future[str]] = field(default_factory=dict)
    clauses: list[Clause] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """One item of a prompt: its message, and the texts and ``ms`` milliseconds of audio that are billed.

    It does not change. Its tokens are counted once, when a prompt first needs them: ``size`` of the message,
    and ``segments`` of what is billed.
    """

    id: str
    message: dict[str, Any]
    texts: tuple[str, ...] = ()
    audio_tokens: int = 0
    ms: int = 0
    size: int = field(default=-1, compare=False)
    segments: tuple[Segment, ...] = field(default=(), compare=False)

    def measure(self, count: Callable[[str], int]) -> None:
        """Count the tokens; ``count`` counts those of a text."""
        found = [Segment("text", (self.id, text), count(text)) for text in self.texts if text]
        if self.audio_tokens:
            found.append(Segment("audio", (self.id, self.ms), self.audio_tokens))
        self.segments = tuple(found)
        self.size = sum(count(text) for text in _read(self.message)) + 4


@dataclass(slots=True)
class Prompt:
    """A prompt: the instructions and tools, and the items of the conversation."""

    instructions: str
    tools: Sequence[dict[str, Any]]
    entries: list[Entry] = field(default_factory=list)
    _measured: bool = field(default=False, init=False, compare=False, repr=False)

    def messages(self) -> list[dict[str, Any]]:
        """Return the chat messages; consecutive function calls are one message."""
        messages = system_messages(self.instructions)
        for entry in self.entries:
            last = messages[-1] if messages else {}
            if "tool_calls" in entry.message and "tool_calls" in last:
                messages[-1] = {**last, "tool_calls": [*last["tool_calls"], *entry.message["tool_calls"]]}
            else:
                messages.append(entry.message)
        return messages

    def segments(self, count: Callable[[str], int]) -> list[Segment]:
        """Return the billed tokens of the prompt, in order; ``count`` counts those of a text."""
        texts = [self.instructions, *(_dump(tool) for tool in self.tools)]
        found = [Segment("text", text, count(text)) for text in texts if text]
        self._measure(count)
        found.extend(chain.from_iterable(map(attrgetter("segments"), self.entries)))
        return found

    def _measure(self, count: Callable[[str], int]) -> None:
        if not self._measured:
            for entry in self.entries:
                if entry.size < 0:
                    entry.measure(count)
            self._measured = True

    def fit(self, count: Callable[[str], int], context: int, keep: float | None) -> list[str]:
        """Drop the oldest entries if the prompt is too long for ``context`` tokens; return their ids.

        Entries are dropped down to the share ``keep`` of the room, so that the prompt's beginning then stays
        the same for several turns and is cached. If ``keep`` is None, nothing is dropped.

        Raises:
            EngineError: The prompt is too long and ``keep`` is None.
        """
        room = context - min(_LEAST_OUTPUT, context // 4)
        fixed = sum(count(text) for text in (self.instructions, *(_dump(tool) for tool in self.tools)))
        self._measure(count)
        size = sum(map(attrgetter("size"), self.entries))
        if fixed + size <= room:
            return []
        if keep is None:
            raise EngineError(
                f"the conversation has {fixed + size:,} tokens, but the language model accepts {room:,}"
                " and truncation is disabled"
            )
        target = max(0, int((room - fixed) * keep))
        dropped, last = 0, len(self.entries) - 1
        while dropped < last and size > target:
            size -= self.entries[dropped].size
            dropped += 1
        # A function's output is meaningless without its call.
        while dropped < last and self.entries[dropped].message["role"] == "tool":
            dropped += 1
        ids = [entry.id for entry in self.entries[:dropped]]
        del self.entries[:dropped]
        return ids


def retention_ratio(truncation: Any) -> float | None:
    """Return the argument ``keep`` of ``Prompt.fit`` for the session's ``truncation``."""
    if truncation == "disabled":
        return None
    if isinstance(truncation, dict):
        return float(truncation["retention_ratio"])
    return _RETENTION_RATIO


async def entries(items: Sequence[tuple[Item, ItemExtras]]) -> list[Entry]:
    """Return the prompt's entries of ``items``, once all transcripts are available.

    Raises:
        EngineError: The recognizer failed on the last item.
    """
    found = [await read_entry(item, extras) for item, extras in items]
    if items:
        require_transcripts(items[-1][1])
    return found


async def read_entry(item: Item, extras: ItemExtras) -> Entry:
    """Return the entry of an item once its transcripts are available; one that failed is empty."""
    transcripts: dict[int, str] = {}
    for part, future in extras.transcripts.items():
        try:
            transcripts[part] = await asyncio.shield(future)  # other tasks wait for it as well
        except Exception:
            transcripts[part] = ""
    return _entry(item, extras, transcripts)


def require_transcripts(extras: ItemExtras) -> None:
    """Raise EngineError if the recognizer failed on an item; its transcripts are available."""
    for future in extras.transcripts.values():
        if error := future.exception():
            raise EngineError(f"the recognizer failed: {error}") from error


def spoken(id: str, transcript: str, ms: float) -> Entry:
    """Return the entry of a user's item with audio only."""
    return Entry(id, {"role": "user", "content": transcript}, (), user_audio(ms), round(ms))


def _entry(item: Item, extras: ItemExtras, transcripts: dict[int, str]) -> Entry:
    if item.type == "function_call":
        call = {"name": item.name or "", "arguments": item.arguments}
        wire = {"id": item.call_id or item.id, "type": "function", "function": call}
        message: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [wire]}
        return Entry(item.id, message, (call["name"], call["arguments"]))
    if item.type == "function_call_output":
        output = item.output or ""
        return Entry(
            item.id, {"role": "tool", "content": output, "tool_call_id": item.call_id or ""}, (output,)
        )
    if item.role == "assistant":
        if item.played_ms is None:
            text = item.text
            return Entry(
                item.id,
                {"role": "assistant", "content": text},
                (text,),
                assistant_audio(item.audio_ms),
                round(item.audio_ms),
            )
        text = played_text(extras.clauses, item.played_ms)
        # The hosted service deletes the transcript of a truncated item: only its audio is billed from then
        # on.
        tokens = assistant_audio(item.played_ms)
        return Entry(item.id, {"role": "assistant", "content": text}, (), tokens, item.played_ms)
    written = [part.text for part in item.parts if part.kind == "text"]
    texts = [
        _IMAGE if part.kind == "image" else transcripts.get(index, part.text)
        for index, part in enumerate(item.parts)
    ]
    content = "\n".join(text for text in texts if text)
    message = {"role": item.role or "user", "content": content}
    return Entry(item.id, message, tuple(written), user_audio(item.audio_ms), round(item.audio_ms))


def system_messages(instructions: str) -> list[dict[str, Any]]:
    """Return the messages that a prompt with these instructions starts with."""
    return [{"role": "system", "content": instructions}] if instructions else []


def _read(message: dict[str, Any]) -> list[str]:
    return [message["content"], *(_dump(call) for call in message.get("tool_calls", ()))]


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
