"""Checking that a recording is what was written, and comparing two recordings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ..audio import Clip
from ..formatting import turn_number
from ..protocol.log import LogView
from .reader import Reader, refuse_jsonl
from .view import RecordedTurn, RecordingView
from .writer import pieces, whole_frames

__all__ = ["Differences", "VerifyResult", "diff", "verify"]

_FACTS = ("model", "endpoint", "engine", "billed", "rtnb")
_IDS = frozenset({"audio", "call_id", "event_id", "id", "item_id", "previous_item_id", "response_id"})
_MAX_VALUE = 60
_SILENT_DB = -80.0


class Differences(list[str]):
    """How two recordings differ, one line each. Empty, and so false, if they are equal."""

    def __repr__(self) -> str:
        return "\n".join(self) or "Equal, except for ids, samples and times."


def diff(a: RecordingView, b: RecordingView) -> Differences:
    """Return the differences, as first | second. Ids, samples and times do not count; silence does."""
    return Differences(_differences(a, b))


def _differences(a: RecordingView, b: RecordingView) -> Iterator[str]:
    for name in _FACTS:
        if a.manifest.get(name) != b.manifest.get(name):
            yield f"{name}: {_short(a.manifest.get(name))} | {_short(b.manifest.get(name))}"
    removed = [", ".join(map(str, one.manifest.get("scrubbed") or ())) or "nothing" for one in (a, b)]
    if removed[0] != removed[1]:
        yield "removed: {} | {}".format(*removed)
    yield from _session(a.state.session, b.state.session, "session")
    for number, (one, other) in enumerate(zip_longest(a.turns, b.turns)):
        if one is None or other is None:
            yield f"turn {turn_number(number)}: only in the {'second' if one is None else 'first'}"
        else:
            yield from _turn(number, one, other)
    counts, others = a.log.counts(), b.log.counts()
    for name in sorted({*counts, *others}):
        if counts[name] != others[name]:
            yield f"{name}: {counts[name]} | {others[name]} events"
    first = _first(a.log, b.log)
    if first is not None:
        yield first


def _turn(number: int, one: RecordedTurn, other: RecordedTurn) -> Iterator[str]:
    for name, left, right in (
        ("you", one.input.text, other.input.text),
        ("assistant", one.text_so_far, other.text_so_far),
        ("status", one.status, other.status),
        ("calls", [(c.name, c.arguments, c.output) for c in one.calls],
         [(c.name, c.arguments, c.output) for c in other.calls]),
        ("tokens", one.usage.total_tokens, other.usage.total_tokens),
    ):  # fmt: skip
        if left != right:
            yield f"turn {turn_number(number)}, {name}: {_short(left)} | {_short(right)}"
    for name, clips in (
        ("your audio", (one.input.audio, other.input.audio)),
        ("the answer's audio", (one.audio_so_far, other.audio_so_far)),
    ):
        left, right = map(_audio, clips)
        if left != right:
            yield f"turn {turn_number(number)}, {name}: {left} | {right}"


def _audio(clip: Clip | None) -> str:
    if clip is None:
        return "none"
    return f"{clip.seconds:.2f} s of {'silence' if clip.peak_db < _SILENT_DB else 'audio'}"


def _session(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if key not in ("id", "expires_at"):
                yield from _session(one.get(key), other.get(key), f"{path}.{key}")
    elif one != other:
        yield f"{path}: {_short(one)} | {_short(other)}"


def _first(a: LogView, b: LogView) -> str | None:
    """Return the first event that differs, or None."""
    for one, other in zip_longest(a, b):
        if one is None or other is None:
            left = one or other
            return f"event {left.index} ({left.type}): only in the {'second' if one is None else 'first'}"
        if (one.direction, one.type) != (other.direction, other.type):
            return f"event {one.index} is the first that differs: {one.type} | {other.type}"
        if one.frame != other.frame and _without_ids(one.data) != _without_ids(other.data):
            return f"event {one.index} ({one.type}) is the first whose contents differ"
    return None


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(inner) for key, inner in value.items() if key not in _IDS}
    return [_without_ids(inner) for inner in value] if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """``faults`` is empty for an intact file; each fault is a sentence. ``summary`` is a phrase."""

    summary: str
    faults: list[str]

    def __str__(self) -> str:
        return " ".join([f"{self.summary}.", *self.faults])


def verify(path: str | os.PathLike[str]) -> VerifyResult:
    """Read a whole recording and compare it with its own hashes.

    Raises RecordingError for a file that is not a recording, is JSON Lines, or was written by a newer rtnb.
    """
    refuse_jsonl(path, "which has no hash to compare its frames with")
    reader = Reader(path, repair=True)
    log, manifest = reader.log, reader.manifest
    frames = hashlib.sha256()
    for piece in pieces(log):
        for direction, _, frame in whole_frames(piece):
            side = b"\1" if direction == "server" else b"\0"
            frames.update(side + len(frame).to_bytes(4, "little") + frame)
    faults = [f"{one[0].upper()}{one[1:]}." for one in dict.fromkeys((*reader.lost, *reader.damaged_tracks))]
    if not reader.complete:
        faults.append("It has no end: it was cut, or its process ended before its session was closed.")
    declared = manifest.get("frames_sha256")
    if declared not in (None, frames.hexdigest()):
        faults.append("Its frames are not those that were written: frames_sha256 differs.")
    if manifest and reader.complete and manifest.get("events") != len(log):
        faults.append(
            f"It has {len(log):,} events, and its manifest declares {manifest.get('events')!r:.20}."
        )
    if faults:
        return VerifyResult(f"damaged: {len(log):,} events are intact", faults)
    server = len(log.filter(direction="server"))
    how = f"sha256 {frames.hexdigest()}" if declared else "audio is Opus, all else is unchanged"
    return VerifyResult(
        f"intact: {len(log) - server:,} events sent and {server:,} received, {log.bytes:,} bytes, {how}", []
    )
