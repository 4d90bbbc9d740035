"""Which items a question is about, and what it saves to forget some of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..analysis.turn import TurnView
from ..errors import ArgumentError
from ..protocol.changes import ItemData
from ..protocol.conversation import Conversation
from ..protocol.items import Item
from ..protocol.models import Model
from ..protocol.usage import Cost, Usage

__all__ = ["Forgotten", "item_ids", "references"]

_TEXT_CHARACTERS = 4.0
_INPUT_AUDIO_MS, _OUTPUT_AUDIO_MS = 100.0, 50.0
"""What one token stands for: about four characters of English, and audio as in the realtime costs guide."""


def item_ids(about: Any, conversation: Conversation) -> list[str]:
    """Return the ids of the items that ``about`` names, in the conversation's order where they are in it.

    ``about`` is "conversation", or an iterable of items, their ids, and turns. Raises ArgumentError for
    anything else, and for items that are not in the conversation.
    """
    if about == "conversation":
        return list(conversation.order)
    if isinstance(about, (str, bytes)) or not isinstance(about, Iterable):
        raise ArgumentError(f"about: expected 'conversation' or a list of items and turns, got {about!r:.80}")
    ids = [id for one in about for id in _ids(one)]
    absent = [id for id in ids if id not in conversation.order]
    if absent:
        raise ArgumentError(f"about: {absent[0]!r:.80} is not in the conversation any more")
    return sorted(dict.fromkeys(ids), key=conversation.order.index)


def _ids(one: Any) -> list[str]:
    if isinstance(one, str):
        return [one]
    if isinstance(one, Item):
        return [one.id]
    if isinstance(one, TurnView):
        return one.item_ids
    raise ArgumentError(f"about: expected items, their ids, or turns, got {type(one).__name__}")


def references(ids: Iterable[str]) -> list[ItemData]:
    """Return references to items of the conversation, for the input of a response."""
    return [ItemData(id=id, type="item_reference", raw={"type": "item_reference", "id": id}) for id in ids]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `forget` removed: items, and about how many tokens each further response does not read again.

    The count is an estimate: about four characters of text a token, and audio as the service counts it.
    """

    items: int
    text_tokens: int
    audio_tokens: int
    cost: Cost | None
    """The price of reading them once, uncached; None where it is unknown."""

    @classmethod
    def of(cls, items: list[Item], row: Model, *, billed: bool) -> Forgotten:
        """Estimate what some items take in the prompt."""
        text, audio = 0.0, 0.0
        for item in items:
            ms = _OUTPUT_AUDIO_MS if item.role == "assistant" else _INPUT_AUDIO_MS
            audio += item.audio_ms / ms
            if not item.audio_ms:
                words = item.text or item.arguments or item.output or ""
                text += len(words) / _TEXT_CHARACTERS
        used = Usage(input_text=round(text), input_audio=round(audio))
        return cls(len(items), round(text), round(audio), used.cost(row, billed=billed))

    def __repr__(self) -> str:
        count = f"{self.items} item{'' if self.items == 1 else 's'}"
        tokens = self.text_tokens + self.audio_tokens
        price = "" if self.cost is None else f", {self.cost} uncached"
        return f"<Forgot {count}: about {tokens:,} tokens less in each further response{price}>"
