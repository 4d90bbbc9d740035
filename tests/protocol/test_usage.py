import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.protocol import models
from rtnb.protocol.models import Model, Price
from rtnb.protocol.usage import Cost, Usage

# From a public log of the hosted service: 59 + 73 in, 64 of them cached (all sound), 41 + 147 out.
WIRE = {
    "total_tokens": 320,
    "input_tokens": 132,
    "output_tokens": 188,
    "input_token_details": {
        "text_tokens": 59,
        "audio_tokens": 73,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 64, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 41, "audio_tokens": 147},
}


def test_what_the_service_reports():
    usage = Usage.from_wire(WIRE)
    assert usage == Usage(input_text=59, input_audio=73, cached_audio=64, output_text=41, output_audio=147)
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.total_tokens) == (
        132,
        64,
        188,
        320,
    )
    assert usage.problems == ()


def test_nothing_used():
    nothing = {"total_tokens": 0, "input_token_details": None, "output_token_details": {}}
    assert Usage.from_wire(nothing) == Usage()


@pytest.mark.parametrize("wire", [{}, {"total_tokens": 100}, {"input_token_details": {}, "seconds": 3}])
def test_what_counts_nothing_is_unknown_and_not_nothing(wire):
    with pytest.raises(ValueError, match="neither input nor output"):
        Usage.from_wire(wire)
    assert Usage().total_tokens == 0


def test_sums_that_disagree_are_named():
    usage = Usage.from_wire({**WIRE, "input_tokens": 140, "total_tokens": 328})
    assert usage.problems == ("input_tokens is 140, but its details sum to 132",)
    assert Usage.from_wire({**WIRE, "total_tokens": 328}).problems == (
        "total_tokens is 328, but its details sum to 320",
    )
    assert Usage.from_wire({**WIRE, "output_tokens": 100}).problems == (
        "output_tokens is 100, but its details sum to 188",
    )
    details = {**WIRE["input_token_details"], "cached_tokens": 60}
    assert Usage.from_wire({**WIRE, "input_token_details": details}).problems == (
        "cached_tokens is 60, but its details sum to 64",
    )


@pytest.mark.parametrize(
    ("cached", "split"),
    [(0, (0, 0, 0)), (5, (5, 0, 0)), (10, (10, 0, 0)), (25, (10, 15, 0)), (60, (10, 20, 30))],
)
def test_cached_tokens_without_a_split_are_text_first(cached, split):
    details = {"text_tokens": 10, "audio_tokens": 20, "image_tokens": 30, "cached_tokens": cached}
    usage = Usage.from_wire({"input_token_details": details})
    assert (usage.cached_text, usage.cached_audio, usage.cached_image) == split
    assert usage.problems == ()


def test_more_cached_than_given_is_named_and_costs_nothing_back():
    details = {"text_tokens": 10, "cached_tokens": 70}
    assert Usage.from_wire({"input_token_details": details}).problems == (
        "cached_tokens is 70, but its details sum to 10",
    )
    details["cached_tokens_details"] = {"text_tokens": 70}
    usage = Usage.from_wire({"input_token_details": details})
    assert usage.problems == ("70 of 10 text tokens were reported as cached; counted as 0",)
    assert repr(usage).startswith(
        "<Usage: 10 tokens in (10 text), 0 out; 70 of 10 text tokens were reported as cached"
    )
    cost = usage.cost("gpt-realtime")
    assert cost == pytest.approx(10 * 4e-6)
    more = Usage.from_wire({"input_token_details": {"text_tokens": 1000}})
    assert (usage + more).cost("gpt-realtime") == pytest.approx(cost + more.cost("gpt-realtime"))
    assert min(cost.parts.values()) >= 0


@pytest.mark.parametrize("value", ["5", 5.5, [5], {}, -1])
def test_a_count_that_is_none_is_refused(value):
    if value == {}:
        value = {"text": 1}
    with pytest.raises((TypeError, ValueError), match="text_tokens: expected"):
        Usage.from_wire({"output_token_details": {"text_tokens": value}})


counts = st.integers(0, 10**9)
usages = st.builds(
    Usage,
    *[counts] * 8,
    st.dictionaries(st.sampled_from(["a", "b"]), st.dictionaries(st.sampled_from(["seconds", "x"]), counts)),
    st.lists(st.text(max_size=3), max_size=2).map(tuple),
)


@given(usages, usages, usages)
def test_usages_add_up(a, b, c):
    assert (a + b).total_tokens == a.total_tokens + b.total_tokens
    assert (a + b).cached_tokens == a.cached_tokens + b.cached_tokens
    assert (a + b) + c == a + (b + c)
    assert a + Usage() == a == Usage() + a
    before = copy.deepcopy(a)
    a + b
    assert a == before


def test_transcriptions_add_up_by_model():
    whisper = Usage.from_transcription({"type": "duration", "seconds": 12.5}, "w")
    tokens = Usage.from_transcription({"type": "tokens", "total_tokens": 7, "ok": True}, "t")
    assert (whisper + tokens + whisper).transcription == {"w": {"seconds": 25.0}, "t": {"total_tokens": 7}}
    assert Usage.from_transcription({"type": "duration"}, "w") == Usage()


def test_the_cost_of_the_seed_model():
    """5, 2.5 and 20 dollars a million for text, 40, 2.5 and 80 for sound."""
    cost = Usage.from_wire(WIRE).cost("gpt-4o-realtime-preview")
    assert cost.parts == pytest.approx(
        {
            "text in": 59 * 5e-6,
            "text cached": 0.0,
            "text out": 41 * 20e-6,
            "audio in": 9 * 40e-6,
            "audio cached": 64 * 2.5e-6,
            "audio out": 147 * 80e-6,
        }
    )
    assert cost == pytest.approx(0.000295 + 0.00082 + 0.00036 + 0.00016 + 0.01176)
    assert (cost.model, cost.billed, cost.excludes) == ("gpt-4o-realtime-preview", True, ())


def test_the_cost_of_a_newer_model_with_a_picture():
    """gpt-realtime-2.1: text 4, .4 and 24; sound 32, .4 and 64; pictures 5 and .5, none made."""
    usage = Usage(1000, 600, 300, 200, 100, 50, 40, 1200)
    assert usage.cost("gpt-realtime-2.1") == pytest.approx(
        (800 * 4 + 200 * 0.4 + 40 * 24 + 500 * 32 + 100 * 0.4 + 1200 * 64 + 250 * 5 + 50 * 0.5) / 1e6
    )


def test_a_minute_each_way():
    """600 tokens of the user's sound, 1,200 of the answer's (realtime costs guide)."""
    assert Usage(input_audio=600, output_audio=1200).cost("gpt-4o-realtime-preview") == pytest.approx(0.12)


def test_an_unknown_price_is_none_and_never_nothing():
    assert Usage.from_wire(WIRE).cost("some-model") is None
    assert Usage().cost("some-model") is None
    assert Usage(input_image=5).cost("gpt-4o-realtime-preview") is None
    row = Model("no-output-price", text=Price(1, 1, None), audio=Price(1, 1, 1))
    assert Usage(output_text=1).cost(row) is None
    assert Usage(input_text=1).cost(row) == pytest.approx(1e-6)
    assert Usage(input_text=5).cost("gpt-realtime-whisper") is None


def test_sums_without_kinds_cost_at_most_what_the_dearest_kind_does():
    """gpt-realtime: 32 dollars a million for sound in, 64 for sound out, and text is cheaper."""
    usage = Usage.from_wire({"total_tokens": 30, "input_tokens": 20, "output_tokens": 10})
    cost = usage.cost("gpt-realtime")
    assert cost.parts == pytest.approx({"in, kind unknown": 20 * 32e-6, "out, kind unknown": 10 * 64e-6})
    assert (cost.at_most, str(cost)) == (True, "at most $0.0013")
    assert repr(cost).startswith("at most $0.0013 (gpt-realtime, ")
    assert usage.cost("some-model") is None
    silent = Model("no-output-price", text=Price(1, 1, 1), audio=Price(1, 1, None))
    assert usage.cost(silent) is None
    assert Usage(input_unsorted=1).cost(silent) == pytest.approx(1e-6)
    nothing = Usage.from_wire({"total_tokens": 0}).cost("gpt-realtime")
    assert (nothing, nothing.at_most) == (0.0, False)


def test_what_the_details_leave_out_of_the_sum_is_of_unknown_kind():
    told = {"input_tokens": 132, "output_tokens": 188, "total_tokens": 320}
    details = {"input_token_details": {"text_tokens": 59}, "output_token_details": {"text_tokens": 41}}
    usage = Usage.from_wire({**told, **details})
    assert (usage.input_unsorted, usage.output_unsorted, usage.total_tokens) == (73, 147, 320)
    assert usage.problems == (
        "input_tokens is 132, but its details sum to 59",
        "output_tokens is 188, but its details sum to 41",
    )
    assert str(usage) == "132 tokens in (59 text, 73 of unknown kind), 188 out (41 text, 147 of unknown kind)"
    cost = usage.cost("gpt-realtime")
    assert cost.at_most
    assert cost == pytest.approx(59 * 4e-6 + 73 * 32e-6 + 41 * 16e-6 + 147 * 64e-6)
    assert cost > Usage.from_wire(WIRE).cost("gpt-realtime")


def test_what_only_the_total_tells_is_counted_too():
    whole = Usage.from_wire({**WIRE, "total_tokens": 328})
    assert (whole.total_tokens, whole.output_unsorted, whole.cost("gpt-realtime").at_most) == (328, 8, True)
    without_input = Usage.from_wire({"total_tokens": 500, "output_tokens": 10})
    assert (without_input.input_unsorted, without_input.output_unsorted) == (490, 10)
    without_output = Usage.from_wire({"total_tokens": 500, "input_tokens": 10})
    assert (without_output.input_unsorted, without_output.output_unsorted) == (10, 490)


@pytest.mark.parametrize("sum_told", [True, False])
def test_a_kind_that_is_not_known_costs_something(sum_told):
    wire = {"input_tokens": 0, "output_token_details": {"text_tokens": 0, "reasoning_tokens": 50}}
    usage = Usage.from_wire(wire | ({"output_tokens": 50} if sum_told else {}))
    assert (usage.output_unsorted, usage.output_tokens, usage.problems) == (50, 50, ())
    assert usage.cost("gpt-realtime") == pytest.approx(50 * 64e-6)


def test_a_strange_kind_may_be_part_of_a_known_one():
    details = {"text_tokens": 50, "reasoning_tokens": 30}
    usage = Usage.from_wire({"output_tokens": 50, "output_token_details": details})
    assert (usage.output_text, usage.output_unsorted, usage.problems) == (50, 0, ())


def test_sums_without_kinds_are_counted_as_such():
    usage = Usage.from_wire({"total_tokens": 30, "input_tokens": 20, "output_tokens": 10})
    assert (usage.input_unsorted, usage.output_unsorted, usage.total_tokens) == (20, 10, 30)
    assert usage.problems == ()
    only_cached = {"input_tokens": 20, "input_token_details": {"cached_tokens": 5}}
    assert (Usage.from_wire(only_cached).input_unsorted, Usage.from_wire(only_cached).problems) == (20, ())
    assert (usage + usage).total_tokens == 60
    assert (usage + Usage(input_text=1)).cost("gpt-realtime").at_most


def test_transcription_by_tokens_is_paid_at_prices_of_your_own():
    wire = {"type": "tokens", "total_tokens": 48, "input_tokens": 38, "output_tokens": 10}
    wire["input_token_details"] = {"text_tokens": 10, "audio_tokens": 28}
    heard = Usage.from_transcription(wire, "my-ears")
    assert heard.transcription["my-ears"]["audio_tokens"] == 28
    models.load(
        {"as_of": "2027-01-05", "models": [{"id": "my-ears", "text": [1, 1, 5], "audio": [3, 3, None]}]}
    )
    try:
        cost = (Usage(input_text=1) + heard).cost("gpt-realtime")
    finally:
        models.reset()
    assert cost.parts["transcription by my-ears"] == pytest.approx((28 * 3 + 10 + 10 * 5) / 1e6)
    assert cost.excludes == ()


def test_transcription_is_paid_by_the_minute():
    spoken = Usage.from_transcription({"type": "duration", "seconds": 90}, "gpt-realtime-whisper")
    cost = (Usage(input_text=1_000_000) + spoken).cost("gpt-realtime")
    assert cost.parts["transcription by gpt-realtime-whisper"] == pytest.approx(0.0255)
    assert cost == pytest.approx(4.0255)


def test_transcription_without_a_price_is_named():
    spoken = Usage.from_transcription({"type": "tokens", "total_tokens": 9}, "gpt-4o-mini-transcribe")
    cost = (Usage(input_text=1_000_000) + spoken).cost("gpt-realtime")
    assert cost == pytest.approx(4.0)
    assert cost.excludes == ("transcription by gpt-4o-mini-transcribe (price unknown)",)
    assert "without transcription by gpt-4o-mini-transcribe" in repr(cost)


def test_how_a_cost_prints():
    cost = Usage(input_text=1_000_000).cost("gpt-realtime", billed=False)
    as_of = models.find("gpt-realtime").as_of
    assert str(cost) == "$4.0000"
    assert repr(cost) == f"$4.0000 (gpt-realtime, prices of {as_of}, not billed)"
    assert f"{cost:.2f}" == "4.00"
    assert cost.source == models.find("gpt-realtime").source


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_cost_and_a_usage_pickle(protocol):
    usage = Usage.from_wire(WIRE) + Usage.from_transcription({"seconds": 3}, "w")
    cost = usage.cost("gpt-realtime", billed=False)
    again = pickle.loads(pickle.dumps(cost, protocol))
    assert (again, again.parts, again.model, again.as_of, again.billed, again.excludes) == (
        cost,
        cost.parts,
        cost.model,
        cost.as_of,
        False,
        cost.excludes,
    )
    assert pickle.loads(pickle.dumps(usage, protocol)) == usage
    assert copy.deepcopy(cost).parts == cost.parts


def test_a_cost_is_a_number():
    cost = Cost({"a": 0.25, "b": 0.5}, model="m", as_of="2026-01-01")
    assert cost == 0.75
    assert sum([cost, cost]) == 1.5
    assert isinstance(cost, float)


def test_usage_says_itself_in_words() -> None:
    used = Usage(input_text=59, input_audio=73, cached_audio=64, output_text=41, output_audio=1147)
    assert str(used) == "132 tokens in (59 text, 73 audio; 64 cached), 1,188 out (41 text, 1,147 audio)"
    assert str(Usage()) == "0 tokens in, 0 out"
