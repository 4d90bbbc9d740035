"""Where a clip comes from stands in the tags of its file, and nothing else does."""

import io
import json

import av
import pytest
import soundfile

from rtnb import Clip
from rtnb.audio.tags import tags

INFO = {
    "source": "assistant",
    "model": "gpt-realtime",
    "voice": "cedar",
    "prompt": "Where is my order?",
    "text": "It left on Tuesday — " + "really " * 60,
    "recorded": "2026-05-04T10:20:30Z",
    "recording_sha256": "ab" * 32,
    "password": "hunter2",
    "engine": "",
}


def read(path):
    with av.open(path) as file:
        found = {**file.metadata, **file.streams[0].metadata}
    return {name.lower(): text for name, text in found.items()}


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "webm"])
def test_every_format_has_them(tmp_path, suffix):
    clip = Clip.tone(440, 0.2).with_info(**INFO)
    found = read(clip.write(tmp_path / f"x.{suffix}"))
    assert found["title"].startswith("It left on Tuesday — really")
    assert len(found["title"]) <= 80
    assert found["date"] == "2026-05-04"
    comment = json.loads(found["comment"])
    assert comment["model"] == "gpt-realtime"
    assert comment["prompt"] == "Where is my order?"
    assert comment["recording_sha256"] == "ab" * 32
    assert set(comment) == set(INFO) - {"password", "engine"}
    assert "rtnb" in (found.get("software") or found.get("encoder"))
    assert "hunter2" not in str(found)
    assert Clip.read(tmp_path / f"x.{suffix}").seconds == pytest.approx(0.2, abs=0.05)


def test_no_key_is_in_them(tmp_path):
    key = "sk-proj-" + "a1B2" * 12
    clip = Clip.tone(440, 0.1).with_info(source="assistant", prompt=f"my key is {key}", text=key)
    for suffix in ("wav", "ogg"):
        assert key.encode() not in clip.write(tmp_path / f"x.{suffix}").read_bytes()


def test_a_clip_of_unknown_origin_has_none(tmp_path):
    assert tags({"note": "cut", "device": "Microphone 1"}) == {}
    clip = Clip.tone(440, 0.1)
    assert clip.write(tmp_path / "x.wav").read_bytes() == clip.to_bytes("wav")
    assert soundfile.SoundFile(io.BytesIO(clip.to_bytes("wav"))).title == ""
