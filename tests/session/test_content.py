from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from rtnb.audio import Clip
from rtnb.errors import ArgumentError, AudioError
from rtnb.protocol import models
from rtnb.session.content import Picture, parse_content

SEED = models.find(models.SEED)
NEWER = models.find("gpt-realtime-2.1")
STRANGER = models.find("my-own-model")

TONE = Clip.tone(440, 0.2)
PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Image:
    """What is looked at in a Pillow image."""

    __array_interface__ = None

    def getbands(self):
        return ("R",)

    def save(self, buffer, kind):
        assert kind == "PNG"
        buffer.write(PNG)


class ArrayImage(Image):
    """Newer Pillow images are arrays too."""

    def __array__(self, *args, **kwargs):
        raise AssertionError("a picture is no sound")


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "tone.wav"
    TONE.write(path)
    return path


def test_text():
    assert parse_content(["Hello"], SEED) == ["Hello"]
    assert parse_content(["a", ["b", ("c", ["d"])]], SEED) == ["a", "b", "c", "d"]
    assert parse_content(["/etc/hostname"], SEED) == ["/etc/hostname"]


def test_sound(wav):
    array = TONE.samples
    given = [
        TONE,
        wav,
        wav.read_bytes(),
        bytearray(wav.read_bytes()),
        array,
        (array, 12_000),
        array.tolist and array * 1,
    ]
    made = parse_content(given, SEED)
    assert made[0] is TONE
    assert all(isinstance(one, Clip) for one in made)
    assert [one.rate for one in made] == [24_000] * 5 + [12_000, 24_000]
    assert {len(one) for one in made} == {4800}


def test_stereo_and_lists_in_order(wav):
    stereo = np.stack([TONE.samples, TONE.samples])
    made = parse_content(["What is this?", [stereo, "And this?"], wav], SEED)
    assert [type(one).__name__ for one in made] == ["str", "Clip", "str", "Clip"]
    assert len(made[1]) == 4800


def test_the_name_of_a_file_is_no_text(wav, monkeypatch):
    monkeypatch.chdir(wav.parent)
    with pytest.raises(ArgumentError, match="is the name of an existing file") as raised:
        parse_content([wav.name], SEED)
    assert f"pass pathlib.Path({wav.name!r})" in str(raised.value)
    for text in ("nowhere.wav", "long " * 2000 + ".wav", "a\0.wav"):
        assert parse_content([text], SEED) == [text]


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg"])
def test_pictures(tmp_path, suffix):
    path = tmp_path / f"p{suffix}"
    path.write_bytes(PNG)
    url = parse_content([PNG], NEWER)[0].url
    assert url.startswith("data:image/png;base64,")
    assert b64decode(url.partition(",")[2]) == PNG
    for thing in (path, Image(), ArrayImage(), Picture(url), memoryview(PNG)):
        assert parse_content([thing], NEWER) == [Picture(url)]
    assert parse_content([b"\xff\xd8\xff\xe0rest"], NEWER)[0].url.startswith("data:image/jpeg;base64,")


def test_pictures_go_only_where_they_can():
    with pytest.raises(ArgumentError, match="gpt-4o-realtime-preview accepts text and audio but not images"):
        parse_content(["See:", PNG], SEED)
    assert isinstance(parse_content([PNG], STRANGER)[0], Picture)


@pytest.mark.parametrize(
    ("things", "sentence"),
    [
        ([], "nothing to send"),
        ([[]], "nothing to send"),
        ([[], ()], "nothing to send"),
        ([""], "the text to send is empty"),
        (["  \n"], "the text to send is empty"),
        ([Clip.silence(0)], "the clip to send is empty"),
        ([np.zeros(0, np.float32)], "the clip to send is empty"),
        ([None], "got NoneType"),
        ([5], "got int"),
        ([0.5, 0.25], "got float"),
        ([{"text": "x"}], "got dict"),
        ([object()], "send: expected a text, a Clip, a path (pathlib.Path), an array, a picture, or a list"),
        ([Path("nowhere.png")], "'nowhere.png' cannot be read: No such file"),
    ],
    ids=range(13),
)
def test_what_cannot_be_sent(things, sentence):
    with pytest.raises(ArgumentError) as raised:
        parse_content(things, NEWER)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    "thing",
    [
        b"",
        b"no sound",
        Path("nowhere.wav"),
        np.float32(0.5),
        np.array([np.nan]),
        np.array(["a"]),
        (np.zeros(10, np.float32), "fast"),
        (np.zeros(10, np.float32), 0),
    ],
    ids=range(8),
)
def test_sound_that_cannot_be_read(thing):
    with pytest.raises(AudioError):
        parse_content([thing], SEED)


def test_a_directory_named_like_a_picture(tmp_path):
    (tmp_path / "p.png").mkdir()
    with pytest.raises(ArgumentError, match="cannot be read"):
        parse_content([tmp_path / "p.png"], NEWER)


def test_a_file_named_like_a_picture_that_is_none(tmp_path):
    (tmp_path / "p.png").write_bytes(b"GIF89a")
    with pytest.raises(ArgumentError, match=r"p\.png is not a PNG or JPEG"):
        parse_content([tmp_path / "p.png"], NEWER)


def test_what_holds_a_clip_is_its_clip() -> None:
    class Holder:
        def __clip__(self) -> Clip:
            return Clip.tone(300, 0.5)

    assert parse_content([Holder()], models.find(models.SEED)) == [Clip.tone(300, 0.5)]


@pytest.mark.parametrize("rate", [16_000, np.int64(16_000), 16_000.0])
def test_a_pair_is_sound_in_either_order(rate):
    samples = np.full(1600, 0.25, np.float32)
    for pair in ((samples, rate), (rate, samples), [rate, samples], (samples.tolist(), rate)):
        [clip] = parse_content([pair], SEED)
        assert clip == Clip(samples, 16_000)
    with pytest.raises(AudioError, match="a Clip has its own rate"):
        parse_content([(Clip(samples, 16_000), rate)], SEED)
    first, text = parse_content([(Clip(samples, 16_000), "What is this?")], SEED)
    assert (first.rate, text) == (16_000, "What is this?")
