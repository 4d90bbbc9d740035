"""What all magics share: parsing of their first line, completion, and errors as one line."""

from __future__ import annotations

import argparse
import keyword
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError

from ..api.session import Session
from ..errors import RtnbError
from ..protocol import models
from ..server.schema import VOICES

__all__ = ["MagicParser", "UsageError", "check_variable", "install", "one_line_errors"]


class MagicParser(argparse.ArgumentParser):
    """The parser of a magic's first line. Wrong arguments are a UsageError."""

    def __init__(self, magic: str) -> None:
        super().__init__(prog=magic, add_help=False)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of ending the process."""
        raise UsageError(f"{message}. Run {self.prog}? for help")

    def parse_line(self, line: str) -> argparse.Namespace:
        """Parse a magic's first line. Raises UsageError."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            self.error(str(error).lower())
        return self.parse_args(words)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Show errors of rtnb as one line without a traceback, by raising UsageError instead."""
    try:
        yield
    except RtnbError as error:
        raise UsageError(str(error)) from None


def check_variable(name: str) -> None:
    """Raise UsageError unless ``name`` is a valid variable name."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"{name!r} is not a valid variable name: use a name such as question")


def install(ipython: Any, magics: Mapping[str, MagicParser]) -> None:
    """Add Tab completion of these magics to a shell; installing again replaces it."""
    matchers = ipython.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if not hasattr(matcher, "rtnb")]

    def complete(context: CompletionContext) -> SimpleMatcherResult:
        words = context.text_until_cursor.split()
        name = words[0].lstrip("%") if words and words[0].startswith("%") else ""
        token = context.token
        before = words[1:-1] if token else words[1:]
        if name not in magics or (token and len(words) == 1):
            return SimpleMatcherResult(completions=[])
        found = _choices(ipython, magics[name], before[-1] if before else "", token)
        return SimpleMatcherResult(
            completions=[SimpleCompletion(text, type="param") for text in found if text.startswith(token)],
            suppress=bool(found),
        )

    matcher: Any = context_matcher()(complete)
    matcher.rtnb = True
    matchers.append(matcher)


def _choices(ipython: Any, parser: MagicParser, before: str, token: str) -> list[str]:
    """Return the completions of a token: the values of the option before it, else the options."""
    actions = [action for action in parser._actions if action.option_strings]
    for action in actions:
        if before in action.option_strings and action.nargs != 0:
            values = _values(ipython, action)
            if values or action.nargs is None:
                return values
    if token and not token.startswith("-"):
        return []
    return sorted(option for action in actions for option in action.option_strings)


def _values(ipython: Any, action: Any) -> list[str]:
    if action.choices:
        return [str(choice) for choice in action.choices]
    if action.dest == "session":
        space = ipython.user_ns
        return sorted(name for name, value in list(space.items()) if isinstance(value, Session))
    if action.dest == "voice":
        return sorted(VOICES)
    if action.dest in ("model", "endpoint"):
        return sorted(model.id for model in models.catalogue())
    return []
