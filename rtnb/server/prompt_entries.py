"""The prompt's entries of a conversation, retained from one response to the next.

A long conversation changes only at its end, as a rule. So only the items that changed since the last prompt
are read again, and a turn costs the same however many came before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..protocol.changes import Change, ResponseEnded
from ..protocol.conversation import Conversation
from .prompt import Entry, ItemExtras, read_entry, require_transcripts

__all__ = ["PromptEntries"]


class PromptEntries:
    """The entries of all items that are in prompts, in order; ``note`` keeps them up to date."""

    def __init__(self, conversation: Conversation, extras: Mapping[str, ItemExtras]) -> None:
        self._conversation, self._extras = conversation, extras
        self._dropped: set[str] = set()
        self._ids: list[str] = []
        self._entries: list[Entry | None] = []  # of the ids, in the same order
        self._at: dict[str, int] = {}  # id → its place in both
        self._changed: set[str] = set()  # ids whose entries must be read again
        self._known = 0  # how many items the conversation had when the ids were listed
        self._reordered = False

    def drop(self, ids: Iterable[str]) -> None:
        """Leave out items that no longer fit into the model's context; they stay in the conversation."""
        before = len(self._dropped)
        self._dropped.update(ids)
        self._reordered = self._reordered or len(self._dropped) > before

    def note(self, change: Change) -> None:
        """Take note of a change that the conversation has folded in."""
        for id in _items_of(change):
            if id in self._at:
                self._changed.add(id)
        order = self._conversation.order
        if self._reordered or len(order) == self._known:
            return
        if len(order) == self._known + 1 and order[-1] in _items_of(change):
            self._append(order[-1])
        else:
            self._reordered = True

    async def read(self) -> list[Entry]:
        """Return the entries, once all transcripts are available.

        Raises:
            EngineError: The recognizer failed on the last item.
        """
        if self._reordered:
            self._list()
        ids, found = list(self._ids), list(self._entries)
        for at in sorted(self._at[id] for id in self._changed if id in self._at):
            found[at] = await self._read(ids[at])
        if ids:
            require_transcripts(self._extras[ids[-1]])
        return [entry for entry in found if entry is not None]

    async def _read(self, id: str) -> Entry:
        entry = await read_entry(self._conversation.items[id], self._extras[id])
        if (at := self._at.get(id)) is not None:
            self._entries[at] = entry
            self._changed.discard(id)
        return entry

    def _append(self, id: str) -> None:
        self._at[id] = len(self._ids)
        self._ids.append(id)
        self._entries.append(None)
        self._changed.add(id)
        self._known += 1

    def _list(self) -> None:
        """List the items again: one was inserted, deleted or dropped."""
        read = {id: entry for id, entry in zip(self._ids, self._entries, strict=True) if entry is not None}
        order = self._conversation.order
        self._ids = [id for id in order if id not in self._dropped]
        self._entries = [read.get(id) for id in self._ids]
        self._at = {id: at for at, id in enumerate(self._ids)}
        self._changed = {id for id in self._ids if id in self._changed or id not in read}
        self._known, self._reordered = len(order), False


def _items_of(change: Change) -> list[str]:
    """Return the ids of the items that a change is about."""
    if isinstance(change, ResponseEnded):
        return [item.id for item in change.items]
    item = getattr(change, "item", None)
    id = getattr(change, "item_id", "") if item is None else item.id
    return [id] if id else []
