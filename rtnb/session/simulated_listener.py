"""A listener without a page: it plays the answers in real time, silently, and knows what was played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import ArgumentError
from ..protocol.changes import AudioDelta, Cancel, Change, Command, SpeechStarted
from .async_session import AsyncSession
from .turn import Turn

__all__ = ["SimulatedListener"]


@dataclass(slots=True)
class _Playback:
    """The audio of a turn: where each piece starts on the listener's clock, and how long it is."""

    pieces: list[tuple[float, float]] = field(default_factory=list)
    stopped: float | None = None

    def played(self, now: float) -> float:
        end = now if self.stopped is None else min(now, self.stopped)
        return sum(min(max(end - start, 0.0), seconds) for start, seconds in self.pieces)


class SimulatedListener:
    """Plays a session's answers as a loudspeaker would, one after another, for barge-in without a page.

    When the user speaks into an answer, or it is cancelled, playback stops and the answer is truncated to
    what was played by then, as a page does. ``speed`` 2 plays twice as fast.

    ::

        listener = rtnb.SimulatedListener(session)
        turn = session.send("Describe the sea.")
        await asyncio.sleep(2)
        listener.interrupt()        # about a second of it was played
        listener.played(turn)       # seconds

    Takes an `AsyncSession`, or a `Session`. Raises ArgumentError for anything else and for a speed of 0.
    """

    def __init__(self, session: object, *, speed: float = 1.0) -> None:
        core = getattr(session, "_core", session)
        if not isinstance(core, AsyncSession):
            raise ArgumentError(f"session: expected a session, got {type(session).__name__}")
        if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not speed > 0:
            raise ArgumentError(f"speed: expected a number above 0, got {speed!r:.80}")
        self._core = core
        self._speed = speed
        self._free = 0.0  # when what has arrived is played to its end
        self._turns: dict[int, _Playback] = {}
        self._unsubscribe: Callable[[], None] | None = core.subscribe(self._on_change)

    def _now(self) -> float:
        return self._core.loop.time() * self._speed

    def _on_change(self, change: Change | Command, number: int) -> None:
        if isinstance(change, AudioDelta) and number >= 0:
            playback = self._turns.setdefault(number, _Playback())
            if playback.stopped is None:
                seconds = len(change.audio) / self._core.state.conversation.output_codec.bytes_per_second
                start = max(self._now(), self._free)
                playback.pieces.append((start, seconds))
                self._free = start + seconds
        elif isinstance(change, Cancel):
            self._stop()
        elif isinstance(change, SpeechStarted):
            detection = self._core.state.conversation.turn_detection or {}
            if detection.get("interrupt_response") is not False:
                self._stop()

    def played(self, turn: Turn) -> float:
        """Return how many seconds of a turn's answer were played by now."""
        playback = self._turns.get(turn.number)
        return 0.0 if playback is None else playback.played(self._now())

    @property
    def playing(self) -> bool:
        """Whether an answer is being played."""
        return self._now() < self._free

    def interrupt(self) -> None:
        """Speak into the answer: cancel what runs, stop playback, and truncate to what was played."""
        self._core.call_soon(self._interrupt)

    def _interrupt(self) -> None:
        for turn in self._core.turns:
            if not turn.done and not turn.queued:
                self._core.cancel_turn(turn)
        self._stop()

    def _stop(self) -> None:
        now = self._now()
        self._free = now
        for turn in self._core.turns:
            playback = self._turns.get(turn.number)
            if playback is None or playback.stopped is not None:
                continue
            playback.stopped = now
            self._core.truncate_turn(turn, playback.played(now))

    def close(self) -> None:
        """Stop listening; nothing is truncated any more."""
        if self._unsubscribe is not None:
            self._core.call_soon(self._unsubscribe)
            self._unsubscribe = None
