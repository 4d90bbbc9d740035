import json
from pathlib import Path

import pytest

from rtnb.wire import models
from rtnb.wire.models import Price, Tier

PUBLISHED = Path(__file__).parents[2] / "shared" / "protocol" / "models.json"


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
