"""A live turn: it exists as soon as it is sent, fills while the answer streams, and can be awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..analysis.turn import Call, Input, TurnView
from ..audio import Clip
from ..errors import ArgumentError, RtnbError, TurnTimeout, not_copyable
from ..protocol.changes import AudioDelta, DeleteItem, ItemData, TextDelta, Truncate
from ..protocol.conversation import NOT_PLAYED
from ..protocol.events import Event
from ..protocol.state import SessionState
from ..protocol.turns import TurnState
from ..redaction import clean_name
from .content import Content
from .event_loop import POLL, Notifier
from .turn_phases import TRANSITIONS, Phase

__all__ = ["Turn", "TurnOwner", "tool_session", "truncations"]


class TurnOwner(Protocol):
    """The session that a turn belongs to, as far as a turn needs it."""

    @property
    def billed(self) -> bool:
        """Whether its use is charged."""
        ...

    @property
    def engine(self) -> str:
        """The embedded engine that answers; "" for another server."""
        ...

    @property
    def state(self) -> SessionState:
        """The log and everything folded from it."""
        ...

    @property
    def signal(self) -> Notifier:
        """Fires at every frame, and when a turn ends."""
        ...

    @property
    def on_loop(self) -> bool:
        """Whether the calling thread runs the session's event loop."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the session runs on."""
        ...

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Run ``function`` on the session's event loop."""
        ...

    def cancel_turn(self, turn: Turn) -> None:
        """End a turn early."""
        ...

    def interrupt_turn(self, turn: Turn, played: float) -> bool:
        """Stop a turn's answer and truncate it to the ``played`` seconds."""
        ...

    def waiting_calls(self, turn: Turn) -> list[Call]:
        """Return the calls of a turn that wait for the caller."""
        ...

    def on_call(self, turn: Turn, verb: str, *args: Any) -> None:
        """Answer, approve or refuse a call of a turn."""
        ...


def truncations(turn: TurnView, played: float, ids: Callable[[str], str]) -> list[Truncate | DeleteItem]:
    """Return the commands that truncate a turn's answer to ``played`` seconds.

    The list is empty where all of it was played, or it is truncated already. An item of which nothing was
    played is deleted, since the protocol cannot truncate to nothing.
    """
    commands: list[Truncate | DeleteItem] = []
    left = played * 1000
    for item in turn.items:
        spoken = any(part.kind == "audio" for part in item.parts)
        if item.type != "message" or not spoken:
            continue
        if (left < item.audio_ms or left <= 0) and item.played_ms is None:
            ms = int(max(0.0, left))
            commands.append(Truncate(item.id, ms) if ms else DeleteItem(item.id, ids(NOT_PLAYED)))
        left -= item.audio_ms
    return commands


tool_session: ContextVar[TurnOwner | None] = ContextVar("tool_session", default=None)
"""The session whose tool runs here. It waits for the tool, so that the tool must not wait for it."""


def _call_id(call: Call | str) -> str:
    if isinstance(call, (Call, str)):
        return call if isinstance(call, str) else call.id
    raise ArgumentError(f"call: expected one of turn.waiting_calls, or its id, got {type(call).__name__}")


_AFTER_INTERRUPT = 2.0
"""Seconds that a cancelled response may take to end before KeyboardInterrupt is raised."""


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
    ``audio``, which also wait. ``cancel`` ends it early.
    """

    __reduce_ex__ = not_copyable(
        "a live turn cannot be pickled or copied: save the session with session.save(path), "
        "or take its values, such as turn.text and turn.audio"
    )

    def __init__(self, session: TurnOwner, content: Sequence[Content] = ()) -> None:
        self._session = session
        self._content = content
        self._unsent = TurnState(-2)
        super().__init__(session.state, self._unsent, billed=session.billed, engine=session.engine)
        self.phase = Phase.QUEUED
        """What the turn waits for; see ``turn_phases``."""
        self.options: Event = {}
        """The options of its response, which every further response of the turn has too."""
        self.request_input: list[ItemData] | None = None
        """The input of an out-of-band response, as it was sent."""
        self.waiting = False
        """Whether calls wait for ``answer``, ``approve`` or ``refuse``, and nothing else goes on."""
        self._finished = Notifier()
        self._failure: RtnbError | None = None
        self._ended_by = ""
        self.input_error: RtnbError | None = None
        """Why the server rejected the turn's input; then its answer is cancelled."""
        self.stop_playback: Callable[[], None] | None = None
        """Stops playback of the turn and truncates the turn to what was played; set while it is played."""

    # Called by the session, on its event loop.

    def attach(self, fold: TurnState) -> None:
        """Bind to the state of the turn that its first frame opened."""
        self._fold = fold

    def detach(self) -> None:
        """Unbind a cancelled turn from its state: its input belongs to the next turn."""
        self._fold = self._unsent

    def advance(self, event: str) -> bool:
        """Move on to the phase that an event leads to; return whether it leads anywhere."""
        phase = TRANSITIONS.get((self.phase, event))
        if phase is None:
            return False
        self._ended_by, self.phase = event, phase
        return True

    def finish(self, event: str, failure: RtnbError | None = None) -> bool:
        """Move on to the end, if this event leads there, and wake all who wait for the turn.

        Its status is the server's, or failed if ``failure`` is given, or cancelled.
        """
        if not self.advance(event) or self.phase is not Phase.DONE:
            return False
        self._failure = failure
        self.waiting = False
        self._finished.fire()
        return True

    def on_waiting(self) -> None:
        """Wake all who wait for the turn: it goes on when the caller has answered its calls."""
        self.waiting = True
        self._finished.fire()

    @property
    def abandoned(self) -> bool:
        """Whether this side abandoned it: a response that starts for it now has to be cancelled."""
        return self._ended_by in ("cancel", "expire", "fail")

    @property
    def session(self) -> TurnOwner:
        """The `AsyncSession` that the turn belongs to."""
        return self._session

    # For users. In a turn that is done nothing waits.

    @property
    def done(self) -> bool:
        """Whether the turn has ended."""
        return self.phase is Phase.DONE

    @property
    def queued(self) -> bool:
        """Whether the turn waits for the previous one."""
        return self.phase is Phase.QUEUED

    @property
    def status(self) -> str:
        """in_progress, waiting (for ``answer`` or ``approve``), or as of a turn that is done."""
        if not self.done:
            return "waiting" if self.waiting else "in_progress"
        if self._failure is not None:
            return "failed"
        return "cancelled" if self._ended_by in ("cancel", "expire") else super().status

    @property
    def error(self) -> RtnbError | None:
        """What went wrong; None if nothing did."""
        return self._failure or super().error

    @property
    def input(self) -> Input:
        """The user's input; until the server has accepted it, as it was passed to ``send``."""
        if self._fold.inputs:
            return super().input
        clips = [part for part in self._content if isinstance(part, Clip)]
        texts = [part for part in self._content if isinstance(part, str)]
        return Input(" ".join(texts), Clip.join(clips) if clips else None)

    @property
    def text(self) -> str:
        """The answer's text. Waits until the turn is done; raises ``error`` if it failed without any text."""
        self._wait_for_result()
        return self.text_so_far

    @property
    def audio(self) -> Clip | None:
        """The answer's audio; None for an answer in text. Waits and raises as ``text`` does."""
        self._wait_for_result()
        return self.audio_so_far

    def _wait_for_result(self) -> None:
        if not self._session.on_loop:  # a listener on the session's own loop gets what has arrived
            self.wait()
        if self.status == "failed" and not self.text_so_far and self.error is not None:
            raise self.error

    def wait(self, timeout: float | None = None) -> Turn:
        """Block until the turn is done and return it, whatever its status.

        After ``timeout`` seconds TurnTimeout is raised and the turn continues. Ctrl-C, and the stop button
        of a notebook, cancel the turn and leave the session usable.
        """
        if self._session.on_loop and not self.done:
            raise ArgumentError("wait() would block the session's own event loop: await the turn instead")
        self._check_tool()
        try:
            self._block(timeout)
        except KeyboardInterrupt:
            self.cancel()
            self._block(_AFTER_INTERRUPT)
            raise
        if not self._settled:
            raise TurnTimeout(f"the turn is not done after {timeout:g} s; it continues")
        return self

    @property
    def _settled(self) -> bool:
        """Whether there is nothing to wait for: it is done, or waits for the caller itself."""
        return self.done or self.waiting

    def _block(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._settled:
            seen = self._finished.count
            if self._settled:
                return
            left = POLL if deadline is None else min(POLL, deadline - time.monotonic())
            if left <= 0:
                return
            self._finished.wait(seen, left)

    def __await__(self) -> Generator[Any, None, Turn]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> Turn:
        self._check_tool()
        while not self._settled:
            seen = self._finished.count
            if not self._settled:
                await self._finished.changed(seen)
        return self

    async def finished(self) -> Turn:
        """Wait until the turn is done, also while its calls wait for the caller."""
        while not self.done:
            seen = self._finished.count
            if not self.done:
                await self._finished.changed(seen)
        return self

    def _check_tool(self) -> None:
        """Raise ArgumentError in a tool whose own session would have to answer this turn first."""
        if tool_session.get() is self._session and not self.done and not self._fold.out_of_band:
            raise ArgumentError(
                "a tool cannot wait for a turn of its own session, which waits for the tool: "
                'send it with conversation="none", or use another session'
            )

    @property
    def waiting_calls(self) -> list[Call]:
        """The function calls that wait for ``answer``, ``approve`` or ``refuse``."""
        return self._session.waiting_calls(self)

    def answer(self, call: Call | str, output: Any) -> None:
        """Give the output of a function call that waits; the turn goes on when none waits any more.

        ``call`` is one of ``waiting_calls``, or its id; ``output`` is a text, or anything that has a JSON
        form::

            turn = s.send("What is the weather in Rome?").wait()
            turn.answer(turn.waiting_calls[0], "sunny")
            turn.text

        Raises ArgumentError for a call that does not wait.
        """
        self._session.on_call(self, "answer", _call_id(call), output)

    def approve(self, call: Call | str | None = None) -> None:
        """Run a call that waits for approval; without ``call`` all of them. Raises as ``answer``."""
        for one in self.waiting_calls if call is None else [call]:
            self._session.on_call(self, "approve", _call_id(one))

    def refuse(self, call: Call | str | None = None) -> None:
        """Answer a call with the error that it was refused; without ``call`` all of them."""
        for one in self.waiting_calls if call is None else [call]:
            self._session.on_call(self, "refuse", _call_id(one))

    def cancel(self) -> None:
        """End the turn early; what has arrived stays. A turn that is done does not change."""
        self._session.call_soon(self._session.cancel_turn, self)

    def interrupt(self, played: float | None = None) -> None:
        """Stop the answer and truncate it to the ``played`` seconds, as the user's barge-in does.

        The rest is kept here as not played; the model forgets it. Without ``played``, what the notebook's
        page has played so far counts. Raises ArgumentError if nothing plays it and ``played`` is not given.
        """
        if played is None:
            if self.stop_playback is None:
                raise ArgumentError(
                    "interrupt() needs the seconds that were played, since nothing plays this turn: "
                    "pass played=, 0 or more"
                )
            self._session.call_soon(self.stop_playback)
            return
        if isinstance(played, bool) or not isinstance(played, (int, float)) or not played >= 0:
            raise ArgumentError(f"played= must be a number of seconds, 0 or more, got {played!r:.80}")
        self._session.call_soon(self._session.interrupt_turn, self, played)

    def __iter__(self) -> Iterator[Delta]:
        """Yield all deltas from the first on, waiting for each until the turn is done."""
        signal, row = self._session.signal, 0
        partial: dict[str, bytes] = {}
        while True:
            seen, done = signal.count, self._settled
            deltas, row = self._deltas(row, partial)
            yield from deltas
            if done:
                return
            try:
                signal.wait(seen, POLL)
            except KeyboardInterrupt:
                self.cancel()
                self._block(_AFTER_INTERRUPT)
                raise

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """Yield all deltas from the first on, waiting for each until the turn is done."""
        signal, row = self._session.signal, 0
        partial: dict[str, bytes] = {}
        while True:
            seen, done = signal.count, self._settled
            deltas, row = self._deltas(row, partial)
            for delta in deltas:
                yield delta
            if done:
                return
            await signal.changed(seen)

    def _deltas(self, start: int, partial: dict[str, bytes]) -> tuple[list[Delta], int]:
        """Return the deltas from row ``start`` of the log on, and the row to continue from.

        ``partial`` holds, by item, the first bytes of a sample that the next delta completes.
        """
        log = self._state.log
        end = len(log)
        rows = np.arange(start, end)
        mine = rows[log.kinds_and_turns(rows)[1] == self._fold.number]
        return [delta for row in mine.tolist() for delta in self._delta(row, partial)], end

    def _delta(self, row: int, partial: dict[str, bytes]) -> list[Delta]:
        found = []
        t = self._state.log.entry(row).t
        for change in self._state.read_again(row):
            if isinstance(change, TextDelta):
                found.append(Delta("text", self._output_id(change), t, text=change.text))
            elif isinstance(change, AudioDelta):
                id = self._output_id(change)
                item = self._state.conversation.items.get(id)
                parts = item.parts[change.content_index :] if item is not None else []
                codec = (parts[0].codec if parts else None) or self._state.conversation.output_codec
                audio = partial.pop(id, b"") + bytes(change.audio)
                whole = len(audio) // codec.width * codec.width
                partial[id] = audio[whole:]
                found.append(Delta("audio", id, t, audio=Clip.from_wire(audio[:whole], codec)))
        return found

    def _output_id(self, change: TextDelta | AudioDelta) -> str:
        """Return the id of the item that a piece belongs to, also where the server named none."""
        if change.item_id in self._state.conversation.items:
            return change.item_id
        responses = self._fold.responses
        found = [response for response in responses if response.id == change.response_id] or responses
        return next((id for response in reversed(found) for id in reversed(response.items)), change.item_id)

    def __repr__(self) -> str:
        return clean_name(self._brief())
