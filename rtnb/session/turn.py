"""A turn as a promise: it exists at once, fills while it streams, and can be waited for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pybase64 import b64decode

from ..analysis.turn import Input, TurnView
from ..audio import Clip
from ..errors import ArgumentError, RtnbError, TurnTimeout
from ..protocol.conversation import UNHEARD
from ..protocol.events import Event
from ..protocol.log import Entry
from ..protocol.turns import TurnState
from .content import Content
from .event_loop import POLL, Notifier

if TYPE_CHECKING:
    from .async_session import AsyncSession

__all__ = ["Turn", "truncation_events"]


def truncation_events(turn: TurnView, heard: float, ids: Callable[[str], str]) -> list[Event]:
    """Return what cuts a turn's answer to ``heard`` seconds; [] where all was heard, or it is cut already.

    The server answers with ``conversation.item.truncated``, or ``.deleted`` where nothing was heard.
    """
    made: list[Event] = []
    left = heard * 1000
    for item in turn.items:
        spoken = any(part.kind == "audio" for part in item.parts)
        if item.type != "message" or not spoken:
            continue
        if (left < item.audio_ms or left <= 0) and item.played_ms is None:
            made.append(_cut(item.id, int(max(0.0, left)), ids))
        left -= item.audio_ms
    return made


def _cut(item_id: str, played_ms: int, ids: Callable[[str], str]) -> Event:
    if played_ms <= 0:  # nothing was heard: there is nothing to truncate to
        return {"type": "conversation.item.delete", "event_id": ids(UNHEARD), "item_id": item_id}
    return {
        "type": "conversation.item.truncate",
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": played_ms,
    }


_AFTER_INTERRUPT = 2.0
"""Seconds that a cancelled response may take to end before Ctrl-C is passed on."""


@dataclass(frozen=True, slots=True)
class Delta:
    """One piece of an answer as it arrived: ``kind`` is text or audio.

    ``t`` is in seconds since the log began.
    """

    kind: str
    item_id: str
    t: float
    text: str = ""
    audio: Clip | None = None


class Turn(TurnView):
    """One exchange of a live session.

    Await it, ``wait`` for it, iterate over its deltas (``for`` and ``async for``), or read ``text`` and
    ``audio``, which wait too. ``cancel`` ends it early.
    """

    def __init__(self, session: AsyncSession, given: Sequence[Content] = ()) -> None:
        self._session = session
        self._given = given
        self._sent_nothing = TurnState(-2)
        super().__init__(session.state, self._sent_nothing, billed=session.billed, engine=session.engine)
        self._over = False
        self._settling = Notifier()
        self._failure: RtnbError | None = None
        self._dropped = False
        self.cancel_requested = False
        """Whether ``cancel`` was asked for; the wire has the last word on what became of it."""
        self.input_error: RtnbError | None = None
        """Why the server did not take the turn's input; then its answer is cancelled."""
        self.stop_playback: Callable[[], None] | None = None
        """Stops what plays the turn, and cuts the turn to what was heard; set while something plays it."""

    # What the session does to a turn; all on the session's loop.

    def attach(self, fold: TurnState) -> None:
        """Tie the promise to the turn that its first frame opened."""
        self._fold = fold

    def detach(self) -> None:
        """Let go of it: the input of a turn that was dropped belongs to the one that comes next."""
        self._fold = self._sent_nothing

    def finish(self, failure: RtnbError | None = None, *, cancelled_before_start: bool = False) -> None:
        """End the promise: with the wire's own status, with a failure here, or dropped before an answer."""
        if not self._over:
            self._failure = failure
            self._dropped = cancelled_before_start
            self._over = True
            self._settling.fire()

    @property
    def session(self) -> AsyncSession:
        """The core of the session that the turn belongs to."""
        return self._session

    # What a user reads. In a finished turn nothing waits.

    @property
    def done(self) -> bool:
        """Whether the turn is over."""
        return self._over

    @property
    def queued(self) -> bool:
        """Whether the turn still waits for the one before it."""
        return self._fold is self._sent_nothing and not self._over

    @property
    def status(self) -> str:
        """in_progress, completed, cancelled, interrupted, incomplete or failed."""
        if not self._over:
            return "in_progress"
        if self._failure is not None:
            return "failed"
        if self._dropped:
            return "cancelled"
        return super().status

    @property
    def error(self) -> RtnbError | None:
        """What went wrong; None where nothing did."""
        return self._failure or super().error

    @property
    def input(self) -> Input:
        """What the user said: until the server has taken it, as it was given to ``send``."""
        if self._fold.inputs:
            return super().input
        clips = [part for part in self._given if isinstance(part, Clip)]
        texts = [part for part in self._given if isinstance(part, str)]
        return Input(" ".join(texts), Clip.join(clips) if clips else None)

    @property
    def text(self) -> str:
        """The answer's text. Waits for the end; raises ``error`` if the turn failed with nothing said."""
        self._settled()
        return self.text_so_far

    @property
    def audio(self) -> Clip | None:
        """The answer's sound; None for an answer in text. Waits and raises as ``text`` does."""
        self._settled()
        return self.audio_so_far

    def _settled(self) -> None:
        if not self._session.on_loop:  # a handler on the session's own loop sees what has arrived
            self.wait()
        if self.status == "failed" and not self.text_so_far and self.error is not None:
            raise self.error

    def wait(self, timeout: float | None = None) -> Turn:
        """Block until the turn is over and return it, whatever its status.

        ``timeout`` in seconds; then TurnTimeout is raised and the turn goes on. Ctrl-C, and the stop button
        of a notebook, cancel the turn and leave the session usable.
        """
        if self._session.on_loop and not self._over:
            raise ArgumentError("this is the session's own loop: await the turn instead of waiting for it")
        try:
            self._block(timeout)
        except KeyboardInterrupt:
            self.cancel()
            self._block(_AFTER_INTERRUPT)
            raise
        if not self._over:
            raise TurnTimeout(f"the turn is not over after {timeout:g} s; it goes on")
        return self

    def _block(self, timeout: float | None) -> None:
        signal = self._settling
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._over:
            left = POLL if deadline is None else min(POLL, deadline - time.monotonic())
            if left <= 0:
                return
            signal.wait(0, left)

    def __await__(self) -> Generator[Any, None, Turn]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> Turn:
        if not self._over:
            await self._settling.changed(0)
        return self

    def cancel(self) -> None:
        """End the turn early; what was said so far stays. A turn that is over stays as it is."""
        self._session.call_soon(self._session.cancel_turn, self)

    def interrupt(self, heard: float | None = None) -> None:
        """Stop the answer and cut it to the ``heard`` seconds that were played, as the user's barge-in does.

        The rest is kept here as unheard; the model forgets it. Without ``heard``, what a notebook's page has
        played of it counts. Raises ArgumentError if nothing plays it and ``heard`` is not given.
        """
        if heard is None:
            if self.stop_playback is None:
                raise ArgumentError("nothing plays this turn: say how many seconds were heard, 0 or more")
            self._session.call_soon(self.stop_playback)
            return
        if not isinstance(heard, (int, float)) or heard < 0:
            raise ArgumentError(f"heard is in seconds, 0 or more, not {heard!r}")
        self._session.call_soon(self._session.interrupt_turn, self, heard)

    def __iter__(self) -> Iterator[Delta]:
        """Yield the deltas from the first, waiting for each until the turn is over."""
        signal, row = self._session.signal, 0
        halves: dict[str, bytes] = {}
        while True:
            seen, over = signal.count, self._over
            deltas, row = self._deltas(row, halves)
            yield from deltas
            if over:
                return
            try:
                signal.wait(seen, POLL)
            except KeyboardInterrupt:
                self.cancel()
                self._block(_AFTER_INTERRUPT)
                raise

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """Yield the deltas from the first, waiting for each until the turn is over."""
        signal, row = self._session.signal, 0
        halves: dict[str, bytes] = {}
        while True:
            seen, over = signal.count, self._over
            deltas, row = self._deltas(row, halves)
            for delta in deltas:
                yield delta
            if over:
                return
            await signal.changed(seen)

    def _deltas(self, start: int, halves: dict[str, bytes]) -> tuple[list[Delta], int]:
        """Return the deltas from row ``start`` of the log on, and the row to go on from.

        ``halves`` carries, by item, the bytes of a sample whose end comes with the next delta.
        """
        log = self._state.log
        end = len(log)
        rows = np.arange(start, end)
        mine = rows[log.sorts(rows)[1] == self._fold.number]
        found = []
        for row in mine.tolist():
            # What is not as the protocol has it is among the record's problems, and no delta.
            with suppress(LookupError, TypeError, ValueError):
                delta = self._delta(log.entry(row), halves)
                found += [] if delta is None else [delta]
        return found, end

    def _delta(self, entry: Entry, halves: dict[str, bytes]) -> Delta | None:
        if entry.type in ("response.output_text.delta", "response.output_audio_transcript.delta"):
            data = entry.data
            if not isinstance(data["delta"], str):
                raise TypeError("a delta of text is text")
            return Delta("text", data["item_id"], entry.t, text=data["delta"])
        if entry.type == "response.output_audio.delta":
            data = entry.data
            item = self._state.conversation.items[data["item_id"]]
            codec = item.parts[data["content_index"]].codec or self._state.conversation.output_codec
            sound = b64decode(data["delta"], validate=True)
            sound = halves.pop(item.id, b"") + sound
            whole = len(sound) // codec.width * codec.width
            halves[item.id] = sound[whole:]
            return Delta("audio", item.id, entry.t, audio=Clip.from_wire(sound[:whole], codec))
        return None

    def __repr__(self) -> str:
        return self._brief()
