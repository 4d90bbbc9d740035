"""The file itself: any log comes back byte for byte; anything else is refused or repaired with a sentence."""

import io
import json
import random
import re
import shutil
import subprocess
import sys
import zipfile
from base64 import b64encode
from pathlib import Path

import numpy as np
import orjson
import pytest
import soundfile
from frames import MS, WALL, b64, full, tone
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rtnb
from rtnb.audio.codecs import pcm16, ulaw
from rtnb.errors import ArgumentError, RecordingError
from rtnb.protocol.audio_formats import AudioFormats
from rtnb.protocol.dialects.names import FORMAT_EVENTS
from rtnb.protocol.log import Log
from rtnb.protocol.state import SessionState
from rtnb.recordings import save, writer
from rtnb.recordings.manifest import manifest
from rtnb.recordings.reader import Reader
from rtnb.recordings.verify import verify
from rtnb.recordings.writer import media_of, pieces


def write(path, log, about=None, **options):
    save(pieces(log), about or {"format": 1, "model": "m"}, path, **options)
    return path


def rows(log):
    return [(e.index, e.direction, e.type, e.t, e.wall, e.turn, e.frame) for e in log]


def rezipped(path, change=lambda name, data: data):
    """Zip the files of a recording again, each as ``change`` returns it; None leaves it out."""
    with zipfile.ZipFile(path) as source:
        files = [(name, change(name, source.read(name))) for name in source.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files:
            if data is not None:
                out.writestr(name, data)
    return path


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
@given(
    st.lists(st.tuples(event, st.booleans(), st.integers(-5, 10**12)), max_size=25),
    st.sampled_from([60, 1 << 18]),
)
@example([], 60)
def test_any_log_comes_back(tmp_path_factory, made, block):
    record, now = SessionState(), 10**15
    for frame, server, wait in made:
        now += max(wait, 0)
        record.append(frame, "server" if server else "client", mono_ns=now, wall_ns=WALL + now + wait)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_BLOCK", block)
        path = write(tmp_path_factory.mktemp("any") / "x.rtnb", record.log)
        recording = rtnb.open(path)
        assert rows(recording.log) == rows(record.log)
        assert recording.log.bytes == record.log.bytes
        assert recording.state.conversation == record.conversation
        assert recording.problem is None
        assert write(path.with_name("y.rtnb"), recording.log.source).read_bytes() == path.read_bytes()
    assert verify(path).faults == []
    assert rows(rtnb.open(rezipped(path)).log) == rows(record.log)  # line by line: the columns are left aside
    shutil.unpack_archive(path, path.with_name("folder"), "zip")
    assert rows(rtnb.open(path.with_name("folder")).log) == rows(record.log)


def test_a_whole_session_comes_back_with_all_that_is_folded_from_it(tmp_path):
    record = full().state
    recording = rtnb.open(
        write(tmp_path / "x.rtnb", record.log, manifest(record, engine="local", billed=False))
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
    assert "a small stand-in model" in recording.turns[0]._repr_mimebundle_()["text/html"]  # once a session


def test_blocks_are_read_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_BLOCK", 150_000)
    log = Log()
    for number in range(6000):
        now = number * MS
        log.append(b'{"n":%d}' % number, "server", "x", mono_ns=now, wall_ns=WALL + now, turn=number // 100)
    path = write(tmp_path / "x.rtnb", log)
    reader = Reader(path)
    held = reader._events._frames
    last = len(reader._events) - 1
    assert last >= 2
    assert len(held) == 0
    assert reader.log[0].frame == b'{"n":0}'
    assert list(held) == [0]
    assert reader.log.filter(turn=59)[-1].frame == b'{"n":5999}'
    assert list(held) == [0, last]
    path.unlink()
    assert reader.log[1].frame == b'{"n":1}'
    with pytest.raises(RecordingError, match="No such file"):
        reader.log[3000]


def test_audio_is_stored_once_and_small(tmp_path):
    wire = full()
    sound = tone(20_000)
    for start in range(0, len(sound), 4800):
        wire.append(sound[start : start + 4800])
    path = write(tmp_path / "x.rtnb", wire.state.log)
    assert path.stat().st_size < 0.5 * len(sound)


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
def test_lossy_audio_is_marked_and_keeps_lengths(tmp_path, type):
    wire = full()
    wire.session(form={"type": type, "rate": 24000} if type == "audio/pcm" else {"type": type})
    for _ in range(20):
        wire.append(tone(100))
    log = wire.state.log
    recording = rtnb.open(write(tmp_path / "x.rtnb", log, lossy=True))
    assert recording.manifest["lossy"] is True
    assert recording.manifest["frames_sha256"] is None
    assert [len(e.frame) for e in recording.log] == [len(e.frame) for e in log]
    assert [e.type for e in recording.log] == [e.type for e in log]
    assert [e.frame for e in recording.log] == [e.frame for e in rtnb.open(recording.path).log[::-1]][::-1]
    sound = recording.turns[1].input.audio.samples
    whole = rtnb.open(write(tmp_path / "y.rtnb", log)).turns[1].input.audio.samples
    assert len(sound) == len(whole)
    assert np.corrcoef(sound, whole)[0, 1] > 0.9
    with pytest.raises(ArgumentError, match="True or False"):
        write(tmp_path / "z.rtnb", log, lossy="mp3")


def test_a_recording_is_not_named_like_another_file(tmp_path):
    for name in ("x.wav", "X.TXT", "x.html"):
        with pytest.raises(ArgumentError, match=r"should end in \.rtnb; got "):
            write(tmp_path / name, full().state.log)
    assert list(tmp_path.iterdir()) == []
    assert write(tmp_path / "v1.2", full().state.log).exists()


# Without rtnb.


def spoken(form=None):
    """Return a log with some seconds of audio in both directions."""
    wire = full()
    if form is not None:
        wire.session(form=form)
    for number in range(30):
        wire.append(tone(100, 200 + 10 * number))
    return wire.state.log


def test_the_python_in_the_readme_restores_a_frame(tmp_path):
    log = spoken()
    shutil.unpack_archive(write(tmp_path / "x.rtnb", log), tmp_path, "zip")
    readme = (tmp_path / "README.txt").read_text()
    code = "\n".join(line[2:] for line in readme[readme.index("  import base64") :].splitlines())
    code += "\nimport sys; sys.stdout.buffer.write(frame)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    first = next(e.frame for e in log if e.direction == "server" and log.sound(e.index) is not None)
    assert done.stdout == first


@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("unzip")), reason="needs jq and unzip")
@pytest.mark.parametrize("form", [None, {"type": "audio/pcmu"}, {"type": "audio/pcm", "rate": 8000}])
def test_by_unzip_jq_and_soundfile_alone(tmp_path, form):
    log = spoken(form)
    path = write(tmp_path / "x.rtnb", log)
    subprocess.run(["unzip", "-q", path, "-d", tmp_path], check=True)
    tracks = json.loads((tmp_path / "manifest.json").read_text())["tracks"]
    audio = {}
    for track in tracks:
        samples, rate = soundfile.read(tmp_path / track["file"], dtype="int16")
        assert rate == track["rate"]
        raw = samples.tobytes() if track["raw"] is None else (tmp_path / track["raw"]).read_bytes()
        assert len(raw) == track["bytes"]
        assert len(samples) == len(raw) // (2 if track["codec"] == "audio/pcm" else 1)
        audio[track["id"]] = raw
    query = "[.direction, .event.type, .turn, .audio.track, .audio.start, .audio.bytes, .audio.at]"
    told = subprocess.run(
        ["jq", "-c", query, tmp_path / "events.jsonl"], capture_output=True, check=True
    ).stdout.splitlines()
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert len(told) == len(lines) == len(log)
    for entry, row, line in zip(log, map(json.loads, told), lines, strict=True):
        direction, type, turn, track, start, size, at = row
        assert (direction, type) == (entry.direction, entry.type)
        assert turn == (None if entry.turn < 0 else entry.turn)
        frame = line[line.index(b'"event":') + 8 : -1]
        if at is not None:
            frame = frame[:at] + b64encode(audio[track][start : start + size]) + frame[at:]
        assert frame == entry.frame


def test_any_zip_program_and_any_json_writer_may_have_written_it(tmp_path):
    log = spoken()

    def shuffled(name, data):
        if name.startswith("columns/"):
            return None
        if name != "events.jsonl":
            return data
        lines = map(json.loads, data.splitlines())
        return "".join(f"{json.dumps(dict(reversed(line.items())))}\n" for line in lines).encode()

    path = rezipped(write(tmp_path / "x.rtnb", log), shuffled)
    recording = rtnb.open(path)
    told = [(e.direction, e.type, e.turn, e.data, recording.log.source.sound(e.index)) for e in recording.log]
    assert [one[:3] for one in told] == [(e.direction, e.type, e.turn) for e in log]
    assert [one[4] for one in told] == [log.sound(e.index) for e in log]
    texts = [e for e in log if log.sound(e.index) is None]
    assert [one[3] for one in told if one[4] is None] == [e.data for e in texts]
    assert any("differs from what was written" in fault for fault in recording.verify().faults)


# Audio that FLAC does not restore, or that is in no frame.


def test_what_flac_does_not_restore_is_stored_raw_beside_it(tmp_path):
    record = SessionState()
    parts = [tone(101, 300)[: 4801 - 2 * (number % 2)] for number in range(6)]
    for number, part in enumerate(parts):  # pieces that end within a sample
        frame = orjson.dumps({"type": "input_audio_buffer.append", "audio": b64(part)})
        record.append(frame, "client", mono_ns=number * MS, wall_ns=WALL + number * MS)
    path = write(tmp_path / "x.rtnb", record.log)
    assert rows(rtnb.open(path).log) == rows(record.log)
    [track] = rtnb.open(path).manifest["tracks"]
    assert (track["file"], track["raw"]) == ("audio/input.flac", "audio/input.pcm")
    with zipfile.ZipFile(path) as file:
        assert file.read(track["raw"]) == b"".join(parts)
        samples, _ = soundfile.read(io.BytesIO(file.read(track["file"])), dtype="int16")
    whole = [np.frombuffer(part[: len(part) // 2 * 2], "<i2") for part in parts]
    assert np.array_equal(samples, np.concatenate(whole))


@pytest.mark.parametrize("spoil", [lambda text: text[:-3] + "B==", lambda text: text.replace("/", "\\/")])
def test_unusual_base64_stays_in_its_frame_and_is_in_the_track(tmp_path, spoil):
    record, parts = SessionState(), [tone(100, 300)[:4798], tone(100, 500), tone(100, 700)[:4798]]
    for number, part in enumerate(parts):
        text = b64(part) if number == 1 else spoil(b64(part))
        frame = b'{"type":"input_audio_buffer.append","audio":"%s"}' % text.encode()
        record.append(frame, "client", mono_ns=number * MS, wall_ns=WALL + number * MS)
    path = write(tmp_path / "x.rtnb", record.log)
    assert rows(rtnb.open(path).log) == rows(record.log)
    assert rows(rtnb.open(rezipped(path)).log) == rows(record.log)
    received = b"".join(bytes(piece.audio) for piece in record.tracks["input"])
    with zipfile.ZipFile(path) as file:
        samples, _ = soundfile.read(io.BytesIO(file.read("audio/input.flac")), dtype="int16")
    assert samples.tobytes() == received
    assert len(received) > 14_000


def test_audio_that_came_beside_the_frames_is_kept(tmp_path):
    wire = full()
    for number in range(5):
        wire.now += 20
        wire.state.append_media("input", tone(50)[:400], ulaw, mono_ns=wire.now * MS)
        wire.text(f"item_m{number}", "And then?")
        wire.state.append_media("output", tone(50, 300 + number), pcm16, mono_ns=wire.now * MS)
    state = wire.state
    path = write(tmp_path / "x.rtnb", state.log, manifest(state), media=media_of(state))
    for made in (path, rezipped(shutil.copy(path, tmp_path / "y.rtnb"))):
        recording = rtnb.open(made)
        assert rows(recording.log) == rows(state.log)
        assert recording.conversation == state.conversation
        for side, track in state.tracks.items():
            read = recording.state.tracks[side]
            assert [(p.t, bytes(p.audio), p.framed, p.codec.type) for p in read] == [
                (p.t, bytes(p.audio), p.framed, p.codec.type) for p in track
            ]
    beside = [track for track in recording.manifest["tracks"] if not track["in_frames"]]
    assert [(track["side"], track["codec"]) for track in beside] == [
        ("input", "audio/pcmu"),
        ("output", "audio/pcm"),
    ]
    recording.scrub(tmp_path / "z.rtnb", voice="all")
    silent = rtnb.open(tmp_path / "z.rtnb").state.tracks["output"]
    assert all(not any(bytes(piece.audio)) for piece in silent)


# What is not whole.


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    log = Log()
    folder = tmp_path_factory.mktemp("good")
    for entry in full().state.log:
        log.append(entry.frame, entry.direction, entry.type, mono_ns=round(entry.t * 1e9), wall_ns=WALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_BLOCK", 2000)
        save(pieces(log), {"format": 1}, folder / "x.rtnb")
    return (folder / "x.rtnb").read_bytes(), log


def look(path):
    """Look at all of a file, as it is and repaired; return the frames of both, and what is wrong."""
    found = []
    for repair in (False, True):
        try:
            recording = rtnb.open(path, repair=repair)
            found.append(([entry.frame for entry in recording.log], recording.problem))
            repr(recording)
            list(recording.turns)
        except RecordingError as error:
            found.append((None, str(error)))
    assert all(frames is not None or (path.name in text and "\n" not in text) for frames, text in found)
    return found


def without_audio(frame):
    """Return what of a frame is intact where its audio is silence."""
    return len(frame), frame[:30]


@pytest.mark.slow
def test_thousands_of_cut_files(good, tmp_path):
    """Of a file that was cut, the events before the cut are read, with silence for audio after it."""
    data, log = good
    frames = [entry.frame for entry in log]
    path, most = tmp_path / "cut.rtnb", 0
    for length in sorted({*range(0, len(data), 7), *range(40), len(data) - 1}):
        path.write_bytes(data[:length])
        for found, problem in look(path):
            assert problem is not None
            if found is not None:
                assert [*map(without_audio, found)] == [*map(without_audio, frames[: len(found)])]
                assert len(found) >= most
                most = len(found)
    assert found == frames


@pytest.mark.slow
def test_thousands_of_flipped_bits(good, tmp_path):
    """A damaged file is refused, or gives the right frames; repaired, it loses no more than one block."""
    data, log = good
    frames = [entry.frame for entry in log]
    lost = len(frames) // 2
    chance = random.Random(5)
    path, refused = tmp_path / "flipped.rtnb", 0
    for _ in range(700):
        spoilt = bytearray(data)
        at = chance.randrange(len(data))
        spoilt[at] ^= 1 << chance.randrange(8)
        path.write_bytes(spoilt)
        (as_is, _), (repaired, problem) = look(path)
        refused += as_is is None
        assert as_is is None or as_is == frames
        known = [*map(without_audio, frames)]
        assert repaired is not None, (at, problem)
        assert len(repaired) >= lost
        assert repaired == frames or problem is not None
        left = iter(known)
        assert all(without_audio(frame) in left for frame in repaired)  # in order
        assert as_is != frames or repaired == frames
        if repaired != frames:
            assert verify(path).faults
    assert refused > 200


def test_random_and_spliced_bytes(good, tmp_path):
    data, _ = good
    chance = random.Random(7)
    path = tmp_path / "odd.rtnb"
    for _ in range(300):
        a, b = sorted(chance.randrange(len(data)) for _ in range(2))
        path.write_bytes(
            chance.choice(
                [
                    data[:a] + data[b:],
                    data[:b] + data[a:],
                    data[:a] + chance.randbytes(b - a) + data[b:],
                    b"PK\3\4" + chance.randbytes(a % 500),
                ]
            )
        )
        look(path)


@pytest.mark.slow
def test_files_that_lie_are_refused_or_reported(good, tmp_path):
    """Members with a right checksum and wrong contents, as a hostile writer would make them."""
    data, _ = good
    chance = random.Random(9)
    path = tmp_path / "lie.rtnb"
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    for _ in range(400):
        chosen = chance.choice([name for name in names if name != "README.txt"])

        def changed(name, content, chosen=chosen):
            if name != chosen:
                return content
            content = bytearray(content)
            for _ in range(chance.randrange(1, 4)):
                content[chance.randrange(len(content))] = chance.randrange(256)
            return bytes(content)

        path.write_bytes(data)
        rezipped(path, changed)
        look(path)
        assert isinstance(verify(path).faults, list)


@pytest.mark.slow
def test_columns_that_lie_are_not_trusted(good, tmp_path):
    """Columns whose hash is right and that contradict the events, as a hostile writer makes them."""
    import hashlib

    data, log = good
    frames = [entry.frame for entry in log]
    chance = random.Random(11)
    path = tmp_path / "lie.rtnb"
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        files = {name: source.read(name) for name in source.namelist()}
    columns = [name for name in files if name.startswith("columns/")]
    for _ in range(400):
        made = dict(files)
        chosen = chance.choice(columns)
        content = bytearray(made[chosen])
        content[chance.randrange(128, len(content))] = chance.randrange(256)
        made[chosen] = bytes(content)
        about = json.loads(made["manifest.json"])
        about["files"][chosen]["sha256"] = hashlib.sha256(content).hexdigest()
        made["manifest.json"] = json.dumps(about).encode()
        _repack(path, data, made)
        (as_is, _), (repaired, _) = look(path)
        assert repaired == frames  # line by line
        assert as_is is None or all(frame in frames or isinstance(frame, bytes) for frame in as_is)


def _repack(path, data, files):
    """Write files in the place of those of a recording, with its events deflated as they are."""
    from rtnb.recordings.zip_files import Packer, ZipWriter

    with path.open("wb") as out, io.BytesIO() as packed:
        packer = Packer(packed)
        with zipfile.ZipFile(io.BytesIO(data)) as source:
            info = source.getinfo("events.jsonl")
        at = info.header_offset + 30 + len("events.jsonl")
        packed.write(data[at : at + info.compress_size])
        packer.size, packer.stored, packer.crc = info.file_size, info.compress_size, info.CRC
        with ZipWriter(out, (1980, 1, 1, 0, 0, 0)) as archive:
            for name, content in files.items():
                if name == "events.jsonl":
                    archive.add_packed(name, packed, packer)
                else:
                    archive.add(name, content, deflate=not name.startswith("audio/"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"RIFF....WAVE", "is not an rtnb recording: it starts with b'RIFF'"),
        (b"PK\3\4", "was cut before its first event"),
        (b"PK", "was cut before its first event"),
        (b"PK\5\6" + bytes(18), "is not an rtnb recording"),
    ],
)
def test_what_is_no_recording(tmp_path, data, said):
    path = tmp_path / "x.rtnb"
    path.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        rtnb.open(path)
    assert said in str(caught.value)


def test_other_zips_and_folders_are_no_recordings(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("notes.txt", "hello")
    with pytest.raises(RecordingError, match=r"the zip has no events\.jsonl"):
        rtnb.open(tmp_path / "x.zip")
    with pytest.raises(RecordingError, match=r"the folder has no events\.jsonl"):
        rtnb.open(tmp_path)


def test_a_recording_of_a_newer_format_is_refused_with_what_to_do(good, tmp_path):
    path = tmp_path / "x.rtnb"
    path.write_bytes(good[0])
    rezipped(
        path, lambda name, data: data.replace(b'"format": 1', b'"format": 2') if "manifest" in name else data
    )
    with pytest.raises(
        RecordingError, match=r"has format 2.*reads formats up to 1: run  pip install -U rtnb"
    ):
        rtnb.open(path)


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


def test_a_cut_within_the_audio_costs_no_event(tmp_path):
    record, noise = SessionState(), np.random.default_rng(1)
    for number in range(300):  # a minute
        sound = b64(noise.integers(-9000, 9000, 4800, "<i2").tobytes())
        frame = orjson.dumps({"type": "input_audio_buffer.append", "audio": sound})
        record.append(frame, "client", mono_ns=number, wall_ns=number)
    path = write(tmp_path / "x.rtnb", record.log)
    data, frames = path.read_bytes(), [entry.frame for entry in record.log]
    for part in (0.25, 0.5, 0.75):
        path.write_bytes(data[: int(len(data) * part)])
        recording = rtnb.open(path)
        found = [entry.frame for entry in recording.log]
        assert [*map(len, found)] == [*map(len, frames)]
        intact = sum(a == b for a, b in zip(found, frames, strict=True))
        assert 300 * part - 30 < intact < 300 * part + 10
        assert re.search(r"was cut: 300 of 300 events are intact; .* silent \(input\)", recording.problem)


def test_a_file_from_later_with_more_in_it_is_read(good, tmp_path):
    data, log = good
    path = tmp_path / "x.rtnb"
    path.write_bytes(data)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("notes/more.txt", "something new")
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
    head = manifest(wire.state, endpoint=f"a server at wss://host?api-key={keys[0]}")
    data = write(tmp_path / "x.rtnb", wire.state.log, head).read_bytes()
    recording = rtnb.open(tmp_path / "x.rtnb")
    text = b"".join(entry.frame for entry in recording.log) + repr(recording).encode() + data
    text += orjson.dumps(dict(recording.manifest)) + recording._repr_mimebundle_()["text/html"].encode()
    assert not any(key.encode() in text for key in keys)
    assert recording.manifest["redacted"] >= 9
    assert [len(e.frame) for e in recording.log] == [len(e.frame) for e in wire.state.log]
    assert any(key.encode() in entry.frame for entry in wire.state.log for key in keys)
