"""What the commands share: options, printed text, and files that are not overwritten.

Text from a server, a file's name or an error message is untrusted. A control code in it could hide lines of a
terminal, write others, or set the window's title, and a bidirectional override could reorder them. Everything
that a command prints goes through `echo`, and messages about its arguments through `Parser`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from ..errors import RecordingError
from ..paths import check_writable, short, user_path
from ..redaction import clean_text, plain

if TYPE_CHECKING:
    from ..protocol.changes import Change, Command

__all__ = [
    "Parser",
    "Run",
    "Subparsers",
    "Transcript",
    "add_connection_options",
    "add_force",
    "connection",
    "echo",
    "echo_json",
    "new_file",
    "new_folder",
    "safe",
]

Subparsers = argparse._SubParsersAction
Run = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser whose errors quote arguments without their control codes."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with status 2."""
        super().error(safe(message))


def safe(text: str) -> str:
    """Return a text without its keys, control codes and bidirectional overrides; newlines and tabs stay."""
    return plain(clean_text(text))


def echo(text: object = "", *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print a `safe` text at once."""
    print(safe(str(text)), end=end, file=file, flush=True)


def echo_json(value: Any, *, indent: int | None = None) -> None:
    """Print a value as JSON in ASCII: every other character is escaped, and none is lost."""
    echo(json.dumps(value, indent=indent, default=str))


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the model and how it answers; `connection` reads them."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--engine",
        metavar="SPEC",
        help="the embedded engine: local, fake, … (default: RTNB_ENGINE, or local)",
    )
    either.add_argument(
        "--to",
        dest="endpoint",
        metavar="ENDPOINT",
        help="a hosted model or a server: MODEL, azure:DEPLOYMENT or a ws:// URL",
    )
    parser.add_argument(
        "--model", help="the model to request, or the one that the embedded engine stands in for"
    )
    parser.add_argument("--voice", help="the voice of the answer")
    parser.add_argument("--instructions", help="instructions for the model")


def connection(args: argparse.Namespace) -> dict[str, Any]:
    """Return these options as arguments of `rtnb.connect`."""
    return {name: getattr(args, name) for name in ("endpoint", "engine", "model", "voice", "instructions")}


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add ``--force`` to a command that writes a file."""
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def new_file(out: str | Path, *, force: bool) -> Path:
    """Return the path if a file may be written there. Called before any work is done.

    Raises RecordingError: it exists and ``force`` is not set, or its folder cannot be written to.
    """
    path = user_path(out, "the output")
    if os.path.lexists(path) and not force:
        raise RecordingError(f"{short(path)} already exists. Choose another name or use --force")
    check_writable(path)
    return path


def new_folder(out: str | Path, *, force: bool) -> Path:
    """Return the path of a folder that is new or empty. Raises RecordingError as `new_file` does."""
    path = user_path(out, "the output")
    if not force and os.path.isdir(path) and any(path.iterdir()):
        raise RecordingError(f"{short(path)} is not empty. Choose another folder or use --force")
    return path


class Transcript:
    """Prints a conversation as it happens. The pieces of an answer continue one line."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file
        self._answering = False

    def line(self, text: str) -> None:
        """Print a line of its own."""
        self.end()
        echo(text, file=self._file)

    def end(self) -> None:
        """End the line of an answer."""
        if self._answering:
            echo(file=self._file)
        self._answering = False

    def show(self, change: Change | Command) -> None:
        """Print what the client sends and what the server reports."""
        from ..protocol import changes

        if isinstance(change, changes.AddItem):
            texts = [part.text for part in change.item.contents if part.text]
            if texts:
                self.line(f"You: {' '.join(texts)}")
        elif isinstance(change, changes.TextDelta):
            text = change.text if self._answering else f"Assistant: {change.text.lstrip()}"
            echo(text, end="", file=self._file)
            self._answering = True
        elif isinstance(change, changes.SpeechStarted):
            self.line("The server detected speech.")
        elif isinstance(change, changes.SpeechStopped):
            self.line("The server detected the end of speech.")
        elif isinstance(change, changes.InputTranscript):
            self.line(f"You: {change.text.strip()}")
        elif isinstance(change, changes.InputTranscriptFailed):
            self.line(f"Your speech could not be transcribed: {change.error.message}")
        elif isinstance(change, changes.ToolCall):
            self.line(f"Call: {change.name}({change.arguments})")
        elif isinstance(change, changes.Failed):
            self.line(f"Error from the server: {change.error.message or change.error.code}")
        elif isinstance(change, changes.ResponseEnded):
            self.end()
