from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.engines.hibari import _trimmed


@given(st.integers(0, 500), st.integers(1, 50), st.integers(0, 500))
def test_only_silence_is_cut_off(before, loud, after):
    sound = np.concatenate([np.zeros(before), np.full(loud, 0.5), np.zeros(after)]).astype(np.float32)
    cut = _trimmed(sound, 20, 100)
    assert np.count_nonzero(cut) == loud
    assert int(np.flatnonzero(cut)[0]) == min(before, 20)
    assert len(cut) == min(before, 20) + loud + min(after, 99)


def test_silence_alone_stays():
    assert len(_trimmed(np.zeros(300, np.float32), 20, 100)) == 300


@pytest.mark.engine
def test_speech_begins_at_once_and_rests_longer_at_the_end_of_a_sentence():
    from rtnb.engines.hibari import hibari

    try:
        voice = hibari("")
    except Exception as error:  # not installed here
        pytest.skip(str(error))
    within, end = (voice.speak(text, "", 1.0) for text in ("Over the hills,", "Over the hills."))
    rests = []
    for sound in (within, end):
        loud = np.flatnonzero(np.abs(sound) > 0.02)
        assert loud[0] < 0.15 * voice.rate
        rests.append((len(sound) - loud[-1]) / voice.rate)
    assert 0.05 < rests[0] < rests[1] < 0.45
