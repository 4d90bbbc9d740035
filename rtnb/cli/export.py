"""``rtnb export``: a recording as JSON Lines, a transcript, or sound."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..paths import user_path
from .output import add_force, fresh, fresh_folder
from .terminal import tell

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "export",
        help="a recording as JSON Lines, a transcript, or sound",
        description=(
            "OUT.jsonl: one event a line. OUT.txt: who said what, and when. OUT.wav: both voices in time, "
            "you left and the assistant right. A folder: one WAV file per item."
        ),
    )
    parser.add_argument("file", metavar="FILE.rtnb")
    parser.add_argument("out", metavar="OUT", help="OUT.jsonl, OUT.txt, OUT.wav, or a folder")
    add_force(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0. Raises RecordingError for a bad file or another form."""
    from ..recordings import open
    from ..recordings.export import export

    recording = open(args.file)
    out = user_path(args.out) if args.out else Path()
    check = fresh if out.suffix and not os.path.isdir(out) else fresh_folder
    written = export(recording, check(out, force=args.force) if args.out else "")
    if recording.problem:
        tell(f"rtnb: {recording.problem}", file=sys.stderr)
    for path in written:
        tell(path)
    return 0
