"""Which items a question is about, and what it saves to forget some of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

    ``about`` is "conversation", a turn, an item, or an iterable of items, their ids, and turns. Of a turn
    those items count that the conversation has: an out-of-band turn has none. Raises ArgumentError for
    anything else, for an item that is not in the conversation, and if no turn has any.
    """
    if about == "conversation":
        return list(conversation.order)
    if isinstance(about, (Item, TurnView)):
        about = [about]
    if isinstance(about, (str, bytes)) or not isinstance(about, Iterable):
        raise ArgumentError(f"about: expected 'conversation' or a list of items and turns, got {about!r:.80}")
    named = list(about)
    place = {id: number for number, id in enumerate(conversation.order)}
    ids = {id for one in named for id in _ids(one, place)}
    if named and not ids:
        raise ArgumentError("about: the conversation has no item of these turns (any more)")
    return sorted(ids, key=place.__getitem__)


def _ids(one: Any, place: Mapping[str, int]) -> list[str]:
    if isinstance(one, TurnView):
        return [id for id in one.item_ids if id in place]
    if isinstance(one, Item):
        one = one.id
    if isinstance(one, str):
        if one not in place:
            raise ArgumentError(f"about: {one!r:.80} is not in the conversation (any more)")
        return [one]
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
