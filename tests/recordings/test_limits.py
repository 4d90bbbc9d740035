"""Hostile files: an error in bounded memory, however much they declare or unpack to."""

from __future__ import annotations

import functools
import io
import lzma
import subprocess
import sys
import textwrap

import numpy as np
import orjson
import pytest
import soundfile
from frames import full

from rtnb.errors import RecordingError
from rtnb.recordings import format, save
from rtnb.recordings.reader import Reader
from rtnb.recordings.writer import header, pieces

BIG = 256 << 20


@functools.cache
def zeros(size: int) -> bytes:
    """Return ``size`` zeros as .xz, about 7,000 times smaller, without making them."""
    packer = lzma.LZMACompressor(check=lzma.CHECK_NONE, preset=2)
    block = bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(size >> 20)]
    return b"".join([*parts, packer.compress(bytes(size % (1 << 20))), packer.flush()])


@functools.cache
def columns(count: int, frame_bytes: int) -> bytes:
    """Return the packed columns of events in one row of zeros."""
    found = np.zeros(count * 18 + 12, np.uint8)
    lengths = found[count * 14 : count * 18].view("<u4")
    lengths[:] = frame_bytes
    return lzma.compress(found.tobytes(), check=lzma.CHECK_NONE, preset=2)


def events(count: int, frame_bytes: int = 0, first: int = 0) -> bytes:
    """Return an ``EVNT`` chunk of ``count`` events whose frames unpack to ``frame_bytes`` zeros each."""
    stored = columns(count, frame_bytes)
    frames = zeros(count * frame_bytes)
    head = {
        "first": first,
        "events": count,
        "cuts": 0,
        "walls": 1,
        "types": ["x"],
        "lanes": {},
        "redacted": [],
        "columns": {"codec": "lzma", "stored": len(stored), "bytes": count * 18 + 12},
        "frames": {"codec": "lzma", "stored": len(frames), "bytes": count * frame_bytes},
    }
    return format.chunk(b"EVNT", format.with_head(head, stored, frames))


def audio(codec: str, size: int, stored: bytes) -> bytes:
    head = {"lane": 0, "direction": "server", "type": "audio/pcm", "rate": 24_000, "offset": 0}
    return format.chunk(
        b"SOND", format.with_head({**head, "bytes": size, "codec": codec, "rest": []}, stored)
    )


def flac(seconds: float) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(int(24_000 * seconds), np.int16), 24_000, format="FLAC")
    data = bytearray(buffer.getvalue())
    data[22:26] = (BIG // 2).to_bytes(4, "big")  # the samples that STREAMINFO declares
    return bytes(data)


HEAD = format.MAGIC + format.chunk(b"HEAD", orjson.dumps({"format": 1, "model": "m"}))
HOSTILE = {
    "columns": lambda: HEAD + events(BIG // 18),
    "many columns": lambda: HEAD + b"".join(events(900_000, 0, 900_000 * n) for n in range(60)),
    "frames": lambda: HEAD + events(1, BIG),
    "many frames": lambda: HEAD + b"".join(events(100, 160_000, 100 * n) for n in range(60)),
    "packed audio": lambda: HEAD + audio("lzma", BIG, zeros(BIG)) + events(1),
    "flac of another length": lambda: HEAD + audio("flac", BIG, flac(1)) + events(1),
    "raw audio that is not there": lambda: HEAD + audio("raw", BIG, b"") + events(1),
    "opus": lambda: HEAD + audio("opus", BIG, b"OggS") + events(1),
}
OPEN = """
    import resource, sys
    import rtnb
    from rtnb.recordings.verify import verify
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for repair in (False, True):
        try:
            recording = rtnb.open(sys.argv[1]) if not repair else rtnb.open(sys.argv[1], repair=True)
            for entry in recording.log[:1000]:
                entry.frame
            verify(sys.argv[1])
        except (rtnb.RecordingError, TypeError) as error:
            print(str(error)[:300].replace("\\n", " "))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak memory of a process is measured in other units")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_takes_little_memory(name, tmp_path):
    path = tmp_path / "x.rtnb"
    path.write_bytes(HOSTILE[name]())
    assert path.stat().st_size < 1_500_000
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OPEN), path], capture_output=True, text=True, check=True
    )
    *_, mebibytes = done.stdout.split("\n")[:-1]
    assert int(mebibytes) < 200, done.stdout


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "x.rtnb"
    path.write_bytes(HOSTILE["many columns"]())
    with pytest.raises(RecordingError, match="made to exhaust the memory"):
        Reader(path)


def test_what_is_too_large_to_be_packed_is_stored_raw(tmp_path, monkeypatch):
    monkeypatch.setattr(format, "MAX_BYTES", 1000)
    log = full().state.log
    path = tmp_path / "x.rtnb"
    save(pieces(log), header(full().state), path)
    reader = Reader(path)
    assert [entry.frame for entry in reader.log] == [entry.frame for entry in log]
