"""Tools of any kind: whatever they raise or return, the turn goes on, and its options hold in every round."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest
from support.deviating_server import (
    CLOSE,
    DeviatingServer,
    Event,
    answer,
    calls,
    deviating,
    each_request,
    one_by_one,
)

import rtnb

PATIENCE = 20.0


def outputs(server: DeviatingServer) -> list[str]:
    """Return the outputs of functions that the server got."""
    created = [event["item"] for event in server.received if event["type"] == "conversation.item.create"]
    return [item["output"] for item in created if item["type"] == "function_call_output"]


class Odd(BaseException):
    """Of no usual kind."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def exits(city: str) -> str:
    sys.exit(2)


RAISED: list[Callable[[], BaseException]] = [
    lambda: ValueError("boom"),
    lambda: SystemExit(2),
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    lambda: StopIteration(5),
    lambda: StopAsyncIteration(5),
    lambda: Odd("boom"),
    lambda: BaseExceptionGroup("several", [SystemExit(1), ValueError("x")]),
    lambda: TimeoutError("slow"),
    lambda: RecursionError("deep"),
    lambda: MemoryError(),
    lambda: Unprintable(),
    lambda: ValueError("half \ud83d"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    lambda: rtnb.SessionClosed("of another session"),
]


@pytest.mark.parametrize("kind", ["plain", "async", "generator", "async generator", "awaitable"])
@pytest.mark.parametrize("make", RAISED, ids=lambda make: type(make()).__name__)
def test_a_tool_may_raise_anything(make: Callable[[], BaseException], kind: str) -> None:
    def plain(city: str) -> str:
        raise make()

    async def asynchronous(city: str) -> str:
        raise make()

    def generator(city: str) -> Iterator[str]:
        yield "some"
        raise make()

    async def async_generator(city: str) -> AsyncIterator[str]:
        yield "some"
        raise make()

    def awaitable(city: str) -> Any:
        return asynchronous(city)

    tool: Any = {
        "plain": plain,
        "async": asynchronous,
        "generator": generator,
        "async generator": async_generator,
        "awaitable": awaitable,
    }[kind]
    tool.__name__ = "weather"
    with (
        deviating(each_request(answer)) as elsewhere,
        rtnb.connect(elsewhere.url) as other,
        deviating(one_by_one(calls, answer)) as server,
        rtnb.connect(server.url, tools=[tool]) as session,
    ):
        turn = session.send("hello").wait(PATIENCE)
        assert (turn.status, turn.text) == ("completed", "Hi there.")
        (call,) = turn.calls
        assert call.error is not None
        (output,) = outputs(server)
        assert output.startswith("error:")
        assert session.send("again").wait(PATIENCE).text == "Hi there."
        assert other.send("hello").wait(PATIENCE).text == "Hi there."


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("sunny", "sunny"),
        (None, "null"),
        ({"t": 21.5, "when": {1}}, '{"t":21.5,"when":[1]}'),
        (10**30, "1000000000000000000000000000000"),
        ("half \ud83d", "half ?"),
        ((one for one in "abc"), '["a","b","c"]'),
        (iter([]), "[]"),
        (float("nan"), "null"),
        (b"bytes", None),
        (object(), None),
    ],
    ids=str,
)
def test_a_tool_may_return_anything(result: Any, text: str | None) -> None:
    def weather(city: str) -> Any:
        return result

    with (
        deviating(one_by_one(calls, answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."
        (output,) = outputs(server)
        assert text is None or output == text


def test_a_generator_without_an_end_is_cut() -> None:
    def weather(city: str) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    with (
        deviating(one_by_one(calls, answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."
        assert len(outputs(server)) == 1


def test_an_async_generator_without_an_end_is_cut() -> None:
    async def weather(city: str) -> AsyncIterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    with (
        deviating(one_by_one(calls, answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."
        assert len(outputs(server)) == 1


def test_all_calls_of_a_response_are_answered_once() -> None:
    def weather(city: str) -> str:
        time.sleep(0.05)
        return f"sunny in {city}"

    make = lambda: calls(number=4)  # noqa: E731
    with (
        deviating(one_by_one(make, answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        turn = session.send("hello").wait(PATIENCE)
        assert outputs(server) == ["sunny in Rome"] * 4
        assert len(server.requests()) == 2
        assert [call.output for call in turn.calls] == ["sunny in Rome"] * 4


def test_no_call_runs_twice_where_the_server_echoes_no_items() -> None:
    ran: list[str] = []

    def weather(city: str) -> str:
        ran.append(city)
        return "sunny"

    with (
        deviating(one_by_one(calls, calls, answer), echoes=False) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        turn = session.send("hello").wait(PATIENCE)
        assert (turn.text, ran) == ("Hi there.", ["Rome", "Rome"])
        assert outputs(server) == ["sunny", "sunny"]
        assert [call.output for call in turn.calls] == ["sunny", "sunny"]


# Waiting for the own session.


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_tool_that_waits_for_its_own_session_is_refused(kind: str) -> None:
    sessions: list[rtnb.Session] = []
    refused: list[BaseException] = []

    def plain(city: str) -> str:
        try:
            return sessions[0].send("and you?").text
        except BaseException as error:
            refused.append(error)
            raise

    async def asynchronous(city: str) -> str:
        try:
            return (await sessions[0].send("and you?")).text
        except BaseException as error:
            refused.append(error)
            raise

    tool: Any = plain if kind == "plain" else asynchronous
    tool.__name__ = "weather"
    with (
        deviating(one_by_one(calls, answer)) as server,
        rtnb.connect(server.url, tools=[tool]) as session,
    ):
        sessions.append(session)
        turn = session.send("hello").wait(PATIENCE)
        assert turn.text == "Hi there."
        assert isinstance(refused[0], rtnb.ArgumentError)
        assert "own session" in str(refused[0])
        assert session.turns[-1].wait(PATIENCE).done


def test_a_tool_may_wait_for_another_session_and_out_of_band() -> None:
    sessions: list[rtnb.Session] = []

    def weather(city: str) -> str:
        aside = sessions[0].send("label it", conversation="none").text
        return aside + sessions[1].send("and you?").text

    def respond() -> Callable[[Event], Iterable[Any] | None]:
        numbers = iter(range(10))

        def script(event: Event) -> Iterable[Any] | None:
            if event["type"] != "response.create":
                return None
            return calls() if next(numbers) == 0 else answer()

        return script

    with (
        deviating(each_request(answer)) as elsewhere,
        rtnb.connect(elsewhere.url) as other,
        deviating(respond()) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        sessions += [session, other]
        assert session.send("hello").wait(PATIENCE).text == "Hi there."
        assert outputs(server) == ["Hi there.Hi there."]


# Options in every round.

OPTIONS: dict[str, Any] = {
    "modalities": "text",
    "instructions": "Be brief.",
    "voice": "sage",
    "max_output_tokens": 100,
    "metadata": {"a": "b"},
}


def weather(city: str) -> str:
    """Return the weather."""
    return "sunny"


def without_ours(options: Event) -> Event:
    metadata = {k: v for k, v in (options.get("metadata") or {}).items() if not k.startswith("rtnb")}
    return {**options, "metadata": metadata}


@pytest.mark.parametrize("choice", [None, "auto", "none", "required", "weather"])
def test_the_options_of_a_turn_hold_in_every_round(choice: str | None) -> None:
    options = {**OPTIONS, **({} if choice is None else {"tool_choice": choice})}
    with (
        deviating(one_by_one(calls, calls, answer)) as server,
        rtnb.connect(server.url) as session,
    ):
        turn = session.send("hello", tools=[weather], **options).wait(PATIENCE)
        assert (turn.status, turn.text, len(turn.calls)) == ("completed", "Hi there.", 2)
        first, *later = map(without_ours, server.requests())
        assert set(first) >= {"output_modalities", "instructions", "max_output_tokens", "metadata", "tools"}
        if choice in ("required", "weather"):
            del first["tool_choice"]
        assert later == [first, first]
        assert session.send("again").wait(PATIENCE).done
        assert "instructions" not in server.requests()[-1]


def test_tools_out_of_band() -> None:
    with (
        deviating(one_by_one(lambda: calls(number=2), calls, answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        turn = session.send("label it", conversation="none", metadata={"a": "b"}).wait(PATIENCE)
        assert (turn.status, turn.text, len(turn.calls)) == ("completed", "Hi there.", 3)
        requests = server.requests()
        assert [request["conversation"] for request in requests] == ["none"] * 3
        assert [len(request["input"]) for request in requests] == [1, 1 + 2 + 2, 1 + 2 + 2 + 1 + 1]
        kinds = [item["type"] for item in requests[-1]["input"]]
        assert kinds[0] == "message"
        assert kinds.count("function_call") == kinds.count("function_call_output") == 3
        paired = [item["call_id"] for item in requests[-1]["input"] if item["type"] == "function_call"]
        assert len(set(paired)) == 3
        assert outputs(server) == []  # nothing of it joins the conversation
        assert session.send("again").wait(PATIENCE).text == "Hi there."


def test_the_number_of_rounds_is_limited() -> None:
    with deviating(each_request(calls)) as server, rtnb.connect(server.url, tools=[weather]) as session:
        turn = session.send("hello").wait(PATIENCE)
        assert turn.status == "failed"
        assert "called tools 8 times" in str(turn.error)
        assert len(server.requests()) == 8


# Calls that deviate.


def edited(change: Callable[[Event], Any], *dropped: str) -> list[Event]:
    """Return a call whose events were changed, without those of some types."""
    events: list[Event] = json.loads(json.dumps(calls()))
    for event in events:
        change(event)
    return [event for event in events if event["type"] not in dropped]


ARGUMENTS = "response.function_call_arguments"
DEVIATING: dict[str, Callable[[], list[Event]]] = {
    "as the protocol has it": calls,
    "name only where the item is announced": lambda: edited(
        lambda e: (
            e.pop("name", None)
            if e["type"].startswith(ARGUMENTS)
            else e["item"].pop("name", None)
            if e["type"] in ("response.output_item.done", "conversation.item.done")
            else [item.pop("name", None) for item in e.get("response", {}).get("output", [])]
        ),
    ),
    "no deltas": lambda: edited(lambda e: None, f"{ARGUMENTS}.delta"),
    "no done of arguments": lambda: edited(lambda e: None, f"{ARGUMENTS}.done"),
    "only deltas": lambda: edited(
        lambda e: [item.update(arguments="") for item in e.get("response", {}).get("output", [])],
        f"{ARGUMENTS}.done",
        "response.output_item.done",
        "conversation.item.done",
    ),
    "only in response.done": lambda: [(events := calls())[0], events[-1]],
    "only the end of the item": lambda: edited(
        lambda e: e["response"].update(output=[]) if e["type"] == "response.done" else None,
        f"{ARGUMENTS}.delta",
        f"{ARGUMENTS}.done",
        "response.output_item.added",
        "conversation.item.added",
    ),
    "arguments an object": lambda: edited(
        lambda e: e.update(arguments={"city": "Rome"}) if e["type"] == f"{ARGUMENTS}.done" else None
    ),
    "no indices": lambda: edited(lambda e: e.pop("output_index", None)),
    "the same call twice": lambda: edited(
        lambda e: (
            e["response"]["output"].append(e["response"]["output"][0])
            if e["type"] == "response.done"
            else None
        )
    ),
    "an item of its own for the arguments": lambda: edited(
        lambda e: e.update(item_id="item_other") if e["type"].startswith(ARGUMENTS) else None
    ),
    "no start": lambda: edited(lambda e: None, "response.created"),
    "a late start": lambda: [*(events := calls())[1:], events[0]],
    "no response ids": lambda: edited(lambda e: e.pop("response_id", None)),
}


@pytest.mark.parametrize("name", DEVIATING)
def test_a_call_is_run_once(name: str) -> None:
    ran: list[str] = []

    def weather(city: str) -> str:
        ran.append(city)
        return "sunny"

    with (
        deviating(one_by_one(DEVIATING[name], answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        turn = session.send("hello").wait(PATIENCE)
        assert (turn.status, turn.text) == ("completed", "Hi there.")
        assert ran == ["Rome"]
        assert outputs(server) == ["sunny"]
        assert len(server.requests()) == 2


@pytest.mark.parametrize("arguments", ["", "{", "[]", '"x"', "null", '{"town":1}', '{"city":{}}', "\ud83d"])
def test_arguments_that_do_not_fit_are_an_error_for_the_model(arguments: str) -> None:
    with (
        deviating(one_by_one(lambda: calls(arguments=arguments), answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."
        assert outputs(server)[0].startswith("error:")


def test_a_tool_that_nobody_knows_is_an_error_for_the_model() -> None:
    with (
        deviating(one_by_one(lambda: calls("dance"), answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."
        assert "unknown tool 'dance'" in outputs(server)[0]


def test_a_connection_that_ends_while_a_tool_runs() -> None:
    def weather(city: str) -> str:
        time.sleep(0.5)
        return "sunny"

    with (
        deviating(one_by_one(lambda: [*calls(), 0.1, CLOSE], answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        assert isinstance(session.send("hello").wait(PATIENCE).error, rtnb.ConnectionLost)


def test_cancelling_while_a_tool_runs() -> None:
    def weather(city: str) -> str:
        time.sleep(0.5)
        return "sunny"

    with (
        deviating(one_by_one(calls, answer)) as server,
        rtnb.connect(server.url, tools=[weather]) as session,
    ):
        turn = session.send("hello")
        while not turn.calls:
            time.sleep(0.01)
        turn.cancel()
        assert turn.wait(PATIENCE).status == "cancelled"
        assert session.send("again").wait(PATIENCE).text == "Hi there."
        time.sleep(0.6)
        assert outputs(server) == []
