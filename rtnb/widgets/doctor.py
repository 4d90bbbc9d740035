"""``rtnb.doctor()``: checks what live audio in a notebook needs, and says how to fix what is missing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ..displayable import Displayable
from ..notebook.display import live_pages
from ..notebook.environment import Check, front_end, kernel_checks, page_checks
from ..render.check_table import STATES

__all__ = ["Doctor", "doctor"]

_WITHOUT_PAGE = ("plain Python", "IPython in a terminal", "a notebook run unattended")


def doctor() -> Doctor:
    """Check versions, kernel, engine, page, microphone and audio output; say how to fix what is wrong.

    In a notebook the report shows itself, and the page completes it. In a plain script it is printed, without
    the checks that need a page.

    Examples
    --------
    >>> report = rtnb.doctor()  # doctest: +SKIP
    >>> [check.name for check in report.problems]  # doctest: +SKIP
    []
    """
    report = Doctor()
    if report.front_end == "plain Python" and not hasattr(sys, "ps1"):
        print(report)
    return report


class Doctor(Displayable):
    """A report: `checks`, and among them the `problems` that need fixing.

    ``front_end`` is the front end as far as the kernel knows.
    """

    renderer = "rtnb.render.check_table:checks_html"

    def __init__(self) -> None:
        self.front_end = front_end()
        self._kernel_checks = kernel_checks(self.front_end)
        self._facts: Mapping[str, Any] | None = None

    @property
    def checks(self) -> list[Check]:
        """All checks, the page's last. Without a page, only the kernel's."""
        if self.front_end in _WITHOUT_PAGE:
            return list(self._kernel_checks)
        # The page knows better than the kernel which front end it belongs to.
        own = [check for check in self._kernel_checks if self._facts is None or check.name != "Front end"]
        return [*own, *page_checks(self._facts)]

    @property
    def problems(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.state == "problem"]

    @property
    def page(self) -> Mapping[str, Any] | None:
        """What the page reported about itself; None until it has."""
        return self._facts

    def add_page_facts(self, facts: Mapping[str, Any]) -> None:
        """Add what the page reported about itself."""
        self._facts = dict(facts)

    def __str__(self) -> str:
        checks = self.checks
        width = max(len(check.name) for check in checks)
        lines = []
        for check in checks:
            lines.append(f"{STATES[check.state]:>7}  {check.name:<{width}}  {check.found}")
            if check.advice:
                lines.append(f"{'':>7}  {'':<{width}}  → {check.advice}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(include, exclude)
        if self.front_end not in _WITHOUT_PAGE and live_pages():
            bundle["application/vnd.jupyter.widget-view+json"] = self._widget.view
        return bundle

    @cached_property
    def _widget(self) -> Any:
        from .doctor_widget import DoctorWidget

        return DoctorWidget(lambda: (self.checks, str(self)), self.add_page_facts)
