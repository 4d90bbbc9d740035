"""Calls that the caller answers, or the user approves; and turns that go on without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import rtnb
from rtnb import ArgumentError
from rtnb.engines.fake import fake
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.transports.memory import pair

LOOKUP = {"type": "function", "name": "lookup", "parameters": {"type": "object", "properties": {}}}
paid: list[str] = []


@rtnb.tool(approve=True)
def pay(sum: str = "5") -> str:
    """Pay a sum."""
    paid.append(sum)
    return "paid"


@pytest.fixture
async def session() -> AsyncIterator[AsyncSession]:
    paid.clear()
    client, server = pair()
    serving = asyncio.create_task(serve(server, fake({})))
    session = await AsyncSession(client, billed=False, answer_timeout=0.3).open({"turn_detection": False})
    yield session
    await session.close()
    await serving


async def test_the_caller_answers(session: AsyncSession) -> None:
    turn = await session.send("please lookup", tools=[LOOKUP])
    assert turn.status == "waiting"
    assert not turn.done
    assert "waiting" in repr(turn)
    await asyncio.sleep(0.5)  # longer than a silent server may take
    turn.answer(turn.waiting_calls[0], {"found": True})
    await turn
    assert turn.status == "completed"
    assert turn.waiting_calls == []
    assert '{"found":true}' in turn.text_so_far
    follow_up = session.state.log.filter("response.create")[-1].data["response"]
    assert follow_up["tools"][0]["name"] == "lookup"  # the options of the turn are repeated


async def test_nothing_runs_before_it_is_approved(session: AsyncSession) -> None:
    turn = await session.send("please pay", tools=[pay])
    assert (turn.status, paid) == ("waiting", [])
    turn.approve()
    await turn
    assert turn.status == "completed"
    assert len(paid) == 1
    assert "paid" in turn.text_so_far


async def test_a_refused_call_is_an_error_for_the_model(session: AsyncSession) -> None:
    turn = await session.send("please pay", tools=[pay])
    turn.refuse()
    await turn
    assert paid == []
    assert turn.calls[0].error == "the user refused this call"
    assert turn.status == "completed"


async def test_the_conversation_goes_on_without_an_answer(session: AsyncSession) -> None:
    turn = await session.send("please lookup", tools=[LOOKUP])
    following = await session.send("hello")
    assert following.text_so_far == "You said: hello"
    assert turn.done
    assert turn.status == "completed"
    assert turn.calls[0].output is None
    with pytest.raises(ArgumentError, match="does not wait"):
        turn.answer(turn.calls[0], "late")


async def test_a_turn_that_waits_does_not_hold_up_those_sent_before_it_waited(session: AsyncSession) -> None:
    turn, following = session.send("please lookup", tools=[LOOKUP]), session.send("hello")
    assert (await following).text_so_far == "You said: hello"
    assert turn.done


async def test_a_turn_that_waits_can_be_cancelled(session: AsyncSession) -> None:
    turn = await session.send("please lookup", tools=[LOOKUP])
    turn.cancel()
    await asyncio.sleep(0.01)
    assert turn.status == "cancelled"
    assert (await session.send("hello")).status == "completed"


async def test_calls_out_of_band(session: AsyncSession) -> None:
    turn = await session.send("please lookup", tools=[LOOKUP], conversation="none")
    turn.answer(turn.waiting_calls[0], "found")
    await turn
    assert turn.status == "completed"
    assert "found" in turn.text_so_far
    assert turn.calls[0].output == "found"
    assert len(session.state.conversation) == 0


async def test_what_is_refused(session: AsyncSession) -> None:
    turn = await session.send("please lookup", tools=[LOOKUP])
    for call, sentence in (("nothing", "waiting calls: call_"), (5, "expected one of turn.waiting_calls")):
        with pytest.raises(ArgumentError, match=sentence):
            turn.answer(call, "x")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="has no function to run"):
        turn.approve()
    turn.cancel()


def test_from_another_thread() -> None:
    with rtnb.connect(engine="fake", tools=[LOOKUP]) as session:
        turn = session.send("please lookup").wait(20)
        assert turn.status == "waiting"
        turn.answer(turn.waiting_calls[0].id, "found")
        assert "found" in turn.text
