"""The async core: one owner of everything that is open.

=====================  ==========================  ==========================================
what                   opened by                   closed by
=====================  ==========================  ==========================================
the transport          the caller, given to open   ``close``, or the other side
reader and writer      ``open`` (see ``Line``)     ``close``, or the end of the connection
tasks that run tools   a response that calls them  the end of their turn, or ``close``
the record             ``__init__``                nobody: it outlives the session
=====================  ==========================  ==========================================

Turns go one after another: while one runs, later ones wait in a queue, since the protocol allows one response
at a time. All state changes on one event loop; other threads go through ``call_soon``.
"""

from __future__ import annotations

import asyncio
import threading
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..audio import Clip, Codec
from ..errors import ArgumentError, RemoteProtocolError, RtnbError, SessionClosed
from ..transports.base import Transport
from ..views.turn import service_error
from ..wire import models
from ..wire.conversation import UNHEARD
from ..wire.events import Event
from ..wire.record import Record
from . import config
from .answers import Answers
from .contents import Content, contents
from .line import Explain, Line, Listener
from .messages import encoded, grouped, message
from .signal import Signal
from .toolbox import Toolbox
from .tools import Tool
from .turn import Turn

__all__ = ["AsyncSession"]

_CHUNK_SECONDS = 1.0
"""Sound per append when a whole clip is sent: far below the limit of 15 MiB, and still few frames."""

_LEAST_SECONDS = 0.1
"""The least sound that can be committed (API reference)."""

_TRANSCRIPT_SECONDS = 3.0
"""How long a turn that is over waits for the transcript of its input; some services never send it."""

_TOOL_ROUNDS = 8
"""How often the model may call tools within one turn before the turn is ended."""


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
        self.turns: list[Turn] = []
        self._line = Line(transport, react=self._react, ended=self._lost, explain=explain)
        self._model = models.find(model)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._promises: dict[int, Turn] = {}
        self._waiting: deque[tuple[Turn, list[Content], Event]] = deque()
        self._current: Turn | None = None
        self._buffered = 0  # bytes appended and neither committed nor cleared
        self._inputs: dict[str, Turn] = {}  # event ids of what brings a turn's input, until the turn is over
        self._tools = Toolbox()
        self._tool_tasks: dict[Turn, asyncio.Task[None]] = {}
        self._rounds: dict[Turn, int] = {}
        self._answers = Answers()

    @property
    def record(self) -> Record:
        """The log and all that is folded from it. It outlives the session."""
        return self._line.record

    @property
    def signal(self) -> Signal:
        """Fires at every frame, and when a turn ends."""
        return self._line.signal

    @property
    def problem(self) -> RtnbError | None:
        """Why the connection ended, where it was not ``close``."""
        return self._line.problem

    # Opening and closing.

    @staticmethod
    def check(model: str, options: Mapping[str, Any]) -> None:
        """Raise ArgumentError for options that the model's row or the protocol does not allow."""
        _prepared(models.find(model), dict(options))

    async def open(self, options: Mapping[str, Any] | None = None, *, timeout: float = 30.0) -> AsyncSession:
        """Wait for the server's first frame and configure the session; return it.

        ``options`` are the keywords of ``config.session_options``, and ``tools`` may be functions. Raises
        ArgumentError before anything is sent, AuthError, ServiceError or ConnectionLost as the server says.
        """
        try:
            update = self._options(dict(options or {}))
            self._line.start()
            await self._answers.wait("session.created", timeout)
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
        sent = self.send_event({"type": "session.update", "session": session})
        await self._answers.wait("session.updated", timeout, sent["event_id"])

    def _options(self, options: dict[str, Any]) -> Event:
        update, tools = _prepared(self._model, options)
        if tools is not None:
            self._tools.replace(tools)
        return update

    async def close(self) -> None:
        """Hang up. Turns that are not over fail; the record stays. Closing twice is allowed."""
        if self._line.closed:
            return
        if self.problem is None:
            self._end(SessionClosed("the session was closed before the turn was over"))
        await self._line.close()
        for task in self._tool_tasks.values():
            task.cancel()
        await asyncio.gather(*self._tool_tasks.values(), return_exceptions=True)

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        """Whether the session is over, by ``close`` or by the other side."""
        return self._line.closed or self.problem is not None

    def _usable(self) -> None:
        if self.problem is not None:
            raise SessionClosed(f"the session is over: {self.problem}. Connect again to go on")
        if self._line.closed:
            raise SessionClosed("the session was closed. Connect again to go on")

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
        return self._line.subscribe(listener)

    # Sending.

    def send(self, *things: Any, **options: Any) -> Turn:
        """Send one turn and return its promise at once.

        ``things`` as in ``contents``; ``options`` are those of ``config.response_options``, for this
        response only. Raises ArgumentError for what cannot be sent, before anything is.
        """
        self._usable()
        given = self._given(things)
        response = self._response(options)
        turn = Turn(self, given)
        self.turns.append(turn)
        if response.get("conversation") == "none":
            self._ask(turn, {**response, "input": [message(given, self._codec)]})
        else:
            self._waiting.append((turn, given, response))
            self._next()
        return turn

    def add(self, *things: Any) -> None:
        """Add input to the conversation and ask for no response; it belongs to the turn that comes next."""
        self._usable()
        self._add(self._given(things))

    def commit(self, **options: Any) -> Turn:
        """End the input that was appended, ask for a response, and return its turn. Push to talk.

        Raises ArgumentError while a turn runs (wait for it or cancel it first), and where less than 0.1 s
        was appended.
        """
        self._usable()
        if self._current is not None:
            raise ArgumentError("a turn runs: wait for it or cancel it, then commit")
        seconds = self._buffered / self._codec.bytes_per_second
        if seconds < _LEAST_SECONDS:
            raise ArgumentError(
                f"only {seconds:.2f} s were appended: a commit needs {_LEAST_SECONDS} s or more"
            )
        response = self._response(options)
        turn = Turn(self)
        self.turns.append(turn)
        self._current = turn
        self._emit({"type": "input_audio_buffer.commit"}, turn)
        self._ask(turn, response)
        return turn

    def _given(self, things: Iterable[Any]) -> list[Content]:
        given = contents(things, self._model)
        for part in given:
            if isinstance(part, Clip) and part.seconds < _LEAST_SECONDS:
                raise ArgumentError(
                    f"a clip to send lasts {_LEAST_SECONDS} s or more, not {part.seconds:.3f} s"
                )
        return given

    def _response(self, options: dict[str, Any]) -> Event:
        """Return the ``response`` of a ``response.create``; its tools can be run from now on."""
        given = options.pop("tools", None)
        config.check_names(options, config.response_options)
        made = None if given is None else [Tool.of(tool) for tool in given]
        wire = None if made is None else [tool.wire for tool in made]
        response = config.response_options(self._model, tools=wire, **options)
        self._tools.add(made or ())
        return response

    def _next(self) -> None:
        """Send the next turn if none runs."""
        while self._waiting and self._current is None and not self.closed:
            turn, given, response = self._waiting.popleft()
            if not turn.done:
                self._current = turn
                self._add(given, turn)
                self._ask(turn, response)

    def _add(self, given: list[Content], turn: Turn | None = None) -> None:
        for part in grouped(given):
            if isinstance(part, Clip):
                self._send_clip(part, turn)
            else:
                self._create(part, turn)

    def _create(self, parts: Iterable[Content], turn: Turn | None) -> None:
        item = {"id": self._line.ids("item"), **message(parts, self._codec)}
        self._emit({"type": "conversation.item.create", "item": item}, turn)

    @property
    def _codec(self) -> Codec:
        return self.record.conversation.input_codec

    def _ask(self, turn: Turn, response: Event) -> None:
        self._emit({"type": "response.create", **({"response": response} if response else {})}, turn)

    def _send_clip(self, clip: Clip, turn: Turn | None) -> None:
        """Send a whole utterance. Where the server detects turns it goes as an item, past the detector."""
        if self.record.conversation.turn_detection is not None:
            self._create([clip], turn)
            return
        data = encoded(clip, self._codec)
        size = int(self._codec.bytes_per_second * _CHUNK_SECONDS)
        for start in range(0, len(data), size):
            self._append(data[start : start + size], turn)
        self._emit({"type": "input_audio_buffer.commit"}, turn)

    def _append(self, data: bytes, turn: Turn | None = None) -> None:
        self._emit({"type": "input_audio_buffer.append", "audio": b64encode(data).decode()}, turn)

    def append(self, sound: Clip | bytes) -> None:
        """Add sound to the input buffer, as a microphone does: a clip, or bytes in the session's format.

        Raises ArgumentError for anything else.
        """
        self._usable()
        if isinstance(sound, Clip):
            self._append(encoded(sound, self._codec))
        elif isinstance(sound, (bytes, bytearray, memoryview)):
            self._append(bytes(sound))
        else:
            raise ArgumentError(f"append takes a Clip or bytes, not {type(sound).__name__}")

    async def speak(self, sound: Any, *, speed: float = 1.0, chunk: float = 0.04) -> None:
        """Stream sound into the input buffer as a microphone would: in ``chunk`` seconds, paced.

        ``sound`` is whatever ``Clip.of`` takes. ``speed`` 2 is twice as fast as a person. The server's turn
        detection decides what a turn is; without it ArgumentError is raised.
        """
        self._usable()
        clip = Clip.of(sound)
        if not (isinstance(speed, (int, float)) and speed > 0 and chunk > 0):
            raise ArgumentError(f"speed and chunk are numbers above 0, not {speed!r} and {chunk!r}")
        if self.record.conversation.turn_detection is None:
            raise ArgumentError(
                "nothing would find the turns in it: connect or update with turn_detection='server_vad', "
                "or send the clip as a turn of its own with send"
            )
        codec = self._codec
        data = encoded(clip, codec)
        size = max(1, int(codec.rate * chunk)) * codec.width
        began = self._loop.time()
        for start in range(0, len(data), size):
            self.append(data[start : start + size])
            due = began + (start + size) / codec.bytes_per_second / speed
            await asyncio.sleep(max(0.0, due - self._loop.time()))

    def send_event(self, event: Event) -> Event:
        """Send one raw event as it is and return it; an ``event_id`` is added where it has none.

        For what the session has no verb for. It is logged like all others. Raises ArgumentError for what is
        no event.
        """
        self._usable()
        if not isinstance(event, Mapping) or not isinstance(event.get("type"), str):
            raise ArgumentError(f"an event is a dict with a 'type', not {event!r:.80}")
        return self._emit(dict(event))

    def _emit(self, event: Event, turn: Turn | None = None) -> Event:
        number = self._line.emit(event)
        kind = event["type"]
        if kind == "input_audio_buffer.append":
            self._buffered += len(str(event.get("audio"))) * 3 // 4
        elif kind in ("input_audio_buffer.commit", "input_audio_buffer.clear"):
            self._buffered = 0
        if turn is not None:
            if turn.number < 0 <= number:
                turn.begin(self.record.turns.all[number])
                self._promises[number] = turn
            if kind in ("input_audio_buffer.commit", "conversation.item.create"):
                self._inputs[event["event_id"]] = turn
        return event

    # Receiving.

    def _react(self, event: Event, number: int) -> None:
        reaction = _REACTIONS.get(event["type"])
        if reaction is not None:
            reaction(self, event, number)

    def _on_session(self, event: Event, number: int) -> None:
        if self.record.model:
            self._model = self.record.row
        self._answers.answer(event)

    def _on_speech_started(self, event: Event, number: int) -> None:
        if number >= 0:
            self._promise(number)

    def _on_committed(self, event: Event, number: int) -> None:
        if self.record.conversation.turn_detection is not None:
            self._buffered = 0

    def _on_response_created(self, event: Event, number: int) -> None:
        if number < 0:
            return
        turn = self._promise(number)
        if not self.record.turns.all[number].aside:
            self._current = turn
        if turn.unwanted:
            self._emit({"type": "response.cancel", "response_id": event["response"]["id"]})

    def _promise(self, number: int) -> Turn:
        """Return the promise of a turn; one that the server opened gets its promise here."""
        turn = self._promises.get(number)
        if turn is None:
            turn = self._promises[number] = Turn(self)
            turn.begin(self.record.turns.all[number])
            self.turns.append(turn)
        return turn

    def _on_error(self, event: Event, number: int) -> None:
        wire = event.get("error")
        error = service_error(wire if isinstance(wire, dict) else {"message": str(wire)})
        culprit = wire.get("event_id") if isinstance(wire, dict) else None
        if self._answers.refuse(culprit, error):
            return
        turn = self._inputs.get(culprit or "")
        if turn is not None:  # an answer without its input would answer something else
            turn.refused = error
            self.cancel_turn(turn)
        turn = turn or self._promises.get(number)
        if turn is not None and not self.record.turns.all[turn.number].active:
            self._finish(turn)

    def _on_response_done(self, event: Event, number: int) -> None:
        if number < 0:
            return
        turn, fold = self._promise(number), self.record.turns.all[number]
        if fold.active:
            return
        pending = [call for call in turn.calls if call.output is None]
        done = fold.responses[-1].status == "completed" and not turn.unwanted
        if done and pending and self._tools.runs(pending):
            self._tool_tasks[turn] = asyncio.ensure_future(self._run_tools(turn))
            return
        if turn.untranscribed:  # its words may still be on their way, and may never come
            self._loop.call_later(_TRANSCRIPT_SECONDS, self._finish, turn)
        else:
            self._finish(turn)

    def _on_transcribed(self, event: Event, number: int) -> None:
        turn = self._promises.get(number)
        if turn is None or turn.done or turn.untranscribed:
            return
        fold = self.record.turns.all[number]
        if fold.responses and not fold.active and turn not in self._tool_tasks:
            self._finish(turn)

    def _finish(self, turn: Turn, failure: RtnbError | None = None) -> None:
        if not turn.done:
            turn.settle(failure or turn.refused)
            self._ended(turn)

    def _ended(self, turn: Turn) -> None:
        self._rounds.pop(turn, None)
        self._inputs = {id: other for id, other in self._inputs.items() if other is not turn}
        if self._current is turn:
            self._current = None
        self.signal.fire()
        self._next()

    # Tools.

    async def _run_tools(self, turn: Turn) -> None:
        """Run all calls of a turn at once, send all outputs, then ask for exactly one new response."""
        self._rounds[turn] = self._rounds.get(turn, 0) + 1
        pending = [call for call in turn.calls if call.output is None]
        outputs = await self._tools.run(pending)
        if self.closed or turn.done:
            return
        for call, output in zip(pending, outputs, strict=True):
            item = {
                "id": self._line.ids("item"),
                "type": "function_call_output",
                "call_id": call.id,
                "output": output,
            }
            self._emit({"type": "conversation.item.create", "item": item}, turn)
        self._tool_tasks.pop(turn, None)
        if self._rounds[turn] >= _TOOL_ROUNDS:
            self._finish(
                turn, RemoteProtocolError(f"the model called tools {_TOOL_ROUNDS} times in one turn")
            )
            return
        self._ask(turn, {})

    # Ending turns early.

    def cancel_turn(self, turn: Turn) -> None:
        """End a turn early. Runs on the session's loop; see ``Turn.cancel``."""
        if turn.done or self.closed:
            return
        if turn.queued:
            turn.settle(dropped=True)
            self.signal.fire()
            return
        turn.unwanted = True
        task = self._tool_tasks.pop(turn, None)
        if task is not None:
            task.cancel()
            turn.settle(dropped=True)
            self._ended(turn)
            return
        running = [r for r in self.record.turns.all[turn.number].responses if r.status == "in_progress"]
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
        cut = False
        left = heard * 1000
        for item in turn.items:
            spoken = any(part.kind == "audio" for part in item.parts)
            if item.type != "message" or not spoken:
                continue
            if (left < item.audio_ms or left <= 0) and item.heard_ms is None:
                self._cut(item.id, int(max(0.0, left)))
                cut = True
            left -= item.audio_ms
        return cut

    def _cut(self, item_id: str, heard_ms: int) -> None:
        if heard_ms <= 0:  # nothing was heard: there is nothing to truncate to
            event_id = self._line.ids(UNHEARD)
            self._emit({"type": "conversation.item.delete", "event_id": event_id, "item_id": item_id})
            return
        self._emit(
            {
                "type": "conversation.item.truncate",
                "item_id": item_id,
                "content_index": 0,
                "audio_end_ms": heard_ms,
            }
        )

    # The end.

    def _lost(self) -> None:
        assert self.problem is not None
        self._end(self.problem)

    def _end(self, why: RtnbError) -> None:
        """Fail everything that still waits."""
        self._answers.fail(why)
        for turn in self.turns:
            turn.settle(why)
        self._current = None
        self._waiting.clear()
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
    config.check_names(options, config.session_options)
    tools = None if given is None else [Tool.of(tool) for tool in given]
    wire = None if tools is None else [tool.wire for tool in tools]
    return config.session_options(model, tools=wire, **options), tools
