"""A recording in the forms that other programs read: JSON Lines, a transcript, and sound."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pybase64 import b64decode

from ..audio import Clip
from ..errors import RecordingError
from ..formatting import clock
from ..protocol.audio_formats import FORMAT_EVENTS, AudioFormats
from ..protocol.entries import Entry
from ..protocol.items import Item
from ..redaction import plain
from .recording import Recording
from .scrub_rules import Kind, changed

__all__ = ["export", "mix", "transcript"]

_RATE = 24_000


def export(recording: Recording, out: str | os.PathLike[str]) -> list[Path]:
    """Write a recording as ``out`` says and return what was written.

    ``.jsonl``: one event a line. ``.txt``: who said what, and when. ``.wav``: both voices as they were heard
    in time, you left and the assistant right. A folder, or a name without suffix: one WAV file per item.

    Raises RecordingError for another suffix, or where it cannot be written.
    """
    if out == "":
        raise RecordingError("name what to export to: .jsonl, .txt, .wav, or a folder; . is the current one")
    out = Path(out)
    suffix = out.suffix.lower()
    try:
        if suffix == ".jsonl":
            recording.log.to_jsonl(out)
        elif suffix == ".txt":
            out.write_text("".join(f"{plain(line)}\n" for line in transcript(recording)), "utf-8")
        elif suffix == ".wav":
            _write_stereo(out, mix(recording.log))
        elif not suffix or out.is_dir():
            return _items(recording, out)
        else:
            raise RecordingError(
                f"{out.name!r} is none of the forms: .jsonl, .txt, .wav, or a folder for one WAV per item"
            )
    except OSError as error:
        raise RecordingError(f"{str(out)!r} cannot be written: {error.strerror or error}") from None
    return [out]


def transcript(recording: Recording) -> Iterator[str]:
    """Yield who said what, a line each, with minutes and seconds since the beginning."""
    for turn in recording.turns:
        marks = turn.marks
        heard = turn.input.text.strip()
        began = min(
            (marks[name] for name in ("speech_started", "input", "requested") if name in marks), default=0.0
        )
        if heard or turn.input.audio is not None:
            yield f"[{clock(began)}] You: {heard or '(speech without a transcript)'}"
        answered = marks.get("first_text", marks.get("created", began))
        for call in turn.calls:
            yield f"[{clock(answered)}] Call: {call.name}({call.arguments}) gave {call.output}"
        if turn.text_so_far:
            yield f"[{clock(answered)}] Assistant: {turn.text_so_far}"
        if turn.status != "completed":
            yield f"[{clock(marks.get('done', answered))}] ({turn.status})"


def mix(log: Iterable[Entry]) -> NDArray[np.float32]:
    """Return both voices in time, shape ``(n, 2)`` at 24 kHz: you left, the assistant right.

    What came faster than it can be heard lies end to end, as it was played.
    """
    formats, parts, ends = AudioFormats(), [], [0, 0]
    for entry in log:
        if entry.type in FORMAT_EVENTS and entry.direction == "server":
            formats.take(entry.type, entry.frame)
            continue
        found: list[str] = []

        def keep(value: str, kind: Kind, whose: str, ids: frozenset[str], found: list[str] = found) -> str:
            if kind == "sound" and value:
                found.append(value)
            return value

        changed(entry.direction, entry.data, keep)
        side = 0 if entry.direction == "client" else 1
        codec = formats.now(entry.direction)
        for text in found:
            try:
                data = b64decode(text, validate=True)
            except ValueError:
                continue
            clip = Clip.from_wire(data[: len(data) - len(data) % codec.width], codec)
            samples = clip.resample(_RATE).samples
            start = max(round(entry.t * _RATE), ends[side])
            ends[side] = start + len(samples)
            parts.append((side, start, samples))
    out = np.zeros((max(ends), 2), np.float32)
    for side, start, samples in parts:
        out[start : start + len(samples), side] = samples
    return out


def _write_stereo(out: Path, samples: NDArray[np.float32]) -> None:
    import soundfile

    try:
        soundfile.write(out, samples, _RATE, subtype="PCM_16", format="WAV")
    except soundfile.SoundFileError as error:
        raise RecordingError(f"{str(out)!r} cannot be written: {error}") from None


def _items(recording: Recording, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, item in enumerate(recording.conversation.items.values()):
        clip = _clip(item)
        if clip is not None:
            name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{number:03d}-{item.role or 'nobody'}-{item.id}")[:80]
            written.append(folder / f"{name}.wav")
            clip.write(written[-1])
    return written


def _clip(item: Item) -> Clip | None:
    clips = [
        Clip.from_wire(part.data, part.codec) for part in item.parts if part.codec is not None and part.data
    ]
    return Clip.join(clips) if clips else None
