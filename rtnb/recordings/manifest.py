"""What a recording says of itself: the manifest of a session."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .._version import __version__
from ..errors import RtnbError
from ..protocol import models
from ..protocol.state import SessionState
from .format import VERSION

__all__ = ["manifest", "zip_date"]

_LIBRARIES = ("numpy", "orjson", "soundfile", "av", "websockets", "hibari-tts", "onnxruntime", "xllamacpp")


def manifest(
    state: SessionState,
    *,
    endpoint: str = "",
    engine: str = "",
    billed: bool = True,
    model: str = "",
    problem: RtnbError | None = None,
    autosave: bool = False,
) -> dict[str, Any]:
    """Return the manifest of a session, without what only its file has: see ``rtnb.recordings.format``.

    The date is that of the first frame, so that saving the same session twice writes the same file.
    """
    log = state.log
    wall = log[0].wall if len(log) else None
    created = datetime.now(UTC) if wall is None else datetime.fromtimestamp(wall, UTC)
    code = getattr(problem, "code", None)
    name = state.model or model
    row = state.row if state.row.as_of else models.find(name)
    prices = {kind: asdict(price) for kind in ("text", "audio", "image") if (price := getattr(row, kind))}
    return {
        "format": VERSION,
        "rtnb": __version__,
        "created": created.isoformat(timespec="milliseconds"),
        "model": name,
        "requested_model": state.requested_model,
        "dialect": state.dialect.name,
        "endpoint": endpoint,
        "engine": engine,
        "billed": billed,
        "time_scaled": state.time_scaled,
        "session": state.session,
        "libraries": _libraries(),
        "clocks": {"wall_ns": None if wall is None else round(wall * 1e9), "monotonic": "seconds since it"},
        "prices": {**prices, "as_of": row.as_of},
        "lossy": False,
        "autosave": autosave,
        "open_turns": sum(turn.active for turn in state.turns.all),
        "end": None
        if problem is None
        else {"code": code, "reason": getattr(problem, "reason", ""), "why": str(problem)},
        "scrubbed": [],
    }


def _libraries() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def zip_date(about: Mapping[str, Any]) -> tuple[int, int, int, int, int, int]:
    """Return the date of a recording's files: when it was recorded, where a zip can say so."""
    try:
        date = datetime.fromisoformat(str(about.get("created") or ""))
    except ValueError:
        date = datetime(1980, 1, 1)
    if not 1980 <= date.year < 2108:
        date = datetime(1980, 1, 1)
    return date.year, date.month, date.day, date.hour, date.minute, date.second
