"""The state files by which shared servers are found, readable by their user only, and the locks for them.

The name of a state file is two hashes. The first is of the engine spec and the installation of rtnb (the
environment and the package's folder), the second of the version of its code: after an upgrade, or a pull into
a checkout, no notebook uses a server with the old code.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .._version import __version__
from ..errors import EngineError
from ..paths import user_path

__all__ = [
    "PACKAGE",
    "ServerState",
    "StatePaths",
    "ask",
    "health",
    "home",
    "installed",
    "locked",
    "paths",
    "read",
    "write",
]

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of this rtnb package."""

_LOCK_SECONDS = 180.0
_HEALTH_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class ServerState:
    """The content of a state file: a server's engine spec, address, process id, log file and key."""

    spec: str
    url: str
    pid: int
    log: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StatePaths:
    """The files for the server of a spec: its lock, and the state file for this version of the code."""

    lock: Path
    state: Path

    def states(self) -> list[Path]:
        """Return the state files of this spec and installation, for all versions of the code."""
        return sorted(self.lock.parent.glob(f"{self.lock.stem}-*.json"))

    def logs(self) -> list[Path]:
        """Return the log files of this spec and installation, oldest first."""
        return sorted(self.lock.parent.glob(f"{self.lock.stem}-*.log"), key=_modified)


def home() -> Path:
    """Return the folder of state files, in ``RTNB_HOME`` or the user's cache; it may not exist yet."""
    chosen = os.environ.get("RTNB_HOME", "").strip()
    if chosen:
        return user_path(chosen, "RTNB_HOME", EngineError) / "servers"
    from platformdirs import user_cache_path

    return user_cache_path("rtnb", appauthor=False) / "servers"


def paths(spec: str) -> StatePaths:
    """Return the files for the server of ``spec``, which is in normal form. Creates their folder.

    Raises:
        EngineError: The folder cannot be created.
    """
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise EngineError(
            f"the folder {folder} for the state of servers cannot be created ({error.strerror or error}):"
            " set the environment variable RTNB_HOME to a writable folder"
        ) from None
    family = _digest(spec, os.path.realpath(sys.prefix), str(PACKAGE))[:20]
    version = _digest(__version__, "" if installed() else str(_newest(str(PACKAGE))))[:8]
    return StatePaths(folder / f"{family}.lock", folder / f"{family}-{version}.json")


def installed() -> bool:
    """Return whether this rtnb is installed into the environment; otherwise it is a checkout."""
    libraries = {os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    return str(PACKAGE.parent) in libraries


@contextmanager
def locked(lock_file: Path) -> Iterator[None]:
    """Prevent other processes from starting or stopping the same server meanwhile.

    Raises:
        EngineError: Another process has held the lock for 180 seconds, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file, timeout=_LOCK_SECONDS)
    try:
        with lock:
            yield
    except Timeout:
        raise EngineError(
            f"another process has been starting or stopping this engine for {_LOCK_SECONDS:.0f} s:"
            f" wait for it, or delete {lock.lock_file} if no process is running"
        ) from None
    except OSError as error:
        raise EngineError(f"the state of servers in {lock_file.parent} cannot be written: {error}") from None


def read(state_file: Path) -> ServerState | None:
    """Return the content of a state file; None if it does not exist or is invalid."""
    try:
        fields = json.loads(state_file.read_text("utf-8"))
        return ServerState(
            pid=int(fields["pid"]), **{name: str(fields[name]) for name in ("spec", "url", "log", "key")}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(state_file: Path, state: ServerState) -> None:
    """Write a state file atomically, readable by its user only."""
    temporary = state_file.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(state), file)
    temporary.replace(state_file)


def health(state: ServerState) -> dict[str, Any] | None:
    """Return the server's ``/health``; None if there is no answer in 3 seconds, or from another process."""
    try:
        return ask(state.url, state.pid, _HEALTH_SECONDS)
    except OSError:
        return None


def ask(url: str, pid: int, seconds: float) -> dict[str, Any] | None:
    """Return the ``/health`` of the server at ``url``; None if it is not rtnb in the process ``pid``.

    Raises:
        OSError: There was no answer: TimeoutError after ``seconds``, another if the port is closed.
    """
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=seconds)
    try:
        connection.request("GET", "/health")
        status = json.loads(connection.getresponse().read())
    except (ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    ours = isinstance(status, dict) and status.get("name") == "rtnb" and status.get("pid") == pid
    return status if ours else None


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _newest(folder: str) -> int:
    """Return when the newest Python file in ``folder`` was modified, in nanoseconds since 1970."""
    newest = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                newest = max(newest, _newest(entry.path))
            elif entry.name.endswith(".py"):
                newest = max(newest, entry.stat().st_mtime_ns)
    return newest


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # another process removed it
        return 0.0
