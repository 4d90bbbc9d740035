import re
from pathlib import Path

import numpy as np
import orjson
import pytest
from frames import Wire
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtnb.analysis.turn import TurnView
from rtnb.analysis.usage import Gauge, Limit, UsageView
from rtnb.errors import ArgumentError, MissingPackageError
from rtnb.protocol import models
from rtnb.protocol.state import SessionState
from rtnb.protocol.usage import Usage
from rtnb.render import usage_chart as usage_plot
from rtnb.render.palette import SHADES
from rtnb.render.style import DARK, INK, LIGHT
from rtnb.render.usage_card import usage_html, usage_text

EXAMPLES = Path(__file__).parents[3] / "shared" / "protocol"


def wire_usage(text=10, audio=20, hit_text=0, hit_audio=0, out_text=5, out_audio=40, **said):
    return {
        "total_tokens": text + audio + out_text + out_audio,
        "input_tokens": text + audio,
        "output_tokens": out_text + out_audio,
        "input_token_details": {
            "text_tokens": text,
            "audio_tokens": audio,
            "cached_tokens": hit_text + hit_audio,
            "cached_tokens_details": {"text_tokens": hit_text, "audio_tokens": hit_audio},
        },
        "output_token_details": {"text_tokens": out_text, "audio_tokens": out_audio},
        **said,
    }


def talk(*usages, wire=None):
    """A conversation with one response for each usage; None for one that the service did not tell."""
    wire = wire or Wire()
    wire.session()
    for number, usage in enumerate(usages):
        wire.text(f"item_{number}", "hello")
        wire.ask()
        wire.begin(f"resp_{number}", f"answer_{number}")
        wire.end(f"resp_{number}", usage=usage)
    return wire


def shown(view):
    """Both forms of a view, as one text of words."""
    html = usage_html(view)
    return usage_text(view) + re.sub(r"<style>.*?</style>|<[^>]*>", " ", html)


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
    assert repr(view) == "<Usage no turns yet>"
    assert shown(view).split() == ["Usage:", "no", "turns", "yet", "No", "turns", "yet."]


def test_money_is_the_first_column_so_that_no_narrow_page_hides_it():
    html = usage_html(UsageView(talk(wire_usage()).state))
    assert re.search(r'class="rtnb-first">turn</th><th scope="col">cost</th>', html)
    assert html.index('rtnb-meters">') < html.index('class="rtnb-wide"')


def test_what_was_not_told_is_unknown_and_not_nothing():
    view = UsageView(talk(wire_usage(), None).state)
    assert (view.unknown, view.turns[1].unknown, view.turns[1].known) == (1, 1, False)
    assert view.turns[1].cost is None
    assert view.turns[1].context is None
    assert view.total_tokens == 75
    assert view.cost == view.turns[0].cost
    assert view.cost.excludes == ("1 response of unknown usage",)
    assert "unknown" in usage_text(view).splitlines()[5]
    assert "Of 1 response the service has told no usage" in shown(view)
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
    assert "running" in usage_text(view)


def test_a_model_without_prices_is_unpriced():
    wire = talk(wire_usage())
    wire.server("session.updated", session={"model": "house-model"})
    view = UsageView(wire.state)
    assert (view.cost, view.context.most, view.context.share, view.output.most) == (None, None, None, None)
    text = shown(view)
    assert "unpriced" in text
    assert "75 tokens of an unknown maximum" in text
    assert "house-model has no known price: rtnb.models.load states one." in text
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


def test_nobody_is_billed_for_the_embedded_engine():
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
        "turn 1: total_tokens is 99, but its details sum to 33065",
        "turn 1: a conversation of 33,065 tokens is more than gpt-4o-realtime-preview holds, 32,000",
    ]
    for said in view.problems:
        assert said in usage_text(view)
        assert said in shown(view).split("Not in")[0]


def test_figures_that_make_no_sense_are_shown():
    wire = talk({"input_tokens": 5, "input_token_details": {"text_tokens": "many"}})
    view = UsageView(wire.state)
    assert view.unknown == 1
    assert "response.done is malformed" in view.problems[0]


def test_limits_as_they_were_told_last():
    wire = talk(wire_usage())
    wire.server(
        "rate_limits.updated",
        rate_limits=[{"name": "tokens", "limit": 40_000, "remaining": 39_925, "reset_seconds": 1.5}],
    )
    wire.server("rate_limits.updated", rate_limits=[{"name": "requests", "limit": None, "remaining": "?"}])
    tokens, requests = UsageView(wire.state).limits
    assert (tokens.limit, tokens.remaining) == (40_000, 39_925)
    assert tokens.resets_at == pytest.approx(tokens.told_at + 1.5)
    assert requests == Limit("requests", None, None, None, requests.told_at)
    assert requests.told_at == pytest.approx(tokens.told_at + 0.01)
    assert requests.resets_at is None
    text = shown(UsageView(wire.state))
    assert "39,925 of 40,000 left, told at" in text
    assert "rate limit, requests: unknown" in text


def test_each_turn_says_what_share_was_cached_and_how_large_the_conversation_was():
    wire = talk(wire_usage(), wire_usage(hit_text=10, hit_audio=5))
    wire.ask(conversation="none", input=[])
    wire.begin("aside", "answer_aside")
    wire.end("aside", usage=wire_usage(text=900))
    wire.ask()
    wire.begin("running", "answer_running")
    table = [line.split() for line in usage_text(UsageView(wire.state)).splitlines()]
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
    assert "kind unknown" in usage_text(view)
    cells = usage_text(view).splitlines()[4].split()[1:]
    assert cells[:3] == ["at", "most", "$0.0016"]
    assert cells[3:-1] == [*["unknown"] * 5, "20", "unknown", "unknown", "10"]
    assert str(view.cost) == "at most $0.0016"
    assert "dearest price" in shown(view)
    assert "at most, $" in view.plot("svg").svg


def test_details_that_leave_tokens_out_are_shown_beside_them():
    wire = {"input_tokens": 90, "output_tokens": 50, "total_tokens": 140}
    wire |= {"input_token_details": {"text_tokens": 70}, "output_token_details": {"text_tokens": 45}}
    view = UsageView(talk(wire).state)
    cells = usage_text(view).splitlines()[4].split()[1:]
    told = ["70", "unknown", "unknown", "unknown", "unknown", "20", "45", "unknown", "5"]
    assert cells == ["at", "most", "$0.0025", *told, "140"]
    assert view.problems == [
        "turn 0: input_tokens is 90, but its details sum to 70",
        "turn 0: output_tokens is 50, but its details sum to 45",
    ]


def test_out_of_band_answers_cost_and_are_no_context():
    wire = talk(wire_usage())
    wire.ask(conversation="none", input=[])
    wire.begin("aside", "answer_aside")
    wire.end("aside", usage=wire_usage(text=900))
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
    assert Gauge("none", 5, 0).share == 1.0
    view = UsageView(SessionState(), budget=[Gauge("budget", 0.25, 0.5, "$")])
    assert "$0.2500 of $0.5000 (50%)" in shown(view)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_rows_as_a_frame(kind):
    pytest.importorskip("pyarrow" if kind == "arrow" else kind)
    view = UsageView(talk(wire_usage(), None, wire_usage(hit_text=4)).state, billed=False)
    made = view.to_frame(kind)
    names = made.column_names if kind == "arrow" else list(made.columns)
    assert names[:4] == ["turn", "status", "responses", "unknown"]
    assert names[-4:] == ["transcription_seconds", "cost_usd", "at_most", "billed"]
    column = made["total_tokens"].to_pylist() if kind == "arrow" else list(made["total_tokens"])
    assert column[0] == column[2] == 75
    assert len(column) == 3
    with pytest.raises(ArgumentError, match="a data frame's kind is"):
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
    html = usage_html(view)
    assert html.count("<tr>") < 55
    assert "30 earlier turns" in html
    assert f"<td>{70 * 10:,}</td>" in html
    assert "30 earlier turns" in usage_text(view)
    assert len(html) < 120_000


def test_the_html_is_static_and_escapes_what_a_server_named():
    wire = talk(wire_usage())
    wire.server("session.updated", session={"model": "<script>alert(1)</script>"})
    wire.server(
        "rate_limits.updated",
        rate_limits=[{"name": "<img src=x onerror=alert(1)>", "limit": 5, "remaining": 2}],
    )
    html = usage_html(UsageView(wire.state))
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;" in html
    assert re.findall(r'src="(?!data:image/svg)', html) == []
    assert UsageView(wire.state)._repr_mimebundle_()["text/html"] == html


def test_an_svg_picture_of_any_session(monkeypatch):
    monkeypatch.setattr(usage_plot, "find_spec", lambda name: None)
    for view in (
        UsageView(SessionState()),
        UsageView(talk(None).state),
        UsageView(talk(wire_usage(hit_audio=5), None, wire_usage(hit_text=3)).state, billed=False),
        UsageView(talk(*[wire_usage()] * 450).state),
    ):
        picture = view.plot()
        assert picture.svg.startswith("<svg")
        assert picture._repr_svg_() is picture.svg
        assert "data:image/svg+xml" in picture._repr_html_()
        assert "Usage over" in repr(picture) or not view.turns
        assert "nan" not in picture.svg
    assert "unpriced" in UsageView(talk(None).state).plot("svg").svg
    assert repr(UsageView(SessionState()).plot("svg")) == "<Picture: No turns yet.>"
    with pytest.raises(ArgumentError, match="'matplotlib', 'svg' or None"):
        view.plot("png")


def test_a_plot_by_matplotlib():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    view = UsageView(talk(wire_usage(hit_audio=5), None, wire_usage(hit_text=3)).state)
    figure = view.plot()
    assert len(figure.axes) == 3
    assert pyplot.get_fignums() == []
    figure.canvas.draw()
    empty = UsageView(SessionState()).plot("matplotlib")
    assert (empty.axes, [text.get_text() for text in empty.texts]) == ([], ["No turns yet."])
    empty.canvas.draw()
    assert pyplot.get_fignums() == []


def test_a_plot_without_matplotlib(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'rtnb\[plot\]'"):
        UsageView(SessionState()).plot("matplotlib")


def contrast(one, other):
    def luminance(colour):
        channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_colours_stand_out_on_light_and_on_dark():
    for colour in {shade.colour for shade in SHADES} | {usage_plot._MONEY, usage_plot._CONTEXT}:
        assert contrast(colour, "#ffffff") >= 3, colour
        assert contrast(colour, "#111111") >= 3, colour


def lit(colour, brightness):
    channels = (min(round(int(colour[at : at + 2], 16) * brightness), 255) for at in (1, 3, 5))
    return "#{:02x}{:02x}{:02x}".format(*channels)


def test_letters_in_pictures_are_read_in_both_themes():
    assert min(contrast(INK, "#ffffff"), contrast(INK, "#111111")) > 4.2
    assert contrast(lit(INK, LIGHT), "#ffffff") >= 4.5
    for paper in ("#111111", "#212121"):
        assert contrast(lit(INK, DARK), paper) >= 4.5
        assert all(contrast(lit(shade.colour, DARK), paper) >= 3 for shade in SHADES)


@given(st.builds(Usage, *[st.integers(0, 10**6)] * 8))
def test_the_shades_are_all_of_the_tokens(usage):
    counted = sum(shade.count(usage) for shade in SHADES)
    assert counted == usage.total_tokens
    assert all(shade.count(usage) >= 0 for shade in SHADES)


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
    assert usage_html(view)
    assert usage_text(view)
    assert view.plot("svg").svg.startswith("<svg")
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
    assert usage_html(view)
    assert any(
        "reported as cached" in said for said in view.problems
    )  # one of the published examples does not add up


def test_usage_that_nobody_told_is_unknown_in_every_sum():
    view = UsageView(talk(None).state)
    assert "tokens unknown" in repr(view)
    assert "tokens unknown" in usage_html(view)
    table = usage_text(view).splitlines()
    assert set(next(line for line in table if line.startswith(" all")).split()[1:]) == {"unknown"}
    assert not re.search(r"\b0 tokens", usage_text(view))


def test_a_turn_whose_usage_is_unknown_does_not_cost_nothing():
    record = talk(None, wire_usage()).state
    untold, told = (TurnView(record, fold) for fold in record.turns.all)
    assert untold.cost is None
    assert told.cost == UsageView(record).turns[1].cost > 0


def test_what_a_server_calls_a_status_is_no_html():
    wire = talk(None)
    wire.begin("resp_x", "item_x")
    wire.end("resp_x", status="<b>odd</b>")
    assert "<b>odd" not in usage_html(UsageView(wire.state))
