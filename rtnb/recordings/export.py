"""A recording in formats that other programs read: JSON Lines, a transcript, audio files, an HTML report."""

from __future__ import annotations

import io
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pybase64 import b64decode

from ..analysis.turn import TurnView
from ..audio import Clip
from ..audio.codecs import wire_format
from ..errors import ArgumentError, AudioError, RecordingError
from ..formatting import clock
from ..paths import replacing, short, unwritable, user_path
from ..protocol.entries import Entry
from ..protocol.items import Item
from ..redaction import known_keys, plain, secrets
from ..render.report import Report, Sound
from .reader import Reader
from .scrub_rules import Kind, changed
from .view import RecordingView
from .writer import FORMAT_EVENTS, AudioFormats, pieces, save

__all__ = ["MAX_MB", "export", "mix", "transcript", "write_report"]

MAX_MB = 25.0
"""The default limit of a report's audio in megabytes: about an hour and a half of Opus."""

Progress = Callable[[Iterable[TurnView]], Iterable[TurnView]]


def write_report(
    recording: RecordingView,
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
    and loads nothing from any network. ``audio=False`` leaves the audio out; otherwise up to ``max_mb``
    megabytes of it are included as Opus, and the page says what is missing. ``saved=False`` is for a
    temporary file: the page does not name it.

    Raises RecordingError if the page cannot be written, ArgumentError for a name that does not end in .html,
    and for a ``max_mb`` that is not a number of 0 or more.
    """
    out = user_path(out, "a report")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError(f"the name of a report must end in .html; got {short(out.name)}")
    if isinstance(max_mb, bool) or not isinstance(max_mb, (int, float)) or not 0 <= max_mb < math.inf:
        raise ArgumentError(f"max_mb must be a number of megabytes, 0 or more; got {max_mb!r:.40}")
    most = int(max_mb * 1e6) if audio else 0
    provenance = recording.provenance if saved else replace(recording.provenance, file="")
    with tempfile.TemporaryDirectory(prefix="rtnb-") as folder:
        shown = _without_keys(recording, Path(folder))
        page = Report(shown, provenance, title=title, sound=Sound(most), progress=progress).html()
    with replacing(out) as file:
        file.write(page.encode())
    return out


def _without_keys(recording: RecordingView, folder: Path) -> RecordingView:
    """Return the recording, or a copy without keys if there are any in its frames."""
    keys = known_keys()
    if not any(secrets(piece.frames, keys) for piece in pieces(recording.state.log)):
        return recording
    clean = folder / "clean.rtnb"
    save(pieces(recording.state.log), dict(recording.header), clean)
    return RecordingView(Reader(clean))


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
        lane = formats.lane(entry.direction)
        codec = wire_format({"type": lane.type, "rate": lane.rate if lane.type == "audio/pcm" else None})
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
