"""The static table of ``rtnb.doctor()``: what was checked, what was found and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from htpy import table, tbody, td, th, thead, tr
from markupsafe import Markup

from ..redaction import clean_text
from .html import markup, stylesheet

__all__ = ["STATES", "Check", "Checks", "checks_html"]

STATES = {"ok": "ok", "note": "note", "problem": "PROBLEM", "unknown": "…"}
"""The states of a check, as they are shown."""


class Check(Protocol):
    """One finding."""

    @property
    def name(self) -> str:
        """What was checked."""
        ...

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        ...

    @property
    def found(self) -> str:
        """What was found."""
        ...

    @property
    def advice(self) -> str:
        """What to do about it; "" for nothing."""
        ...


class Checks(Protocol):
    """A report of checks."""

    @property
    def checks(self) -> Iterable[Check]:
        """All findings, in order."""
        ...


def checks_html(report: Checks) -> Markup:
    """Return the findings as a table."""
    rows = (
        tr(class_="rtnb-problem" if check.state == "problem" else None)[
            td[STATES[check.state]],
            td[check.name],
            td[clean_text(check.found)],
            td[clean_text(check.advice)],
        ]
        for check in report.checks
    )
    head = tr[(th[name] for name in ("", "Check", "Result", "Advice"))]
    return markup([stylesheet("checks.css"), table(".rtnb-checks")[thead[head], tbody[rows]]])
