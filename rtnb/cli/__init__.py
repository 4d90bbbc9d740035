"""The command line: each command is a module with ``add_parser(subparsers)`` and ``run(args) -> int``."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

__all__ = ["COMMANDS", "WEIGHTS_STATUS", "main"]

WEIGHTS_STATUS = 3
"""The exit status that says that weights are missing."""

COMMANDS = (
    "serve",
    "engine",
    "demo",
    "lab",
    "record",
    "replay",
    "info",
    "verify",
    "scrub",
    "diff",
    "export",
    "report",
    "recover",
)
"""The names of the modules, in the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    An rtnb error is one sentence on stderr and status 1, or 3 where weights are missing.
    """
    from .._version import __version__
    from ..errors import RtnbError, WeightsError
    from .terminal import tell

    for stream in (sys.stdout, sys.stderr):  # a terminal without "…" gets "?" instead of an exception
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        prog="rtnb", description="The notebook bench for realtime speech models."
    )
    parser.add_argument("--version", action="version", version=f"rtnb {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    given = sys.argv[1:] if argv is None else argv
    named = given[:1] if given and given[0] in COMMANDS else COMMANDS
    for name in named:
        module = import_module(f".{name}", __package__)
        module.add_parser(subparsers).set_defaults(run=module.run)
    args, unknown = parser.parse_known_args(argv)
    if unknown and args.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if unknown:  # such as --allow-root: JupyterLab's own options
        args.more = [*unknown, *args.more]
    try:
        status = int(args.run(args))
        print(end="", flush=True)  # what is still buffered may meet a closed pipe: here, not at exit
        return status
    except RtnbError as error:
        tell(f"rtnb: {error}", file=sys.stderr)
        return WEIGHTS_STATUS if isinstance(error, WeightsError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough, as in: rtnb demo | head -1
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
