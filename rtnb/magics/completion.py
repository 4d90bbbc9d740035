"""Tab in the first line of a magic: its options, and what they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..api.session import Session
from ..protocol import models
from ..server.fields import VOICES
from .arguments import Options

__all__ = ["install"]


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
    if action.dest in ("model", "where"):
        return sorted(model.id for model in models.catalogue())
    return []
