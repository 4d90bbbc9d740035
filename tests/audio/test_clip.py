import array
import copy
import itertools
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.audio import Clip
from rtnb.errors import AudioError


def noise(count=1000, rate=8_000, seed=0, **keep):
    return Clip(np.random.default_rng(seed).uniform(-0.5, 0.5, count), rate, info=keep)


clips = st.builds(noise, st.integers(0, 400), st.sampled_from([7, 100, 8_000]), st.integers(0, 50))


def test_what_a_clip_is():
    clip = Clip([0.0, 0.5, -1.0, 0.5], 8_000, info={"echo_cancellation": True})
    assert clip.samples.tolist() == [0.0, 0.5, -1.0, 0.5]
    assert clip.samples.dtype == np.float32
    assert (clip.rate, len(clip), clip.seconds) == (8_000, 4, 0.0005)
    assert (clip.peak, clip.peak_db) == (1.0, 0.0)
    assert clip.rms == pytest.approx(math.sqrt(1.5 / 4))
    assert clip.info == {"echo_cancellation": True}


@pytest.mark.parametrize(
    ("samples", "count"),
    [
        ([], 0),
        ([0.5] * 9, 0),
        ([0, 1, 1, 0, -1, -1, 0], 0),  # two in a row may be chance
        ([1, 1, 1], 3),
        ([0, 1, 1, 1, 0, -1, -1, -1, -1, 0], 7),
        ([0.2, 2, 3, -2, 0.2], 3),
    ],
)
def test_samples_that_were_cut_off_are_counted(samples, count):
    assert Clip(np.array(samples, float), 8_000).clipped == count
    assert Clip.tone(440, 0.5).clipped == 0


def test_an_empty_clip_is_a_clip():
    clip = Clip([], 24_000)
    assert (clip.seconds, len(clip), clip.peak, clip.rms) == (0.0, 0, 0.0, 0.0)
    assert clip.peak_db == clip.rms_db == -math.inf
    assert clip == Clip.silence(0) == clip[1:2] == clip.trim() == clip.normalize() == clip * 2
    assert clip.resample(8_000).rate == 8_000
    assert clip.to_pcm16() == clip.to_ulaw() == b""
    assert not clip


@pytest.mark.parametrize(
    ("clip", "text"),
    [
        (Clip.tone(440, 2.8), "Clip(2.80 s, 24 kHz, peak −6.0 dBFS)"),
        (Clip.tone(440, 0.1, 11_025, peak=1), "Clip(0.10 s, 11.025 kHz, peak 0.0 dBFS)"),
        (Clip.silence(65, 8_000), "Clip(1:05 min, 8 kHz, silent)"),
        (Clip.silence(3602, 100), "Clip(1:00:02 h, 100 Hz, silent)"),
        (Clip.silence(59.999, 1_000), "Clip(1:00 min, 1 kHz, silent)"),
        (Clip([], 48_000), "Clip(empty, 48 kHz)"),
    ],
)
def test_a_clip_tells_what_it_is(clip, text):
    assert repr(clip) == text


def test_samples_cannot_be_changed():
    source = np.zeros(10, np.float32)
    clip = Clip(source, 8_000)
    source[:] = 1
    assert not clip.samples.any()
    for samples in (clip.samples, clip[0:0.0005].samples, clip.resample(16_000).samples, np.asarray(clip)):
        with pytest.raises(ValueError, match="read-only"):
            samples[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            samples.setflags(write=True)
    with pytest.raises(TypeError):
        clip.info["a"] = 1
    own = np.array(clip)
    own[0] = 1
    assert not clip.samples.any()


@given(clips, st.floats(-0.1, 60) | st.integers(-1, 60))
def test_two_parts_make_the_whole(clip, cut):
    assert clip[:cut] + clip[cut:] == clip


@given(clips, st.lists(st.floats(0, 1), max_size=5))
def test_many_parts_make_the_whole(clip, places):
    edges = [0, *sorted(place * clip.seconds for place in places), None]
    assert Clip.join([clip[a:b] for a, b in itertools.pairwise(edges)]) == clip


def test_spans_are_in_seconds():
    clip = Clip(np.arange(100) / 100, 100)
    assert clip[0.25:0.5].samples.tolist() == clip.samples[25:50].tolist()
    assert clip[-0.1:] == clip[0.9:]
    assert clip[:-0.1] == clip[:0.9]
    assert clip[-0.0001:] == clip[1:] == Clip([], 100)
    assert clip[:-0.0001] == clip[:] == clip[0:1] == clip[:1000] == clip
    assert clip[0.5:0.2] == Clip([], 100)
    assert clip[np.float32(0.25) : np.int64(1)] == clip[0.25:1]


@pytest.mark.parametrize(
    "bad", [3, 0.5, "a", slice(0, 1, 2), slice("a"), slice(math.nan), slice(None, math.inf), (1, 2)]
)
def test_other_spans_are_refused(bad):
    with pytest.raises(AudioError, match="clip"):
        noise()[bad]


def test_join_brings_all_to_the_first_rate():
    joined = Clip.join([Clip.tone(440, 1, 8_000), Clip.tone(440, 1, 16_000)], gap=0.5)
    assert joined.rate == 8_000
    assert joined.seconds == 2.5
    assert joined[1:1.5].peak == 0
    assert (Clip.silence(1, 16_000) + Clip.silence(1, 8_000)).rate == 16_000


def test_join_of_none_or_of_others_is_refused():
    with pytest.raises(AudioError, match="at least one clip"):
        Clip.join([])
    with pytest.raises(AudioError, match="takes clips; got ndarray"):
        Clip.join([noise(), np.zeros(3)])
    with pytest.raises(AudioError, match="a length in seconds"):
        Clip.join([noise()], gap=-1)
    with pytest.raises(TypeError):
        noise() + 1
    with pytest.raises(TypeError):
        noise() * "a"


def test_info_stays_with_the_sound(tmp_path):
    clip = noise(microphone="a")
    for other in (clip[0:0.01], clip.resample(16_000), clip * 2, clip.normalize(), clip.trim(), clip + clip):
        assert other.info == {"microphone": "a"}
    assert clip.with_info(gain=1).info == {"microphone": "a", "gain": 1}
    assert (clip.with_info(gain=1) + clip.with_info(gain=2)).info == {"microphone": "a"}
    assert Clip.read(clip.write(tmp_path / "a.wav"), info={"b": 2}).info == {"b": 2}


def test_equal_clips():
    assert noise() == noise(microphone="a")
    assert hash(noise()) == hash(noise(microphone="a"))
    assert noise() != noise(seed=1)
    assert noise() != Clip(noise().samples, 16_000)
    assert noise() != noise()[:0.05]
    assert noise() != "clip"
    zeros = Clip([0.0, -0.0], 100), Clip([-0.0, 0.0], 100)
    assert zeros[0] == zeros[1]
    assert hash(zeros[0]) == hash(zeros[1])
    assert len({noise(), noise(), noise(seed=1)}) == 2


def test_copies():
    clip = noise(microphone="a")
    for other in (pickle.loads(pickle.dumps(clip)), copy.copy(clip), copy.deepcopy(clip)):
        assert other == clip
        assert other.info == clip.info
        with pytest.raises(ValueError, match="read-only"):
            other.samples[0] = 1


@given(st.binary(max_size=400).map(lambda data: data[: len(data) // 2 * 2]))
def test_pcm16_round_trip_is_exact(data):
    assert Clip.from_pcm16(data).to_pcm16() == data


def test_raw_sound_has_its_usual_rate():
    assert Clip.from_pcm16(bytes(48_000)).seconds == 1
    assert Clip.from_ulaw(bytes(8_000)).seconds == 1
    assert Clip.from_alaw(bytes(8_000)).seconds == 1
    clip = Clip.tone(440, 1, 24_000)
    assert len(clip.to_pcm16()) == 48_000
    assert len(clip.to_pcm16(16_000)) == 32_000
    assert len(clip.to_ulaw()) == len(clip.to_alaw()) == 8_000
    for back in (Clip.from_ulaw(clip.to_ulaw()), Clip.from_alaw(clip.to_alaw())):
        np.testing.assert_allclose(back.samples[100:-100], clip.resample(8_000).samples[100:-100], atol=0.02)


def test_loudness():
    tone = Clip.tone(440, 1, peak=1.0)
    assert tone.rms_db == pytest.approx(-3.01, abs=0.01)
    assert tone.peak_db == pytest.approx(0, abs=0.01)
    assert (tone * 0.5).peak_db == (0.5 * tone).peak_db == pytest.approx(-6.02, abs=0.01)
    assert (tone * 0.1).normalize().peak == pytest.approx(0.9)
    assert Clip([1e-42, 0], 100).normalize().peak == pytest.approx(0.9, rel=0.01)
    assert Clip.silence(1).normalize() == Clip.silence(1)
    assert (tone * 4 * 0.25).peak == pytest.approx(1)
    for gain in (17, math.inf, math.nan, 1e300):
        with pytest.raises(AudioError):
            tone * gain
    with pytest.raises(AudioError, match=r"1e\+06 times a peak of 1 is 1e\+06.*gain of at most 16"):
        tone * 1e6
    with pytest.raises(AudioError, match="peak must be a number from 0 to 16; got 20"):
        tone.normalize(20)
    assert noise().normalize(16).peak == pytest.approx(16)


def test_a_cut_far_beyond_the_end_is_one_at_the_end():
    clip = Clip.tone(440, 1)
    assert len(clip[1e305:]) == len(clip[:-1e305]) == 0
    assert clip[-1e305:1e305] == clip


def test_trim():
    clip = Clip.join([Clip.silence(1), Clip.tone(440, 1), Clip.silence(2)])
    assert clip.trim(pad=0).seconds == pytest.approx(1, abs=0.01)
    assert clip.trim(pad=0.2).seconds == pytest.approx(1.4, abs=0.01)
    assert clip.trim(pad=60) == clip
    assert clip.trim(-0.1).seconds == 0
    with pytest.raises(AudioError, match="threshold_db"):
        clip.trim(math.nan)


def test_of_anything(tmp_path):
    clip = noise(rate=16_000)
    path = clip.write(tmp_path / "a.wav")
    back = Clip.read(path)
    assert Clip.of(clip) is clip
    assert (
        Clip.of(path)
        == Clip.of(str(path))
        == Clip.of(path.read_bytes())
        == Clip.of(memoryview(path.read_bytes()))
        == back
    )
    with open(path, "rb") as file:
        assert Clip.of(file) == back
    assert (
        Clip.of(clip.samples, 16_000)
        == Clip.of((clip.samples, 16_000))
        == Clip.of(clip.samples.tolist(), 16_000)
        == clip
    )
    assert (
        Clip.of(clip, 8_000).rate
        == Clip.of(path, 8_000).rate
        == Clip.of((clip.samples, 16_000), 8_000).rate
        == 8_000
    )


@pytest.mark.parametrize(
    "rate", [16_000, np.int32(16_000), np.uint16(16_000), 16_000.0, np.float32(16_000), np.array(16_000)]
)
@pytest.mark.parametrize("shape", ["array", "list", "stereo", "array.array"])
def test_a_pair_is_taken_in_either_order(rate, shape):
    clip = noise(rate=16_000)
    samples = {
        "array": clip.samples,
        "list": clip.samples.tolist(),
        "stereo": np.stack([clip.samples] * 2),
        "array.array": array.array("f", clip.samples),
    }[shape]
    assert Clip.of((samples, rate)) == Clip.of((rate, samples)) == Clip.of([rate, samples]) == clip
    assert Clip.of((rate, samples), 8_000) == Clip.of((samples, rate), rate=8_000) == clip.resample(8_000)


@given(st.integers(-(10**7), 10**7) | st.floats() | st.booleans(), st.booleans())
def test_any_number_beside_an_array_is_a_rate_or_refused(rate, first):
    samples = np.zeros(20, np.int16)
    pair = (rate, samples) if first else (samples, rate)
    valid = not isinstance(rate, bool) and rate == rate and rate % 1 == 0 and 1 <= rate <= 768_000
    if valid:
        assert Clip.of(pair).rate == rate
        return
    with pytest.raises(AudioError, match="rate must be a whole number of Hz"):
        Clip.of(pair)


def test_a_pair_of_two_numbers_is_ambiguous_unless_the_rate_is_given():
    with pytest.raises(AudioError, match=r"got \(24000, 16000\) without a rate"):
        Clip.of((24_000, 16_000))
    assert len(Clip.of((0.5, 0.25), 100)) == 2
    with pytest.raises(AudioError, match="a Clip has its own rate"):
        Clip.of((noise(), 24_000))


@pytest.mark.parametrize(
    "bad", [None, 7, np.zeros(3), [0.0], ([0.0], "a"), (1, 2), (np.zeros(2), np.ones(2)), object()]
)
def test_of_other_things_is_refused(bad):
    with pytest.raises(AudioError, match="without a rate"):
        Clip.of(bad)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Clip([0.0], 0),
        lambda: Clip("a", 100),
        lambda: Clip.silence(-1),
        lambda: Clip.silence(math.inf),
        lambda: Clip.silence("1"),
        lambda: Clip.silence(1e6),
        lambda: Clip.tone(5_000, 1, 8_000),
        lambda: Clip.tone(440, 1, peak=20),
        lambda: Clip.from_pcm16(b"a"),
        lambda: Clip.from_bytes("a.wav"),
        lambda: noise().resample(0.5),
        lambda: noise().normalize("a"),
    ],
)
def test_bad_input_is_refused(make):
    with pytest.raises(AudioError):
        make()


def test_numpy_sees_the_samples():
    clip = noise()
    assert np.array_equal(np.asarray(clip), clip.samples)
    assert np.asarray(clip, np.float64).dtype == np.float64
    assert np.abs(clip).max() == clip.peak


def test_codecs_are_imported_when_they_are_used():
    code = (
        "import sys; from rtnb.audio import Clip; Clip.tone(440, 1).trim().to_pcm16();"
        "print(sorted({'soundfile', 'av', 'soxr', 'pydantic', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
