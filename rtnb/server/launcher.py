"""The shared server process of the embedded engine: found, started when needed, stopped.

All notebooks of one user, with one environment and one version of rtnb's code, share a process per engine
spec. It is found through its state file (see :mod:`rtnb.server.state_files`), it survives the kernel that
started it, and it ends itself when nobody was connected for a while (``RTNB_IDLE`` seconds, 600 by default).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..engines.registry import normalise, parse_spec
from ..errors import EngineError, WeightsError
from . import state_files
from .state_files import Place, State

__all__ = ["Endpoint", "Status", "ensure", "last_words", "status", "stop", "stop_all"]

_WEIGHTS_STATUS = 3  # how the command line ends where weights are missing
_START_SECONDS = 180.0
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_TICK = 0.25
_LOG_LINES = 8
_LOGS = 5  # kept per engine, so that the log of a server that died outlives its successor's start
_IDLE = "600"

_children: list[subprocess.Popen[bytes]] = []  # kept until they have ended, so that each is reaped


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens, and which process it is. The key is not in its repr."""

    url: str
    key: str = field(repr=False)
    engine: str
    pid: int
    log: Path


@dataclass(frozen=True, slots=True)
class Status:
    """A server process that runs: its engine spec, address, process id, open sessions and log file."""

    spec: str
    url: str
    pid: int
    sessions: int
    log: Path


def ensure(spec: str | None = None, *, progress: Callable[[str], None] | None = None) -> Endpoint:
    """Return the server of the engine ``spec`` (None: as RTNB_ENGINE says), started if it does not run.

    One of an older version of the code that nobody uses is ended. ``progress`` is told in words, several
    times a second, while an engine starts; by default one line goes to stderr if it takes more than a second.

    Raises:
        EngineError: The engine cannot start; the text has its last words. Or RTNB_IDLE is no time.
        WeightsError: Its weights are not installed.
    """
    full = _absolute(spec)
    place = state_files.place(full)
    with state_files.locked(place.lock):
        _reap()
        state = state_files.read(place.state)
        if state is None or state_files.health(state) is None:
            _retire(place)
            state = _start(full, place, progress or _OneLine())
        return Endpoint(state.url, state.key, full, state.pid, Path(state.log))


def stop(spec: str | None = None) -> bool:
    """End the server of the engine ``spec``, of whatever version; return whether one was running.

    Raises:
        EngineError: It does not end within 10 seconds.
    """
    place = state_files.place(_absolute(spec))
    with state_files.locked(place.lock):
        return sum(map(_end, place.states())) > 0


def stop_all(*, force: bool = False) -> list[Status]:
    """End the servers of this user that have no sessions, or with ``force`` all; return those that ended.

    Raises:
        EngineError: One does not end within 10 seconds.
    """
    ended: list[Status] = []
    for file in _files():
        with state_files.locked(file.with_name(f"{file.stem.partition('-')[0]}.lock")):
            found = _status(file)
            if found is not None and (force or not found.sessions) and _end(file):
                ended.append(found)
    return ended


def status() -> list[Status]:
    """Return the servers that run for this user, of this installation and version of rtnb or another."""
    return [found for file in _files() if (found := _status(file)) is not None]


def last_words(endpoint: Endpoint) -> str | None:
    """Return how the process of ``endpoint`` ended, with its log file, or None while it runs or only hangs.

    It is asked over its own port, which another process may have taken: the answer names the process.
    """
    try:
        if state_files.ask(endpoint.url, endpoint.pid, _LOOK_SECONDS) is not None:
            return None
    except TimeoutError:
        return None
    except OSError:
        pass  # nobody listens there any more
    child = next((one for one in _children if one.pid == endpoint.pid), None)
    code = None
    if child is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):  # its port closes a moment before it ends
            code = child.wait(_LOOK_SECONDS)
    how = "" if code is None else f" by signal {-code}" if code < 0 else f" with status {code}"
    lines = _log_lines(endpoint.log)
    said = f"; it said at last {lines[-1][:200]!r}" if lines else ""
    return f"the process of the engine {endpoint.engine!r} ended{how} (its log: {endpoint.log}){said}"


def _files() -> list[Path]:
    return sorted(state_files.home().glob("*-*.json"))


def _status(state_file: Path) -> Status | None:
    state = state_files.read(state_file)
    if state is None or (health := state_files.health(state)) is None:
        return None
    return Status(state.spec, state.url, state.pid, int(health["sessions"]), Path(state.log))


def _end(state_file: Path) -> bool:
    """End the server of a state file and remove the file; return whether it was running."""
    state = state_files.read(state_file)
    running = state is not None and state_files.health(state) is not None
    if state is not None and running:
        _terminate(state)
        deadline = time.monotonic() + _STOP_SECONDS
        while state_files.health(state) is not None:
            if time.monotonic() > deadline:
                raise EngineError(f"the server of {state.spec!r} (process {state.pid}) does not end: kill it")
            time.sleep(_TICK / 5)
        _reap()
    state_file.unlink(missing_ok=True)
    return running


def _retire(place: Place) -> None:
    """Make room: end servers of older code that nobody uses, forget dead ones and their old logs."""
    for file in place.states():
        state = state_files.read(file)
        health = None if state is None else state_files.health(state)
        if state is not None and health is not None:
            if health["sessions"]:
                continue
            _terminate(state)
        file.unlink(missing_ok=True)
    for log in place.logs()[: 1 - _LOGS]:
        with contextlib.suppress(OSError):  # Windows keeps the log of a process that runs
            log.unlink()


def _terminate(state: State) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)


class _OneLine:
    """Says once that something takes its time."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._said = False

    def __call__(self, text: str) -> None:
        if not self._said and time.monotonic() - self._since > 1.0:
            self._said = True
            print(text, file=sys.stderr, flush=True)


def _absolute(spec: str | None) -> str:
    """Return the normal form of a spec, with paths that do not depend on this process's folder."""
    name, options = parse_spec(spec)
    for key, value in options.items():
        part, colon, setting = value.partition(":")
        path = os.path.expanduser(setting)
        if colon and "://" not in value and os.path.isfile(path):
            options[key] = f"{part}:{os.path.realpath(path)}"
    return normalise(",".join([name, *(f"{key}={value}" for key, value in options.items())]))


def _reap() -> None:
    """Collect children that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


@atexit.register
def _disown() -> None:
    """Part from servers that go on when this process ends; Popen would warn that they still run."""
    _reap()
    for child in _children:
        child.returncode = 0


def _start(spec: str, place: Place, progress: Callable[[str], None]) -> State:
    idle = _idle()
    key = secrets.token_urlsafe(32)
    log_file = place.state.with_name(f"{place.state.stem}-{secrets.token_hex(3)}.log")
    command = [sys.executable, "-P", "-m", "rtnb", "serve", "--port", "0", "--engine", spec]
    command += ["--idle", idle]
    with log_file.open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=place.state.parent,
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
    state = State(spec, url, child.pid, str(log_file), key)
    state_files.write(place.state, state)
    return state


def _idle() -> str:
    given = os.environ.get("RTNB_IDLE", "").strip() or _IDLE
    with contextlib.suppress(ValueError):
        if float(given) > 0:
            return given
    raise EngineError(f"RTNB_IDLE is a number of seconds above 0, such as {_IDLE}, not {given!r}")


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
    raise _failed(spec, code, log_file)


def _read_line(stdout: IO[bytes], lines: queue.Queue[bytes]) -> None:
    with stdout:
        lines.put(stdout.readline())


def _failed(spec: str, code: int, log_file: Path) -> EngineError:
    """Return the error of a server that ended instead of getting ready."""
    lines = _log_lines(log_file)
    said = next((line for line in reversed(lines) if line.startswith("rtnb: ")), None)
    if said is not None:
        kind = WeightsError if code == _WEIGHTS_STATUS else EngineError
        return kind(said.removeprefix("rtnb: "))
    tail = "\n".join(lines[-_LOG_LINES:]) or "(it said nothing)"
    return EngineError(
        f"the engine {spec!r} ended with status {code} while starting. Its last words:\n{tail}"
    )


def _log_lines(log_file: Path) -> list[str]:
    try:
        return log_file.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return []


def _environment(key: str) -> dict[str, str]:
    """Return the child's environment: the key in it, and the way to this very rtnb."""
    environment = {**os.environ, "RTNB_SERVE_KEY": key}
    if not state_files.installed():
        paths = [str(state_files.PACKAGE.parent), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def _detached() -> dict[str, Any]:
    """Return the arguments that keep a child alive beyond us, and out of reach of our Ctrl-C."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
        return {"creationflags": flags}
    return {"start_new_session": True}
