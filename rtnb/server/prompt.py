"""What the model is given: the conversation as chat messages, and the same as billed tokens.

Of a truncated answer the model is given the words that were heard; of the user's speech, what the recogniser
understood, whether or not the client asked for transcripts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..errors import EngineError
from ..protocol.items import Item
from .clauses import heard_text
from .session_context import ItemExtras, State, system_messages
from .usage_meter import Segment, assistant_audio, user_audio

__all__ = ["Entry", "Prompt", "entries", "kept_share", "spoken"]

_UNSEEN = "(an image, which you cannot see)"
_KEPT_AFTER_OVERFLOW = 0.8
_LEAST_OUTPUT = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a prompt: its message, and the texts and ``ms`` milliseconds of sound it is billed for."""

    id: str
    message: dict[str, Any]
    texts: tuple[str, ...] = ()
    audio_tokens: int = 0
    ms: int = 0


@dataclass(slots=True)
class Prompt:
    """A whole prompt."""

    instructions: str
    tools: Sequence[dict[str, Any]]
    entries: list[Entry] = field(default_factory=list)

    def messages(self) -> list[dict[str, Any]]:
        """Return the chat messages; function calls that follow each other are one message."""
        messages = system_messages(self.instructions)
        for entry in self.entries:
            last = messages[-1] if messages else {}
            if "tool_calls" in entry.message and "tool_calls" in last:
                messages[-1] = {**last, "tool_calls": [*last["tool_calls"], *entry.message["tool_calls"]]}
            else:
                messages.append(entry.message)
        return messages

    def segments(self, count: Callable[[str], int]) -> list[Segment]:
        """Return the prompt as billed tokens, in order; ``count`` counts those of a text."""
        texts = [self.instructions, *(_dump(tool) for tool in self.tools)]
        found = [Segment("text", text, count(text)) for text in texts if text]
        for entry in self.entries:
            found += [Segment("text", (entry.id, text), count(text)) for text in entry.texts if text]
            if entry.audio_tokens:
                found.append(Segment("audio", (entry.id, entry.ms), entry.audio_tokens))
        return found

    def fit(self, count: Callable[[str], int], context: int, keep: float | None) -> list[str]:
        """Drop the oldest entries if the prompt leaves too little of ``context``; return their ids.

        Entries go in a block, down to the share ``keep``, so that the next turns find the same beginning in
        the model's cache. Where ``keep`` is None nothing is dropped, and a prompt that is too long is an
        EngineError.
        """
        room = context - min(_LEAST_OUTPUT, context // 4)
        fixed = sum(count(text) for text in (self.instructions, *(_dump(tool) for tool in self.tools)))
        sizes = [sum(count(text) for text in _read(entry.message)) + 4 for entry in self.entries]
        if fixed + sum(sizes) <= room:
            return []
        if keep is None:
            raise EngineError(
                f"the conversation has {fixed + sum(sizes):,} tokens and the engine's model reads {room:,};"
                " truncation is disabled, so nothing was left out"
            )
        target = max(0, int((room - fixed) * keep))
        dropped = 0
        while dropped < len(sizes) - 1 and sum(sizes[dropped:]) > target:
            dropped += 1
        # A function's output without its call means nothing to the model.
        while dropped < len(sizes) - 1 and self.entries[dropped].message["role"] == "tool":
            dropped += 1
        ids = [entry.id for entry in self.entries[:dropped]]
        del self.entries[:dropped]
        return ids


def kept_share(truncation: Any) -> float | None:
    """Return what the session's ``truncation`` means for ``Prompt.fit``."""
    if truncation == "disabled":
        return None
    if isinstance(truncation, dict):
        return float(truncation["retention_ratio"])
    return _KEPT_AFTER_OVERFLOW


async def entries(state: State, items: Sequence[tuple[Item, ItemExtras]]) -> list[Entry]:
    """Return the prompt's entries of ``items``, once the recogniser has understood all of them.

    Raises:
        EngineError: The recogniser failed at the last item.
    """
    found: list[Entry] = []
    for index, (item, memory) in enumerate(items):
        words: dict[int, str] = {}
        for part, future in memory.words.items():
            try:
                words[part] = await asyncio.shield(future)  # others wait for it too, whatever ends this task
            except Exception as error:
                if index == len(items) - 1:
                    raise EngineError(f"the speech recogniser failed: {error}") from error
                words[part] = ""
        found.append(_entry(item, memory, words))
    return found


def spoken(id: str, words: str, ms: float) -> Entry:
    """Return the entry of a user's item that is sound alone."""
    return Entry(id, {"role": "user", "content": words}, (), user_audio(ms), round(ms))


def _entry(item: Item, memory: ItemExtras, words: dict[int, str]) -> Entry:
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
        heard = heard_text(memory.clauses, item.played_ms)
        # The service deletes a truncated transcript: the sound alone is billed from then on.
        tokens = assistant_audio(item.played_ms)
        return Entry(item.id, {"role": "assistant", "content": heard}, (), tokens, item.played_ms)
    written = [part.text for part in item.parts if part.kind == "text"]
    said = [
        _UNSEEN if part.kind == "image" else words.get(index, part.text)
        for index, part in enumerate(item.parts)
    ]
    content = "\n".join(text for text in said if text)
    message = {"role": item.role or "user", "content": content}
    return Entry(item.id, message, tuple(written), user_audio(item.audio_ms), round(item.audio_ms))


def _read(message: dict[str, Any]) -> list[str]:
    return [message["content"], *(_dump(call) for call in message.get("tool_calls", ()))]


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
