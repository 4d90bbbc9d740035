"""``rtnb lab``: JupyterLab on the start page."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ..errors import ArgumentError, MissingPackageError
from ..paths import user_path

__all__ = ["add_parser", "run"]

_FOLDER = "rtnb-notebooks"
_START = "00-start"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "lab",
        help="open JupyterLab on the start page of the notebooks",
        description=(
            "Opens JupyterLab on the start page of rtnb's notebooks, on another of them, or on one of your "
            "own. The notebooks that came with rtnb are copied first, and what you changed in a copy stays."
        ),
    )
    parser.add_argument(
        "notebook",
        nargs="?",
        metavar="NOTEBOOK",
        help="a file, or the name of a notebook that came with rtnb",
    )
    _add_options(parser)
    # Options may come after the notebook too; those that are not ours are for jupyter.
    parser.add_argument("more", nargs=argparse.REMAINDER, metavar="[--] …", help="more for jupyter lab")
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", metavar="DIR", help=f"where the copies go (./{_FOLDER}; in a checkout nothing is copied)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")
    parser.add_argument("--port", type=int, metavar="N", help="the port to listen on")


def run(args: argparse.Namespace) -> int:
    """Run JupyterLab until it ends, and return its exit status.

    Raises:
        ArgumentError: There is no such notebook, or it cannot be copied.
        MissingPackageError: JupyterLab is not installed.
    """
    for package in ("jupyterlab", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(package, "rtnb lab", "lab")
    notebook, more = args.notebook, args.more
    if notebook is not None and notebook.startswith("-"):  # it stood after --
        notebook, more = None, ["--", notebook, *more]
    ours = more[: more.index("--")] if "--" in more else more
    options = argparse.ArgumentParser("rtnb lab", add_help=False, allow_abbrev=False)
    _add_options(options)
    rest = options.parse_known_args(ours, args)[1] + more[len(ours) + 1 :]
    path = _notebook(notebook, args.folder)
    command = [sys.executable, "-m", "jupyterlab", str(path)]
    if args.no_browser:
        command.append("--no-browser")
        if path.is_file():  # else the address that is printed leads past the notebook
            command.append(f"--LabApp.default_url=/lab/tree/{quote(path.name)}")
    if args.port is not None:
        command.append(f"--port={args.port}")
    return _until_it_ends([*command, *rest])


def _notebook(asked: str | None, folder: str | None) -> Path:
    """Return the notebook to open: a user's own, or one of ours in a folder that may be written to."""
    if asked is not None and os.path.exists(own := user_path(asked, "a notebook")):
        return own
    home, packaged = _home()
    ours = sorted(home.glob("*.ipynb"))
    asked = asked or _START
    chosen = [path for path in ours if asked in (path.name, path.stem)]
    if not chosen:
        names = ", ".join(path.stem for path in ours) or "none"
        raise ArgumentError(f"there is no notebook {asked!r}: give a file, or one of these: {names}")
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
            f"the notebooks cannot be copied to {str(into)!r} ({error.strerror or error}): name another "
            "folder with --folder"
        ) from None
    return into / chosen[0].name


def _home() -> tuple[Path, bool]:
    """Return where the notebooks lie, and whether that is the installed package, which stays untouched."""
    package = Path(__file__).parents[1]
    packaged = package / "notebooks"
    return (packaged, True) if packaged.is_dir() else (package.parent / "notebooks", False)


def _until_it_ends(command: list[str]) -> int:
    """Run a program in the foreground. Ctrl-C is its own business: it asks back, or ends."""
    here = Path(sys.executable).parent  # so that `!rtnb …` in a cell, and a terminal in JupyterLab, find us
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
