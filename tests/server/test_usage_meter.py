from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.server.usage_meter import (
    Segment,
    TokenWindow,
    UsageMeter,
    assistant_audio,
    tokens_per_minute,
    transcription_usage,
    usage,
    user_audio,
    zero,
)

segments = st.lists(
    st.builds(Segment, st.sampled_from(["text", "audio"]), st.sampled_from("abc"), st.integers(0, 200)),
    max_size=12,
)


@pytest.mark.parametrize(
    ("ms", "user", "assistant"), [(0, 0, 0), (0.1, 1, 1), (100, 1, 2), (100.02, 2, 3), (60_000, 600, 1_200)]
)
def test_audio_is_rounded_up(ms, user, assistant):
    assert (user_audio(ms), assistant_audio(ms)) == (user, assistant)


@given(st.lists(segments, max_size=4), segments, st.integers(0, 5000), st.integers(0, 5000))
def test_all_sums_agree(earlier, prompt, text_out, audio_out):
    ledger = UsageMeter()
    for old in earlier:
        ledger.remember(old)
    cached_before = ledger.cached(prompt)
    made = usage(ledger.remember(prompt), cached_before, text_out, audio_out)
    into, out = made["input_token_details"], made["output_token_details"]
    assert made["total_tokens"] == made["input_tokens"] + made["output_tokens"]
    assert made["input_tokens"] == into["text_tokens"] + into["audio_tokens"] == sum(s.tokens for s in prompt)
    assert made["output_tokens"] == out["text_tokens"] + out["audio_tokens"]
    cached = into["cached_tokens_details"]
    assert into["cached_tokens"] == cached["text_tokens"] + cached["audio_tokens"]
    assert into["cached_tokens"] % 64 == 0
    assert cached["text_tokens"] <= into["text_tokens"]
    assert cached["audio_tokens"] <= into["audio_tokens"]


@given(segments, segments)
def test_a_prompt_that_goes_on_finds_all_of_the_one_before(before, more):
    ledger = UsageMeter()
    ledger.remember(before)
    cached = ledger.cached([*before, *more])
    assert sum(cached.values()) >= sum(s.tokens for s in before) // 64 * 64


def test_another_beginning_finds_nothing():
    ledger = UsageMeter()
    ledger.remember([Segment("text", "a", 100), Segment("text", "b", 500)])
    assert sum(ledger.cached([Segment("text", "x", 100), Segment("text", "b", 500)]).values()) == 0


def test_zero():
    assert zero()["total_tokens"] == 0


def test_transcription_is_billed_in_the_models_unit():
    assert transcription_usage("whisper-1", 1_234, "words", "") == {"type": "duration", "seconds": 1.23}
    assert transcription_usage("gpt-realtime-whisper", 10, "", "")["type"] == "duration"
    tokens = transcription_usage("gpt-4o-transcribe", 1_234, "four", "a prompt")
    assert tokens["total_tokens"] == tokens["input_tokens"] + tokens["output_tokens"] == 13 + 2 + 1


def test_the_minute_slides():
    window = TokenWindow(1_000)
    assert window.report(0.0) == [
        {"name": "tokens", "limit": 1_000, "remaining": 1_000, "reset_seconds": 0.0}
    ]
    window.spend(300, 10.0)
    window.spend(900, 40.0)
    assert window.report(40.0)[0] == {"name": "tokens", "limit": 1_000, "remaining": 0, "reset_seconds": 60.0}
    assert window.report(70.5)[0]["remaining"] == 100
    assert window.report(100.5)[0]["remaining"] == 1_000


def test_limits_are_those_of_the_first_tier():
    assert tokens_per_minute("gpt-4o-realtime-preview") == 40_000
    assert tokens_per_minute("rtnb-local") == 40_000
