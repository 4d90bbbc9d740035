"""The asynchronous session: the one object that owns all open resources.

=====================  ===============================  ==========================================
what                   opened by                        closed by
=====================  ===============================  ==========================================
the transport          the caller, who passes it in     ``close``, or the other side
reader and writer      ``open`` (see ``Connection``)    ``close``, or the end of the connection
tasks that run tools   ``ToolRunner``, for a response   the end of their turn, or ``close``
the session state      ``__init__``                     never: it outlives the session
=====================  ===============================  ==========================================

Turns go one after another (see ``TurnFlow``). All state changes on one event loop; other threads go through
``call_soon``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from ..analysis.turn import Call
from ..analysis.turn_table import TurnList
from ..audio import Clip
from ..errors import ArgumentError, ConnectionLost, RtnbError, SessionClosed, not_copyable
from ..protocol import models
from ..protocol.changes import (
    AudioDelta,
    Change,
    Clear,
    Command,
    Configure,
    ConversationStarted,
    DeleteItem,
    ItemDeleted,
    Listener,
    Respond,
    SessionChanged,
    SessionStarted,
)
from ..protocol.dialects import Unreadable, read
from ..protocol.events import Event
from ..protocol.state import SessionState
from ..transports.base import Transport
from . import event_loop
from . import options as config
from .budget import Budget, BudgetEnforcer
from .connection import Connection, Explain
from .content import Content, check_json, message, parse_content
from .context import Forgotten, item_ids, references
from .event_loop import Notifier
from .input_buffer import MIN_SECONDS, InputAudioBuffer
from .options import check_names
from .pending import PendingRequests
from .tools import Tool, tools_of
from .turn import Turn
from .turn_flow import TurnFlow

__all__ = ["ANSWER_TIMEOUT", "AsyncSession"]

ANSWER_TIMEOUT = 60.0
"""Seconds that a turn waits for a server which sends nothing."""

_CONFIRM_SECONDS = 5.0
"""How long a server has to confirm the configuration when a session opens; some never do."""


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
        answer_timeout: float | None = ANSWER_TIMEOUT,
    ) -> None:
        self._billed = billed
        self._engine = engine
        self._connection = Connection(transport, react=self._react, ended=self._on_lost, explain=explain)
        self._model = models.find(model)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._input_buffer = InputAudioBuffer(self.state)
        self._pending = PendingRequests()
        self._budget_enforcer = BudgetEnforcer(self.state, self._send_update)
        self._flow = TurnFlow(
            self,
            self._connection,
            self._pending,
            self._budget_enforcer,
            self._input_buffer,
            answer_timeout,
        )
        self._audio_readers: list[asyncio.Queue[Clip | None]] = []
        self._opened_at = self._loop.time()

    @property
    def state(self) -> SessionState:
        """The log and everything folded from it. It outlives the session."""
        return self._connection.state

    @property
    def billed(self) -> bool:
        """Whether its use is charged."""
        return self._billed

    @property
    def engine(self) -> str:
        """The embedded engine at the other end, such as "local"; "" for any other server."""
        return self._engine

    @property
    def turns(self) -> TurnList[Turn]:
        """All turns so far, in the order in which they were created."""
        return self._flow.queue.all

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
        self, options: Mapping[str, Any] | None = None, *, budget: Any = None, timeout: float = 15.0
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
            await self._pending.wait((SessionStarted, ConversationStarted), timeout, "open the session")
            if self.budget is not None:
                self.budget.check_priced(self.state.row)
            if len(update) > 1:
                await self._update(update, min(timeout, _CONFIRM_SECONDS), required=False)
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

    async def _update(self, config: Event, timeout: float, *, required: bool = True) -> None:
        await self._send_update(self._budget_enforcer.amend(config), timeout, required=required)

    async def _send_update(self, config: Event, timeout: float = 30.0, *, required: bool = True) -> None:
        sent = self._flow.emit(Configure(config))
        event_id = getattr(sent, "event_id", "")
        try:
            await self._pending.wait((SessionChanged,), timeout, "confirm the configuration", event_id)
        except ConnectionLost as lost:
            if required or self.problem is not None:
                raise
            self.state.problems.append((len(self.state.log) - 1, f"{lost}; it may not be in effect"))

    def _options(self, options: dict[str, Any]) -> Event:
        update, tools = _session_update(self._model, options)
        if tools is not None:
            self._flow.tools.replace(tools)
        return update

    async def close(self) -> None:
        """Close the connection. Turns in progress fail; the state stays. Closing twice is allowed."""
        if self._connection.closed:
            return
        if self.problem is None:
            self._fail_all(SessionClosed("the session was closed before the turn was done"))
        await self._connection.close()
        await self._flow.close()
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
        """Call ``listener(change, turn number)`` on the session's loop for each change and command.

        They are typed: see ``rtnb.protocol.changes``. Each is folded before the call. A listener must be
        quick and not raise. Returns a function that ends the subscription.
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
        return self._flow.send(content, self._response(options))

    def ask(self, question: Any, *, about: Any = "conversation", **options: Any) -> Turn:
        """Ask about the conversation, or a part of it, without changing it: to classify, to summarise.

        The response is out of band: it reads the items that ``about`` names and the question, and neither
        joins the conversation. ``about`` is as in ``context.item_ids``; [] means none. The answer is in
        text unless ``modalities`` says otherwise. Raises as ``send`` does, and ArgumentError for items that
        are not in the conversation.
        """
        self._check_open()
        self._budget_enforcer.check()
        content = self._parse((question,))
        given = references(item_ids(about, self.state.conversation))
        response = self._response({"modalities": "text", **options, "conversation": "none"})
        item = message(content, self._input_buffer.codec)
        return self._flow.send(content, {**response, "input": [*given, item]})

    async def forget(self, *, before: Turn | int, timeout: float = 15.0) -> Forgotten:
        """Delete the items of all turns before a turn, and return about how many tokens that saves.

        ``before`` is a turn or its number. The turns stay readable here; the model no longer reads them.
        Raises ArgumentError for anything else, ServiceError if the server refuses, ConnectionLost if it does
        not answer.
        """
        self._check_open()
        number = before.number if isinstance(before, Turn) else before
        if isinstance(number, bool) or not isinstance(number, int):
            raise ArgumentError(f"before: expected a turn or its number, got {before!r:.80}")
        conversation = self.state.conversation
        ids = {id for turn in self.turns if 0 <= turn.number < number for id in turn.item_ids}
        items = [conversation.items[id] for id in conversation.order if id in ids]
        deletions = [self._flow.emit(DeleteItem(item.id)) for item in items]
        answers = (
            self._pending.wait((ItemDeleted,), timeout, "delete an item", getattr(deletion, "event_id", ""))
            for deletion in deletions
        )
        await asyncio.gather(*answers)
        return Forgotten.of(items, self.state.row, billed=self.billed)

    async def audio(self) -> AsyncIterator[Clip]:
        """Yield the audio of all answers as it arrives, from now on, until the session ends.

        Each piece is a `Clip`; what a consumer is too slow for waits in memory.
        """
        pieces: asyncio.Queue[Clip | None] = asyncio.Queue()
        partial: dict[str, bytes] = {}
        conversation = self.state.conversation

        def listen(change: Change | Command, number: int) -> None:
            if isinstance(change, AudioDelta):
                id = conversation.output_id(change.response_id, change.item_id)
                codec = conversation.items[id].parts[change.content_index].codec or conversation.output_codec
                data = partial.pop(id, b"") + bytes(change.audio)
                whole = len(data) // codec.width * codec.width
                partial[id] = data[whole:]
                if whole:
                    pieces.put_nowait(Clip.from_wire(data[:whole], codec))

        stop = self.subscribe(listen)
        self._audio_readers.append(pieces)
        try:
            while not self.closed or not pieces.empty():
                piece = await pieces.get()
                if piece is None:
                    return
                yield piece
        finally:
            stop()
            self._audio_readers.remove(pieces)

    def add(self, *things: Any) -> None:
        """Add input to the conversation without requesting a response; it belongs to the next turn."""
        self._check_open()
        self._flow.add(self._parse(things))

    def commit(self, **options: Any) -> Turn:
        """Commit the appended input, request a response, and return its turn: push to talk.

        While another turn is in progress, the input is committed at once, so that later input is separate;
        its answer waits for that turn, and comes before the answers of queued turns.

        Raises ArgumentError if less than 0.1 s was appended, and while earlier committed input waits for its
        answer (wait for its turn or cancel it first); BudgetError if the budget is used up.
        """
        self._check_open()
        self._budget_enforcer.check()
        if self._flow.queue.has_committed_input:
            raise ArgumentError(
                "earlier committed input waits for its answer: wait for that turn or cancel it, then commit"
            )
        self._input_buffer.check_commit()
        return self._flow.commit(self._response(options))

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
        check_json(response, "an option of this response")
        self._flow.tools.add(tools or ())
        return response

    def append(self, audio: Clip | bytes) -> None:
        """Append audio to the input buffer, as a microphone does: a clip, or bytes in the session's format.

        Raises ArgumentError for anything else.
        """
        self._check_open()
        self._flow.emit(self._input_buffer.append(audio))

    def clear(self) -> None:
        """Discard what was appended to the input buffer and not committed."""
        self._check_open()
        self._flow.emit(Clear())

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
        anything that is not an event, and BudgetError for one that asks for a response if the budget is used
        up.
        """
        self._check_open()
        if not isinstance(event, Mapping) or not isinstance(event.get("type"), str):
            raise ArgumentError(f"event: expected a dict with a 'type', got {event!r:.80}")
        event = dict(event)
        check_json(event, "the event")
        if _asks_for_response(event):
            self._budget_enforcer.check()
        return self._connection.emit_event(event)[0]

    # Receiving.

    def _react(self, change: Change, number: int) -> None:
        self._pending.answer(change)
        if isinstance(change, (SessionStarted, SessionChanged, ConversationStarted)):
            if self.state.model:
                self._model = self.state.row
        else:
            self._flow.react(change, number)

    # Ending turns early.

    def cancel_turn(self, turn: Turn) -> None:
        """End a turn early. Runs on the session's loop; see ``Turn.cancel``."""
        self._flow.cancel(turn)

    def interrupt_turn(self, turn: Turn, played: float) -> bool:
        """Stop a turn's answer and truncate it to what was played; see ``truncate_turn``."""
        self._flow.cancel(turn)
        return self._flow.truncate(turn, played)

    def waiting_calls(self, turn: Turn) -> list[Call]:
        """Return the calls of a turn that wait for the caller."""
        return self._flow.tools.waiting(turn)

    def can_run(self, call: Call) -> bool:
        """Return whether a call has a function here, which its approval runs."""
        return self._flow.tools.can_run(call)

    def on_call(self, turn: Turn, verb: str, *args: Any) -> None:
        """Answer, approve or refuse a call of a turn; see ``Turn.answer``. From any thread."""
        self._check_open()
        event_loop.on(self._loop, getattr(self._flow.tools, verb), turn, *args)

    def truncate_turn(self, turn: Turn, played: float) -> bool:
        """Truncate a turn's answer to the ``played`` seconds, without stopping it.

        Items that were played to the end, or are truncated already, stay. Return whether anything was sent.
        """
        return self._flow.truncate(turn, played)

    # The end.

    def _on_lost(self) -> None:
        assert self.problem is not None
        self._fail_all(self.problem)

    def _fail_all(self, why: RtnbError) -> None:
        """Fail all pending requests and turns."""
        for pieces in self._audio_readers:
            pieces.put_nowait(None)
        self._pending.fail(why)
        self._flow.fail_all(why)
        self.signal.fire()


def _asks_for_response(event: Event) -> bool:
    try:
        return any(isinstance(command, Respond) for command in read(event, "client"))
    except Unreadable:
        return False


def _session_update(model: models.Model, options: dict[str, Any]) -> tuple[Event, list[Tool] | None]:
    """Return the session for a ``session.update``, and the tools if they were given."""
    given = options.pop("tools", None)
    check_names(options, config.session_options)
    tools = None if given is None else tools_of(given)
    wire = None if tools is None else [tool.wire for tool in tools]
    update = config.session_options(model, tools=wire, **options)
    check_json(update, "an option of the session")
    return update, tools
