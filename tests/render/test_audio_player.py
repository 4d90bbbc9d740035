import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb.audio import Clip
from rtnb.errors import AudioError
from rtnb.render.audio_player import (
    MAX_INLINE_SECONDS,
    clip_html,
    player_html,
    waveform_html,
    waveform_svg,
)

SVG = "{http://www.w3.org/2000/svg}"


def parts(svg):
    root = ElementTree.fromstring(svg)
    return root, [path.get("d").count("M") for path in root.findall(f"{SVG}g/{SVG}path")]


def inside(page, kind):
    return base64.b64decode(re.search(rf'src="data:{re.escape(kind)};base64,([^"]+)"', page).group(1))


@settings(deadline=None)
@given(st.integers(0, 2000), st.integers(4, 300), st.integers(4, 100), st.none() | st.floats(0, 3))
def test_any_sound_can_be_drawn(count, width, height, played):
    sound = np.random.default_rng(0).uniform(-2, 2, count).astype(np.float32)
    root, counts = parts(waveform_svg(sound, 1000, width=width, height=height, played_seconds=played))
    assert (root.get("width"), root.get("height")) == (str(width), str(height))
    assert sum(counts) == width // 4
    for path in root.findall(f"{SVG}g/{SVG}path"):
        for top, tall in re.findall(r"M\d+ ([-\d.]+)v([\d.]+)", path.get("d")):
            assert 1.1 <= float(top) <= float(top) + float(tall) <= height - 1.0  # the ends are round


def test_what_was_not_played_is_hatched():
    sound = Clip.tone(440, 2).samples
    root, counts = parts(waveform_svg(sound, 24_000, width=400, played_seconds=0.5))
    assert counts == [25, 75]
    hatched = root.find(f"{SVG}rect[@fill='url(#p)']")
    assert (hatched.get("x"), hatched.get("width")) == ("100", "300")
    for played in (None, 2, 5):
        root, counts = parts(waveform_svg(sound, 24_000, width=400, played_seconds=played))
        assert counts == [100]
        assert root.find(f"{SVG}rect") is None
    assert parts(waveform_svg(sound, 24_000, width=400, played_seconds=0))[1] == [0, 100]


def test_the_picture_has_words():
    sound = Clip.tone(440, 2).samples
    page = str(waveform_html(sound, 24_000))
    assert 'alt="Waveform of 2.00 s of audio"' in page
    assert inside(page, "image/svg+xml").decode() == waveform_svg(sound, 24_000)
    page = str(waveform_html(sound, 24_000, played_seconds=0.5))
    assert 'alt="Waveform of 2.00 s of audio, of which the first 0.50 s was played"' in page


def test_colours_stand_out_on_light_and_on_dark():
    def luminance(colour):
        channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    colours = set(
        re.findall(r"#[0-9a-f]{6}", waveform_svg(Clip.tone(440, 1).samples, 24_000, played_seconds=0.5))
    )
    assert len(colours) == 2
    for colour in colours:
        # WCAG 2.2, 1.4.11: 3:1 for what is needed to understand a picture.
        for ground in ("#ffffff", "#111111"):
            bright, dark = sorted([luminance(colour) + 0.05, luminance(ground) + 0.05], reverse=True)
            assert bright / dark >= 3


def test_a_clip_shows_itself_and_its_sound_once():
    clip = Clip.tone(440, 2.0, 48_000)
    bundle = clip._repr_mimebundle_()
    assert bundle["text/plain"] == repr(clip)
    page = bundle["text/html"]
    assert page == clip_html(clip)
    assert "<svg" not in page
    assert page.count("<script>") == 1
    assert page.count("base64,") == 2
    back = Clip.from_bytes(inside(page, "audio/ogg"))
    assert back.rate == 24_000
    assert back.seconds == pytest.approx(2, abs=1e-3)
    assert len(page) < 40_000
    assert "2.00 s · 48 kHz · peak −6.0 dBFS" in page


def test_a_long_clip_shows_its_waveform_and_a_sentence():
    clip = Clip.silence(MAX_INLINE_SECONDS + 1, 8_000)
    page = clip_html(clip)
    assert "<audio" not in page
    assert "5:01 min is too long to be kept in the notebook (the limit is 5:00 min)" in page
    assert "<img" in page


def test_an_empty_clip_shows_that_there_is_no_audio():
    page = clip_html(Clip([], 8_000))
    assert "No audio." in page
    assert "<audio" not in page


def test_labels_are_escaped():
    player = player_html(Clip.tone(440, 0.1), '<b>"')
    assert 'aria-label="Play &lt;b&gt;&#34;, 0.10 s"' in str(player)


def test_bad_questions_are_refused():
    with pytest.raises(AudioError, match="at least 4 × 4 pixels; got 1 × 40"):
        waveform_svg(np.zeros(3, np.float32), 100, width=1)
    for bad in (-1, float("nan"), "1"):
        with pytest.raises(AudioError, match="played_seconds must be a number"):
            waveform_svg(np.zeros(3, np.float32), 100, played_seconds=bad)
