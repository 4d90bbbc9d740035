"""JSON Lines as a recording: read as a whole, where a recording's own file is read where it is looked at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..views.log.lines import read
from ..wire.log import Log

__all__ = ["SUFFIXES", "LinesReader"]

SUFFIXES = (".jsonl", ".ndjson")
_TOLD = {"where": str, "engine": str, "billed": bool, "model": str, "stated_model": str}


class LinesReader:
    """What a `Reader` is to a recording, for a file of JSON Lines. Raises RecordingError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self.record, told = read(path)
        self.head: dict[str, Any] = {
            name: told[name] for name, kind in _TOLD.items() if isinstance(told.get(name), kind)
        }
        self.problem: str | None = None

    @property
    def log(self) -> Log:
        """Every frame, both directions."""
        return self.record.log
