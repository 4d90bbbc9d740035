"""A turn costs the server the same however many came before it; counted, not timed."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest

from rtnb.engines.base import Engine
from rtnb.engines.fake import fake
from rtnb.server.session import serve
from rtnb.transports.memory import MemoryEnd, pair

OURS = ("rtnb/server", "rtnb/protocol")


@asynccontextmanager
async def connected(engine: Engine, **session: Any) -> AsyncIterator[MemoryEnd]:
    client, end = pair()
    serving = asyncio.create_task(serve(end, engine))
    session = {"type": "realtime", "output_modalities": ["text"], **session}
    await client.send(json.dumps({"type": "session.update", "session": session}).encode())
    yield client
    await client.close()
    await serving


async def turn(client: MemoryEnd, words: str) -> dict[str, Any]:
    """Have a text turn and return its usage."""
    content = [{"type": "input_text", "text": words}]
    item = {"type": "message", "role": "user", "content": content}
    await client.send(json.dumps({"type": "conversation.item.create", "item": item}).encode())
    await client.send(b'{"type":"response.create"}')
    async with asyncio.timeout(30):
        while b'"type":"response.done"' not in (frame := await client.recv()):
            pass
        await client.recv()
    usage: dict[str, Any] = json.loads(frame)["response"]["usage"]
    return usage


class Counted:
    """Counts calls of the server's functions, on all threads, and the text whose tokens are counted."""

    def __init__(self) -> None:
        self.engine = fake({})
        self.calls: Counter[str] = Counter()
        self.characters = 0
        count = self.engine.llm.count

        def counting(text: str) -> int:
            self.characters += len(text)
            return count(text)

        self.engine.llm.count = counting

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename.replace("\\", "/")
        if event == "call" and any(package in name for package in OURS):
            self.calls[f"{name}:{frame.f_code.co_qualname}"] += 1

    async def turns(self, client: MemoryEnd, numbers: range) -> tuple[int, int]:
        """Have some turns; return the calls and characters of the last ten."""
        for number in numbers:
            if number == numbers[-10]:
                self.calls.clear()
                self.characters = 0
            await turn(client, f"turn {number:04d}")
        return self.calls.total(), self.characters


@pytest.fixture
def counted() -> Iterator[Counted]:
    counted = Counted()
    before = sys.getprofile()
    threading.setprofile(counted)  # the workers, which start with the session
    sys.setprofile(counted)
    yield counted
    sys.setprofile(before)
    threading.setprofile(None)


@pytest.mark.slow
async def test_a_turn_does_the_same_work_in_a_long_conversation(counted):
    async with connected(counted.engine) as client:
        calls, characters = await counted.turns(client, range(20))
        later_calls, later_characters = await counted.turns(client, range(20, 120))
        assert later_characters == characters
        assert later_calls < calls * 1.1, counted.calls.most_common(10)


@pytest.mark.slow
async def test_a_full_context_is_trimmed_once_in_many_turns():
    engine = fake({})
    engine.llm.context = 1_000
    async with connected(engine, instructions="Be kind.") as client:
        sizes = [
            (await turn(client, f"turn {n:04d} and a few more words"))["input_tokens"] for n in range(150)
        ]
    assert max(sizes) <= 1_000
    trimmed = [at for at, size in enumerate(sizes) if at and size < sizes[at - 1]]
    assert 2 < len(trimmed) < 25
    assert min(later - before for before, later in pairwise(trimmed)) >= 5
