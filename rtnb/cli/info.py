"""``rtnb info``: what a recording holds."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from .terminal import tell

if TYPE_CHECKING:
    from ..recordings.recording import Recording

__all__ = ["add_parser", "run"]

_TYPES = 8


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "info", help="what a recording holds", description="Tell what a recording holds."
    )
    parser.add_argument("file", metavar="FILE.rtnb")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0. Raises RecordingError for a file that cannot be read."""
    from ..recordings import open

    recording = open(args.file)
    if args.json:
        tell(json.dumps(_told(recording), ensure_ascii=False))
        return 0
    for name, value in (*_said(recording), *recording.provenance.facts):
        if value:
            tell(f"{name:>20}  {value}")
    return 0


def _said(recording: Recording) -> list[tuple[str, str]]:
    """Return in words what is in it; where it comes from its provenance tells."""
    from ..formatting import duration
    from ..render.usage_card import money

    used, log, count = recording.usage, recording.log, len(recording.turns)
    turns = f"{count:,} turn{'' if count == 1 else 's'}"
    most = ", ".join(f"{name} ({n:,})" for name, n in log.counts().most_common(_TYPES))
    return [
        ("holds", f"{turns}, {len(log):,} events, {duration(recording.seconds)}"),
        ("size", f"{recording.path.stat().st_size:,} bytes; its frames had {log.bytes:,}"),
        ("problem", recording.problem or ""),
        ("most frequent", most),
        ("tokens", str(used.total) if used.known else "unknown"),
        ("context", str(used.context)),
        ("money", money(used)),
        ("not in it", ", ".join(used.cost.excludes) if used.cost is not None else ""),
        ("disagreements", "; ".join(used.problems)),
    ]


def _told(recording: Recording) -> dict[str, Any]:
    head, log = recording.header, recording.log
    size = recording.path.stat().st_size
    used = recording.usage
    cost = used.cost
    return {
        "file": recording.path.name,
        "bytes": size,
        "problem": recording.problem,
        "format": head.get("format"),
        "made_by": f"rtnb {head.get('rtnb')}",
        "created": head.get("created"),
        "with": recording.endpoint,
        "model": recording.model,
        "engine": recording.engine,
        "billed": recording.billed,
        "seconds": round(recording.seconds, 3),
        "events": len(log),
        "most": dict(log.counts().most_common(_TYPES)),
        "frame_bytes": log.bytes,
        "turns": len(recording.turns),
        "tokens": used.total_tokens if used.known else None,
        "tokens_by_kind": str(used.total) if used.known else None,
        "context": str(used.context),
        "cost_usd": None if cost is None else round(float(cost), 6),
        "prices": None if cost is None else f"{cost.model} as of {cost.as_of}",
        "not_in_cost": list(cost.excludes) if cost is not None else [],
        "disagreements": used.problems,
        "sound": (head.get("capture") or {}).get("audio"),
        "redacted": head.get("redacted"),
        "scrubbed": list(head.get("scrubbed") or ()),
        "libraries": head.get("libraries"),
    }
