"""Files and sessions that were once read or written wrong."""

from __future__ import annotations

import hashlib
import shutil
import threading
import zipfile
from base64 import b64encode
from pathlib import Path

import numpy as np
import orjson
import pytest
from frames import MS, WALL, b64, full, tone

import rtnb
from rtnb.audio.codecs import Codec, from_pcm16, pcm16, to_pcm16
from rtnb.errors import RecordingError
from rtnb.protocol.log import Log
from rtnb.protocol.state import SessionState
from rtnb.recordings import save
from rtnb.recordings.autosave import Autosave, recover
from rtnb.recordings.manifest import manifest
from rtnb.recordings.reader import Reader
from rtnb.recordings.scrub import ScrubRule, scrub
from rtnb.recordings.verify import verify
from rtnb.recordings.writer import media_of, pieces
from rtnb.session.event_loop import Notifier


def write(path: Path, log: Log, **options: object) -> Path:
    save(pieces(log), {"format": 1, "model": "m"}, path, **options)  # type: ignore[arg-type]
    return path


def log_of(*frames: bytes, direction: str = "server") -> Log:
    record = SessionState()
    for number, frame in enumerate(frames):
        record.append(frame, direction, mono_ns=number * MS, wall_ns=WALL + number * MS)  # type: ignore[arg-type]
    return record.log


def frames(log: object) -> list[bytes]:
    return [entry.frame for entry in log]  # type: ignore[attr-defined]


def rezip(path: Path, leave_out: str = "") -> Path:
    """Pack a recording again as another program does: all of it deflated."""
    with zipfile.ZipFile(path) as source:
        held = {
            name: source.read(name) for name in source.namelist() if not name.startswith(leave_out or " ")
        }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in held.items():
            out.writestr(name, data)
    return path


@pytest.mark.parametrize("lossy", [False, True])
def test_text_that_looks_like_base64_is_text(tmp_path: Path, lossy: bool) -> None:
    digest = hashlib.sha512(b"sea").hexdigest()
    texts = [
        {"type": "response.output_text.delta", "delta": digest, "pad": "x" * 200},
        {"type": "response.function_call_arguments.delta", "delta": b64encode(bytes(300)).decode()},
    ]
    log = log_of(*map(orjson.dumps, texts))
    path = write(tmp_path / "x.rtnb", log, lossy=lossy)
    assert frames(rtnb.open(path).log) == frames(log)
    assert rtnb.open(path).manifest["tracks"] == []


@pytest.mark.parametrize(
    "frame", [b'{"type":"x"}  ', b'  {"type":"x"}', b'{"type":"x"}\t', b"\xef\xbb\xbf{}"]
)
def test_spaces_around_a_frame_stay(tmp_path: Path, frame: bytes) -> None:
    log = log_of(frame, b'{"type":"y"}')
    path = write(tmp_path / "x.rtnb", log)
    assert frames(rtnb.open(rezip(path)).log) == frames(log)


def test_a_lossy_recording_that_another_program_packed_is_copied_right(tmp_path: Path) -> None:
    state = full().state
    path = tmp_path / "x.rtnb"
    save(pieces(state.log), manifest(state), path, lossy=True)
    before = frames(rtnb.open(path).log)
    rezip(path)
    recover(path, tmp_path / "y.rtnb")
    assert scrub(path, tmp_path / "z.rtnb", ScrubRule(text="user")).left == []
    for name in ("y", "z"):
        assert verify(tmp_path / f"{name}.rtnb").faults == []
    assert frames(rtnb.open(tmp_path / "y.rtnb").log) == before


def test_audio_of_more_than_a_piece_may_have_is_kept(tmp_path: Path) -> None:
    audio = bytes(range(250)) * (17 << 12)
    frame = b'{"type":"input_audio_buffer.append","audio":"%b"}' % b64encode(audio)
    record = SessionState()
    record.append(frame, "client", mono_ns=0, wall_ns=WALL)
    record.append_media("input", audio, pcm16, mono_ns=MS)
    path = tmp_path / "x.rtnb"
    save(pieces(record.log), manifest(record), path, media=media_of(record))
    assert verify(path).faults == []
    for reader in (Reader(path), Reader(path, repair=True)):
        assert frames(reader.log) == [frame]
        assert b"".join(media.audio for media in reader.media) == audio


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("packed_again", [False, True])
def test_audio_is_read_from_several_threads(tmp_path: Path, lossy: bool, packed_again: bool) -> None:
    wire = full()
    for number in range(300):
        wire.append(tone(100, 200 + number))
    path = write(tmp_path / "x.rtnb", wire.state.log, lossy=lossy)
    path = rezip(path) if packed_again else path
    expected = frames(rtnb.open(path).log)
    log, wrong = rtnb.open(path).log, []

    def read(step: int) -> None:
        rows = range(0, len(log), step)
        wrong.extend(row for row in rows if log[row].frame != expected[row])

    threads = [threading.Thread(target=read, args=(step,)) for step in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("rate", [1, 11025, 65535, 65536, 96001, 655350, 655351, 768000])
def test_any_rate_is_kept(tmp_path: Path, rate: int) -> None:
    record, codec = SessionState(), Codec("audio/pcm", rate, 2, to_pcm16, from_pcm16)
    record.append(b'{"type":"x"}', "server", mono_ns=0, wall_ns=WALL)
    record.append_media("input", tone(50), codec, mono_ns=MS)
    save(pieces(record.log), manifest(record), tmp_path / "x.rtnb", media=media_of(record))
    [media] = Reader(tmp_path / "x.rtnb").media
    assert (media.audio, media.codec.rate) == (tone(50), rate)


@pytest.mark.parametrize("name", ["columns/cut_rows", "columns/kinds", "columns/"])
def test_columns_of_which_some_are_missing_are_not_used(tmp_path: Path, name: str) -> None:
    log = full().state.log
    path = rezip(write(tmp_path / "x.rtnb", log), leave_out=name)
    assert frames(rtnb.open(path).log) == frames(log)


def test_events_are_repaired_whose_audio_is_lost(tmp_path: Path) -> None:
    record = SessionState()
    for number in range(1500):
        frame = orjson.dumps({"type": "input_audio_buffer.append", "audio": b64(tone(4, 200 + number))})
        record.append(frame, "client", mono_ns=number * MS, wall_ns=WALL + number * MS)
    path = rezip(write(tmp_path / "x.rtnb", record.log), leave_out="manifest")
    with pytest.raises(RecordingError, match=r"lacks manifest\.json"):
        rtnb.open(path)
    repaired = rtnb.open(path, repair=True)
    assert frames(repaired.log) == frames(record.log)


def test_audio_that_two_events_claim_belongs_to_the_first(tmp_path: Path) -> None:
    wire = full()
    wire.append(tone(100))
    log = wire.state.log
    path = write(tmp_path / "x.rtnb", log)
    with zipfile.ZipFile(path) as source:
        held = {name: source.read(name) for name in source.namelist()}
    lines = held["events.jsonl"].splitlines(keepends=True)
    held["events.jsonl"] = b"".join([*lines, lines[-1]])
    with zipfile.ZipFile(path, "w") as out:
        for name, data in held.items():
            out.writestr(name, data)
    repaired = rtnb.open(path, repair=True)
    assert frames(repaired.log) == frames(log)
    assert "has audio that an event before it has" in str(repaired.problem)


def test_a_key_is_looked_for_in_each_frame(tmp_path: Path) -> None:
    log = log_of(b"Bearer ", b"abcdefgh12345678", b"sk-", b"abcdefghijklmnopq", b"sk-abcdefghijklmnop")
    recording = rtnb.open(write(tmp_path / "x.rtnb", log))
    assert frames(recording.log) == [*frames(log)[:4], b"*" * 19]
    assert recording.manifest["redacted"] == 1


def test_a_session_that_failed_before_its_first_turn_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTNB_HOME", str(tmp_path))
    record, signal = SessionState(), Notifier()
    kept = Autosave(record, signal.wait)
    record.append(b'{"type":"session.created","session":{}}', "server", mono_ns=0, wall_ns=WALL)
    kept.close(discard=False)
    assert kept.path is not None
    assert len(rtnb.open(kept.path).log) == 1


def test_a_type_of_any_length_ends_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTNB_HOME", str(tmp_path))
    record, signal = SessionState(), Notifier()
    kept = Autosave(record, signal.wait)
    frame = orjson.dumps({"type": "x" * 70_000, "text": "y" * 100_000})
    record.append(frame, "server", mono_ns=0, wall_ns=WALL)
    kept.close(discard=False)
    assert kept.path is not None
    assert frames(rtnb.open(kept.path).log) == [frame]


def test_no_frame_is_doubled_beside_a_damaged_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTNB_HOME", str(tmp_path))
    record = full().state
    kept = Autosave(record, Notifier().wait)
    copy = shutil.copytree(kept.path or "", tmp_path / "copy.rtnb")
    kept.close()
    lines = (copy / "events.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "events.jsonl").write_bytes(b"".join([*lines[:5], b"damaged\n", *lines[6:]]))
    found = frames(rtnb.open(copy, repair=True).log)
    assert found == [frame for row, frame in enumerate(frames(record.log)) if row != 5]


def test_a_file_that_was_cut_early_is_recovered_in_bounded_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, noise = SessionState(), np.random.default_rng(1)
    for number in range(1200):
        sound = b64(noise.integers(-9000, 9000, 4800, "<i2").tobytes())
        frame = orjson.dumps({"type": "input_audio_buffer.append", "audio": sound})
        record.append(frame, "client", mono_ns=number, wall_ns=number)
    path = write(tmp_path / "x.rtnb", record.log)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 5])
    from rtnb.recordings import audio_tracks

    opened: list[object] = []
    real = audio_tracks._opened
    monkeypatch.setattr(audio_tracks, "_opened", lambda source: (opened.append(source), real(source))[1])
    assert len(frames(rtnb.open(path).log)) == 1200
    assert len(opened) < 200


def test_what_is_not_a_file_is_refused() -> None:
    with pytest.raises(RecordingError, match="is not a file"):
        rtnb.open("/dev/zero")


def test_events_that_another_program_packed_as_long_are_read(tmp_path: Path) -> None:
    log = full().state.log
    path = rezip(write(tmp_path / "x.rtnb", log))
    with zipfile.ZipFile(path) as source:
        held = {name: source.read(name) for name in source.namelist()}
        info = source.getinfo("events.jsonl")
    about = orjson.loads(held["manifest.json"])
    about["columns"]["stored"] = info.compress_size
    about["columns"] |= {"crc": info.CRC}
    held["manifest.json"] = orjson.dumps(about)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in held.items():
            out.writestr(name, data)
    assert frames(rtnb.open(path).log) == frames(log)
