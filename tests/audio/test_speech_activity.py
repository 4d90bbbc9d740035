import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.audio.speech_activity import activity

RATE = 8000


def piece(seconds, level):
    return np.full(round(seconds * RATE), level, np.float32)


def sound(*pieces):
    return np.concatenate([piece(*one) for one in pieces])


def test_nothing_is_nowhere():
    assert activity(np.zeros(0, np.float32), RATE) == []
    assert activity(piece(1, 0.0), RATE) == []
    assert activity(piece(1, 0.001), RATE) == []  # −60 dBFS
    assert activity(piece(0.001, 1.0), RATE) == []


def test_short_pauses_are_within_and_clicks_are_nothing():
    heard = sound((0.2, 0), (0.4, 0.5), (0.2, 0), (0.4, 0.5), (0.6, 0), (0.04, 0.5), (0.6, 0), (0.1, 0.3))
    assert activity(heard, RATE) == [pytest.approx((0.2, 1.2)), pytest.approx((2.44, 2.54))]


def test_the_loudest_says_what_is_quiet():
    assert activity(sound((1, 0.5), (1, 0.01)), RATE) == [pytest.approx((0, 1))]
    assert activity(sound((1, 0.0), (1, 0.01)), RATE) == [pytest.approx((1, 2))]


@given(st.lists(st.tuples(st.floats(0.01, 0.5), st.floats(0, 1)), max_size=12))
def test_spans_are_in_order_and_within(pieces):
    samples = sound(*pieces) if pieces else np.zeros(0, np.float32)
    spans = activity(samples, RATE)
    flat = [edge for span in spans for edge in span]
    assert flat == sorted(set(flat))
    assert all(0 <= edge <= len(samples) / RATE for edge in flat)
