"""``rtnb report``: a recording as one page that works offline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .output import add_force, fresh

if TYPE_CHECKING:
    from ..analysis.turn import TurnView

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    from ..render.report import MAX_MB

    parser = subparsers.add_parser(
        "report",
        help="a recording as one page that works offline",
        description=(
            "Write a recording as one HTML page: timeline, turns with players, transcript, tokens and money, "
            "configuration, provenance and event log. The page asks nothing of any network."
        ),
    )
    parser.add_argument("file", metavar="FILE.rtnb")
    parser.add_argument("out", metavar="OUT.html")
    parser.add_argument("--title", default="", help="the page's title")
    parser.add_argument("--no-audio", action="store_true", help="leave the sound out; its pictures stay")
    parser.add_argument(
        "--max-mb",
        type=float,
        default=MAX_MB,
        metavar="MB",
        help="megabytes of sound that the page holds at most (default %(default)g)",
    )
    add_force(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0. Raises RecordingError or ArgumentError for what cannot be done."""
    from ..recordings import open
    from ..render.report import write_report

    recording = open(args.file)
    page = write_report(
        recording,
        fresh(args.out, force=args.force),
        origin=recording.provenance,
        title=args.title,
        audio=not args.no_audio,
        max_mb=args.max_mb,
        progress=_shown,
    )
    print(f"{page}: {page.stat().st_size / 1e6:.2f} MB")
    return 0


def _shown(turns: Iterable[TurnView]) -> Iterable[TurnView]:
    """Show progress on a terminal: a minute of sound takes most of a second to compress."""
    from tqdm import tqdm

    return tqdm(turns, desc="turns", unit="turn", disable=not sys.stderr.isatty(), leave=False)
