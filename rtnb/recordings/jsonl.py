"""JSON Lines as a recording: read as a whole, where a recording's own file is read where it is looked at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..analysis.event_jsonl import read
from ..errors import RecordingError
from ..protocol.log import Log

__all__ = ["LinesReader", "are_lines", "refuse_lines"]

_SUFFIXES = (".jsonl", ".ndjson")
_TOLD = {"where": str, "engine": str, "billed": bool, "model": str, "stated_model": str}


def are_lines(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is JSON Lines, by its name."""
    return Path(path).suffix.lower() in _SUFFIXES


def refuse_lines(path: str | os.PathLike[str], why: str) -> None:
    """Raise RecordingError for JSON Lines, where only a recording's own file will do."""
    if are_lines(path):
        raise RecordingError(
            f"{Path(path).name!r} is JSON Lines, {why}. What works on it: "
            "rtnb info, replay, diff, export, report and scrub"
        )


class LinesReader:
    """What a `Reader` is to a recording, for a file of JSON Lines. Raises RecordingError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self.record, told = read(path)
        self.head: dict[str, Any] = {
            name: told[name] for name, kind in _TOLD.items() if isinstance(told.get(name), kind)
        }
        self.problem: str | None = None
        self.redacted: list[int] = []

    @property
    def log(self) -> Log:
        """Every frame, both directions."""
        return self.record.log
