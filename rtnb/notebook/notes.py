"""rtnb's warnings in a notebook: notes in the cell instead of lines on stderr.

>>> s = rtnb.connect(budget=0.001)
>>> s.send("Hello.")
Note: the budget is nearly used up: $0.0009 of $0.0010

They stay what they are: `BudgetWarning`, and records of the logger "rtnb". So filters, ``pytest.warns`` and
handlers of an application work as before, and without a kernel nothing changes.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
import warnings
from typing import Any, TextIO

from ..errors import BudgetWarning
from ..redaction import clean_text
from ..render.html import note_html

__all__ = ["install", "show_note"]


def show_note(text: str, more: str = "") -> None:
    """Show a note in the running cell; ``more`` is folded. Any thread may call it."""
    from IPython import display

    text = text[:1].upper() + text[1:]
    text += "" if text.endswith((".", "!", "?")) else "."
    plain = "\n".join(filter(None, [f"Note: {text}", more]))
    show: Any = display.display
    show({"text/plain": clean_text(plain), "text/html": note_html(text, more)}, raw=True)


class _Notes(logging.Handler):
    """Shows warnings and errors that rtnb logs. The traceback of a user's function is folded."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        try:
            error = record.exc_info[1] if record.exc_info else None
            more = "" if error is None else "".join(traceback.format_exception(error))
            show_note(record.getMessage(), more)
        except Exception:
            self.handleError(record)


def install() -> None:
    """Show rtnb's warnings as notes in this process; calling it again changes nothing."""
    logger = logging.getLogger("rtnb")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes(logging.WARNING))
    if not getattr(warnings.showwarning, "is_rtnb", False):
        warnings.showwarning = _showing(warnings.showwarning)


def _showing(previous: Any) -> Any:
    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, BudgetWarning) and file is None:
            with contextlib.suppress(Exception):
                show_note(str(message))
                return
        previous(message, category, filename, lineno, file, line)

    showwarning.is_rtnb = True  # type: ignore[attr-defined]
    return showwarning
