"""A budget: what a session may use, in dollars, tokens or minutes, and how much of it is used.

The budget is computed from the session's state and checked before each response is requested. A response in
progress is not stopped, so the last one may exceed the budget.
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
from ..errors import ArgumentError, BudgetError, BudgetWarning, RtnbError, not_copyable
from ..protocol.events import Event
from ..protocol.models import Model
from ..protocol.state import SessionState
from ..protocol.usage import Cost, Usage
from ..redaction import clean_name

__all__ = ["WARN_AT", "Budget", "BudgetEnforcer"]

WARN_AT = 0.8
"""The share of a budget at which a session warns, once."""

_NAMES = ("usd", "tokens", "minutes")
_TEXT = re.compile(r"\$ ?(?P<usd>[\d.,]+)|(?P<tokens>[\d.,_]+) ?tokens|(?P<minutes>[\d.,]+) ?min(?:utes?)?")
_FIGURE = re.compile(r"(\d+|\d{1,3}([,_]\d{3})+)(\.\d*)?|\.\d+")
"""A comma separates only thousands: "$0,50" must not become fifty dollars."""
_EXPECTED = (
    "a number of dollars, '$0.50', '20,000 tokens', '10 minutes', or a dict of 'usd', 'tokens' and 'minutes'"
)

_AT_MOST = (
    "some tokens have no reported kind; they are priced at the highest rate, so it may be used up early"
)


class Budget:
    """What a session may use in total, and how much of it is used.

    ``usd`` are US dollars at the model's dated prices; the embedded engine costs nothing and counts at the
    prices of the model that it stands in for. ``tokens`` are input and output together, as the service counts
    them. ``minutes`` are those since the session was opened. None is not limited.
    """

    __reduce_ex__ = not_copyable(
        "a budget belongs to a live session and cannot be pickled or copied: set session.budget to its limits"
    )

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
        self._warned: set[str] = set()

    @staticmethod
    def allowed(value: Any) -> dict[str, float]:
        """Return a budget as a dict of ``usd``, ``tokens`` and ``minutes``; {} for None.

        ``value`` is dollars as a number or "$0.50", "20,000 tokens", "10 minutes", or such a dict. Raises
        ArgumentError for anything else.
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
            got = f"the unknown name {unknown[0]!r:.40}" if unknown else f"{given!r:.80}"
            raise ArgumentError(f"budget: expected {_EXPECTED}, got {got}")
        for name, amount in value.items():
            number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
            if not number or not (math.isfinite(amount) and amount > 0):
                raise ArgumentError(f"budget: {name} must be a number above 0, got {amount!r:.80}")
        return dict(value)

    def check_priced(self, row: Model) -> None:
        """Raise ArgumentError where dollars are limited and the model's prices are unknown."""
        if self.usd is not None and (row.text is None or row.audio is None):
            raise ArgumentError(
                f"a budget in dollars needs prices, and those of {row.id or 'this model'} are unknown: "
                "add them with rtnb.models.load, or give the budget in tokens, such as "
                "budget='20,000 tokens'"
            )

    @property
    def gauges(self) -> list[Gauge]:
        """How much is used of each limit."""
        gauges = []
        if self.usd is not None:
            gauges.append(self._dollars())
        if self.tokens is not None:
            total = sum(used.total_tokens for used in self._usages())
            gauges.append(Gauge("budget, tokens", total, self.tokens, "tokens", self._unreported()))
        if self.minutes is not None:
            gauges.append(Gauge("budget, minutes", self._minutes(), self.minutes, "minutes"))
        return gauges

    @property
    def spent(self) -> str | None:
        """Why no response may start, as a sentence; None while one may."""
        full = [gauge for gauge in self.gauges if (gauge.share or 0) >= 1]
        if not full:
            return None
        used = ", ".join(_used(gauge) for gauge in full)
        return (
            f"the budget is used up: {used}. Raise it with {self._raised()} or remove it with s.budget = None"
        )

    def warnings(self) -> list[str]:
        """Return new warnings: that a limit is nearly reached, or that it cannot be enforced exactly."""
        found = {}
        for gauge in self.gauges:
            if (gauge.share or 0) >= WARN_AT:
                found[gauge.name] = (
                    f"the budget is nearly used up: {_used(gauge)}. Then no further response starts"
                )
        found |= self._uncertainties()
        new = [text for name, text in found.items() if name not in self._warned]
        self._warned.update(found)
        return new

    def _raised(self) -> str:
        """Return an assignment that doubles the budget."""
        limited = [name for name in _NAMES if getattr(self, name) is not None]
        parts = {
            name: 2 * max(gauge.used or 0.0, gauge.most or 0.0)
            for name, gauge in zip(limited, self.gauges, strict=True)
        }
        if set(parts) == {"usd"}:
            return f"s.budget = {parts['usd']:.2g}"
        return (
            "s.budget = {"
            + ", ".join(f"{name!r}: {_number_text(value)}" for name, value in parts.items())
            + "}"
        )

    def _responses(self) -> list[Any]:
        return [response for turn in self._state.turns.all for response in turn.responses]

    def _usages(self) -> list[Usage]:
        return [response.usage for response in self._responses() if response.usage is not None]

    def _unreported(self) -> str:
        """Return how many responses reported no usage, in words; "" if all did."""
        done = [r for r in self._responses() if r.usage is None and r.status != "in_progress"]
        if not done:
            return ""
        return f"{len(done)} response{'' if len(done) == 1 else 's'} reported no usage"

    def _uncertainties(self) -> dict[str, str]:
        """Return why the used amount is not known exactly, as sentences by name."""
        reasons = {}
        if self.usd is not None or self.tokens is not None:
            reasons["unreported"] = self._unreported()
        if self.usd is not None:
            costs = self._costs()
            reasons["unpriced"] = _unpriced(costs)
            reasons["at most"] = _AT_MOST if _at_most(costs) else ""
        return {
            name: f"the budget cannot be enforced exactly: {reason}"
            for name, reason in reasons.items()
            if reason
        }

    def _costs(self) -> list[Cost | None]:
        row = self._state.row
        turns = self._state.turns.all
        transcribed = [used for turn in turns for used in list(turn.transcriptions.values())]
        return [used.cost(row, billed=self._billed) for used in (*self._usages(), *transcribed)]

    def _dollars(self) -> Gauge:
        """Return the dollars used: unknown if nothing has a price, an upper bound if kinds are unknown."""
        costs = self._costs()
        known = [cost for cost in costs if cost is not None]
        missing = {excluded for cost in known for excluded in cost.excludes} | {
            _unpriced(costs),
            self._unreported(),
        }
        absent = ", ".join(sorted(filter(None, missing)))
        notes = (
            "" if self._billed else f"at the prices of {clean_name(self._state.row.id)}, not billed",
            "at most, with tokens of unknown kind at the highest rate" if _at_most(costs) else "",
            f"not included: {absent}" if absent else "",
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


def _number_text(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


_log = logging.getLogger("rtnb")


class BudgetEnforcer:
    """Checks the budget before each response, and keeps the server from answering when it is used up.

    ``update`` sends a ``session.update`` and awaits its answer.
    """

    def __init__(self, state: SessionState, update: Callable[[Event], Awaitable[None]]) -> None:
        self.budget: Budget | None = None
        self.answers_suspended = False
        """Whether automatic responses of the server are off because the budget is used up."""
        self._state = state
        self._update = update
        self._tasks: set[asyncio.Future[None]] = set()

    @property
    def spent(self) -> BudgetError | None:
        """Why no response may start; None while one may."""
        spent = self.budget.spent if self.budget is not None else None
        return None if spent is None else BudgetError(spent)

    def check(self) -> None:
        """Raise BudgetError if no response may start; nothing was sent."""
        if (spent := self.spent) is not None:
            raise BudgetError(f"nothing was sent: {spent}")

    def check_usage(self) -> None:
        """Warn when the budget is nearly used up; when it is, turn automatic responses of the server off."""
        if self.budget is None:
            return
        for text in self.budget.warnings():
            try:  # on the session's thread there is no line of user code to point at
                warnings.warn_explicit(text, BudgetWarning, "rtnb", 0)
            except BudgetWarning:  # a filter makes it an error, and there is no caller to raise it to
                _log.warning("%s", text)
        detection = self._state.conversation.turn_detection
        if not self.answers_suspended and _answers(detection) and self.budget.spent is not None:
            self._set_create_response(detection, create=False)

    def change(self, budget: Budget | None) -> None:
        """Replace the budget; suspended automatic responses are resumed if the new one allows them."""
        self.budget = budget
        if self.answers_suspended and self.spent is None:
            self._set_create_response(self._state.conversation.turn_detection, create=True)
        self.check_usage()

    def amend(self, session: Event) -> Event:
        """Return a session to be set, with automatic responses off while the budget is used up."""
        audio = session.get("audio")
        audio_in = audio.get("input") if isinstance(audio, Mapping) else None
        if not isinstance(audio, Mapping) or not isinstance(audio_in, Mapping):
            return session
        if "turn_detection" not in audio_in:
            return session
        detection = audio_in["turn_detection"]
        self.answers_suspended = self.spent is not None and _answers(detection)
        if not self.answers_suspended:
            return session
        suspended = {**detection, "create_response": False}
        return {**session, "audio": {**audio, "input": {**audio_in, "turn_detection": suspended}}}

    def _set_create_response(self, detection: Mapping[str, Any] | None, *, create: bool) -> None:
        self.answers_suspended = not create
        if not detection:
            return
        kept = {name: value for name, value in detection.items() if value is not None}
        session = {"audio": {"input": {"turn_detection": {**kept, "create_response": create}}}}
        task = asyncio.ensure_future(self._send(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, session: Event) -> None:
        try:
            await self._update({"type": "realtime", **session})
        except RtnbError as error:  # then its responses are cancelled as they start
            _log.info("the server refused to change create_response: %s", error)

    async def close(self) -> None:
        """Cancel pending updates."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _answers(detection: Any) -> bool:
    """Return whether a server with this turn detection responds automatically."""
    return isinstance(detection, Mapping) and detection.get("create_response") is not False
