"""``rtnb recover``: a recording of what a killed process, or a damaged file, has left."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import RecordingError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "recover",
        help="a recording of what a killed process, or a damaged file, has left",
        description=(
            "Every live session writes its frames to a spool; one whose process ended first is made a "
            "recording here, and its spool removed. With one name: the newest spool, to that file. With two: "
            "what is whole of the first file, to the second. Without any: all spools, into this folder."
        ),
    )
    parser.add_argument("files", nargs="*", metavar="[FILE] OUT.rtnb")
    parser.add_argument("--list", action="store_true", help="only tell which spools there are")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0. Raises RecordingError where there is nothing, or it cannot be read."""
    from ..recordings.spool import folder, spools

    if len(args.files) > 2:
        raise RecordingError("name one file to recover to, or two: what to recover, and where to")
    if len(args.files) == 2:
        _one(Path(args.files[0]), Path(args.files[1]))
        return 0
    found = spools()
    if args.list:
        for path, live in found:
            print(f"{path}  {path.stat().st_size / 1000:,.0f} kB{'  (its session runs)' if live else ''}")
        print(f"{len(found)} in {folder()}")
        return 0
    ended = [path for path, live in found if not live]
    if not ended:
        running = f"; {len(found)} of running sessions" if found else ""
        raise RecordingError(f"there is nothing to recover in {folder()}{running}")
    outs = [Path(args.files[0])] if args.files else [Path(f"recovered-{path.name}") for path in ended]
    for path, out in zip(ended, outs, strict=False):
        _one(path, out)
        path.unlink(missing_ok=True)
        Path(f"{path}.lock").unlink(missing_ok=True)
    return 0


def _one(source: Path, out: Path) -> None:
    from ..recordings.spool import recover

    reader, count = recover(source, out)
    print(f"{out}: {count:,} events")
    for sentence in reader.lost:
        print(f"  Left out: {sentence}")
