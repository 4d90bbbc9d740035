"""The asynchronous twin of ``rtnb.connect``: the same keywords, the same errors, the same session."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

import rtnb
from rtnb.transports.memory import pair


def test_the_keywords_are_the_same() -> None:
    assert inspect.signature(rtnb.connect_async) == inspect.signature(rtnb.connect)


async def test_a_session_on_the_running_loop(tmp_path: Path) -> None:
    async with await rtnb.connect_async(engine="fake", instructions="Be brief.", autosave=False) as session:
        assert isinstance(session, rtnb.AsyncSession)
        turn = await session.send("hello")
        assert turn.text == "You said: hello"
        assert (await session.ask("Which?")).text == "You said: Which?"
        assert len(session.log) > 5
        assert session.usage.turns[0].usage.total_tokens > 0
        assert "AsyncSession with the embedded engine" in repr(session)
        await session.update(instructions="Be long.")
        with pytest.raises(rtnb.ArgumentError, match="await the turn"):
            session.send("x").wait()
        saved = session.save(tmp_path / "a.rtnb")
        session.report(tmp_path / "a.html")
    assert session.closed
    assert rtnb.open(saved).turns[0].text_so_far == "You said: hello"
    assert "You said: hello" in (tmp_path / "a.html").read_text("utf-8")


async def test_many_at_once() -> None:
    sessions = await asyncio.gather(*(rtnb.connect_async(engine="fake") for _ in range(4)))
    turns = await asyncio.gather(*(session.send(str(n)) for n, session in enumerate(sessions)))
    assert [turn.text for turn in turns] == [f"You said: {n}" for n in range(4)]
    await asyncio.gather(*(session.close() for session in sessions))


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"voise": "marin"}, "voice"),
        ({"speed": 9}, "speed"),
        ({"engine": "fake", "endpoint": "gpt-realtime"}, "pass either endpoint or engine"),
        ({"api_key": "k"}, "needs an endpoint"),
        ({"endpoint": 5}, "send, recv and close"),
        ({"timeout": 0}, "timeout"),
        ({"endpoint": "ws://localhost:1", "instructions": "\ud83d"}, "JSON"),
    ],
)
async def test_what_connect_refuses_it_refuses_too(keywords: dict[str, object], sentence: str) -> None:
    with pytest.raises(rtnb.ArgumentError, match=sentence):
        await rtnb.connect_async(**keywords)  # type: ignore[arg-type]


async def test_a_transport_of_ones_own_and_its_loss() -> None:
    client, server = pair()
    await server.send(b'{"type":"session.created","session":{"type":"realtime","model":"m"}}')

    async def confirm() -> None:
        await server.recv()
        await server.send(b'{"type":"session.updated","session":{"type":"realtime","model":"m"}}')

    task = asyncio.create_task(confirm())
    session = await rtnb.connect_async(client, autosave=False)
    await task
    turn = session.send("hello")
    await server.close(1011, "gone")
    assert (await turn).status == "failed"
    assert isinstance(session.problem, rtnb.ConnectionLost)
    await session.close()
