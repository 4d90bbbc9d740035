"""The blocking `Session`: it works the same in a script, a notebook cell and a running event loop."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..analysis.turn_table import TurnList
from ..audio import Clip
from ..errors import RtnbError, SessionClosed
from ..protocol.changes import Listener
from ..protocol.events import Event
from ..protocol.state import SessionState
from ..session import async_session as core
from ..session import event_loop
from ..session.budget import Budget
from ..session.context import Forgotten
from ..session.turn import Turn
from .live_session import LiveSession

if TYPE_CHECKING:
    from ..recordings.autosave import Autosave
    from ..transports.base import Transport
    from ..widgets.talk import Talk

__all__ = ["AsyncSession", "Session"]

_open: weakref.WeakSet[Session] = weakref.WeakSet()


class Session(LiveSession):
    """A realtime session. Opened by ``rtnb.connect``; closed by ``close``, ``with`` or ``async with``."""

    __reduce_ex__ = core.AsyncSession.__reduce_ex__

    def __init__(self, session: core.AsyncSession, endpoint: str, autosave: Autosave | None = None) -> None:
        self._core = session
        self._autosave = autosave
        self._process = os.getpid()
        self._endpoint = endpoint
        _open.add(self)

    @property
    def _checked_core(self) -> core.AsyncSession:
        """The core. Raises SessionClosed in a forked child, whose parent uses the same connection."""
        if os.getpid() != self._process:
            raise SessionClosed(
                "the session belongs to the process that opened it: connect again in this process"
            )
        return self._core

    def send(self, *things: Any, **options: Any) -> Turn:
        """Send one turn and return it without waiting; it fills while the answer streams.

        ``things`` are texts (str), clips, sound or picture files (``pathlib.Path`` or bytes), arrays (24 kHz,
        or an ``(array, rate)`` pair), or lists of them. ``options``, for this answer only: ``modalities``
        ("audio" or "text"), ``instructions``, ``voice``, ``tools``, ``tool_choice``, ``max_output_tokens``,
        ``output_format``, ``metadata``, and ``conversation="none"`` for an out-of-band response. Turns are
        queued while one is in progress.

        Raises ArgumentError (nothing was sent), AudioError, BudgetError, SessionClosed.
        """
        return event_loop.call(self._checked_core.send, *things, **options)

    def ask(self, question: Any, *, about: Any = "conversation", **options: Any) -> Turn:
        """Ask about the conversation, or a part of it, without changing it: to classify, to summarise.

        ``about`` is "conversation", a turn, an item, or a list of turns, items and their ids; [] means none.
        What an out-of-band turn said is in no conversation and does not count. The answer is in text unless
        ``modalities`` says otherwise::

            s.ask("Is the user satisfied? Answer yes or no.").text
            s.ask("Summarise this in one sentence.", about=s.turns[-3:]).text

        Raises as ``send`` does, and ArgumentError for items that are not in the conversation.
        """
        return event_loop.call(self._checked_core.ask, question, about=about, **options)

    def forget(self, *, before: Turn | int) -> Forgotten:
        """Delete the items of all turns before a turn, or its number, and return what that saves.

        The turns stay readable here; the model no longer reads them, so that each further response costs
        less::

            s.forget(before=s.turns[-2])   # <Forgot 6 items: about 420 tokens less in each further response
            …>

        Raises ArgumentError, ServiceError if the server refuses, ConnectionLost if it does not answer.
        """
        return event_loop.run(self._checked_core.forget(before=before))

    def add(self, *things: Any) -> None:
        """Add input without requesting a response; it belongs to the next turn."""
        event_loop.call(self._checked_core.add, *things)

    def append(self, audio: Clip | bytes) -> None:
        """Append audio to the input buffer, as a microphone does: a clip, or bytes in the input format."""
        event_loop.call(self._checked_core.append, audio)

    def clear(self) -> None:
        """Discard what was appended to the input buffer and not committed."""
        event_loop.call(self._checked_core.clear)

    def commit(self, **options: Any) -> Turn:
        """Commit the appended input, request a response, and return its turn: push to talk.

        While another turn is in progress, the input is committed at once and the answer waits for that turn.
        Raises ArgumentError if less than 0.1 s was appended, and while earlier committed input waits for its
        answer; BudgetError if the budget is used up; SessionClosed.
        """
        return event_loop.call(self._checked_core.commit, **options)

    def speak(self, clip: Clip, *, speed: float = 1.0) -> None:
        """Stream a clip as a microphone would, in real time (``speed`` 1); the server finds the turns in it.

        Blocks until the clip is sent. The turns appear in ``turns``. Needs ``turn_detection``.
        """
        event_loop.run(self._checked_core.speak(clip, speed=speed))

    def talk(
        self,
        *,
        push_to_talk: bool = False,
        half_duplex: bool = False,
        turn_detection: str | Mapping[str, Any] = "server_vad",
        device: str = "",
        echo_cancellation: bool = True,
        noise_suppression: bool = True,
        auto_gain_control: bool = True,
    ) -> Talk:
        """Return a panel for talking with the microphone, to show at the end of a notebook cell.

        Hands-free, ``turn_detection`` finds your turns, and speaking interrupts the answer; with
        ``push_to_talk`` you hold a button or Space. ``half_duplex`` mutes the microphone while the answer is
        played, for loudspeakers whose echo the browser does not cancel. ``device`` is the microphone's id or
        a part of its name; the last three are processing that the browser is asked for. All of these can be
        changed in the panel. The talk continues while other cells run. When it is stopped, the session's
        previous turn detection is restored and the cards of its turns replace the panel.

        A session has one talk at a time: a live one, as when its cell is run again, is stopped, and a new one
        is returned. A talk whose panel is no longer in the page, as when its output was cleared, stops after
        two seconds.

        Raises SessionClosed.
        """
        from ..widgets.talk import Talk, live_talk

        if self.closed:
            raise SessionClosed("the session has ended. Connect again to talk")
        live = live_talk(self._core)
        if live is not None:
            live.stop()
        return Talk(
            self._core,
            push_to_talk=push_to_talk,
            half_duplex=half_duplex,
            turn_detection=turn_detection,
            capture={
                "device": device,
                "echoCancellation": echo_cancellation,
                "noiseSuppression": noise_suppression,
                "autoGainControl": auto_gain_control,
            },
        )

    def update(self, **options: Any) -> None:
        """Change the session's options, the keywords of ``connect``. Blocks until the server has confirmed.

        Raises ArgumentError before anything is sent, ServiceError if the server refuses.
        """
        event_loop.run(self._checked_core.update(**options))

    def send_event(self, event: Event) -> Event:
        """Send one raw event as it is; see ``AsyncSession.send_event``."""
        return event_loop.call(self._checked_core.send_event, event)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(change, turn number)`` for each change and command, on the session's thread.

        Returns a function that ends the subscription.
        """
        return event_loop.call(self._checked_core.subscribe, listener)

    @property
    def turns(self) -> TurnList[Turn]:
        """All turns so far: a list that a notebook shows as a table."""
        return TurnList(self._core.turns)

    @property
    def state(self) -> SessionState:
        """The log and everything folded from it."""
        return self._core.state

    @property
    def engine(self) -> str:
        """The embedded engine that answers, such as "local"; "" for another server."""
        return self._core.engine

    @property
    def billed(self) -> bool:
        """Whether its use is charged."""
        return self._core.billed

    @property
    def budget(self) -> Budget | None:
        """What the session may use, and how much of it is used; None if nothing is limited.

        Set it to change it: to anything that ``rtnb.connect`` accepts as ``budget``, counted from the
        session's start, or to None.
        """
        return self._core.budget

    @budget.setter
    def budget(self, value: float | str | Mapping[str, float] | None) -> None:
        event_loop.call(self._checked_core.set_budget, value)

    @property
    def problem(self) -> RtnbError | None:
        """Why the connection ended; None while it is open, and after ``close``."""
        return self._core.problem

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._core.closed

    def close(self) -> None:
        """Close the session. Turns in progress fail; all that has arrived stays readable.

        Closing twice is allowed. The autosave file is removed; ``save`` works before and after.
        """
        self._close(discard=True)

    def _close(self, *, discard: bool) -> None:
        _open.discard(self)
        event_loop.run(self._checked_core.close())
        if self._autosave is not None:
            self._autosave.close(discard=discard)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


class AsyncSession(core.AsyncSession, LiveSession):
    """A realtime session on the running event loop. Opened by ``rtnb.connect_async``.

    Its verbs are those of `Session`; those that wait are awaited::

        async with await rtnb.connect_async() as s:
            turn = await s.send("Describe the sea in one sentence.")
            async for chunk in s.audio():
                play(chunk)
    """

    def __init__(self, transport: Transport, *, endpoint: str, **options: Any) -> None:
        super().__init__(transport, **options)
        self._endpoint = endpoint
        self._autosave: Autosave | None = None

    @property
    def _core(self) -> core.AsyncSession:  # type: ignore[override]
        return self

    async def close(self) -> None:
        """Close the session; the autosave file is removed. ``save`` works before and after."""
        await super().close()
        if self._autosave is not None:
            self._autosave.close(discard=True)
            self._autosave = None


@atexit.register
def _close_all() -> None:
    """Close all sessions when the process ends. Autosave files stay, since the sessions were not closed."""
    for session in list(_open):
        session._close(discard=False)


if sys.platform != "win32":  # a forked child must not close its parent's connections
    os.register_at_fork(after_in_child=_open.clear)
