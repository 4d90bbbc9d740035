"""Budgets: the meter on records of any kind, and sessions that are held to one by the real server."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator

import pytest
from frames import Wire
from hypothesis import given
from hypothesis import strategies as st

import rtnb
from rtnb.engines.fake import fake
from rtnb.errors import ArgumentError, BudgetError, BudgetWarning, RtnbError
from rtnb.protocol.events import Event
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.session.budget import WARN_AT, Budget
from rtnb.transports import pair

SPEECH = rtnb.Clip.tone(300, 1.0) + rtnb.Clip.silence(1.0)


def usage(total: int) -> Event:
    return {
        "input_tokens": total,
        "total_tokens": total,
        "input_token_details": {"text_tokens": total, "audio_tokens": 0, "cached_tokens": 0},
        "output_token_details": {"text_tokens": 0, "audio_tokens": 0},
    }


def used(*totals: int | None) -> Wire:
    """A record with one response for each total; None for one whose usage was not told."""
    wire = Wire()
    wire.session()
    for number, total in enumerate(totals):
        wire.ask()
        wire.begin(f"resp_{number}", f"item_{number}")
        wire.end(f"resp_{number}", usage=None if total is None else usage(total))
    return wire


def budget(wire: Wire, value: object, *, minutes: float = 0.0, billed: bool = True) -> Budget:
    return Budget(wire.state, Budget.allowed(value), minutes=lambda: minutes, billed=billed)


# What a budget may be.


@pytest.mark.parametrize(
    ("given_as", "allowed"),
    [
        (None, {}),
        (0.5, {"usd": 0.5}),
        (2, {"usd": 2}),
        ("$0.50", {"usd": 0.5}),
        (" $1,000 ", {"usd": 1000}),
        ("20,000 tokens", {"tokens": 20_000}),
        ("20_000 tokens", {"tokens": 20_000}),
        ("10 minutes", {"minutes": 10}),
        ("1.5 min", {"minutes": 1.5}),
        ({"usd": 0.5, "tokens": 100, "minutes": 3}, {"usd": 0.5, "tokens": 100, "minutes": 3}),
    ],
)
def test_ways_to_say_a_budget(given_as: object, allowed: dict[str, float]) -> None:
    assert Budget.allowed(given_as) == allowed


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "much", "5", "$", "$1.2.3", "-5 tokens", "5 apples", "ten minutes"),
        *("$0,50", "1,5 minutes", "20,00 tokens", "$1,000,00", "$."),
        *(True, False, 0, -1, float("nan"), float("inf"), [], [5], b"$5", object()),
        *({}, {"usd": "5"}, {"euros": 5}, {"tokens": True}, {"tokens": 0}, {5: 5}, {"usd": None}),
    ],
)
def test_what_is_no_budget_is_refused_with_one_sentence(wrong: object) -> None:
    with pytest.raises(ArgumentError, match="budget") as caught:
        Budget.allowed(wrong)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=12) | st.integers() | st.floats() | st.dictionaries(st.text(max_size=6), st.floats()))
def test_anything_is_a_budget_or_is_refused(value: object) -> None:
    try:
        allowed = Budget.allowed(value)
    except ArgumentError:
        return
    assert allowed
    assert all(amount > 0 for amount in allowed.values())


# The meter.


@given(st.lists(st.integers(0, 5_000), max_size=6), st.integers(1, 20_000))
def test_a_budget_is_spent_when_its_sum_is_reached(totals: list[int], most: int) -> None:
    held = budget(used(*totals), {"tokens": most})
    [gauge] = held.gauges
    assert (gauge.used, gauge.most) == (sum(totals), most)
    assert (held.spent is not None) is (sum(totals) >= most)
    said = held.warnings()
    assert bool(said) is (sum(totals) >= WARN_AT * most)
    assert held.warnings() == []


def test_dollars_are_those_of_the_dated_prices() -> None:
    wire = used(1_000, 500)
    [gauge] = budget(wire, "$1").gauges
    assert gauge.used == pytest.approx(1_500 * 5e-6)
    assert gauge.note == ""
    wire.state.requested_model = "gpt-realtime"
    wire.server("session.updated", session={"model": "a-deployment"})
    assert budget(wire, 1).gauges[0].used == pytest.approx(1_500 * 4e-6)


def test_the_note_says_what_dollars_are_and_what_is_not_in_them() -> None:
    wire = used(1_000, None)
    wire.session(kind="session.updated", transcription={"model": "some-ears"})
    wire.committed("spoken")
    wire.server(
        "conversation.item.input_audio_transcription.completed",
        item_id="spoken",
        content_index=0,
        transcript="x",
        usage={"type": "tokens", "total_tokens": 9},
    )
    held = budget(wire, 1, billed=False)
    assert held.gauges[0].note == (
        "at the prices of gpt-4o-realtime-preview, not billed, not included: "
        "1 response reported no usage, transcription by some-ears (price unknown)"
    )
    assert held.warnings() == ["the budget cannot be enforced exactly: 1 response reported no usage"]


SUMS = {"input_tokens": 132, "output_tokens": 188, "total_tokens": 320}


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"input_token_details": {"text_tokens": 59}, "output_token_details": {"text_tokens": 41}},
        {"output_token_details": {"text_tokens": 0, "reasoning_tokens": 188}},
    ],
)
def test_a_budget_holds_where_the_service_does_not_tell_all_kinds(details: Event) -> None:
    wire = used()
    wire.ask()
    wire.begin("resp", "item")
    wire.end("resp", usage=SUMS | details)
    tokens = budget(wire, "300 tokens")
    assert tokens.gauges[0].used == 320
    assert tokens.spent is not None
    dollars = budget(wire, "$0.01")
    assert dollars.gauges[0].used >= (132 * 5 + 188 * 20) / 1e6
    assert "at most, with tokens of unknown kind at the highest rate" in str(dollars.spent)
    near, doubt = dollars.warnings()
    assert near.startswith("the budget is nearly used up: $")
    assert doubt.startswith("the budget cannot be enforced exactly: some tokens have no reported kind")
    assert dollars.warnings() == []


def test_a_budget_without_any_price_shows_no_zero_and_says_that_it_cannot_be_held() -> None:
    wire = used(1_000)
    wire.server("session.updated", session={"model": "house-model"})
    held = budget(wire, 1)
    assert (held.gauges[0].used, held.gauges[0].note) == (None, "not included: 1 unpriced response")
    assert held.spent is None
    assert held.warnings() == ["the budget cannot be enforced exactly: 1 unpriced response"]
    assert held.warnings() == []


def test_minutes_are_those_since_the_session_was_opened() -> None:
    wire = used()
    assert budget(wire, "10 minutes", minutes=9.9).spent is None
    assert "10.0 of 10.0 minutes" in str(budget(wire, "10 minutes", minutes=10).spent)
    assert budget(wire, "10 minutes", minutes=8.1).warnings() == [
        "the budget is nearly used up: 8.1 of 10.0 minutes (81%). Then no further response starts"
    ]


def test_the_sentence_says_what_was_used_what_is_allowed_and_how_to_raise_it() -> None:
    assert budget(used(70, 60), "130 tokens").spent == (
        "the budget is used up: 130 of 130 tokens (100%). "
        "Raise it with s.budget = {'tokens': 260} or remove it with s.budget = None"
    )
    assert "s.budget = 0.01 or" in str(budget(used(1_000), 0.005).spent)
    assert repr(budget(used(65), {"tokens": 130, "minutes": 5})) == (
        "<Budget 65 of 130 tokens (50%), 0.0 of 5.0 minutes (0%)>"
    )


def test_dollars_need_prices() -> None:
    wire = used()
    wire.server("session.updated", session={"model": "house-model"})
    with pytest.raises(
        ArgumentError, match=r"those of house-model are unknown.*rtnb\.models\.load.*20,000 tokens"
    ):
        budget(wire, 1).check_priced(wire.state.row)
    budget(wire, "5 tokens").check_priced(wire.state.row)


# Sessions.


class Held:
    def __init__(self) -> None:
        self.sessions: list[AsyncSession] = []
        self.servers: list[asyncio.Task[None]] = []

    async def open(
        self, budget: object, *, model: str = "gpt-4o-realtime-preview", **options: object
    ) -> AsyncSession:
        client, server = pair()
        self.servers.append(asyncio.create_task(serve(server, fake({}), model=model)))
        session = AsyncSession(client, billed=False, model=model)
        self.sessions.append(session)
        return await session.open({"turn_detection": False, **options}, budget=budget)


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    made = Held()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BudgetWarning)
        yield made
    for session in made.sessions:
        await session.close()
    await asyncio.gather(*made.servers)


async def test_it_warns_once_and_then_stops_before_the_next_response(held: Held) -> None:
    session = await held.open("500 tokens")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        while session.spent is None:
            assert (await session.send("hello there")).status == "completed"
    assert [one.category for one in told] == [BudgetWarning]
    assert "of 500 tokens" in str(told[0].message)
    before = len(session.state.log.filter(direction="client"))
    with pytest.raises(BudgetError, match=r"nothing was sent: the budget is used up: .* of 500 tokens"):
        session.send("hello")
    with pytest.raises(BudgetError):
        session.send("hello", conversation="none")
    with pytest.raises(BudgetError):
        session.send_event({"type": "response.create"})
    session.append(rtnb.Clip.tone(300, 0.5))
    with pytest.raises(BudgetError):
        session.commit()
    assert len(session.state.log.filter(direction="client")) == before + 1
    session.set_budget("50,000 tokens")
    assert (await session.send("hello")).status == "completed"
    session.set_budget(None)
    assert session.budget is None


async def test_a_warning_that_a_filter_makes_an_error_stops_nothing(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    session = await held.open("130 tokens")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (await session.send("hello there")).status == "completed"
    assert "the budget is nearly used up" in caplog.text
    assert session.state.problems == []


async def test_turns_that_wait_fail_when_the_budget_ends(held: Held) -> None:
    session = await held.open("130 tokens")
    turns = [session.send(f"hello number {number}") for number in range(4)]
    for turn in turns:
        await turn
    assert [turn.status for turn in turns] == ["completed", "completed", "failed", "failed"]
    assert isinstance(turns[-1].error, BudgetError)
    assert session.state.turns.all[-1].number == turns[1].number  # nothing of the others was sent
    with pytest.raises(BudgetError):
        _ = turns[-1].text


async def test_rounds_of_tools_count_too(held: Held) -> None:
    ran = []

    def lookup(word: str) -> str:
        """Look a word up."""
        ran.append(word)
        return "found"

    session = await held.open("10 tokens", tools=[lookup])
    turn = await session.send('please call lookup {"word": "sea"}')
    assert ran, "the fake engine calls a tool that is named"
    assert turn.status == "failed"
    assert isinstance(turn.error, BudgetError)
    sent = session.state.log.filter("conversation.item.create")[-1].data["item"]
    assert (sent["type"], sent["output"]) == ("function_call_output", "found")
    assert len(session.state.log.filter("response.create")) == 1


async def test_a_server_that_answers_by_itself_is_kept_from_it(held: Held) -> None:
    session = await held.open("130 tokens", turn_detection="server_vad")
    while session.spent is None:
        await session.send("hello")
    answered = len(session.state.log.filter("response.created"))
    await session.speak(SPEECH, speed=50)
    turn = await session.turns[-1]
    assert turn.status == "failed"
    assert isinstance(turn.error, BudgetError)
    assert session.state.conversation.turn_detection["create_response"] is False
    assert len(session.state.log.filter("response.created")) == answered
    session.set_budget(None)
    await session.speak(SPEECH, speed=50)
    while session.state.conversation.turn_detection["create_response"] is not True:
        await asyncio.sleep(0)
    await session.speak(SPEECH, speed=50)
    assert (await session.turns[-1]).status == "completed"
    assert session.turns[-1] is not turn


async def test_an_update_cannot_make_it_answer(held: Held) -> None:
    session = await held.open("130 tokens")
    while session.spent is None:
        await session.send("hello")
    await session.update(turn_detection="server_vad")
    assert session.state.conversation.turn_detection["create_response"] is False
    session.set_budget("9,000 tokens")
    while session.state.conversation.turn_detection["create_response"] is not True:
        await asyncio.sleep(0)
    await session.update(turn_detection={"type": "server_vad", "create_response": False})
    session.set_budget(None)
    assert session.state.conversation.turn_detection["create_response"] is False  # the user's own wish


async def test_an_answer_that_was_begun_all_the_same_is_cancelled() -> None:
    """A server that is quicker than the update, or ignores it."""
    client, server = pair()

    async def stubborn() -> None:
        from orjson import dumps, loads

        number = 0

        async def say(type: str, **fields: object) -> None:
            nonlocal number
            number += 1
            await server.send(dumps({"type": type, "event_id": f"event_{number}", **fields}))

        detection = {"type": "server_vad", "create_response": True}
        session = {
            "type": "realtime",
            "model": rtnb.models.SEED,
            "audio": {"input": {"turn_detection": detection}},
        }
        await say("session.created", session=session)
        for id in ("one", "two"):
            await say("input_audio_buffer.committed", item_id=f"item_{id}", previous_item_id=None)
            await say("response.created", response={"id": id, "status": "in_progress", "output": []})
            if id == "one":
                await say(
                    "response.done",
                    response={"id": id, "status": "completed", "usage": usage(500), "output": []},
                )
        while True:
            event = loads(await server.recv())
            if event["type"] == "response.cancel":
                cancelled = {
                    "id": event["response_id"],
                    "status": "cancelled",
                    "usage": usage(5),
                    "output": [],
                }
                await say("response.done", response=cancelled)
                return

    serving = asyncio.create_task(stubborn())
    session = AsyncSession(client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BudgetWarning)
        await session.open({}, budget="100 tokens")
        await serving
        while len(session.turns) < 2:
            await asyncio.sleep(0)
        first, second = session.turns
        await second
    assert (first.status, second.status) == ("completed", "failed")
    assert isinstance(second.error, BudgetError)
    assert [event.data["response_id"] for event in session.state.log.filter("response.cancel")] == ["two"]
    await session.close()


async def test_dollars_for_a_model_without_prices_are_refused_at_once(held: Held) -> None:
    with pytest.raises(ArgumentError, match="those of some-model are unknown"):
        await held.open(0.5, model="some-model")
    assert held.sessions[0].closed
    assert len(held.sessions[0].state.log.filter(direction="client")) == 0
    assert (await (await held.open("9,000 tokens", model="some-model")).send("hello")).status == "completed"


@pytest.mark.usefixtures("server_home")
def test_the_blocking_face() -> None:
    with pytest.raises(ArgumentError, match="budget: expected"):
        rtnb.connect(engine="fake", budget="plenty")
    with rtnb.connect(engine="fake", budget="$0.001") as s:
        told = "<Budget $0 of $0.0010 (0%), at the prices of gpt-4o-realtime-preview"
        assert repr(s.budget).startswith(told)
        with pytest.warns(BudgetWarning, match=r"of \$0\.0010"):
            s.send("hello there").wait()
        with pytest.raises(BudgetError, match=r"s\.budget = "):
            s.send("hello")
        assert "of $0.0010" in s.usage._repr_mimebundle_()["text/html"]
        with pytest.raises(ArgumentError):
            s.budget = -1
        s.budget = 5
        assert s.send("hello").wait().status == "completed"
        s.budget = None
        assert s.usage.budget == ()
    assert issubclass(BudgetError, RtnbError)
    assert not issubclass(BudgetError, ArgumentError)
