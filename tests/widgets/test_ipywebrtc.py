"""Widgets of ipywebrtc without a page; with one they are in tests/browser/test_audio_cell.py."""

import ipywebrtc
import pytest

from rtnb import ArgumentError, AudioError, Clip, MicrophoneError
from rtnb.widgets import ipywebrtc as webrtc

TONE = Clip.tone(440, 1.0)


def recorder(data=b""):
    widget = ipywebrtc.AudioRecorder(stream=ipywebrtc.CameraStream())
    widget.audio.value = data
    return widget


def test_what_a_recorder_holds_becomes_a_clip():
    held = recorder(TONE.to_bytes("webm"))
    clip = webrtc.clip_from(held)
    assert clip.seconds == pytest.approx(1.0, abs=0.05)
    assert dict(clip.info) == {"source": "ipywebrtc", "widget": "AudioRecorder"}
    assert Clip.of(held) == clip
    assert webrtc.clip_from(held.audio) == clip
    held.audio.value = memoryview(TONE.to_bytes("webm"))  # as it comes from the page
    assert webrtc.clip_from(held) == clip


def test_a_recorder_that_holds_nothing():
    with pytest.raises(AudioError, match=r"recorded nothing yet.*'webm' or 'mp4'"):
        webrtc.clip_from(recorder())


def test_a_recorder_that_holds_no_audio():
    with pytest.raises(AudioError, match="not a sound file"):
        webrtc.clip_from(recorder(b"nothing of the kind"))


def test_a_video_has_audio_too():
    widget = ipywebrtc.VideoRecorder(stream=ipywebrtc.CameraStream())
    widget.video.value = TONE.to_bytes("webm")
    assert webrtc.clip_from(widget).info["widget"] == "VideoRecorder"


def test_a_stream_requires_seconds():
    with pytest.raises(ArgumentError, match="seconds=5"):
        webrtc.clip_from(ipywebrtc.CameraStream())


def test_other_things_are_refused():
    with pytest.raises(ArgumentError, match="got int"):
        webrtc.clip_from(5)
    with pytest.raises(ArgumentError, match="expects an ipywebrtc stream, got str"):
        webrtc.record("stream")


def test_a_page_that_delivers_nothing():
    recording = webrtc.record(ipywebrtc.CameraStream())
    assert recording._recorder.recording
    with pytest.raises(MicrophoneError, match="delivered no recording within 0 s"):
        recording.stop(timeout=0)
    assert not recording._recorder.recording
    recording._recorder.audio.value = TONE.to_bytes("webm")
    assert recording.stop().seconds == pytest.approx(1.0, abs=0.05)
