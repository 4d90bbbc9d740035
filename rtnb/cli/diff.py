"""``rtnb diff``: two recordings side by side."""

from __future__ import annotations

import argparse

from .terminal import tell

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "diff",
        help="two recordings side by side",
        description="Tell how two recordings differ, but for ids, samples and times: heads, turns, events. "
        "The exit code is 1 where they do, as with diff.",
    )
    parser.add_argument("first", metavar="A.rtnb")
    parser.add_argument("second", metavar="B.rtnb")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0 for equal sessions, else 1. Raises RecordingError for a bad file."""
    from ..recordings import open
    from ..recordings.verify import diff

    found = diff(open(args.first), open(args.second))
    tell(found)
    return int(bool(found))
