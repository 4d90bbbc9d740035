"""The async core: one owner of everything that is open.

=====================  ===============================  ==========================================
what                   opened by                        closed by
=====================  ===============================  ==========================================
the transport          the caller, who passes it in     ``close``, or the other side
reader and writer      ``open`` (see ``Connection``)    ``close``, or the end of the connection
tasks that run tools   ``ToolRunner``, for a response   the end of their turn, or ``close``
the session state      ``__init__``                     nobody: it outlives the session
=====================  ===============================  ==========================================

Turns go one after another (see ``TurnQueue``). All state changes on one event loop; other threads go through
``call_soon``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..analysis.turn import service_error
from ..audio import Clip
from ..errors import ArgumentError, BudgetError, RtnbError, SessionClosed
from ..protocol import models
from ..protocol.events import Event
from ..protocol.state import SessionState
from ..transports.base import Transport
from . import options as config
from .budget import Budget, BudgetEnforcer
from .connection import Connection, Explain, Listener, PendingRequests
from .content import Content, grouped, message, parse_content
from .event_loop import Notifier
from .input_buffer import LEAST_SECONDS, InputAudioBuffer
from .options import check_names
from .tools import Tool, ToolRunner, tools_of
from .turn import Turn, truncation_events
from .turn_queue import TurnQueue

__all__ = ["AsyncSession"]

_TRANSCRIPT_SECONDS = 3.0
"""How long a turn that is over waits for the transcript of its input; some services never send it."""


class AsyncSession:
    """A realtime session on the running event loop. ``rtnb.connect`` gives the blocking face of it.

    ``explain`` may tell better than a close frame why the connection ended.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        model: str = models.SEED,
        billed: bool = True,
        engine: str = "",
        explain: Explain | None = None,
    ) -> None:
        self.billed = billed
        self.engine = engine
        """The embedded engine at the other end, such as "local"; "" for any other server."""
        self._connection = Connection(transport, react=self._react, ended=self._lost, explain=explain)
        self._model = models.find(model)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._queue = TurnQueue(self._begun)
        self._input_buffer = InputAudioBuffer(self.state)
        self._tool_runner = ToolRunner(self._on_outputs)
        self._pending = PendingRequests()
        self._budget_enforcer = BudgetEnforcer(self.state, self._request)
        self._began = self._loop.time()

    @property
    def state(self) -> SessionState:
        """The log and all that is folded from it. It outlives the session."""
        return self._connection.state

    @property
    def turns(self) -> list[Turn]:
        """All turns so far, in the order in which they were promised."""
        return self._queue.all

    @property
    def signal(self) -> Notifier:
        """Fires at every frame, and when a turn ends."""
        return self._connection.signal

    @property
    def problem(self) -> RtnbError | None:
        """Why the connection ended, where it was not ``close``."""
        return self._connection.problem

    # Opening and closing.

    @staticmethod
    def check(model: str, options: Mapping[str, Any]) -> None:
        """Raise ArgumentError for options that the model's row or the protocol does not allow."""
        _prepared(models.find(model), dict(options))

    async def open(
        self, options: Mapping[str, Any] | None = None, *, budget: Any = None, timeout: float = 30.0
    ) -> AsyncSession:
        """Wait for the server's first frame and configure the session; return it.

        ``options`` are the keywords of ``config.session_options``, and ``tools`` may be functions; ``budget``
        is as in ``set_budget``. Raises ArgumentError before anything is sent, AuthError, ServiceError or
        ConnectionLost as the server says.
        """
        try:
            update = self._options(dict(options or {}))
            self._budget_enforcer.change(self._budget(budget))
            self._connection.start()
            await self._pending.wait("session.created", timeout)
            if self.budget is not None:
                self.budget.check_priced(self.state.row)
            if len(update) > 1:
                await self._update(update, timeout)
        except BaseException:
            await self.close()
            raise
        return self

    async def update(self, *, timeout: float = 30.0, **options: Any) -> None:
        """Change the session: the keywords of ``connect``. Raises ServiceError if the server refuses."""
        self._usable()
        await self._update(self._options(options), timeout)

    async def _update(self, session: Event, timeout: float) -> None:
        await self._request(self._budget_enforcer.amend(session), timeout)

    async def _request(self, session: Event, timeout: float = 30.0) -> None:
        sent = self.send_event({"type": "session.update", "session": session})
        await self._pending.wait("session.updated", timeout, sent["event_id"])

    def _options(self, options: dict[str, Any]) -> Event:
        update, tools = _prepared(self._model, options)
        if tools is not None:
            self._tool_runner.tools.replace(tools)
        return update

    async def close(self) -> None:
        """Hang up. Turns that are not over fail; the record stays. Closing twice is allowed."""
        if self._connection.closed:
            return
        if self.problem is None:
            self._end(SessionClosed("the session was closed before the turn was over"))
        await self._connection.close()
        await self._tool_runner.close()
        await self._budget_enforcer.close()

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        """Whether the session is over, by ``close`` or by the other side."""
        return self._connection.closed or self.problem is not None

    def _usable(self) -> None:
        if self.problem is not None:
            raise SessionClosed(f"the session is over: {self.problem}. Connect again to go on")
        if self._connection.closed:
            raise SessionClosed("the session was closed. Connect again to go on")

    # The budget.

    @property
    def budget(self) -> Budget | None:
        """What the session may use, and has used of it; None where nothing is limited."""
        return self._budget_enforcer.budget

    def set_budget(self, value: Any) -> None:
        """Limit what the session may use from its beginning on; None lifts the limit.

        Dollars as a number or "$0.50"; "20,000 tokens"; "10 minutes"; or a dict of ``usd``, ``tokens`` and
        ``minutes``. Near its end a ``BudgetWarning`` is given; then no further response begins. Raises
        ArgumentError for what is no budget, and for dollars where the model's prices are unknown.
        """
        budget = self._budget(value)
        if budget is not None:
            budget.check_priced(self.state.row)
        self._budget_enforcer.change(budget)

    def _budget(self, value: Any) -> Budget | None:
        allowed = Budget.allowed(value)
        return Budget(self.state, allowed, minutes=self._minutes, billed=self.billed) if allowed else None

    @property
    def spent(self) -> str | None:
        """Why no response may begin, as a sentence; None while the budget has room for one."""
        return None if (spent := self._budget_enforcer.spent) is None else str(spent)

    def _minutes(self) -> float:
        return (self._loop.time() - self._began) / 60

    # Other threads.

    @property
    def on_loop(self) -> bool:
        """Whether the calling thread is the one that runs the session's loop."""
        return threading.get_ident() == self._thread

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the session lives on."""
        return self._loop

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Run ``function`` on the session's loop, soon, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, turn number)`` on the session's loop for each frame; return the end of it.

        Frames of both directions come, each after it was folded. A listener must be quick and not raise.
        """
        return self._connection.subscribe(listener)

    # Sending.

    def send(self, *things: Any, **options: Any) -> Turn:
        """Send one turn and return its promise at once.

        ``things`` as in ``contents``; ``options`` are those of ``config.response_options``, for this
        response only. Raises ArgumentError for what cannot be sent, and BudgetError where the budget is used
        up, before anything is.
        """
        self._usable()
        self._budget_enforcer.check()
        given = self._given(things)
        response = self._response(options)
        turn = Turn(self, given)
        self.turns.append(turn)
        if response.get("conversation") == "none":
            self._ask(turn, {**response, "input": [message(given, self._input_buffer.codec)]})
        else:
            self._queue.wait(turn, given, response)
            self._next()
        return turn

    def add(self, *things: Any) -> None:
        """Add input to the conversation and ask for no response; it belongs to the turn that comes next."""
        self._usable()
        self._add(self._given(things))

    def commit(self, **options: Any) -> Turn:
        """End the input that was appended, ask for a response, and return its turn. Push to talk.

        While a turn runs, the input is committed all the same, so that what is appended next is apart from
        it; the answer waits for the turn, and comes before those of turns that were sent to wait.

        Raises ArgumentError where less than 0.1 s was appended, and while input that was committed waits for
        its answer (wait for its turn or cancel it first); BudgetError where the budget is used up.
        """
        self._usable()
        self._budget_enforcer.check()
        if self._queue.committed:
            raise ArgumentError(
                "what was committed before waits for its answer: wait for that turn or cancel it, then commit"
            )
        self._input_buffer.check_commit()
        response = self._response(options)
        turn = Turn(self)
        self.turns.append(turn)
        self._emit({"type": "input_audio_buffer.commit"}, turn)
        self._queue.wait(turn, [], response)
        self._next()
        return turn

    def _given(self, things: Iterable[Any]) -> list[Content]:
        given = parse_content(things, self._model)
        for part in given:
            if isinstance(part, Clip) and part.seconds < LEAST_SECONDS:
                raise ArgumentError(
                    f"a clip to send lasts {LEAST_SECONDS} s or more, not {part.seconds:.3f} s"
                )
        return given

    def _response(self, options: dict[str, Any]) -> Event:
        """Return the ``response`` of a ``response.create``; its tools can be run from now on."""
        given = options.pop("tools", None)
        check_names(options, config.response_options)
        made = None if given is None else tools_of(given)
        wire = None if made is None else [tool.wire for tool in made]
        response = config.response_options(self._model, tools=wire, **options)
        self._tool_runner.tools.add(made or ())
        return response

    def _next(self) -> None:
        """Send the next turn if none runs."""
        while not self.closed and (waiting := self._queue.next()) is not None:
            if (spent := self._budget_enforcer.spent) is not None:
                waiting.turn.finish(spent)
                self.signal.fire()
            else:
                self._queue.current = waiting.turn
                self._add(waiting.given, waiting.turn)
                self._ask(waiting.turn, waiting.response)

    def _add(self, given: list[Content], turn: Turn | None = None) -> None:
        for part in grouped(given):
            if isinstance(part, Clip):
                self._send_clip(part, turn)
            else:
                self._create(part, turn)

    def _create(self, parts: Iterable[Content], turn: Turn | None) -> None:
        item = {"id": self._connection.ids("item"), **message(parts, self._input_buffer.codec)}
        self._emit({"type": "conversation.item.create", "item": item}, turn)

    def _ask(self, turn: Turn, response: Event) -> None:
        self._emit({"type": "response.create", **({"response": response} if response else {})}, turn)

    def _send_clip(self, clip: Clip, turn: Turn | None) -> None:
        """Send a whole utterance. Where the server detects turns it goes as an item, past the detector."""
        if self.state.conversation.turn_detection is not None:
            self._create([clip], turn)
            return
        for event in self._input_buffer.utterance(clip):
            self._emit(event, turn)

    def append(self, sound: Clip | bytes) -> None:
        """Add sound to the input buffer, as a microphone does: a clip, or bytes in the session's format.

        Raises ArgumentError for anything else.
        """
        self._usable()
        self._emit(self._input_buffer.append(sound))

    async def speak(self, sound: Any, *, speed: float = 1.0, chunk: float = 0.04) -> None:
        """Stream sound into the input buffer as a microphone would: in ``chunk`` seconds, paced.

        ``sound`` is whatever ``Clip.of`` takes. ``speed`` 2 is twice as fast as a person. The server's turn
        detection decides what a turn is; without it ArgumentError is raised.
        """
        self._usable()
        await self._input_buffer.speak(sound, speed, chunk, self.append)

    def send_event(self, event: Event) -> Event:
        """Send one raw event as it is and return it; an ``event_id`` is added where it has none.

        For what the session has no verb for. It is logged like all others. Raises ArgumentError for what is
        no event, and BudgetError for a ``response.create`` where the budget is used up.
        """
        self._usable()
        if not isinstance(event, Mapping) or not isinstance(event.get("type"), str):
            raise ArgumentError(f"an event is a dict with a 'type', not {event!r:.80}")
        if event["type"] == "response.create":
            self._budget_enforcer.check()
        return self._emit(dict(event))

    def _emit(self, event: Event, turn: Turn | None = None) -> Event:
        number = self._connection.emit(event)
        self._input_buffer.saw(event)
        if turn is not None:
            if turn.number < 0 <= number:
                turn.attach(self.state.turns.all[number])
                self._queue.number(number, turn)
            if event["type"] in ("input_audio_buffer.commit", "conversation.item.create"):
                self._queue.bring(event["event_id"], turn)
        return event

    # Receiving.

    def _react(self, event: Event, number: int) -> None:
        reaction = _REACTIONS.get(event["type"])
        if reaction is not None:
            reaction(self, event, number)

    def _on_session(self, event: Event, number: int) -> None:
        if self.state.model:
            self._model = self.state.row
        self._pending.answer(event)

    def _on_speech_started(self, event: Event, number: int) -> None:
        if number >= 0:
            self._queue.of(number)
        self._budget_enforcer.look()

    def _on_committed(self, event: Event, number: int) -> None:
        self._input_buffer.committed()
        if (
            number >= 0
            and self._budget_enforcer.hushed
            and (spent := self._budget_enforcer.spent) is not None
        ):
            self._finish(self._queue.of(number), spent)  # nothing will answer it

    def _on_response_created(self, event: Event, number: int) -> None:
        if number < 0:
            return
        turn, fold, spent = self._queue.of(number), self.state.turns.all[number], self._budget_enforcer.spent
        if spent is None and isinstance(turn.error, BudgetError):  # given up, and answered after all
            turn = self._queue.begun(number)
        elif spent is not None and "requested" not in fold.marks:
            turn.input_error, turn.cancel_requested = spent, True
        if not fold.out_of_band:
            self._queue.current = turn
        if turn.cancel_requested:
            self._emit({"type": "response.cancel", "response_id": event["response"]["id"]})

    def _begun(self, number: int) -> Turn:
        turn = Turn(self)
        turn.attach(self.state.turns.all[number])
        return turn

    def _on_error(self, event: Event, number: int) -> None:
        wire = event.get("error")
        error = service_error(wire if isinstance(wire, dict) else {"message": str(wire)})
        culprit = wire.get("event_id") if isinstance(wire, dict) else None
        if self._pending.refuse(culprit, error):
            return
        turn = self._queue.brought_by(culprit)
        if turn is not None:  # an answer without its input would answer something else
            turn.input_error = error
            self.cancel_turn(turn)
        turn = turn or self._queue.known(number)
        if turn is not None and not turn.done and not self.state.turns.all[turn.number].active:
            self._finish(turn)

    def _on_response_done(self, event: Event, number: int) -> None:
        if number < 0:
            return
        turn, fold = self._queue.of(number), self.state.turns.all[number]
        self._budget_enforcer.look()
        if fold.active:
            return
        if (
            fold.responses[-1].status == "completed"
            and not turn.cancel_requested
            and self._tool_runner.start(turn)
        ):
            return
        if turn.awaits_transcript:  # its words may still be on their way, and may never come
            self._loop.call_later(_TRANSCRIPT_SECONDS, self._finish, turn)
        else:
            self._finish(turn)

    def _on_transcribed(self, event: Event, number: int) -> None:
        turn = self._queue.known(number)
        if turn is None or turn.done or turn.awaits_transcript:
            return
        fold = self.state.turns.all[number]
        if fold.responses and not fold.active and not self._tool_runner.runs(turn):
            self._finish(turn)

    def _finish(self, turn: Turn, failure: RtnbError | None = None) -> None:
        if not turn.done:
            turn.finish(failure or turn.input_error)
            self._ended(turn)

    def _ended(self, turn: Turn) -> None:
        self._tool_runner.forget(turn)
        self._queue.end(turn)
        self.signal.fire()
        self._next()

    # Tools.

    def _on_outputs(self, turn: Turn, outputs: list[Event]) -> None:
        """Send all outputs of a turn's calls, then ask for exactly one new response."""
        if self.closed or turn.done:
            return
        for output in outputs:
            item = {"id": self._connection.ids("item"), **output}
            self._emit({"type": "conversation.item.create", "item": item}, turn)
        over = self._tool_runner.too_many(turn) or self._budget_enforcer.spent
        if over is not None:
            self._finish(turn, over)
        else:
            self._ask(turn, {})

    # Ending turns early.

    def cancel_turn(self, turn: Turn) -> None:
        """End a turn early. Runs on the session's loop; see ``Turn.cancel``."""
        if turn.done or self.closed:
            return
        if self._queue.waits(turn):
            turn.finish(turn.input_error, cancelled_before_start=True)
            self._queue.end(turn)
            self.signal.fire()
            return
        turn.cancel_requested = True
        if self._tool_runner.cancel(turn):
            turn.finish(cancelled_before_start=True)
            self._ended(turn)
            return
        running = [r for r in self.state.turns.all[turn.number].responses if r.status == "in_progress"]
        for response in running:  # one that was only asked for is cancelled when it begins
            self._emit({"type": "response.cancel", "response_id": response.id})

    def interrupt_turn(self, turn: Turn, heard: float) -> bool:
        """Stop a turn's answer and cut it to what was heard. See ``Turn.interrupt`` and ``cut_turn``."""
        self.cancel_turn(turn)
        return self.cut_turn(turn, heard)

    def cut_turn(self, turn: Turn, heard: float) -> bool:
        """Cut a turn's answer to the ``heard`` seconds; where the server stops the answer by itself.

        What was heard to its end, or is cut already, is left alone. Return whether anything was sent; the
        server answers with ``conversation.item.truncated``, or ``.deleted`` where nothing was heard.
        """
        if self.closed or turn.number < 0:
            return False
        events = truncation_events(turn, heard, self._connection.ids)
        for event in events:
            self._emit(event)
        return bool(events)

    # The end.

    def _lost(self) -> None:
        assert self.problem is not None
        self._end(self.problem)

    def _end(self, why: RtnbError) -> None:
        """Fail everything that still waits."""
        self._pending.fail(why)
        self._queue.fail(why)
        self.signal.fire()


_REACTIONS: dict[str, Callable[[AsyncSession, Event, int], None]] = {
    "session.created": AsyncSession._on_session,
    "session.updated": AsyncSession._on_session,
    "error": AsyncSession._on_error,
    "conversation.item.input_audio_transcription.completed": AsyncSession._on_transcribed,
    "conversation.item.input_audio_transcription.failed": AsyncSession._on_transcribed,
    "input_audio_buffer.committed": AsyncSession._on_committed,
    "input_audio_buffer.speech_started": AsyncSession._on_speech_started,
    "response.created": AsyncSession._on_response_created,
    "response.done": AsyncSession._on_response_done,
}


def _prepared(model: models.Model, options: dict[str, Any]) -> tuple[Event, list[Tool] | None]:
    """Return the session for a ``session.update``, and the tools where they were given."""
    given = options.pop("tools", None)
    check_names(options, config.session_options)
    tools = None if given is None else tools_of(given)
    wire = None if tools is None else [tool.wire for tool in tools]
    return config.session_options(model, tools=wire, **options), tools
