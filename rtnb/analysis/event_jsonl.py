"""A log as JSON Lines, and back: one event a line, from which every frame is restored byte for byte."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import orjson
from pybase64 import b64decode

from ..errors import RecordingError
from ..protocol.entries import Entry
from ..protocol.state import SessionState
from ..redaction import clean

__all__ = ["lines", "read", "write"]

_MOST_SECONDS = 4e9  # of either clock; as nanoseconds their difference still has room in 64 bits


def lines(log: Iterable[Entry], head: Mapping[str, object] | None = None) -> Iterator[bytes]:
    """Yield each event as a line of JSON: index, t (seconds), wall, direction, type, turn and the frame.

    ``event`` is the frame as JSON; if that does not restore the frame byte for byte, ``raw`` is its text, or
    ``base64`` its bytes. The first line has ``session`` too: ``head``, such as what the session was with.
    """
    for entry in log:
        row: dict[str, object] = {"index": entry.index, "t": entry.t, "wall": entry.wall}
        row |= {"direction": entry.direction, "type": entry.type, "turn": entry.turn}
        if head:
            row, head = row | {"session": orjson.loads(clean(orjson.dumps(dict(head))))}, None
        try:
            yield orjson.dumps(row | _frame(entry.frame)) + b"\n"
        except orjson.JSONEncodeError:  # as deep as JSON may be, and one level more here
            yield orjson.dumps(row | {"raw": entry.frame.decode()}) + b"\n"


def _frame(frame: bytes) -> dict[str, object]:
    try:
        event = orjson.loads(frame)
        if orjson.dumps(event) == frame:
            return {"event": event}
        return {"event": event, "raw": frame.decode()}
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, UnicodeDecodeError):
        pass
    try:
        return {"raw": frame.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(frame).decode()}


def write(
    log: Iterable[Entry], path: str | os.PathLike[str], head: Mapping[str, object] | None = None
) -> Path:
    """Write events to a file as JSON Lines, keys redacted, and return its path.

    Raises RecordingError if it cannot be written.
    """
    path = Path(path)
    try:
        with open(path, "wb") as file:
            file.writelines(lines(_cleaned(log), head))
    except OSError as error:
        raise RecordingError(f"{str(path)!r} cannot be written: {error.strerror or error}") from None
    return path


def _cleaned(log: Iterable[Entry]) -> Iterator[Entry]:
    for entry in log:
        frame = clean(entry.frame)
        if frame is entry.frame:
            yield entry
            continue
        yield Entry(entry.index, entry.direction, entry.type, entry.t, entry.wall, entry.turn, frame)


def read(path: str | os.PathLike[str]) -> tuple[SessionState, dict[str, Any]]:
    """Read what `lines` yields and return its state and the ``head``; times count from the first line.

    A line needs ``t``, ``wall``, ``direction``, and the frame as ``raw``, ``base64`` or ``event``; types and
    turns are determined again. Empty lines are skipped.

    Raises RecordingError: no such file, or an invalid line, with its number.
    """
    state, head = SessionState(), {}
    name = repr(str(path))
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = _row(line)
                    direction, t, wall = row["direction"], _nanoseconds(row, "t"), _nanoseconds(row, "wall")
                    frame = _bytes(row)
                except ValueError as error:
                    raise RecordingError(f"{name}, line {number:,}: {error}") from None
                if not len(state.log) and isinstance(row.get("session"), dict):
                    head = row["session"]
                state.append(frame, direction, mono_ns=t, wall_ns=wall)
    except OSError as error:
        raise RecordingError(f"{name} cannot be read: {error.strerror or error}") from None
    if not len(state.log):
        raise RecordingError(f"{name} contains no events: expected one in each line, as to_jsonl writes them")
    return state, head


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise ValueError("expected a JSON object")
    direction = row.get("direction")
    if direction not in ("client", "server"):
        raise ValueError(f"expected the direction 'client' or 'server', got {direction!r:.40}")
    return row


def _bytes(row: dict[str, Any]) -> bytes:
    if isinstance(row.get("raw"), str):
        return str(row["raw"]).encode()
    if isinstance(row.get("base64"), str):
        try:
            return b64decode(row["base64"], validate=True)
        except ValueError:
            raise ValueError("its base64 is invalid") from None
    if "event" in row:
        return orjson.dumps(row["event"])
    raise ValueError("no event: expected the frame in 'event', 'raw' or 'base64'")


def _nanoseconds(row: dict[str, Any], name: str) -> int:
    seconds: Any = row.get(name)
    known = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and isfinite(seconds)
    if not known or abs(seconds) > _MOST_SECONDS:
        raise ValueError(f"expected {name!r} in seconds, got {seconds!r:.40}")
    nanoseconds: int = round(seconds * 1e9)
    return nanoseconds
