"""``rtnb recover``: a recording of what a killed process, or a damaged file, has left."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import RecordingError
from .output import add_force, fresh
from .terminal import tell

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "recover",
        help="a recording of what a killed process, or a damaged file, has left",
        description=(
            "Every live session writes its frames to a spool; one whose process ended first is made a "
            "recording here, and its spool removed. With one name: the newest spool that has events, to that "
            "new file. With two: what is whole of the first file, to the second. Without any: all spools, "
            "into this folder."
        ),
    )
    parser.add_argument("files", nargs="*", metavar="[FILE] OUT.rtnb")
    parser.add_argument("--list", action="store_true", help="only tell which spools there are")
    add_force(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0, or 1 where a spool could not be recovered: it stays.

    Raises RecordingError where there is nothing, or what was named cannot be read or written.
    """
    from ..recordings.autosave import folder, spools

    if len(args.files) > 2:
        raise RecordingError("name one file to recover to, or two: what to recover, and where to")
    if len(args.files) == 2:
        _recover(Path(args.files[0]), fresh(args.files[1], force=args.force))
        return 0
    found = spools()
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
    """Return where a spool goes. Whoever names a file that is there may mean to repair that one."""
    try:
        return fresh(out, force=force)
    except RecordingError as error:
        if Path(out).is_file():
            raise RecordingError(f"{error}. To repair that file:  rtnb recover {out} REPAIRED.rtnb") from None
        raise


def _moved(autosave: Path, out: Path, *, force: bool) -> bool:
    """Tell whether a spool was made a recording and removed; where not, say why."""
    try:
        _recover(autosave, fresh(out, force=force))
    except RecordingError as error:
        tell(f"rtnb: the spool {autosave} stays: {error}", file=sys.stderr)
        return False
    autosave.unlink(missing_ok=True)
    Path(f"{autosave}.lock").unlink(missing_ok=True)
    return True


def _recover(source: Path, out: Path) -> None:
    from ..recordings.autosave import recover

    reader, count = recover(source, out)
    tell(f"{out}: {count:,} events")
    for sentence in reader.lost:
        tell(f"  Left out: {sentence}")
