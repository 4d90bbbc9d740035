"""``rtnb scrub``: take voice or words out of a recording, and prove it."""

from __future__ import annotations

import argparse

from .output import add_force, fresh
from .terminal import tell

__all__ = ["add_parser", "run"]

_WHO = ("user", "assistant", "all")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "scrub",
        help="take voice or words out of a recording, and prove it",
        description=(
            "Write a recording again without what the rules take out: sound becomes silence of the same "
            "length, words become x. Then read the new file and tell whether anything of it is left."
        ),
    )
    parser.add_argument("file", metavar="FILE.rtnb")
    parser.add_argument("out", metavar="OUT.rtnb")
    parser.add_argument("--voice", choices=_WHO, help="whose voice")
    parser.add_argument("--text", choices=_WHO, help="whose words; all: whatever is not the protocol's own")
    parser.add_argument("--matching", metavar="REGEX", help="all words of items in which this is found")
    add_force(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0, or 1 where something is left. Raises RtnbError for a bad rule or file."""
    from ..recordings.scrub import ScrubRule, scrub

    out = fresh(args.out, force=args.force)
    proof = scrub(args.file, out, ScrubRule(args.voice, args.text, args.matching))
    tell(f"{args.out} was read again: {proof}.")
    if proof.problem:
        tell(f"  Note: {proof.problem}")
    for sentence in proof.left[:20]:
        tell(f"  Left: {sentence}")
    if len(proof.left) > 20:
        tell(f"  … and {len(proof.left) - 20:,} more")
    return 1 if proof.left else 0
