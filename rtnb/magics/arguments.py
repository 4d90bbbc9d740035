"""What all magics share: their options, errors as one line, and whether a reader is there."""

from __future__ import annotations

import argparse
import keyword
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from IPython.core.error import UsageError

from ..errors import RtnbError

__all__ = ["Options", "UsageError", "one_line", "unattended", "variable"]


class Options(argparse.ArgumentParser):
    """The options of a magic. What is wrong with them is a UsageError."""

    def __init__(self, magic: str) -> None:
        super().__init__(prog=magic, add_help=False)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of ending the process."""
        raise UsageError(f"{message}. {self.prog}? tells what it takes")

    def parse_line(self, line: str) -> argparse.Namespace:
        """Return the options of a magic's first line. Raises UsageError."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            self.error(str(error).lower())
        return self.parse_args(words)


@contextmanager
def one_line() -> Iterator[None]:
    """Turn what rtnb raises on purpose into a usage error: one line without a traceback."""
    try:
        yield
    except RtnbError as error:
        raise UsageError(str(error)) from None


def variable(name: str) -> str:
    """Return ``name`` if a variable can be called so. Raises UsageError."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot be a variable: give a name such as question")
    return name


def unattended(shell: Any) -> bool:
    """Tell whether the cell was sent by a program: only a reader's front end can be asked for input."""
    kernel = getattr(shell, "kernel", None)
    return kernel is None or not getattr(kernel, "_allow_stdin", True)
