"""Questions about the conversation that leave it as it is, and forgetting its beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import rtnb
from rtnb import ArgumentError
from rtnb.engines.fake import fake
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.session.simulated_listener import SimulatedListener
from rtnb.transports.memory import pair


@pytest.fixture
async def session() -> AsyncIterator[AsyncSession]:
    client, server = pair()
    serving = asyncio.create_task(serve(server, fake({})))
    session = await AsyncSession(client, billed=False).open({"turn_detection": False})
    yield session
    await session.close()
    await serving


async def test_a_question_reads_the_conversation_and_does_not_change_it(session: AsyncSession) -> None:
    await session.send("My name is Ada.")
    before = list(session.state.conversation.order)
    turn = await session.ask("What is my name?")
    assert turn.status == "completed"
    assert turn.text_so_far == "You said: What is my name?"
    assert turn.audio_so_far is None
    assert session.state.conversation.order == before
    sent = session.state.log.filter("response.create")[-1].data["response"]
    assert [item.get("id") for item in sent["input"][:-1]] == before
    assert sent["conversation"] == "none"
    assert turn.input == "What is my name?"


async def test_a_question_may_be_about_a_part_or_nothing(session: AsyncSession) -> None:
    first, second = await session.send("one"), await session.send("two")
    turn = await session.ask("Which?", about=[second])
    ids = [
        item["id"] for item in session.state.log.filter("response.create")[-1].data["response"]["input"][:-1]
    ]
    assert ids == second.item_ids
    assert turn.status == "completed"
    item = session.state.conversation.items[first.item_ids[0]]
    await session.ask("Which?", about=[item, second.item_ids[0]])
    await session.ask("Which?", about=[])
    assert len(session.state.log.filter("response.create")[-1].data["response"]["input"]) == 1
    for wrong, sentence in ((5, "expected 'conversation'"), ([5], "expected items"), (["x"], "not in the")):
        with pytest.raises(ArgumentError, match=sentence):
            session.ask("Which?", about=wrong)


async def test_a_question_about_turns_leaves_out_what_no_conversation_has(session: AsyncSession) -> None:
    first = await session.send("first")
    asked = await session.ask("How is it going?")
    kept = await session.send("second")
    again = await session.ask("And now?", about=session.turns)
    assert again.status == "completed"
    await session.forget(before=kept)
    for about in (session.turns, kept, [first, kept]):
        last = await session.ask("And now?", about=about)
        assert last.status == "completed"
    for gone in (asked, [asked, first], [first.item_ids[0]]):
        with pytest.raises(ArgumentError, match=r"about: .*(any more)"):
            session.ask("Of what?", about=gone)


async def test_questions_run_beside_a_turn(session: AsyncSession) -> None:
    running = session.send("tell me a long story")
    asked = await session.ask("How is it going?")
    assert asked.status == "completed"
    running.cancel()
    await running


async def test_forgetting_deletes_the_items_and_says_what_it_saves(session: AsyncSession) -> None:
    first = await session.send("a text of some length, to be forgotten")
    second = await session.send("kept")
    saved = await session.forget(before=second)
    assert session.state.conversation.order == second.item_ids
    assert saved.items == len(first.item_ids)
    assert saved.text_tokens > 5
    assert "tokens less in each further response" in repr(saved)
    assert first.text_so_far  # it stays readable
    assert (await session.forget(before=0)).items == 0
    assert (await session.send("more")).status == "completed"
    with pytest.raises(ArgumentError, match="expected a turn or its number"):
        await session.forget(before="x")  # type: ignore[arg-type]


async def test_speech_without_a_transcript_says_why(session: AsyncSession) -> None:
    clip = rtnb.Clip.tone(440, 0.5)
    assert (await session.send(clip)).transcript_note == "No transcript: the session does not request one."
    await session.update(transcription=True)
    said = await session.send(clip)
    assert said.transcript_note == ""
    assert said.input.text
    aside = await session.send(clip, conversation="none")
    assert aside.input.audio is not None
    sentence = "No transcript: only speech that joins the conversation is transcribed."
    assert aside.transcript_note == sentence
    assert sentence in aside._repr_mimebundle_()["text/html"]
    assert (await session.send("text", conversation="none")).transcript_note == ""


async def test_audio_arrives_as_clips(session: AsyncSession) -> None:
    pieces: list[rtnb.Clip] = []

    async def listen() -> None:
        async for piece in session.audio():
            pieces.append(piece)

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    turn = await session.send("hello")
    await session.close()
    await task
    assert turn.audio_so_far is not None
    assert sum(piece.seconds for piece in pieces) == pytest.approx(turn.audio_so_far.seconds)


async def test_a_simulated_listener_truncates_to_what_it_played(session: AsyncSession) -> None:
    listener = SimulatedListener(session)
    turn = session.send("tell me a long story")
    async with asyncio.timeout(20):
        while listener.played(turn) < 0.2:
            await asyncio.sleep(0.01)
    assert listener.playing
    listener.interrupt()
    await turn
    async with asyncio.timeout(20):
        while turn.played is None:
            await asyncio.sleep(0.01)
    assert 0.2 <= turn.played <= listener.played(turn) + 0.01
    assert turn.status == "interrupted" or turn.status == "cancelled"
    assert not listener.playing
    following = await session.send("hello")
    assert following.status == "completed"
    listener.close()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda s: SimulatedListener(5), "expected a session"),
        (lambda s: SimulatedListener(s, speed=0), "above 0"),
    ],
)
async def test_what_a_listener_refuses(session: AsyncSession, make: object, sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        make(session)  # type: ignore[operator]


def test_the_blocking_twins() -> None:
    with rtnb.connect(engine="fake") as session:
        session.send("one").wait()
        second = session.send("two").wait()
        assert session.ask("Which?").text == "You said: Which?"
        assert session.forget(before=second).items >= 2
        listener = rtnb.SimulatedListener(session)
        assert listener.played(second) == 0.0
        listener.close()
