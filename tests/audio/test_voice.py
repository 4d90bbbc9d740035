"""Where the speech is in a recording."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb import Clip
from rtnb.audio.speech_activity import speech_bounds


def speech(*spans):
    """Make a clip of (seconds, loud) pieces; the quiet ones have a little noise."""
    hiss = np.random.default_rng(1).normal(0, 0.001, 24_000 * 60)
    parts = [
        Clip.tone(200, seconds) if loud else Clip(hiss[: round(seconds * 24_000)], 24_000)
        for seconds, loud in spans
    ]
    return Clip.join(parts)


def test_the_span_and_the_longest_pause_are_found():
    found = speech_bounds(speech((0.5, 0), (1, 1), (0.3, 0), (1, 1), (0.9, 0), (0.4, 1), (0.7, 0)))
    assert found == pytest.approx((0.5, 4.1, 0.9), abs=0.02)


def test_speech_without_a_pause_has_none():
    assert speech_bounds(Clip.tone(200, 1.0)) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    "clip", [Clip.silence(2), Clip.silence(0), Clip.tone(100, 0.01), Clip.tone(99, 1) * 1e-4]
)
def test_where_there_is_nothing_there_is_none(clip):
    assert speech_bounds(clip) is None


@pytest.mark.slow
@given(st.floats(0.01, 1.9), st.sampled_from([8_000, 16_000, 22_050, 48_000]))
def test_loudness_and_rate_change_nothing(gain, rate):
    clip = speech((0.3, 0), (0.6, 1), (0.5, 0), (0.6, 1), (0.3, 0)).resample(rate)
    assert speech_bounds(clip * gain) == pytest.approx((0.3, 2.0, 0.5), abs=0.045)
