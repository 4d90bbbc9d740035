"""The spool: a live session's log on the disk as it runs, so that no frame is lost with the process.

A thread of its own follows the log and writes what is new, at most 5 ms after it arrived: sound never waits
for a disk. What is written survives the end of the process at once, however it ends; every 5 seconds it is
forced to the disk, to survive the machine's end as well. A spool is a recording without its end. It is
removed when the session is closed, and left where the process ended first: ``rtnb recover`` makes a recording
of it. What lies in it the session need not hold in memory: the log lets go of sound and of whole blocks of
frames, and reads them from the spool, which it keeps open for as long as it lives, removed or not. Spools
older than 14 days, and the oldest where all together have more than 2 GB, are removed when a session begins.
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
from ..protocol.events import as_object
from ..protocol.state import SessionState
from ..redaction import known_keys
from .reader import Reader, refuse_lines
from .writer import Writer, header, pieces, save

__all__ = ["Autosave", "folder", "recover", "spools", "wanted"]

_log = logging.getLogger("rtnb")

_EVERY = 0.005
"""Seconds between writes while frames come: one write for all that came meanwhile."""
_IDLE = 0.5
_SOUND = 1 << 20
"""Bytes of sound in one write: little, since it is copied on its way."""
_SYNC = 5.0
_PATIENCE = 10.0
_MOST_DAYS = 14
_MOST_BYTES = 2_000_000_000
_OFF = frozenset({"0", "no", "off", "false"})
_numbers = count()


def folder() -> Path:
    """Return where spools lie: ``RTNB_HOME/spool``, or the user's folder for the state of programs."""
    given = os.environ.get("RTNB_HOME", "").strip()
    if given:
        return Path(given).expanduser() / "spool"
    from platformdirs import user_state_path

    return user_state_path("rtnb", appauthor=False) / "spool"


def wanted(given: bool | str | None) -> str:
    """Return "" for no spool, "on", or "keep" for one that stays after the session was closed.

    ``None`` asks the environment: ``RTNB_AUTOSAVE`` is 0 (none), 1 or keep. Raises ArgumentError.
    """
    if given is None:
        given = os.environ.get("RTNB_AUTOSAVE", "").strip().lower() or True
        given = given if given == "keep" else given not in _OFF
    if given not in (True, False, "keep"):
        raise ArgumentError(f'spool is True, False or "keep", not {given!r}')
    return "keep" if given == "keep" else "on" if given else ""


class Autosave:
    """Follows one record's log into a file. A full disk ends it with a warning, and disturbs nobody.

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
        self._over = threading.Event()
        self.path: Path | None = None
        self.written = 0
        """How many of the log's frames are in the file."""
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="rtnb spool", daemon=True)
        self._thread.start()

    def close(self, *, discard: bool = True) -> None:
        """Write the rest and end. ``discard`` removes the file unless it is to be kept. Twice is allowed."""
        self._discard = discard and not self._keep
        self._over.set()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            place = folder()
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            _tidy(place)
            name = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}-{next(_numbers)}.rtnb"
            path = place / name
            with FileLock(f"{path}.lock", thread_local=False):
                with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                    self.path = path
                    self._follow(file, path)
                if self._over.is_set() and (self._discard or not self._state.turns.all):
                    path.unlink(missing_ok=True)
            Path(f"{path}.lock").unlink(missing_ok=True)
        except Exception as error:
            self.problem = f"the session is no longer spooled to the disk: {error}"
            _log.warning("%s", self.problem)

    def _follow(self, file: BinaryIO, path: Path) -> None:
        head = header(self._state, autosave=True, **self._about)
        writer = Writer(file, head, compress=False, keys=known_keys(), digest=False)
        file.flush()
        # Windows removes no file that is open: there the session keeps all in memory.
        filing = self._state.log.spill(_Opened(path)) if sys.platform != "win32" else None
        synced, seen, dirty = time.monotonic(), -1, True
        forcing: threading.Thread | None = None
        while True:
            over = self._over.is_set()
            if self.written < len(self._state.log):
                for piece in pieces(self._state.log, self.written, most=_SOUND):
                    lies = writer.write(piece)
                    file.flush()
                    if filing is not None and lies is not None:
                        filing.note(piece.first, len(piece), lies.frames, lies.sounds)
                    self.written += len(piece)
                dirty = True
            if over:
                if forcing is not None:
                    forcing.join()
                if not self._discard:
                    _force(file)
                return
            due = dirty and time.monotonic() - synced > _SYNC
            if due and not (forcing is not None and forcing.is_alive()):
                # On a thread of its own: a disk may take long to answer, and frames arrive meanwhile.
                forcing = threading.Thread(target=_force, args=(file,), name="rtnb fsync", daemon=True)
                forcing.start()
                synced, dirty = time.monotonic(), False
            self._over.wait(_EVERY)
            if not self._over.is_set():
                seen = self._wait(seen, _IDLE)


def _force(file: BinaryIO) -> None:
    with suppress(OSError, ValueError):  # it fails or is closed: then so does the next write, and says so
        os.fsync(file.fileno())


class _Opened:
    """A file to read from, open for as long as anybody holds it; also after it was removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDONLY)
        # At the process's end the system closes it: whoever saves the session then still reads from it.
        weakref.finalize(self, os.close, self._file).atexit = False

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from the place ``at``. Raises RecordingError."""
        try:
            data = os.pread(self._file, size, at)
        except OSError as error:
            raise RecordingError(
                f"the spool {self._path} cannot be read: {error.strerror or error}"
            ) from None
        if len(data) != size:
            raise RecordingError(f"the spool {self._path} was cut while its session still needs it")
        return data


def spools(*, empty: bool = False) -> list[tuple[Path, bool]]:
    """Return all spools, the newest first, and whether a running session still writes each.

    One whose process ended before it wrote anything is left out unless ``empty`` asks for it.
    """
    found = []
    for path in folder().glob("*.rtnb"):
        with suppress(OSError):  # its session closes just now
            told = path.stat()
            if told.st_size or empty:
                found.append((told.st_mtime, path, _live(path)))
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


def _tidy(place: Path) -> None:
    """Remove what is too old, and the oldest where there is too much. What still runs stays."""
    oldest, room = time.time() - _MOST_DAYS * 86_400, _MOST_BYTES
    for path, live in spools(empty=True):
        with suppress(OSError):
            told = path.stat()
            room -= told.st_size
            if not live and (told.st_mtime < oldest or room < 0):
                path.unlink()
                Path(f"{path}.lock").unlink(missing_ok=True)


def recover(source: Path, out: Path) -> tuple[Reader, int]:
    """Make a recording of a spool, or of a damaged recording: all that is whole of it.

    Returns what was read, with ``lost`` and ``problem``, and the number of events. Raises RecordingError.
    """
    refuse_lines(source, "which is mended in a text editor, line by line")
    reader = Reader(source, repair=True)
    if out.exists() and out.samefile(source):
        raise RecordingError(f"{str(out)!r} is the file itself: name another for what is recovered")
    if not len(reader.log):
        raise RecordingError(f"{source.name!r}: nothing of it is whole, so there is nothing to recover")
    state = SessionState.of(reader.log)
    told = reader.head
    head = header(
        state,
        where=str(told.get("where") or ""),
        engine=str(told.get("engine") or ""),
        billed=told.get("billed") is not False,
        model=str(told.get("model") or ""),
    )
    kept = ("rtnb", "libraries", "scrubbed", "end", "stated_model", "hurried")
    head |= {name: told[name] for name in kept if name in told}
    if reader.tail is None or reader.lost:
        why = "; ".join(reader.lost) or "the recording was recovered: its session ended with its process"
        head["end"] = head.get("end") or {"code": None, "reason": "", "why": why}
    head["redacted"] = told.get("redacted")
    options: dict[str, Any] = {"redacted": reader.redacted}
    groups = pieces(reader.log)
    if as_object(told.get("capture")).get("audio") == "opus":  # and stays as it is: twice coded, it is worse
        groups = reader.groups()
        options |= {"audio": "opus", "copies": reader.copies()}
    save(groups, head, out, **options)
    return reader, len(reader.log)
