import io

import numpy as np
import pybase64
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from rtnb.audio.codecs import alaw, decoded_length, from_pcm16, pcm16, to_int16, to_pcm16, ulaw, wire_format
from rtnb.errors import AudioError

ALL_INT16 = np.arange(-32768, 32768).astype("<i2")
ALL_CODES = bytes(range(256))

# ITU-T G.711 (11/88), table 2a/G.711 (µ-law): decision values x1…x128 and the values y0…y127 of the quantised
# signal, in units of 1/8159, and table 1a/G.711 (A-law), in units of 1/4096: per segment the value at
# which it begins, its step and its number of steps.
ULAW_SEGMENTS = [
    (1, 2, 15),
    (31, 4, 16),
    (95, 8, 16),
    (223, 16, 16),
    (479, 32, 16),
    (991, 64, 16),
    (2015, 128, 16),
    (4063, 256, 16),
]
ALAW_SEGMENTS = [
    (0, 2, 32),
    (64, 4, 16),
    (128, 8, 16),
    (256, 16, 16),
    (512, 32, 16),
    (1024, 64, 16),
    (2048, 128, 16),
]


def decision_values(segments):
    return [start + step * k for start, step, count in segments for k in range(count)]


@given(st.binary(max_size=2000).map(lambda data: data[: len(data) // 2 * 2]))
def test_pcm16_round_trip_is_exact(data):
    assert to_pcm16(from_pcm16(data)) == data


@given(st.binary(max_size=200))
def test_the_decoded_length_is_known_without_decoding(data):
    encoded = pybase64.b64encode(data)
    for text in (encoded, encoded.rstrip(b"=")):
        assert decoded_length(text) == decoded_length(text.decode()) == len(data)


def test_every_pcm16_value_round_trips():
    floats = from_pcm16(ALL_INT16.tobytes())
    assert floats.dtype == np.float32
    assert floats.min() == -1.0
    assert floats.max() < 1.0
    assert to_pcm16(floats) == ALL_INT16.tobytes()


def test_loud_audio_is_limited():
    assert to_int16(np.array([1.0, 2.0, -1.0, -3.0, 16.0], np.float32)).tolist() == [
        32767,
        32767,
        -32768,
        -32768,
        32767,
    ]


def test_half_a_sample_is_refused():
    with pytest.raises(AudioError, match="got 3 bytes"):
        from_pcm16(b"abc")


@pytest.mark.parametrize("codec", [pcm16, ulaw, alaw])
@pytest.mark.parametrize("bad", [None, "abcd", 7, [1, 2]])
def test_only_bytes_are_decoded(codec, bad):
    with pytest.raises(AudioError, match="must be bytes"):
        codec.decode(bad)


@pytest.mark.parametrize("codec", [pcm16, ulaw, alaw])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_all_kinds_of_bytes_are_decoded(codec, kind):
    assert np.array_equal(codec.decode(kind(ALL_CODES)), codec.decode(ALL_CODES))
    assert codec.decode(kind(b"")).shape == (0,)
    assert codec.encode(np.zeros(0, np.float32)) == b""


def test_ulaw_follows_the_table_of_the_recommendation():
    decisions = decision_values(ULAW_SEGMENTS)
    assert len(decisions) == 127
    # y0 is 0, yn the middle of its interval; the last interval ends at 8159. PCM16 is four times the unit.
    values = [0.0] + [(a + b) / 2 for a, b in zip(decisions, [*decisions[1:], 8159], strict=True)]
    decoded = ulaw.decode(ALL_CODES).astype(np.float64) * 32768 / 4
    # The character signal of value number n is 255 - n for positive values, 127 - n for negative ones.
    assert decoded[::-1][:128].tolist() == values
    assert (-decoded[127::-1][:128]).tolist() == values


def test_alaw_follows_the_table_of_the_recommendation():
    decisions = decision_values(ALAW_SEGMENTS)
    assert len(decisions) == 128
    values = [(a + b) / 2 for a, b in zip(decisions, [*decisions[1:], 4096], strict=True)]
    decoded = alaw.decode(ALL_CODES).astype(np.float64) * 32768 / 8
    # Value number n has the code n, its sign in the highest bit, with the even bits inverted.
    codes = np.arange(128)
    assert decoded[(codes | 0x80) ^ 0x55].tolist() == values
    assert (-decoded[codes ^ 0x55]).tolist() == values


@pytest.mark.parametrize(("codec", "segments", "unit"), [(ulaw, ULAW_SEGMENTS, 4), (alaw, ALAW_SEGMENTS, 8)])
def test_positive_samples_are_coded_by_the_decision_values(codec, segments, unit):
    values = np.arange(32768)
    codes = np.frombuffer(codec.encode((values / 32768).astype(np.float32)), np.uint8)
    number = 255 - codes.astype(int) if codec is ulaw else (codes ^ 0x55) & 0x7F
    first = 0 if codec is ulaw else 1
    expected = np.searchsorted(np.array(decision_values(segments)) * unit, values, side="right") - first
    assert np.array_equal(number, expected)


@pytest.mark.parametrize(("codec", "subtype"), [(ulaw, "ULAW"), (alaw, "ALAW")])
def test_g711_agrees_with_libsndfile(codec, subtype):
    theirs, _ = soundfile.read(
        io.BytesIO(ALL_CODES), dtype="int16", format="RAW", subtype=subtype, samplerate=8000, channels=1
    )
    assert (codec.decode(ALL_CODES) * 32768).astype(int).tolist() == theirs.tolist()


@pytest.mark.parametrize(("codec", "ambiguous"), [(ulaw, {0x7F: 0xFF}), (alaw, {})])
def test_g711_codes_come_back(codec, ambiguous):
    again = codec.encode(codec.decode(ALL_CODES))
    # µ-law has a negative zero, which comes back as the positive one.
    assert again == bytes(ambiguous.get(code, code) for code in range(256))
    assert np.array_equal(codec.decode(again), codec.decode(ALL_CODES))


@pytest.mark.parametrize("codec", [ulaw, alaw])
def test_g711_is_close_and_in_order(codec):
    sound = from_pcm16(ALL_INT16.tobytes())
    heard = codec.decode(codec.encode(sound))
    assert (np.diff(heard) >= 0).all()
    assert (np.abs(heard - sound) <= np.maximum(np.abs(sound) / 16, 17 / 32768)).all()


@pytest.mark.parametrize(
    ("fmt", "kind", "rate", "per_second"),
    [
        ({"type": "audio/pcm", "rate": 24000}, "audio/pcm", 24000, 48000),
        ({"type": "audio/pcm"}, "audio/pcm", 24000, 48000),
        ({"type": "audio/pcm", "rate": None}, "audio/pcm", 24000, 48000),
        ({"type": "audio/pcm", "rate": 16000}, "audio/pcm", 16000, 32000),
        ({"type": "audio/pcmu"}, "audio/pcmu", 8000, 8000),
        ({"type": "audio/pcma", "rate": 8000}, "audio/pcma", 8000, 8000),
    ],
)
def test_wire_formats(fmt, kind, rate, per_second):
    codec = wire_format(fmt)
    assert (codec.type, codec.rate, codec.bytes_per_second) == (kind, rate, per_second)
    assert wire_format(codec.format) == codec
    assert len(codec.encode(np.zeros(10, np.float32))) == 10 * codec.width


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({}, "must be audio/pcm, audio/pcmu or audio/pcma; got None"),
        ({"type": "audio/opus"}, "got 'audio/opus'"),
        ({"type": []}, "got []"),
        ({"type": "audio/pcm", "rate": "24000"}, "rate of audio/pcm must be"),
        ({"type": "audio/pcm", "rate": 0}, "rate of audio/pcm must be"),
        ({"type": "audio/pcmu", "rate": 16000}, "always 8000 Hz; got rate 16000"),
        ("pcm16", "must be an object such as"),
        (None, "must be an object such as"),
    ],
)
def test_other_formats_are_refused(bad, words):
    with pytest.raises(AudioError) as caught:
        wire_format(bad)
    assert words in str(caught.value)
