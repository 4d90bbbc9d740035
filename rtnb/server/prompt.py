"""The language model's prompt: the conversation as chat messages, and as billed tokens.

A truncated answer is in it with the words that were played; the user's speech with its transcript, whether or
not the client asked for transcripts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..errors import EngineError
from ..protocol.items import Item
from .clauses import played_text
from .session_context import ItemExtras, SessionContext, system_messages
from .usage_meter import Segment, assistant_audio, user_audio

__all__ = ["Entry", "Prompt", "entries", "retention_ratio", "spoken"]

_IMAGE = "(an image, which you cannot see)"
_RETENTION_RATIO = 0.8
_LEAST_OUTPUT = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a prompt: its message, and the texts and ``ms`` milliseconds of audio that are billed."""

    id: str
    message: dict[str, Any]
    texts: tuple[str, ...] = ()
    audio_tokens: int = 0
    ms: int = 0


@dataclass(slots=True)
class Prompt:
    """A prompt: the instructions and tools, and the items of the conversation."""

    instructions: str
    tools: Sequence[dict[str, Any]]
    entries: list[Entry] = field(default_factory=list)

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
        for entry in self.entries:
            found += [Segment("text", (entry.id, text), count(text)) for text in entry.texts if text]
            if entry.audio_tokens:
                found.append(Segment("audio", (entry.id, entry.ms), entry.audio_tokens))
        return found

    def fit(self, count: Callable[[str], int], context: int, keep: float | None) -> list[str]:
        """Drop the oldest entries if the prompt is too long for ``context`` tokens; return their ids.

        Entries are dropped down to the share ``keep`` of the room, so that the prompt's beginning then stays
        the same for several turns and is cached. If ``keep`` is None, nothing is dropped.

        Raises:
            EngineError: The prompt is too long and ``keep`` is None.
        """
        room = context - min(_LEAST_OUTPUT, context // 4)
        fixed = sum(count(text) for text in (self.instructions, *(_dump(tool) for tool in self.tools)))
        sizes = [sum(count(text) for text in _read(entry.message)) + 4 for entry in self.entries]
        if fixed + sum(sizes) <= room:
            return []
        if keep is None:
            raise EngineError(
                f"the conversation has {fixed + sum(sizes):,} tokens, but the language model accepts {room:,}"
                " and truncation is disabled"
            )
        target = max(0, int((room - fixed) * keep))
        dropped = 0
        while dropped < len(sizes) - 1 and sum(sizes[dropped:]) > target:
            dropped += 1
        # A function's output is meaningless without its call.
        while dropped < len(sizes) - 1 and self.entries[dropped].message["role"] == "tool":
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


async def entries(context: SessionContext, items: Sequence[tuple[Item, ItemExtras]]) -> list[Entry]:
    """Return the prompt's entries of ``items``, once all transcripts are available.

    Raises:
        EngineError: The recognizer failed on the last item.
    """
    found: list[Entry] = []
    for index, (item, extras) in enumerate(items):
        transcripts: dict[int, str] = {}
        for part, future in extras.transcripts.items():
            try:
                transcripts[part] = await asyncio.shield(future)  # other tasks wait for it as well
            except Exception as error:
                if index == len(items) - 1:
                    raise EngineError(f"the recognizer failed: {error}") from error
                transcripts[part] = ""
        found.append(_entry(item, extras, transcripts))
    return found


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


def _read(message: dict[str, Any]) -> list[str]:
    return [message["content"], *(_dump(call) for call in message.get("tool_calls", ()))]


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
