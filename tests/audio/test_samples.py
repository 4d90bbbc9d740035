import array
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rtnb.audio.samples import MAX_PEAK, as_mono, as_number, as_rate, short
from rtnb.errors import AudioError


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (np.array([-128, 0, 127], np.int8), [-1.0, 0.0, 127 / 128]),
        (np.array([-32768, 0, 16384], np.int16), [-1.0, 0.0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1.0, 0.0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([0, 32768, 49152], np.uint16), [-1.0, 0.0, 0.5]),
        (np.array([0, 2**31, 3 * 2**30], np.uint32), [-1.0, 0.0, 0.5]),
        (np.array([0.25, -0.5], np.float16), [0.25, -0.5]),
        (np.array([0.25, -0.5], ">f8"), [0.25, -0.5]),
        (np.array([256], ">i2"), [256 / 32768]),
        ([0.25, -0.5], [0.25, -0.5]),
        ((), []),
        (array.array("h", [16384]), [0.5]),
    ],
)
def test_each_dtype_has_its_full_scale(given_, expected):
    mono = as_mono(given_)
    assert mono.dtype == np.float32
    assert mono.shape == (len(expected),)
    assert mono.tolist() == expected


@pytest.mark.parametrize("shape", [(100, 2), (2, 100), (1, 100), (100, 1), (2, 2), (3, 2)])
def test_channels_are_the_shorter_axis_and_are_averaged(shape):
    sound = np.arange(math.prod(shape), dtype=np.float32).reshape(shape) / 200
    channels_last = sound.T if shape[0] < shape[1] else sound
    np.testing.assert_allclose(as_mono(sound), channels_last.mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("shape", [(0,), (0, 2), (2, 0)])
def test_nothing_is_an_empty_clip(shape):
    assert as_mono(np.zeros(shape)).shape == (0,)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (None, "got NoneType"),
        ("abc", "got str"),
        (b"abcd", "got bytes"),
        (0.5, "got shape ()"),
        (np.zeros((2, 2, 2)), "got shape (2, 2, 2)"),
        (np.zeros((100, 65)), "65 channels"),
        ([0, 1, 2], "int64"),
        (np.zeros(3, np.uint64), "uint64"),
        (np.zeros(3, bool), "bool"),
        (np.zeros(3, complex), "complex"),
        ([[0.0, 1.0], [0.0]], "not an array of numbers"),
        ([{}], "dtype object"),
        ([0.0, math.nan], "1 values that are NaN"),
        ([math.inf, -math.inf, 0.0], "2 values that are NaN"),
        ([0.0, 20000.0], "peak of 20000"),
        (np.array([1e300]), "NaN or infinite"),
    ],
)
def test_what_is_no_sound_is_refused_with_a_sentence(bad, words):
    with pytest.raises(AudioError) as caught:
        as_mono(bad)
    assert words in str(caught.value)


@given(
    hnp.arrays(
        st.sampled_from([np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32]),
        hnp.array_shapes(min_dims=1, max_dims=2, max_side=40),
    )
)
def test_integers_are_within_full_scale(sound):
    mono = as_mono(sound)
    assert mono.dtype == np.float32
    assert np.abs(mono).max(initial=0) <= 1


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]), hnp.array_shapes(max_dims=3, max_side=5)
    )
)
def test_any_float_array_is_taken_or_refused(sound):
    try:
        mono = as_mono(sound)
    except AudioError:
        return
    assert np.isfinite(mono).all()
    assert np.abs(mono).max(initial=0) <= MAX_PEAK
    assert not np.shares_memory(mono, sound)


@pytest.mark.parametrize("rate", [1, 24_000, 24_000.0, np.int32(8000), 768_000])
def test_a_rate_is_a_whole_number(rate):
    assert as_rate(rate) == rate
    assert type(as_rate(rate)) is int


@pytest.mark.parametrize(
    "bad", [0, -1, 768_001, 0.5, math.nan, math.inf, None, "24000", True, [1], np.zeros(2), 10**400]
)
def test_other_rates_are_refused(bad):
    with pytest.raises(AudioError, match="whole number of Hz from 1 to 768000"):
        as_rate(bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "1", True, [1], 10**400, -1, 1j, np.zeros(1)])
def test_a_number_is_finite_and_within_bounds(bad):
    with pytest.raises(AudioError, match=r"x must be a number, 0 or more; got"):
        as_number(bad, "x", 0)


def test_number_and_its_bounds():
    assert as_number(np.float32(0.5), "x", 0, 1) == 0.5
    with pytest.raises(AudioError, match=r"x must be a number from 0 to 1; got 2"):
        as_number(2, "x", 0, 1)
    with pytest.raises(AudioError, match=r"x must be a number; got nan"):
        as_number(math.nan, "x")


def test_short_text_of_anything():
    assert short("a") == "'a'"
    assert len(short("a" * 1000)) == 60
