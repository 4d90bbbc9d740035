"""A recording in formats that other programs read: JSON Lines, a transcript, audio files."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pybase64 import b64decode

from ..audio import Clip
from ..errors import AudioError, RecordingError
from ..formatting import clock
from ..paths import replacing, short, unwritable, user_path
from ..protocol.audio_formats import AudioFormats
from ..protocol.dialects.names import FORMAT_EVENTS
from ..protocol.entries import Entry
from ..protocol.items import Item
from ..redaction import plain
from .scrub_rules import Kind, changed
from .view import RecordingView

__all__ = ["export", "mix", "transcript"]

_RATE = 24_000


def export(recording: RecordingView, out: str | os.PathLike[str]) -> list[Path]:
    """Write a recording in the format of the suffix of ``out`` and return the paths of the files.

    ``.jsonl``: one event per line. ``.txt``: who said what, and when. ``.wav``: both voices in time, the user
    left and the assistant right. A folder, or a name without suffix: one WAV file per item.

    Raises RecordingError for another suffix, or if a file cannot be written.
    """
    if out == "":
        raise RecordingError("name what to export to: .jsonl, .txt, .wav, or a folder; . is the current one")
    out = user_path(out, "an export")
    suffix = out.suffix.lower()
    if suffix == ".jsonl":
        recording.log.to_jsonl(out)
    elif suffix == ".txt":
        lines = "".join(f"{plain(line)}\n" for line in transcript(recording))
        with replacing(out) as file:
            file.write(lines.encode("utf-8", "replace"))
    elif suffix == ".wav":
        content = _stereo(mix(recording.log))
        with replacing(out) as file:
            file.write(content)
    elif not suffix or os.path.isdir(out):
        return _write_items(recording, out)
    else:
        raise RecordingError(
            f"{short(out.name)} has an unknown suffix: expected .jsonl, .txt, .wav, or a folder for one WAV "
            "file per item"
        )
    return [out]


def transcript(recording: RecordingView) -> Iterator[str]:
    """Yield who said what, one line each, with minutes and seconds since the start."""
    for turn in recording.turns:
        marks = turn.marks
        question = turn.input.text.strip()
        started = min(
            (marks[name] for name in ("speech_started", "input", "requested") if name in marks), default=0.0
        )
        if question or turn.input.audio is not None:
            yield f"[{clock(started)}] You: {question or '(speech without a transcript)'}"
        answered = marks.get("first_text", marks.get("created", started))
        for call in turn.calls:
            yield f"[{clock(answered)}] Call: {call.name}({call.arguments}) returned {call.output}"
        if turn.text_so_far:
            yield f"[{clock(answered)}] Assistant: {turn.text_so_far}"
        if turn.status != "completed":
            yield f"[{clock(marks.get('done', answered))}] ({turn.status})"


def mix(log: Iterable[Entry]) -> NDArray[np.float32]:
    """Return both voices in time, shape ``(n, 2)`` at 24 kHz: the user left, the assistant right.

    Audio that arrived faster than it can be played is placed end to end, as it was played.
    """
    formats, parts, ends = AudioFormats(), [], [0, 0]
    for entry in log:
        if entry.type in FORMAT_EVENTS and entry.direction == "server":
            formats.update(entry.type, entry.frame)
            continue
        found: list[str] = []

        def collect(value: str, kind: Kind, whose: str, ids: frozenset[str], found: list[str] = found) -> str:
            if kind == "audio" and value:
                found.append(value)
            return value

        changed(entry.direction, entry.data, collect)
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


def _stereo(samples: NDArray[np.float32]) -> bytes:
    """Return a WAV file in 16 bit."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, _RATE, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def _write_items(recording: RecordingView, folder: Path) -> list[Path]:
    """Write a WAV file for each item that has audio."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(unwritable(folder, error)) from None
    written = []
    for number, item in enumerate(recording.conversation.items.values()):
        clip = _clip(item)
        if clip is not None:
            name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{number:03d}-{item.role or 'unknown'}-{item.id}")[:80]
            try:
                written.append(clip.write(folder / f"{name}.wav"))
            except AudioError as error:
                raise RecordingError(str(error)) from None
    return written


def _clip(item: Item) -> Clip | None:
    clips = [
        Clip.from_wire(part.data, part.codec) for part in item.parts if part.codec is not None and part.data
    ]
    return Clip.join(clips) if clips else None
