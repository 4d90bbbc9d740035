"""``rtnb demo``: one spoken turn through the whole chain, from a sound file to a spoken answer in a file."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AudioError, RtnbError, WeightsError
from ..paths import check_writable, user_path
from .terminal import tell

if TYPE_CHECKING:
    from ..api.session import Session
    from ..audio import Clip
    from ..session.turn import Turn

__all__ = ["add_parser", "run"]

_REPLY = "rtnb-reply.wav"
_LEAST_SILENCE = 0.5
_MARGIN = 0.2
"""Seconds by which the server's patience exceeds the longest pause of the file."""
_LEAD_OUT = 0.6
"""Seconds of silence that are streamed in any case, so that the last word reaches the detector."""
_PATIENCE = 10.0
_ANSWER_SECONDS = 180.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "demo",
        help="speak a sound file to a model and keep its spoken answer",
        description=(
            "One spoken turn through the whole chain: a sound file is streamed like a microphone, the server "
            "finds the end of speech, the model answers, and its voice is kept in a file. Without --where it "
            "is the embedded engine: no key, no network."
        ),
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="speech; without it a sample question")
    parser.add_argument(
        "--out", default=_REPLY, metavar="REPLY", help=f"where the answer goes: .wav, .ogg, .flac ({_REPLY})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object; progress goes to stderr")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--engine", metavar="SPEC", help="the embedded engine: local, fake, …")
    place.add_argument("--where", metavar="MODEL|URL", help="a hosted model, or a server's address")
    parser.add_argument("--model", help="the model to ask for, or that the engine stands in for")
    parser.add_argument("--voice", help="the voice of the answer")
    parser.add_argument("--instructions", help="what the model is told to be")
    parser.add_argument("--speed", type=float, help="of the voice, 0.25 to 1.5")
    parser.add_argument(
        "--pace",
        type=_pace,
        default=1.0,
        metavar="X",
        help="stream X times faster than speech, 0.1 to 50 (1)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0, or 1 where there is no spoken answer.

    Raises:
        RtnbError: The file cannot be read, the answer not be written, the server not be reached.
    """
    from ..audio import Clip, sample_clips
    from ..audio.speech_activity import speech_bounds

    screen = _Screen(sys.stderr if args.json else sys.stdout)
    reply = _writable(args.out)
    clip = Clip.read(args.file) if args.file else sample_clips.read(sample_clips.names()[0])
    speech = speech_bounds(clip)
    if speech is None:
        raise AudioError(f"{args.file!r} is silent: there is no speech to send")
    silence = max(_LEAST_SILENCE, speech.longest_pause + _MARGIN)
    screen.line(f"{args.file or 'A sample question'}: {clip.seconds:.1f} s of sound.")
    if silence > _LEAST_SILENCE:
        screen.line(
            f"Its longest pause is {speech.longest_pause:.2f} s, so the server is told to wait for "
            f"{silence:.2f} s of silence before it takes the turn as over: the whole file is one turn."
        )
    with _connected(args, silence, screen) as session:
        screen.line(f"Connected to {session.endpoint}. Speaking …")
        stop = session.subscribe(screen)
        try:
            turns = _spoken(session, clip, args.pace)
        finally:
            stop()
        answer = _Answer.of(turns, silence, reply)
    screen.end()
    if args.json:
        tell(json.dumps(answer.report(), ensure_ascii=False))
    if answer.file is None:
        why = answer.turn.error or "the model answered without sound"
        tell(f"rtnb: there is no spoken answer: {why}", file=sys.stderr)
        return 1
    for line in answer.lines(args.pace):
        screen.line(line)
    screen.line(f"Now see and hear it in a notebook:  {_rtnb()} lab")
    return 0


def _rtnb() -> str:
    """Return what runs this rtnb from the current folder: "rtnb" where the PATH finds it, else its path."""
    own = Path(sys.executable).with_name("rtnb.exe" if sys.platform == "win32" else "rtnb")
    if not own.exists():  # rtnb runs from a folder that is not installed
        return f"{_shortest(Path(sys.executable))} -m rtnb"
    found = shutil.which("rtnb")
    return "rtnb" if found is not None and os.path.samefile(found, own) else _shortest(own)


def _shortest(program: Path) -> str:
    paths = [str(program)]
    with contextlib.suppress(ValueError):  # on Windows it may lie on another drive
        near = os.path.relpath(program)
        paths.append(near if os.path.dirname(near) else os.path.join(os.curdir, near))
    path = min(paths, key=len)
    return f'"{path}"' if " " in path else path


def _pace(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.1 <= (pace := float(text)) <= 50:
            return pace
    raise argparse.ArgumentTypeError(f"a number from 0.1 to 50, not {text!r}")


def _writable(out: str) -> Path:
    """Return the path if a sound file can be written there, checked before any work is done."""
    from ..audio.files import format_of

    path = user_path(out, "the answer", AudioError)
    format_of(path)
    check_writable(path, AudioError)
    return path


def _connected(args: argparse.Namespace, silence: float, screen: _Screen) -> Session:
    from ..api.connect import connect

    def dial() -> Session:
        return connect(
            args.where,
            engine=args.engine,
            model=args.model,
            voice=args.voice,
            instructions=args.instructions,
            speed=args.speed,
            turn_detection={
                "type": "server_vad",
                "silence_duration_ms": round(silence * 1000),
                "create_response": True,
            },
        )

    try:
        return dial()
    except WeightsError:
        from ..engines import weights

        if not weights.missing():
            raise
        size = weights.outstanding() / 1e6
        screen.line(f"The engine's weights are not here yet: fetching {size:.0f} MB, once.")
        weights.install(progress=True)
        return dial()


def _spoken(session: Session, clip: Clip, pace: float) -> list[Turn]:
    """Stream the clip and silence after it until the server has taken the turn; return what it made of it."""
    from ..audio import Clip

    state = _Detection()
    stop = session.subscribe(state)
    try:
        session.speak(clip, speed=pace)
        session.speak(Clip.silence(_LEAD_OUT), speed=pace)
        streamed = _LEAD_OUT
        while not state.over and session.problem is None:
            if streamed > _PATIENCE + _LEAST_SILENCE + clip.seconds:
                break
            session.speak(Clip.silence(0.2), speed=pace)
            streamed += 0.2
    finally:
        stop()
    if session.problem is not None:
        raise session.problem
    if not state.commits:
        raise RtnbError("the server heard no speech in the file: is there a voice in it, and loud enough?")
    state.answering.wait(_ANSWER_SECONDS)
    turns = [turn for turn in session.turns if turn.input.audio is not None]
    for turn in turns:
        turn.wait(_ANSWER_SECONDS)
    return turns


class _Detection:
    """Follows what the server's turn detection says."""

    def __init__(self) -> None:
        self.commits = 0
        self.answering = threading.Event()
        self._speaking = False

    @property
    def over(self) -> bool:
        """Whether speech was heard, has ended, and was taken."""
        return self.commits > 0 and not self._speaking

    def __call__(self, event: dict[str, Any], turn: int) -> None:
        kind = event["type"]
        if kind == "input_audio_buffer.speech_started":
            self._speaking = True
        elif kind == "input_audio_buffer.committed":
            self._speaking = False
            self.commits += 1
        elif kind in ("response.created", "error"):
            self.answering.set()


class _Screen:
    """Tells on a terminal what happens, as it happens."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._open = ""

    def line(self, text: str) -> None:
        """Write a line of its own."""
        self.end()
        tell(text, file=self._stream)

    def end(self) -> None:
        """End a line that text was streamed into."""
        if self._open:
            tell(file=self._stream)
        self._open = ""

    def _stream_into(self, name: str, text: str) -> None:
        if self._open != name:
            self.end()
            self._open = name
            text = f"{name}: {text.lstrip()}"
        tell(text, end="", file=self._stream)

    def __call__(self, event: dict[str, Any], turn: int) -> None:
        """Listen to a session."""
        kind = event["type"]
        if kind == "input_audio_buffer.speech_started":
            self.line("The server hears speech.")
        elif kind == "input_audio_buffer.speech_stopped":
            self.line("The server says that speech has ended.")
        elif kind == "conversation.item.input_audio_transcription.completed":
            self.line(f"You: {event['transcript'].strip()}")
        elif kind == "conversation.item.input_audio_transcription.failed":
            self.line(f"Your words could not be transcribed: {event['error'].get('message')}")
        elif kind in ("response.output_audio_transcript.delta", "response.output_text.delta"):
            self._stream_into("Assistant", event["delta"])
        elif kind == "error":
            self.line(f"The server reports an error: {event['error'].get('message')}")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of the file: its turns, and the last of them with an answer, which lies in ``file``."""

    turns: list[Turn]
    turn: Turn
    silence: float
    file: Path | None

    @classmethod
    def of(cls, turns: list[Turn], silence: float, file: Path) -> _Answer:
        """Choose the turn that answers and write its sound to ``file``, if there is any.

        Raises AudioError where it cannot be written.
        """
        turn = next((one for one in reversed(turns) if one.audio_so_far is not None), turns[-1])
        sound = turn.audio_so_far
        if sound is not None:
            sound.write(file)
        return cls(turns, turn, silence, None if sound is None else file)

    def report(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        turn = self.turn
        usage, cost, sound = turn.usage, turn.cost, turn.audio_so_far
        return {
            "status": turn.status,
            "error": None if turn.error is None else str(turn.error),
            "input_transcript": " ".join(filter(None, (one.input.text for one in self.turns))),
            "reply_text": turn.text_so_far,
            "reply_file": None if self.file is None else str(self.file),
            "reply_seconds": None if sound is None else round(sound.seconds, 3),
            "first_audio_ms": turn.latency.first_audio,
            "commit_to_audio_ms": turn.latency.commit_to_audio,
            "silence_ms": round(self.silence * 1000),
            "usage": {
                "input": {
                    "text": usage.input_text,
                    "audio": usage.input_audio,
                    "image": usage.input_image,
                    "total": usage.input_tokens,
                },
                "cached": {
                    "text": usage.cached_text,
                    "audio": usage.cached_audio,
                    "image": usage.cached_image,
                    "total": usage.cached_tokens,
                },
                "output": {
                    "text": usage.output_text,
                    "audio": usage.output_audio,
                    "total": usage.output_tokens,
                },
                "total": usage.total_tokens,
            },
            "model": turn.model,
            "engine": turn.engine or None,
            "cost_usd": None if cost is None else round(float(cost), 6),
            "billed": turn.billed,
        }

    def lines(self, pace: float) -> Iterator[str]:
        """Yield what is worth telling a person."""
        from ..analysis import labels

        turn, sound = self.turn, self.turn.audio_so_far
        if len(self.turns) > 1:
            yield f"The server made {len(self.turns)} turns of the file all the same; the last answer counts."
        if (ending := labels.ending(turn)) is not None:
            yield ending
        if turn.latency.first_audio is not None:
            yield (
                f"First audio {turn.latency.first_audio:.0f} ms after the end of speech; for "
                f"{self.silence * 1000 / pace:.0f} ms of that the server waited, to be sure of the end."
            )
        for said in (labels.tokens(turn.usage), labels.money(turn), labels.speaker(turn)):
            if said:
                yield said[0].upper() + said[1:]
        if sound is not None:
            yield f"Reply: {self.file} ({sound.seconds:.1f} s)"
