"""What all magics share: their options, errors as one line, and whether a reader is there."""

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

__all__ = ["Options", "UsageError", "install", "one_line", "variable"]


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


def install(ipython: Any, magics: Mapping[str, Options]) -> None:
    """Complete these magics in a shell; a second time replaces the first."""
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


def _choices(ipython: Any, options: Options, before: str, token: str) -> list[str]:
    """Return what can stand here: values after an option that takes some, else the options."""
    actions = [action for action in options._actions if action.option_strings]
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
