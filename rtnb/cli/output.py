"""The file that a command writes: an existing one is only replaced with ``--force``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import RecordingError
from ..paths import check_writable, short, user_path

__all__ = ["add_force", "fresh", "fresh_folder"]


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add the option to a command that writes a file."""
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def fresh(out: str | Path, *, force: bool) -> Path:
    """Return the path if a file may be written there, checked before any work is done.

    Raises RecordingError if it exists and ``force`` is not set, or if its folder is not writable.
    """
    path = user_path(out, "the output")
    if os.path.lexists(path) and not force:
        raise RecordingError(f"{short(path)} already exists. Choose another name or use --force")
    check_writable(path)
    return path


def fresh_folder(out: str | Path, *, force: bool) -> Path:
    """Return the path of a folder that is new or empty. Raises RecordingError as `fresh` does."""
    path = user_path(out, "the output")
    if not force and os.path.isdir(path) and any(path.iterdir()):
        raise RecordingError(f"{short(path)} has files in it. Choose another folder or use --force")
    return path
