"""The kernel's side of the live waveform: what a page may ask for, and what it gets."""

import numpy as np
import pytest

from rtnb import Clip
from rtnb.errors import AudioError

pytest.importorskip("anywidget")

from rtnb.widgets.waveform import Waveform

RATE = 24_000


def noise(seconds, rate=RATE):
    return Clip(np.random.default_rng(3).uniform(-0.5, 0.5, round(seconds * rate)), rate)


def requested(waveform, **message):
    """Return what the page would receive for a message: the answer and its bytes, or None."""
    sent = []
    waveform.send = lambda content, buffers=None: sent.append((content, buffers[0]))
    waveform._on_message(waveform, message, [])
    return sent[0] if sent else None


def test_the_overview_is_sent_with_the_widget_and_is_small():
    short, long = Waveform(noise(2)), Waveform(Clip.silence(600))
    assert short.overview_level == 0
    assert len(short.overview) == 2 * -(-2 * RATE // 256)
    assert long.overview_level > 0
    assert 2 * 1024 <= len(long.overview) <= 2 * 4 * 1024 + 2
    assert long.seconds == 600


def test_rows_hold_the_extremes_to_the_last_sample():
    clip = noise(700.001)
    waveform = Waveform(clip)
    level = 2
    span = 256 * 4**level
    rows = []
    tile = 0
    while len(rows) * span < len(clip):
        _, data = requested(waveform, type="rows", level=level, tile=tile)
        rows.extend(np.frombuffer(data, np.int8).reshape(-1, 2).tolist())
        tile += 1
    for number, (low, high) in enumerate(rows):
        part = clip.samples[number * span : (number + 1) * span]
        if len(part):
            assert low / 127 <= part.min()
            assert high / 127 >= part.max()


def test_detail_is_finer_than_the_pyramid_and_bounded():
    clip = noise(3)
    waveform = Waveform(clip)
    answer, data = requested(waveform, type="detail", start=1000, stop=1400, count=100)
    rows = np.frombuffer(data, np.int8).reshape(-1, 2)
    assert (answer["start"], answer["stop"], len(rows)) == (1000, 1400, 100)
    assert rows[:, 1].max() / 127 >= clip.samples[1000:1400].max()
    # What the pyramid is for is not computed again, however large.
    assert requested(waveform, type="detail", start=0, stop=10**9, count=10) is None
    assert requested(waveform, type="detail", start=10**9, stop=10**9 + 5, count=10) is None


def test_the_page_receives_the_segment_that_it_requests():
    waveform = Waveform(noise(12))
    answer, data = requested(waveform, type="segment", segment=1)
    assert (answer["segment"], answer["begin"]) == (1, pytest.approx(4.92))
    assert Clip.from_bytes(data).seconds == pytest.approx(5.16, abs=0.05)
    assert requested(waveform, type="segment", segment=-1) is None
    assert requested(waveform, type="segment", segment=3) is None


@pytest.mark.parametrize("message", [{}, {"type": "x"}, {"type": "rows", "level": 99, "tile": 0}])
def test_other_messages_get_no_answer(message):
    assert requested(Waveform(noise(1)), **message) is None


def test_the_position_stays_within_the_clip():
    waveform = Waveform(noise(2))
    waveform.position = 1.5
    waveform.position = 99
    assert waveform.position == 2.0
    with pytest.raises(AudioError, match="position, in seconds"):
        waveform.position = -1


def test_what_a_saved_notebook_keeps():
    data, _ = Waveform(noise(2))._repr_mimebundle_()
    assert data["text/plain"].startswith("Waveform(Clip(2.00 s")
    assert data["text/html"].count("data:audio/ogg;base64,") == 1
    assert "application/vnd.jupyter.widget-view+json" in data
    data, _ = Waveform(Clip.silence(61))._repr_mimebundle_()
    assert "<img" in data["text/html"]
    assert "<audio" not in data["text/html"]


@pytest.mark.slow
def test_any_audio_is_accepted_and_anything_else_is_an_error():
    assert Waveform((np.zeros(800), 8000), title="quiet").seconds == 0.1
    assert Waveform(Clip.silence(0)).seconds == 0
    with pytest.raises(AudioError, match="expected a path, bytes, an open file"):
        Waveform(7)
