"""The record: a log and all that is folded from it. Live, replayed or opened from a file, it is the same."""

from __future__ import annotations

from typing import Any

import orjson

from .conversation import Conversation
from .events import BINARY, Direction, Event
from .log import NO_TURN, Log
from .log_storage import Sound
from .models import Model, named
from .read_only_log import ReadOnlyLog
from .turns import Turns
from .usage import Usage

__all__ = ["TIME_SCALED", "SessionState"]

TIME_SCALED = "Its times are those of the replay, not of the model."
"""What is said of a record that is a replay at another speed than life's."""


class SessionState:
    """One session as it was: its log, conversation, turns, and limits.

    ``problems`` lists, as (index in the log, sentence), the frames that the folds could not make sense of.
    They are kept in the log like any other.
    """

    def __init__(self) -> None:
        self.log = Log()
        self.conversation = Conversation()
        self.turns = Turns(self.conversation)
        self.limits: dict[str, dict[str, Any]] = {}
        self.limits_at: dict[str, float] = {}
        """When each limit was told last, in seconds since the log began."""
        self.problems: list[tuple[int, str]] = []
        self.source = ""
        """Where the frames come from, as a sentence, if not from a server that answers now."""
        self.time_scaled = False
        """Whether it is a replay at another speed than life's: its times tell nothing of the model."""
        self.requested_model = ""
        """The model's name as the caller stated it; a server may tell another, or only a deployment's."""

    @classmethod
    def of(cls, log: Log) -> SessionState:
        """Fold a log that is there already, such as one from a file."""
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
        """Keep one frame and fold it in; return its event (None if it is none) and its turn's number.

        ``event`` spares the parsing where the caller has made the frame from it.
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
        """Fold an event in; return its turn's number, the sound it brought, and what is wrong with it."""
        turn, sound, problem = NO_TURN, None, None
        if event is not None:
            try:
                try:
                    self.conversation.apply(direction, event)
                    sound = self.conversation.sound
                finally:  # a response that is over is over, however odd the items it lists
                    turn = self.turns.apply(direction, event, t)
                if event["type"] == "rate_limits.updated":
                    told = {limit["name"]: limit for limit in event["rate_limits"]}
                    self.limits.update(told)
                    self.limits_at.update(dict.fromkeys(told, t))
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                said = f"{type(error).__name__} {error}"
                problem = f"{event['type']:.80} is not as the protocol has it: {said:.200}"
        return turn, sound, problem

    def _start(self, mono_ns: int) -> int:
        if not len(self.log):
            self._began = mono_ns
        return self._began

    @property
    def session(self) -> Event:
        """The session's configuration as the server last told it; {} before that."""
        return self.conversation.session

    @property
    def model(self) -> str:
        """The model's id as the server told it; "" where it did not."""
        return str(self.session.get("model") or "")

    @property
    def row(self) -> Model:
        """The model's row in the catalogue, by which tokens are priced: see ``models.named``."""
        return named(self.model, self.requested_model)

    @property
    def usage(self) -> Usage:
        """Tokens of all turns."""
        return sum((turn.usage for turn in self.turns.all), Usage())


def _parse(frame: bytes) -> tuple[Event | None, str | None]:
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        return None, f"a frame that is no JSON: {error}"
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return None, "a frame that is no object with a type"
    return event, None
