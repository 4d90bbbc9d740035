"""False sizes in headers, files end to end, cut files, and channels that cancel each other."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from audio.test_files import FILES, by_av, by_soundfile, pcm_fmt, wav
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb import Clip
from rtnb.errors import AudioError

PCM = Clip.tone(440, 1.0).to_pcm16()

PLACEHOLDERS = {
    "true": (len(PCM), 36 + len(PCM)),
    "OpenAI, FFmpeg": (0xFFFF_FFFF, 0xFFFF_FFFF),
    "ElevenLabs": (0x7FFF_FFFF, 0x7FFF_FFFF),
    "sox": (0x7FFF_F000, 0x7FFF_F024),
    "soundfile to a pipe": (0, 0),
    "crashed recorder": (0, 36),
    "pocket-tts": (2_000_000_000, 2_000_000_036),
    "a billion": (1_000_000_000, 1_000_000_036),
    "almost sox": (0x7FFF_EFF0, 0x7FFF_F014),
    "256 MiB": (0x0FFF_FFFF, 0x0FFF_FFFF),
}


def sized(size: int, riff: int) -> bytes:
    fmt = pcm_fmt()
    head = b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt
    return head + b"data" + struct.pack("<I", size) + PCM


@pytest.mark.parametrize("name", PLACEHOLDERS)
@pytest.mark.parametrize("options", [{}, {"seconds": 600}, {"start": 0.25, "seconds": 0.5}, {"rate": 16_000}])
def test_whatever_size_a_wav_header_declares_what_is_there_is_read(name, options):
    clip = Clip.read(sized(*PLACEHOLDERS[name]), **options)
    assert clip.seconds == (0.5 if "start" in options else 1.0)
    assert clip.peak == pytest.approx(0.5, abs=0.01)


def test_an_empty_wav_with_other_chunks_is_empty():
    empty = wav(pcm_fmt(), b"") + b"LIST\x04\0\0\0abcd"
    assert Clip.read(empty).seconds == 0
    assert Clip.read(wav(pcm_fmt(), b"")).seconds == 0


def mp3_with_id3():
    return b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + by_av("mp3", "libmp3lame", rate=44_100, channels=2)


JOINED = {
    **{name: FILES[name] for name in FILES if name not in ("aiff", "wav adpcm", "mp4")},
    "mp3 with ID3": mp3_with_id3,
    "wav of unknown size": lambda: sized(0xFFFF_FFFF, 0xFFFF_FFFF),
    "wav of no size": lambda: sized(0, 0),
    "wav with chunks after its audio": lambda: wav(pcm_fmt(), PCM) + b"LIST\x04\0\0\0abcd",
    "wav of odd length": lambda: wav(pcm_fmt(bits=8), bytes([128, 255] * 999 + [128])),
}


@pytest.mark.parametrize("name", JOINED)
@pytest.mark.parametrize("times", [2, 5])
def test_files_end_to_end_are_read_to_the_end(name, times):
    one = Clip.read(JOINED[name]())
    all_ = Clip.read(JOINED[name]() * times)
    # A codec may spend a few frames on where it starts.
    assert all_.seconds == pytest.approx(times * one.seconds, abs=0.06 * times)
    assert all_.peak == pytest.approx(one.peak, abs=0.1)
    assert "note" not in one.info
    part = Clip.read(JOINED[name]() * times, start=one.seconds * 0.9, seconds=one.seconds * 0.3)
    assert part.seconds == pytest.approx(one.seconds * 0.3, abs=0.03)


def test_parts_of_different_rates_are_joined_at_the_first():
    clip = Clip.read(by_soundfile("WAV", "PCM_16", rate=24_000) + by_soundfile("WAV", "PCM_24", rate=48_000))
    assert (clip.rate, clip.seconds) == (24_000, 1.0)
    tone = np.abs(np.fft.rfft(clip.samples))
    assert tone.argmax() == pytest.approx(440, abs=2)


def test_a_bad_part_is_noted_and_the_others_are_read():
    bad = b"fLaC\0\0\0\x22" + bytes(60)
    clip = Clip.read(by_soundfile("FLAC", "PCM_24") + bad + by_soundfile("FLAC", "PCM_24"))
    assert clip.seconds == pytest.approx(1.0, abs=0.01)
    assert "part 2 of 3" in clip.info["note"]


def test_all_parts_count_towards_the_longest():
    data = by_soundfile("WAV", "PCM_16") * 3
    assert Clip.read(data, max_seconds=1.5).seconds == 1.5
    with pytest.raises(AudioError, match=r"is longer than max_seconds=1\.4"):
        Clip.read(data, max_seconds=1.4)


NOTED = ["wav 8", "wav 16", "wav 24", "wav float", "wav µ-law", "wav extensible", "aiff", "flac"]


CUT = [name for name in FILES if name not in ("m4a", "mp4", "wav adpcm") and not name.startswith("ogg")]


@pytest.mark.parametrize("name", CUT)
def test_of_a_cut_file_the_intact_part_is_read(name):
    whole = FILES[name]()
    clip = Clip.read(whole[: len(whole) * 2 // 3])
    assert 0.1 < clip.seconds < 0.5
    assert clip.peak == pytest.approx(0.4, abs=0.1)
    if name in NOTED:
        assert "note" in clip.info


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_of_a_cut_ogg_file_the_whole_pages_are_read(subtype):
    rng, buffer = np.random.default_rng(1), io.BytesIO()
    noise = (0.1 * rng.standard_normal(24_000 * 20)).astype(np.float32)  # pages of about a second
    soundfile.write(buffer, noise, 24_000, format="OGG", subtype=subtype)
    whole = buffer.getvalue()
    clip = Clip.read(whole[: len(whole) * 2 // 3])
    assert 8 < clip.seconds < 14
    assert "cut" in clip.info["note"]
    assert "note" not in Clip.read(whole).info


def test_a_cut_au_file_is_noted():
    whole = by_soundfile("AU", "PCM_16")
    assert "note" not in Clip.read(whole).info
    assert Clip.read(whole[:12_000]).info["note"].startswith("ends after 0.25 s of the 0.50 s")


def test_damage_in_the_middle_costs_only_what_is_damaged():
    data = bytearray(by_av("mp3", "libmp3lame", rate=44_100, channels=2))
    middle = len(data) // 2
    data[middle : middle + 40] = b"\0" * 40
    clip = Clip.read(bytes(data))
    assert clip.seconds == pytest.approx(0.5, abs=0.1)


def stereo(left, right):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([left, right], axis=1), 24_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


TONE = Clip.tone(440, 0.5).samples


def test_channels_that_cancel_each_other_are_noted_and_the_first_is_read():
    clip = Clip.read(stereo(TONE, -TONE))
    assert clip.peak == pytest.approx(0.5, abs=0.01)
    assert "cancel each other" in clip.info["note"]
    assert "cancel" in Clip.read(stereo(TONE, -0.95 * TONE)).info["note"]
    for other in (TONE, Clip.tone(660, 0.5).samples, np.zeros_like(TONE)):
        assert "note" not in Clip.read(stereo(TONE, other)).info
    assert "note" not in Clip.read(stereo(0 * TONE, 0 * TONE)).info


def test_a_channel_can_be_selected():
    data = stereo(TONE, 0.2 * TONE)
    assert Clip.read(data, channel=0).peak == pytest.approx(0.5, abs=0.01)
    assert Clip.read(data, channel=1, rate=16_000).peak == pytest.approx(0.1, abs=0.01)
    assert Clip.read(stereo(TONE, -TONE), channel=1).info == {}
    assert Clip.read(by_av("ipod", "aac", channels=2), channel=1).peak == pytest.approx(0.4, abs=0.05)
    with pytest.raises(AudioError, match="has no channel 2: it has 2, counted from 0"):
        Clip.read(data, channel=2)
    with pytest.raises(AudioError, match=r"channel must be a whole number, counted from 0; got 0\.5"):
        Clip.read(data, channel=0.5)
    with pytest.raises(AudioError, match="channel must be a number"):
        Clip.read(data, channel="left")


def test_a_cut_wav_is_noted_unless_only_what_exists_was_asked_for():
    half = by_soundfile("WAV", "PCM_16")[: len(by_soundfile("WAV", "PCM_16")) // 2]
    assert re.search(r"ends after 0\.2. s of the 0\.50 s", Clip.read(half).info["note"])
    part = Clip.read(half, seconds=0.2)
    assert (len(part), part.info) == (4800, {})


def test_the_card_of_a_clip_shows_its_note():
    card = Clip.read(by_soundfile("WAV", "PCM_16")[:9_000])._repr_mimebundle_()["text/html"]
    assert "Note: ends after 0.19 s of the 0.50 s" in card
    assert "Note" not in Clip.tone(440, 0.5)._repr_mimebundle_()["text/html"]
    assert "&lt;b&gt;" in Clip.tone(440, 0.5).with_info(note="<b>")._repr_mimebundle_()["text/html"]


def test_a_note_is_in_the_info_beside_the_callers():
    cut = by_soundfile("WAV", "PCM_16")[:9_000]
    assert set(Clip.read(cut, info={"speaker": "A"}).info) == {"note", "speaker"}


def test_a_false_length_costs_no_memory():
    tracemalloc.start()
    for name in PLACEHOLDERS:
        Clip.read(sized(*PLACEHOLDERS[name]))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.sampled_from(["wav 16", "flac", "ogg vorbis", "mp3", "webm"]), min_size=2, max_size=4),
    st.floats(0, 1),
    st.binary(max_size=40),
)
def test_whatever_is_end_to_end_is_read_or_refused(names, where, noise):
    data = b"".join(FILES[name]() for name in names)
    at = int(where * len(data))
    try:
        clip = Clip.read(data[:at] + noise + data[at:])
    except AudioError:
        return
    assert np.isfinite(clip.samples).all()
