"""Find, start and stop the shared server process of the embedded engine.

All notebooks of one user with the same environment and version of rtnb share one process per engine spec. It
is found through its state file (see :mod:`rtnb.server.state_files`), outlives the kernel that started it, and
exits after ``RTNB_IDLE`` seconds (default 600) without a connection.
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

from ..engines.registry import normalize, parse_spec
from ..errors import EngineError, WeightsError
from . import state_files
from .state_files import ServerState, StatePaths

__all__ = ["Endpoint", "Status", "ensure", "exit_report", "status", "stop", "stop_all"]

_WEIGHTS_STATUS = 3  # exit status of the command line if weights are missing
_START_SECONDS = 180.0
_STOP_SECONDS = 10.0
_EXIT_SECONDS = 0.5
_TICK = 0.25
_LOG_LINES = 8
_LOGS = 5  # kept per engine, so that the log of a crashed server remains after the next start
_IDLE = "600"

_children: list[subprocess.Popen[bytes]] = []  # until they have exited, so that each is reaped


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running server: its address, key, engine spec, process id and log file. The repr omits the key."""

    url: str
    key: str = field(repr=False)
    engine: str
    pid: int
    log: Path


@dataclass(frozen=True, slots=True)
class Status:
    """A running server: its engine spec, address, process id, number of open sessions and log file."""

    spec: str
    url: str
    pid: int
    sessions: int
    log: Path


def ensure(spec: str | None = None, *, progress: Callable[[str], None] | None = None) -> Endpoint:
    """Return the server of the engine ``spec`` (default: RTNB_ENGINE), after starting it if necessary.

    An unused server with an older version of the code is stopped. While an engine starts, ``progress`` is
    called with a message several times a second; by default one line is printed to stderr after a second.

    Raises:
        EngineError: The engine cannot start, with the end of its log; or RTNB_IDLE is invalid.
        WeightsError: Its weights are not installed.
    """
    full = _absolute(spec)
    paths = state_files.paths(full)
    with state_files.locked(paths.lock):
        _reap()
        state = state_files.read(paths.state)
        if state is None or state_files.health(state) is None:
            _clean_up(paths)
            state = _start(full, paths, progress or _OneLine())
        return Endpoint(state.url, state.key, full, state.pid, Path(state.log))


def stop(spec: str | None = None) -> bool:
    """Stop the servers of the engine ``spec``, of all versions; return whether one was running.

    Raises:
        EngineError: One does not exit within 10 seconds.
    """
    paths = state_files.paths(_absolute(spec))
    with state_files.locked(paths.lock):
        return sum(map(_stop, paths.states())) > 0


def stop_all(*, force: bool = False) -> list[Status]:
    """Stop this user's servers without sessions, or with ``force`` all; return those that were stopped.

    Raises:
        EngineError: One does not exit within 10 seconds.
    """
    stopped: list[Status] = []
    for file in _files():
        with state_files.locked(file.with_name(f"{file.stem.partition('-')[0]}.lock")):
            found = _status(file)
            if found is not None and (force or not found.sessions) and _stop(file):
                stopped.append(found)
    return stopped


def status() -> list[Status]:
    """Return the running servers of this user, of all installations and versions of rtnb."""
    return [found for file in _files() if (found := _status(file)) is not None]


def exit_report(endpoint: Endpoint) -> str | None:
    """Return how the process of ``endpoint`` ended and the last line of its log; None while it runs or hangs.

    The process is checked through its port, which may now belong to another process: the answer has its id.
    """
    try:
        if state_files.ask(endpoint.url, endpoint.pid, _EXIT_SECONDS) is not None:
            return None
    except TimeoutError:
        return None
    except OSError:
        pass  # the port is closed
    child = next((one for one in _children if one.pid == endpoint.pid), None)
    code = None
    if child is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):  # the port closes just before the process exits
            code = child.wait(_EXIT_SECONDS)
    how = "" if code is None else f" by signal {-code}" if code < 0 else f" with status {code}"
    lines = _log_lines(endpoint.log)
    last = f"; the last line of its log: {lines[-1][:200]!r}" if lines else ""
    return f"the process of the engine {endpoint.engine!r} ended{how} (log: {endpoint.log}){last}"


def _files() -> list[Path]:
    return sorted(state_files.home().glob("*-*.json"))


def _status(state_file: Path) -> Status | None:
    state = state_files.read(state_file)
    if state is None or (health := state_files.health(state)) is None:
        return None
    return Status(state.spec, state.url, state.pid, int(health["sessions"]), Path(state.log))


def _stop(state_file: Path) -> bool:
    """Stop the server of a state file and remove the file; return whether it was running."""
    state = state_files.read(state_file)
    running = state is not None and state_files.health(state) is not None
    if state is not None and running:
        _terminate(state)
        deadline = time.monotonic() + _STOP_SECONDS
        while state_files.health(state) is not None:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the server of {state.spec!r} (process {state.pid}) does not exit: kill it"
                )
            time.sleep(_TICK / 5)
        _reap()
    state_file.unlink(missing_ok=True)
    return running


def _clean_up(paths: StatePaths) -> None:
    """Stop unused servers of older versions, and remove the state files of dead ones and old logs."""
    for file in paths.states():
        state = state_files.read(file)
        health = None if state is None else state_files.health(state)
        if state is not None and health is not None:
            if health["sessions"]:
                continue
            _terminate(state)
        file.unlink(missing_ok=True)
    for log in paths.logs()[: 1 - _LOGS]:
        with contextlib.suppress(OSError):  # Windows locks the log of a running process
            log.unlink()


def _terminate(state: ServerState) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)


class _OneLine:
    """Prints one progress message, if the start takes more than a second."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._printed = False

    def __call__(self, text: str) -> None:
        if not self._printed and time.monotonic() - self._started > 1.0:
            self._printed = True
            print(text, file=sys.stderr, flush=True)


def _absolute(spec: str | None) -> str:
    """Return the normal form of a spec, with absolute paths."""
    name, options = parse_spec(spec)
    for key, value in options.items():
        part, colon, setting = value.partition(":")
        path = os.path.expanduser(setting)
        if colon and "://" not in value and os.path.isfile(path):
            options[key] = f"{part}:{os.path.realpath(path)}"
    return normalize(",".join([name, *(f"{key}={value}" for key, value in options.items())]))


def _reap() -> None:
    """Forget children that have exited."""
    _children[:] = [child for child in _children if child.poll() is None]


@atexit.register
def _disown() -> None:
    """Keep Popen from warning, at this process's exit, about servers that are still running."""
    _reap()
    for child in _children:
        child.returncode = 0


def _start(spec: str, paths: StatePaths, progress: Callable[[str], None]) -> ServerState:
    idle = _idle_seconds()
    key = secrets.token_urlsafe(32)
    log_file = paths.state.with_name(f"{paths.state.stem}-{secrets.token_hex(3)}.log")
    command = [sys.executable, "-P", "-m", "rtnb", "serve", "--port", "0", "--engine", spec]
    command += ["--idle", idle]
    with log_file.open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=paths.state.parent,
            env=_environment(key),
            **_detached(),
        )
    _children.append(child)
    try:
        url = _ready_line(child, spec, log_file, progress)
    except BaseException:  # also an interrupt
        child.kill()
        child.wait()
        raise
    finally:
        _reap()
    state = ServerState(spec, url, child.pid, str(log_file), key)
    state_files.write(paths.state, state)
    return state


def _idle_seconds() -> str:
    text = os.environ.get("RTNB_IDLE", "").strip() or _IDLE
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return text
    raise EngineError(f"RTNB_IDLE must be a number of seconds above 0, such as {_IDLE}, got {text!r}")


def _ready_line(
    child: subprocess.Popen[bytes], spec: str, log_file: Path, progress: Callable[[str], None]
) -> str:
    assert child.stdout is not None  # it is a pipe
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read_line, args=(child.stdout, lines), daemon=True).start()
    started = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=_TICK).decode().strip()
            break
        except queue.Empty:
            waited = time.monotonic() - started
            progress(f"rtnb: starting the engine {spec!r} … {waited:.0f} s")
            if waited > _START_SECONDS:
                raise EngineError(
                    f"the engine {spec!r} did not start within {_START_SECONDS:.0f} s (log: {log_file})"
                ) from None
    if line.startswith("ws://"):
        return line
    code = child.wait()
    raise _failed(spec, code, log_file)


def _read_line(stdout: IO[bytes], lines: queue.Queue[bytes]) -> None:
    with stdout:
        lines.put(stdout.readline())


def _failed(spec: str, code: int, log_file: Path) -> EngineError:
    """Return the error of a server that exited before it was ready."""
    lines = _log_lines(log_file)
    message = next((line for line in reversed(lines) if line.startswith("rtnb: ")), None)
    if message is not None:
        kind = WeightsError if code == _WEIGHTS_STATUS else EngineError
        return kind(message.removeprefix("rtnb: "))
    tail = "\n".join(lines[-_LOG_LINES:]) or "(the log is empty)"
    return EngineError(
        f"the engine {spec!r} exited with status {code} while starting. The end of its log:\n{tail}"
    )


def _log_lines(log_file: Path) -> list[str]:
    try:
        return log_file.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return []


def _environment(key: str) -> dict[str, str]:
    """Return the child's environment, with the key, and the import path of this rtnb if it is a checkout."""
    environment = {**os.environ, "RTNB_SERVE_KEY": key}
    if not state_files.installed():
        paths = [str(state_files.PACKAGE.parent), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def _detached() -> dict[str, Any]:
    """Return the Popen arguments for a child that outlives this process and does not get its Ctrl-C."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
        return {"creationflags": flags}
    return {"start_new_session": True}
