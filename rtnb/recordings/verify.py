"""Whether a recording is what was written: each chunk, each frame, and the sum over all."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from ..protocol.columns import SERVER
from .jsonl import refuse_lines
from .reader import Reader
from .writer import pieces, split, whole_frames

__all__ = ["Verdict", "verify"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``faults`` is empty for a file that is good; each fault is a sentence. ``said`` sums it up."""

    said: str
    faults: list[str]

    def __str__(self) -> str:
        return " ".join([f"{self.said}.", *self.faults])


def verify(path: str | os.PathLike[str]) -> Verdict:
    """Read all of a file and compare it with what it says of itself.

    Raises RecordingError for a file that is no recording, is JSON Lines, or was made by a newer rtnb.
    """
    refuse_lines(path, "which holds no hash to compare its frames with")
    reader = Reader(path, repair=True)
    log = reader.log
    wire, stored = hashlib.sha256(), hashlib.sha256()
    for piece in pieces(log):
        for direction, _, frame in whole_frames(piece):
            wire.update(
                (b"\1" if direction == "server" else b"\0") + len(frame).to_bytes(4, "little") + frame
            )
        for side, frame, _, _ in split(piece):
            stored.update(side + len(frame).to_bytes(4, "little") + frame)
    faults = [f"{one[0].upper()}{one[1:]}." for one in reader.lost]
    tail = reader.tail or {}
    if reader.tail is None:
        faults.append("It has no end: it was cut, or its session ended with its process.")
    for name, found in (("sha256", wire), ("sha256_stored", stored)):
        if tail.get(name) not in (None, found.hexdigest()):
            faults.append(f"Its frames are not those that were written: {name} differs.")
    if tail and tail.get("events") != len(log):
        faults.append(f"It has {len(log):,} events where its end tells {tail.get('events')}.")
    if faults:
        return Verdict(f"damaged: {len(log):,} events are whole", faults)
    server = sum(1 for piece in pieces(log) for kind in piece.kinds.tolist() if kind & SERVER)
    how = f"sha256 {wire.hexdigest()}" if tail.get("sha256") else "sound is Opus, all else as it was"
    return Verdict(
        f"good: {len(log) - server:,} events sent and {server:,} received, {log.bytes:,} bytes, {how}", []
    )
