import re
from pathlib import Path

import orjson
import pytest
from frames import Wire
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.usages import shown, talk, wire_usage

from rtnb.analysis.gauges import Gauge, Limit
from rtnb.analysis.turn import TurnView
from rtnb.analysis.usage import UsageView
from rtnb.errors import ArgumentError
from rtnb.protocol import models
from rtnb.protocol.state import SessionState
from rtnb.protocol.usage import Usage

EXAMPLES = Path(__file__).parents[3] / "shared" / "protocol"


def test_rows_and_the_sum():
    view = UsageView(talk(wire_usage(), wire_usage(text=75, audio=60, hit_text=64, hit_audio=60)).state)
    assert [row.turn for row in view.turns] == [0, 1]
    assert [row.usage.total_tokens for row in view.turns] == [75, 180]
    assert view.total == sum((row.usage for row in view.turns), Usage())
    assert (view.total_tokens, view.input_audio, view.cached_tokens, view.output_tokens) == (255, 80, 124, 90)
    assert (view.turns[0].cached_share, view.turns[1].cached_share) == (0, 124 / 135)
    assert view.cached_share == 124 / 165
    assert (view.context.used, view.context.most) == (180, 32_000)
    assert view.context.share == 180 / 32_000
    assert (view.output.used, view.output.most) == (45, 4_096)
    assert view.cost == pytest.approx(sum(row.cost for row in view.turns))
    assert (view.cost.as_of, view.cost.source) == (view.model.as_of, "OpenAI model page")
    assert view.problems == []
    assert view.unknown == 0
    with pytest.raises(AttributeError, match=r"usage has no 'tokens'; it has .*total_tokens"):
        _ = view.tokens
    assert {"total_tokens", "to_frame", "cost"} <= set(dir(view))


def test_several_responses_of_one_turn_are_one_row():
    wire = talk(wire_usage())
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "content": None}
    wire.text("item_b", "call it")
    wire.ask()
    wire.begin("r1", "call_b", **call)
    wire.end("r1", {"id": "call_b", **call}, usage=wire_usage(out_audio=0))
    wire.client(
        "conversation.item.create",
        item={"id": "o", "type": "function_call_output", "call_id": "c1", "output": "1"},
    )
    wire.ask()
    wire.begin("r2", "answer_b")
    wire.end("r2", usage=wire_usage(text=200))
    row = UsageView(wire.state).turns[1]
    assert (row.responses, row.usage.total_tokens, row.context, row.longest) == (2, 35 + 265, 265, 45)


def test_before_any_turn_nothing_is_counted():
    view = UsageView(SessionState(), billed=False, engine="fake")
    assert repr(view) == "<Usage: no turns yet>"
    assert shown(view).split() == ["Usage:", "no", "turns", "yet", "No", "turns", "yet."]


def test_what_was_not_reported_is_unknown_and_not_nothing():
    view = UsageView(talk(wire_usage(), None).state)
    assert (view.unknown, view.turns[1].unknown, view.turns[1].known) == (1, 1, False)
    assert view.turns[1].cost is None
    assert view.turns[1].context is None
    assert view.total_tokens == 75
    assert view.cost == view.turns[0].cost
    assert view.cost.excludes == ("1 response of unknown usage",)
    assert "unknown" in str(view).splitlines()[5]
    assert "1 response reported no usage: not included in the totals." in shown(view)
    none = UsageView(talk(None).state)
    assert none.cost is None
    assert "cost unknown" in repr(none)
    assert "$0" not in shown(none)
    frame = pytest.importorskip("pandas") and view.to_frame()
    assert frame["cost_usd"].isna().tolist() == [False, True]
    assert frame["input_audio"].isna().tolist() == [False, True]


def test_an_answer_that_is_on_its_way_says_so():
    wire = talk(wire_usage())
    wire.text("item_x", "more")
    wire.ask()
    wire.begin("resp_x", "answer_x")
    view = UsageView(wire.state)
    assert view.turns[1].status == "in_progress"
    assert "running" in str(view)


def test_a_model_without_prices_is_unpriced():
    wire = talk(wire_usage())
    wire.server("session.updated", session={"model": "house-model"})
    view = UsageView(wire.state)
    assert (view.cost, view.context.most, view.context.share, view.output.most) == (None, None, None, None)
    text = shown(view)
    assert "unpriced" in text
    assert "75 tokens of an unknown maximum" in text
    assert "house-model has no known price: add one with rtnb.models.load." in text
    assert "$" not in text


def test_a_deployment_is_priced_as_what_it_was_stated_to_be():
    wire = talk(wire_usage())
    wire.server("session.updated", session={"model": "my-deployment"})
    wire.state.requested_model = "gpt-realtime-2.1"
    assert UsageView(wire.state).cost == wire.state.usage.cost("gpt-realtime-2.1")
    models.load(
        {
            "as_of": "2027-01-05",
            "models": [{"id": "my-deployment", "like": "gpt-realtime-2.1", "audio": [64, 0.8, 128]}],
        }
    )
    try:
        view = UsageView(wire.state)
    finally:
        models.reset()
    assert (view.cost.model, view.cost.as_of) == ("my-deployment", "2027-01-05")
    assert view.cost > wire.state.usage.cost("gpt-realtime-2.1")


def test_no_one_is_billed_for_the_embedded_engine():
    view = UsageView(talk(wire_usage()).state, billed=False, engine="fake")
    assert not view.cost.billed
    text = shown(view)
    assert "would cost" in text
    assert "the embedded fake engine quotes its input" in text
    assert text.count("Not billed.") == 2  # once in each form
    assert "nothing was billed" not in text


def test_disagreements_are_shown():
    view = UsageView(talk(wire_usage(), wire_usage(total_tokens=99, text=33_000)).state)
    assert view.problems == [
        "turn 2: total_tokens is 99, but its details sum to 33065",
        "turn 2: a conversation of 33,065 tokens is more than gpt-4o-realtime-preview holds, 32,000",
    ]
    for said in view.problems:
        assert said in str(view)
        assert said in shown(view).split("Not included")[0]


def test_figures_that_make_no_sense_are_shown():
    wire = talk({"input_tokens": 5, "input_token_details": {"text_tokens": "many"}})
    view = UsageView(wire.state)
    assert view.unknown == 1
    assert "usage cannot be read: text_tokens is 'many'" in view.problems[0]


def test_limits_as_they_were_last_reported():
    wire = talk(wire_usage())
    wire.server(
        "rate_limits.updated",
        rate_limits=[{"name": "tokens", "limit": 40_000, "remaining": 39_925, "reset_seconds": 1.5}],
    )
    wire.server("rate_limits.updated", rate_limits=[{"name": "requests", "limit": None, "remaining": "?"}])
    tokens, requests = UsageView(wire.state).limits
    assert (tokens.limit, tokens.remaining) == (40_000, 39_925)
    assert tokens.resets_at == pytest.approx(tokens.reported_at + 1.5)
    assert requests == Limit("requests", None, None, None, requests.reported_at)
    assert requests.reported_at == pytest.approx(tokens.reported_at + 0.01)
    assert requests.resets_at is None
    text = shown(UsageView(wire.state))
    assert "39,925 of 40,000 left, reported at" in text
    assert "rate limit, requests: unknown" in text


def test_each_turn_says_what_share_was_cached_and_how_large_the_conversation_was():
    wire = talk(wire_usage(), wire_usage(hit_text=10, hit_audio=5))
    wire.ask(conversation="none", input=[])
    wire.begin("other", "answer_other")
    wire.end("other", usage=wire_usage(text=900))
    wire.ask()
    wire.begin("running", "answer_running")
    table = [line.split() for line in str(UsageView(wire.state)).splitlines()]
    share, context = table[3].index("share"), table[3].index("context")
    assert [row[share] for row in table[4:8]] == ["0%", "50%", "0%", "running"]
    assert [row[context] for row in table[4:8]] == ["75", "75", "–", "running"]


def test_the_longest_answer_is_held_against_what_was_asked_for():
    wire = Wire()
    wire.session()
    wire.text("i", "hi")
    wire.ask()
    wire.server("response.created", response={"id": "r", "status": "in_progress", "max_output_tokens": 50})
    wire.end("r", usage=wire_usage())
    assert (UsageView(wire.state).output.used, UsageView(wire.state).output.most) == (45, 50)
    wire.ask()
    wire.server("response.created", response={"id": "s", "status": "in_progress", "max_output_tokens": "inf"})
    wire.end("s", usage=wire_usage(out_audio=100))
    assert (UsageView(wire.state).output.used, UsageView(wire.state).output.most) == (105, 4_096)


def test_tokens_without_kinds_have_a_column_of_their_own():
    view = UsageView(talk({"total_tokens": 30, "input_tokens": 20, "output_tokens": 10}).state)
    assert (view.total_tokens, view.cached_share) == (30, None)
    assert "kind unknown" in str(view)
    cells = str(view).splitlines()[4].split()[1:]
    assert cells[:3] == ["at", "most", "$0.0016"]
    assert cells[3:-1] == [*["unknown"] * 5, "20", "unknown", "unknown", "10"]
    assert str(view.cost) == "at most $0.0016"
    assert "priced at the highest rate" in shown(view)
    assert "at most, $" in view.plot().svg


def test_details_that_leave_tokens_out_are_shown_beside_them():
    wire = {"input_tokens": 90, "output_tokens": 50, "total_tokens": 140}
    wire |= {"input_token_details": {"text_tokens": 70}, "output_token_details": {"text_tokens": 45}}
    view = UsageView(talk(wire).state)
    cells = str(view).splitlines()[4].split()[1:]
    counts = ["70", "unknown", "unknown", "unknown", "unknown", "20", "45", "unknown", "5"]
    assert cells == ["at", "most", "$0.0025", *counts, "140"]
    assert view.problems == [
        "turn 1: input_tokens is 90, but its details sum to 70",
        "turn 1: output_tokens is 50, but its details sum to 45",
    ]


def test_out_of_band_answers_cost_and_are_no_context():
    wire = talk(wire_usage())
    wire.ask(conversation="none", input=[])
    wire.begin("other", "answer_other")
    wire.end("other", usage=wire_usage(text=900))
    view = UsageView(wire.state)
    assert (view.turns[1].context, view.context.used) == (None, 75)
    assert view.total_tokens == 75 + 965


def test_gauges_in_words():
    assert str(Gauge("context", 4201, 32_000)) == "4,201 of 32,000 tokens (13%)"
    assert str(Gauge("context", 41, 32_000)) == "41 of 32,000 tokens (under 1%)"
    assert str(Gauge("context", 31_999, 32_000)) == "31,999 of 32,000 tokens (99%)"
    assert str(Gauge("context", None, None)) == "unknown"
    assert str(Gauge("context", None, 5)) == "unknown of 5 tokens"
    assert str(Gauge("budget", 0.25, 0.5, "$")) == "$0.2500 of $0.5000 (50%)"
    assert str(Gauge("budget", 1.5, 10, "minutes")) == "1.5 of 10.0 minutes (15%)"
    assert str(Gauge("budget", 0, 0.5, "$")) == "$0 of $0.5000 (0%)"
    assert str(Gauge("budget", 5e300, 1e-300, "$")).endswith("(over 999%)")
    assert str(Gauge("budget", -1, 1e-320, "$")).endswith("(0%)")
    assert repr(Gauge("context", 5, 10)) == "<Gauge context: 5 of 10 tokens (50%)>"
    assert Gauge("none", 5, 0).share == 1.0
    view = UsageView(SessionState(), budget=[Gauge("budget", 0.25, 0.5, "$")])
    assert "$0.2500 of $0.5000 (50%)" in shown(view)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_rows_as_a_frame(kind):
    pytest.importorskip("pyarrow" if kind == "arrow" else kind)
    view = UsageView(talk(wire_usage(), None, wire_usage(hit_text=4)).state, billed=False)
    frame = view.to_frame(kind)
    names = frame.column_names if kind == "arrow" else list(frame.columns)
    assert names[:4] == ["turn", "status", "responses", "unknown"]
    assert names[-4:] == ["transcription_seconds", "cost_usd", "at_most", "billed"]
    column = frame["total_tokens"].to_pylist() if kind == "arrow" else list(frame["total_tokens"])
    assert column[0] == column[2] == 75
    assert len(column) == 3
    with pytest.raises(ArgumentError, match="kind must be one of"):
        view.to_frame("excel")


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_a_frames_types_are_those_of_any_other(kind):
    pytest.importorskip("pyarrow" if kind == "arrow" else kind)
    unpriced = talk(wire_usage())
    unpriced.server("session.updated", session={"model": "house-model"})
    records = [talk(wire_usage(hit_text=4)).state, SessionState(), talk(None).state, unpriced.state]
    types = [
        list(map(str, made.schema.types if kind == "arrow" else made.dtypes))
        for made in (UsageView(record).to_frame(kind) for record in records)
    ]
    assert types == types[:1] * 4
    assert {"object", "Null", "null"}.isdisjoint(types[0])


def test_a_long_session_shows_its_last_turns_and_sums_all():
    view = UsageView(talk(*[wire_usage()] * 70).state)
    html = view._repr_mimebundle_()["text/html"]
    assert html.count("<tr>") < 55
    assert "30 earlier turns" in html
    assert f"<td>{70 * 10:,}</td>" in html
    assert "30 earlier turns" in str(view)
    assert len(html) < 120_000


counts = st.none() | st.integers(-5, 50_000) | st.text(max_size=2) | st.booleans() | st.floats()
details = st.none() | st.dictionaries(
    st.sampled_from(["text_tokens", "audio_tokens", "image_tokens", "cached_tokens"]), counts, max_size=4
)
odd_usage = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "total_tokens": counts,
        "input_tokens": counts,
        "output_tokens": counts,
        "input_token_details": details,
        "output_token_details": details,
        "type": st.just("tokens"),
        "seconds": counts,
    },
)
events = st.one_of(
    st.builds(
        lambda id, usage, status: {
            "type": "response.done",
            "response": {"id": id, "status": status, "usage": usage, "output": []},
        },
        st.sampled_from("abc"),
        odd_usage,
        st.sampled_from(["completed", "cancelled", "failed", "odd", None]),
    ),
    st.builds(
        lambda id, most: {"type": "response.created", "response": {"id": id, "max_output_tokens": most}},
        st.sampled_from("abc"),
        counts,
    ),
    st.builds(
        lambda limits: {"type": "rate_limits.updated", "rate_limits": limits},
        st.lists(
            st.dictionaries(
                st.sampled_from(["name", "limit", "remaining", "reset_seconds"]), counts, max_size=4
            ),
            max_size=2,
        ),
    ),
    st.builds(
        lambda usage: {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": "i",
            "content_index": 0,
            "transcript": "x",
            "usage": usage,
        },
        odd_usage,
    ),
    st.just({"type": "session.updated", "session": {"model": "gpt-realtime", "max_output_tokens": 7}}),
    st.just({"type": "some.future.event"}),
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150, deadline=None)
@given(st.lists(events, max_size=14))
def test_unknown_doubled_reordered_and_missing_events_never_raise(happened):
    wire = Wire()
    wire.session()
    for event in happened:
        fields = {key: value for key, value in event.items() if key != "type"}
        wire.server(event["type"], **fields)
        if event["type"] == "response.done":
            wire.server(event["type"], **fields)
    view = UsageView(wire.state)
    assert shown(view)
    assert view.plot().svg.startswith("<svg")
    assert repr(view)
    assert view.total_tokens == sum(row.usage.total_tokens for row in view.turns)
    assert view.unknown == sum(row.unknown for row in view.turns)
    known = [row.cost for row in view.turns if row.cost is not None]
    if len(known) == len(view.turns) and view.cost is not None:
        assert view.cost == pytest.approx(sum(known))


@given(st.permutations([0, 1, 2]), st.lists(st.integers(0, 900), min_size=3, max_size=3))
def test_the_order_in_which_answers_end_does_not_matter(order, sizes):
    wire = Wire()
    wire.session()
    for id in "abc":
        wire.ask(conversation="none")
        wire.begin(id, f"item_{id}")
    for at in order:
        wire.end("abc"[at], usage=wire_usage(text=sizes[at]))
    view = UsageView(wire.state)
    assert [row.usage.input_text for row in view.turns] == sizes
    assert view.input_text == sum(sizes)


def test_published_examples():
    found = sorted(EXAMPLES.glob("examples-server.jsonl"))
    if not found:
        pytest.skip("the published examples are not here")
    wire = Wire()
    lines = [orjson.loads(line) for line in found[0].read_bytes().splitlines()]
    for event in lines:
        event = event.get("example", event.get("event", event))
        if isinstance(event.get("type"), str):
            kind = event.pop("type")
            if kind == "response.done" and isinstance(event.get("response"), dict):
                wire.server("response.created", response={"id": event["response"].get("id")})
            wire.server(kind, **event)
    view = UsageView(wire.state)
    assert view.total_tokens > 0
    assert shown(view)
    assert any(
        "reported as cached" in said for said in view.problems
    )  # one of the published examples does not add up


def test_usage_that_was_not_reported_is_unknown_in_every_sum():
    view = UsageView(talk(None).state)
    assert "no tokens reported" in repr(view)
    assert "no tokens reported" in shown(view)
    table = str(view).splitlines()
    assert set(next(line for line in table if line.startswith(" all")).split()[1:]) == {"unknown"}
    assert not re.search(r"\b0 tokens", str(view))


def test_a_turn_whose_usage_is_unknown_does_not_cost_nothing():
    record = talk(None, wire_usage()).state
    unknown, known = (TurnView(record, fold) for fold in record.turns.all)
    assert unknown.cost is None
    assert known.cost == UsageView(record).turns[1].cost > 0


def test_names_that_the_service_gives_are_plain_text():
    wire = talk(wire_usage())
    wire.server("session.updated", session={"model": "house\x1b[2J"})
    wire.server("rate_limits.updated", rate_limits=[{"name": "tok\x1bens", "limit": 5, "remaining": 2}])
    view = UsageView(wire.state)
    for text in (str(view), repr(view), repr(view.limits[0])):
        assert "\x1b" not in text
    assert "tok\ufffdens" in repr(view.limits[0])
