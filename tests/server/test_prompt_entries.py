"""Retained entries are those that reading the whole conversation again would give."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.errors import EngineError
from rtnb.protocol.changes import (
    Change,
    Content,
    InputTranscript,
    ItemAdded,
    ItemData,
    ItemDeleted,
    OutputItemAdded,
    TextDelta,
    Truncated,
)
from rtnb.protocol.conversation import Conversation
from rtnb.server.clauses import Clause
from rtnb.server.prompt import ItemExtras, entries
from rtnb.server.prompt_entries import PromptEntries

PLACES = st.integers(0, 12)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["add", "insert", "delete", "truncate", "text", "transcript", "drop"]), PLACES),
    st.tuples(st.sampled_from(["add", "read"]), PLACES),
)


class Session:
    """A conversation, the entries retained of it, and the steps that change it."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.extras: dict[str, ItemExtras] = {}
        self.retained = PromptEntries(self.conversation, self.extras)
        self.dropped: set[str] = set()
        self._made = 0

    def emit(self, change: Change) -> None:
        self.conversation.apply(change)
        self.retained.note(change)

    def step(self, verb: str, place: int) -> None:
        order = self.conversation.order
        if verb in ("add", "insert"):
            self._made += 1
            id = f"item_{self._made}"
            role = ("user", "assistant")[place % 2]
            clauses = [Clause("one ", 0, 100), Clause("two", 100, 200)]
            self.extras[id] = ItemExtras(clauses=clauses)
            previous = order[place % len(order)] if order and verb == "insert" else None
            if verb == "add" and order:
                previous = order[-1]
            item = ItemData(id, "message", role, contents=[Content("text", f"text {self._made}")])
            if role == "assistant":
                self.emit(OutputItemAdded("resp", item))
            self.emit(ItemAdded(item, previous))
        elif not order:
            return
        id = order[place % len(order)]
        if verb == "delete":
            self.emit(ItemDeleted(id))
        elif verb == "truncate":
            self.emit(Truncated(id, 100))
        elif verb == "text":
            self.emit(TextDelta("resp", id, " more"))
        elif verb == "transcript":
            self.emit(InputTranscript(id, "words"))
        elif verb == "drop":
            self.dropped.add(order[0])
            self.retained.drop([order[0]])

    async def agrees(self) -> None:
        kept = [id for id in self.conversation.order if id not in self.dropped]
        whole = await entries([(self.conversation.items[id], self.extras[id]) for id in kept])
        assert await self.retained.read() == whole


@given(st.lists(STEPS, max_size=30))
def test_they_are_those_of_the_whole_conversation(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        session = Session()
        for verb, place in steps:
            session.step(verb, place)
            if verb == "read":
                await session.agrees()
        await session.agrees()

    asyncio.run(run())


async def test_only_what_changed_is_read_again() -> None:
    session = Session()
    for _ in range(5):
        session.step("add", 0)
    before = await session.retained.read()
    session.step("add", 0)
    session.step("truncate", 1)
    after = await session.retained.read()
    assert [new is old for new, old in zip(after, before, strict=False)] == [True, False, True, True, True]


async def test_a_change_while_transcripts_are_awaited_is_not_lost() -> None:
    session = Session()
    session.step("add", 0)
    session.step("add", 0)
    late: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    session.extras["item_2"].transcripts[0] = late
    reading = asyncio.create_task(session.retained.read())
    await asyncio.sleep(0)
    session.step("delete", 0)
    session.step("add", 1)
    late.set_result("spoken")
    assert [entry.id for entry in await reading] == ["item_1", "item_2"]
    await session.agrees()


async def test_a_recognizer_that_failed_matters_only_in_the_last_item() -> None:
    session = Session()
    session.step("add", 0)
    failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    failed.set_exception(RuntimeError("deaf"))
    session.extras["item_1"].transcripts[0] = failed
    for _ in range(2):
        with pytest.raises(EngineError, match="the recognizer failed: deaf"):
            await session.retained.read()
    session.step("add", 0)
    assert len(await session.retained.read()) == 2
    session.emit(ItemDeleted("item_2"))
    with pytest.raises(EngineError, match="the recognizer failed: deaf"):
        await session.retained.read()
