"""``rtnb.doctor()``: is everything as live sound in a notebook needs it, and if not, what to do."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..displayable import Displayable
from ..notebook.display import live_pages
from ..notebook.environment import Check, front_end, kernel_checks, page_checks
from ..render.check_table import STATES

if TYPE_CHECKING:
    from .doctor_widget import DoctorWidget

__all__ = ["Doctor", "doctor"]

_NO_PAGE = ("plain Python", "IPython in a terminal", "a notebook run without a reader")


def doctor() -> Doctor:
    """Look at versions, kernel, engine, page, microphone and sound; say what to do about what is wrong.

    In a notebook the result shows itself, and the page fills in what only it sees. In a plain script it is
    printed, without the page's part.

    Examples
    --------
    >>> report = rtnb.doctor()  # doctest: +SKIP
    >>> [check.name for check in report.problems]  # doctest: +SKIP
    []
    """
    report = Doctor()
    if report.where == "plain Python" and not hasattr(sys, "ps1"):
        print(report)
    return report


class Doctor(Displayable):
    """A report: `checks`, of which `problems` are those to do something about.

    ``where`` is the front end, as far as the kernel can tell.
    """

    renderer = "rtnb.render.check_table:checks_html"

    def __init__(self) -> None:
        self.where = front_end()
        self._kernel = kernel_checks(self.where)
        self._facts: Mapping[str, Any] | None = None

    @property
    def checks(self) -> list[Check]:
        """All findings, the page's last. Without a page there are none of it."""
        if self.where in _NO_PAGE:
            return list(self._kernel)
        # The page knows better than the kernel where it is.
        known = [check for check in self._kernel if self._facts is None or check.name != "Front end"]
        return [*known, *page_checks(self._facts)]

    @property
    def problems(self) -> list[Check]:
        """What needs doing."""
        return [check for check in self.checks if check.state == "problem"]

    @property
    def page(self) -> Mapping[str, Any] | None:
        """What the page has found, as it told; None before it has."""
        return self._facts

    def page_answered(self, facts: Mapping[str, Any]) -> None:
        """Take in what the page has found."""
        self._facts = dict(facts)

    def __str__(self) -> str:
        checks = self.checks
        wide = max(len(check.name) for check in checks)
        lines = []
        for check in checks:
            lines.append(f"{STATES[check.state]:>7}  {check.name:<{wide}}  {check.found}")
            if check.advice:
                lines.append(f"{'':>7}  {'':<{wide}}  → {check.advice}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(include, exclude)
        if self.where not in _NO_PAGE and live_pages():
            bundle["application/vnd.jupyter.widget-view+json"] = self._widget.view
        return bundle

    @cached_property
    def _widget(self) -> DoctorWidget:
        from .doctor_widget import DoctorWidget

        return DoctorWidget(self)
