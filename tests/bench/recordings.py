"""Recordings: size, opening, replaying, what autosave costs, and what memory it saves.

Sizes are those of a conversation of real speech where there is some (``../shared/speech``), else of noise in
the shape of speech, against gzip of the same frames as JSON Lines. The session of an hour has 300,000 events:
a microphone in 40 ms pieces, answers in 100 ms pieces with a word every 400 ms.

    python tests/bench/recordings.py [--events 300000]
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orjson

from rtnb.audio import Clip
from rtnb.protocol.events import server_id
from rtnb.protocol.state import SessionState
from rtnb.recordings import open as open_recording
from rtnb.recordings import save
from rtnb.recordings.autosave import Autosave
from rtnb.recordings.manifest import manifest
from rtnb.recordings.reader import Reader
from rtnb.recordings.verify import verify
from rtnb.recordings.writer import pieces
from rtnb.session.event_loop import Notifier
from rtnb.transports import Replay, pair

SPEECH = Path(__file__).parents[2].parent / "shared" / "speech"
MS = 1_000_000


def speech() -> bytes:
    """Return some tens of seconds of speech as PCM16 at 24 kHz."""
    files = sorted(SPEECH.glob("*.wav"))
    if files:
        return b"".join(Clip.read(file, rate=24_000).to_pcm16() for file in files)
    rng = np.random.default_rng(1)
    noise = np.cumsum(rng.normal(size=24_000 * 40))
    noise -= np.convolve(noise, np.ones(200) / 200, "same")
    loud = np.abs(np.sin(np.arange(len(noise)) / 4000)) ** 3
    return (noise / np.abs(noise).max() * loud * 12_000).astype("<i2").tobytes()


def turns(sound: bytes, quiet: int = 0) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield spoken turns without end: a question of 6 s, an answer of 16 s; ``quiet`` more deltas a word."""
    form = {"type": "audio/pcm", "rate": 24000}
    told = {"type": "realtime", "audio": {"input": {"format": form}, "output": {"format": form}}}
    yield "server", {"type": "session.created", "event_id": server_id("event"), "session": told}
    at, total = 0, len(sound)
    double = sound + sound
    while True:
        for _ in range(150):
            data = double[at : at + 1920]
            at = (at + 1920) % total
            yield "client", {"type": "input_audio_buffer.append", "audio": b64encode(data).decode()}
        response, item, heard = (server_id(kind) for kind in ("resp", "item", "item"))
        yield "client", {"type": "input_audio_buffer.commit", "event_id": "event_c0001"}
        yield "client", {"type": "response.create", "event_id": "event_c0002"}
        where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}

        def event(type: str, **more: object) -> tuple[str, dict[str, object]]:
            return "server", {"type": type, "event_id": server_id("event"), **more}

        user = {
            "id": heard,
            "object": "realtime.item",
            "type": "message",
            "role": "user",
            "status": "completed",
        }
        user["content"] = [{"type": "input_audio", "transcript": None}]  # type: ignore[assignment]
        shell = {"id": item, "object": "realtime.item", "type": "message", "role": "assistant", "content": []}
        yield event("input_audio_buffer.committed", item_id=heard, previous_item_id=None)
        yield event("conversation.item.added", item=user, previous_item_id=None)
        yield event("response.created", response={"id": response, "status": "in_progress", "output": []})
        yield event("response.output_item.added", response_id=response, output_index=0, item=shell)
        yield event("response.content_part.added", **where, part={"type": "audio", "transcript": ""})
        for number in range(160):
            if number % 4 == 0:
                yield event("response.output_audio_transcript.delta", **where, delta=f" word{number}")
            for _ in range(quiet if number % 4 == 0 else 0):
                yield event("response.output_audio_transcript.delta", **where, delta=" and")
            data = double[at : at + 4800]
            at = (at + 4800) % total
            yield event("response.output_audio.delta", **where, delta=b64encode(data).decode())
        yield event("response.output_audio.done", **where)
        yield event("response.done", response={"id": response, "status": "completed", "output": [shell]})


def recorded(events: int, sound: bytes, seconds: float, quiet: int = 0) -> SessionState:
    """Return a record of so many events in so many seconds."""
    record = SessionState()
    step = round(seconds * 1e9 / events)
    for number, (direction, event) in zip(range(events), turns(sound, quiet), strict=False):
        jitter = hash(number) % 997 * 1000
        now = number * step + jitter
        record.append(orjson.dumps(event), direction, mono_ns=now, wall_ns=now)
    return record


def json_lines(record: SessionState, path: Path) -> None:
    """Write what a user without recordings would: a line a frame."""
    with path.open("wb") as file:
        for entry in record.log:
            head = b'{"t":%.6f,"direction":"%s","event":' % (entry.t, entry.direction.encode())
            file.write(head + entry.frame + b"}\n")


def say(figure: str, value: float, unit: str, anchor: str, against: float, limit: float | None) -> None:
    """Print one figure with its ratio to its anchor."""
    line = {"bench": "recordings", "figure": figure, "value": round(value, 4), "unit": unit, "anchor": anchor}
    line |= {"anchor_value": round(against, 4), "ratio": round(value / against, 4), "limit": limit}
    print(json.dumps(line), flush=True)


def sizes(folder: Path, sound: bytes) -> None:
    """Compare a spoken session's size with that of gzip."""
    record = recorded(2000, sound, 120)
    json_lines(record, folder / "s.jsonl")
    zipped = len(gzip.compress((folder / "s.jsonl").read_bytes(), 6)) / 1000
    for audio, limit in (("lossless", 0.6), ("opus", None)):
        save(pieces(record.log), manifest(record), folder / "s.rtnb", lossy=audio == "opus")
        assert verify(folder / "s.rtnb").faults == []
        kept = (folder / "s.rtnb").stat().st_size / 1000
        say(f"size of a spoken session, {audio}", kept, "kB", "gzip of its JSON Lines", zipped, limit)


OPEN = """
import sys, time, orjson
from rtnb.recordings import open as opened
path = sys.argv[2]
began = time.perf_counter()
if sys.argv[1] == "lines":
    rows = []
    with open(path, "rb") as file:
        for line in file:
            rows.append(orjson.loads(line))
    text = repr(rows[:20])[:2000]
else:
    text = repr(opened(path).log[:20])
print(time.perf_counter() - began)
"""


def opening(folder: Path, sound: bytes, events: int) -> None:
    """Compare opening an hour and showing the first rows with reading the JSON Lines."""
    record = recorded(events, sound, 3600, quiet=20)
    json_lines(record, folder / "h.jsonl")
    began = time.perf_counter()
    save(pieces(record.log), manifest(record), folder / "h.rtnb")
    took = time.perf_counter() - began
    zipped = float("nan")
    began = time.perf_counter()
    with gzip.open(folder / "h.gz", "wb", 6) as out, (folder / "h.jsonl").open("rb") as lines:
        while data := lines.read(1 << 20):
            out.write(data)
    zipped = time.perf_counter() - began
    hour = f"an hour of {events:,} events"
    small = (folder / "h.rtnb").stat().st_size / 1e6
    say(f"size of {hour}", small, "MB", "gzip", (folder / "h.gz").stat().st_size / 1e6, 0.6)
    say(f"save {hour}", took, "s", "gzip of its JSON Lines", zipped, None)
    del record
    times: dict[str, list[float]] = {"rtnb": [], "lines": []}
    for _ in range(3):
        for kind, file in (("rtnb", "h.rtnb"), ("lines", "h.jsonl")):
            command = [sys.executable, "-c", OPEN, kind, str(folder / file)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[kind].append(float(done.stdout))
    ours, theirs = (statistics.median(times[kind]) for kind in ("rtnb", "lines"))
    say(f"open {hour} and show the first rows", ours, "s", "JSON Lines with orjson", theirs, None)
    reader = Reader(folder / "h.rtnb")
    say(
        f"memory of {hour}, opened", reader.log.nbytes / 1e6, "MB", "its frames", reader.log.bytes / 1e6, None
    )
    began = time.perf_counter()
    count = len(open_recording(folder / "h.rtnb").turns)
    folding = time.perf_counter() - began
    assert count
    say(f"fold all turns of {hour}", folding, "s", "JSON Lines with orjson", theirs, None)


def replaying(folder: Path, sound: bytes) -> None:
    """Compare a replay at once with frames that lie ready in memory."""
    record = recorded(20_000, sound, 600, quiet=20)
    save(pieces(record.log), manifest(record), folder / "r.rtnb")
    frames = [entry.frame for entry in record.log.filter(direction="server")]

    async def bare() -> float:
        client, server = pair()
        for frame in frames:
            await server.send(frame)
        began = time.perf_counter()
        for _ in frames:
            await client.recv()
        return len(frames) / (time.perf_counter() - began)

    async def ours() -> float:
        """Play both sides in the order of the log; what the client sends is made beforehand."""
        log = open_recording(folder / "r.rtnb").log
        sends = [entry.frame if entry.direction == "client" else None for entry in record.log]
        transport = Replay(log, strict=True)
        began = time.perf_counter()
        for frame in sends:
            if frame is None:
                await transport.recv()
            else:
                await transport.send(frame)
        return len(frames) / (time.perf_counter() - began)

    def folded(speed: Callable[[], object]) -> float:
        return statistics.median(asyncio.run(speed()) for _ in range(5))  # type: ignore[arg-type]

    fast, slow = folded(bare), folded(ours)
    say("frames a replay gives at once, sound unpacked", slow, "1/s", "the bare memory transport", fast, None)


def autosaving(sound: bytes) -> None:
    """Compare the time of a record with autosave with one without: processor time of the whole process."""
    made = [(orjson.dumps(e), d) for (d, e), _ in zip(turns(sound), range(20_000), strict=False)]

    def run(autosave: bool) -> float:
        record, signal = SessionState(), Notifier()
        kept = Autosave(record, signal.wait) if autosave else None
        began = time.process_time()
        for number, (frame, direction) in enumerate(made):
            record.append(frame, direction, mono_ns=number, wall_ns=number)
            signal.fire()
            if number % 100 == 0:
                time.sleep(0.001)
        while kept is not None and kept.written < len(made):
            time.sleep(0.001)
        took = time.process_time() - began
        if kept is not None:
            kept.close()
        return took / len(made) * 1e6

    pairs = [(run(True), run(False)) for _ in range(5)]
    with_it, without = (statistics.median(side) for side in zip(*pairs, strict=True))
    say("event with autosave, processor time", with_it, "µs", "the same without", without, None)
    assert threading.active_count() < 4


LIVE = """
import resource, sys
import numpy as np
import rtnb

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

noise = np.random.default_rng(1).uniform(-0.2, 0.2, 24_000 * 60)
question, words = rtnb.Clip(noise.astype(np.float32), 24_000), " ".join(["word"] * 480)
with rtnb.connect(engine="fake", autosave=sys.argv[1] == "on") as session:
    began, heard = None, 0.0
    while heard < 3600:
        turn = session.send(question, words).wait()
        heard += question.seconds + turn.audio.seconds
        if began is None and heard > 600:  # by then it has what it needs however long it lasts
            began = resident(), session.log.bytes
    print((resident() - began[0]) / 1e6, (session.log.bytes - began[1]) / 1e6)
"""


def living() -> None:
    """Compare how a session of an hour, as fast as it goes, grows in memory with its frames' bytes."""
    from rtnb.server import launcher

    if sys.platform != "linux":
        return
    grown = {}
    for autosave in ("on", "off"):
        done = subprocess.run(
            [sys.executable, "-c", LIVE, autosave], capture_output=True, text=True, check=True
        ).stdout.split()
        grown[autosave], frames = float(done[0]), float(done[1])
    launcher.stop("fake")
    what = "memory that an autosaved session takes more after 60 minutes than after 10"
    say(what, grown["on"], "MB", "the bytes of its frames meanwhile", frames, 0.25)
    say(what, grown["on"], "MB", "the same without autosave", grown["off"], None)


def main() -> None:
    """Run all and print one JSON line a figure."""
    import os

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    events = parser.parse_args().events
    sound = speech()
    with tempfile.TemporaryDirectory() as name:
        os.environ["RTNB_HOME"] = name
        folder = Path(name)
        sizes(folder, sound)
        replaying(folder, sound)
        autosaving(sound)
        living()
        opening(folder, sound, events)


if __name__ == "__main__":
    main()
