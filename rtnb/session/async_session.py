"""The asynchronous session: it owns everything that is open.

=====================  ===============================  ==========================================
what                   opened by                        closed by
=====================  ===============================  ==========================================
the transport          the caller, who passes it in     ``close``, or the server
reader and writer      ``open`` (see ``Connection``)    ``close``, or the end of the connection
tasks that run tools   ``ToolRunner``, for a response   the end of their turn, or ``close``
the session state      ``__init__``                     not closed: it outlives the session
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
from ..errors import ArgumentError, BudgetError, RtnbError, SessionClosed, not_copyable
from ..protocol import models
from ..protocol.events import Event
from ..protocol.state import SessionState
from ..transports.base import Transport
from . import options as config
from .budget import Budget, BudgetEnforcer
from .connection import Connection, Explain, Listener, PendingRequests
from .content import Content, grouped, message, parse_content
from .event_loop import Notifier
from .input_buffer import MIN_SECONDS, InputAudioBuffer
from .options import check_names
from .tools import Tool, ToolRunner, tools_of
from .turn import Turn, truncation_events
from .turn_queue import TurnQueue

__all__ = ["AsyncSession"]

_TRANSCRIPT_SECONDS = 3.0
"""How long a finished turn waits for the transcript of its input; some services never send it."""


class AsyncSession:
    """A realtime session on the running event loop. ``rtnb.connect`` returns its blocking counterpart.

    ``explain`` is an optional hook that maps a ConnectionLost to a more specific error.
    """

    __reduce_ex__ = not_copyable(
        "a live session cannot be pickled or copied: save it with session.save(path), open it with rtnb.open"
    )

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
        self._connection = Connection(transport, react=self._react, ended=self._on_lost, explain=explain)
        self._model = models.find(model)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._queue = TurnQueue(self._create_turn)
        self._input_buffer = InputAudioBuffer(self.state)
        self._tool_runner = ToolRunner(self._on_outputs)
        self._pending = PendingRequests()
        self._budget_enforcer = BudgetEnforcer(self.state, self._send_update)
        self._opened_at = self._loop.time()

    @property
    def state(self) -> SessionState:
        """The log and everything folded from it. It outlives the session."""
        return self._connection.state

    @property
    def turns(self) -> list[Turn]:
        """All turns so far, in the order in which they were created."""
        return self._queue.all

    @property
    def signal(self) -> Notifier:
        """Fires at every frame, and when a turn ends."""
        return self._connection.signal

    @property
    def problem(self) -> RtnbError | None:
        """Why the connection ended; None while it is open, and after ``close``."""
        return self._connection.problem

    # Opening and closing.

    @staticmethod
    def check(model: str, options: Mapping[str, Any]) -> None:
        """Raise ArgumentError for options that the model or the protocol does not allow."""
        _session_update(models.find(model), dict(options))

    async def open(
        self, options: Mapping[str, Any] | None = None, *, budget: Any = None, timeout: float = 30.0
    ) -> AsyncSession:
        """Wait for the server's first event, configure the session, and return it.

        ``options`` are the keywords of ``config.session_options``, and ``tools`` may be functions; ``budget``
        is as in ``set_budget``. Raises ArgumentError before anything is sent; AuthError, ServiceError or
        ConnectionLost where the server refuses or does not answer within ``timeout`` seconds.
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
        """Change the session's options, the keywords of ``connect``.

        Raises ArgumentError before anything is sent, ServiceError if the server refuses.
        """
        self._check_open()
        await self._update(self._options(options), timeout)

    async def _update(self, session: Event, timeout: float) -> None:
        await self._send_update(self._budget_enforcer.amend(session), timeout)

    async def _send_update(self, session: Event, timeout: float = 30.0) -> None:
        sent = self.send_event({"type": "session.update", "session": session})
        await self._pending.wait("session.updated", timeout, sent["event_id"])

    def _options(self, options: dict[str, Any]) -> Event:
        update, tools = _session_update(self._model, options)
        if tools is not None:
            self._tool_runner.tools.replace(tools)
        return update

    async def close(self) -> None:
        """Close the connection. Turns in progress fail; the state stays. Closing twice is allowed."""
        if self._connection.closed:
            return
        if self.problem is None:
            self._fail_all(SessionClosed("the session was closed before the turn was done"))
        await self._connection.close()
        await self._tool_runner.close()
        await self._budget_enforcer.close()

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        """Whether the session has ended, by ``close`` or by the server."""
        return self._connection.closed or self.problem is not None

    def _check_open(self) -> None:
        if self.problem is not None:
            raise SessionClosed(f"the session has ended: {self.problem}. Connect again to continue")
        if self._connection.closed:
            raise SessionClosed("the session was closed. Connect again to continue")

    # The budget.

    @property
    def budget(self) -> Budget | None:
        """What the session may use, and how much of it is used; None if nothing is limited."""
        return self._budget_enforcer.budget

    def set_budget(self, value: Any) -> None:
        """Limit what the session may use in total, from its start; None removes the limit.

        Dollars as a number or "$0.50"; "20,000 tokens"; "10 minutes"; or a dict of ``usd``, ``tokens`` and
        ``minutes``. A ``BudgetWarning`` is issued when 80 % is used; when all is used, no further response
        starts. Raises ArgumentError for anything else, and for dollars where the model's prices are unknown.
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
        """Why no response may start, as a sentence; None while the budget is not used up."""
        return None if (spent := self._budget_enforcer.spent) is None else str(spent)

    def _minutes(self) -> float:
        return (self._loop.time() - self._opened_at) / 60

    # Other threads.

    @property
    def on_loop(self) -> bool:
        """Whether the calling thread runs the session's event loop."""
        return threading.get_ident() == self._thread

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the session runs on."""
        return self._loop

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Schedule ``function`` on the session's event loop, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, turn number)`` on the session's loop for each frame in both directions.

        Each frame is folded before the call. A listener must be quick and not raise. Returns a function that
        ends the subscription.
        """
        return self._connection.subscribe(listener)

    # Sending.

    def send(self, *things: Any, **options: Any) -> Turn:
        """Send one turn and return it without waiting.

        ``things`` are as in ``parse_content``; ``options`` are those of ``config.response_options``, for this
        response only. Raises ArgumentError for content that cannot be sent, and BudgetError if the budget is
        used up, before anything is sent.
        """
        self._check_open()
        self._budget_enforcer.check()
        content = self._parse(things)
        response = self._response(options)
        turn = Turn(self, content)
        self.turns.append(turn)
        if response.get("conversation") == "none":
            self._request_response(turn, {**response, "input": [message(content, self._input_buffer.codec)]})
        else:
            self._queue.enqueue(turn, content, response)
            self._send_next()
        return turn

    def add(self, *things: Any) -> None:
        """Add input to the conversation without requesting a response; it belongs to the next turn."""
        self._check_open()
        self._add(self._parse(things))

    def commit(self, **options: Any) -> Turn:
        """Commit the appended input, request a response, and return its turn: push to talk.

        While another turn is in progress, the input is committed at once, so that later input is separate;
        its answer waits for that turn, and comes before the answers of queued turns.

        Raises ArgumentError if less than 0.1 s was appended, and while earlier committed input waits for its
        answer (wait for its turn or cancel it first); BudgetError if the budget is used up.
        """
        self._check_open()
        self._budget_enforcer.check()
        if self._queue.has_committed_input:
            raise ArgumentError(
                "earlier committed input waits for its answer: wait for that turn or cancel it, then commit"
            )
        self._input_buffer.check_commit()
        response = self._response(options)
        turn = Turn(self)
        self.turns.append(turn)
        self._emit({"type": "input_audio_buffer.commit"}, turn)
        self._queue.enqueue(turn, [], response)
        self._send_next()
        return turn

    def _parse(self, things: Iterable[Any]) -> list[Content]:
        content = parse_content(things, self._model)
        for part in content:
            if isinstance(part, Clip) and part.seconds < MIN_SECONDS:
                raise ArgumentError(
                    f"a clip must last at least {MIN_SECONDS} s to be sent, got {part.seconds:.3f} s"
                )
        return content

    def _response(self, options: dict[str, Any]) -> Event:
        """Return the ``response`` of a ``response.create``, and register its tools."""
        given = options.pop("tools", None)
        check_names(options, config.response_options)
        tools = None if given is None else tools_of(given)
        wire = None if tools is None else [tool.wire for tool in tools]
        response = config.response_options(self._model, tools=wire, **options)
        self._tool_runner.tools.add(tools or ())
        return response

    def _send_next(self) -> None:
        """Send the next turn if none is in progress."""
        while not self.closed and (queued := self._queue.next()) is not None:
            if (spent := self._budget_enforcer.spent) is not None:
                queued.turn.finish(spent)
                self.signal.fire()
            else:
                self._queue.current = queued.turn
                self._add(queued.content, queued.turn)
                self._request_response(queued.turn, queued.response)

    def _add(self, content: list[Content], turn: Turn | None = None) -> None:
        for part in grouped(content):
            if isinstance(part, Clip):
                self._send_clip(part, turn)
            else:
                self._create_item(part, turn)

    def _create_item(self, parts: Iterable[Content], turn: Turn | None) -> None:
        item = {"id": self._connection.ids("item"), **message(parts, self._input_buffer.codec)}
        self._emit({"type": "conversation.item.create", "item": item}, turn)

    def _request_response(self, turn: Turn, response: Event) -> None:
        self._emit({"type": "response.create", **({"response": response} if response else {})}, turn)

    def _send_clip(self, clip: Clip, turn: Turn | None) -> None:
        """Send a whole utterance; if the server detects turns, as an item, which bypasses the detector."""
        if self.state.conversation.turn_detection is not None:
            self._create_item([clip], turn)
            return
        for event in self._input_buffer.utterance(clip):
            self._emit(event, turn)

    def append(self, audio: Clip | bytes) -> None:
        """Append audio to the input buffer, as a microphone does: a clip, or bytes in the session's format.

        Raises ArgumentError for anything else.
        """
        self._check_open()
        self._emit(self._input_buffer.append(audio))

    async def speak(self, audio: Any, *, speed: float = 1.0, chunk: float = 0.04) -> None:
        """Stream audio into the input buffer at the pace of speech, in chunks of ``chunk`` seconds.

        ``audio`` is anything that ``Clip.of`` accepts; ``speed`` 2 is twice as fast as real time. The
        server's turn detection finds the turns; without it ArgumentError is raised.
        """
        self._check_open()
        await self._input_buffer.speak(audio, speed, chunk, self.append)

    def send_event(self, event: Event) -> Event:
        """Send one raw event as it is and return it; an ``event_id`` is added if it has none.

        For events that the session has no method for. It is logged like all others. Raises ArgumentError for
        anything that is not an event, and BudgetError for a ``response.create`` if the budget is used up.
        """
        self._check_open()
        if not isinstance(event, Mapping) or not isinstance(event.get("type"), str):
            raise ArgumentError(f"event: expected a dict with a 'type', got {event!r:.80}")
        if event["type"] == "response.create":
            self._budget_enforcer.check()
        return self._emit(dict(event))

    def _emit(self, event: Event, turn: Turn | None = None) -> Event:
        number = self._connection.emit(event)
        self._input_buffer.on_sent(event)
        if turn is not None:
            if turn.number < 0 <= number:
                turn.attach(self.state.turns.all[number])
                self._queue.assign(number, turn)
            if event["type"] in ("input_audio_buffer.commit", "conversation.item.create"):
                self._queue.add_input_event(event["event_id"], turn)
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
            self._queue.get_or_create(number)
        self._budget_enforcer.check_usage()

    def _on_committed(self, event: Event, number: int) -> None:
        self._input_buffer.on_committed()
        if (
            number >= 0
            and self._budget_enforcer.answers_suspended
            and (spent := self._budget_enforcer.spent) is not None
        ):
            self._finish(self._queue.get_or_create(number), spent)  # it will not be answered

    def _on_response_created(self, event: Event, number: int) -> None:
        if number < 0:
            return
        turn, fold = self._queue.get_or_create(number), self.state.turns.all[number]
        spent = self._budget_enforcer.spent
        if spent is None and isinstance(turn.error, BudgetError):  # failed before, and answered after all
            turn = self._queue.create(number)
        elif spent is not None and "requested" not in fold.marks:
            turn.input_error, turn.cancel_requested = spent, True
        if not fold.out_of_band:
            self._queue.current = turn
        if turn.cancel_requested:
            self._emit({"type": "response.cancel", "response_id": event["response"]["id"]})

    def _create_turn(self, number: int) -> Turn:
        turn = Turn(self)
        turn.attach(self.state.turns.all[number])
        return turn

    def _on_error(self, event: Event, number: int) -> None:
        wire = event.get("error")
        error = service_error(wire if isinstance(wire, dict) else {"message": str(wire)})
        culprit = wire.get("event_id") if isinstance(wire, dict) else None
        if self._pending.refuse(culprit, error):
            return
        turn = self._queue.by_input_event(culprit)
        if turn is not None:  # without this input the answer would be to something else
            turn.input_error = error
            self.cancel_turn(turn)
        turn = turn or self._queue.get(number)
        if turn is not None and not turn.done and not self.state.turns.all[turn.number].active:
            self._finish(turn)

    def _on_response_done(self, event: Event, number: int) -> None:
        if number < 0:
            return
        turn, fold = self._queue.get_or_create(number), self.state.turns.all[number]
        self._budget_enforcer.check_usage()
        if fold.active:
            return
        if (
            fold.responses[-1].status == "completed"
            and not turn.cancel_requested
            and self._tool_runner.start(turn)
        ):
            return
        if turn.awaits_transcript:  # the transcript may still arrive, or never
            self._loop.call_later(_TRANSCRIPT_SECONDS, self._finish, turn)
        else:
            self._finish(turn)

    def _on_transcribed(self, event: Event, number: int) -> None:
        turn = self._queue.get(number)
        if turn is None or turn.done or turn.awaits_transcript:
            return
        fold = self.state.turns.all[number]
        if fold.responses and not fold.active and not self._tool_runner.runs(turn):
            self._finish(turn)

    def _finish(self, turn: Turn, failure: RtnbError | None = None) -> None:
        if not turn.done:
            turn.finish(failure or turn.input_error)
            self._after_finish(turn)

    def _after_finish(self, turn: Turn) -> None:
        self._tool_runner.forget(turn)
        self._queue.remove(turn)
        self.signal.fire()
        self._send_next()

    # Tools.

    def _on_outputs(self, turn: Turn, outputs: list[Event]) -> None:
        """Send all outputs of a turn's calls, then request exactly one new response."""
        if self.closed or turn.done:
            return
        for output in outputs:
            item = {"id": self._connection.ids("item"), **output}
            self._emit({"type": "conversation.item.create", "item": item}, turn)
        failure = self._tool_runner.too_many(turn) or self._budget_enforcer.spent
        if failure is not None:
            self._finish(turn, failure)
        else:
            self._request_response(turn, {})

    # Ending turns early.

    def cancel_turn(self, turn: Turn) -> None:
        """End a turn early. Runs on the session's loop; see ``Turn.cancel``."""
        if turn.done or self.closed:
            return
        if self._queue.is_queued(turn):
            turn.finish(turn.input_error, cancelled_before_start=True)
            self._queue.remove(turn)
            self.signal.fire()
            return
        turn.cancel_requested = True
        if self._tool_runner.cancel(turn):
            turn.finish(cancelled_before_start=True)
            self._after_finish(turn)
            return
        running = [r for r in self.state.turns.all[turn.number].responses if r.status == "in_progress"]
        for response in running:  # one that was only requested is cancelled when it is created
            self._emit({"type": "response.cancel", "response_id": response.id})

    def interrupt_turn(self, turn: Turn, played: float) -> bool:
        """Stop a turn's answer and truncate it to what was played; see ``truncate_turn``."""
        self.cancel_turn(turn)
        return self.truncate_turn(turn, played)

    def truncate_turn(self, turn: Turn, played: float) -> bool:
        """Truncate a turn's answer to the ``played`` seconds, without stopping it.

        Items that were played to the end, or are truncated already, stay. Return whether anything was sent;
        the server answers with ``conversation.item.truncated``, or ``.deleted`` where nothing was played.
        """
        if self.closed or turn.number < 0:
            return False
        events = truncation_events(turn, played, self._connection.ids)
        for event in events:
            self._emit(event)
        return bool(events)

    # The end.

    def _on_lost(self) -> None:
        assert self.problem is not None
        self._fail_all(self.problem)

    def _fail_all(self, why: RtnbError) -> None:
        """Fail all pending requests and turns."""
        self._pending.fail(why)
        self._queue.fail_all(why)
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


def _session_update(model: models.Model, options: dict[str, Any]) -> tuple[Event, list[Tool] | None]:
    """Return the session for a ``session.update``, and the tools if they were given."""
    given = options.pop("tools", None)
    check_names(options, config.session_options)
    tools = None if given is None else tools_of(given)
    wire = None if tools is None else [tool.wire for tool in tools]
    return config.session_options(model, tools=wire, **options), tools
