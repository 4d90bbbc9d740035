"""A recording as one self-contained page: to read offline, print, attach to a paper."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from ..analysis.provenance import Provenance
from ..analysis.turn import TurnView
from ..errors import ArgumentError, RecordingError
from ..keys import known_keys
from ..redaction import secrets
from ..render.report import Report, Sound
from .recording import Recording
from .recording import open as open_recording
from .writer import pieces, save

__all__ = ["MAX_MB", "provenance", "write_report"]

MAX_MB = 25.0
"""Megabytes of sound that a page holds at most, as it stands there: about an hour and a half of Opus."""

Progress = Callable[[Iterable[TurnView]], Iterable[TurnView]]


def write_report(
    recording: Recording,
    out: str | os.PathLike[str],
    *,
    title: str = "",
    audio: bool = True,
    max_mb: float = MAX_MB,
    progress: Progress = iter,
    saved: bool = True,
) -> Path:
    """Write a recording as one HTML page and return its path.

    The page holds timeline, turns with players, transcript, usage, configuration, provenance and event log,
    and asks nothing of any network. ``audio`` False leaves the sound out; else up to ``max_mb`` megabytes of
    it are kept as Opus, and the page says what is not. ``saved`` False is for a file that is not kept.

    Raises RecordingError where it cannot be written, ArgumentError for a name that does not end in .html, as
    the recording itself would be, or for a ``max_mb`` that is no such number.
    """
    out = Path(out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError(f"{out.name!r} is no name for a page: let it end in .html")
    if isinstance(max_mb, bool) or not isinstance(max_mb, (int, float)) or not 0 <= max_mb < math.inf:
        raise ArgumentError(f"max_mb is a number of megabytes, 0 or more, not {max_mb!r:.40}")
    most = int(max_mb * 1e6) if audio else 0
    origin = provenance(recording, saved=saved)
    with tempfile.TemporaryDirectory(prefix="rtnb-") as folder:
        shown = _without_keys(recording, Path(folder))
        page = Report(shown, origin, title=title, sound=Sound(most), progress=progress).html()
    try:
        out.write_text(page, "utf-8")
    except OSError as error:
        raise RecordingError(f"{str(out)!r} cannot be written: {error.strerror or error}") from None
    return out


def provenance(recording: Recording, *, saved: bool = True) -> Provenance:
    """Return where a recording comes from. The hash of a file that is gone is unknown."""
    try:
        with recording.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        digest = None
    return Provenance(
        header=recording.header,
        file=recording.path.name if saved else "",
        sha256=digest,
        frames_sha256=recording.frames_sha256,
        problem=recording.problem,
    )


def _without_keys(recording: Recording, folder: Path) -> Recording:
    """Return the recording, or where keys stand in its frames, as others may write them, one without."""
    keys = known_keys()
    if not any(secrets(piece.frames, keys) for piece in pieces(recording.record.log)):
        return recording
    clean = folder / "clean.rtnb"
    save(pieces(recording.record.log), dict(recording.header), clean)
    return open_recording(clean)
