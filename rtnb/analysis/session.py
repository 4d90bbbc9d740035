"""A session: everything that its log says. The same live, replayed and from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..displayable import Displayable
from ..protocol.conversation import Conversation
from ..protocol.state import SessionState
from ..redaction import clean
from .events import Events
from .gauges import Gauge
from .provenance import Provenance
from .turn import TurnView
from .turn_table import TurnList
from .usage import UsageView

if TYPE_CHECKING:
    from .timeline import Timeline

__all__ = ["Overview", "SessionView", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Overview:
    """What is shown of a session above its turns: a title, a few facts, and what is wrong with it."""

    title: str
    facts: Sequence[str] = ()
    problem: str | None = None
    provenance: Provenance | None = None


class SessionView(Displayable):
    """What a session and a recording of one have in common: views of one log. Nothing here waits."""

    renderer = "rtnb.render.overview:overview_html"

    @property
    def state(self) -> SessionState:
        """The log and all that is folded from it."""
        raise NotImplementedError

    @property
    def turns(self) -> Sequence[TurnView]:
        """All turns so far: a list that a notebook shows as a table."""
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
        """Whether the session is billed."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether no more frames will come."""
        raise NotImplementedError

    @property
    def overview(self) -> Overview:
        """What a notebook shows of it above the turns."""
        raise NotImplementedError

    @property
    def model(self) -> str:
        """The model's id, as the server reported it."""
        return self.state.model

    @property
    def log(self) -> Events:
        """Every frame, both directions: to filter, search, count, and look at."""
        state = self.state
        about = {"endpoint": self.endpoint, "engine": self.engine, "billed": self.billed, "model": self.model}
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
        """How much of the session's budget is used; empty if it has none."""
        return ()

    @property
    def timeline(self) -> Timeline:
        """All turns in time: both lanes on one clock, a row per turn, percentiles; as known now."""
        from .conversation_clock import ConversationClock
        from .timeline import Timeline

        clock = ConversationClock(self.state)
        return Timeline([turn.times_on(clock) for turn in self.turns if turn.number >= 0], whole=True)

    @property
    def limits(self) -> dict[str, dict[str, Any]]:
        """The rate limits as the service last reported them, by name."""
        return dict(self.state.limits)


class Snapshot(SessionView):
    """A session as it was when this was made: its first frames, folded again, with all keys redacted.

    The session may go on, on another thread; nothing of it is changed, and nothing here changes any more.
    """

    def __init__(self, view: SessionView) -> None:
        source = view.state
        self._view = view
        self._budget = tuple(view._allowances)
        self._model = view.model
        self._state = SessionState(source.dialect)
        self._state.source = source.source
        self._state.time_scaled = source.time_scaled
        self._state.requested_model = source.requested_model
        for row in range(len(source.log)):
            entry = source.log[row]
            self._state.append(
                clean(entry.frame),
                entry.direction,
                mono_ns=round(entry.t * 1e9),
                wall_ns=round(entry.wall * 1e9),
            )
        self._turns = TurnList(
            TurnView(self._state, fold, billed=view.billed, engine=view.engine)
            for fold in self._state.turns.all
        )

    @property
    def state(self) -> SessionState:
        """The log and all that is folded from it."""
        return self._state

    @property
    def turns(self) -> Sequence[TurnView]:
        """All turns that had started."""
        return self._turns

    @property
    def endpoint(self) -> str:
        """What the session talks to, in words."""
        return self._view.endpoint

    @property
    def engine(self) -> str:
        """The embedded engine that answers, such as "local"; "" for another server."""
        return self._view.engine

    @property
    def billed(self) -> bool:
        """Whether the session is billed."""
        return self._view.billed

    @property
    def closed(self) -> bool:
        """Whether no more frames will come: always."""
        return True

    @property
    def model(self) -> str:
        """The model's id, as it was known."""
        return self._model

    @property
    def overview(self) -> Overview:
        """What a notebook shows of the session above the turns."""
        return self._view.overview

    @property
    def _allowances(self) -> Sequence[Gauge]:
        return self._budget
