"""Autosave: writes a live session's log to a file while it runs, so that no frame is lost with the process.

A separate thread follows the log and writes new frames at most 5 ms after they arrived: audio never waits
for a disk. Written frames survive any end of the process; every 5 seconds they are synced to the disk, to
survive a crash of the machine as well. An autosave file is a recording without an end. It is removed when
its session is closed. If the process ends first the file stays, and ``rtnb recover`` makes a recording of
it. The session need not hold in memory what is in the file: the log releases audio and whole blocks of
frames, and reads them from the file, which it holds open for as long as it exists, removed or not. Files
older than 14 days, and the oldest if all together exceed 2 GB, are removed when a session starts.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from ..errors import ArgumentError, RecordingError
from ..paths import short, user_path
from ..protocol.events import as_object
from ..protocol.state import SessionState
from ..redaction import known_keys
from .reader import Reader, refuse_jsonl
from .writer import Writer, header, pieces, recording_path, save

__all__ = ["Autosave", "autosave_mode", "autosaves", "folder", "recover"]

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
    """Return the folder of autosave files: ``RTNB_HOME/autosave``, or in the user's state folder."""
    home = os.environ.get("RTNB_HOME", "").strip()
    if home:
        return user_path(home, "RTNB_HOME") / "autosave"
    from platformdirs import user_state_path

    return user_state_path("rtnb", appauthor=False) / "autosave"


def autosave_mode(option: bool | str | None) -> str:
    """Return "" for no autosave, "on", or "keep" for a file that stays after the session is closed.

    ``None`` reads the environment: ``RTNB_AUTOSAVE`` is 0 (off), 1 or keep. Raises ArgumentError.
    """
    if option is None:
        option = os.environ.get("RTNB_AUTOSAVE", "").strip().lower() or True
        option = option if option == "keep" else option not in _OFF
    if option not in (True, False, "keep"):
        raise ArgumentError(f'autosave must be True, False or "keep"; got {option!r:.60}')
    return "keep" if option == "keep" else "on" if option else ""


class Autosave:
    """Writes one session's log to a file. A full disk stops it with a warning; the session goes on.

    ``wait(seen, seconds)`` blocks until the session's count of changes differs from ``seen`` and returns it.
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
        self._about = about
        self._keep = keep
        self._discard = not keep
        self._closing = threading.Event()
        self.path: Path | None = None
        self.written = 0
        """How many of the log's frames are in the file."""
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="rtnb autosave", daemon=True)
        self._thread.start()

    def close(self, *, discard: bool = True) -> None:
        """Write the rest and stop; may be called twice. ``discard`` removes the file, unless ``keep``."""
        self._discard = discard and not self._keep
        self._closing.set()
        self._thread.join(_CLOSE_TIMEOUT)

    def _run(self) -> None:
        try:
            place = folder()
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            _remove_old()
            name = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}-{next(_numbers)}.rtnb"
            path = place / name
            with FileLock(f"{path}.lock", thread_local=False):
                with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                    self.path = path
                    self._follow(file, path)
                if self._closing.is_set() and (self._discard or not self._state.turns.all):
                    path.unlink(missing_ok=True)
            Path(f"{path}.lock").unlink(missing_ok=True)
        except Exception as error:
            self.problem = f"autosave stopped, and the session goes on without: {error}"
            _log.warning("%s", self.problem)

    def _follow(self, file: BinaryIO, path: Path) -> None:
        head = header(self._state, autosave=True, **self._about)
        writer = Writer(file, head, compress=False, keys=known_keys(), digest=False)
        file.flush()
        # Windows removes no file that is open: there the session keeps all in memory.
        filing = self._state.log.spill(_OpenFile(path)) if sys.platform != "win32" else None
        synced, seen, dirty = time.monotonic(), -1, True
        syncing: threading.Thread | None = None
        while True:
            closing = self._closing.is_set()
            if self.written < len(self._state.log):
                for piece in pieces(self._state.log, self.written, most=_MAX_AUDIO):
                    written = writer.write(piece)
                    file.flush()
                    if filing is not None and written is not None:
                        filing.note(piece.first, len(piece), written.frames, written.sounds)
                    self.written += len(piece)
                dirty = True
            if closing:
                if syncing is not None:
                    syncing.join()
                if not self._discard:
                    _sync(file)
                return
            due = dirty and time.monotonic() - synced > _SYNC_INTERVAL
            if due and not (syncing is not None and syncing.is_alive()):
                # On a thread of its own: a disk may take long, and frames arrive meanwhile.
                syncing = threading.Thread(target=_sync, args=(file,), name="rtnb fsync", daemon=True)
                syncing.start()
                synced, dirty = time.monotonic(), False
            self._closing.wait(_WRITE_INTERVAL)
            if not self._closing.is_set():
                seen = self._wait(seen, _IDLE_SECONDS)


def _sync(file: BinaryIO) -> None:
    with suppress(OSError, ValueError):  # the next write fails as well, and is reported
        os.fsync(file.fileno())


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
                f"the autosave file {self._path} cannot be read: {error.strerror or error}"
            ) from None
        if len(data) != size:
            raise RecordingError(f"the autosave file {self._path} was cut while its session still needs it")
        return data


def autosaves(*, empty: bool = False) -> list[tuple[Path, bool]]:
    """Return all autosave files, the newest first, and whether a running session still writes each.

    Empty ones, whose process ended before it wrote anything, are left out unless ``empty``.
    """
    found = []
    for path in folder().glob("*.rtnb"):
        with suppress(OSError):  # its session is closing
            info = path.stat()
            if info.st_size or empty:
                found.append((info.st_mtime, path, _live(path)))
    return [(path, live) for _, path, live in sorted(found, reverse=True)]


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


def _remove_old() -> None:
    """Remove files that are too old, and the oldest if there are too many bytes. Those in use stay."""
    oldest, room = time.time() - _MAX_DAYS * 86_400, _MAX_BYTES
    for path, live in autosaves(empty=True):
        with suppress(OSError):
            info = path.stat()
            room -= info.st_size
            if not live and (info.st_mtime < oldest or room < 0):
                path.unlink()
                Path(f"{path}.lock").unlink(missing_ok=True)


def recover(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> tuple[Reader, int]:
    """Make a recording of an autosave file or a damaged recording, from everything in it that is intact.

    Returns the reader, with ``lost`` and ``problem``, and the number of events. Raises RecordingError.
    """
    refuse_jsonl(source, "which can be repaired in a text editor, line by line")
    reader = Reader(source, repair=True)
    out = recording_path(out)
    if os.path.exists(out) and out.samefile(reader.path):
        raise RecordingError(f"{short(out)} is the damaged file itself: choose another name for the copy")
    if not len(reader.log):
        raise RecordingError(f"{short(reader.path.name)} has no intact event: there is nothing to recover")
    state = SessionState.of(reader.log)
    known = reader.head
    head = header(
        state,
        where=str(known.get("where") or ""),
        engine=str(known.get("engine") or ""),
        billed=known.get("billed") is not False,
        model=str(known.get("model") or ""),
    )
    same = ("rtnb", "libraries", "scrubbed", "end", "requested_model", "time_scaled")
    head |= {name: known[name] for name in same if name in known}
    if reader.tail is None or reader.lost:
        why = "; ".join(reader.lost) or "the recording was recovered: its session ended with its process"
        head["end"] = head.get("end") or {"code": None, "reason": "", "why": why}
    head["redacted"] = known.get("redacted")
    options: dict[str, Any] = {"redacted": reader.redacted}
    groups = pieces(reader.log)
    if (
        as_object(known.get("capture")).get("audio") == "opus"
    ):  # copied, since encoding it again would make it worse
        groups = reader.groups()
        options |= {"audio": "opus", "copies": reader.copies()}
    save(groups, head, out, **options)
    return reader, len(reader.log)
