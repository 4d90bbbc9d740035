"""Numbers as people read them: durations, levels, moments, milliseconds, dollars, turns. Plain text."""

from __future__ import annotations

__all__ = ["clock", "dollars", "duration", "milliseconds", "moment", "peak_level", "turn_number"]


def duration(seconds: float) -> str:
    """Return a length of time.

    >>> duration(2.8), duration(65), duration(3602)
    ('2.80 s', '1:05 min', '1:00:02 h')
    """
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def peak_level(peak_db: float) -> str:
    """Return a peak level in dBFS; below −120 it is silent.

    >>> peak_level(-3.14), peak_level(-200)
    ('peak −3.1 dBFS', 'silent')
    """
    # Adding zero keeps −0.0 from being shown.
    return "silent" if peak_db < -120 else f"peak {round(peak_db, 1) + 0.0:.1f} dBFS".replace("-", "−")


def clock(seconds: float) -> str:
    """Return a position in a session as ``mm:ss.mmm``, with hours in front where there are any.

    >>> clock(61.25), clock(-0.5), clock(3600)
    ('01:01.250', '−00:00.500', '1:00:00.000')
    """
    ms = round(abs(seconds) * 1000)
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes:02}"
    return f"{'−' if seconds < 0 and ms else ''}{head}:{rest // 1000:02}.{rest % 1000:03}"


def moment(created: str) -> str:
    """Return an ISO 8601 date and time in its common form, to the second; "unknown" for an empty string.

    >>> moment("2026-05-04T10:20:30.123456+00:00")
    '2026-05-04 10:20:30 UTC'
    """
    if len(created) < 19:
        return created or "unknown"
    zone = " UTC" if created.endswith(("+00:00", "Z")) else created[23:]
    return f"{created[:10]} {created[11:19]}{zone}"


def milliseconds(value: float | None) -> str:
    """Return milliseconds as digits; "unknown" for None, never 0.

    >>> milliseconds(1234.5), milliseconds(-3), milliseconds(None)
    ('1,234', '−3', 'unknown')
    """
    return "unknown" if value is None else f"{round(value) + 0:,}".replace("-", "−")


def dollars(amount: float) -> str:
    """Return US dollars to four decimal places; a smaller amount is not shown as $0.

    >>> dollars(1234.5), dollars(0.00002), dollars(0)
    ('$1,234.5000', 'under $0.0001', '$0')
    """
    if not amount:
        return "$0"
    return "under $0.0001" if 0 < amount < 0.0001 else f"${amount:,.4f}"


def turn_number(number: int) -> str:
    """Return a turn's number as people count, from 1. In code, ``turn.number`` and filters count from 0.

    A turn that has not been sent yet, -1, is shown as the first.

    >>> turn_number(0), turn_number(-1)
    ('1', '1')
    """
    return str(max(number, 0) + 1)
