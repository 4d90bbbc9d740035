"""Nothing is lost: what autosave has written is in its file after any end of the process."""

import gc
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from frames import b64, full, tone
from hypothesis import given, settings
from hypothesis import strategies as st

import rtnb
from rtnb.errors import ArgumentError, RecordingError
from rtnb.protocol.state import SessionState
from rtnb.recordings import autosave as autosave
from rtnb.recordings import save
from rtnb.recordings.autosave import Autosave, autosave_mode, autosaves, recover
from rtnb.recordings.autosave_tail import Tail, tail_lines
from rtnb.recordings.event_lines import parse
from rtnb.recordings.writer import pieces
from rtnb.recordings.zip_files import open_files
from rtnb.server import launcher
from rtnb.session.event_loop import Notifier

pytestmark = pytest.mark.slow

# Appends frames of all sizes without end, and counts them in memory that outlives it.
CHILD = """
import itertools, mmap, struct, sys, threading, time
from rtnb.recordings.autosave import Autosave
from rtnb.session.event_loop import Notifier
from rtnb.protocol.state import SessionState
sys.path.insert(0, "tests")
from recordings.test_autosave import frame

busy, counter = sys.argv[2] == "busy", open(sys.argv[1], "r+b")
appended = mmap.mmap(counter.fileno(), 0)
record, signal = SessionState(), Notifier()
kept = Autosave(record, signal.wait, endpoint="a test", engine="fake", billed=False)
if busy:  # as a cell that computes, which the writing thread has to wait for
    threading.Thread(target=lambda: [sum(range(50)) for _ in itertools.count()], daemon=True).start()
print("ready", flush=True)
for number in itertools.count():
    data, direction = frame(number)
    record.append(data, direction, mono_ns=number, wall_ns=number)
    struct.pack_into("<q", appended, 0, number + 1)
    signal.fire()
    if number % 7 == 0:
        time.sleep(0.001)
"""


def frame(number):
    if number % 3 == 0:
        data = (
            b'{"type":"input_audio_buffer.append","audio":"%s"}' % b64(tone(40, 100 + number % 900)).encode()
        )
        return data, "client"
    return b'{"type":"response.output_text.delta","n":%d,"delta":"%s"}' % (
        number,
        b"x" * (number % 500),
    ), "server"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RTNB_HOME", str(tmp_path / "home"))
    return tmp_path


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.skipif(sys.platform == "win32", reason="the signal is POSIX's")
@pytest.mark.parametrize("kernel", ["idle", "busy"])
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_nothing_is_lost(home, seed, kernel):
    chance, counter = random.Random(seed), home / "appended"
    counter.write_bytes(bytes(8))
    command = [sys.executable, "-c", CHILD, counter, kernel]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(chance.choice([0.0, 0.05, 0.4]) * chance.random())
    finally:
        child.kill()
        child.communicate()
    appended = int.from_bytes(counter.read_bytes(), "little")
    [(path, live)] = autosaves(empty=True)
    assert not live
    assert "without an end" in rtnb.open(path).problem
    if not appended:
        return
    _, count = recover(path, home / "out.rtnb")
    recording = rtnb.open(home / "out.rtnb")
    assert count >= appended
    assert len(recording.log) == count
    assert [(e.frame, e.direction) for e in recording.log] == [frame(number) for number in range(count)]
    assert recording.problem is None
    assert "ended with its process" in recording.manifest["end"]["why"]
    assert (recording.endpoint, recording.engine, recording.billed) == ("a test", "fake", False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 3)), max_size=80), st.booleans())
def test_what_is_not_written_yet_is_in_the_tail(tmp_path_factory, made, keyed):
    """``made`` has the size of each frame, and how many frames are written after it."""
    folder = tmp_path_factory.mktemp("tail")
    record, frames = SessionState(), []
    tail = Tail(folder, ["a-secret-key"] if keyed else [])
    record.log.set_journal(tail.append)
    for number, (size, written) in enumerate(made):
        text = b"a-secret-key" if number % 5 == 4 else b"x" * size
        audio = b64(bytes([number]) * (size // 2)).encode()
        data = b'{"type":"input_audio_buffer.append","n":"%b","audio":"%b"}' % (text, audio)
        record.append(data, "client", mono_ns=number, wall_ns=10**18 + number)
        frames.append(data.replace(b"a-secret-key", b"*" * 12) if keyed else data)
        tail.written = min(tail.written + written, number)
    tail.close()
    members = open_files(folder).members
    lines = [parse(line) for line in tail_lines(members, tail.written)]
    held = sum(map(len, frames[tail.written :]))
    assert [line.frame for line in lines] == frames[tail.written :][: len(lines)]
    assert [line.t_ns for line in lines] == [*range(tail.written, tail.written + len(lines))]
    assert len(lines) == len(frames) - tail.written or held > 1_000_000  # no room: it is written later


def test_it_follows_and_is_gone_after_close(home):
    record, signal = full().state, Notifier()
    kept = Autosave(record, signal.wait, endpoint="x")
    until(lambda: kept.written == len(record.log))
    assert autosaves() == [(kept.path, True)]
    assert [e.frame for e in rtnb.open(kept.path).log] == [e.frame for e in record.log]
    if sys.platform != "win32":
        assert oct((kept.path / "events.jsonl").stat().st_mode & 0o777) == "0o600"
        assert oct(kept.path.stat().st_mode & 0o777) == "0o700"
    kept.close()
    kept.close()
    assert autosaves() == []
    assert list((home / "home" / "autosave").iterdir()) == []


@pytest.mark.parametrize(("keep", "discard"), [(True, True), (False, False)])
def test_it_stays_where_it_is_to_be_kept(keep, discard):
    record, signal = full().state, Notifier()
    kept = Autosave(record, signal.wait, keep=keep)
    kept.close(discard=discard)
    assert kept.written == len(record.log)
    assert autosaves() == [(kept.path, False)]


def test_of_a_session_without_a_turn_nothing_stays():
    kept = Autosave(SessionState(), Notifier().wait)
    kept.close(discard=False)
    assert autosaves() == []


def test_a_folder_that_cannot_be_made_disturbs_nobody(home, caplog):
    (home / "home").write_text("in the way")
    kept = Autosave(full().state, Notifier().wait)
    kept.close()
    assert "autosave stopped" in kept.problem
    assert "autosave stopped" in caplog.text
    assert autosaves() == []


def test_old_files_and_too_many_are_removed(monkeypatch):
    place = autosave.folder()
    place.mkdir(parents=True)
    for number in range(4):
        path = place / f"{number}.rtnb"
        path.mkdir()
        (path / "events.jsonl").write_bytes(b"x" * 1000)
        os.utime(path / "events.jsonl", (0, 0) if number == 3 else (time.time() - 100 + number,) * 2)
    monkeypatch.setattr(autosave, "_MAX_BYTES", 2500)
    autosave._remove_old()
    assert sorted(path.name for path in place.iterdir()) == ["1.rtnb", "2.rtnb"]


def test_no_key_is_in_an_autosave_file(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "plain-secret-words")
    wire = full()
    wire.server("error", error={"message": "Incorrect API key: sk-abcdefghijklmnop1234 plain-secret-words"})
    kept = Autosave(wire.state, Notifier().wait, endpoint="ws://x?api-key=abcdef123456")
    kept.close(discard=False)
    data = b"".join(path.read_bytes() for path in kept.path.iterdir())
    assert not any(key in data for key in (b"sk-abcdefgh", b"plain-secret-words", b"abcdef123456"))
    assert b"Incorrect API key" in data


def test_what_the_switch_takes(monkeypatch):
    assert (autosave_mode(True), autosave_mode(False), autosave_mode("keep"), autosave_mode(None)) == (
        "on",
        "",
        "keep",
        "",
    )
    for text, means in (("", "on"), ("1", "on"), ("off", ""), ("0", ""), ("keep", "keep")):
        monkeypatch.setenv("RTNB_AUTOSAVE", text)
        assert autosave_mode(None) == means
    with pytest.raises(ArgumentError, match='True, False or "keep"'):
        autosave_mode("always")


def test_a_session_is_autosaved(home):
    try:
        with rtnb.connect(engine="fake", autosave=True) as session:
            assert session.send("hello").text == "You said: hello"
            until(autosaves)
            [(path, live)] = autosaves()
            assert live
            until(lambda: len(rtnb.open(path).log) == len(session.log))
            recording = rtnb.open(path)
            assert recording.turns[0].text == "You said: hello"
            assert recording.engine == "fake"
        assert autosaves() == []
        with rtnb.connect(engine="fake") as session:
            assert autosaves() == []
    finally:
        launcher.stop("fake")


def test_a_damaged_recording_is_recovered(home):
    log = full().state.log
    save(pieces(log), {"format": 1, "model": "m", "rtnb": "0"}, home / "x.rtnb")
    member = open_files(home / "x.rtnb").members["audio/output.flac"]
    data = bytearray((home / "x.rtnb").read_bytes())
    data[member.at + 900] ^= 1
    (home / "x.rtnb").write_bytes(data)
    with pytest.raises(RecordingError, match="is damaged: the audio of output has damaged audio"):
        list(rtnb.open(home / "x.rtnb").log)
    reader, count = recover(home / "x.rtnb", home / "y.rtnb")
    assert count == len(log)
    assert "audio/output.flac, which differs from what was written" in reader.lost[0]
    assert [len(e.frame) for e in rtnb.open(home / "y.rtnb").log] == [len(e.frame) for e in log]
    with pytest.raises(RecordingError, match="the damaged file itself"):
        recover(home / "y.rtnb", home / "y.rtnb")


@pytest.mark.parametrize("lossy", [False, True])
def test_what_is_recovered_says_of_its_audio_what_the_cut_file_said(home, lossy):
    save(pieces(full().state.log), {"format": 1, "model": "m"}, home / "x.rtnb", lossy=lossy)
    whole = (home / "x.rtnb").read_bytes()
    (home / "x.rtnb").write_bytes(whole[:-30])
    recover(home / "x.rtnb", home / "y.rtnb")
    recording = rtnb.open(home / "y.rtnb")
    assert recording.manifest["lossy"] == lossy
    assert recording.manifest["autosave"] is False
    assert (recording.frames_sha256 is None) == lossy
    assert [e.frame for e in recording.log] == [e.frame for e in rtnb.open(home / "x.rtnb").log]
    assert recording.verify().faults == []
    assert (home / "y.rtnb").stat().st_size < 1.2 * len(whole) + 500


def test_opus_that_is_damaged_is_not_copied(home):
    save(pieces(full().state.log), {"format": 1, "model": "m"}, home / "x.rtnb", lossy=True)
    members = open_files(home / "x.rtnb").members
    data = bytearray((home / "x.rtnb").read_bytes())
    for name in ("audio/input.opus", "audio/output.opus"):
        at, size = members[name].at, members[name].stored
        data[at : at + size] = (b"junk" * size)[:size]
    (home / "x.rtnb").write_bytes(data)
    recover(home / "x.rtnb", home / "y.rtnb")
    recording = rtnb.open(home / "y.rtnb")
    assert any(turn.audio_so_far is not None for turn in recording.turns)
    assert len(recording.log) == len(full().state.log)
    assert recording.manifest["lossy"] is False


def test_a_folder_without_an_event_is_skipped():
    path = autosave.folder() / "x.rtnb"
    path.mkdir(parents=True)
    (path / "events.jsonl").touch()
    assert autosaves() == []
    assert [path.name for path, _ in autosaves(empty=True)] == ["x.rtnb"]
    os.utime(path / "events.jsonl", (0, 0))
    autosave._remove_old()
    assert list(autosave.folder().iterdir()) == []


def test_it_exists_with_all_frames_before_the_session_goes_on():
    record = full().state
    kept = Autosave(record, Notifier().wait)
    try:
        assert kept.written == len(record.log)
        assert [e.frame for e in rtnb.open(kept.path).log] == [e.frame for e in record.log]
    finally:
        kept.close()


def spoken(record, signal, seconds, *, keyed=False):
    """Append a spoken session, 40 ms in and 100 ms out at a time, and return its frames."""
    frames = []

    def say(direction, type, **fields):
        frame = orjson.dumps({"type": type, **fields})
        frames.append(frame)
        record.append(frame, direction, mono_ns=len(frames), wall_ns=len(frames))

    where = {"response_id": "r", "item_id": "answer", "output_index": 0, "content_index": 0}
    say("server", "response.created", response={"id": "r", "status": "in_progress", "output": []})
    for number in range(int(seconds * 10)):
        say("server", "response.output_audio.delta", **where, delta=b64(tone(100, 100 + number)))
        say("server", "response.output_text.delta", **where, delta="and " * 40)
        for part in (1, 2):
            say("client", "input_audio_buffer.append", audio=b64(tone(40, 100 + number * part)))
        if keyed and number % 500 == 499:
            say("server", "error", error={"message": "wrong: sk-abcdefghijklmnop1234"})
        signal.fire()
    say("client", "input_audio_buffer.commit")
    say("server", "input_audio_buffer.committed", item_id="question", previous_item_id=None)
    signal.fire()
    return frames


@pytest.mark.skipif(sys.platform == "win32", reason="there all stays in memory")
@pytest.mark.parametrize("keyed", [False, True])
def test_what_is_in_the_file_is_not_held_in_memory(keyed):
    record, signal = SessionState(), Notifier()
    kept = Autosave(record, signal.wait, endpoint="x")
    frames = spoken(record, signal, 600, keyed=keyed)
    until(lambda: kept.written == len(frames))
    assert record.log.bytes > 70_000_000
    assert record.log.nbytes < (6_000_000 if keyed else 4_000_000)
    kept.close()
    assert not kept.path.exists()
    assert [entry.frame for entry in record.log] == frames
    answer, question = (record.conversation.items[name].parts[0] for name in ("answer", "question"))
    assert (len(answer.data), len(question.data)) == (600 * 48_000, 480 * 48_000)
    again = SessionState()
    for entry in record.log:
        again.append(entry.frame, entry.direction, mono_ns=entry.index, wall_ns=entry.index)
    assert again.conversation == record.conversation
    assert b"".join(piece.frames for piece in pieces(record.log)) == b"".join(
        piece.frames for piece in pieces(again.log)
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there all stays in memory")
def test_the_file_can_be_read_until_the_process_ends(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    code = (
        "import atexit, sys\n"
        "from pathlib import Path\n"
        "from rtnb.recordings.autosave import _OpenFile\n"
        "atexit.register(lambda: print(opened.read(1, 2)))  # registered first, it runs last\n"
        "opened = _OpenFile(Path(sys.argv[1]))\n"
    )
    told = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "b'bc'"


@pytest.mark.skipif(sys.platform == "win32", reason="there all stays in memory")
def test_a_cut_file_is_reported_and_closed_with_the_session():
    record, signal = SessionState(), Notifier()
    kept = Autosave(record, signal.wait, endpoint="x")
    frames = spoken(record, signal, 60)
    until(lambda: kept.written == len(frames))
    opened = Path("/proc/self/fd")  # the writer, the reader, the tail, and the lock
    links = [link for link in opened.iterdir() if str(kept.path) in os.path.realpath(link)]
    assert len(links) == 5
    os.truncate(kept.path / "events.jsonl", 1000)
    with pytest.raises(RecordingError, match="was cut while its session still needs it"):
        list(record.log)
    kept.close()
    name = kept.path.name
    record = kept = None
    gc.collect()
    assert not [link for link in opened.iterdir() if name in os.path.realpath(link)]


def test_what_never_held_an_event_is_not_recovered(home):
    kept = Autosave(full().state, Notifier().wait)
    kept.close(discard=False)
    os.truncate(kept.path / "events.jsonl", 30)
    with pytest.raises(RecordingError, match="has no intact event"):
        recover(kept.path, home / "y.rtnb")
    assert not (home / "y.rtnb").exists()


def test_a_line_that_was_cut_is_left_out(home):
    record = full().state
    kept = Autosave(record, Notifier().wait)
    kept.close(discard=False)
    events = kept.path / "events.jsonl"
    os.truncate(events, events.stat().st_size - 7)
    assert len(rtnb.open(kept.path).log) == len(record.log) - 1
    _, count = recover(kept.path, home / "y.rtnb")
    assert count == len(record.log) - 1
    assert rtnb.open(home / "y.rtnb").verify().faults == []
