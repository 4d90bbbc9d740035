"""What a recording says of itself at its head: made from a session's record when it is saved."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .. import __version__
from ..errors import RtnbError
from ..protocol import models
from ..protocol.state import Record
from . import format

__all__ = ["header"]

_LIBRARIES = ("numpy", "orjson", "soundfile", "av", "websockets", "hibari-tts", "onnxruntime", "xllamacpp")


def header(
    record: Record,
    *,
    where: str = "",
    engine: str = "",
    billed: bool = True,
    model: str = "",
    problem: RtnbError | None = None,
    spool: bool = False,
) -> dict[str, Any]:
    """Return the ``HEAD`` of a session: see ``rtnb.recordings.format``.

    The date is that of the first frame, so that the same session saved twice is the same file.
    """
    log = record.log
    wall = log[0].wall if len(log) else None
    began = datetime.now(UTC) if wall is None else datetime.fromtimestamp(wall, UTC)
    name = record.model or model
    code = getattr(problem, "code", None)
    return {
        "format": format.VERSION,
        "rtnb": __version__,
        "created": began.isoformat(timespec="milliseconds"),
        "model": name,
        "stated_model": record.stated,
        "dialect": "ga",
        "where": where,
        "engine": engine,
        "billed": billed,
        "hurried": record.hurried,
        "session": record.session,
        "libraries": _libraries(),
        "clocks": {"wall_ns": None if wall is None else round(wall * 1e9), "monotonic": "seconds since it"},
        "prices_as_of": record.row.as_of or models.find(name).as_of,
        "capture": {"audio": "lossless", "spool": spool},
        "open_turns": sum(turn.active for turn in record.turns.all),
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
