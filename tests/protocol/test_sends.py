import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.protocol.timing import AudioClock


def test_a_moment_of_sound_left_with_the_append_that_ends_it():
    sends = AudioClock()
    assert sends.at(0) is None
    for k in range(3):
        sends.add(40, k / 10)
    assert [sends.at(ms) for ms in (0, 1, 40, 41, 80, 120)] == [0, 0, 0, 0.1, 0.1, 0.2]
    assert sends.at(121) is None


def test_what_is_no_longer_remembered_is_unknown():
    sends = AudioClock()
    for k in range(5000):
        sends.add(1, k)
    assert sends.at(10) is None
    assert sends.at(4000) == 3999


@given(st.lists(st.floats(0.01, 500), min_size=1, max_size=50), st.floats(0, 1))
def test_no_moment_is_invented(lengths, share):
    sends = AudioClock()
    for k, ms in enumerate(lengths):
        sends.add(ms, float(k))
    total = sum(lengths)
    assert sends.at(total * share) in range(len(lengths))
    assert sends.at(total + 1) is None
    assert sends.at(total) == pytest.approx(len(lengths) - 1)
