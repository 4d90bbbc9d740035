"""The shared server process of the embedded engine: found, started when needed, stopped.

All notebooks of one user, with one Python and one version of rtnb, share a process per engine spec. It is
found through a state file (readable by its user alone, since it holds the key), it survives the kernel that
started it, and it ends itself when nobody was connected for a while (``RTNB_IDLE`` seconds, 600 by default).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ..engines.registry import normalise, parse_spec
from ..errors import EngineError, WeightsError

__all__ = ["Endpoint", "Status", "ensure", "status", "stop"]

_WEIGHTS_STATUS = 3  # how the command line ends where weights are missing
_START_SECONDS = 180.0
_STOP_SECONDS = 10.0
_HEALTH_SECONDS = 3.0
_TICK = 0.25
_LOG_LINES = 8
_IDLE = "600"

_children: list[subprocess.Popen[bytes]] = []  # kept until they have ended, so that each is reaped


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens. The key is not in its repr."""

    url: str
    key: str = field(repr=False)
    engine: str


@dataclass(frozen=True, slots=True)
class Status:
    """A server process that runs: its engine spec, address, process id and open sessions."""

    spec: str
    url: str
    pid: int
    sessions: int


def ensure(spec: str | None = None, *, progress: Callable[[str], None] | None = None) -> Endpoint:
    """Return the server of the engine ``spec`` (None: as RTNB_ENGINE says), started if it does not run.

    ``progress`` is told in words, several times a second, while an engine starts; by default one line goes to
    stderr if it takes more than a second.

    Raises:
        EngineError: The engine cannot start; the text has its last words.
        WeightsError: Its weights are not installed.
    """
    full = _absolute(spec)
    state_file = _state_file(full)
    with _locked(state_file):
        _reap()
        state = _read(state_file)
        if state is not None and _health(state) is not None:
            return Endpoint(state["url"], state["key"], full)
        state = _start(full, state_file, progress or _OneLine())
        return Endpoint(state["url"], state["key"], full)


def stop(spec: str | None = None) -> bool:
    """End the server of the engine ``spec``; return whether one was running.

    Raises:
        EngineError: It does not end within 10 seconds.
    """
    full = _absolute(spec)
    state_file = _state_file(full)
    with _locked(state_file):
        state = _read(state_file)
        if state is None or _health(state) is None:
            return False
        os.kill(state["pid"], signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while _health(state) is not None:
            if time.monotonic() > deadline:
                raise EngineError(f"the server of {full!r} (process {state['pid']}) does not end: kill it")
            time.sleep(_TICK / 5)
        _reap()
        state_file.unlink(missing_ok=True)
        return True


def status() -> list[Status]:
    """Return the servers that run for this user, this Python and this version of rtnb, or others."""
    found: list[Status] = []
    for state_file in sorted(_home().glob("*.json")):
        state = _read(state_file)
        if state is not None and (health := _health(state)) is not None:
            found.append(Status(state["spec"], state["url"], state["pid"], int(health["sessions"])))
    return found


class _OneLine:
    """Says once that something takes its time."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._said = False

    def __call__(self, text: str) -> None:
        if not self._said and time.monotonic() - self._since > 1.0:
            self._said = True
            print(text, file=sys.stderr, flush=True)


def _home() -> Path:
    """Return the folder of state files, made if absent and readable by its user alone."""
    given = os.environ.get("RTNB_HOME", "").strip()
    if given:
        folder = Path(given).expanduser() / "servers"
    else:
        from platformdirs import user_cache_path

        folder = user_cache_path("rtnb", appauthor=False) / "servers"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise EngineError(
            f"the folder {folder} for the state of servers cannot be made ({error.strerror or error}):"
            " set RTNB_HOME to one that can be written to"
        ) from None
    return folder


@contextmanager
def _locked(state_file: Path) -> Iterator[None]:
    """Keep other processes from starting or stopping the same server meanwhile."""
    from filelock import FileLock, Timeout

    lock = FileLock(state_file.with_suffix(".lock"), timeout=_START_SECONDS)
    try:
        with lock:
            yield
    except Timeout:
        raise EngineError(
            f"another process has been starting or stopping this engine for {_START_SECONDS:.0f} s:"
            f" wait for it, or delete {lock.lock_file} if there is none"
        ) from None
    except OSError as error:
        raise EngineError(f"the server's state in {state_file.parent} cannot be kept: {error}") from None


def _absolute(spec: str | None) -> str:
    """Return the normal form of a spec, with paths that do not depend on this process's folder."""
    name, options = parse_spec(spec)
    for key, value in options.items():
        part, colon, setting = value.partition(":")
        if colon and "://" not in value and Path(setting).is_file():
            options[key] = f"{part}:{Path(setting).resolve()}"
    return normalise(",".join([name, *(f"{key}={value}" for key, value in options.items())]))


def _state_file(spec: str) -> Path:
    from .app import rtnb_version

    about = json.dumps([spec, rtnb_version(), sys.executable])
    return _home() / f"{hashlib.sha256(about.encode()).hexdigest()[:20]}.json"


def _read(state_file: Path) -> dict[str, Any] | None:
    try:
        state = json.loads(state_file.read_text("utf-8"))
        return {"pid": int(state["pid"]), **{key: str(state[key]) for key in ("url", "key", "spec")}}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(state_file: Path, state: dict[str, Any]) -> None:
    fresh = state_file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(state, file)
    fresh.replace(state_file)


def _health(state: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the server says of itself; None if it is not there or another program is."""
    place = urlsplit(state["url"])
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_HEALTH_SECONDS)
    try:
        connection.request("GET", "/health")
        health = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    ours = isinstance(health, dict) and health.get("name") == "rtnb" and health.get("pid") == state["pid"]
    return health if ours else None


def _reap() -> None:
    """Collect children that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def _start(spec: str, state_file: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    key = secrets.token_urlsafe(32)
    log_file = state_file.with_suffix(".log")
    command = [sys.executable, "-P", "-m", "rtnb", "serve", "--port", "0", "--engine", spec]
    command += ["--idle", os.environ.get("RTNB_IDLE", "").strip() or _IDLE]
    with log_file.open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=state_file.parent,
            env=_environment(key),
            **_detached(),
        )
    _children.append(child)
    try:
        url = _ready_line(child, spec, log_file, progress)
    except BaseException:  # a failed or interrupted start leaves nothing behind
        child.kill()
        child.wait()
        raise
    finally:
        _reap()
    state = {"pid": child.pid, "url": url, "key": key, "spec": spec}
    _write(state_file, state)
    return state


def _ready_line(
    child: subprocess.Popen[bytes], spec: str, log_file: Path, progress: Callable[[str], None]
) -> str:
    assert child.stdout is not None  # it is a pipe
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read_line, args=(child.stdout, lines), daemon=True).start()
    began = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=_TICK).decode().strip()
            break
        except queue.Empty:
            waited = time.monotonic() - began
            progress(f"rtnb: starting the engine {spec!r} … {waited:.0f} s")
            if waited > _START_SECONDS:
                raise EngineError(
                    f"the engine {spec!r} did not start within {_START_SECONDS:.0f} s. Its log: {log_file}"
                ) from None
    if line.startswith("ws://"):
        return line
    code = child.wait()
    raise _last_words(spec, code, log_file)


def _read_line(stdout: IO[bytes], lines: queue.Queue[bytes]) -> None:
    with stdout:
        lines.put(stdout.readline())


def _last_words(spec: str, code: int, log_file: Path) -> EngineError:
    """Return the error of a server that ended instead of getting ready."""
    lines = log_file.read_text("utf-8", "replace").strip().splitlines()
    said = next((line for line in reversed(lines) if line.startswith("rtnb: ")), None)
    if said is not None:
        kind = WeightsError if code == _WEIGHTS_STATUS else EngineError
        return kind(said.removeprefix("rtnb: "))
    tail = "\n".join(lines[-_LOG_LINES:]) or "(it said nothing)"
    return EngineError(
        f"the engine {spec!r} ended with status {code} while starting. Its last words:\n{tail}"
    )


def _environment(key: str) -> dict[str, str]:
    """Return the child's environment: the key in it, and the way to this very rtnb."""
    environment = {**os.environ, "RTNB_SERVE_KEY": key}
    package = Path(__file__).resolve().parents[2]
    if str(package) not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        paths = [str(package), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def _detached() -> dict[str, Any]:
    """Return the arguments that keep a child alive beyond us, and out of reach of our Ctrl-C."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
        return {"creationflags": flags}
    return {"start_new_session": True}
