"""Rate limits as the service reports them: tokens per sliding minute, at the first usage tier."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..protocol.models import SEED, find

__all__ = ["TokenWindow", "tokens_per_minute"]

_MINUTE = 60.0


def tokens_per_minute(model: str) -> int:
    """Return the model's limit at tier 1; the seed model's (40,000) where none is published."""
    for id in (model, SEED):
        for tier in find(id).tiers:
            if tier.tier == 1 and tier.tpm is not None:
                return tier.tpm
    return 40_000


class TokenWindow:
    """How many tokens were used within the last minute. Times are in seconds of one monotonic clock."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0

    def spend(self, tokens: int, now: float) -> None:
        """Count ``tokens`` as used at ``now``."""
        self._spent.append((now, tokens))
        self._sum += tokens

    def report(self, now: float) -> list[dict[str, Any]]:
        """Return the ``rate_limits`` list of the event: tokens only, as seen on the wire.

        ``reset_seconds`` is the time until the window is empty again.
        """
        while self._spent and self._spent[0][0] <= now - _MINUTE:
            self._sum -= self._spent.popleft()[1]
        resets = self._spent[-1][0] + _MINUTE - now if self._spent else 0.0
        return [
            {
                "name": "tokens",
                "limit": self.limit,
                "remaining": max(0, self.limit - self._sum),
                "reset_seconds": round(resets, 3),
            }
        ]
