"""The command line. ``add_<command>(subparsers)`` in the module that `COMMANDS` names adds a command.

The function sets ``run``, which takes the parsed arguments and returns the exit status.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

__all__ = ["COMMANDS", "WEIGHTS_STATUS", "main"]

WEIGHTS_STATUS = 3
"""The exit status for missing weights."""

COMMANDS = {
    "serve": "engine",
    "engine": "engine",
    "demo": "demo",
    "lab": "engine",
    "record": "record",
    "replay": "record",
    "info": "recordings",
    "verify": "recordings",
    "scrub": "recordings",
    "diff": "recordings",
    "export": "recordings",
    "report": "recordings",
    "recover": "record",
}
"""The module of each command, in the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    An `RtnbError` is printed to stderr as one sentence; the status is then 1, or 3 for missing weights.
    """
    from .._version import __version__
    from ..errors import RtnbError, WeightsError
    from .output import Parser, echo

    for stream in (sys.stdout, sys.stderr):  # a terminal without "…" gets "?" instead of an exception
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    parser = Parser(prog="rtnb", description="A Jupyter toolkit for realtime speech models.")
    parser.add_argument("--version", action="version", version=f"rtnb {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    given = sys.argv[1:] if argv is None else argv
    for name in given[:1] if given and given[0] in COMMANDS else COMMANDS:
        getattr(import_module(f".{COMMANDS[name]}", __package__), f"add_{name}")(subparsers)
    args, unknown = parser.parse_known_args(argv)
    if unknown and args.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if unknown:  # such as --allow-root: JupyterLab's own options
        args.more = [*unknown, *args.more]
    try:
        status = int(args.run(args))
        print(end="", flush=True)  # flush here, not at exit: the pipe may be closed
        return status
    except RtnbError as error:
        echo(f"rtnb: {error}", file=sys.stderr)
        return WEIGHTS_STATUS if isinstance(error, WeightsError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader stopped early, as in: rtnb demo | head -1
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
