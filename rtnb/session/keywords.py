"""Keywords by their names: a wrong one is an error that tells the right one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from ..errors import ArgumentError

__all__ = ["check_names", "checked"]

P = ParamSpec("P")
R = TypeVar("R")


def check_names(options: Iterable[str], function: Callable[..., Any]) -> None:
    """Raise ArgumentError for a name that is no keyword of ``function``, with the one that was meant."""
    known = [name for name, p in signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name in known:
            continue
        if name == "model":
            raise ArgumentError("the model is chosen by rtnb.connect, once for a session")
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(known)}"
        raise ArgumentError(f"there is no option {name!r}: {hint}")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function check the names of its keywords before it is called."""
    positional = {
        name for name, p in signature(function).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD
    }

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_names(kwargs.keys() - positional, function)
        return function(*args, **kwargs)

    return call
