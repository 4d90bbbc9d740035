"""A session to look at: everything that its record tells. The same live, replayed and from a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..protocol.conversation import Conversation
from ..protocol.state import SessionState
from .events import Events
from .turn import TurnView
from .usage import Gauge, UsageView

if TYPE_CHECKING:
    from .timeline import Timeline

__all__ = ["SessionView"]


class SessionView:
    """What a session and a recording of one have in common: views of one record. Nothing here waits."""

    @property
    def state(self) -> SessionState:
        """The log and all that is folded from it."""
        raise NotImplementedError

    @property
    def turns(self) -> Sequence[TurnView]:
        """All turns so far."""
        raise NotImplementedError

    @property
    def endpoint(self) -> str:
        """What the session talks to, in words."""
        raise NotImplementedError

    @property
    def engine(self) -> str:
        """The embedded engine that answers, such as "local"; "" for another server."""
        raise NotImplementedError

    @property
    def billed(self) -> bool:
        """Whether somebody is asked to pay for it."""
        raise NotImplementedError

    @property
    def model(self) -> str:
        """The model's id, as the server told it."""
        return self.state.model

    @property
    def log(self) -> Events:
        """Every frame, both directions: to filter, search, count, and look at."""
        state = self.state
        about = {"where": self.endpoint, "engine": self.engine, "billed": self.billed, "model": self.model}
        return Events(
            state.log, state=lambda: state, about=about | {"requested_model": state.requested_model}
        )

    @property
    def conversation(self) -> Conversation:
        """The items, in order."""
        return self.state.conversation

    @property
    def usage(self) -> UsageView:
        """Tokens and money of all turns, as the service counted them, at this moment."""
        return UsageView(self.state, billed=self.billed, engine=self.engine, budget=self._allowances)

    @property
    def _allowances(self) -> Sequence[Gauge]:
        """What of the session's budget is used; none where it has none."""
        return ()

    @property
    def timeline(self) -> Timeline:
        """All turns in time: both lanes on one clock, a row per turn, percentiles; as known now."""
        from .spans import TurnTimes
        from .timeline import Timeline

        turns = [TurnTimes.of(turn) for turn in self.turns if turn.number >= 0]
        return Timeline(turns, whole=True)

    @property
    def limits(self) -> dict[str, dict[str, Any]]:
        """The rate limits as the service last told them, by name."""
        return dict(self.state.limits)
