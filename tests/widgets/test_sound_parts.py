"""A clip as pages get it: a small picture, and its sound in parts."""

import numpy as np
import pytest

from rtnb import Clip
from rtnb.audio.peaks import BASE, FACTOR
from rtnb.widgets.waveform import SoundParts, first_picture


def noise(seconds, rate=24_000):
    return Clip(np.random.default_rng(3).uniform(-0.5, 0.5, round(seconds * rate)), rate)


@pytest.mark.parametrize("seconds", [0, 0.001, 2, 100, 3600])
def test_the_first_picture_is_small_and_whole(seconds):
    clip = Clip.silence(seconds)
    pyramid, level = first_picture(clip)
    rows = pyramid.level(level)
    assert len(rows) == -(-len(clip) // (BASE * FACTOR**level))
    assert len(rows) <= 4 * 1024 + 1
    assert level == 0 or len(rows) >= 1024


def test_parts_cover_the_sound_with_a_run_up():
    parts = SoundParts(noise(12, 48_000))
    for part in range(3):
        begin, data = parts.get(part)
        sound = Clip.from_bytes(data)
        assert begin <= part * 5
        assert begin + sound.seconds >= min(part * 5 + 5, 12)
        assert sound.seconds < 5.3
        assert len(data) < 40_000
        assert parts.get(part)[1] is data
    assert parts.get(3) is None
    assert parts.get(-1) is None
