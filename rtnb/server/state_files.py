"""Which shared servers there are: a state file for each, which its user alone can read, and a lock.

A file's name has two halves. The first stands for the engine spec and the installation of rtnb (the
environment, and the folder of the package), the second for the version of its code: after an upgrade, or a
pull into a checkout, nobody is served by the old code.
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
    "Place",
    "State",
    "ask",
    "health",
    "home",
    "installed",
    "locked",
    "place",
    "read",
    "write",
]

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of this very rtnb."""

_LOCK_SECONDS = 180.0
_HEALTH_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class State:
    """What is kept of a server: its engine spec, address, process id, log file, and the key to it."""

    spec: str
    url: str
    pid: int
    log: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server of a spec is kept: its lock, and the state file for the code as it is now."""

    lock: Path
    state: Path

    def states(self) -> list[Path]:
        """Return the state files of this spec and installation, of whatever version."""
        return sorted(self.lock.parent.glob(f"{self.lock.stem}-*.json"))

    def logs(self) -> list[Path]:
        """Return the log files of this spec and installation, the newest last."""
        return sorted(self.lock.parent.glob(f"{self.lock.stem}-*.log"), key=_modified)


def home() -> Path:
    """Return the folder of state files (it need not exist): in ``RTNB_HOME``, or the user's cache."""
    given = os.environ.get("RTNB_HOME", "").strip()
    if given:
        return user_path(given, "RTNB_HOME", EngineError) / "servers"
    from platformdirs import user_cache_path

    return user_cache_path("rtnb", appauthor=False) / "servers"


def place(spec: str) -> Place:
    """Return where the server of ``spec``, in normal form, is kept. The folder is made.

    Raises:
        EngineError: It cannot be made.
    """
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise EngineError(
            f"the folder {folder} for the state of servers cannot be made ({error.strerror or error}):"
            " set RTNB_HOME to one that can be written to"
        ) from None
    family = _digest(spec, os.path.realpath(sys.prefix), str(PACKAGE))[:20]
    version = _digest(__version__, "" if installed() else str(_newest(str(PACKAGE))))[:8]
    return Place(folder / f"{family}.lock", folder / f"{family}-{version}.json")


def installed() -> bool:
    """Tell whether this rtnb lies among the environment's packages; else it is a checkout."""
    libraries = {os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    return str(PACKAGE.parent) in libraries


@contextmanager
def locked(lock_file: Path) -> Iterator[None]:
    """Keep other processes from starting or stopping the same server meanwhile.

    Raises:
        EngineError: Another process has been at it for 180 seconds, or the lock cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file, timeout=_LOCK_SECONDS)
    try:
        with lock:
            yield
    except Timeout:
        raise EngineError(
            f"another process has been starting or stopping this engine for {_LOCK_SECONDS:.0f} s:"
            f" wait for it, or delete {lock.lock_file} if there is none"
        ) from None
    except OSError as error:
        raise EngineError(f"the server's state in {lock_file.parent} cannot be kept: {error}") from None


def read(state_file: Path) -> State | None:
    """Return what a state file says; None if it is absent or makes no sense."""
    try:
        kept = json.loads(state_file.read_text("utf-8"))
        return State(
            pid=int(kept["pid"]), **{name: str(kept[name]) for name in ("spec", "url", "log", "key")}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(state_file: Path, state: State) -> None:
    """Keep a state, in one step, for its user alone."""
    fresh = state_file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(state), file)
    fresh.replace(state_file)


def health(state: State) -> dict[str, Any] | None:
    """Return what the server says of itself; None if it does not answer within 3 seconds or is another's."""
    try:
        return ask(state.url, state.pid, _HEALTH_SECONDS)
    except OSError:
        return None


def ask(url: str, pid: int, seconds: float) -> dict[str, Any] | None:
    """Return what the server at ``url`` says of itself; None if it is not the process ``pid`` of rtnb.

    Raises:
        OSError: There is no answer: TimeoutError after so many ``seconds``, another where nobody listens.
    """
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=seconds)
    try:
        connection.request("GET", "/health")
        said = json.loads(connection.getresponse().read())
    except (ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    ours = isinstance(said, dict) and said.get("name") == "rtnb" and said.get("pid") == pid
    return said if ours else None


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _newest(folder: str) -> int:
    """Return when the newest Python file under ``folder`` was modified, in nanoseconds."""
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
    except OSError:  # another process has just removed it
        return 0.0
