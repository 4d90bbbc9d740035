"""Hostile files: an error in bounded memory, however much they declare or unpack to."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from frames import full

from rtnb.errors import RecordingError
from rtnb.protocol.log import Log
from rtnb.recordings import save
from rtnb.recordings.manifest import manifest
from rtnb.recordings.reader import Reader
from rtnb.recordings.writer import pieces

BIG = 256 << 20
LINE = b'{"t":0.000000000,"direction":"server","event":{"type":"x"}}\n'
APPEND = (
    b'{"t":0.0,"direction":"client","audio":{"track":"input","start":%d,"bytes":%d,"at":48},"event":%b}\n'
)
FRAME = b'{"type":"input_audio_buffer.append","audio":""   }'


def npy(values: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(values))
    return out.getvalue()


def columns(count: int, unpacked: int, crc: int, stored: int) -> dict[str, bytes]:
    """Return columns of events, all of them of one length and at one time."""
    zeros = np.zeros(count, np.uint8)
    found = {name: npy(zeros) for name in ("times", "kinds", "turns")}
    found["lengths"] = npy(zeros + 12)
    found |= {"wall_rows": npy([0]), "walls": npy([0]), "blocks": npy([[count, stored, unpacked, crc]])}
    return {f"columns/{name}.npy": data for name, data in found.items()}


def made(
    events: Any, *, tracks: Any = (), files: Any = (), about: Any = (), with_columns: int | None = None
) -> bytes:
    """Return a recording whose checksums and hashes are right. ``events`` yields the lines in pieces."""
    out = io.BytesIO()
    files = dict(files)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        with file.open("events.jsonl", "w") as member:
            for piece in events:
                member.write(piece)
        info = file.getinfo("events.jsonl")
        named = {}
        if with_columns is not None:
            files |= columns(with_columns, info.file_size, info.CRC, info.compress_size)
            named = {"names": ["x"], "crc": info.CRC, "stored": info.compress_size}
        hashes = {name: {"sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
        head = {"format": 1, "complete": True, "tracks": list(tracks), "columns": named, "files": hashes}
        file.writestr("manifest.json", json.dumps({**head, **dict(about)}))
        for name, data in files.items():
            stored = zipfile.ZIP_STORED if name.startswith("audio/") else zipfile.ZIP_DEFLATED
            file.writestr(name, data, stored)
    return out.getvalue()


def track(size: int, file: str = "audio/input.flac", raw: str | None = None) -> dict[str, Any]:
    found = {"id": "input", "side": "input", "codec": "audio/pcm", "rate": 24000}
    return {**found, "bytes": size, "file": file, "raw": raw}


def flac(seconds: float, declared: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(int(24_000 * seconds), np.int16), 24_000, format="FLAC")
    data = bytearray(buffer.getvalue())
    data[22:26] = declared.to_bytes(4, "big")  # the samples that STREAMINFO declares
    return bytes(data)


def spoken(size: int, start: int = 0) -> list[bytes]:
    return [APPEND % (start, size, FRAME)]


def zeros(pieces: int) -> Any:
    return (bytes(1 << 20) for _ in range(pieces))


HOSTILE = {
    "one line of zeros": lambda: made(zeros(150)),
    "spaces": lambda: made(b" " * (1 << 20) for _ in range(150)),
    "empty lines": lambda: made(b"\n" * (1 << 20) for _ in range(150)),
    "many events": lambda: made(LINE * 20_000 for _ in range(120)),
    "many events with columns": lambda: made((LINE * 20_000 for _ in range(120)), with_columns=2_400_000),
    "columns of too many events": lambda: made([LINE], with_columns=30_000_000),
    "one long event": lambda: made(
        [b'{"t":0,"direction":"server","event":{"type":"', *zeros(0), *[b"x" * (1 << 20)] * 120, b'"}}\n']
    ),
    "deep events": lambda: made([b'{"t":0,"direction":"server","event":' + b"[" * 10_000_000]),
    "a manifest": lambda: made([LINE], about={"notes": " " * 150_000_000}),
    "raw audio that is not there": lambda: made(
        spoken(15 << 20), tracks=[track(BIG, raw="audio/input.pcm")], files={"audio/input.pcm": b""}
    ),
    "raw audio that is deflated": lambda: made(
        spoken(15 << 20), tracks=[track(BIG, raw="raw/input.pcm")], files={"raw/input.pcm": bytes(150 << 20)}
    ),
    "a long track": lambda: made(
        spoken(1 << 30), tracks=[track(1 << 40)], files={"audio/input.flac": flac(60, 1 << 31)}
    ),
    "flac of another length": lambda: made(
        spoken(15 << 20), tracks=[track(15 << 20)], files={"audio/input.flac": flac(1, BIG // 2)}
    ),
    "opus": lambda: made(
        spoken(15 << 20), tracks=[track(15 << 20, "audio/input.opus")], files={"audio/input.opus": b"OggS"}
    ),
    "audio outside its track": lambda: made(
        spoken(1 << 31, 1 << 40), tracks=[track(48_000)], files={"audio/input.flac": flac(1, 24_000)}
    ),
    "many tracks": lambda: made([LINE], tracks=[track(0)] * 100_000),
}
OPEN = """
    import resource, sys
    import rtnb
    from rtnb.recordings.verify import verify
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for repair in (False, True):
        try:
            recording = rtnb.open(sys.argv[1], repair=repair)
            for entry in recording.log[:1000]:
                entry.frame
        except rtnb.RecordingError as error:
            print(str(error)[:300].replace("\\n", " "))
    try:
        print(verify(sys.argv[1]).summary)
    except rtnb.RecordingError as error:
        print(str(error)[:300].replace("\\n", " "))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak memory of a process is measured in other units")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_takes_little_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.rtnb"
    path.write_bytes(HOSTILE[name]())
    assert path.stat().st_size < 1_500_000
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OPEN), path], capture_output=True, text=True, check=True
    )
    *said, mebibytes = done.stdout.split("\n")[:-1]
    assert int(mebibytes) < 200, done.stdout
    assert not said[-1].startswith("intact") or name in ("many tracks", "a manifest"), said


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.rtnb"
    path.write_bytes(HOSTILE["many events"]())
    with pytest.raises(RecordingError, match="made to exhaust the memory"):
        Reader(path)


def test_events_that_pack_as_only_hostile_ones_do_are_stored_as_they_are(tmp_path: Path) -> None:
    log = Log()
    for number in range(40):
        frame = b'{"type":"x","x":"%b"}' % (b"x" * (1 << 20))
        log.append(frame, "server", "x", mono_ns=number, wall_ns=number)
    path = tmp_path / "x.rtnb"
    save(pieces(log), manifest(full().state), path)
    with zipfile.ZipFile(path) as file:
        assert file.getinfo("events.jsonl").compress_type == zipfile.ZIP_STORED
    reader = Reader(path)
    assert [entry.frame for entry in reader.log] == [entry.frame for entry in log]
