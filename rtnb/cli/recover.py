"""``rtnb recover``: a recording of what a killed process, or a damaged file, has left."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..errors import RecordingError
from ..paths import user_path
from .output import add_force, fresh
from .terminal import tell

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "recover",
        help="a recording of what a killed process, or a damaged file, has left",
        description=(
            "Every live session writes its frames to an autosave file. If its process ends first, this "
            "command makes a recording of the file and removes it. With one name: the newest file that has "
            "events, to that recording. With two: what is intact of the first file, to the second. Without "
            "any: all autosave files, into this folder."
        ),
    )
    parser.add_argument("files", nargs="*", metavar="[FILE] OUT.rtnb")
    parser.add_argument("--list", action="store_true", help="only list the autosave files")
    add_force(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0, or 1 if an autosave file could not be recovered: it stays.

    Raises RecordingError where there is nothing, or what was named cannot be read or written.
    """
    from ..recordings.autosave import autosaves, folder

    if len(args.files) > 2:
        raise RecordingError("name one file to recover to, or two: what to recover, and where to")
    if len(args.files) == 2:
        _recover(args.files[0], fresh(args.files[1], force=args.force))
        return 0
    found = autosaves()
    if args.list:
        for path, live in found:
            tell(f"{path}  {path.stat().st_size / 1000:,.0f} kB{'  (its session runs)' if live else ''}")
        tell(f"{len(found)} in {folder()}")
        return 0
    out = _new(args.files[0], force=args.force) if args.files else None
    ended = [path for path, live in found if not live]
    if not ended:
        running = f"; {len(found)} of running sessions" if found else ""
        raise RecordingError(f"there is nothing to recover in {folder()}{running}")
    if out is not None:
        return 0 if any(_moved(path, out, force=args.force) for path in ended) else 1
    moved = [_moved(path, Path(f"recovered-{path.name}"), force=args.force) for path in ended]
    return 0 if all(moved) else 1


def _new(out: str, *, force: bool) -> Path:
    """Return the path of the recording. A user who names an existing file may mean to repair it."""
    try:
        return fresh(out, force=force)
    except RecordingError as error:
        if os.path.isfile(user_path(out)):
            raise RecordingError(f"{error}. To repair that file:  rtnb recover {out} REPAIRED.rtnb") from None
        raise


def _moved(autosave: Path, out: Path, *, force: bool) -> bool:
    """Return whether an autosave file was recovered and removed; if not, print why."""
    try:
        _recover(autosave, fresh(out, force=force))
    except RecordingError as error:
        tell(f"rtnb: the autosave file {autosave} stays: {error}", file=sys.stderr)
        return False
    autosave.unlink(missing_ok=True)
    Path(f"{autosave}.lock").unlink(missing_ok=True)
    return True


def _recover(source: str | Path, out: Path) -> None:
    from ..recordings.autosave import recover

    reader, count = recover(source, out)
    tell(f"{out}: {count:,} events")
    for sentence in reader.lost:
        tell(f"  Left out: {sentence}")
