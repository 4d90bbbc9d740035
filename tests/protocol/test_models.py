import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.errors import ArgumentError
from rtnb.protocol import models
from rtnb.protocol.models import Price, Tier

PUBLISHED = Path(__file__).parents[3] / "shared" / "protocol" / "models.json"


def test_the_seed_model():
    row = models.find(models.SEED)
    assert row is models.catalogue()[0]
    assert (row.id, row.known, row.kind, row.context, row.max_output) == (
        "gpt-4o-realtime-preview",
        True,
        "realtime",
        32_000,
        4_096,
    )
    assert row.text == Price(5, 2.5, 20)
    assert row.audio == Price(40, 2.5, 80)
    assert row.image is None
    assert not row.reasoning
    assert row.supports("function_calling") is True
    for feature in ("structured_outputs", "image", "fine_tuning", "distillation", "predicted_outputs"):
        assert row.supports(feature) is False
    assert row.tiers == (
        Tier(1, 200, 1000, 40_000),
        Tier(2, 400, None, 200_000),
        Tier(3, 5_000, None, 800_000),
        Tier(4, 10_000, None, 4_000_000),
        Tier(5, 20_000, None, 15_000_000),
    )
    assert row.as_of
    assert row.source


def test_a_snapshot_takes_its_familys_row():
    row = models.find("gpt-4o-realtime-preview-2024-12-17")
    assert (row.id, row.known, row.audio, row.context) == (
        "gpt-4o-realtime-preview-2024-12-17",
        True,
        Price(40, 2.5, 80),
        32_000,
    )
    assert row.supports("image") is False


def test_the_first_snapshot_had_its_own_price_for_sound():
    row = models.find("gpt-4o-realtime-preview-2024-10-01")
    assert (row.text, row.audio) == (Price(5, 2.5, 20), Price(100, 20, 200))
    assert models.find(models.SEED).audio == Price(40, 2.5, 80)


@pytest.mark.parametrize(
    "id", ["", "some-model", "gpt-4o", "GPT-REALTIME", "gpt-4o-realtime-preview-2099-01-01"]
)
def test_about_a_stranger_all_is_unknown(id):
    row = models.find(id)
    assert (row.id, row.known) == (id, False)
    assert row.context is row.max_output is row.text is row.audio is row.image is row.per_minute is None
    assert row.supports("function_calling") is None
    assert row.tiers == ()


def test_the_table_is_whole():
    rows = models.catalogue()
    names = [name for row in rows for name in (row.id, *row.snapshots)]
    assert len(names) == len(set(names))
    for row in rows:
        assert row.source
        assert row.status != "unknown"
        assert row.text is not None or row.per_minute is not None
        for price in filter(None, (row.text, row.audio, row.image)):
            assert 0 < price.cached <= price.input
        if row.kind == "realtime":
            assert row.supports("structured_outputs") is False
            assert row.supports("function_calling") is True
            assert row.supports("image") is (row.image is not None)
    assert models.catalogue() is rows


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the collected model pages are not here")
def test_the_table_says_what_the_model_pages_say():
    published = json.loads(PUBLISHED.read_text("utf-8"))["models"]
    assert [row["id"] for row in published] == [row.id for row in models.catalogue()]
    for said in published:
        row = models.find(said["id"])
        assert row.snapshots == tuple(said.get("snapshots", ()))
        for kind in ("text", "audio", "image"):
            price = said.get(kind)
            assert getattr(row, kind) == (Price(*price) if price else None)
        assert (row.context, row.max_output) == (said.get("context"), said.get("max_output"))
        assert row.reasoning is said.get("reasoning", False)
        assert row.per_minute == said.get("per_minute")
        assert row.status == said["status"]
        assert row.source == said["source"]
        assert row.tiers == tuple(Tier(**tier) for tier in said.get("rate_limits", ()))
        for feature, has in said.get("features", {}).items():
            assert row.features[feature] == has


@pytest.fixture
def own():
    """Rows of one's own, for one test."""
    models.reset()
    yield models.load
    models.reset()


DAY = {"as_of": "2027-01-05"}


def test_a_row_says_anew_what_it_says(own):
    before = models.find("gpt-realtime-2.1")
    own({**DAY, "source": "a bill", "models": [{"id": "gpt-realtime-2.1", "audio": [30, 0.4, 60]}]})
    row = models.find("gpt-realtime-2.1")
    assert (row.audio, row.text, row.context) == (Price(30, 0.4, 60), before.text, before.context)
    assert (row.as_of, row.source, row.yours) == ("2027-01-05", "a bill", True)
    assert models.find("gpt-realtime-2").as_of == before.as_of
    assert models.catalogue()[0].id == models.SEED
    models.reset()
    assert models.find("gpt-realtime-2.1") == before


def test_a_snapshot_follows_its_family(own):
    own({**DAY, "models": [{"id": "gpt-realtime", "text": [1, 1, 1]}]})
    assert models.find("gpt-realtime-2025-08-28").text == Price(1, 1, 1)
    own({**DAY, "models": [{"id": "gpt-realtime-2025-08-28", "text": [2, 2, 2]}]})
    assert models.find("gpt-realtime-2025-08-28").text == Price(2, 2, 2)
    assert models.find("gpt-realtime").text == Price(1, 1, 1)


def test_a_deployment_is_like_its_model_at_its_own_prices(own):
    own({"models": [{"id": "mine", "like": "gpt-realtime-2.1"}]})
    row, like = models.find("mine"), models.find("gpt-realtime-2.1")
    assert (row.text, row.audio, row.context, row.as_of) == (like.text, like.audio, like.context, like.as_of)
    assert row.snapshots == ()
    own({**DAY, "models": [{"id": "mine", "audio": [40, 1, 80]}]})
    assert (models.find("mine").text, models.find("mine").audio) == (like.text, Price(40, 1, 80))


def test_which_row_prices_a_session(own):
    """Your own row first, then the server's word, then yours."""
    assert models.resolve("gpt-realtime-2.1", "gpt-realtime").id == "gpt-realtime-2.1"
    assert models.resolve("deployment-7", "gpt-realtime").id == "gpt-realtime"
    assert models.resolve("", "gpt-realtime").id == "gpt-realtime"
    assert (models.resolve("some", "other").id, models.resolve("some", "other").known) == ("some", False)
    assert (models.resolve("", "").id, models.resolve("", "").known) == ("", False)
    own({**DAY, "models": [{"id": "deployment-7", "like": "gpt-realtime", "text": [9, 9, 9]}]})
    assert models.resolve("gpt-realtime-2025-08-28", "deployment-7").text == Price(9, 9, 9)


def test_a_file_and_the_environment(own, tmp_path, monkeypatch):
    file = tmp_path / "prices.json"
    file.write_text(
        json.dumps({**DAY, "models": [{"id": "house-model", "text": [1, 0.1, 2], "audio": None}]})
    )
    own(file)
    assert models.find("house-model").text == Price(1, 0.1, 2)
    assert models.find("house-model").source == "stated in prices.json"
    models.reset()
    assert not models.find("house-model").known
    monkeypatch.setenv("RTNB_MODELS", str(file))
    models.reset()
    assert models.find("house-model").text == Price(1, 0.1, 2)
    file.write_text("{")
    models.reset()
    with pytest.raises(ArgumentError, match=r"RTNB_MODELS=.*prices\.json is not JSON"):
        models.find("gpt-realtime")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "models: this field is required"),
        ({"models": 5}, r"models: expected an array, got 5\. Here a table is"),
        ({"models": [{"id": ""}]}, r"models\[0\]\.id: "),
        (
            {"models": [{"id": "a"}, {"id": "b", "audio": [1, 2]}]},
            r"models\[1\]\.audio: expected an array, got \[1, 2\]\. Here a price is \[",
        ),
        ({"models": [{"id": "a", "audio": [1, "x", 3]}]}, r"models\[0\]\.audio\[1\]: .*got 'x'"),
        ({"models": [{"id": "a", "text": [-1, 1, 1]}]}, r"models\[0\]\.text\[0\]: .*got -1"),
        ({"models": [{"id": "a", "text": [True, 1, 1]}]}, r"models\[0\]\.text\[0\]"),
        ({"models": [{"id": "a", "text": [float("nan"), 1, 1]}]}, r"models\[0\]\.text\[0\]"),
        (
            {"models": [{"id": "a", "text": [1, 1, 1]}]},
            r'models\[0\] has prices without a date: give "as_of"',
        ),
        ({"models": [{"id": "a", "contxt": 5}]}, r"models\[0\]\.contxt: there is no such field"),
        ({"models": [{"id": "a", "context": 0}]}, r"models\[0\]\.context"),
        ({"models": [{"id": "a", "like": "nobody"}]}, r"models\[0\]\.like: unknown model 'nobody'"),
        (
            {"as_of": "yesterday", "models": []},
            "as_of: expected a day, such as \"2026-11-20\", got 'yesterday'",
        ),
        (5, "a table of models: expected a dict or a path to a JSON file, got int"),
        ("nowhere.json", r"cannot read nowhere\.json"),
        ("a\0b", "contains a NUL character"),
        (".", "cannot read"),
    ],
)
def test_a_wrong_table_is_named_by_its_place_and_nothing_of_it_is_taken(own, table, said):
    before = models.catalogue()
    with pytest.raises(ArgumentError, match=said) as caught:
        own(table)
    assert "\n" not in str(caught.value)
    assert models.catalogue() is before


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["id", "like", "text", "audio", "context", "tiers", "snapshots", "as_of", "features"]
)


@given(
    st.fixed_dictionaries({"models": st.lists(st.dictionaries(fields, json_values, max_size=5), max_size=3)})
)
def test_any_table_is_taken_or_refused_with_one_sentence(table):
    models.reset()
    try:
        models.load(table)
    except ArgumentError:
        pass
    finally:
        assert models.find(models.SEED).known
        models.reset()
