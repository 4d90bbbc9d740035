"""A log as JSON Lines and back: one event per line, from which every frame is restored byte for byte."""

from __future__ import annotations

import os
from base64 import b64encode
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import orjson
from pybase64 import b64decode

from ..errors import RecordingError
from ..paths import opened, replacing, short, unreadable, user_path
from ..protocol.entries import Entry
from ..protocol.state import SessionState
from ..redaction import clean

__all__ = ["lines", "read", "write"]

_MAX_SECONDS = 4e9  # of either clock; in nanoseconds their difference fits in 64 bits


def lines(log: Iterable[Entry], head: Mapping[str, object] | None = None) -> Iterator[bytes]:
    """Yield each event as a line of JSON: index, t (seconds), wall, direction, type, turn and the frame.

    ``event`` is the frame as JSON; if that does not restore the frame byte for byte, ``raw`` is its text or
    ``base64`` its bytes. The first line also has ``session``: ``head``, such as the endpoint and the model.
    """
    for entry in log:
        row: dict[str, object] = {"index": entry.index, "t": entry.t, "wall": entry.wall}
        row |= {"direction": entry.direction, "type": entry.type, "turn": entry.turn}
        if head:
            row, head = row | {"session": orjson.loads(clean(orjson.dumps(dict(head))))}, None
        try:
            yield orjson.dumps(row | _frame(entry.frame)) + b"\n"
        except orjson.JSONEncodeError:  # one level too deep for JSON
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
    """Write events to a file as JSON Lines, with keys redacted, and return its path.

    Raises RecordingError if it cannot be written.
    """
    path = user_path(path, "a file of JSON Lines")
    with replacing(path) as file:
        file.writelines(lines(_redacted(log), head))
    return path


def _redacted(log: Iterable[Entry]) -> Iterator[Entry]:
    for entry in log:
        frame = clean(entry.frame)
        if frame is entry.frame:
            yield entry
            continue
        yield Entry(entry.index, entry.direction, entry.type, entry.t, entry.wall, entry.turn, frame)


def read(path: str | os.PathLike[str]) -> tuple[SessionState, dict[str, Any], str | None]:
    """Read the output of `lines`; return its session state, its ``head``, and what is wrong with the file.

    A line needs ``t``, ``wall``, ``direction``, and the frame as ``raw``, ``base64`` or ``event``; types and
    turns are computed again, and times count from the first line. Empty lines are skipped, and so are a byte
    order mark and a last line that was cut.

    Raises RecordingError if the file cannot be read, and for an invalid line, with its number.
    """
    state, head, problem = SessionState(), {}, None
    path = user_path(path, "a file of JSON Lines")
    name = short(path)
    try:
        with opened(path) as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    line = line.removeprefix(BOM_UTF8)  # editors of Windows write one
                if not line.strip():
                    continue
                if not line.endswith(b"\n") and len(state.log) and not _is_json(line):
                    problem = f"{short(path.name)} was cut in line {number:,}, which is left out"
                    break
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
        raise RecordingError(unreadable(path, error)) from None
    if not len(state.log):
        raise RecordingError(f"{name} has no event: expected one in each line, as to_jsonl writes them")
    return state, head, problem


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    direction = row.get("direction")
    if direction not in ("client", "server"):
        raise ValueError(f"its direction must be 'client' or 'server'; got {direction!r:.40}")
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
    raise ValueError("it has no event: expected the frame as 'event', 'raw' or 'base64'")


def _nanoseconds(row: dict[str, Any], name: str) -> int:
    seconds: Any = row.get(name)
    known = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and isfinite(seconds)
    if not known or abs(seconds) > _MAX_SECONDS:
        raise ValueError(f"its {name!r} must be a number of seconds; got {seconds!r:.40}")
    nanoseconds: int = round(seconds * 1e9)
    return nanoseconds
