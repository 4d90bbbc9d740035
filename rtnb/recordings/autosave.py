"""Autosave: writes a live session's log to a folder while it runs, so that no frame is lost with the process.

The folder exists before the session is used, and is a recording without an end: ``events.jsonl`` grows, line
by line. A thread of its own follows the log and writes new frames, a few milliseconds after they arrived:
audio never waits for a disk. Until then they are in the folder's tail (``rtnb.recordings.autosave_tail``), so
that no frame is lost with the process, however late that thread is. Here the base64 of audio stays in its
frame, so that one write has all there is, and a process that ends between two writes leaves no audio without
its event. Every 5 seconds the file is synced to the disk, to survive a crash of the machine as well.

The folder is removed when its session is closed. If the process ends first it stays, and ``rtnb recover``
makes a recording of it. The session need not hold in memory what is in the file: the log releases audio and
whole blocks of frames, and reads them from the file, which it holds open for as long as it exists, removed or
not. Autosaves older than 14 days, and the oldest if all together exceed 2 GB, are removed when a session
starts.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout
from pybase64 import b64decode, b64encode

from ..errors import ArgumentError, RecordingError
from ..paths import short, user_path
from ..protocol.entries import SERVER, Columns
from ..protocol.log_storage import Span
from ..protocol.state import SessionState
from ..redaction import clean, known_keys
from .autosave_tail import Tail
from .event_lines import prefix, verbatim
from .format import EVENTS, MANIFEST, README, README_NAME
from .manifest import manifest
from .reader import Reader, refuse_jsonl
from .writer import pieces, recording_path, redacted_rows, save, split
from .zip_files import size_of

__all__ = ["Autosave", "autosave_mode", "autosaves", "folder", "recover", "remove"]

_log = logging.getLogger("rtnb")

_WRITE_INTERVAL = 0.005
"""Seconds between writes: one write for all frames that arrived meanwhile."""
_IDLE_SECONDS = 0.5
_MAX_AUDIO = 1 << 20
"""Bytes of audio in one write. Not more, since they are copied."""
_SYNC_INTERVAL = 5.0
_CLOSE_TIMEOUT = 10.0
_MAX_DAYS = 14
_MAX_BYTES = 2_000_000_000
_OFF = frozenset({"0", "no", "off", "false"})
_numbers = count()


def folder() -> Path:
    """Return the folder of autosaves: ``RTNB_HOME/autosave``, or in the user's state folder."""
    home = os.environ.get("RTNB_HOME", "").strip()
    if home:
        return user_path(home, "RTNB_HOME") / "autosave"
    from platformdirs import user_state_path

    return user_state_path("rtnb", appauthor=False) / "autosave"


def autosave_mode(option: bool | str | None) -> str:
    """Return "" for no autosave, "on", or "keep" for one that stays after the session is closed.

    ``None`` reads the environment: ``RTNB_AUTOSAVE`` is 0 (off), 1 or keep. Raises ArgumentError.
    """
    if option is None:
        option = os.environ.get("RTNB_AUTOSAVE", "").strip().lower() or True
        option = option if option == "keep" else option not in _OFF
    if option not in (True, False, "keep"):
        raise ArgumentError(f'autosave must be True, False or "keep"; got {option!r:.60}')
    return "keep" if option == "keep" else "on" if option else ""


class Autosave:
    """Writes one session's log to a folder. A full disk stops it with a warning; the session goes on.

    The folder, with all frames so far, exists when this returns. ``wait(seen, seconds)`` blocks until the
    session's count of changes differs from ``seen`` and returns it. ``about`` is as for `manifest`.
    """

    def __init__(
        self,
        state: SessionState,
        wait: Callable[[int, float | None], int],
        *,
        keep: bool = False,
        **about: Any,
    ) -> None:
        self._state = state
        self._wait = wait
        self._keep = keep
        self._discard = not keep
        self._closing = threading.Event()
        self._keys = known_keys()
        self._wall: int | None = None
        self._size = 0  # of events.jsonl
        self._lock: FileLock | None = None
        self._tail: Tail | None = None
        self.path: Path | None = None
        self.written = 0
        """How many of the log's frames are in the folder."""
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="rtnb autosave", daemon=True)
        try:
            self._begin(manifest(state, autosave=True, **about))
        except Exception as error:
            self._fail(error)
            self._end()
        else:
            self._thread.start()

    def close(self, *, discard: bool = True) -> None:
        """Write the rest and stop; may be called twice. ``discard`` removes the folder, unless ``keep``."""
        self._discard = discard and not self._keep
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_TIMEOUT)

    def _fail(self, error: Exception) -> None:
        self.problem = f"autosave stopped, and the session goes on without: {error}"
        _log.warning("%s", self.problem)

    def _begin(self, about: dict[str, Any]) -> None:
        """Make the folder and write all frames so far."""
        place = folder()
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = place / f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}-{next(_numbers)}.rtnb"
        self._lock = FileLock(f"{path}.lock", thread_local=False)
        self._lock.acquire(timeout=0)
        path.mkdir(mode=0o700)
        about |= {"redacted": 0, "tracks": [], "complete": False}
        (path / README_NAME).write_text(README, encoding="utf-8")
        (path / MANIFEST).write_bytes(clean(orjson.dumps(about, option=orjson.OPT_INDENT_2)))
        opened = os.open(
            path / EVENTS, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600
        )
        self._file = open(opened, "wb", buffering=0)  # noqa: SIM115 (closed by the thread)
        # Windows removes no file that is open: there the session keeps all in memory.
        on_disk = None if sys.platform == "win32" else _OpenFile(path / EVENTS)
        self._spilled = None if on_disk is None else self._state.log.spill(on_disk, _Base64(on_disk))
        self._tail = Tail(path, self._keys)
        self._state.log.set_journal(self._tail.append)
        self.path = path
        self._write_new()

    def _run(self) -> None:
        try:
            _remove_old()
            with self._file:
                self._follow()
        except Exception as error:
            self._fail(error)
        self._close_tail()  # before its files are removed
        unwanted = self._discard or not len(self._state.log)
        if self.path is not None and self._closing.is_set() and unwanted:
            shutil.rmtree(self.path, ignore_errors=True)
        self._end()

    def _close_tail(self) -> None:
        self._state.log.set_journal(None)
        if self._tail is not None:
            self._tail.close()

    def _end(self) -> None:
        self._close_tail()
        if self._lock is not None:
            self._lock.release()
            with suppress(OSError):
                Path(self._lock.lock_file).unlink(missing_ok=True)

    def _follow(self) -> None:
        synced, seen, dirty = time.monotonic(), -1, True
        syncing: threading.Thread | None = None
        while True:
            closing = self._closing.is_set()
            dirty = self._write_new() or dirty
            if closing:
                if syncing is not None:
                    syncing.join()
                if not self._discard:
                    _sync(self._file.fileno())
                return
            due = dirty and time.monotonic() - synced > _SYNC_INTERVAL
            if due and not (syncing is not None and syncing.is_alive()):
                # On a thread of its own: a disk may take long, and frames arrive meanwhile.
                syncing = threading.Thread(
                    target=_sync, args=(self._file.fileno(),), name="rtnb fsync", daemon=True
                )
                syncing.start()
                synced, dirty = time.monotonic(), False
            self._closing.wait(_WRITE_INTERVAL)
            if not self._closing.is_set():
                seen = self._wait(seen, _IDLE_SECONDS)

    def _write_new(self) -> bool:
        """Write the frames that are not written yet; return whether there were any."""
        before = self.written
        for piece in pieces(self._state.log, self.written, most=_MAX_AUDIO):
            text, spans, sounds = self._lines(piece)
            data = memoryview(text)
            while len(data):
                data = data[self._file.write(data) :]
            if self._spilled is not None:
                self._spilled.note(piece.first, spans, sounds)
            self._size += len(text)
            self.written += len(piece)
            if self._tail is not None:
                self._tail.written = self.written
        return self.written > before

    def _lines(self, piece: Columns) -> tuple[bytes, list[list[Span] | None], list[int | None]]:
        """Return the lines of some events, and where in the file their stored frames and their audio are."""
        redacted = redacted_rows(piece, self._keys)
        walls = dict(zip(piece.wall_rows.tolist(), piece.walls.tolist(), strict=True))
        parts: list[bytes] = []
        spans: list[list[Span] | None] = []
        sounds: list[int | None] = []
        at = self._size
        turns, times = piece.turns.tolist(), piece.times.tolist()
        for row, (kind, (_, stored, audio, cut)) in enumerate(
            zip(piece.kinds.tolist(), split(piece), strict=True)
        ):
            t_ns, type = times[row], piece.names[kind & (SERVER - 1)]
            wall = walls.get(row, self._wall)
            wall_ns = wall + t_ns if wall is not None and wall != self._wall else None
            self._wall = wall
            encoded = b"" if audio is None else b64encode(audio)
            start = prefix(t_ns, bool(kind & SERVER), turns[row], wall_ns=wall_ns, redacted=row in redacted)
            before, frame, end = verbatim(stored, type)
            if encoded:
                if frame:
                    frame = stored[:cut] + encoded + stored[cut:]
                else:
                    before, frame, end = verbatim(stored[:cut] + encoded + stored[cut:], type)
            line = (start, before, frame, end)
            place = at + len(start) + len(line[1])
            at += sum(map(len, line))
            parts += line
            as_it_was = row not in redacted and bool(line[2])  # neither a key redacted nor escaped
            if audio is not None:
                sounds.append(place + cut if as_it_was else None)
            whole = [(0, place), (cut, place + cut + len(encoded))] if encoded else [(0, place)]
            spans.append(whole if as_it_was else None)
        return b"".join(parts), spans, sounds


def _sync(file: int) -> None:
    with suppress(OSError):  # the next write fails as well, and is reported
        os.fsync(file)


class _OpenFile:
    """A file that stays readable as long as this object exists, even after it was removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDONLY)
        # Not at interpreter exit, where the session may still be saved: the system closes the file then.
        weakref.finalize(self, os.close, self._file).atexit = False

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from the offset ``at``. Raises RecordingError."""
        try:
            data = os.pread(self._file, size, at)
        except OSError as error:
            raise RecordingError(
                f"the autosave {self._path} cannot be read: {error.strerror or error}"
            ) from None
        if len(data) != size:
            raise RecordingError(f"the autosave {self._path} was cut while its session still needs it")
        return data


class _Base64:
    """The audio whose base64 is in a file."""

    def __init__(self, file: _OpenFile) -> None:
        self._file = file

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes whose base64 begins at the offset ``at``. Raises RecordingError."""
        return b64decode(self._file.read(at, (size + 2) // 3 * 4))


def autosaves(*, empty: bool = False) -> list[tuple[Path, bool]]:
    """Return all autosaves, the newest first, and whether a running session still writes each.

    Those without an event, whose process ended before it wrote any, are left out unless ``empty``.
    """
    found = []
    for path in folder().glob("*.rtnb"):
        with suppress(OSError, RecordingError):  # its session is closing
            events = path / EVENTS
            if empty or (events.exists() and events.stat().st_size):
                found.append((_changed(path), path, _live(path)))
    return [(path, live) for _, path, live in sorted(found, reverse=True)]


def _changed(path: Path) -> float:
    """Return when the last frame was written, in seconds since 1970. Raises OSError."""
    events = path / EVENTS
    return (events if events.exists() else path).stat().st_mtime


def _live(path: Path) -> bool:
    lock = FileLock(f"{path}.lock")
    if not Path(lock.lock_file).exists():
        return False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def remove(path: Path) -> None:
    """Remove an autosave and its lock."""
    shutil.rmtree(path, ignore_errors=True)
    Path(f"{path}.lock").unlink(missing_ok=True)


def _remove_old() -> None:
    """Remove autosaves that are too old, and the oldest if they have too many bytes. Those in use stay."""
    oldest, room = time.time() - _MAX_DAYS * 86_400, _MAX_BYTES
    for path, live in autosaves(empty=True):
        with suppress(OSError, RecordingError):
            room -= size_of(path)
            if not live and (_changed(path) < oldest or room < 0):
                remove(path)


def recover(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> tuple[Reader, int]:
    """Make a recording of an autosave or a damaged recording, from everything in it that is intact.

    Returns the reader, with ``lost`` and ``problem``, and the number of events. Raises RecordingError.
    """
    refuse_jsonl(source, "which can be repaired in a text editor, line by line")
    reader = Reader(source, repair=True)
    out = recording_path(out)
    if os.path.exists(out) and out.samefile(reader.path):
        raise RecordingError(f"{short(out)} is the damaged file itself: choose another name for the copy")
    if not len(reader.log):
        raise RecordingError(f"{short(reader.path.name)} has no intact event: there is nothing to recover")
    media = ((one.side, one.audio, one.codec, one.t_ns) for one in reader.media)
    state = SessionState.of(reader.log, media)
    known = reader.manifest
    about = manifest(
        state,
        endpoint=str(known.get("endpoint") or ""),
        engine=str(known.get("engine") or ""),
        billed=known.get("billed") is not False,
        model=str(known.get("model") or ""),
    )
    same = ("rtnb", "libraries", "scrubbed", "end", "requested_model", "time_scaled")
    about |= {name: known[name] for name in same if name in known}
    if not reader.complete or reader.lost:
        why = "; ".join(reader.lost) or "the recording was recovered: its session ended with its process"
        about["end"] = about.get("end") or {"code": None, "reason": "", "why": why}
    about["redacted"] = known.get("redacted")
    copies = reader.copies()
    save(pieces(reader.log), about, out, media=reader.media, redacted=reader.redacted, copies=copies or None)
    return reader, len(reader.log)
