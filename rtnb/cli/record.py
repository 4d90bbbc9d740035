"""``rtnb record``, ``rtnb replay`` and ``rtnb recover``: conversations to a file, and from one.

`record` holds a scripted conversation and saves it, `replay` prints a saved one at its own pace, and
`recover` turns the autosave of a process that died, or a damaged file, into a recording.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ArgumentError, RecordingError
from ..paths import user_path
from .output import Subparsers, Transcript, add_connection_options, add_force, connection, echo, new_file

if TYPE_CHECKING:
    from ..api.session import Session
    from ..recordings.recording import Recording
    from ..session.content import Content

__all__ = ["add_record", "add_recover", "add_replay"]

_ANSWER_SECONDS = 180.0


def add_record(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb record``."""
    parser = subparsers.add_parser(
        "record",
        help="hold a scripted conversation and save it as a recording",
        description=(
            "Send texts and sound files one after another, wait for each answer, and save every frame to one "
            "file, however the conversation ends. Without --to it uses the embedded engine: no key, no "
            "network."
        ),
    )
    parser.add_argument("out", metavar="OUT.rtnb", help="the recording")
    parser.add_argument(
        "say",
        nargs="*",
        metavar="TEXT|@FILE",
        help="a text, or @ and a sound file (default: a spoken question)",
    )
    parser.add_argument("--script", metavar="FILE", help="one turn per line, in the same form; - reads stdin")
    add_connection_options(parser)
    parser.add_argument("--modalities", choices=("audio", "text"), help="audio (default) or text answers")
    parser.add_argument("--lossy", action="store_true", help="store audio as Opus: a tenth of the size")
    add_force(parser)
    parser.set_defaults(run=_record)


def _record(args: argparse.Namespace) -> int:
    """Record a conversation; the status is 1 if a turn failed."""
    from ..api.connect import connect
    from ..recordings.writer import recording_path

    out = recording_path(new_file(args.out, force=args.force))
    turns = _script(args)
    session = connect(**connection(args), modalities=args.modalities)
    try:
        echo(f"Connected to {session.endpoint}.")
        completed = [_turn(session, content) for content in turns]
    finally:  # it may have cost money: what there is of it is saved, however it ended
        _save(session, out, lossy=args.lossy)
    return 0 if all(completed) else 1


def _script(args: argparse.Namespace) -> list[Content]:
    """Return all turns, with every file read, so that nothing is billed before an unreadable one."""
    from ..audio import sample_clips
    from ..protocol import models
    from ..session.content import parse_content

    given = list(args.say)
    if args.script:
        try:
            text = (
                sys.stdin.read()
                if args.script == "-"
                else user_path(args.script, "--script").read_text("utf-8")
            )
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"the script {args.script!r} cannot be read: {error}") from None
        given += [line for line in text.splitlines() if line.strip()]
    things: Iterable[object] = (Path(one[1:]) if one.startswith("@") else one for one in given)
    model = models.find(args.model or args.endpoint or models.SEED)
    return parse_content(things if given else [sample_clips.read(sample_clips.names()[0])], model)


def _turn(session: Session, content: Content) -> bool:
    turn = session.send(content).wait(_ANSWER_SECONDS)
    echo(f"You: {turn.input.text or '(speech)'}")
    answer = turn.text_so_far
    echo(f"Assistant: {answer}" if answer else f"({turn.status}: {turn.error or 'no answer'})")
    return turn.status == "completed"


def _save(session: Session, out: Path, *, lossy: bool) -> None:
    """Save and close the session. If it cannot be saved, its autosave stays. Raises RecordingError."""
    saved = False
    try:
        path = session.save(out, lossy=lossy)
        saved = True
    except RecordingError as error:
        raise RecordingError(f"{error}. To save it from the autosave:  rtnb recover OTHER.rtnb") from None
    finally:
        session._close(discard=saved)
    echo(f"Recorded: {path} ({path.stat().st_size / 1000:,.0f} kB, {len(session.log):,} events)")


def add_replay(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb replay``."""
    parser = subparsers.add_parser(
        "replay",
        help="print a recorded conversation at its own pace",
        description="Print what both sides said in a recording, at its own pace or faster.",
    )
    parser.add_argument("file", metavar="FILE.rtnb")
    parser.add_argument(
        "--speed", default="1", metavar="X|max", help="1 as recorded (default), 2 twice as fast, max"
    )
    parser.set_defaults(run=_replay)


def _replay(args: argparse.Namespace) -> int:
    from ..recordings import open

    try:
        speed = None if args.speed == "max" else float(args.speed)
    except ValueError:
        raise ArgumentError(f"--speed must be a number greater than 0, or max, got {args.speed!r}") from None
    recording = open(args.file)
    echo(repr(recording)[1:-1])
    asyncio.run(_send_again(recording, speed))
    return 0


async def _send_again(recording: Recording, speed: float | None) -> None:
    """Send the client's frames at their times to a replaying transport, and print both sides."""
    from ..transports.replay import Replay

    transcript = Transcript()
    transport = Replay(recording.log, speed=speed, strict=True)
    loop = asyncio.get_running_loop()
    started = loop.time()
    for entry in recording.log:
        if entry.direction == "server":
            await transport.recv()
        elif speed is not None:
            await asyncio.sleep(max(0.0, started + entry.t / speed - loop.time()))
        for change in recording.state.read_again(entry.index):
            transcript.show(change)
        if entry.direction == "client":
            await transport.send(entry.frame)
    transcript.end()


def add_recover(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb recover``."""
    parser = subparsers.add_parser(
        "recover",
        help="recover a session whose process died, or a damaged recording",
        description=(
            "Every live session writes its frames to a folder, its autosave, which stays if its process "
            "dies. With "
            "one name: write the newest autosave that has events to that file. With two: write the undamaged "
            "part of the first file to the second. Without names: write all autosaves to this folder. An "
            "autosave that was recovered is removed."
        ),
    )
    parser.add_argument("files", nargs="*", metavar="[FILE] OUT.rtnb")
    parser.add_argument("--list", action="store_true", help="only list the autosaves")
    add_force(parser)
    parser.set_defaults(run=_recover)


def _recover(args: argparse.Namespace) -> int:
    """Recover; the status is 1 if an autosave could not be recovered and stays."""
    from ..recordings.autosave import autosaves, folder
    from ..recordings.zip_files import size_of

    if len(args.files) > 2:
        raise RecordingError(f"expected at most two names, [FILE] OUT.rtnb, got {len(args.files)}")
    if len(args.files) == 2:
        _write_undamaged(Path(args.files[0]), new_file(args.files[1], force=args.force))
        return 0
    found = autosaves()
    if args.list:
        for path, live in found:
            size = f"{size_of(path) / 1000:,.0f} kB"
            echo(f"{path}  {size}{'  (of a running session)' if live else ''}")
        echo(f"{len(found)} in {folder()}")
        return 0
    out = _single_output(args.files[0], force=args.force) if args.files else None
    left = [path for path, live in found if not live]
    if not left:
        running = f"; {len(found)} of running sessions" if found else ""
        raise RecordingError(f"nothing to recover in {folder()}{running}")
    if out is not None:
        return 0 if any(_move(path, out, force=args.force) for path in left) else 1
    moved = [_move(path, Path(f"recovered-{path.name}"), force=args.force) for path in left]
    return 0 if all(moved) else 1


def _single_output(out: str, *, force: bool) -> Path:
    """Return the file to write. An existing one may be meant as the file to repair: the error says how."""
    try:
        return new_file(out, force=force)
    except RecordingError as error:
        if os.path.isfile(user_path(out)):
            raise RecordingError(f"{error}. To repair that file:  rtnb recover {out} REPAIRED.rtnb") from None
        raise


def _move(autosave: Path, out: Path, *, force: bool) -> bool:
    """Write an autosave as a recording and remove it. Return False, with a message, if that fails."""
    from ..recordings.autosave import remove

    try:
        _write_undamaged(autosave, new_file(out, force=force))
    except RecordingError as error:
        echo(f"rtnb: the autosave {autosave} stays: {error}", file=sys.stderr)
        return False
    remove(autosave)
    return True


def _write_undamaged(source: Path, out: Path) -> None:
    from ..recordings.autosave import recover

    reader, count = recover(source, out)
    echo(f"{out}: {count:,} events")
    for sentence in reader.lost:
        echo(f"  Left out: {sentence}")
