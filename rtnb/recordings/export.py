"""A recording in formats that other programs read: JSON Lines, a transcript, audio files."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..analysis.conversation_clock import ConversationClock
from ..audio import Clip
from ..errors import AudioError, RecordingError
from ..formatting import clock
from ..paths import replacing, short, unwritable, user_path
from ..protocol.items import Item
from ..protocol.state import SessionState
from ..redaction import plain
from .view import RecordingView

__all__ = ["export", "mix", "transcript"]

_RATE = 24_000


def export(recording: RecordingView, out: str | os.PathLike[str]) -> list[Path]:
    """Write a recording in the format of the suffix of ``out`` and return the paths of the files.

    ``.jsonl``: one event per line. ``.txt``: who said what, and when. ``.wav``: both voices in time, the user
    left and the assistant right, without what was not played; see `mix`. Both of these have the times of the
    conversation clock. A folder, or a name without suffix: one WAV file per item.

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
        content = _stereo(mix(recording.state))
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
    """Yield who said what, one line each, with minutes and seconds since the conversation's start."""
    times = ConversationClock(recording.state)
    for turn in recording.turns:
        marks = times.marks(recording.state.turns.all[turn.number])
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


def mix(state: SessionState) -> NDArray[np.float32]:
    """Return both voices in time, shape ``(n, 2)`` at 24 kHz: the user left, the assistant right.

    Audio is where a listener would have placed it, as `ConversationClock` says: what was sent faster than
    real time plays at its own length, and what follows comes after it. What was received and not played is
    left out: the rest of an answer that was cut, and out-of-band responses.
    """
    ends, parts = [0, 0], []
    for placed in ConversationClock(state).placed:
        if not placed.seconds:
            continue
        side = 0 if placed.side == "input" else 1
        samples = Clip.from_wire(placed.data, placed.codec).resample(_RATE).samples
        start = max(round(placed.start * _RATE), ends[side])
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
