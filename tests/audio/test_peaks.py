import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb.audio.peaks import BASE, FACTOR, Peaks, peaks
from rtnb.errors import AudioError


def noise(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, count).astype(np.float32)


@given(st.integers(0, 3000), st.integers(1, 700), st.integers(0, 100))
def test_peaks_are_the_bounds_of_their_parts(count, n, seed):
    sound = noise(count, seed)
    found = peaks(sound, n)
    assert found.shape == (n, 2)
    assert found.dtype == np.float32
    if not count:
        assert not found.any()
        return
    for k in range(n):
        part = sound[k * count // n : max((k + 1) * count // n, k * count // n + 1)]
        assert found[k].tolist() == [part.min(), part.max()]
    assert (found[:, 0].min(), found[:, 1].max()) == (sound.min(), sound.max())


@settings(deadline=None)
@given(st.lists(st.integers(0, 9000), max_size=8), st.integers(0, 100))
def test_the_pyramid_does_not_depend_on_how_sound_came(sizes, seed):
    sound = noise(sum(sizes), seed)
    grown = Peaks()
    for cut in np.split(sound, np.cumsum(sizes))[:-1]:
        grown.append(cut)
    whole = Peaks(sound)
    assert grown.samples == whole.samples == len(sound)
    assert grown.levels == whole.levels
    for number in range(whole.levels):
        span = BASE * FACTOR**number
        rows = whole.level(number)
        assert rows.dtype == np.int8
        assert rows.shape == (len(sound) // span, 2)
        assert np.array_equal(rows, grown.level(number))
        assert np.array_equal(rows[1:], grown.level(number, start=1))
        parts = sound[: len(rows) * span].reshape(-1, span) * 127
        assert (rows[:, 0] <= parts.min(axis=1)).all()
        assert (rows[:, 0] > parts.min(axis=1) - 1).all()
        assert (rows[:, 1] >= parts.max(axis=1)).all()
        assert (rows[:, 1] < parts.max(axis=1) + 1).all()


@settings(deadline=None)
@given(st.integers(0, 60_000), st.data())
def test_a_drawing_never_hides_a_sample(count, data):
    sound = noise(count) * np.linspace(0.1, 1, count, dtype=np.float32)
    pyramid = Peaks(sound)
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    n = data.draw(st.integers(1, 300))
    drawn = pyramid.draw(n, start, stop)
    assert drawn.shape == (n, 2)
    if start == stop:
        assert not drawn.any()
        return
    exact = peaks(sound[start:stop], n)
    if stop - start >= n:
        assert (drawn[:, 0] <= exact[:, 0] + 1e-6).all()
        assert (drawn[:, 1] >= exact[:, 1] - 1e-6).all()
    near = sound[max(0, start - 2 * (stop - start) - BASE) : stop + 2 * (stop - start) + BASE]
    assert drawn.min() >= near.min() - 1 / 127
    assert drawn.max() <= near.max() + 1 / 127


def test_a_drawing_of_a_long_sound_reads_few_rows():
    sound = np.zeros(24_000 * 600, np.float32)
    sound[7_000_000] = 1.0
    drawn = Peaks(sound).draw(480)
    assert np.flatnonzero(drawn[:, 1]).tolist() == [7_000_000 * 480 // len(sound)]


def test_an_hour_is_less_than_a_megabyte():
    pyramid = Peaks()
    minute = noise(24_000 * 60)
    for _ in range(60):
        pyramid.append(minute)
    assert sum(pyramid.level(k).nbytes for k in range(pyramid.levels)) < 1_000_000


def test_beyond_full_scale_is_limited():
    assert Peaks(np.full(BASE, 3.0, np.float32)).level(0).tolist() == [[127, 127]]


def test_what_was_given_may_change_afterwards():
    sound = np.full(100, 0.5, np.float32)
    pyramid = Peaks(sound)
    sound[:] = 0
    assert pyramid.draw(1).round(3).tolist() == np.array([[63 / 127, 64 / 127]], np.float32).round(3).tolist()


def test_bad_questions_are_refused():
    pyramid = Peaks(noise(1000))
    with pytest.raises(AudioError, match="level must be from 0 to 0; got 3"):
        pyramid.level(3)
    with pytest.raises(AudioError, match="n must be 1 or more; got 0"):
        pyramid.draw(0)
    with pytest.raises(AudioError, match="n must be 1 or more; got 0"):
        peaks(noise(10), 0)
    for start, stop in [(-1, 5), (5, 4), (0, 1001)]:
        with pytest.raises(AudioError, match="in order within 0 to 1000"):
            pyramid.draw(5, start, stop)
