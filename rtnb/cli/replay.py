"""``rtnb replay``: see a recorded conversation happen again."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from .terminal import tell

if TYPE_CHECKING:
    from ..recordings.recording import Recording

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "replay",
        help="see a recorded conversation happen again",
        description="Replay a recording: what both sides said, at the pace of then, or faster.",
    )
    parser.add_argument("file", metavar="FILE.rtnb")
    parser.add_argument("--speed", default="1", metavar="X|max", help="1 as recorded (the default), 2, max")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0. Raises RtnbError for a file or a speed that cannot be used."""
    from ..errors import ArgumentError
    from ..recordings import open

    try:
        speed = None if args.speed == "max" else float(args.speed)
    except ValueError:
        raise ArgumentError(f"--speed is a number above 0, or max, not {args.speed!r}") from None
    recording = open(args.file)
    tell(repr(recording)[1:-1])
    asyncio.run(_show(recording, speed))
    return 0


async def _show(recording: Recording, speed: float | None) -> None:
    """Send again what the client sent, when it did, and tell what comes."""
    from ..transports.replay import Replay

    screen = _Screen()
    transport = Replay(recording.log, speed=speed, strict=True)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for entry in recording.log:
        if entry.direction == "server":
            await transport.recv()
            screen.came(entry.data)
            continue
        if speed is not None:
            await asyncio.sleep(max(0.0, began + entry.t / speed - loop.time()))
        screen.sent(entry.data)
        await transport.send(entry.frame)
    screen.end()


class _Screen:
    """Tells what both sides say, as it comes. A frame that is not as the protocol has it says nothing."""

    def __init__(self) -> None:
        self._open = False

    def sent(self, event: dict[str, Any]) -> None:
        """Tell what the client wrote."""
        item = event.get("item")
        parts = item.get("content") if isinstance(item, dict) else None
        parts = parts if isinstance(parts, list) else []
        texts = [part.get("text") for part in parts if isinstance(part, dict)]
        said = " ".join(text for text in texts if isinstance(text, str))
        if said:
            self._line(f"You: {said}")

    def came(self, event: dict[str, Any]) -> None:
        """Tell what the server says."""
        kind = event.get("type")
        if kind in ("response.output_audio_transcript.delta", "response.output_text.delta"):
            lead = "" if self._open else "Assistant: "
            self._open = True
            tell(f"{lead}{event.get('delta', '')}", end="")
        elif kind == "conversation.item.input_audio_transcription.completed":
            self._line(f"You: {event.get('transcript', '')}")
        elif kind == "response.function_call_arguments.done":
            self._line(f"Call: {event.get('name', '')}({event.get('arguments', '')})")
        elif kind == "error" and isinstance(event.get("error"), dict):
            self._line(f"Error: {event['error'].get('message')}")
        elif kind == "response.done":
            self.end()

    def _line(self, text: str) -> None:
        self.end()
        tell(text)

    def end(self) -> None:
        """End a line that text was streamed into."""
        if self._open:
            tell()
        self._open = False
