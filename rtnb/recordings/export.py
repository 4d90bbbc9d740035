"""A recording in the forms that other programs read: JSON Lines, a transcript, and sound."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pybase64 import b64decode

from ..analysis.provenance import Provenance
from ..analysis.turn import TurnView
from ..audio import Clip
from ..audio.codecs import wire_format
from ..errors import ArgumentError, RecordingError
from ..formatting import clock
from ..protocol.entries import Entry
from ..protocol.items import Item
from ..redaction import known_keys, plain, secrets
from ..render.report import Report, Sound
from .recording import Recording
from .recording import open as open_recording
from .scrub_rules import Kind, changed
from .writer import TELLING, Forms, pieces, save

__all__ = ["MAX_MB", "export", "mix", "provenance", "transcript", "write_report"]

MAX_MB = 25.0
"""Megabytes of sound that a page holds at most, as it stands there: about an hour and a half of Opus."""

Progress = Callable[[Iterable[TurnView]], Iterable[TurnView]]


def write_report(
    recording: Recording,
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
    and asks nothing of any network. ``audio`` False leaves the sound out; else up to ``max_mb`` megabytes of
    it are kept as Opus, and the page says what is not. ``saved`` False is for a file that is not kept.

    Raises RecordingError where it cannot be written, ArgumentError for a name that does not end in .html, as
    the recording itself would be, or for a ``max_mb`` that is no such number.
    """
    out = Path(out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError(f"{out.name!r} is no name for a page: let it end in .html")
    if isinstance(max_mb, bool) or not isinstance(max_mb, (int, float)) or not 0 <= max_mb < math.inf:
        raise ArgumentError(f"max_mb is a number of megabytes, 0 or more, not {max_mb!r:.40}")
    most = int(max_mb * 1e6) if audio else 0
    origin = provenance(recording, saved=saved)
    with tempfile.TemporaryDirectory(prefix="rtnb-") as folder:
        shown = _without_keys(recording, Path(folder))
        page = Report(shown, origin, title=title, sound=Sound(most), progress=progress).html()
    try:
        out.write_text(page, "utf-8")
    except OSError as error:
        raise RecordingError(f"{str(out)!r} cannot be written: {error.strerror or error}") from None
    return out


def provenance(recording: Recording, *, saved: bool = True) -> Provenance:
    """Return where a recording comes from. The hash of a file that is gone is unknown."""
    try:
        with recording.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        digest = None
    return Provenance(
        header=recording.header,
        file=recording.path.name if saved else "",
        sha256=digest,
        frames_sha256=recording.frames_sha256,
        problem=recording.problem,
    )


def _without_keys(recording: Recording, folder: Path) -> Recording:
    """Return the recording, or where keys stand in its frames, as others may write them, one without."""
    keys = known_keys()
    if not any(secrets(piece.frames, keys) for piece in pieces(recording.state.log)):
        return recording
    clean = folder / "clean.rtnb"
    save(pieces(recording.state.log), dict(recording.header), clean)
    return open_recording(clean)


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
    forms, parts, ends = Forms(), [], [0, 0]
    for entry in log:
        if entry.type in TELLING and entry.direction == "server":
            forms.hear(entry.type, entry.frame)
            continue
        found: list[str] = []

        def keep(value: str, kind: Kind, whose: str, ids: frozenset[str], found: list[str] = found) -> str:
            if kind == "sound" and value:
                found.append(value)
            return value

        changed(entry.direction, entry.data, keep)
        side = 0 if entry.direction == "client" else 1
        lane = forms.lane(entry.direction)
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
