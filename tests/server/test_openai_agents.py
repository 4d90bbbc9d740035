"""The realtime layer of openai-agents against a real server process: it knows only published events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner
from support.process import serving
from support.server import silence, tone

from rtnb.audio.codecs import to_pcm16

KEY = "sk-local-test"


@pytest.fixture(scope="module")
def url():
    with serving(key=KEY) as address:
        yield f"ws://{address}/v1/realtime?model=gpt-4o-realtime-preview"


@function_tool
def get_weather(place: str) -> str:
    """Tell the weather at a place."""
    return f"rain in {place}"


@asynccontextmanager
async def running(url: str, **settings: Any) -> AsyncIterator[Any]:
    agent = RealtimeAgent(name="bench", instructions="Be brief.", tools=[get_weather])
    runner = RealtimeRunner(agent, config={"model_settings": settings, "tracing_disabled": True})
    session = await runner.run(model_config={"url": url, "api_key": KEY})
    async with session, asyncio.timeout(60):
        yield session


async def collect(session: Any, last: str, *, times: int = 1) -> list[Any]:
    """Return the session's events up to one of the type ``last``; no error may be among them."""
    events: list[Any] = []
    async for event in session:
        assert event.type != "error", event
        events.append(event)
        if event.type == last:
            times -= 1
            if not times:
                break
    return events


async def test_a_text_message_is_answered_in_speech(url):
    async with running(url) as session:
        await session.send_message("hello")
        events = await collect(session, "audio_end")
        assert sum(len(event.audio.data) for event in events if event.type == "audio") > 4_800


async def test_a_tool_is_called_and_answered(url):
    async with running(url, modalities=["text"]) as session:
        await session.send_message('get_weather "Bergen"')
        events = await collect(session, "agent_end", times=2)
        ended = next(event for event in events if event.type == "tool_end")
        assert ended.output == "rain in Bergen"


async def test_speech_is_recognized_and_interrupts(url):
    async with running(url) as session:
        await session.send_message("tell me a long story")
        await collect(session, "audio")
        for sound in (silence(0.2), tone(1.0)):
            await session.send_audio(to_pcm16(sound))
        await collect(session, "audio_interrupted")
        for _ in range(20):
            await session.send_audio(to_pcm16(silence(0.1)))
        await collect(session, "agent_end")
