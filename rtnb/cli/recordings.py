"""Commands that read a recording: ``info``, ``verify``, ``scrub``, ``diff``, ``export`` and ``report``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import Run, Subparsers, add_force, echo, echo_json, new_file, new_folder, safe

if TYPE_CHECKING:
    from ..analysis.turn import TurnView
    from ..recordings.recording import Recording

__all__ = ["add_diff", "add_export", "add_info", "add_report", "add_scrub", "add_verify"]

_TYPES = 8
"""How many event types `info` counts."""
_SPEAKERS = ("user", "assistant", "all")


def _add(
    subparsers: Subparsers[argparse.ArgumentParser],
    name: str,
    run: Run,
    files: Iterable[str],
    *,
    help: str,
    description: str,
) -> argparse.ArgumentParser:
    """Add a command on these files: the recording, and what is compared with it or written."""
    parser = subparsers.add_parser(name, help=help, description=description)
    for dest, metavar in zip(("file", "other"), files, strict=False):
        parser.add_argument(dest, metavar=metavar)
    parser.set_defaults(run=run)
    return parser


def add_info(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb info``."""
    parser = _add(
        subparsers,
        "info",
        _info,
        ["FILE.rtnb"],
        help="show what a recording contains",
        description="Show what a recording contains: turns, events, tokens, cost, and where it comes from.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _info(args: argparse.Namespace) -> int:
    from ..recordings import open

    recording = open(args.file)
    if args.json:
        echo_json(_report(recording))
        return 0
    for name, value in (*_rows(recording), *recording.provenance.facts):
        if value:
            echo(f"{name:>20}  {' '.join(safe(value).splitlines())}")
    return 0


def _rows(recording: Recording) -> list[tuple[str, str]]:
    """Return the contents as (name, value), for people; the provenance is added to it."""
    from ..formatting import duration

    used, log, count = recording.usage, recording.log, len(recording.turns)
    turns = f"{count:,} turn{'' if count == 1 else 's'}"
    most = ", ".join(f"{name} ({n:,})" for name, n in log.counts().most_common(_TYPES))
    return [
        ("contents", f"{turns}, {len(log):,} events, {duration(recording.seconds)}"),
        ("size", f"{recording.size:,} bytes, of {log.bytes:,} bytes of frames"),
        ("problem", recording.problem or ""),
        ("most frequent", most),
        ("tokens", str(used.total) if used.known else "unknown"),
        ("context", str(used.context)),
        ("cost", used.cost_text),
        ("not in the cost", ", ".join(used.cost.excludes) if used.cost is not None else ""),
        ("inconsistent usage", "; ".join(used.problems)),
    ]


def _report(recording: Recording) -> dict[str, Any]:
    about, log, used = recording.manifest, recording.log, recording.usage
    cost = used.cost
    return {
        "file": recording.path.name,
        "bytes": recording.size,
        "problem": recording.problem,
        "format": about.get("format"),
        "made_by": f"rtnb {about.get('rtnb')}",
        "created": about.get("created"),
        "endpoint": recording.endpoint,
        "model": recording.model,
        "engine": recording.engine,
        "billed": recording.billed,
        "seconds": round(recording.seconds, 3),
        "events": len(log),
        "most_frequent": dict(log.counts().most_common(_TYPES)),
        "frame_bytes": log.bytes,
        "turns": len(recording.turns),
        "tokens": used.total_tokens if used.known else None,
        "tokens_by_kind": str(used.total) if used.known else None,
        "context": str(used.context),
        "cost_usd": None if cost is None else round(float(cost), 6),
        "prices": None if cost is None else f"{cost.model} as of {cost.as_of}",
        "not_in_cost": list(cost.excludes) if cost is not None else [],
        "inconsistent_usage": used.problems,
        "audio": "opus" if about.get("lossy") else "lossless",
        "redacted": about.get("redacted"),
        "scrubbed": list(about.get("scrubbed") or ()),
        "libraries": about.get("libraries"),
    }


def add_verify(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb verify``."""
    _add(
        subparsers,
        "verify",
        _verify,
        ["FILE.rtnb"],
        help="check that a recording is complete and unchanged",
        description="Read a recording, compare its hashes, and list what is damaged; exit 1 if anything is.",
    )


def _verify(args: argparse.Namespace) -> int:
    from ..recordings.verify import verify

    result = verify(args.file)
    echo(f"{args.file}: {result.summary}")
    for fault in result.faults:
        echo(f"  {fault}")
    return 1 if result.faults else 0


def add_scrub(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb scrub``."""
    parser = _add(
        subparsers,
        "scrub",
        _scrub,
        ["FILE.rtnb", "OUT.rtnb"],
        help="remove voices or words from a recording and verify the result",
        description=(
            "Write a copy of a recording without the voices or words that you name: audio becomes silence of "
            "the same length, words become x. Then read the copy and report whether any is left; exit 1 "
            "if so."
        ),
    )
    parser.add_argument("--voice", choices=_SPEAKERS, help="whose voice")
    parser.add_argument(
        "--text", choices=_SPEAKERS, help="whose words; all: every text that the protocol does not define"
    )
    parser.add_argument("--matching", metavar="REGEX", help="all words of items that match")
    add_force(parser)


def _scrub(args: argparse.Namespace) -> int:
    from ..recordings.scrub import ScrubRule, scrub

    out = new_file(args.other, force=args.force)
    report = scrub(args.file, out, ScrubRule(args.voice, args.text, args.matching))
    echo(f"{args.other} was verified: {report}.")
    if report.problem:
        echo(f"  Note: {report.problem}")
    for sentence in report.left[:20]:
        echo(f"  Left: {sentence}")
    if len(report.left) > 20:
        echo(f"  … and {len(report.left) - 20:,} more")
    return 1 if report.left else 0


def add_diff(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb diff``."""
    _add(
        subparsers,
        "diff",
        _diff,
        ["A.rtnb", "B.rtnb"],
        help="compare two recordings",
        description=(
            "List how two recordings differ in settings, turns and events. Ids, times and audio samples are "
            "ignored. Exit 1 if they differ, as diff does."
        ),
    )


def _diff(args: argparse.Namespace) -> int:
    from ..recordings import open
    from ..recordings.verify import diff

    found = diff(open(args.file), open(args.other))
    echo(found)
    return int(bool(found))


def add_export(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb export``."""
    parser = _add(
        subparsers,
        "export",
        _export,
        ["FILE.rtnb", "OUT"],
        help="write a recording as JSON Lines, a transcript or audio",
        description=(
            "OUT.jsonl: one event per line. OUT.txt: a transcript with times. OUT.wav: both voices in "
            "stereo, you left and the assistant right. A folder: one WAV file per item."
        ),
    )
    add_force(parser)


def _export(args: argparse.Namespace) -> int:
    from ..recordings import open
    from ..recordings.export import export

    recording = open(args.file)
    check = new_file if Path(args.other).suffix and not os.path.isdir(args.other) else new_folder
    written = export(recording, check(args.other, force=args.force) if args.other else "")
    if recording.problem:
        echo(f"rtnb: {recording.problem}", file=sys.stderr)
    for path in written:
        echo(path)
    return 0


def add_report(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add ``rtnb report``."""
    from ..render.report import MAX_MB

    parser = _add(
        subparsers,
        "report",
        _write_report,
        ["FILE.rtnb", "OUT.html"],
        help="write a recording as one HTML page that works offline",
        description=(
            "Write a recording as one HTML page: timeline, turns with players, transcript, tokens and cost, "
            "configuration, provenance and event log. The page makes no network requests."
        ),
    )
    parser.add_argument("--title", default="", help="the page's title")
    parser.add_argument("--no-audio", action="store_true", help="leave the audio out; waveforms stay")
    parser.add_argument(
        "--max-mb",
        type=float,
        default=MAX_MB,
        metavar="MB",
        help="at most so many megabytes of audio in the page (default %(default)g)",
    )
    add_force(parser)


def _write_report(args: argparse.Namespace) -> int:
    from ..recordings import open
    from ..render.report import write_report

    recording = open(args.file)
    page = write_report(
        recording,
        new_file(args.other, force=args.force),
        origin=recording.provenance,
        title=args.title,
        audio=not args.no_audio,
        max_mb=args.max_mb,
        progress=_progress,
    )
    echo(f"{page}: {page.stat().st_size / 1e6:.2f} MB")
    return 0


def _progress(turns: Iterable[TurnView]) -> Iterable[TurnView]:
    """Show a progress bar on a terminal: a minute of audio takes most of a second to compress."""
    from tqdm import tqdm

    return tqdm(turns, desc="turns", unit="turn", disable=not sys.stderr.isatty(), leave=False)
