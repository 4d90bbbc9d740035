import base64
import functools
import io
import os
import struct
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtnb.audio import Clip
from rtnb.audio.files import decode, encode, format_of
from rtnb.errors import AudioError

SPEECH = Path(__file__).parents[3] / "shared" / "speech" / "jfk_24k.wav"


def tone(rate, seconds=0.5, channels=1):
    one = 0.4 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return np.stack([one] * channels, axis=1).astype(np.float32)


@functools.cache
def by_soundfile(format, subtype, rate=24_000, channels=1):
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(rate, channels=channels), rate, format=format, subtype=subtype)
    return buffer.getvalue()


@functools.cache
def by_av(container, codec, rate=48_000, channels=1, video=False, sound=True):
    buffer = io.BytesIO()
    layout = "mono" if channels == 1 else "stereo"
    with av.open(buffer, mode="w", format=container) as out:
        if video:
            pictures = out.add_stream("mpeg4", rate=25)
            pictures.width = pictures.height = 64
        if sound:
            stream = out.add_stream(codec, rate=rate)
            stream.codec_context.layout = layout
        if video:
            for _ in range(5):
                out.mux(
                    pictures.encode(
                        av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                    )
                )
            out.mux(pictures.encode(None))
        if sound:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(tone(rate, channels=channels).T), format="fltp", layout=layout
            )
            frame.sample_rate, frame.pts = rate, 0
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return buffer.getvalue()


@functools.cache
def picture():
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="image2pipe") as out:
        stream = out.add_stream("png", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def wav(fmt, data, size=None, extra=b""):
    size = len(data) if size is None else size
    body = (
        b"WAVE"
        + b"fmt "
        + struct.pack("<I", len(fmt))
        + fmt
        + extra
        + b"data"
        + struct.pack("<I", size)
        + data
    )
    return b"RIFF" + struct.pack("<I", min(len(body), 2**32 - 1)) + body


def pcm_fmt(rate=24_000, channels=1, bits=16, tag=1):
    width = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, (rate * width) % 2**32, width, bits)


FILES = {
    "wav 8": lambda: by_soundfile("WAV", "PCM_U8"),
    "wav 16": lambda: by_soundfile("WAV", "PCM_16"),
    "wav 24": lambda: by_soundfile("WAV", "PCM_24"),
    "wav 32": lambda: by_soundfile("WAV", "PCM_32"),
    "wav float": lambda: by_soundfile("WAV", "FLOAT"),
    "wav double": lambda: by_soundfile("WAV", "DOUBLE"),
    "wav µ-law": lambda: by_soundfile("WAV", "ULAW"),
    "wav stereo": lambda: by_soundfile("WAV", "PCM_16", channels=2),
    "wav extensible": lambda: by_soundfile("WAVEX", "PCM_24", channels=2),
    "wav adpcm": lambda: by_av("wav", "adpcm_ms", rate=24_000),
    "aiff": lambda: by_soundfile("AIFF", "PCM_16"),
    "flac": lambda: by_soundfile("FLAC", "PCM_24"),
    "ogg vorbis": lambda: by_soundfile("OGG", "VORBIS"),
    "ogg opus": lambda: by_av("ogg", "libopus", channels=2),
    "ogg flac": lambda: by_av("ogg", "flac"),
    "mp3": lambda: by_av("mp3", "libmp3lame", rate=44_100, channels=2),
    "m4a": lambda: by_av("ipod", "aac", channels=2),
    "mp4": lambda: by_av("mp4", "aac", video=True),
    "aac": lambda: by_av("adts", "aac"),
    "webm": lambda: by_av("webm", "libopus"),
    "mka": lambda: by_av("matroska", "flac", channels=2),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_is_read(name):
    samples, rate, _ = decode(FILES[name]())
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples) == pytest.approx(rate / 2, abs=0.06 * rate)
    # MP4's and AAC's encoders put some silence before the sound.
    inner = samples[rate // 5 : -rate // 5]
    assert np.abs(inner).max() == pytest.approx(0.4, abs=0.05)
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner))))
    assert np.argmax(spectrum) * rate / len(inner) == pytest.approx(440, abs=8)


@pytest.mark.parametrize("name", FILES)
def test_every_format_is_read_in_pieces_and_at_a_rate(name):
    whole, rate, _ = decode(FILES[name]())
    piece, _, _ = decode(FILES[name](), start=0.1, seconds=0.2)
    assert np.array_equal(piece, whole[round(0.1 * rate) : round(0.1 * rate) + round(0.2 * rate)])
    assert len(decode(FILES[name](), seconds=0)[0]) == 0
    assert len(decode(FILES[name](), start=10)[0]) == 0
    other, found, _ = decode(FILES[name](), rate=16_000)
    assert found == 16_000
    assert abs(len(other) - len(whole) * 16_000 / rate) <= 0.5
    np.testing.assert_allclose(other, Clip(whole, rate).resample(16_000).samples, atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_is_read_to_its_last_bit(subtype):
    samples, _, _ = decode(by_soundfile("WAV", subtype))
    bits = {"PCM_U8": 7, "PCM_16": 15, "PCM_24": 23, "PCM_32": 24, "FLOAT": 40, "DOUBLE": 40}[subtype]
    np.testing.assert_allclose(samples, tone(24_000)[:, 0], atol=2.0**-bits)


def test_channels_are_averaged():
    left_only = np.stack([tone(24_000)[:, 0], np.zeros(12_000, np.float32)], axis=1)
    buffer = io.BytesIO()
    soundfile.write(buffer, left_only, 24_000, format="WAV", subtype="FLOAT")
    np.testing.assert_allclose(decode(buffer.getvalue())[0], left_only[:, 0] / 2, atol=1e-7)


@pytest.mark.parametrize(("container", "codec"), [("ipod", "aac"), ("webm", "libopus"), ("flac", "flac")])
@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_surround_sound_is_averaged(container, codec, layout):
    channels = 6 if layout == "5.1" else 8
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000)
        stream.codec_context.layout = layout
        packed = np.repeat(tone(48_000)[:, 0], channels).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts = 48_000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    samples, rate, _ = decode(buffer.getvalue())
    assert len(samples) == pytest.approx(rate / 2, abs=0.06 * rate)
    # The channel for low tones is filtered by some codecs, so that the average may lose one.
    assert samples[rate // 5 : -rate // 5].std() == pytest.approx(0.283, abs=0.06)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100])
def test_lossless_files_round_trip(tmp_path, suffix, rate):
    clip = Clip.from_pcm16(np.random.default_rng(0).bytes(20_000), rate)
    path = clip.write(tmp_path / f"a{suffix}")
    assert path == tmp_path / f"a{suffix}"
    assert Clip.read(path) == clip
    assert Clip.read(str(path)) == clip
    assert Clip.from_bytes(path.read_bytes()) == clip


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".webm", ".OGG"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
def test_opus_files_round_trip(tmp_path, suffix, rate):
    clip = Clip.tone(440, 1.23, rate)
    back = Clip.read(clip.write(tmp_path / f"a{suffix}"))
    assert back.rate in (8_000, 12_000, 16_000, 24_000, 48_000)
    assert back.seconds == pytest.approx(1.23, abs=1e-3)
    again = back.resample(rate)[0.2:1.0]
    # Opus keeps the sound, not every sample: most of the energy is where it was.
    assert np.corrcoef(again.samples, clip[0.2:1.0].samples)[0, 1] > 0.98


@pytest.mark.parametrize("format", ["wav", "flac", "opus", "webm"])
def test_the_same_sound_is_the_same_bytes(format):
    sound = tone(24_000)[:, 0]
    assert encode(sound, 24_000, format) == encode(sound, 24_000, format)


def test_opus_is_small():
    assert len(encode(tone(24_000, 60)[:, 0], 24_000, "opus")) < 300_000


@pytest.mark.parametrize("format", ["wav", "flac", "opus", "ogg", "webm"])
def test_a_clip_without_samples_can_be_written_and_read(format):
    back = Clip.from_bytes(Clip.silence(0, 24_000).to_bytes(format))
    assert back.seconds == (0 if format == "wav" else pytest.approx(0.02, abs=1e-3))
    assert back.peak < 1e-6


def test_wav_with_other_chunks_before_its_sound():
    data = Clip.tone(440, 0.1).to_pcm16()
    assert decode(wav(pcm_fmt(), data, extra=b"LIST\x05\0\0\0abcde\0"))[0].size == 2400
    samples, _, note = decode(wav(pcm_fmt(), data, size=9600, extra=b"LIST\x05\0\0\0abcde\0"))
    assert samples.size == 2400
    assert note == "ends after 0.10 s of the 0.20 s that its header declares"


def test_flac_of_unknown_length_is_read():
    data = bytearray(by_soundfile("FLAC", "PCM_24"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert decode(bytes(data))[0].size == 12_000


NO_SOUND = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"Hello, world. This is a text and no sound at all.\n" * 50, "not a sound file"),
    "json": (lambda: b'{"a": [1, 2, 3]}', "not a sound file"),
    "html": (lambda: b"<!DOCTYPE html><html><body>404</body></html>", "not a sound file"),
    "picture": (picture, "not a sound file"),
    "playlist": (lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n/etc/passwd\n", "not a sound file"),
    "concat script": (lambda: b"ffconcat version 1.0\nfile /etc/passwd\n", "not a sound file"),
    "video without sound": (lambda: by_av("mp4", "", video=True, sound=False), "has no audio"),
    "zeros": (lambda: bytes(5000), "the audio data"),
    "RIFF alone": (lambda: b"RIFF", "the audio data"),
    "header alone": (lambda: by_soundfile("WAV", "PCM_16")[:30], "the audio data"),
    "rate of 0": (lambda: wav(pcm_fmt(rate=0), b"\0" * 100), "the audio data"),
    "rate of 4 GHz": (lambda: wav(pcm_fmt(rate=2**32 - 2), b"\0" * 100), "the audio data"),
    "no channels": (lambda: wav(pcm_fmt(channels=0), b"\0" * 100), "the audio data"),
    "NaN": (
        lambda: wav(pcm_fmt(bits=32, tag=3), np.array([0, np.nan], "<f4").tobytes()),
        "1 values that are NaN",
    ),
    "too loud": (lambda: wav(pcm_fmt(bits=32, tag=3), np.array([0, 1e30], "<f4").tobytes()), "peak of 1e+30"),
    "unknown codec": (lambda: wav(pcm_fmt(tag=0x7FFE), bytes(100)), "an unsupported codec"),
}


@pytest.mark.parametrize("name", NO_SOUND)
def test_what_is_no_sound_is_refused_with_a_sentence(name, tmp_path):
    make, words = NO_SOUND[name]
    with pytest.raises(AudioError) as caught:
        decode(make())
    assert words in str(caught.value)
    assert str(caught.value).startswith("the audio data ")
    (tmp_path / "some.wav").write_bytes(make())
    with pytest.raises(AudioError, match=r"some\.wav") as caught:
        decode(tmp_path / "some.wav")
    assert words.replace("the audio data", "some.wav") in str(caught.value)
    assert str(caught.value).count("some.wav") == 1  # one sentence, not one in another


@pytest.mark.parametrize("name", ["wav 16", "flac", "ogg vorbis", "mp3", "m4a", "webm"])
def test_too_long_is_refused_and_says_how_to_read_a_piece(name):
    with pytest.raises(
        AudioError, match=r"longer than max_seconds=0\.3: read a part of it with start=0, seconds=600"
    ):
        decode(FILES[name](), max_seconds=0.3)
    with pytest.raises(AudioError, match="raise max_seconds"):
        decode(FILES[name](), seconds=2, max_seconds=1)
    assert decode(FILES[name](), seconds=0.3, max_seconds=0.3)[0].size > 0


def test_exactly_the_limit_is_not_too_long():
    assert decode(by_soundfile("WAV", "PCM_16"), max_seconds=0.5)[0].size == 12_000


def test_names_do_not_matter(tmp_path):
    for name in ("a.raw", "a.txt", "a", "a.mp3", "ü 🎤.wav"):
        (tmp_path / name).write_bytes(by_soundfile("WAV", "PCM_16"))
        assert decode(tmp_path / name)[0].size == 12_000


def test_open_files_are_read_and_left_open(tmp_path):
    path = tmp_path / "a.webm"
    path.write_bytes(by_av("webm", "libopus"))
    with open(path, "rb") as file:
        samples, _, _ = decode(file)
        assert not file.closed
    assert np.array_equal(samples, decode(path)[0])
    for kind in (bytes, bytearray, memoryview, io.BytesIO):
        assert np.array_equal(samples, decode(kind(path.read_bytes()))[0])


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(AudioError, match=r"^No such file: '.*nothing\.wav'$"):
        decode(tmp_path / "nothing.wav")
    with pytest.raises(AudioError, match="is a directory" if sys.platform != "win32" else "permission"):
        decode(tmp_path)
    with pytest.raises(AudioError, match="got the URL"):
        decode("https://example.org/a.wav")
    with pytest.raises(AudioError, match="contains a NUL character"):
        decode("a\0b.wav")
    with pytest.raises(AudioError, match="is in text mode: open it with mode"):
        decode(io.StringIO("abc"))
    closed = io.BytesIO(b"")
    closed.close()
    with pytest.raises(AudioError, match="is closed: open it again"):
        decode(closed)
    for bad in (None, 7, [1, 2], object()):
        with pytest.raises(AudioError, match="path, bytes or an open binary file"):
            decode(bad)


def fresh(data=None):
    return io.BytesIO(by_soundfile("WAV", "PCM_16") if data is None else data)


def test_what_is_wrong_with_an_open_file_is_named(tmp_path):
    at_end = fresh()
    at_end.read()
    with pytest.raises(AudioError, match=r"^the open file is at its end: call seek\(0\) before reading$"):
        decode(at_end)
    at_end.seek(0)
    assert decode(at_end)[0].size == 12_000
    beyond = fresh()
    beyond.seek(10**9)
    with pytest.raises(AudioError, match="at its end"):
        decode(beyond)
    within = fresh()
    within.seek(100)
    with pytest.raises(
        AudioError, match=r"^the open file, read from byte 100 \(its start is at seek\(0\)\), is "
    ):
        decode(within)
    with pytest.raises(AudioError, match=r"is empty \(0 bytes\)"):
        decode(fresh(b""))
    path = tmp_path / "a.wav"
    path.write_bytes(by_soundfile("WAV", "PCM_16"))
    with open(path, encoding="latin-1") as file, pytest.raises(AudioError, match="in text mode"):
        decode(file)
    with open(path, "ab") as file, pytest.raises(AudioError, match="was not opened for reading"):
        decode(file)
    file = open(path, "rb")  # noqa: SIM115
    file.close()
    with pytest.raises(AudioError, match="is closed: open it again"):
        decode(file)


class Stream(io.RawIOBase):
    """A stream that can be read once, as from a pipe."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._data.readinto(buffer)


def test_a_stream_is_read_once():
    stream = Stream(by_soundfile("WAV", "PCM_16"))
    assert decode(stream)[0].size == 12_000
    with pytest.raises(AudioError, match="returned no data: it is empty, or a stream that was read before"):
        decode(stream)


class Odd:
    def __init__(self, value):
        self._value = value

    def read(self):
        return self._value


async def nothing():
    return b""


@pytest.mark.parametrize("make", [lambda: None, lambda: 5, list, nothing])
def test_read_that_returns_no_bytes_is_refused(make):
    with pytest.raises(AudioError, match=r"read\(\) of the open file must return bytes; got "):
        decode(Odd(make()))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes like this")
def test_a_pipe_in_the_file_system_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    data = by_soundfile("WAV", "PCM_16")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    assert decode(tmp_path / "pipe")[0].size == 12_000
    writer.join()


def test_a_data_uri_is_read():
    data = by_soundfile("WAV", "PCM_16")
    text = base64.b64encode(data).decode()
    for uri in (
        f"data:audio/wav;base64,{text}",
        f"DATA:audio/x-wav;codecs=1;BASE64,{text}",
        f"data:;base64,{text[:100]}\n{text[100:]}",
        f"data:audio/wav;base64,{quote(text)}",
        f"data:audio/wav,{quote(data)}",
    ):
        assert decode(uri)[0].size == 12_000
        assert Clip.of(uri, 8_000).rate == 8_000


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("data:audio/wav;base64," + "A" * 1_000_000, "the data: URI is not a sound file"),
        (
            "data:audio/wav;base64," + "!" * 1_000_000,
            "the data: URI (1,000,022 characters) has invalid base64",
        ),
        ("data:audio/wav;base64,", "the data: URI is empty"),
    ],
    ids=range(3),
)
def test_a_bad_data_uri_is_refused_in_a_short_sentence(uri, words):
    with pytest.raises(AudioError) as caught:
        decode(uri)
    assert words in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_a_data_uri_has_a_size_limit(monkeypatch):
    monkeypatch.setattr("rtnb.audio.sources._MAX_DATA_URI", 1000)
    with pytest.raises(
        AudioError, match=r"has 2,022 characters and may have 1,000: write the audio to a file"
    ):
        decode("data:audio/wav;base64," + "A" * 2000)


@pytest.mark.parametrize(
    "source",
    ["A" * 1_000_000, "UklGR" + "A" * 1_000_000, "x/" * 500_000, "a\0" * 500_000, "s3://" + "a" * 10**6],
)
def test_an_error_is_never_as_long_as_the_input(source):
    with pytest.raises(AudioError) as caught:
        decode(source)
    assert len(str(caught.value)) <= 300
    with pytest.raises(AudioError) as caught:
        Clip.tone(440, 0.1).write(source + ".wav")
    assert len(str(caught.value)) <= 300


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user"
)
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(by_soundfile("WAV", "PCM_16"))
    path.chmod(0)
    with pytest.raises(AudioError, match="no permission"):
        decode(path)


@pytest.mark.parametrize(
    "wrong", [{"start": -1}, {"seconds": -1}, {"max_seconds": "4"}, {"rate": 0}, {"seconds": float("nan")}]
)
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(AudioError, match=next(iter(wrong))):
        decode(by_soundfile("WAV", "PCM_16"), **wrong)


def test_files_that_cannot_be_written(tmp_path):
    clip = Clip.tone(440, 0.1)
    with pytest.raises(AudioError, match=r"must be one of \.wav, \.flac, \.ogg, \.opus, \.webm"):
        clip.write(tmp_path / "a.mp3")
    with pytest.raises(AudioError, match="must be one of"):
        format_of("a")
    with pytest.raises(AudioError, match="cannot be written"):
        clip.write(tmp_path / "nowhere" / "a.wav")
    with pytest.raises(AudioError, match="wav, flac, opus, webm; got 'mp3'"):
        clip.to_bytes("mp3")
    with pytest.raises(AudioError, match="flac cannot hold audio at 768000 Hz"):
        Clip.tone(440, 0.1, 768_000).to_bytes("flac")


FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=20)


def taken_or_refused(data):
    try:
        samples, rate, _ = decode(data, max_seconds=600)
    except AudioError as error:
        words = str(error)
    else:
        assert np.isfinite(samples).all()
        assert rate > 0
        return
    assert len(words) < 400
    assert "\n" not in words


HEADS = [
    b"",
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"fLaC\0\0\0\x22",
    b"OggS\0\x02",
    b"ID3\x04\0\0",
    b"\xff\xfb\x90\x64",
    b"\0\0\0\x1cftypM4A ",
    b"\x1aE\xdf\xa3",
    b"FORM\0\0\1\0AIFF",
    b".snd",
    b"caff\0\1",
    b"\xff\xf1L\x80",
]


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(HEADS), st.binary(max_size=600))
def test_random_bytes_are_taken_or_refused(head, data):
    taken_or_refused(head + data)


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_cut_files_are_taken_or_refused(name, data):
    whole = FILES[name]()
    taken_or_refused(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None, max_examples=40)
@given(FLIPS, st.booleans())
@example([(0.0, 0)], True)
def test_files_with_flipped_bits_are_taken_or_refused(name, flips, in_head):
    data = bytearray(FILES[name]())
    reach = min(len(data), 200) if in_head else len(data)
    for where, bit in flips:
        data[int(where * reach)] ^= 1 << bit
    taken_or_refused(bytes(data))


@pytest.mark.skipif(not SPEECH.exists(), reason="the recordings are not here")
def test_a_real_recording():
    clip = Clip.read(SPEECH)
    assert clip.rate == 24_000
    assert clip.seconds == pytest.approx(2.8)
    trimmed = clip.trim(-30)
    assert 1.5 < trimmed.seconds < 2.4
