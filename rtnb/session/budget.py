"""A budget: what a session may use, in dollars, tokens or minutes, and how much of it is used.

A pure meter: it reads the record, and whoever asks for a response asks it first. What runs is not stopped, so
the last response may pass what is allowed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..analysis.gauges import Gauge
from ..errors import ArgumentError, BudgetError, BudgetWarning, RtnbError
from ..protocol.events import Event
from ..protocol.models import Model
from ..protocol.state import SessionState
from ..protocol.usage import Cost, Usage

__all__ = ["WARN_AT", "Budget", "BudgetEnforcer"]

WARN_AT = 0.8
"""The share of a budget at which a session warns, once."""

_NAMES = ("usd", "tokens", "minutes")
_TEXT = re.compile(r"\$ ?(?P<usd>[\d.,]+)|(?P<tokens>[\d.,_]+) ?tokens|(?P<minutes>[\d.,]+) ?min(?:utes?)?")
_FIGURE = re.compile(r"(\d+|\d{1,3}([,_]\d{3})+)(\.\d*)?|\.\d+")
"""A comma parts thousands alone: "$0,50" must not become fifty dollars."""
_HOW = (
    "a number of dollars, '$0.50', '20,000 tokens', '10 minutes', or a dict of 'usd', 'tokens' and 'minutes'"
)

_EARLY = (
    "of some tokens the service told no proper kind. They are taken at the dearest price, so that it may end "
    "early"
)


class Budget:
    """What a session may use from its beginning on, and what it has used of it.

    ``usd`` are US dollars at the model's dated prices; for the embedded engine, which nobody pays, those that
    the model it stands in for would cost. ``tokens`` are input and output together, as the service counts
    them. ``minutes`` are those since the session was opened. None is not limited.
    """

    def __init__(
        self,
        state: SessionState,
        allowed: Mapping[str, float],
        *,
        minutes: Callable[[], float],
        billed: bool = True,
    ) -> None:
        self.usd = allowed.get("usd")
        self.tokens = allowed.get("tokens")
        self.minutes = allowed.get("minutes")
        self._state = state
        self._minutes = minutes
        self._billed = billed
        self._said: set[str] = set()

    @staticmethod
    def allowed(value: Any) -> dict[str, float]:
        """Return a budget as it may be given, as a dict; {} for None.

        Raises ArgumentError for what is no budget: dollars as a number or "$0.50", "20,000 tokens",
        "10 minutes", or a dict of ``usd``, ``tokens`` and ``minutes``.
        """
        if value is None:
            return {}
        given = value
        if isinstance(value, str):
            match = _TEXT.fullmatch(value.strip().lower())
            found = {} if match is None else {k: v for k, v in match.groupdict().items() if v is not None}
            value = {name: _number(text) for name, text in found.items()}
        elif not isinstance(value, Mapping):
            value = {"usd": value}
        unknown = [name for name in value if name not in _NAMES]
        if not value or unknown:
            said = f"not {given!r:.80}" if not unknown else f"and knows no {unknown[0]!r:.40}"
            raise ArgumentError(f"a budget is {_HOW}, {said}")
        for name, amount in value.items():
            number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
            if not number or not (math.isfinite(amount) and amount > 0):
                raise ArgumentError(f"a budget's {name} is a number above 0, not {amount!r:.80}")
        return dict(value)

    def check_priced(self, row: Model) -> None:
        """Raise ArgumentError where dollars are limited and the model's prices are unknown."""
        if self.usd is not None and (row.text is None or row.audio is None):
            raise ArgumentError(
                f"{row.id or 'this model'} has no known price, so that a budget in dollars cannot be held: "
                "state its prices with rtnb.models.load, or give the budget in tokens, such as "
                "budget='20,000 tokens'"
            )

    @property
    def gauges(self) -> list[Gauge]:
        """What is used of each that is limited."""
        made = []
        if self.usd is not None:
            made.append(self._dollars())
        if self.tokens is not None:
            total = sum(used.total_tokens for used in self._usages())
            made.append(Gauge("budget, tokens", total, self.tokens, "tokens", self._untold()))
        if self.minutes is not None:
            made.append(Gauge("budget, minutes", self._minutes(), self.minutes, "minutes"))
        return made

    @property
    def spent(self) -> str | None:
        """Why no response may begin, as a sentence; None while one may."""
        full = [gauge for gauge in self.gauges if (gauge.share or 0) >= 1]
        if not full:
            return None
        said = ", ".join(_used(gauge) for gauge in full)
        return (
            f"the budget is used up: {said}. Raise it with {self._raised()} or lift it with s.budget = None"
        )

    def warnings(self) -> list[str]:
        """Return what must be said and was not said yet: that a budget is near its end, or cannot be held."""
        found = {}
        for gauge in self.gauges:
            if (gauge.share or 0) >= WARN_AT:
                found[gauge.name] = f"of the budget {_used(gauge)} are used. At its end no response begins"
        found |= self._doubts()
        fresh = [said for name, said in found.items() if name not in self._said]
        self._said.update(found)
        return fresh

    def _raised(self) -> str:
        """Return an assignment that makes room for as much again."""
        limited = [name for name in _NAMES if getattr(self, name) is not None]
        parts = {
            name: 2 * max(gauge.used or 0.0, gauge.most or 0.0)
            for name, gauge in zip(limited, self.gauges, strict=True)
        }
        if set(parts) == {"usd"}:
            return f"s.budget = {parts['usd']:.2g}"
        return "s.budget = {" + ", ".join(f"{name!r}: {_plain(value)}" for name, value in parts.items()) + "}"

    def _responses(self) -> list[Any]:
        return [response for turn in self._state.turns.all for response in turn.responses]

    def _usages(self) -> list[Usage]:
        return [response.usage for response in self._responses() if response.usage is not None]

    def _untold(self) -> str:
        over = [r for r in self._responses() if r.usage is None and r.status != "in_progress"]
        if not over:
            return ""
        count = f"{len(over)} response{'' if len(over) == 1 else 's'}"
        return f"the service told no usage of {count}"

    def _doubts(self) -> dict[str, str]:
        """Return why what is used is not known as it should be, each reason under a name of its own."""
        reasons = {}
        if self.usd is not None or self.tokens is not None:
            reasons["untold"] = self._untold()
        if self.usd is not None:
            costs = self._costs()
            reasons["unpriced"] = _unpriced(costs)
            reasons["at most"] = _EARLY if _at_most(costs) else ""
        return {
            name: f"the budget cannot be held as it should: {reason}"
            for name, reason in reasons.items()
            if reason
        }

    def _costs(self) -> list[Cost | None]:
        row = self._state.row
        heard = [used for turn in self._state.turns.all for used in list(turn.transcriptions.values())]
        return [used.cost(row, billed=self._billed) for used in (*self._usages(), *heard)]

    def _dollars(self) -> Gauge:
        """Return what is used: unknown where nothing has a price, a bound where kinds are untold."""
        costs = self._costs()
        known = [cost for cost in costs if cost is not None]
        missing = {said for cost in known for said in cost.excludes} | {_unpriced(costs), self._untold()}
        absent = ", ".join(sorted(filter(None, missing)))
        notes = (
            "" if self._billed else f"at the prices of {self._state.row.id}, not billed",
            "at most, with tokens of unknown kind at the dearest price" if _at_most(costs) else "",
            f"not in it: {absent}" if absent else "",
        )
        used = None if costs and not known else float(sum(known))
        return Gauge("budget, dollars", used, self.usd, "$", ", ".join(filter(None, notes)))

    def __repr__(self) -> str:
        return f"<Budget {', '.join(map(_used, self.gauges))}>"


def _unpriced(costs: list[Cost | None]) -> str:
    count = costs.count(None)
    return f"{count} unpriced response{'' if count == 1 else 's'}" if count else ""


def _at_most(costs: list[Cost | None]) -> bool:
    return any(cost is not None and cost.at_most for cost in costs)


def _used(gauge: Gauge) -> str:
    return f"{gauge}, {gauge.note}" if gauge.note else str(gauge)


def _number(text: str) -> float:
    if not _FIGURE.fullmatch(text):
        return math.nan
    return float(text.replace(",", "").replace("_", ""))


def _plain(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


_log = logging.getLogger("rtnb")


class BudgetEnforcer:
    """Asks the budget before each response. ``update`` sends a ``session.update`` and awaits its answer."""

    def __init__(self, state: SessionState, update: Callable[[Event], Awaitable[None]]) -> None:
        self.budget: Budget | None = None
        self.hushed = False
        """Whether the server was told, for the budget's sake, to answer nothing by itself."""
        self._state = state
        self._update = update
        self._tasks: set[asyncio.Future[None]] = set()

    @property
    def spent(self) -> BudgetError | None:
        """Why no response may begin; None while one may."""
        said = self.budget.spent if self.budget is not None else None
        return None if said is None else BudgetError(said)

    def check(self) -> None:
        """Raise BudgetError where no response may begin; nothing was sent."""
        if (spent := self.spent) is not None:
            raise BudgetError(f"nothing was sent: {spent}")

    def look(self) -> None:
        """Warn where the budget is near its end; at its end, keep the server from answering by itself."""
        if self.budget is None:
            return
        for said in self.budget.warnings():
            try:  # on the session's thread there is no line of the user's to point at
                warnings.warn_explicit(said, BudgetWarning, "rtnb", 0)
            except BudgetWarning:  # a filter makes it an error: nobody is there to take one
                _log.warning("%s", said)
        detection = self._state.conversation.turn_detection
        if not self.hushed and _answers(detection) and self.budget.spent is not None:
            self._tell(detection, create=False)

    def change(self, budget: Budget | None) -> None:
        """Take another budget, or none; a server that was hushed may answer again if this one allows it."""
        self.budget = budget
        if self.hushed and self.spent is None:
            self._tell(self._state.conversation.turn_detection, create=True)
        self.look()

    def amend(self, session: Event) -> Event:
        """Return a session that is to be set, so that no answer comes for which the budget has no room."""
        sound = session.get("audio")
        sound_in = sound.get("input") if isinstance(sound, Mapping) else None
        if not isinstance(sound, Mapping) or not isinstance(sound_in, Mapping):
            return session
        if "turn_detection" not in sound_in:
            return session
        detection = sound_in["turn_detection"]
        self.hushed = self.spent is not None and _answers(detection)
        if not self.hushed:
            return session
        quiet = {**detection, "create_response": False}
        return {**session, "audio": {**sound, "input": {**sound_in, "turn_detection": quiet}}}

    def _tell(self, detection: Mapping[str, Any] | None, *, create: bool) -> None:
        self.hushed = not create
        if not detection:
            return
        kept = {name: value for name, value in detection.items() if value is not None}
        session = {"audio": {"input": {"turn_detection": {**kept, "create_response": create}}}}
        task = asyncio.ensure_future(self._tried(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tried(self, session: Event) -> None:
        try:
            await self._update({"type": "realtime", **session})
        except RtnbError as error:  # what it begins is cancelled then
            _log.info("the server was asked to begin no answers by itself, and said: %s", error)

    async def close(self) -> None:
        """End what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _answers(detection: Any) -> bool:
    """Whether a server with this detection answers by itself."""
    return isinstance(detection, Mapping) and detection.get("create_response") is not False
