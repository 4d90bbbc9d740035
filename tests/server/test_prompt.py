from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtnb.errors import EngineError
from rtnb.server.prompt import Entry, Prompt, retention_ratio
from rtnb.server.usage_meter import Segment


def words(text: str) -> int:
    return len(text.split())


def entry(id: str, role: str, text: str, **more: Any) -> Entry:
    return Entry(id, {"role": role, "content": text, **more}, (text,))


def call(id: str) -> Entry:
    wire = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return Entry(id, {"role": "assistant", "content": "", "tool_calls": [wire]}, ("f", "{}"))


def test_calls_in_a_row_are_one_message():
    prompt = Prompt("", [], [entry("u", "user", "hi"), call("c1"), call("c2"), entry("o", "tool", "x")])
    roles = [(message["role"], len(message.get("tool_calls", ()))) for message in prompt.messages()]
    assert roles == [("user", 0), ("assistant", 2), ("tool", 0)]


def test_segments_differ_by_item_and_length():
    sound = Entry("a", {"role": "user", "content": "hi"}, (), 7, 650)
    prompt = Prompt("Be kind.", [], [sound, entry("u", "user", "two words")])
    assert prompt.segments(words) == [
        Segment("text", "Be kind.", 2),
        Segment("audio", ("a", 650), 7),
        Segment("text", ("u", "two words"), 2),
    ]


def test_a_functions_output_goes_with_its_call():
    entries = [entry(f"u{n}", "user", "word " * 20) for n in range(3)]
    prompt = Prompt(
        "", [], [*entries, call("c"), entry("o", "tool", "word " * 20), entry("v", "user", "end")]
    )
    assert prompt.fit(words, 40, 0.9) == ["u0", "u1", "u2", "c", "o"]
    assert [kept.id for kept in prompt.entries] == ["v"]


def test_the_last_entry_always_stays():
    prompt = Prompt("", [], [entry("u", "user", "word " * 500)])
    assert prompt.fit(words, 40, 0.8) == []
    assert len(prompt.entries) == 1


def test_truncation():
    assert retention_ratio("auto") == retention_ratio(None) == 0.8
    assert retention_ratio({"type": "retention_ratio", "retention_ratio": 0.5}) == 0.5
    assert retention_ratio("disabled") is None
    with pytest.raises(EngineError, match="truncation is disabled"):
        Prompt("", [], [entry("u", "user", "word " * 500)]).fit(words, 40, None)


async def test_the_order_of_words_is_that_of_items():
    from rtnb.engines.fake import fake
    from rtnb.protocol.dialects import GA
    from rtnb.protocol.items import Item, Part
    from rtnb.server.prompt import ItemExtras, entries
    from rtnb.server.schema import defaults
    from rtnb.server.session_context import SessionContext
    from rtnb.server.usage_meter import TokenWindow
    from rtnb.server.workers import lease

    engine = fake({})
    with lease(engine) as workers:
        context = SessionContext(engine, workers, defaults("s", "m", 0), TokenWindow(1), GA)
        late: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        parts = [Part("text", "see"), Part("audio", codec=context.conversation.input_codec)]
        spoken = Item("i1", role="user", parts=parts)
        written = Item("i2", role="user", parts=[Part("text", "second")])
        reading = asyncio.create_task(
            entries([(spoken, ItemExtras(transcripts={1: late})), (written, ItemExtras())])
        )
        await asyncio.sleep(0)
        late.set_result("what I said")
        assert [found.message["content"] for found in await reading] == ["see\nwhat I said", "second"]
