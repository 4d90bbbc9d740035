"""The session against the real server over a connection in memory, with the fake engine."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest
from support.schema import check_server_event

import rtnb
from rtnb.analysis.turn import TurnView
from rtnb.engines.fake import fake
from rtnb.errors import ArgumentError, AuthError, ConnectionLost, ServiceError, SessionClosed, TurnTimeout
from rtnb.protocol.changes import Change, Command
from rtnb.protocol.state import SessionState
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.transports import pair
from rtnb.transports.memory import MemoryEnd


class Bench:
    """Opens sessions against a server of their own, and closes both."""

    def __init__(self) -> None:
        self.open_sessions: list[AsyncSession] = []
        self.servers: list[asyncio.Task[None]] = []
        self.wrong: list[Exception] = []

    async def open(self, **options: object) -> AsyncSession:
        client, server = pair()
        self.servers.append(asyncio.create_task(serve(server, fake({}))))
        options = {"turn_detection": False, "transcription": True, **options}
        session = await AsyncSession(client, billed=False).open(options)
        self.open_sessions.append(session)
        return session

    async def end(self) -> None:
        for session in self.open_sessions:
            await session.close()
            for entry in session.state.log.filter(direction="server"):
                try:
                    check_server_event(entry.data)
                except Exception as error:
                    self.wrong.append(error)
        await asyncio.gather(*self.servers)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.end()
    assert made.wrong == []


async def test_a_text_turn_is_told_in_full(bench: Bench) -> None:
    session = await bench.open()
    turn = session.send("hello there")
    assert (turn.status, turn.done) == ("in_progress", False)
    assert await turn is turn
    assert turn.status == "completed"
    assert turn.text == "You said: hello there"
    assert turn.input == "hello there"
    assert turn.audio is not None
    assert turn.audio.rate == 24_000
    assert turn.audio.seconds == pytest.approx(turn.items[0].audio_ms / 1000)
    assert turn.error is None
    assert turn.usage.output_text > 0
    assert turn.usage.output_audio > 0
    assert turn.cost is not None
    assert turn.cost > 0
    assert not turn.cost.billed
    assert turn.latency.since == "requested"
    assert 0 <= turn.latency.first_audio <= turn.latency.total
    assert session.turns == [turn]
    assert {entry.turn for entry in turn.events} == {turn.number}
    assert turn.events[0].type == "conversation.item.create"
    assert "response.done" in turn.events.counts()


async def test_a_turn_in_text_has_no_sound(bench: Bench) -> None:
    session = await bench.open(modalities="text")
    turn = await session.send("hello")
    assert turn.text == "You said: hello"
    assert turn.audio is None
    assert turn.usage.output_audio == 0
    assert turn.latency.first_audio is None


async def test_one_answer_may_differ_from_the_session(bench: Bench) -> None:
    session = await bench.open()
    turn = await session.send("hello", modalities="text", metadata={"why": "test"})
    assert turn.audio is None
    assert turn.events.filter("response.create")[0].data["response"]["metadata"] == {"why": "test"}
    assert (await session.send("hello")).audio is not None


async def test_deltas_join_to_the_whole(bench: Bench) -> None:
    session = await bench.open()
    turn = session.send("tell me a long story", max_output_tokens=200)
    deltas = [delta async for delta in turn]
    assert "".join(d.text for d in deltas if d.kind == "text") == turn.text
    sound = rtnb.Clip.join([d.audio for d in deltas if d.audio is not None])
    assert sound == turn.audio
    assert [d async for d in turn] == deltas  # they can be read again
    assert turn.status == "incomplete"
    assert turn.reason == "max_output_tokens"


async def test_a_clip_is_heard_and_transcribed(bench: Bench) -> None:
    session = await bench.open()
    turn = await session.send(rtnb.Clip.tone(300, 1.5, rate=16_000))
    assert turn.input == "(speech, 1.5 seconds)"
    assert turn.input.audio is not None
    assert turn.input.audio.seconds == pytest.approx(1.5, abs=0.01)
    assert turn.text == "You said: (speech, 1.5 seconds)"
    assert turn.usage.input_audio == 15


@pytest.mark.parametrize("form", ["pcm16", "g711_ulaw", "g711_alaw"])
async def test_every_format_carries_sound_both_ways(bench: Bench, form: str) -> None:
    session = await bench.open(input_format=form, output_format=form)
    turn = await session.send(rtnb.Clip.tone(300, 1.0))
    assert turn.input.audio.seconds == pytest.approx(1.0, abs=0.01)
    assert turn.input.audio.peak == pytest.approx(0.5, abs=0.03)
    assert turn.audio.rate == (24_000 if form == "pcm16" else 8_000)
    assert turn.audio.peak > 0.1


async def test_a_list_is_one_turn(bench: Bench) -> None:
    session = await bench.open()
    turn = await session.send(["Listen:", rtnb.Clip.tone(300, 1.0)], "What was it?")
    assert turn.input == "Listen: (speech, 1.0 seconds) What was it?"
    assert len(session.turns) == 1
    assert [item.role for item in session.state.conversation] == ["user", "user", "user", "assistant"]


async def test_where_the_server_detects_turns_a_clip_is_still_one_turn(bench: Bench) -> None:
    session = await bench.open(turn_detection="server_vad")
    turn = await session.send(rtnb.Clip.tone(300, 1.0))
    assert turn.text == "You said: (speech, 1.0 seconds)"
    assert turn.status == "completed"
    assert len(session.turns) == 1


async def test_streamed_speech_becomes_turns(bench: Bench) -> None:
    session = await bench.open(turn_detection={"type": "server_vad", "silence_duration_ms": 300})
    word, pause = rtnb.Clip.tone(300, 0.8), rtnb.Clip.silence(0.8)
    await session.speak(rtnb.Clip.join([pause, word, pause, word, pause]), speed=50)
    async with asyncio.timeout(20):
        while len(session.turns) < 2 or not session.turns[1].done:
            await asyncio.sleep(0.01)
    first, second = session.turns
    assert second.status == "completed"
    assert first.input.audio is not None
    assert first.input.audio.seconds == pytest.approx(0.8 + 0.3 + 0.3, abs=0.15)  # speech, padding, silence
    assert {"speech_started", "speech_end", "speech_stopped", "committed", "first_audio"} <= set(second.marks)
    assert second.latency.since == "speech_end"
    assert second.latency.first_audio >= 0


async def test_push_to_talk(bench: Bench) -> None:
    session = await bench.open()
    for _ in range(10):
        session.append(rtnb.Clip.tone(300, 0.1))
    turn = await session.commit()
    assert turn.text == "You said: (speech, 1.0 seconds)"
    assert len(session.turns) == 1


async def test_what_is_committed_while_a_turn_runs_is_apart_and_answered_next(bench: Bench) -> None:
    session = await bench.open()
    running, later = session.send("one"), session.send("two")
    session.append(rtnb.Clip.tone(300, 0.5))
    spoken = session.commit()
    assert session.state.log[-1].type == "input_audio_buffer.commit"
    with pytest.raises(ArgumentError, match="waits for its answer"):
        session.commit()
    await later
    assert [turn.done for turn in (running, spoken)] == [True, True]
    assert spoken.text == "You said: (speech, 0.5 seconds)"
    assert (later.input, later.text) == ("two", "You said: two")
    assert [turn.number for turn in (running, spoken, later)] == [0, 1, 2]


async def test_input_of_a_turn_that_was_dropped_belongs_to_the_next_turn(
    bench: Bench,
) -> None:
    session = await bench.open()
    running = session.send(" ".join(["word"] * 50))
    session.append(rtnb.Clip.tone(300, 0.5))
    dropped = session.commit()
    session.cancel_turn(dropped)
    assert (dropped.status, dropped.number) == ("cancelled", 1)
    session.append(rtnb.Clip.tone(300, 1.5))
    turn = await session.commit()
    assert running.done
    sounds = [session.state.conversation.items[id] for id in session.state.turns.all[1].inputs]
    assert [item.audio_ms for item in sounds] == [500, 1500]
    assert turn.input.audio.seconds == pytest.approx(2.0)
    assert (dropped.status, dropped.items, dropped.input.audio) == ("cancelled", [], None)


async def test_a_refused_commit_that_waits_fails_its_turn_alone(bench: Bench) -> None:
    session = await bench.open()
    running = session.send("one")
    session.append(rtnb.Clip.tone(300, 0.5))
    session.send_event({"type": "input_audio_buffer.clear"})
    session._input_buffer._buffered = 48_000  # as if it had not noticed
    refused = await session.commit()
    assert refused.status == "failed"
    assert (await running).status == "completed"
    assert (await session.send("two")).text == "You said: two"


async def test_what_is_cleared_is_in_no_turn(bench: Bench) -> None:
    session = await bench.open()
    session.append(rtnb.Clip.tone(300, 0.5))
    session.clear()
    with pytest.raises(ArgumentError, match=r"got 0\.00 s"):
        session.commit()
    session.append(rtnb.Clip.tone(300, 1.0))
    turn = await session.commit()
    assert turn.input.audio is not None
    assert turn.input.audio.seconds == pytest.approx(1.0)


async def test_turns_wait_for_each_other(bench: Bench) -> None:
    session = await bench.open()
    turns = [session.send(f"number {n}") for n in range(5)]
    assert turns[4].queued
    for turn in turns:
        await turn
    assert [turn.text for turn in turns] == [f"You said: number {n}" for n in range(5)]
    assert [turn.number for turn in turns] == list(range(5))
    roles = [item.role for item in session.state.conversation]
    assert roles == ["user", "assistant"] * 5


async def test_added_input_belongs_to_the_next_turn(bench: Bench) -> None:
    session = await bench.open()
    session.add("first")
    turn = await session.send("second")
    assert turn.input == "first second"
    assert turn.number == 0


async def test_out_of_band_leaves_the_conversation_alone(bench: Bench) -> None:
    session = await bench.open()
    out_of_band = session.send("aside", conversation="none", metadata={"k": "v"})
    turn = session.send("hello")
    await out_of_band
    await turn
    assert out_of_band.text == "You said: aside"
    assert turn.text == "You said: hello"
    assert len(session.state.conversation) == 2


async def test_cancelling_keeps_what_was_said(bench: Bench) -> None:
    session = await bench.open()
    turn = session.send("tell me a long story")
    async for delta in turn:
        if delta.kind == "audio":
            break
    turn.cancel()
    await turn
    assert turn.status == "cancelled"
    assert turn.text_so_far
    assert turn.audio_so_far is not None
    assert (await session.send("still there?")).status == "completed"


async def test_cancelling_before_it_began(bench: Bench) -> None:
    session = await bench.open()
    running, queued = session.send("tell me a long story"), session.send("never sent")
    queued.cancel()
    running.cancel()
    await running
    await queued
    assert (running.status, queued.status) == ("cancelled", "cancelled")
    assert "never sent" not in json.dumps([entry.raw for entry in session.state.log])
    queued.cancel()  # a turn that is over stays as it is
    assert (await session.send("go on")).status == "completed"


async def test_interrupting_cuts_the_item_to_what_was_heard(bench: Bench) -> None:
    session = await bench.open()
    turn = await session.send("one two three four five six seven eight nine ten")
    whole = turn.audio.seconds
    turn.interrupt(0.4)
    async with asyncio.timeout(5):
        while turn.played is None:
            await asyncio.sleep(0.01)
    assert turn.played == pytest.approx(0.4)
    assert turn.status == "interrupted"
    assert turn.audio.seconds == whole  # the unheard rest is kept
    with pytest.raises(ArgumentError, match="seconds"):
        turn.interrupt(-1)


async def test_interrupting_before_anything_was_heard(bench: Bench) -> None:
    session = await bench.open()
    turn = await session.send("one two three four five six seven eight nine ten")
    turn.interrupt(0)
    async with asyncio.timeout(5):
        while not session.state.log.filter("conversation.item.deleted"):
            await asyncio.sleep(0.01)
    assert (turn.played, turn.status) == (0, "interrupted")
    assert turn.audio.seconds > 0
    assert "0.00 s of" in turn._repr_mimebundle_()["text/html"]
    recorded = SessionState.of(session.state.log)  # what a recording of it knows
    fold = recorded.turns.all[turn.number]
    view = TurnView(recorded, fold)
    assert (view.played, view.status, view.marks) == (0, "interrupted", turn.marks)
    assert {"interrupted", "cut"} <= set(turn.marks)


async def test_deleting_an_answer_says_nothing_of_what_was_heard(bench: Bench) -> None:
    session = await bench.open()
    turn = await session.send("one two three")
    session.send_event({"type": "conversation.item.delete", "item_id": turn.items[0].id})
    await session.send("go on")
    assert session.state.log.filter("conversation.item.deleted")
    assert (turn.played, turn.status) == (None, "completed")
    assert not {"interrupted", "cut"} & set(turn.marks)


async def test_cutting_leaves_alone_what_was_heard_to_its_end(bench: Bench) -> None:
    session = await bench.open()
    turn = await session.send("one two three")
    assert not session.truncate_turn(turn, turn.audio.seconds)
    assert await session.send("go on")
    assert not session.state.log.filter("conversation.item.truncate")
    assert (turn.played, turn.status) == (None, "completed")


async def test_interrupting_by_what_a_player_knows(bench: Bench) -> None:
    session = await bench.open()
    turn = await session.send("one two three four five six seven eight nine ten")
    done: list[bool] = []
    with pytest.raises(ArgumentError, match="nothing plays this turn"):
        turn.interrupt()
    turn.stop_playback = lambda: done.append(session.interrupt_turn(turn, 0.2))
    turn.interrupt()
    async with asyncio.timeout(5):
        while turn.played is None:
            await asyncio.sleep(0.01)
    assert turn.played == pytest.approx(0.2)
    assert done == [True]


def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


async def test_a_tool_is_run_and_answered_once(bench: Bench) -> None:
    session = await bench.open(tools=[weather])
    turn = await session.send("what is the weather in Paris")
    assert turn.text == "The tool said: sunny in Paris"
    (call,) = turn.calls
    assert (call.name, json.loads(call.arguments), call.output) == (
        "weather",
        {"city": "Paris"},
        "sunny in Paris",
    )
    assert len(turn.events.filter("response.create")) == 2
    assert len(session.turns) == 1


async def test_a_failing_tool_tells_model_and_user(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def broken(x: int) -> int:
        """Fail."""
        raise RuntimeError("out of order")

    session = await bench.open(tools=[broken])
    turn = await session.send("use broken now")
    assert turn.status == "completed"
    assert turn.calls[0].error == "RuntimeError: out of order"
    assert "out of order" in turn.text
    assert "broken failed" in caplog.text


async def test_a_tool_without_a_function_is_the_callers_to_answer(bench: Bench) -> None:
    lookup = {"type": "function", "name": "lookup", "parameters": {"type": "object", "properties": {}}}
    session = await bench.open(tools=[lookup])
    turn = await session.send("please lookup")
    assert turn.status == "waiting"
    assert turn.calls[0].output is None
    assert [call.id for call in turn.waiting_calls] == [turn.calls[0].id]
    item = {"type": "function_call_output", "call_id": turn.calls[0].id, "output": "found"}
    session.send_event({"type": "conversation.item.create", "item": item})
    session.send_event({"type": "response.create"})
    async with asyncio.timeout(5):
        while "found" not in turn.text_so_far:
            await asyncio.sleep(0.01)
    assert len(session.state.turns.all) == 1  # it is still the same turn


async def test_a_cancelled_turn_stops_its_tools(bench: Bench) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> str:
        """Never end."""
        started.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return ""

    session = await bench.open(tools=[endless])
    turn = session.send("call endless")
    await started.wait()
    turn.cancel()
    await turn
    await ended.wait()
    assert turn.status == "cancelled"
    assert (await session.send("next")).status == "completed"


async def test_a_model_that_never_stops_calling_is_stopped(bench: Bench) -> None:
    def again() -> str:
        """Ask again."""
        return "again"

    session = await bench.open(tools=[again], tool_choice="required")
    turn = session.send("again")
    async with asyncio.timeout(20):
        await turn
    assert turn.status in ("completed", "failed")
    assert len(turn.calls) <= 8
    assert (await session.send("hello", tool_choice="none")).status == "completed"


async def test_bad_requests_are_refused_before_anything_is_sent(bench: Bench) -> None:
    session = await bench.open()
    sent = len(session.state.log)
    png = b"\x89PNG\r\n\x1a\n" + bytes(20)
    for things, options, words in (
        ((png,), {}, "not images"),
        (("hi",), {"response_format": {"type": "json_schema"}}, "does not support structured outputs"),
        (("",), {}, "empty"),
        ((), {}, "nothing to send"),
        ((3.5,), {}, "send: expected"),
        (("hi",), {"max_output_tokens": 5000}, "1 to 4,096"),
        (("hi",), {"modalities": "video"}, "modalities"),
        (("hi",), {"tools": [3]}, "a tool: expected"),
    ):
        with pytest.raises(ArgumentError, match=words):
            session.send(*things, **options)
    assert len(session.state.log) == sent
    assert session.turns == []


async def test_the_services_refusal_is_the_turns_error(bench: Bench) -> None:
    session = await bench.open()
    turn = await session.send("hello", voice="nobody at all")
    assert turn.status == "failed"
    assert isinstance(turn.error, ServiceError)
    with pytest.raises(ServiceError):
        _ = turn.text
    assert (await session.send("hello")).status == "completed"


async def test_an_update_that_is_refused_changes_nothing(bench: Bench) -> None:
    session = await bench.open(instructions="Be brief.")
    with pytest.raises(ServiceError, match="Unknown parameter") as caught:
        await session.update(session={"bogus_field": 1})
    assert caught.value.code == "unknown_parameter"
    assert caught.value.param == "session.bogus_field"
    assert session.state.session["instructions"] == "Be brief."
    await session.update(instructions="Be long.")
    assert session.state.session["instructions"] == "Be long."


async def test_updates_at_the_same_time_are_each_answered(bench: Bench) -> None:
    session = await bench.open()
    results = await asyncio.gather(
        session.update(instructions="one"),
        session.update(session={"bogus_field": 1}),
        session.update(instructions="three"),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), ServiceError, type(None)]
    assert session.state.session["instructions"] == "three"


async def test_waiting_on_the_sessions_own_loop_is_refused(bench: Bench) -> None:
    session = await bench.open()
    turn = session.send("hello")
    with pytest.raises(ArgumentError, match="await the turn"):
        turn.wait()
    assert turn.text == ""  # what has arrived, without waiting
    await turn


async def test_a_timeout_leaves_the_turn_going(bench: Bench) -> None:
    session = await bench.open()
    turn = session.send("tell me a long story")
    with pytest.raises(TurnTimeout):
        await asyncio.to_thread(turn.wait, 0)
    assert (await turn).status == "completed"
    assert turn.wait(0) is turn


async def test_closing_fails_what_waits_and_keeps_what_was_said(bench: Bench) -> None:
    session = await bench.open()
    done = await session.send("hello")
    running, queued = session.send("tell me a long story"), session.send("later")
    await session.close()
    await session.close()
    for turn in (running, queued):
        assert turn.status == "failed"
        assert isinstance(turn.error, SessionClosed)
    assert done.text == "You said: hello"
    for call in (lambda: session.send("x"), lambda: session.append(b""), lambda: session.add("x")):
        with pytest.raises(SessionClosed):
            call()


async def test_a_listener_hears_every_frame_and_may_fail(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    session = await bench.open()
    heard: list[str] = []

    def fails(change: Change | Command, number: int) -> None:
        raise RuntimeError("mine")

    end = session.subscribe(lambda change, number: heard.append(type(change).__name__))
    session.subscribe(fails)
    before = len(session.state.log)
    await session.send("hello")
    rows = range(before, len(session.state.log))
    assert heard == [type(one).__name__ for row in rows for one in session.state.read_again(row)]
    assert caplog.text.count("a listener of the session failed") == 1
    end()
    end()
    count = len(heard)
    await session.send("hello")
    assert len(heard) == count


# A server that is scripted by hand, for what the real one does not do.


async def scripted(*frames: str, code: int = 1000, reason: str = "") -> MemoryEnd:
    client, server = pair()
    for frame in frames:
        await server.send(frame.encode())
    if code != 1000:
        await server.close(code, reason)
    return client


CREATED = '{"type":"session.created","session":{"type":"realtime","model":"m"}}'


@pytest.mark.parametrize(
    ("code", "reason", "error", "words"),
    [
        (3000, "invalid_request_error.invalid_api_key", AuthError, "refused the key"),
        (4000, "invalid_request_error.beta_api_shape_disabled", ServiceError, "beta protocol"),
        (4000, "invalid_request_error.invalid_model", ServiceError, "invalid_model"),
        (1001, "Your session hit the maximum duration of 60 minutes.", ConnectionLost, "60 minutes"),
        (1011, "internal", ConnectionLost, "1011"),
    ],
)
async def test_a_fatal_close_is_one_sentence(
    code: int, reason: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await AsyncSession(await scripted(code=code, reason=reason)).open()


async def test_a_connection_that_breaks_fails_the_turn() -> None:
    client, server = pair()
    await server.send(CREATED.encode())
    session = await AsyncSession(client).open()
    turn = session.send("hello")
    await server.close(1011, "gone")
    await turn
    assert turn.status == "failed"
    assert isinstance(turn.error, ConnectionLost)
    assert session.closed
    with pytest.raises(SessionClosed, match="Connect again"):
        session.send("more")
    await session.close()


async def test_a_server_that_says_nothing_is_given_up() -> None:
    with pytest.raises(ConnectionLost, match=r"did not open the session"):
        await AsyncSession(await scripted()).open(timeout=0.05)


async def test_a_commit_that_cannot_be_leaves_the_session_usable(bench: Bench) -> None:
    session = await bench.open()
    with pytest.raises(ArgumentError, match=r"got 0\.00 s"):
        session.commit()
    session.append(rtnb.Clip.tone(300, 0.5))
    with pytest.raises(ArgumentError, match="modalities"):
        session.commit(modalities="smell")
    turn = await session.commit(tools=[weather])
    assert turn.text == "You said: (speech, 0.5 seconds)"
    with pytest.raises(ArgumentError, match=r"must last at least 0\.1 s"):
        session.send(rtnb.Clip.tone(300, 0.05))
    assert (await session.send("hello")).status == "completed"


async def test_wrong_arguments_are_sentences(bench: Bench) -> None:
    session = await bench.open()
    for call, words in (
        (lambda: session.append("x"), "append: expected a Clip"),
        (lambda: session.send_event("x"), "event: expected a dict"),
        (lambda: session.subscribe(None), "listener: expected"),
        (lambda: session.send("x", instruction="y"), "did you mean 'instructions'"),
    ):
        with pytest.raises(ArgumentError, match=words):
            call()
    for work, words in (
        (session.update(model="x"), "pass model= to rtnb.connect"),
        (session.update(voices="x"), "did you mean 'voice'"),
        (session.speak(rtnb.Clip.tone(300, 0.5)), 'turn_detection="server_vad"'),
        (session.speak(3), "expected a path, bytes, an open file"),
    ):
        with pytest.raises(ValueError, match=words):
            await work


async def test_an_answer_to_refused_input_is_cancelled() -> None:
    client, server = pair()
    await server.send(CREATED.encode())
    session = await AsyncSession(client).open()
    turn, later = session.send("hello"), session.send("later")
    create, ask = json.loads(await server.recv()), json.loads(await server.recv())
    assert (create["type"], ask["type"]) == ("conversation.item.create", "response.create")
    error = {"type": "invalid_request_error", "code": "odd", "message": "No.", "event_id": create["event_id"]}
    response = {"id": "r", "status": "in_progress", "output": []}
    await server.send(json.dumps({"type": "error", "error": error}).encode())
    await server.send(json.dumps({"type": "response.created", "response": response}).encode())
    cancels = [json.loads(await server.recv()) for _ in range(2)]  # before and after it has an id
    assert [one["type"] for one in cancels] == ["response.cancel"] * 2
    assert [one.get("response_id") for one in cancels] == [None, "r"]
    done = {**response, "status": "cancelled", "status_details": {"reason": "client_cancelled"}}
    await server.send(json.dumps({"type": "response.done", "response": done}).encode())
    await turn
    assert turn.status == "failed"
    assert isinstance(turn.error, ServiceError)
    assert turn.error.code == "odd"
    assert json.loads(await server.recv())["item"]["content"][0]["text"] == "later"  # the next turn goes on
    later.cancel()
    await session.close()


@pytest.mark.parametrize("error", ["{}", "null", '"words"', '{"event_id": 5}', '{"message": 7}'])
async def test_an_odd_error_event_ends_nothing(error: str) -> None:
    client, server = pair()
    await server.send(CREATED.encode())
    session = await AsyncSession(client).open()
    await server.send(f'{{"type": "error", "error": {error}}}'.encode())
    await server.send(b'{"type": "error"}')
    await server.send(b'{"type": "from.the.future"}')
    async with asyncio.timeout(5):
        while len(session.state.log) < 4:
            await asyncio.sleep(0.01)
    assert not session.closed
    await session.close()


class Broken:
    """A transport whose library has a bug."""

    def __init__(self) -> None:
        self.first = True

    async def send(self, frame: bytes) -> None:
        raise RuntimeError("no cable")

    async def recv(self) -> bytes:
        if self.first:
            self.first = False
            return CREATED.encode()
        await asyncio.sleep(3600)
        return b""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        pass


async def test_a_transport_that_breaks_is_a_sentence() -> None:
    session = await AsyncSession(Broken()).open()
    turn = session.send("hello")
    await turn
    assert turn.status == "failed"
    assert "no cable" in str(session.problem)
    with pytest.raises(SessionClosed, match="no cable"):
        session.send("more")
    await session.close()


async def test_whoever_knows_better_explains_the_end() -> None:
    client, server = pair()
    await server.send(CREATED.encode())
    session = AsyncSession(client, explain=lambda lost: ConnectionLost(f"the engine ended ({lost.code})"))
    await session.open()
    await server.close(1006)
    async with asyncio.timeout(5):
        while not session.closed:
            await asyncio.sleep(0.01)
    assert str(session.problem) == "the engine ended (1006)"
    await session.close()


async def test_a_delta_may_end_within_a_sample() -> None:
    client, server = pair()
    await server.send(CREATED.encode())
    session = await AsyncSession(client).open()
    turn = session.send("hello")
    ids = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    sound = rtnb.Clip.tone(300, 0.1)
    data = sound.to_pcm16()
    events = [
        {"type": "response.created", "response": {"id": "r", "status": "in_progress"}},
        {
            "type": "response.output_item.added",
            **ids,
            "item": {"id": "i", "type": "message", "role": "assistant"},
        },
        *(
            {"type": "response.output_audio.delta", **ids, "delta": base64.b64encode(part).decode()}
            for part in (data[:101], data[101:1000], data[1000:1003], data[1003:])
        ),
        {"type": "response.done", "response": {"id": "r", "status": "completed", "output": []}},
    ]
    for event in events:
        await server.send(json.dumps(event).encode())
    pieces = [delta.audio async for delta in turn if delta.audio is not None]
    assert b"".join(piece.to_pcm16() for piece in pieces) == data
    assert turn.audio.to_pcm16() == data
    await session.close()


async def test_frames_that_make_no_sense_are_kept_and_survived() -> None:
    odd = ["not json", "[1]", '{"no": "type"}', '{"type": "response.created"}', '{"type": "from.the.future"}']
    session = await AsyncSession(await scripted(CREATED, *odd)).open()
    async with asyncio.timeout(5):
        while len(session.state.log) < 6:
            await asyncio.sleep(0.01)
    assert [entry.raw for entry in session.state.log][1:] == odd
    assert len(session.state.problems) == 3
    await session.close()


async def test_a_delta_that_makes_no_sense_does_not_end_the_reading_of_a_turn() -> None:
    client, server = pair()
    await server.send(CREATED.encode())
    session = await AsyncSession(client).open()
    turn = session.send("hello")
    ids = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    item = {"id": "i", "type": "message", "role": "assistant"}
    text, sound = "response.output_text.delta", "response.output_audio.delta"
    events = [
        {"type": "response.created", "response": {"id": "r", "status": "in_progress"}},
        {"type": "response.output_item.added", **ids, "item": item},
        {"type": text, "response_id": "r", "delta": "lost"},
        {"type": text, **ids, "delta": 5},
        {"type": text, **ids},
        {"type": sound, **ids, "item_id": "x", "delta": "AAAA"},
        {"type": sound, **ids, "delta": "no base64"},
        {"type": text, **ids, "delta": "said"},
        {"type": "response.done", "response": {"id": "r", "status": "completed", "output": []}},
    ]
    for event in events:
        await server.send(json.dumps(event).encode())
    assert [delta.text async for delta in turn if delta.kind == "text"] == ["lost", "said"]
    await session.close()


async def test_a_frame_that_cannot_be_recorded_ends_the_session_with_an_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await bench.open()
    append = session.state.append

    def broken(frame: bytes, direction: str, **details: object) -> object:
        if direction == "server" and b"response.done" in frame:
            raise RuntimeError("a defect")
        return append(frame, direction, **details)

    monkeypatch.setattr(session.state, "append", broken)
    turn = await session.send("Hello")
    assert turn.status == "failed"
    assert "could not be recorded: RuntimeError: a defect" in str(turn.error)


async def test_what_arrives_after_sending_failed_is_still_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await bench.open()
    transport = session._connection._transport
    assert isinstance(transport, MemoryEnd)

    async def broken(frame: bytes) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(transport, "send", broken)
    turn = await session.send("Hello")
    assert "sending failed: RuntimeError: no more" in str(turn.error)
    await transport.peer.send(b'{"type":"input_audio_buffer.cleared","event_id":"event_late"}')
    async with asyncio.timeout(20):
        while session.state.log[-1].type != "input_audio_buffer.cleared":
            await asyncio.sleep(0.001)
