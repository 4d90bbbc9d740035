"""``rtnb record``: hold a conversation by a script, and keep it as a recording."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ArgumentError, RecordingError
from ..paths import user_path
from .output import add_force, fresh
from .terminal import tell

if TYPE_CHECKING:
    from ..api.session import Session
    from ..session.content import Content

__all__ = ["add_parser", "run"]

_ANSWER_SECONDS = 180.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "record",
        help="hold a conversation by a script and keep it as a recording",
        description=(
            "Send texts and sound files one after another, wait for each answer, and keep every frame in one "
            "file, however it ends. Without --where it is the embedded engine: no key, no network."
        ),
    )
    parser.add_argument("out", metavar="OUT.rtnb", help="the recording")
    parser.add_argument(
        "say", nargs="*", metavar="TEXT|@FILE", help="a text, or @ and a sound file; else a spoken question"
    )
    parser.add_argument("--script", metavar="FILE", help="a turn a line, in the same form; - is the input")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--engine", metavar="SPEC", help="the embedded engine: local, fake, …")
    place.add_argument("--where", metavar="MODEL|URL", help="a hosted model, or a server's address")
    parser.add_argument("--model", help="the model to ask for, or that the engine stands in for")
    parser.add_argument("--voice", help="the voice of the answers")
    parser.add_argument("--instructions", help="what the model is told to be")
    parser.add_argument("--modalities", choices=("audio", "text"), help="how it answers (audio)")
    parser.add_argument("--opus", action="store_true", help="keep sound as Opus: smaller, and not the same")
    add_force(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0, or 1 where a turn failed.

    Raises RtnbError: a file cannot be read or written, or the server not be reached.
    """
    from ..api.connect import connect
    from ..recordings.writer import recording_path

    out = recording_path(fresh(args.out, force=args.force))
    turns = _script(args)
    session = connect(
        args.where,
        engine=args.engine,
        model=args.model,
        voice=args.voice,
        instructions=args.instructions,
        modalities=args.modalities,
    )
    try:
        tell(f"Connected to {session.endpoint}.")
        good = [_turn(session, thing) for thing in turns]
    finally:  # a conversation may have cost money: what there is of it is kept, however it ended
        _keep(session, out, audio="opus" if args.opus else "lossless")
    return 0 if all(good) else 1


def _keep(session: Session, out: Path, *, audio: str) -> None:
    """Save and close the session. If it cannot be saved, its autosave file stays. Raises RecordingError."""
    saved = False
    try:
        path = session.save(out, audio=audio)
        saved = True
    except RecordingError as error:
        raise RecordingError(
            f"{error}. To save it from the autosave file:  rtnb recover OTHER.rtnb"
        ) from None
    finally:
        session._close(discard=saved)
    tell(f"Recorded: {path} ({path.stat().st_size / 1000:,.0f} kB, {len(session.log):,} events)")


def _script(args: argparse.Namespace) -> list[Content]:
    """Return what is to be said, all of it read: nothing is paid for before a file that cannot be."""
    from ..audio import sample_clips
    from ..protocol import models
    from ..session.content import parse_content

    said = list(args.say)
    if args.script:
        try:
            text = sys.stdin.read() if args.script == "-" else user_path(args.script).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"the script {args.script!r:.120} cannot be read: {error}") from None
        said += [line for line in text.splitlines() if line.strip()]
    things: Iterable[object] = (Path(one[1:]) if one.startswith("@") else one for one in said)
    model = models.find(args.model or args.where or models.SEED)
    return parse_content(things if said else [sample_clips.read(sample_clips.names()[0])], model)


def _turn(session: Session, thing: Content) -> bool:
    turn = session.send(thing).wait(_ANSWER_SECONDS)
    tell(f"You: {turn.input.text or '(speech)'}")
    tell(
        f"Assistant: {turn.text_so_far}"
        if turn.text_so_far
        else f"({turn.status}: {turn.error or 'nothing was said'})"
    )
    return turn.status == "completed"
