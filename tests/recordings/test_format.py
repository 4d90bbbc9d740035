"""The file itself: any log comes back byte for byte; anything else is refused or repaired with a sentence."""

import random
import struct
import zlib
from base64 import b64encode
from pathlib import Path

import numpy as np
import orjson
import pytest
from frames import MS, WALL, b64, full, tone
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rtnb
from rtnb.errors import ArgumentError, RecordingError
from rtnb.protocol.audio_formats import AudioFormats
from rtnb.protocol.dialects.names import FORMAT_EVENTS
from rtnb.protocol.log import Log
from rtnb.protocol.state import SessionState
from rtnb.recordings import format, save
from rtnb.recordings.reader import Reader
from rtnb.recordings.writer import header, pieces


def write(path, log, head=None, **options):
    save(pieces(log), head or {"format": 1, "model": "m"}, path, **options)
    return path


def rows(log):
    return [(e.index, e.direction, e.type, e.t, e.wall, e.turn, e.frame) for e in log]


# Frames of every kind: JSON of this protocol, of none, text that is no JSON, bytes, odd base64.
event = st.one_of(
    st.builds(
        lambda n: orjson.dumps({"type": "input_audio_buffer.append", "audio": b64(n)}),
        st.binary(max_size=400),
    ),
    st.builds(
        lambda n: orjson.dumps({"type": "response.output_audio.delta", "item_id": "i", "delta": b64(n)}),
        st.binary(min_size=100, max_size=400),
    ),
    st.builds(
        lambda n: b'{"type": "conversation.item.create", "item": {"content": [{"audio": "' + n + b'"}]}}',
        st.binary(min_size=190, max_size=200).map(b64encode),
    ),
    st.builds(  # base64 that is not canonical: bits where none may be, or no padding
        lambda n, tail: b'{"type":"input_audio_buffer.append","audio":"' + n[:-4] + tail + b'"}',
        st.binary(min_size=300, max_size=301).map(b64encode),
        st.sampled_from([b"AB==", b"AAB=", b"AA", b"A===", b"AA\\/"]),
    ),
    st.builds(lambda s: orjson.dumps({"type": s, "x": s}), st.text(max_size=20)),
    st.binary(max_size=60),
    st.just(b'{"type":"session.updated","session":{"audio":{"output":{"format":{"type":"audio/pcmu"}}}}}'),
    st.just(b'{"type":"session.updated","session":{"audio":{"input":{"format":{"type":"audio/pcma"}}}}}'),
    st.just(b'{"type":"session.updated","session":[]}'),
    st.just(b'{"type":"response.created","response":{"audio":{"output":{"format":{"type":5}}}}}'),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(event, st.booleans(), st.integers(-5, 10**12)), max_size=25))
@example([])
def test_any_log_comes_back(tmp_path_factory, made):
    record, now = SessionState(), 10**15
    for frame, server, wait in made:
        now += max(wait, 0)
        record.append(frame, "server" if server else "client", mono_ns=now, wall_ns=WALL + now + wait)
    path = write(tmp_path_factory.mktemp("any") / "x.rtnb", record.log)
    recording = rtnb.open(path)
    assert rows(recording.log) == rows(record.log)
    assert recording.log.bytes == record.log.bytes
    assert recording.state.conversation == record.conversation
    assert recording.problem is None
    assert write(path.with_name("y.rtnb"), recording.log.source).read_bytes() == path.read_bytes()


def test_a_whole_session_comes_back_with_all_that_is_folded_from_it(tmp_path):
    record = full().state
    recording = rtnb.open(
        write(tmp_path / "x.rtnb", record.log, header(record, engine="local", billed=False))
    )
    assert rows(recording.log) == rows(record.log)
    assert recording.conversation == record.conversation
    assert (recording.usage.total, recording.limits) == (record.usage, record.limits)
    assert [turn.marks for turn in recording.turns] == [turn.marks for turn in record.turns.all]
    assert recording.model == "gpt-4o-realtime-preview"
    assert (recording.engine, recording.billed) == ("local", False)
    spoken = next(turn for turn in recording.turns if turn.audio is not None)
    assert spoken.text == "It is sunny."
    assert spoken.wait() is spoken
    assert spoken.done
    assert "It is sunny." in recording._repr_mimebundle_()["text/html"]
    assert "66 events" in repr(recording)
    assert "recorded: 'It is sunny.'" in repr(spoken)
    assert "a small stand-in model" in spoken._repr_mimebundle_()["text/html"]


def test_groups_are_asked_for_one_by_one(tmp_path):
    log = Log()
    for number in range(6000):
        log.append(b'{"n":%d}' % number, "server", "x", mono_ns=number * MS, wall_ns=WALL, turn=number // 100)
    path = write(tmp_path / "x.rtnb", log)
    reader = Reader(path)
    assert [chunk.kind for chunk in reader.chunks] == [b"HEAD", b"EVNT", b"EVNT", b"EVNT", b"TAIL"]
    assert len(reader._frames) == 0
    assert reader.log[0].frame == b'{"n":0}'
    assert list(reader._frames) == [0]
    assert reader.log.filter(turn=59)[-1].frame == b'{"n":5999}'
    assert list(reader._frames) == [0, 2]
    path.unlink()
    assert reader.log[1].frame == b'{"n":1}'
    with pytest.raises(RecordingError, match="No such file"):
        reader.log[3000]


def test_sound_is_stored_once_and_small(tmp_path):
    wire = full()
    sound = tone(20_000)
    for start in range(0, len(sound), 4800):
        wire.append(sound[start : start + 4800])
    log = wire.state.log
    path = write(tmp_path / "x.rtnb", log)
    assert path.stat().st_size < 0.5 * len(sound)
    kinds = {chunk.kind for chunk in Reader(path).chunks}
    assert kinds == {b"HEAD", b"SOND", b"EVNT", b"TAIL"}


@pytest.mark.parametrize(
    "session",
    [
        5,
        None,
        {"audio": "pcm16"},
        {"audio": {"input": "pcm16", "output": ["x"]}},
        {"audio": {"input": {"format": "pcm16"}, "output": {"format": ["x"]}}},
        {"audio": {"input": {"format": {"type": ["audio/pcm"]}}, "output": {"format": {"rate": 1}}}},
    ],
)
def test_a_session_that_tells_no_format_changes_none_and_its_file_is_written(tmp_path, session):
    wire = full()
    wire.session(form={"type": "audio/pcmu"})
    wire.append(tone(100))
    for type, field in (("session.updated", "session"), ("response.created", "response")):
        frame = orjson.dumps({"type": type, field: session})
        wire.state.log.append(frame, "server", type, mono_ns=wire.now * MS, wall_ns=WALL)
    recording = rtnb.open(write(tmp_path / "x.rtnb", wire.state.log))
    assert rows(recording.log) == rows(wire.state.log)
    formats = AudioFormats()
    for entry in recording.log.filter([*FORMAT_EVENTS]):
        formats.update(entry.type, entry.frame)
    assert (formats.now("client").type, formats.now("client").rate) == ("audio/pcmu", 8000)
    recording.export(tmp_path / "x.wav")
    recording.scrub(tmp_path / "y.rtnb", voice="all")


@pytest.mark.parametrize("type", ["audio/pcm", "audio/pcmu", "audio/pcma"])
def test_opus_is_marked_and_keeps_lengths(tmp_path, type):
    wire = full()
    wire.session(form={"type": type, "rate": 24000} if type == "audio/pcm" else {"type": type})
    for _ in range(20):
        wire.append(tone(100))
    log = wire.state.log
    recording = rtnb.open(write(tmp_path / "x.rtnb", log, audio="opus"))
    assert recording.header["capture"]["audio"] == "opus"
    assert [len(e.frame) for e in recording.log] == [len(e.frame) for e in log]
    assert [e.type for e in recording.log] == [e.type for e in log]
    sound = recording.turns[1].input.audio.samples
    whole = rtnb.open(write(tmp_path / "y.rtnb", log)).turns[1].input.audio.samples
    assert len(sound) == len(whole)
    assert np.corrcoef(sound, whole)[0, 1] > 0.9
    with pytest.raises(ArgumentError, match='"lossless" or "opus"'):
        write(tmp_path / "z.rtnb", log, audio="mp3")


def test_a_recording_is_not_named_like_another_file(tmp_path):
    for name in ("x.wav", "X.TXT", "x.html"):
        with pytest.raises(ArgumentError, match=r"should end in \.rtnb; got "):
            write(tmp_path / name, full().state.log)
    assert list(tmp_path.iterdir()) == []
    assert write(tmp_path / "v1.2", full().state.log).exists()


def test_by_its_description_alone(tmp_path):
    """Reads a file by what the format's page says, and by nothing of rtnb."""
    import io
    import lzma

    import av
    import soundfile

    log = full().state.log
    data = write(tmp_path / "x.rtnb", log).read_bytes()
    assert data[:8] == b"RTNB\x01\r\n\0"
    at, lanes, frames = 8, {}, []
    unpack = {"raw": bytes, "lzma": lzma.decompress}
    while at < len(data):
        kind, length, crc = struct.unpack_from("<4sII", data, at)
        payload = data[at + 12 : at + 12 + length]
        assert zlib.crc32(data[at : at + 8] + payload) == crc
        at += 12 + length
        if kind in (b"HEAD", b"TAIL"):
            tail = orjson.loads(payload)
            continue
        size = int.from_bytes(payload[:4], "little")
        head, rest = orjson.loads(payload[4 : 4 + size]), payload[4 + size :]
        if kind == b"SOND":
            if head["codec"] == "flac":
                sound = soundfile.read(io.BytesIO(rest), dtype="int16")[0].astype("<i2").tobytes()
                sound += bytes(head["rest"])
            elif head["codec"] == "tta":
                with av.open(io.BytesIO(rest)) as file:
                    sound = b"".join(frame.to_ndarray().tobytes() for frame in file.decode(audio=0))
                sound += bytes(head["rest"])
            else:
                sound = unpack[head["codec"]](rest)
            assert len(lanes.setdefault(head["lane"], b"")) == head["offset"]
            lanes[head["lane"]] += sound
            continue
        columns = unpack[head["columns"]["codec"]](rest[: head["columns"]["stored"]])
        stored = unpack[head["frames"]["codec"]](rest[head["columns"]["stored"] :])
        n, m, d = head["events"], head["cuts"], head["walls"]
        form = struct.unpack(f"<{n}q{n}H{n}i{n}I{m}I{m}I{m}B{m}I{d}I{d}q", columns)
        kinds, lengths = form[n : 2 * n], form[3 * n : 4 * n]
        cut_rows, cuts, of, sizes = (form[4 * n + i * m : 4 * n + (i + 1) * m] for i in range(4))
        places, start = {int(k): v for k, v in head["lanes"].items()}, 0
        for row in range(n):
            frame = stored[start : start + lengths[row]]
            start += lengths[row]
            if row in cut_rows:
                i = cut_rows.index(row)
                sound = lanes[of[i]][places[of[i]] : places[of[i]] + sizes[i]]
                places[of[i]] += sizes[i]
                frame = frame[: cuts[i]] + b64encode(sound) + frame[cuts[i] :]
            side = "server" if kinds[row] & 0x8000 else "client"
            frames.append((side, head["types"][kinds[row] & 0x7FFF], frame))
    assert frames == [(e.direction, e.type, e.frame) for e in log]
    assert tail["events"] == len(log)


# What is not whole.


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    log = Log()
    folder = tmp_path_factory.mktemp("good")
    for entry in full().state.log:
        log.append(entry.frame, entry.direction, entry.type, mono_ns=round(entry.t * 1e9), wall_ns=WALL)
    many = [log.columns(row, row + 10) for row in range(0, len(log), 10)]
    save(many, {"format": 1}, folder / "x.rtnb")
    return (folder / "x.rtnb").read_bytes(), log


def said(error, path):
    assert path.name in str(error)
    assert "\n" not in str(error)


def look(path):
    """Look at all of a file, both as it is and repaired; return what came, and let only our errors be."""
    found = []
    for repair in (False, True):
        try:
            recording = rtnb.open(path, repair=repair)
            found.append([entry.frame for entry in recording.log])
            repr(recording)
        except RecordingError as error:
            said(error, path)
            found.append(None)
        else:
            if found[-1] is not None and recording.problem is None:
                found[-1].append("whole")
    return found


@pytest.mark.slow
def test_thousands_of_cut_files(good, tmp_path):
    data, log = good
    frames = [entry.frame for entry in log]
    for length in sorted({*range(0, len(data), 7), *range(40), len(data) - 1}):
        path = tmp_path / "cut.rtnb"
        path.write_bytes(data[:length])
        for found in look(path):
            assert found is None or found == frames[: len(found)]
            assert found is None or "whole" not in found


@pytest.mark.slow
def test_thousands_of_flipped_bits(good, tmp_path):
    """A damaged file is refused, or gives the right frames and says what is lacking; never other frames."""
    data, log = good
    frames = [entry.frame for entry in log]
    chance = random.Random(5)
    for _ in range(1500):
        spoilt = bytearray(data)
        at = chance.randrange(len(data))
        spoilt[at] ^= 1 << chance.randrange(8)
        path = tmp_path / "flipped.rtnb"
        path.write_bytes(spoilt)
        as_is, repaired = look(path)
        if as_is is not None:
            assert "whole" not in as_is
            assert as_is == frames[: len(as_is)]
        if repaired is not None:
            assert "whole" not in repaired
            assert len(repaired) >= len(frames) - 10
            known = {(len(frame), frame[:30]) for frame in frames}  # sound that was lost is silence
            assert all((len(frame), frame[:30]) in known for frame in repaired)


def test_random_and_spliced_bytes(good, tmp_path):
    data, _ = good
    chance = random.Random(7)
    for _ in range(300):
        a, b = sorted(chance.randrange(len(data)) for _ in range(2))
        path = tmp_path / "odd.rtnb"
        path.write_bytes(
            chance.choice(
                [
                    data[:a] + data[b:],
                    data[:b] + data[a:],
                    data[:a] + chance.randbytes(b - a) + data[b:],
                    format.MAGIC + chance.randbytes(a % 500),
                ]
            )
        )
        look(path)


@pytest.mark.slow
def test_columns_that_lie_are_refused(good, tmp_path):
    """Chunks with a right checksum and wrong contents, as a hostile writer would make them."""
    data, _ = good
    chance = random.Random(9)
    parts, at = [], 8
    while at < len(data):
        kind, length, _ = struct.unpack_from("<4sII", data, at)
        parts.append((kind, data[at + 12 : at + 12 + length]))
        at += 12 + length
    for _ in range(800):
        number = chance.randrange(len(parts))
        kind, payload = parts[number]
        changed = bytearray(payload)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        made = [*parts[:number], (kind, bytes(changed)), *parts[number + 1 :]]
        path = tmp_path / "lie.rtnb"
        path.write_bytes(format.MAGIC + b"".join(format.chunk(*part) for part in made))
        for repair in (False, True):
            try:
                recording = rtnb.open(path, repair=repair)
                list(recording.log)
                list(recording.turns)
            except RecordingError as error:
                said(error, path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"RIFF....WAVE", "is not an rtnb recording: it starts with b'RIFF'"),
        (b"RTNB", "was cut after 4 bytes"),
        (b"RTNB\x02\r\n\0", "has format 2, and this rtnb reads formats up to 1: run  pip install -U rtnb"),
        (format.MAGIC, "was cut before its first event"),
    ],
)
def test_what_is_no_recording(tmp_path, data, said):
    path = tmp_path / "x.rtnb"
    path.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        rtnb.open(path)
    assert said in str(caught.value)


def test_a_name_that_no_file_can_have():
    for name in ("a\0b", Path("a\0b.jsonl"), b"a\0b"):
        with pytest.raises(
            (RecordingError, ArgumentError),
            match=r"contains a NUL character|got bytes: these bytes are not a path",
        ):
            rtnb.open(name)


def test_no_file_and_no_room(tmp_path):
    with pytest.raises(RecordingError, match="No such file"):
        rtnb.open(tmp_path / "none.rtnb")
    with pytest.raises(RecordingError, match="cannot be written"):
        write(tmp_path / "no" / "x.rtnb", Log())
    assert list(tmp_path.iterdir()) == []


def test_a_cut_costs_seconds_and_not_the_session(tmp_path):
    record, noise = SessionState(), np.random.default_rng(1)
    for number in range(300):  # a minute
        sound = b64(noise.integers(-9000, 9000, 4800, "<i2").tobytes())
        frame = orjson.dumps({"type": "input_audio_buffer.append", "audio": sound})
        record.append(frame, "client", mono_ns=number, wall_ns=number)
    path = write(tmp_path / "x.rtnb", record.log)
    data = path.read_bytes()
    for part in (0.25, 0.5, 0.75):
        path.write_bytes(data[: int(len(data) * part)])
        assert len(rtnb.open(path).log) >= 300 * part - 50


def test_a_file_from_later_with_more_in_it_is_read(good, tmp_path):
    data, log = good
    path = tmp_path / "x.rtnb"
    path.write_bytes(data + format.chunk(b"MORE", b"something new"))
    recording = rtnb.open(path)
    assert len(recording.log) == len(log)
    assert recording.problem is None


def test_keys_are_made_unreadable_and_noted(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-no-known-shape")
    wire = full()
    keys = ["sk-proj-abcdefgh1234567890", "ek_68af296e8e408191a1120ab6383263c2", "a-key-of-no-known-shape"]
    for key in keys:
        wire.server("error", error={"message": f"Incorrect API key provided: {key}", "event_id": None})
        wire.server("session.updated", session={"client_secret": {"value": key}})
        wire.text(f"item_{key[:4]}", f"wss://host/v1?api-key={key}")
    head = header(wire.state, where=f"a server at wss://host?api-key={keys[0]}")
    data = write(tmp_path / "x.rtnb", wire.state.log, head).read_bytes()
    recording = rtnb.open(tmp_path / "x.rtnb")
    text = b"".join(entry.frame for entry in recording.log) + repr(recording).encode() + data
    text += orjson.dumps(dict(recording.header)) + recording._repr_mimebundle_()["text/html"].encode()
    assert not any(key.encode() in text for key in keys)
    assert recording.header["redacted"] >= 9
    assert [len(e.frame) for e in recording.log] == [len(e.frame) for e in wire.state.log]
    assert any(key.encode() in entry.frame for entry in wire.state.log for key in keys)


@pytest.mark.parametrize("size", [4096, 4097, 48_000, 300_001])
@pytest.mark.parametrize("pack", ["_flac", "_tta"])
def test_either_packing_gives_the_samples_back(monkeypatch, size, pack):
    """Whichever is smaller is kept, so each is made the smaller once."""

    other = {"_flac": "_tta", "_tta": "_flac"}[pack]
    monkeypatch.setattr(format, other, lambda *given: bytes(10 * size))
    rng = np.random.default_rng(size)
    for data in (tone(size // 48 + 1)[:size], (rng.normal(size=size) * 5).astype("<i2").tobytes()[:size]):
        payload = format.packed(
            3, format.Lane("server", "audio/pcm", 24_000), 7, data, compress=True, opus=False
        )
        head, back = format.unpacked(payload)
        assert back == data
        assert head["codec"] == pack[1:]
        assert len(payload) < len(data)
        assert (
            format.packed(3, format.Lane("server", "audio/pcm", 24_000), 7, data, compress=True, opus=False)
            == payload
        )
        chance = random.Random(size)
        for _ in range(30):
            spoilt = bytearray(payload)
            spoilt[chance.randrange(100, len(payload))] ^= 1 << chance.randrange(8)
            try:
                assert len(format.unpacked(bytes(spoilt))[1]) == size
            except format.Damaged:
                continue
