"""``rtnb verify``: whether a recording is what was written."""

from __future__ import annotations

import argparse

from .terminal import tell

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "verify",
        help="whether a recording is what was written",
        description="Read all of a recording, compute its hash again, and name what is damaged.",
    )
    parser.add_argument("file", metavar="FILE.rtnb")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0 for a good file, 1 for a damaged one. Raises RecordingError for none."""
    from ..recordings.verify import verify

    verdict = verify(args.file)
    tell(f"{args.file}: {verdict.summary}")
    for fault in verdict.faults:
        tell(f"  {fault}")
    return 1 if verdict.faults else 0
