"""The limit on how long a turn waits for the server in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .turn import Turn

__all__ = ["AnswerTimeout"]


class AnswerTimeout:
    """Calls ``expired(turn)`` for a turn of which the server has sent nothing for ``seconds``.

    Only frames of that turn restart its clock: pings and other turns do not count. The clock stands still
    while the turn waits for something else than the server. With ``seconds`` None there is no limit.
    """

    def __init__(self, seconds: float | None, expired: Callable[[Turn], None]) -> None:
        self.seconds = seconds
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._since: dict[Turn, float | None] = {}  # when the clock of a turn was started; None: it stands
        self._timer: asyncio.TimerHandle | None = None

    def start(self, turn: Turn) -> None:
        """Start the clock of a turn, or start it again."""
        if self.seconds is None:
            return
        self._since[turn] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self.seconds, self._check)

    def restart(self, turn: Turn) -> None:
        """Start the clock of a turn again, also after a pause; of a turn that has none nothing happens."""
        if turn in self._since:
            self._since[turn] = self._loop.time()
            if self._timer is None:
                self.start(turn)

    def pause(self, turn: Turn) -> None:
        """Let the clock of a turn stand still until it is started again."""
        if turn in self._since:
            self._since[turn] = None

    def stop(self, turn: Turn) -> None:
        """Stop the clock of a turn."""
        self._since.pop(turn, None)

    def close(self) -> None:
        """Stop all clocks."""
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        self._timer = None
        assert self.seconds is not None
        now = self._loop.time()
        for turn, since in list(self._since.items()):
            if since is not None and now - since >= self.seconds:
                del self._since[turn]
                self._expired(turn)
        running = [since for since in self._since.values() if since is not None]
        if running:
            self._timer = self._loop.call_later(max(min(running) + self.seconds - now, 0.01), self._check)
