from __future__ import annotations

import pytest
from support.server import connected

from rtnb.engines.base import TextPiece
from rtnb.errors import EngineError
from rtnb.server.generation import Generation, GenerationStarted, Request
from rtnb.server.prompt import Prompt, spoken


def request(words: str = "hello", keep: float | None = 0.8) -> Request:
    return Request(Prompt("Be kind.", [], [spoken("item_1", words, 500.0)]), "auto", 100, keep)


async def test_a_late_reader_gets_all_output():
    async with connected() as wire:
        generation = Generation(wire.server.context, request())
        first = [piece async for piece in generation.pieces()]
        late = [piece async for piece in generation.pieces()]
        assert first == late
        assert isinstance(first[0], GenerationStarted)
        assert "".join(p.text for p in first if isinstance(p, TextPiece)) == "You said: hello"


async def test_a_stopped_run_ends():
    async with connected() as wire:
        generation = Generation(wire.server.context, request("tell me a long story"))
        generation.stop()
        assert len([piece async for piece in generation.pieces()]) < 1_000


async def test_what_the_model_raised_is_raised():
    async with connected() as wire:
        generation = Generation(wire.server.context, request("word " * 40_000, keep=None))
        with pytest.raises(EngineError, match="truncation is disabled"):
            [piece async for piece in generation.pieces()]
        assert generation.request.prompt.entries  # what was asked stays as it was


def test_equal_requests():
    assert request() == request()
    assert request() != request("goodbye")
