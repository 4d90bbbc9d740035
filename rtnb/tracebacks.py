"""What a notebook shows of an error: the user's own lines and the sentence, without rtnb's frames.

>>> rtnb.connect(engine="nonsense")
EngineError                               Traceback (most recent call last)
Cell In[1], line 1
----> 1 rtnb.connect(engine="nonsense")

EngineError: unknown engine 'nonsense'. Available: fake, local

Nothing is lost. With ``RTNB_TRACEBACK=1`` in the environment (``%env RTNB_TRACEBACK=1`` in a cell, then
``%tb``) all frames and causes are shown; ``%debug`` and the error's ``__traceback__`` always have them; and
Python outside of IPython prints them.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["render"]

_OWN = str(Path(__file__).parent) + os.sep
_LIBRARY = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))
_INSTALLED = {"site-packages", "dist-packages"}


def render(error: BaseException) -> list[str]:
    """Return the traceback of an error as IPython shows it: the user's frames, and causes that have any.

    ``RTNB_TRACEBACK`` in the environment, other than "" or "0", keeps all frames and causes.
    """
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get() if get is not None else None
    if os.environ.get("RTNB_TRACEBACK", "0") not in ("", "0"):
        return _formatted(shell, error, offset=1)  # the first frame is IPython's
    with _shortened(error):
        return _formatted(shell, error, offset=0)


def _formatted(shell: Any, error: BaseException, offset: int) -> list[str]:
    if shell is None:
        return traceback.format_exception(error)
    lines: list[str]
    if error.__traceback__ is None:
        lines = shell.InteractiveTB.get_exception_only(type(error), error)
    else:
        lines = shell.InteractiveTB.structured_traceback(
            type(error), error, error.__traceback__, tb_offset=offset
        )
    return lines


@contextmanager
def _shortened(error: BaseException) -> Iterator[None]:
    """Take all frames but the user's from an error and its causes, and causes that have none, for a while."""
    chain = [error]
    while (cause := _cause(chain[-1])) is not None and cause not in chain:
        chain.append(cause)
    whole = [(e, e.__traceback__, e.__cause__, e.__context__, e.__suppress_context__) for e in chain]
    try:
        for one in chain:
            one.__traceback__ = _users(one.__traceback__)
        kept = [error, *(one for one in chain[1:] if one.__traceback__ is not None)]
        for one, following in zip(kept, [*kept[1:], None], strict=True):
            if one.__cause__ is not None or following is None:
                one.__cause__ = following
            else:
                one.__context__ = following
        yield
    finally:
        for one, frames, direct, context, suppressed in whole:
            one.__traceback__, one.__cause__, one.__context__ = frames, direct, context
            one.__suppress_context__ = suppressed


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _users(frames: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of rtnb, the standard library and installed packages."""
    if frames is None:
        return None
    following = _users(frames.tb_next)
    if _is_users(frames.tb_frame.f_code.co_filename):
        return TracebackType(following, frames.tb_frame, frames.tb_lasti, frames.tb_lineno)
    return following


def _is_users(file: str) -> bool:
    library = file.startswith((_OWN, *_LIBRARY, "<frozen ")) or _INSTALLED.intersection(Path(file).parts)
    return not library
