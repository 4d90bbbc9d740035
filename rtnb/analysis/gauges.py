"""Gauges: how much of what may be used is used, and the rate limits that the service reports."""

from __future__ import annotations

from dataclasses import dataclass

from ..displayable import Displayable
from ..formatting import dollars
from ..redaction import clean_text, plain

__all__ = ["Gauge", "Limit", "Meter", "percent"]


class Meter(Displayable):
    """Anything that is full to some share. Shown in a notebook it is a bar with its numbers."""

    __slots__ = ()

    renderer = "rtnb.render.usage_card:meter_html"

    name: str
    warns: bool
    """Whether a full one is a reason to warn."""

    @property
    def label(self) -> str:
        """The name that the card shows."""
        return self.name

    @property
    def share(self) -> float | None:
        """How full it is, 0 to 1 or more; None where that is unknown."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {plain(clean_text(self.label))}: {self}>"


@dataclass(frozen=True, slots=True, repr=False)
class Gauge(Meter):
    """Something used and the most of it that may be; None is unknown. ``unit`` is tokens, $ or minutes."""

    name: str
    used: float | None
    most: float | None
    unit: str = "tokens"
    note: str = ""
    warns: bool = True

    @property
    def share(self) -> float | None:
        """Used of the most: 0 to 1, or above where it was passed; None where one of them is unknown."""
        if self.used is None or self.most is None:
            return None
        return self.used / self.most if self.most else 1.0

    def __str__(self) -> str:
        if self.most is None:
            return (
                "unknown" if self.used is None else f"{_amount(self.used, self.unit)} of an unknown maximum"
            )
        share = "" if self.share is None else f" ({percent(self.share)})"
        used = _amount(self.used, self.unit).removesuffix(self.unit).rstrip()
        return f"{used} of {_amount(self.most, self.unit)}{share}"


@dataclass(frozen=True, slots=True, repr=False)
class Limit(Meter):
    """A rate limit as the service last reported it, ``reported_at`` seconds after the log began.

    ``remaining`` of ``limit`` requests or tokens were left; None is not reported.
    """

    name: str
    limit: float | None
    remaining: float | None
    reset_seconds: float | None
    reported_at: float | None
    warns: bool = True

    @property
    def label(self) -> str:
        """The name that the card shows."""
        return f"rate limit, {self.name}"

    @property
    def share(self) -> float | None:
        """How much of the limit is used, 0 to 1; None where that is unknown."""
        return 1 - self.remaining / self.limit if self.limit and self.remaining is not None else None

    @property
    def resets_at(self) -> float | None:
        """When the whole limit is free again, in seconds since the log began."""
        if self.reported_at is None or self.reset_seconds is None:
            return None
        return self.reported_at + self.reset_seconds

    def __str__(self) -> str:
        if self.limit is None and self.remaining is None:
            return "unknown"
        at = "an unknown time" if self.reported_at is None else f"{self.reported_at:.1f} s"
        reset = "at an unknown time" if self.reset_seconds is None else f"{self.reset_seconds:g} s later"
        return (
            f"{_amount(self.remaining)} of {_amount(self.limit)} left, reported at {at}; full again {reset}"
        )


def percent(share: float) -> str:
    """Return a share in whole percent, rounded down, so that 100% is full and 0% is empty or below.

    >>> percent(0.999), percent(0.004), percent(0), percent(float("inf"))
    ('99%', 'under 1%', '0%', 'over 999%')
    """
    if 0 < share < 0.01:
        return "under 1%"
    return "over 999%" if share >= 10 else f"{int(100 * max(share, 0))}%"


def _amount(value: float | None, unit: str = "") -> str:
    if value is None:
        return "unknown"
    if unit == "$":
        return dollars(value)
    count = f"{value:,.1f}" if unit == "minutes" else f"{value:,.0f}"
    return f"{count} {unit}".rstrip()
