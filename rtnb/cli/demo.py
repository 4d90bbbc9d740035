"""``rtnb demo``: one spoken turn through the whole chain, from a sound file to a spoken answer in a file."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AudioError, RtnbError, WeightsError
from ..paths import check_writable, user_path
from .output import Subparsers, Transcript, add_connection_options, connection, echo, echo_json

if TYPE_CHECKING:
    from ..api.session import Session
    from ..audio import Clip
    from ..protocol.changes import Change, Command
    from ..session.turn import Turn

__all__ = ["add_demo"]

_REPLY = "rtnb-reply.wav"
_LEAST_SILENCE = 0.5
_MARGIN = 0.2
"""Seconds by which the silence that ends a turn exceeds the longest pause of the file."""
_LEAD_OUT = 0.6
"""Seconds of silence that are streamed in any case, so that the last word reaches the detector."""
_PATIENCE = 10.0
_ANSWER_SECONDS = 180.0


def add_demo(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb demo``."""
    parser = subparsers.add_parser(
        "demo",
        help="speak a sound file to a model and save its spoken answer",
        description=(
            "One spoken turn: a sound file is streamed like a microphone, the server detects the end of "
            "speech, the model answers, and its voice is saved to a file. Without --to it uses the embedded "
            "engine: no key, no network."
        ),
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="speech (default: a sample question)")
    parser.add_argument(
        "--out", default=_REPLY, metavar="REPLY", help=f"the answer's file: .wav, .ogg or .flac ({_REPLY})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object; progress goes to stderr")
    add_connection_options(parser)
    parser.add_argument("--speed", type=float, help="speed of the voice, 0.25 to 1.5")
    parser.add_argument(
        "--pace",
        type=_pace,
        default=1.0,
        metavar="X",
        help="stream X times faster than real time, 0.1 to 50 (1)",
    )
    parser.set_defaults(run=_demo)


def _pace(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.1 <= (pace := float(text)) <= 50:
            return pace
    raise argparse.ArgumentTypeError(f"expected a number from 0.1 to 50, got {text!r}")


def _demo(args: argparse.Namespace) -> int:
    """Run the demo; the status is 1 if there is no spoken answer."""
    from ..audio import Clip, sample_clips
    from ..audio.speech_activity import speech_bounds

    transcript = Transcript(sys.stderr if args.json else sys.stdout)
    file = _writable(args.out)
    clip = Clip.read(args.file) if args.file else sample_clips.read(sample_clips.names()[0])
    speech = speech_bounds(clip)
    if speech is None:
        raise AudioError(f"{args.file!r} is silent: expected speech")
    silence = max(_LEAST_SILENCE, speech.longest_pause + _MARGIN)
    transcript.line(f"{args.file or 'A sample question'}: {clip.seconds:.1f} s of audio.")
    if silence > _LEAST_SILENCE:
        transcript.line(
            f"Its longest pause is {speech.longest_pause:.2f} s, so the server waits for {silence:.2f} s of "
            "silence before it ends the turn."
        )
    with _connect(args, silence, transcript) as session:
        transcript.line(f"Connected to {session.endpoint}. Speaking …")
        session.subscribe(lambda change, _: transcript.show(change))
        turns = _speak(session, clip, args.pace)
        turn = next((one for one in reversed(turns) if one.audio_so_far is not None), turns[-1])
        audio = turn.audio_so_far
        if audio is not None:
            audio.write(file)
    transcript.end()
    if args.json:
        echo_json(_report(turns, turn, file, silence))
    if audio is None:
        echo(f"rtnb: no spoken answer: {turn.error or 'the model answered without audio'}", file=sys.stderr)
        return 1
    for line in _summary(turns, turn, silence, args.pace):
        transcript.line(line)
    transcript.line(f"Reply: {file} ({audio.seconds:.1f} s)")
    transcript.line(f"To see and play it in a notebook, run  {_program()} lab")
    return 0


def _writable(out: str) -> Path:
    """Return the path if a sound file can be written there. Called before any work is done."""
    from ..audio.files import format_of

    path = user_path(out, "the answer", AudioError)
    format_of(path)
    check_writable(path, AudioError)
    return path


def _connect(args: argparse.Namespace, silence: float, transcript: Transcript) -> Session:
    """Connect. Weights of the embedded engine that are missing are fetched first."""
    from ..api.connect import connect
    from ..engines import weights

    detection = {
        "type": "server_vad",
        "silence_duration_ms": round(silence * 1000),
        "create_response": True,
    }
    options = connection(args) | {"speed": args.speed, "turn_detection": detection}
    try:
        return connect(**options)
    except WeightsError:
        if not weights.missing():
            raise
        transcript.line(f"Fetching the engine's weights: {weights.download_size() / 1e6:.0f} MB, once.")
        weights.install(progress=True)
        return connect(**options)


def _speak(session: Session, clip: Clip, pace: float) -> list[Turn]:
    """Stream the clip, then silence until the server ends the turn; return the spoken turns, all done."""
    from ..audio import Clip
    from ..protocol.changes import Failed, InputCommitted, ResponseStarted, SpeechStarted

    speaking, commits, answering = False, 0, threading.Event()

    def follow(change: Change | Command, _: int) -> None:
        nonlocal speaking, commits
        if isinstance(change, SpeechStarted):
            speaking = True
        elif isinstance(change, InputCommitted):
            speaking = False
            commits += 1
        elif isinstance(change, (ResponseStarted, Failed)):
            answering.set()

    stop = session.subscribe(follow)
    try:
        session.speak(clip, speed=pace)
        session.speak(Clip.silence(_LEAD_OUT), speed=pace)
        streamed = _LEAD_OUT
        most = _PATIENCE + _LEAST_SILENCE + clip.seconds
        while (speaking or not commits) and session.problem is None and streamed <= most:
            session.speak(Clip.silence(0.2), speed=pace)
            streamed += 0.2
        deadline = time.monotonic() + _ANSWER_SECONDS
        while commits and session.problem is None and time.monotonic() < deadline:
            if answering.wait(0.2):
                break
    finally:
        stop()
    if session.problem is not None:
        raise session.problem
    if not commits:
        raise RtnbError("the server detected no speech in the file: is there a voice in it, and loud enough?")
    turns = [turn for turn in session.turns if turn.input.audio is not None]
    for turn in turns:
        turn.wait(_ANSWER_SECONDS)
    return turns


def _report(turns: list[Turn], turn: Turn, file: Path, silence: float) -> dict[str, Any]:
    """Return what ``--json`` prints about the turns and the one that counts."""
    usage, cost, audio = turn.usage, turn.cost, turn.audio_so_far
    kinds = {
        "input": ("text", "audio", "image"),
        "cached": ("text", "audio", "image"),
        "output": ("text", "audio"),
    }
    tokens: dict[str, Any] = {
        side: {kind: getattr(usage, f"{side}_{kind}") for kind in of_side}
        | {"total": getattr(usage, f"{side}_tokens")}
        for side, of_side in kinds.items()
    }
    return {
        "status": turn.status,
        "error": None if turn.error is None else str(turn.error),
        "input_transcript": " ".join(filter(None, (one.input.text for one in turns))),
        "reply_text": turn.text_so_far,
        "reply_file": None if audio is None else str(file),
        "reply_seconds": None if audio is None else round(audio.seconds, 3),
        "first_audio_ms": turn.latency.first_audio,
        "commit_to_audio_ms": turn.latency.commit_to_audio,
        "silence_ms": round(silence * 1000),
        "usage": tokens | {"total": usage.total_tokens},
        "model": turn.model,
        "engine": turn.engine or None,
        "cost_usd": None if cost is None else round(float(cost), 6),
        "billed": turn.billed,
    }


def _summary(turns: list[Turn], turn: Turn, silence: float, pace: float) -> Iterator[str]:
    """Yield lines about how the turn went: its end, latency, tokens and cost."""
    from ..analysis import labels

    if len(turns) > 1:
        yield f"The server split the file into {len(turns)} turns; this is about the last answer."
    if (ending := labels.ending(turn)) is not None:
        yield ending
    if turn.latency.first_audio is not None:
        yield (
            f"First audio {turn.latency.first_audio:.0f} ms after the end of speech, including "
            f"{silence * 1000 / pace:.0f} ms of end-of-turn silence."
        )
    for words in (labels.tokens(turn.usage), labels.money(turn), labels.answer_note(turn)):
        if words:
            yield words[0].upper() + words[1:]


def _program() -> str:
    """Return what runs this rtnb from the current folder: "rtnb" if it is on the PATH, else its path."""
    own = Path(sys.executable).with_name("rtnb.exe" if sys.platform == "win32" else "rtnb")
    if not own.exists():  # rtnb runs from a folder that is not installed
        return f"{_shortest(Path(sys.executable))} -m rtnb"
    found = shutil.which("rtnb")
    return "rtnb" if found is not None and os.path.samefile(found, own) else _shortest(own)


def _shortest(program: Path) -> str:
    paths = [str(program)]
    with contextlib.suppress(ValueError):  # on Windows it may be on another drive
        near = os.path.relpath(program)
        paths.append(near if os.path.dirname(near) else os.path.join(os.curdir, near))
    path = min(paths, key=len)
    return f'"{path}"' if " " in path else path
