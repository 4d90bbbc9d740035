"""Every turn ends: refused, cancelled, ignored or late, and the session stays usable."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from support.deviating_server import (
    CLOSE,
    SESSION,
    DeviatingServer,
    Event,
    Respond,
    answer,
    deviating,
    each_request,
    error,
    one_by_one,
)

import rtnb

PATIENCE = 20.0
SOON = 8.0
"""Seconds: what must end within two, on a busy machine."""


@contextmanager
def talking(respond: Respond, **options: Any) -> Iterator[tuple[rtnb.Session, DeviatingServer]]:
    """Connect to a scripted server."""
    given = {name: options.pop(name) for name in ("greeting", "confirms", "echoes") if name in options}
    with deviating(respond, **given) as server, rtnb.connect(server.url, **options) as session:
        yield session, server


def waited_for(condition: Callable[[], Any]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def nothing() -> list[Event]:
    """Return no answer at all."""
    return []


def started() -> list[Event]:
    """Return the first events of an answer, which then stops."""
    return answer()[:6]


# Errors.

REFUSALS: dict[str, Event] = {
    "null event id": error(message="the server said boom"),
    "code": error(code="conversation_already_has_active_response", message="the server said boom"),
    "rate limit": error(type="rate_limit_error", code="rate_limit_exceeded", message="the server said boom"),
    "no event id": {"type": "error", "error": {"message": "the server said boom"}},
    "string": {"type": "error", "error": "the server said boom"},
    "no error member": {"type": "error", "message": "the server said boom", "code": 500},
    "message an object": {"type": "error", "error": {"message": {"text": "the server said boom"}}},
    "a list": {"type": "error", "error": ["the server said boom"]},
    "an empty event id": error("", message="the server said boom"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_error_without_a_culprit_fails_the_only_request(name: str) -> None:
    with talking(one_by_one(lambda: [REFUSALS[name]], answer)) as (session, _):
        turn = session.send("hello").wait(PATIENCE)
        assert turn.status == "failed"
        assert name == "a list" or "the server said boom" in str(turn.error)
        assert session.send("again").wait(PATIENCE).text == "Hi there."


@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "a list"])
def test_an_error_without_a_culprit_refuses_an_update_at_once(name: str) -> None:
    def respond(event: Event) -> Iterable[Event] | None:
        if event["type"] == "session.update":
            return [REFUSALS[name]]
        return answer() if event["type"] == "response.create" else None

    with deviating(respond, confirms=False) as server:
        began = time.monotonic()
        with pytest.raises(rtnb.RtnbError, match="the server said boom"):
            rtnb.connect(server.url, instructions="Be brief.")
        assert time.monotonic() - began < SOON


@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "a list"])
def test_an_error_without_a_culprit_refuses_an_item(name: str) -> None:
    """The item is never accepted, and the request that follows it is never answered."""

    def respond(event: Event) -> Iterable[Event] | None:
        return [REFUSALS[name]] if event["type"] == "conversation.item.create" else None

    with talking(respond, echoes=False) as (session, _):
        turn = session.send("hello").wait(PATIENCE)
        assert turn.status == "failed"
        assert "the server said boom" in str(turn.error)


def test_an_error_with_a_culprit_fails_that_request_alone() -> None:
    def respond(event: Event) -> Iterable[Any] | None:
        if event["type"] != "response.create":
            return None
        if event.get("response", {}).get("conversation") == "none":
            return [0.1, error(event["event_id"], message="not this one")]
        return [0.3, *answer()]

    with talking(respond) as (session, _):
        turn = session.send("hello")
        other = session.send("label it", conversation="none")
        assert "not this one" in str(other.wait(PATIENCE).error)
        assert turn.wait(PATIENCE).text == "Hi there."


def test_an_error_between_two_requests_ends_neither() -> None:
    """Nothing says which of them it was; the next frames do."""
    numbers = iter(range(10))

    def respond(event: Event) -> Iterable[Any] | None:
        if event["type"] != "response.create":
            return None
        if next(numbers) == 0:
            return [0.5, *answer(metadata=event.get("response", {}).get("metadata"))]
        return [error(message="which?"), 0.6, *answer(metadata=event.get("response", {}).get("metadata"))]

    with talking(respond) as (session, _):
        turns = [session.send("one"), session.send("two", conversation="none", metadata={"n": "2"})]
        assert [turn.wait(PATIENCE).text for turn in turns] == ["Hi there."] * 2


def test_an_error_during_an_answer_does_not_end_it() -> None:
    def make() -> list[Any]:
        events = answer()
        return [*events[:5], error(message="a note"), {"type": "error", "error": "another"}, *events[5:]]

    with talking(each_request(make)) as (session, _):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."


# Cancelling.


def by_cancel(turn: rtnb.Turn) -> None:
    turn.cancel()
    turn.wait(SOON)


def by_interrupt(turn: rtnb.Turn) -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        turn.wait(PATIENCE)


@pytest.mark.parametrize("stop", [by_cancel, by_interrupt])
@pytest.mark.parametrize(
    "first",
    [nothing, started, lambda: [error(code="x", param="session.voice")], lambda: [answer()[0]]],
    ids=["unanswered", "started", "an error of something else", "created"],
)
def test_a_turn_that_is_cancelled_is_over_soon(
    first: Callable[[], list[Event]], stop: Callable[[rtnb.Turn], None]
) -> None:
    with talking(one_by_one(first, answer)) as (session, server):
        turn = session.send("hello")
        waited_for(lambda: server.requests())
        if first is started:
            waited_for(lambda: turn.text_so_far)
        stop(turn)
        assert turn.status == "cancelled"
        assert first is not started or turn.text_so_far
        assert session.send("again").wait(PATIENCE).text == "Hi there."


def test_a_turn_that_waits_for_another_is_cancelled_at_once() -> None:
    with talking(one_by_one(nothing, answer)) as (session, server):
        first, second, third = (session.send(word) for word in ("one", "two", "three"))
        second.cancel()
        second.wait(SOON)
        assert (first.done, second.status) == (False, "cancelled")
        first.cancel()
        assert third.wait(PATIENCE).text == "Hi there."
        assert "two" not in str(server.received)


@pytest.mark.parametrize("echoed", [True, False])
def test_a_late_response_to_a_cancelled_request_is_cancelled_and_not_mistaken(echoed: bool) -> None:
    """The server cancels nothing, and answers the first request after the second was sent."""
    sent: list[Event] = []

    def respond(event: Event) -> Iterable[Any] | None:
        if event["type"] != "response.create":
            return None
        sent.append(event)
        if len(sent) == 1:
            return nothing()
        metadata = event.get("response", {}).get("metadata") if echoed else None
        return [*answer(("Late",)), *answer(("Hi there.",), metadata=metadata)]

    with talking(respond) as (session, server):
        first = session.send("one")
        waited_for(server.requests)
        first.cancel()
        first.wait(SOON)
        second = session.send("two").wait(PATIENCE)
        assert second.text == "Hi there."
        assert first.status == "cancelled"
        waited_for(lambda: server.types().count("response.cancel") == 2)


def test_a_server_that_answers_late_and_only_the_first_request_is_asked_again() -> None:
    numbers = iter(range(10))

    def respond(event: Event) -> Iterable[Any] | None:
        if event["type"] != "response.create":
            return None
        number = next(numbers)
        return {0: [], 1: answer(("Late",))}.get(number, answer())

    with talking(respond) as (session, server):
        first = session.send("one")
        waited_for(server.requests)
        first.cancel()
        first.wait(SOON)
        second = session.send("two").wait(PATIENCE)
        assert second.text == "Hi there."


def test_a_cancel_that_is_refused_is_no_failure() -> None:
    def respond(event: Event) -> Iterable[Any] | None:
        if event["type"] == "response.cancel":
            return [error(event["event_id"], code="response_cancel_not_active", message="nothing to cancel")]
        return started() if event["type"] == "response.create" else None

    with talking(respond) as (session, _):
        turn = session.send("hello")
        waited_for(lambda: turn.text_so_far)
        by_cancel(turn)
        assert (turn.status, turn.error) == ("cancelled", None)


@pytest.mark.parametrize("conversation", [None, "none"])
def test_a_cancel_without_a_culprit_id_in_its_refusal(conversation: str | None) -> None:
    def respond(event: Event) -> Iterable[Any] | None:
        if event["type"] == "response.cancel":
            return [error(code="response_cancel_not_active", message="nothing to cancel")]
        return None

    with talking(respond) as (session, server):
        turn = session.send("hello", conversation=conversation)
        waited_for(server.requests)
        by_cancel(turn)
        assert turn.status in ("cancelled", "failed")


def test_two_cancels_are_one() -> None:
    with talking(one_by_one(started, answer)) as (session, server):
        turn = session.send("hello")
        waited_for(lambda: turn.text_so_far)
        for _ in range(5):
            turn.cancel()
        turn.wait(SOON)
        turn.cancel()
        assert server.types().count("response.cancel") == 1
        assert session.send("again").wait(PATIENCE).text == "Hi there."


def test_closing_ends_what_waits() -> None:
    with talking(lambda event: None) as (session, _):
        turns = [session.send("one"), session.send("two"), session.send("x", conversation="none")]
        session.close()
        assert {type(turn.wait(SOON).error) for turn in turns} == {rtnb.SessionClosed}


def test_a_connection_that_ends_names_its_reason() -> None:
    with talking(each_request(lambda: [*started(), error(message="shutting down"), CLOSE])) as (session, _):
        turn = session.send("hello").wait(PATIENCE)
        assert turn.status == "failed"
        assert isinstance(turn.error, rtnb.ConnectionLost)
        assert turn.text_so_far
        with pytest.raises(rtnb.SessionClosed):
            session.send("again")


# Silence.


@pytest.mark.parametrize(
    "first", [nothing, started, lambda: [answer()[0]]], ids=["nothing", "some", "created"]
)
def test_a_server_that_falls_silent(first: Callable[[], list[Event]]) -> None:
    with talking(one_by_one(first, answer), answer_timeout=0.4) as (session, _):
        turn = session.send("hello").wait(PATIENCE)
        assert isinstance(turn.error, rtnb.TurnTimeout)
        assert "sent nothing for this turn for 0.4 s" in str(turn.error)
        assert turn.status == "failed"
        assert session.send("again").wait(PATIENCE).text == "Hi there."


def test_pings_and_other_turns_are_not_an_answer() -> None:
    def respond(event: Event) -> Iterable[Any] | None:
        if event["type"] != "response.create":
            return None
        if event.get("response", {}).get("conversation") == "none":
            return [step for one in answer(audio=20) for step in (one, {"type": "ping"}, 0.1)]
        return []

    with talking(respond, answer_timeout=0.6) as (session, _):
        other = session.send("a long one", conversation="none")
        turn = session.send("hello").wait(PATIENCE)
        assert isinstance(turn.error, rtnb.TurnTimeout)
        assert not other.done
        assert other.wait(PATIENCE).text == "Hi there."


def test_a_slow_answer_is_not_silence() -> None:
    def make() -> list[Any]:
        return [step for one in answer(audio=8) for step in (0.1, one)]

    with talking(each_request(make), answer_timeout=0.6) as (session, _):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."


def test_the_last_error_is_in_the_message() -> None:
    def make() -> list[Any]:
        return [answer()[0], error(code="server_error", message="something burns")]

    with talking(each_request(make), answer_timeout=0.4) as (session, _):
        assert "something burns" in str(session.send("hello").wait(PATIENCE).error)


def test_the_clock_stops_while_a_tool_runs() -> None:
    from support.deviating_server import calls

    def weather(city: str) -> str:
        time.sleep(1.2)
        return "sunny"

    with talking(one_by_one(calls, answer), tools=[weather], answer_timeout=0.5) as (session, _):
        turn = session.send("hello").wait(PATIENCE)
        assert (turn.status, turn.text) == ("completed", "Hi there.")


def test_no_limit_on_silence() -> None:
    with talking(each_request(lambda: [1.0, *answer()]), answer_timeout=None) as (session, _):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."


def test_a_queue_at_the_server_is_not_silence() -> None:
    def make() -> list[Any]:
        return [{"type": "response.queued", "position": 3}, 1.0, *answer()]

    with talking(each_request(make), answer_timeout=0.5) as (session, _):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."


@pytest.mark.parametrize("wrong", [0, -1, True, "1", float("nan")], ids=str)
@pytest.mark.parametrize(
    "name", ["timeout", "answer_timeout", "ping_interval", "ping_timeout", "close_timeout"]
)
def test_limits_are_seconds(name: str, wrong: Any) -> None:
    with pytest.raises(rtnb.ArgumentError, match=f"{name}: expected a number of seconds above 0"):
        rtnb.connect("ws://127.0.0.1:9/v1/realtime", **{name: wrong})


# Listeners.


def test_a_listener_that_raises_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    def listener(change: Any, turn: int) -> None:
        raise ValueError("not mine")

    with talking(each_request(answer)) as (session, _):
        session.core.subscribe(listener) if hasattr(session, "core") else session._core.subscribe(listener)
        for _ in range(2):
            assert session.send("hello").wait(PATIENCE).text == "Hi there."
    assert caplog.text.count("a listener of the session failed") == 1


# Input that cannot be sent.

HALF = "smile \ud83d"


def tool(limit: Any) -> Event:
    """Return a tool with a value in its schema."""
    properties = {"a": {"type": "integer", "maximum": limit}}
    return {"type": "function", "name": "f", "parameters": {"type": "object", "properties": properties}}


def with_docstring(text: str) -> Callable[..., str]:
    def weather(city: str) -> str:
        return city

    weather.__doc__ = text
    return weather


def big(a: int = 10**20) -> str:
    """Return nothing."""
    return ""


deep: list[Any] = []
for _ in range(3000):
    deep = [deep]

UNSENDABLE: dict[str, Callable[[rtnb.Session], Any]] = {
    "half a surrogate pair": lambda s: s.send(HALF),
    "in a list": lambda s: s.send(["a", HALF]),
    "instructions": lambda s: s.send("x", instructions=HALF),
    "metadata value": lambda s: s.send("x", metadata={"k": HALF}),
    "metadata key": lambda s: s.send("x", metadata={HALF: "v"}),
    "huge integer": lambda s: s.send("x", metadata={"k": 10**30}),
    "object": lambda s: s.send("x", metadata={"k": object()}),
    "numpy float": lambda s: s.send("x", metadata={"k": np.float64(1)}),
    "integer key": lambda s: s.send("x", metadata={1: "a"}),
    "set": lambda s: s.send("x", metadata={"a"}),
    "nested set": lambda s: s.send("x", metadata={"a": {1}}),
    "bytes": lambda s: s.send("x", metadata={"a": b"x"}),
    "complex": lambda s: s.send("x", metadata={"a": 1j}),
    "deep": lambda s: s.send("x", metadata={"a": deep}),
    "tool choice": lambda s: s.send("x", tool_choice=object()),
    "voice": lambda s: s.send("x", voice=object()),
    "voice text": lambda s: s.send("x", voice=HALF),
    "schema huge": lambda s: s.send("x", tools=[tool(10**20)]),
    "schema set": lambda s: s.send("x", tools=[tool({1})]),
    "schema numpy": lambda s: s.send("x", tools=[tool(np.array([1]))]),
    "docstring": lambda s: s.send("x", tools=[with_docstring(HALF)]),
    "default": lambda s: s.send("x", tools=[big]),
    "tokens": lambda s: s.send("x", max_output_tokens=1j),
    "add": lambda s: s.add(HALF),
    "update": lambda s: s.update(instructions=HALF),
    "update tools": lambda s: s.update(tools=[tool({1})]),
    "update session": lambda s: s.update(session={"x": {1}}),
    "out of band": lambda s: s.send(HALF, conversation="none"),
    "raw event": lambda s: s.send_event({"type": "response.create", "response": {"instructions": HALF}}),
    "raw event set": lambda s: s.send_event({"type": "x", "y": {1}}),
    "raw event id": lambda s: s.send_event({"type": "x", "event_id": HALF}),
    "raw event type": lambda s: s.send_event({"type": HALF}),
}


@pytest.mark.parametrize("name", UNSENDABLE)
def test_input_that_cannot_be_sent_changes_nothing(name: str) -> None:
    with talking(each_request(answer)) as (session, server):
        sent = len(server.received)
        try:
            made = UNSENDABLE[name](session)
            if isinstance(made, rtnb.Turn):
                assert (
                    made.wait(PATIENCE).text == "Hi there."
                )  # it was replaced by something that can be sent
        except rtnb.ArgumentError:
            assert len(session.turns) == 0
            assert len(server.received) == sent
        assert session.send("and now?").wait(PATIENCE).text == "Hi there."


def test_a_session_that_cannot_be_opened_so() -> None:
    with pytest.raises(rtnb.ArgumentError):
        rtnb.connect("ws://127.0.0.1:9/v1/realtime", instructions=HALF)


def test_a_turn_of_a_server_that_answers_by_itself() -> None:
    """With server VAD: speech, its commit, and a response nobody requested, without metadata."""
    session_config = {
        **SESSION,
        "audio": {**SESSION["audio"], "input": {"turn_detection": {"type": "server_vad"}}},
    }
    speech = [
        {"type": "input_audio_buffer.speech_started", "item_id": "item_s", "audio_start_ms": 0},
        {"type": "input_audio_buffer.speech_stopped", "item_id": "item_s", "audio_end_ms": 500},
        {"type": "input_audio_buffer.committed", "item_id": "item_s", "previous_item_id": None},
    ]

    def respond(event: Event) -> Iterable[Any] | None:
        return [*speech, *answer()] if event["type"] == "input_audio_buffer.append" else None

    greeting = [{"type": "session.created", "session": session_config}]
    options = {"turn_detection": "server_vad", "transcription": False}
    with talking(respond, greeting=greeting, **options) as (session, _):
        session._core.call_soon(session._core.append, rtnb.Clip.tone(440, 0.5))
        waited_for(lambda: session.turns)
        assert session.turns[0].wait(PATIENCE).text == "Hi there."
