"""One event as a line of ``events.jsonl``, and back.

A line is a JSON object: ``t`` (seconds since the first event, to the nanosecond), ``wall_ns`` (nanoseconds
since 1970, where the wall clock and ``t`` were compared: in the first line, and where either clock was set),
``direction`` ("client", "server"), ``turn`` (absent without one), ``redacted`` (true if a key in it was
redacted), ``audio`` (``track``, ``start`` and ``bytes``: the part of a track that belongs to it; ``at``:
where in the frame the base64 of that part was cut out), and the frame: as ``event``, its own text unchanged;
or, where that is not a JSON object on one line, as ``raw`` (its text) or ``base64`` (its bytes), with
``type`` if it has one. A line without a frame is audio that came beside the frames, as over WebRTC.

Base64 is cut out only if it is the canonical one (RFC 4648, padded, no line breaks) of the audio. Whatever
writes the members in another order or with other spaces keeps the meaning: a frame is found by its name.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
from msgspec import Raw, Struct
from pybase64 import b64decode, b64encode

from ..protocol.dialects.names import APPENDS, AUDIO_DELTAS
from ..protocol.entries import NO_TURN
from ..protocol.events import BINARY, parse_object
from .format import MAX_PIECE, Damaged

__all__ = ["WITH_AUDIO", "AudioPart", "Line", "frames_of", "media_line", "parse", "prefix", "verbatim"]

EVENT = b'"event":'
WITH_AUDIO = APPENDS | AUDIO_DELTAS
"""The types of the events that carry pieces of audio."""
_MAX_DEPTH = 100  # jq and others refuse JSON that is nested 256 levels deep


class AudioPart(Struct, omit_defaults=True):
    """A part of a track: ``bytes`` from ``start`` on; ``at`` is where in the frame its base64 was cut out."""

    track: str
    start: int
    bytes: int
    at: int | None = None


class Line(Struct):
    """A line of ``events.jsonl``, parsed. ``frame`` is the stored one, without base64 that was cut out."""

    t_ns: int
    direction: str
    type: str
    turn: int
    frame: bytes | None
    wall_ns: int | None
    redacted: bool
    audio: AudioPart | None


class _Wire(Struct):
    t: float
    direction: str
    turn: int = NO_TURN
    type: str | None = None
    wall_ns: int | None = None
    redacted: bool = False
    audio: AudioPart | None = None
    event: Raw = Raw(b"")
    raw: str | None = None
    base64: str | None = None


class _Typed(Struct):
    type: str = BINARY


_decode_type = msgspec.json.Decoder(_Typed).decode
_decode = msgspec.json.Decoder(_Wire).decode
_SIDES = (b"client", b"server")


def prefix(
    t_ns: int,
    server: bool,
    turn: int,
    *,
    wall_ns: int | None = None,
    redacted: bool = False,
    audio: AudioPart | None = None,
) -> bytes:
    """Return the start of a line: all but the frame."""
    seconds, rest = divmod(abs(t_ns), 1_000_000_000)
    sign = b"-" if t_ns < 0 else b""
    parts = b'{"t":%b%d.%09d,"direction":"%b"' % (sign, seconds, rest, _SIDES[server])
    if turn != NO_TURN:
        parts += b',"turn":%d' % turn
    if wall_ns is not None:
        parts += b',"wall_ns":%d' % wall_ns
    if redacted:
        parts += b',"redacted":true'
    if audio is not None:
        at = b"" if audio.at is None else b',"at":%d' % audio.at
        track = audio.track.encode()
        parts += b',"audio":{"track":"%b","start":%d,"bytes":%d%b}' % (track, audio.start, audio.bytes, at)
    return parts


def verbatim(frame: bytes, type: str) -> tuple[bytes, bytes, bytes]:
    """Return a frame for a line, as what stands before it, its text, and what ends the line."""
    as_it_is = frame[:1] == b"{" and frame[-1:] == b"}" and b"\n" not in frame and b"\r" not in frame
    if as_it_is:  # as nearly all are
        event = parse_object(frame)
        if event and (frame.count(b"{") + frame.count(b"[") < _MAX_DEPTH or not _is_deep(event)):
            own = b"" if event.get("type") == type else b',"type":%b' % orjson.dumps(type)
            return own + b"," + EVENT, frame, b"}\n"
    fields: dict[str, Any] = {} if type == BINARY else {"type": type}
    try:
        fields["raw"] = frame.decode()
        text = orjson.dumps(fields)
    except UnicodeDecodeError:
        text = orjson.dumps({**fields, "base64": b64encode(frame).decode()})
    return b",", b"", text[1:] + b"\n"


def _is_deep(event: dict[str, Any]) -> bool:
    level: list[Any] = [event]
    for _ in range(_MAX_DEPTH):
        inner = [value for one in level for value in (one.values() if isinstance(one, dict) else one)]
        level = [value for value in inner if isinstance(value, (dict, list))]
        if not level:
            return False
    return True


def media_line(t_ns: int, server: bool, audio: AudioPart) -> bytes:
    """Return the line of audio that came beside the frames."""
    return prefix(t_ns, server, NO_TURN, audio=audio) + b"}\n"


def parse(line: bytes) -> Line:
    """Return what a line says. Raises Damaged."""
    try:
        wire = _decode(line)
        frame: bytes | None = None
        if bytes(wire.event):
            frame = bytes(wire.event)
        elif wire.raw is not None:
            frame = wire.raw.encode()
        elif wire.base64 is not None:
            frame = b64decode(wire.base64, validate=True)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Damaged(f"is not an event ({error})") from None
    audio = wire.audio
    if wire.direction not in ("client", "server") or abs(wire.t) > 1e9 or not -1 <= wire.turn < 1 << 31:
        raise Damaged("has a time, turn or direction out of range")
    if wire.wall_ns is not None and abs(wire.wall_ns) >= 1 << 62:
        raise Damaged("has a wall clock out of range")
    if audio is not None:
        positions = (audio.start, audio.bytes, audio.at or 0)
        most = MAX_PIECE if audio.at is not None or frame is None else 1 << 40
        limits = (1 << 48, most + 1, (len(frame) if frame is not None else 0) + 1)
        if not all(0 <= value < limit for value, limit in zip(positions, limits, strict=True)):
            raise Damaged("has audio out of range")
    elif frame is None:
        raise Damaged("has neither an event nor audio")
    type = wire.type
    if type is None:
        type = _type_of(wire.event) if bytes(wire.event) else BINARY
    return Line(
        round(wire.t * 1e9), wire.direction, type, wire.turn, frame, wire.wall_ns, wire.redacted, audio
    )


def _type_of(event: Raw) -> str:
    """Return the type of an event, without making values of all else in it."""
    try:
        return _decode_type(event).type
    except (msgspec.DecodeError, RecursionError):
        return BINARY


def frames_of(text: bytes, lengths: list[int]) -> bytes:
    """Return the stored frames in some lines, end to end; ``lengths`` are theirs in bytes. Raises Damaged."""
    lines = text.split(b"\n")
    lines.pop()
    found, count = [], 0
    before = len(EVENT) + 1
    for line in lines:
        size = lengths[count] if count < len(lengths) else -1
        if line[-size - before : -size - 1] == EVENT and size >= 0:
            found.append(line[-size - 1 : -1])
        else:
            frame = parse(line).frame
            if frame is None:
                continue  # audio that came beside the frames
            if len(frame) != size:
                raise Damaged("has events of other lengths than its columns declare")
            found.append(frame)
        count += 1
    if count != len(lengths):
        raise Damaged(f"has {count:,} events, and its columns declare {len(lengths):,}")
    return b"".join(found)
