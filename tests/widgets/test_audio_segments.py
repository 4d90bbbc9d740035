"""A clip as pages receive it: a small overview, and its audio in segments."""

import numpy as np
import pytest

from rtnb import Clip
from rtnb.audio.peaks import BASE, FACTOR
from rtnb.widgets.waveform import AudioSegments, clip_overview


def noise(seconds, rate=24_000):
    return Clip(np.random.default_rng(3).uniform(-0.5, 0.5, round(seconds * rate)), rate)


@pytest.mark.parametrize("seconds", [0, 0.001, 2, 100, 3600])
def test_the_overview_is_small_and_complete(seconds):
    clip = Clip.silence(seconds)
    pyramid, level = clip_overview(clip)
    rows = pyramid.level(level)
    assert len(rows) == -(-len(clip) // (BASE * FACTOR**level))
    assert len(rows) <= 4 * 1024 + 1
    assert level == 0 or len(rows) >= 1024


def test_segments_cover_the_clip_with_a_margin():
    segments = AudioSegments(noise(12, 48_000))
    for segment in range(3):
        begin, data = segments.get(segment)
        clip = Clip.from_bytes(data)
        assert begin <= segment * 5
        assert begin + clip.seconds >= min(segment * 5 + 5, 12)
        assert clip.seconds < 5.3
        assert len(data) < 40_000
        assert segments.get(segment)[1] is data
    assert segments.get(3) is None
    assert segments.get(-1) is None
