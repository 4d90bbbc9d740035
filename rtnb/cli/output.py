"""The file that a command writes: never over one that is there, unless ``--force`` says so."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import RecordingError

__all__ = ["add_force", "fresh", "fresh_folder"]


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add the option to a command that writes a file."""
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def fresh(out: str | Path, *, force: bool) -> Path:
    """Return the path if a file may be written there. Found out before any work is done.

    Raises RecordingError: it is there and ``force`` does not allow that, or its folder takes no file.
    """
    path = Path(out)
    if os.path.lexists(path) and not force:
        raise RecordingError(f"{str(path)!r} is there already: name another, or write over it with --force")
    folder = path.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        why = "is no folder" if not folder.is_dir() else "is a folder that you may not write to"
        raise RecordingError(f"{str(path)!r} cannot be written: {str(folder)!r} {why}")
    return path


def fresh_folder(out: str | Path, *, force: bool) -> Path:
    """Return the path of a folder that is new or empty. Raises RecordingError as `fresh` does."""
    path = Path(out)
    if not force and path.is_dir() and any(path.iterdir()):
        raise RecordingError(f"{str(path)!r} has files in it: name another folder, or add --force")
    return path
