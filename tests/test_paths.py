"""Paths that users give, and files that are written as a whole or not at all."""

import base64
import errno
import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import rtnb
from rtnb import model_tables, paths
from rtnb.cli import main
from rtnb.engines import weights
from rtnb.errors import ArgumentError, AudioError, RecordingError
from rtnb.paths import check_writable, opened, replacing, user_path
from rtnb.protocol import models
from rtnb.recordings import autosave
from rtnb.recordings.autosave import recover
from rtnb.recordings.verify import verify
from rtnb.server import launcher, state_files
from rtnb.session.content import parse_content

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX alone has this")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_the_home_folder_is_expanded(home):
    assert user_path("~/a.wav") == user_path(Path("~/a.wav")) == home / "a.wav"
    assert user_path("~") == home
    assert user_path("a~.wav") == Path("a~.wav")
    assert user_path("./~/a.wav") == Path("./~/a.wav")
    assert user_path("~no-such-user/a.wav") == Path("~no-such-user/a.wav")


@posix
def test_the_home_folder_of_a_user_is_expanded():
    import pwd

    root = pwd.getpwuid(0)
    assert user_path(f"~{root.pw_name}/a.wav") == Path(root.pw_dir) / "a.wav"


class Named:
    """A path whose name is bytes, as of ``os.scandir(b".")``."""

    def __fspath__(self):
        return b"a.wav"


def test_every_kind_of_path_is_taken():
    assert user_path(Named()) == Path("a.wav")
    assert user_path("ü 🎤.wav") == Path("ü 🎤.wav")
    assert user_path("data") == Path("data")
    assert user_path("data:x.wav") == Path("data:x.wav")
    assert user_path("C:/a.wav") == Path("C:/a.wav")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "a song: expected a path (str or pathlib.Path), got NoneType"),
        (5, "got int"),
        (b"RIFF" * 100_000, "got bytes: these bytes are not a path"),
        (io.BytesIO(b"RIFF"), "got BytesIO"),
        ("", "the path is empty"),
        ("a\0b.wav", "the path 'a\\x00b.wav' contains a NUL character"),
        ("RIFF\x24\0\0\0WAVE" * 100_000, "it looks like the contents of a file; pass them as bytes"),
        ("https://example.org/a.wav", "got the URL 'https://example.org/a.wav': download it first"),
        ("s3://b/" + "a" * 1_000_000, "got the URL 's3://b/aaa"),
        ("data:audio/wav;base64," + "A" * 1_000_000, "got a data: URI (1,000,022 characters)"),
        ("DATA:;base64,AAAA", "got a data: URI"),
        ("a\ud800.wav", "characters that a file name cannot have"),
    ],
    ids=range(12),
)
def test_what_cannot_be_a_path_is_refused_in_a_short_sentence(value, words):
    with pytest.raises(RecordingError) as caught:
        user_path(value, "a song", RecordingError)
    assert words in str(caught.value)
    assert str(caught.value).startswith("a song: ")
    assert len(str(caught.value)) <= 300
    with pytest.raises(ArgumentError):
        user_path(value)


BASE64 = base64.b64encode(bytes(range(256)) * 4000).decode()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.wav", "No such file: 'none.wav' (the current folder is '"),
        ("/no/such/none.wav", "No such file: '/no/such/none.wav'"),
        (".", "'.' is a directory: expected the path of a file"),
        ("a" * 300, "is too long (300 characters)"),
        (BASE64, "it looks like base64; decode it with base64.b64decode and pass the bytes"),
        (BASE64[:900], "it looks like base64"),
        ("UklGR" + "A" * 1_000_000, "it looks like base64"),
        ("Once upon a time\n" * 9, "it looks like text, not like a path"),
        ("word " * 10_000, "it looks like text, not like a path"),
        ("🎤" * 10_000, "is too long (10,000 characters)"),
    ],
    ids=range(10),
)
@posix
def test_a_file_that_cannot_be_opened(name, words):
    with pytest.raises(AudioError) as caught:
        opened(Path(name), AudioError)
    assert words in str(caught.value)
    assert len(str(caught.value)) <= 400


@given(st.text(max_size=6).flatmap(lambda part: st.integers(0, 3000).map(lambda n: part * n)))
@example("~" * 5000)
@example("a/" * 5000)
@example("\x1b[31m" * 5000)
@example("\u202e" * 5000)
def test_any_text_is_a_path_or_a_short_sentence(text):
    words = ""
    try:
        opened(user_path(text)).close()
    except (ArgumentError, RecordingError) as error:
        words = str(error)
    assert len(words) <= 600
    assert words.isprintable()


# Writing.


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"new"
    with replacing(path) as file:
        file.write(b"newer")
        file.flush()
        assert path.read_bytes() == b"new"
    assert path.read_bytes() == b"newer"
    assert files(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("problem", [ValueError("x"), KeyboardInterrupt(), GeneratorExit(), SystemExit(3)])
def test_any_exception_leaves_the_old_file_and_no_other(tmp_path, there, problem):
    if there:
        (tmp_path / "a.txt").write_bytes(b"old")

    def write():
        with replacing(tmp_path / "a.txt") as file:
            written.append(file)
            file.write(b"half")
            raise problem

    written = []
    with pytest.raises(type(problem)):
        write()
    assert files(tmp_path) == (["a.txt"] if there else [])
    assert not there or (tmp_path / "a.txt").read_bytes() == b"old"
    assert written[0].closed


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(paths.os, call, full)
    with pytest.raises(AudioError) as caught, replacing(path, AudioError) as file:
        file.write(b"new")
    assert str(caught.value) == (
        f"{paths.short(path)} cannot be written: the disk is full; free some space or choose another folder"
    )
    assert files(tmp_path) == ["a.txt"]
    assert path.read_bytes() == b"old"


def test_an_interrupt_on_a_full_disk_stays_an_interrupt(tmp_path, monkeypatch):
    class Full:
        def close(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(paths, "open", lambda *_: Full(), raising=False)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a.txt"):
        raise KeyboardInterrupt
    assert files(tmp_path) == []


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
import rtnb
from rtnb import recordings
from rtnb.recordings.writer import pieces
name, out = sys.argv[1:]
try:
    if name == "clip":
        rtnb.Clip.tone(440, 2.0).write(out)
    else:
        recording = rtnb.open(name)
        save = lambda out: recordings.save(pieces(recording.state.log), dict(recording.manifest), out)
        {"jsonl": recording.log.to_jsonl, "html": recording.report, "rtnb": save}.get(
            out.rsplit(".", 1)[-1], recording.export)(out)
except rtnb.RtnbError as error:
    print(type(error).__name__, error)
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("name", ["clip.wav", "out.rtnb", "out.jsonl", "out.html", "out.wav", "out"])
def test_every_writer_leaves_the_old_file_where_the_new_one_has_no_room(tmp_path, name):
    source = Path(__file__).parents[1] / "notebooks" / "recordings" / "06-record-and-replay.rtnb"
    out = tmp_path / name
    if out.suffix:
        out.write_bytes(b"old")
    given_ = "clip" if name == "clip.wav" else str(source)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, given_, str(out)], capture_output=True, text=True, check=False
    )
    assert "cannot be written: the file is larger than this system allows" in done.stdout, done
    assert name in done.stdout
    assert done.stdout.startswith("AudioError" if name == "clip.wav" else "RecordingError")
    assert not list(tmp_path.rglob("*.part"))
    if out.suffix:
        assert out.read_bytes() == b"old"
        assert files(tmp_path) == [name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_is_written_directly():
    full = replacing(Path("/dev/full"))
    with (
        pytest.raises(RecordingError, match=r"^'/dev/full' cannot be written: the disk is full"),
        full as file,
    ):
        file.write(b"x")
    with replacing(Path(os.devnull)) as file:
        file.write(b"x")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@posix
def test_a_link_stays_a_link_and_a_mode_stays(tmp_path):
    (tmp_path / "real.txt").write_bytes(b"old")
    (tmp_path / "real.txt").chmod(0o640)
    (tmp_path / "link.txt").symlink_to("real.txt")
    with replacing(tmp_path / "link.txt") as file:
        file.write(b"new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "real.txt").stat().st_mode) == 0o640
    umask = os.umask(0)
    os.umask(umask)
    with replacing(tmp_path / "new.txt") as file:
        file.write(b"new")
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o666 & ~umask
    assert files(tmp_path) == ["link.txt", "new.txt", "real.txt"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no/such/a.txt", "there is no folder"),
        ("a" * 300 + ".txt", "the name is too long (304 characters); choose a shorter one"),
        (".", "it is a directory; add a file name"),
        ("file/a.txt", "there is no folder"),
    ],
)
@posix
def test_a_path_that_cannot_be_written_is_refused_before_and_while_writing(tmp_path, name, words):
    (tmp_path / "file").touch()
    for attempt in (check_writable, lambda path: replacing(path).__enter__()):
        with pytest.raises(RecordingError) as caught:
            attempt(tmp_path / name)
        assert "cannot be written: " in str(caught.value)
        assert words in str(caught.value)
        assert len(str(caught.value)) <= 300
    assert files(tmp_path) == ["file"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user"
)
def test_without_permission(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    (tmp_path / "a.txt").chmod(0o400)
    with pytest.raises(RecordingError, match="permission denied"):
        check_writable(tmp_path / "a.txt")
    tmp_path.chmod(0o500)
    with pytest.raises(RecordingError, match="permission denied"):
        check_writable(tmp_path / "b.txt")


# Every public function that takes a path.


@pytest.fixture
def recorded(home):
    from frames import full

    from rtnb.recordings import save
    from rtnb.recordings.manifest import manifest
    from rtnb.recordings.writer import pieces

    state = full().state
    save(pieces(state.log), manifest(state, endpoint="a test"), home / "x.rtnb")
    rtnb.Clip.tone(440, 0.1).write(home / "a.wav")
    (home / "models.json").write_text('{"models": []}')
    (home / "model.gguf").touch()
    return home


READERS = {
    "Clip.read": lambda: rtnb.Clip.read("~/a.wav"),
    "Clip.of": lambda: rtnb.Clip.of(Path("~/a.wav")),
    "send": lambda: parse_content([Path("~/a.wav")], models.find(models.SEED)),
    "open": lambda: rtnb.open("~/x.rtnb"),
    "replay": lambda: rtnb.replay("~/x.rtnb").close(),
    "diff": lambda: rtnb.open("~/x.rtnb").diff("~/x.rtnb"),
    "verify": lambda: verify("~/x.rtnb"),
    "models.load": lambda: rtnb.models.load("~/models.json"),
    "rtnb info": lambda: main(["info", "~/x.rtnb"]),
    "rtnb verify": lambda: main(["verify", "~/x.rtnb"]),
}


@pytest.mark.parametrize("name", READERS)
def test_every_function_that_reads_a_file_expands_the_home_folder(recorded, name):
    assert READERS[name]() != 1
    models.reset()


WRITERS = {
    "out.wav": lambda out: rtnb.Clip.tone(440, 0.1).write(out),
    "out.jsonl": lambda out: rtnb.open("~/x.rtnb").log.to_jsonl(out),
    "out.txt": lambda out: rtnb.open("~/x.rtnb").export(out)[0],
    "items": lambda out: rtnb.open("~/x.rtnb").export(out)[0].parent,
    "out.html": lambda out: rtnb.open("~/x.rtnb").report(out),
    "saved.rtnb": lambda out: rtnb.replay("~/x.rtnb").save(out),
    "live.html": lambda out: rtnb.replay("~/x.rtnb").report(out),
    "scrubbed.rtnb": lambda out: rtnb.open("~/x.rtnb").scrub(out, voice="all") and Path(out).expanduser(),
    "recovered.rtnb": lambda out: recover("~/x.rtnb", out) and Path(out).expanduser(),
    "cli.txt": lambda out: main(["export", "~/x.rtnb", out]) or Path(out).expanduser(),
    "cli.html": lambda out: main(["report", "~/x.rtnb", out]) or Path(out).expanduser(),
    "cli.rtnb": lambda out: main(["scrub", "~/x.rtnb", out, "--voice", "all"]) or Path(out).expanduser(),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_function_that_writes_a_file_expands_the_home_folder(recorded, name):
    assert WRITERS[name](f"~/{name}") == recorded / name
    assert (recorded / name).exists()
    assert not list(recorded.rglob("*.part"))


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "items"])
@posix
def test_a_name_that_is_too_long_is_a_short_sentence_and_leaves_no_file(recorded, name, capsys):
    out = str(recorded / ("n" * 300 + Path(name).suffix))
    before = files(recorded)
    try:
        words = f"{capsys.readouterr().err}{WRITERS[name](out)}{capsys.readouterr().err}"
    except (AudioError, RecordingError) as error:
        words = str(error)
    assert "cannot be written: the name is too long (30" in words
    assert "choose a shorter one" in words
    assert files(recorded) == before


def test_every_setting_that_names_a_path_expands_the_home_folder(recorded, monkeypatch):
    for name in ("RTNB_HOME", "RTNB_CACHE"):
        monkeypatch.setenv(name, "~/rtnb")
    monkeypatch.setenv("RTNB_MODELS", "~/models.json")
    assert autosave.folder() == recorded / "rtnb" / "autosave"
    assert state_files.home() == recorded / "rtnb" / "servers"
    assert weights.cache_dir() == recorded / "rtnb" / "weights"
    assert model_tables.from_environment() == {"models": []}
    assert launcher._absolute("local,llm=~/model.gguf").endswith(os.path.realpath(recorded / "model.gguf"))
    monkeypatch.setenv("RTNB_HOME", "a\0b" if sys.platform == "win32" else "https://example.org/home")
    with pytest.raises(ArgumentError, match=r"^RTNB_HOME: "):
        autosave.folder()
