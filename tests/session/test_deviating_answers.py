"""Answers of servers that deviate from the protocol: text and audio arrive whole, once, and the turn ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from support.deviating_server import SESSION, USAGE, Event, answer, deviating, each_request, error, tone

import rtnb

PATIENCE = 20.0


def each(events: Iterable[Event], change: Callable[[Event], Any]) -> list[Event]:
    """Return copies of events, each changed in place."""
    copies: list[Event] = json.loads(json.dumps(list(events)))
    for event in copies:
        change(event)
    return copies


def without(events: Iterable[Event], *names: str) -> list[Event]:
    """Return events without some fields."""
    return each(events, lambda event: [event.pop(name, None) for name in names])


def dropped(events: Iterable[Event], *types: str) -> list[Event]:
    """Return events without those of some types."""
    return [event for event in events if event["type"] not in types]


def inserted(events: Iterable[Event], *more: Event) -> list[Event]:
    """Return events with others between each two of them."""
    return [one for event in events for one in (event, *more)]


def with_done(change: Callable[[Event], Any]) -> list[Event]:
    """Return an answer whose response.done was changed."""
    return each(answer(), lambda event: change(event) if event["type"] == "response.done" else None)


def renumbered(value: Any) -> Any:
    """Return a value with numbers for ids."""
    if isinstance(value, dict):
        ids = ("id", "response_id", "item_id")
        return {
            key: int(one.rpartition("_")[2]) if key in ids and one else renumbered(one)
            for key, one in value.items()
        }
    return [renumbered(one) for one in value] if isinstance(value, list) else value


def cumulative() -> list[Event]:
    """Return an answer of which each piece of the transcript repeats all before it."""
    said = ""

    def change(event: Event) -> None:
        nonlocal said
        if event["type"] == "response.output_audio_transcript.delta":
            said += event["delta"]
            event["delta"] = said

    return each(answer(), change)


def by_sentence() -> list[Event]:
    """Return an answer whose transcript is finished sentence by sentence."""
    events = dropped(answer(("Hi there.", " How are you?")), "response.output_audio_transcript.done")
    found = []
    for event in events:
        found.append(event)
        if event["type"] == TEXT_DELTA:
            event["delta"] = event["delta"].strip()
            done = {**event, "type": "response.output_audio_transcript.done", "transcript": event["delta"]}
            del done["delta"]
            found.append(done)
    return found


def repeated() -> list[Event]:
    """Return an answer of which each frame comes twice."""
    events = answer()
    events = [{"event_id": f"{events[0]['response']['id']}_{n}", **event} for n, event in enumerate(events)]
    return [one for event in events for one in (event, event)]


TEXT_DELTA, AUDIO_DELTA = "response.output_audio_transcript.delta", "response.output_audio.delta"
ANNOUNCEMENTS = ("response.output_item.added", "conversation.item.added", "response.content_part.added")
NO_CREATED = "response.created"


def only_deltas(*fields: str) -> list[Event]:
    """Return the deltas and the end of an answer alone, without some fields."""
    kept = [e for e in answer(listed=False) if e["type"] in (TEXT_DELTA, AUDIO_DELTA, "response.done")]
    return without(kept, *fields)


ANSWERS: dict[str, Callable[[], list[Event]]] = {
    "just as the protocol has it": answer,
    "no indices": lambda: without(answer(), "content_index", "output_index"),
    "null indices": lambda: each(answer(), lambda e: e.update(content_index=None, output_index=None)),
    "indices as text": lambda: each(answer(), lambda e: e.update(content_index="0", output_index="0")),
    "indices as floats": lambda: each(answer(), lambda e: e.update(content_index=0.0)),
    "beta's names": lambda: answer(beta=True),
    "beta's names, nothing announced": lambda: answer(beta=True, announced=False),
    "nothing announced": lambda: answer(announced=False),
    "nothing announced, nothing listed": lambda: answer(announced=False, listed=False),
    "only the end of an item": lambda: dropped(answer(), *ANNOUNCEMENTS),
    "no item ids": lambda: without(answer(announced=False, listed=False), "item_id"),
    "null item ids": lambda: each(
        answer(announced=False, listed=False), lambda e: e.update(item_id=None) if "item_id" in e else None
    ),
    "no response ids": lambda: without(answer(), "response_id"),
    "no start": lambda: dropped(answer(), NO_CREATED),
    "no start, nothing announced": lambda: dropped(answer(announced=False), NO_CREATED),
    "only deltas": only_deltas,
    "only deltas, without response ids": lambda: only_deltas("response_id"),
    "only deltas, without any ids": lambda: only_deltas("response_id", "item_id"),
    "numbers for ids": lambda: renumbered(answer()),
    "two starts": lambda: [answer()[0] and (events := answer())[0], *events],
    "a late start": lambda: [*(events := answer())[1:], events[0]],
    "a start for each item": lambda: inserted(events := answer(), events[0])[:-1],
    "metadata of a gateway": lambda: answer(metadata={"gateway": "g-1"}),
    "no event ids": lambda: each(answer(), lambda e: e.update(event_id=None)),
    "one event id for all": lambda: each(answer(), lambda e: e.update(event_id="event_1")),
    "an empty event id": lambda: each(answer(), lambda e: e.update(event_id="")),
    "numbers for event ids": lambda: each(answer(), lambda e: e.update(event_id=7)),
    "each frame twice": repeated,
    "pings between": lambda: inserted(answer(), {"type": "ping"}, {"type": "ping", "event_id": 5}),
    "events nobody knows": lambda: inserted(
        answer(), {"type": "response.viseme.delta", "response_id": "r"}, {"type": "warning", "warning": {}}
    ),
    "part done without part": lambda: without(answer(), "part"),
    "null part": lambda: each(answer(), lambda e: e.update(part=None) if "part" in e else None),
    "null items": lambda: each(
        answer(), lambda e: e.update(item=None) if e["type"].startswith("response.output_item") else None
    ),
    "cumulative transcripts": cumulative,
    "transcript in one piece": lambda: answer(("Hi there.",)),
    "transcript only at the end": lambda: dropped(answer(), TEXT_DELTA),
    "transcript only in response.done": lambda: [
        e for e in answer() if e["type"] in ("response.created", AUDIO_DELTA, "response.done")
    ],
    "an item of a tool": lambda: [
        {"type": "conversation.item.added", "item": {"id": "item_t", "role": "tool", "type": "message"}},
        *answer(),
    ],
    "transcription updates": lambda: inserted(
        answer(), {"type": "conversation.item.input_audio_transcription.updated", "transcript": "hello"}
    ),
    "response.done without response": lambda: with_done(lambda e: e.pop("response")),
    "response.done with null": lambda: with_done(lambda e: e.update(response=None)),
    "response.done with a string": lambda: with_done(lambda e: e.update(response="done")),
    "response.done with a list": lambda: with_done(lambda e: e.update(response=[1])),
    "response.done with another id": lambda: with_done(lambda e: e["response"].update(id="resp_other")),
    "response.done with id at its top": lambda: with_done(
        lambda e: e.update(response_id=e["response"].pop("id"))
    ),
    "response.done without id": lambda: with_done(lambda e: e["response"].pop("id")),
    "no status": lambda: with_done(lambda e: e["response"].pop("status")),
    "status in progress": lambda: with_done(lambda e: e["response"].update(status="in_progress")),
    "status a number": lambda: with_done(lambda e: e["response"].update(status=200)),
    "details a number": lambda: with_done(lambda e: e["response"].update(status_details=0)),
    "null output": lambda: with_done(lambda e: e["response"].update(output=None)),
    "output an object": lambda: with_done(lambda e: e["response"].update(output={})),
    "output of strings": lambda: with_done(lambda e: e["response"].update(output=["x", None, 1])),
    "output without content": lambda: with_done(lambda e: e["response"]["output"][0].pop("content")),
    "output with null content": lambda: with_done(lambda e: e["response"]["output"][0].update(content=None)),
    "output without ids": lambda: with_done(lambda e: e["response"]["output"][0].pop("id")),
    # NaN and Infinity, as Python's json writes them
    "usage that is not JSON": lambda: answer(
        usage={"input_tokens": float("nan"), "output_tokens": float("inf")}
    ),
    "half an emoji": lambda: each(answer(), lambda e: e.update(note="smile \ud83d")),
    "two ends": lambda: [*(events := answer()), events[-1]],
    "two ends with ids of their own": lambda: [
        *(events := answer()),
        {**events[-1], "event_id": "event_second"},
    ],
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_arrives_whole_and_once(name: str) -> None:
    with deviating(each_request(ANSWERS[name])) as server, rtnb.connect(server.url) as session:
        for _ in range(2):
            turn = session.send("hello").wait(PATIENCE)
            assert (turn.status, turn.text) == ("completed", "Hi there.")
            assert turn.audio is not None
            assert turn.audio.seconds == pytest.approx(0.2)
            pieces = [delta.audio for delta in turn if delta.audio is not None]
            assert rtnb.Clip.join(pieces).seconds == pytest.approx(0.2)
        assert len(session.turns) == 2
        assert server.types().count("response.create") == 2


def test_text_by_the_sentence() -> None:
    with deviating(each_request(by_sentence)) as server, rtnb.connect(server.url) as session:
        assert session.send("hello").wait(PATIENCE).text == "Hi there. How are you?"


def test_text_of_response_done_alone() -> None:
    def ends() -> list[Event]:
        events = answer(audio=0)
        return [events[0], events[-1]]

    with deviating(each_request(ends)) as server, rtnb.connect(server.url) as session:
        assert session.send("hello").wait(PATIENCE).text == "Hi there."


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed", "cancelled", "odd"])
@pytest.mark.parametrize(
    "details", [None, "max_output_tokens", ["x"], [{"error": "x"}], {"error": "boom"}, {"reason": 5}, 5, True]
)
def test_a_response_that_is_done_is_done_whatever_the_details(status: str, details: Any) -> None:
    make = lambda: answer(status=status, details=details)  # noqa: E731
    with deviating(each_request(make)) as server, rtnb.connect(server.url) as session:
        turn = session.send("hello").wait(PATIENCE)
        assert turn.status == status
        assert turn.text == "Hi there."
        assert session.send("again").wait(PATIENCE).done


UNUSABLE = [
    {"input_tokens": -1, "output_tokens": -1, "total_tokens": -1},
    [{"input_tokens": 1}],
    "many",
    {"input_tokens": "x"},
    {"input_tokens": 1e400},
    {"input_tokens": True},
    {"input_tokens": {"a": 1}},
    17,
]


@pytest.mark.parametrize("usage", UNUSABLE, ids=str)
def test_unusable_usage_is_unknown_and_named(usage: Any) -> None:
    with deviating(each_request(lambda: answer(usage=usage))) as server, rtnb.connect(server.url) as session:
        turn = session.send("hello").wait(PATIENCE)
        assert turn.status == "completed"
        assert turn.usage.unknown == 1
        assert turn.cost is None
        assert any(
            word in problem
            for word in ("usage", "tokens", "not JSON")
            for _, problem in session.state.problems
        )


@pytest.mark.parametrize("usage", [None, {}, ...], ids=str)
def test_usage_that_is_not_reported_is_unknown(usage: Any) -> None:
    def make() -> list[Event]:
        return with_done(
            lambda e: e["response"].pop("usage") if usage is ... else e["response"].update(usage=usage)
        )

    with deviating(each_request(make)) as server, rtnb.connect(server.url) as session:
        turn = session.send("hello").wait(PATIENCE)
        assert turn.usage.unknown == 1


@pytest.mark.parametrize(
    "usage",
    [
        USAGE,
        {"total_tokens": 30.0, "input_tokens": 20.0, "output_tokens": 10.0},
        {"total_tokens": "30", "input_tokens": "20", "output_tokens": "10"},
        {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30},
        {"input_tokens": 20, "output_tokens": 10},
    ],
    ids=str,
)
def test_usage_in_other_words(usage: Event) -> None:
    with deviating(each_request(lambda: answer(usage=usage))) as server, rtnb.connect(server.url) as session:
        turn = session.send("hello").wait(PATIENCE)
        assert (turn.usage.input_tokens, turn.usage.output_tokens) == (20, 10)


def test_interleaved_items_of_one_response() -> None:
    """A preamble and an answer, their pieces mixed."""

    def make() -> list[Event]:
        one, other = answer(("One",)), answer(("Two",))
        for event in other:
            event.update(response_id=one[0]["response"]["id"], output_index=1)
        pairs = [event for pair in zip(one[1:-1], other[1:-1], strict=True) for event in pair]
        return [one[0], *pairs, one[-1]]

    with deviating(each_request(make)) as server, rtnb.connect(server.url) as session:
        turn = session.send("hello").wait(PATIENCE)
        assert turn.text == "One Two"
        assert turn.audio is not None
        assert turn.audio.seconds == pytest.approx(0.4)


# How a session opens.

CREATED = {"type": "session.created", "session": SESSION}


@pytest.mark.parametrize(
    ("greeting", "confirms"),
    [
        ([{"type": "conversation.created", "conversation": {"id": "conv_1"}}], True),
        ([{"type": "conversation.created"}], True),
        ([CREATED], False),
        ([{"type": "ping"}, CREATED, {"type": "ping"}], True),
        ([CREATED, {"type": "conversation.created", "conversation": {"id": "conv_1"}}], True),
        ([CREATED, CREATED], True),
        ([{"type": "session.created", "session": {}}], True),
        ([{"type": "session.created", "session": {"voice": "ara", "turn_detection": None}}], True),
        ([{"type": "session.created"}], True),
        ([{"type": "session.created", "session": None}], True),
        (["not JSON", b"\x00", CREATED], True),
    ],
)
def test_ways_to_open(greeting: list[Any], confirms: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtnb.session.async_session._CONFIRM_SECONDS", 0.3)
    with (
        deviating(each_request(answer), greeting=greeting, confirms=confirms) as server,
        rtnb.connect(server.url, instructions="Be brief.", timeout=PATIENCE) as session,
    ):
        assert session.send("hello").wait(PATIENCE).text == "Hi there."


@pytest.mark.parametrize(
    "refusal",
    [
        error(type="model_load_error", message="the model cannot be loaded"),
        {"type": "error", "error": "the model cannot be loaded"},
        {"type": "error", "message": "the model cannot be loaded", "code": 500},
    ],
    ids=["object", "string", "no error member"],
)
def test_a_server_that_refuses_to_open(refusal: Event) -> None:
    with (
        deviating(each_request(answer), greeting=[refusal]) as server,
        pytest.raises(rtnb.RtnbError, match="the model cannot be loaded"),
    ):
        rtnb.connect(server.url, timeout=PATIENCE)


def test_audio_that_is_not_base64_is_named_and_the_rest_arrives() -> None:
    def make() -> list[Event]:
        events = answer()
        bad = next(event for event in events if event["type"] == AUDIO_DELTA)
        at = events.index(bad)
        return [
            *events[:at],
            {**bad, "delta": "%%%"},
            {**bad, "delta": None},
            {**bad, "delta": tone()[:-1]},
            *events[at:],
        ]

    with deviating(each_request(make)) as server, rtnb.connect(server.url) as session:
        turn = session.send("hello").wait(PATIENCE)
        assert turn.audio is not None
        assert turn.audio.seconds == pytest.approx(0.2)
        assert len([p for _, p in session.state.problems if "base64" in p]) == 3
