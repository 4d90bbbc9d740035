import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb.audio.samples import Resampler, resample
from rtnb.errors import AudioError

RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]


@settings(deadline=None)
@given(
    st.sampled_from(RATES),
    st.sampled_from(RATES),
    st.lists(st.integers(0, 700), max_size=12),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_a_stream_gives_what_the_whole_gives(rate_in, rate_out, sizes, seed, flush_with_last):
    sound = np.random.default_rng(seed).uniform(-0.9, 0.9, sum(sizes)).astype(np.float32)
    cuts = np.split(sound, np.cumsum(sizes))[:-1]
    stream = Resampler(rate_in, rate_out)
    if flush_with_last and cuts:
        parts = [stream.process(cut) for cut in cuts[:-1]] + [stream.process(cuts[-1], last=True)]
    else:
        parts = [stream.process(cut) for cut in cuts] + [stream.process(np.zeros(0, np.float32), last=True)]
    streamed = np.concatenate(parts)
    whole = resample(sound, rate_in, rate_out)
    assert streamed.dtype == whole.dtype == np.float32
    assert streamed.shape == whole.shape
    assert abs(len(whole) - len(sound) * rate_out / rate_in) <= 0.5
    np.testing.assert_allclose(streamed, whole, atol=1e-6)


@pytest.mark.parametrize("rate_in", RATES)
@pytest.mark.parametrize("rate_out", RATES)
def test_a_tone_stays_the_tone_it_was(rate_in, rate_out):
    def tone(rate):
        return (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)

    inner = slice(rate_out // 10, -rate_out // 10)
    np.testing.assert_allclose(
        resample(tone(rate_in), rate_in, rate_out)[inner], tone(rate_out)[inner], atol=1e-4
    )


def test_what_the_new_rate_cannot_hold_is_gone():
    high = np.sin(2 * np.pi * 9_000 * np.arange(24_000) / 24_000).astype(np.float32)
    assert np.abs(resample(high, 24_000, 16_000)[1000:-1000]).max() < 1e-3


def test_after_the_last_chunk_a_new_stream_begins():
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 500).astype(np.float32)
    stream = Resampler(16_000, 24_000)
    first, second = stream.process(sound, last=True), stream.process(sound, last=True)
    assert np.array_equal(first, second)


def test_the_same_rate_changes_nothing():
    sound = np.array([0.1, 0.2], np.float32)
    assert resample(sound, 24_000, 24_000) is sound


@pytest.mark.parametrize("bad", [0, -8000, 0.5, None, "8000"])
def test_bad_rates_are_refused(bad):
    with pytest.raises(AudioError, match="rate_in"):
        Resampler(bad, 24_000)
    with pytest.raises(AudioError, match="rate_out"):
        Resampler(24_000, bad)


def test_stereo_is_refused():
    with pytest.raises(AudioError, match=r"got shape \(10, 2\)"):
        Resampler(8_000, 16_000).process(np.zeros((10, 2), np.float32))
