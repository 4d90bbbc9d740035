"""The state of a session: its log and everything folded from it, live, replayed or from a file."""

from __future__ import annotations

from typing import Any

import orjson

from ..redaction import clean_name, clean_text
from .conversation import Conversation
from .events import BINARY, Direction, Event
from .log import NO_TURN, Log
from .log_storage import Sound
from .models import Model, resolve
from .read_only_log import ReadOnlyLog
from .turns import Turns
from .usage import Usage

__all__ = ["TIME_SCALED", "SessionState"]

TIME_SCALED = "Its times are those of the replay, not of the model."
"""The note on a replay at another speed than the original."""


class SessionState:
    """The log of a session, and the conversation, turns and rate limits folded from it.

    ``problems`` lists malformed frames as (index in the log, sentence). They are in the log like any other.
    """

    __reduce_ex__ = Log.__reduce_ex__

    def __init__(self) -> None:
        self.log = Log()
        self.conversation = Conversation()
        self.turns = Turns(self.conversation)
        self.limits: dict[str, dict[str, Any]] = {}
        self.limits_at: dict[str, float] = {}
        """When each limit was last reported, in seconds since the log began."""
        self.problems: list[tuple[int, str]] = []
        self.source = ""
        """Where the frames come from, as a sentence; "" if from a live server."""
        self.time_scaled = False
        """Whether it is a replay at another speed than the original: its times do not describe the model."""
        self.requested_model = ""
        """The model that the caller requested; a server may report another, or only a deployment's name."""

    @classmethod
    def of(cls, log: Log) -> SessionState:
        """Fold an existing log, such as one from a file."""
        self = cls()
        self.log = log
        for entry in log:
            event, problem = _parse(entry.frame)
            _, sound, wrong = self._fold(event, entry.direction, entry.t)
            if sound is not None and isinstance(log, ReadOnlyLog):
                log.share(entry.index, sound[1])
            problem = wrong or problem
            if problem is not None:
                self.problems.append((entry.index, problem))
        return self

    def append(
        self, frame: bytes, direction: Direction, *, mono_ns: int, wall_ns: int, event: Event | None = None
    ) -> tuple[Event | None, int]:
        """Append one frame and fold it; return its event (None if it is not one) and its turn's number.

        ``event`` saves parsing if the caller made the frame from it.
        """
        problem = None
        if event is None:
            event, problem = _parse(frame)
        turn, sound, wrong = self._fold(event, direction, (mono_ns - self._start(mono_ns)) / 1e9)
        problem = wrong or problem
        kind = event["type"] if event is not None else BINARY
        index = self.log.append(
            frame, direction, kind, mono_ns=mono_ns, wall_ns=wall_ns, turn=turn, sound=sound
        )
        if problem is not None:
            self.problems.append((index, problem))
        return event, turn

    def _fold(
        self, event: Event | None, direction: Direction, t: float
    ) -> tuple[int, tuple[str, Sound] | None, str | None]:
        """Fold an event; return its turn's number, its audio, and what is wrong with it."""
        turn, sound, problem = NO_TURN, None, None
        if event is not None:
            try:
                try:
                    self.conversation.apply(direction, event)
                    sound = self.conversation.sound
                finally:  # a response ends even if its items are malformed
                    turn = self.turns.apply(direction, event, t)
                if event["type"] == "rate_limits.updated":
                    limits = {limit["name"]: limit for limit in event["rate_limits"]}
                    self.limits.update(limits)
                    self.limits_at.update(dict.fromkeys(limits, t))
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                reason = clean_text(f"{type(error).__name__}: {error}")
                problem = f"{clean_name(event['type']):.80} is malformed: {reason:.200}"
        return turn, sound, problem

    def _start(self, mono_ns: int) -> int:
        if not len(self.log):
            self._started_at = mono_ns
        return self._started_at

    @property
    def session(self) -> Event:
        """The session's configuration as last reported by the server; {} before that."""
        return self.conversation.session

    @property
    def model(self) -> str:
        """The model's id as reported by the server; "" if it reported none."""
        return str(self.session.get("model") or "")

    @property
    def row(self) -> Model:
        """The model's row in the catalogue, which has its prices: see ``models.resolve``."""
        return resolve(self.model, self.requested_model)

    @property
    def usage(self) -> Usage:
        """Tokens of all turns."""
        return sum((turn.usage for turn in self.turns.all), Usage())


def _parse(frame: bytes) -> tuple[Event | None, str | None]:
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        return None, f"a frame is not JSON: {error}"
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return None, "a frame is not a JSON object with a type"
    return event, None
