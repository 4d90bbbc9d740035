"""The async core: one owner of everything that is open.

=====================  ==========================  ==========================================
what                   opened by                   closed by
=====================  ==========================  ==========================================
the transport          the caller, given to open   ``close``, or the reader when it ends
the reader task        ``open``                    ``close``, or the end of the connection
tasks that run tools   the reader                  the end of their turn, or ``close``
the record             ``__init__``                nobody: it outlives the session
=====================  ==========================  ==========================================

Turns go one after another: while one runs, later ones wait in a queue, since the protocol allows one response
at a time. All state changes on one event loop; other threads go through ``call_soon``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from ..audio import Clip
from ..errors import (
    ArgumentError,
    AuthError,
    ConnectionLost,
    RemoteProtocolError,
    RtnbError,
    ServiceError,
    SessionClosed,
)
from ..transports.base import Transport
from ..views.turn import TOOL_ERROR
from ..wire import models
from ..wire.events import Event
from ..wire.ids import ClientIds
from ..wire.record import Record
from . import config
from .contents import Content, Picture, contents
from .signal import Signal
from .tools import Tool
from .turn import Turn

__all__ = ["AsyncSession"]

_log = logging.getLogger("rtnb")

_CHUNK_SECONDS = 1.0
"""Sound per append when a whole clip is sent: far below the limit of 15 MiB, and still few frames."""

_TRANSCRIPT_SECONDS = 3.0
"""How long a turn that is over waits for the transcript of its input; some services never send it."""

_TOOL_ROUNDS = 8
"""How often the model may call tools within one turn before the turn is ended."""

Listener = Callable[[Event, int], None]


class AsyncSession:
    """A realtime session on the running event loop. ``rtnb.connect`` gives the blocking face of it."""

    def __init__(
        self, transport: Transport, *, model: str = models.SEED, billed: bool = True, engine: str = ""
    ) -> None:
        self.record = Record()
        self.signal = Signal()
        self.billed = billed
        self.engine = engine
        """The embedded engine at the other end, such as "local"; "" for any other server."""
        self.turns: list[Turn] = []
        self.problem: RtnbError | None = None
        """Why the connection ended, where it was not ``close``."""
        self._transport = transport
        self._model = models.find(model)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._ids = ClientIds()
        self._promises: dict[int, Turn] = {}
        self._waiting: deque[tuple[Turn, list[Content], Event]] = deque()
        self._current: Turn | None = None
        self._tools: dict[str, Tool] = {}
        self._tool_tasks: dict[Turn, asyncio.Task[None]] = {}
        self._rounds: dict[Turn, int] = {}
        self._answers: dict[str, asyncio.Future[Event]] = {}  # what we asked for → the server's answer
        self._listeners: list[Listener] = []
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

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
            self._tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write())]
            await self._answered("session.created", timeout)
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
        await self._answered("session.updated", timeout, sent["event_id"])

    def _options(self, options: dict[str, Any]) -> Event:
        update, tools = _prepared(self._model, options)
        if tools is not None:
            self._tools = tools
        return update

    async def close(self) -> None:
        """Hang up. Turns that are not over fail; the record stays. Closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        self._end(SessionClosed("the session was closed before the turn was over"))
        await self._transport.close()
        for task in [*self._tasks, *self._tool_tasks.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._tool_tasks.values(), return_exceptions=True)

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        """Whether the session is over, by ``close`` or by the other side."""
        return self._closed or self.problem is not None

    def _usable(self) -> None:
        if self.problem is not None:
            raise SessionClosed(f"the session is over: {self.problem}. Connect again to go on")
        if self._closed:
            raise SessionClosed("the session was closed. Connect again to go on")

    # Other threads.

    @property
    def on_loop(self) -> bool:
        """Whether the calling thread is the one that runs the session's loop."""
        return threading.get_ident() == self._thread

    def call_soon(self, function: Callable[..., None], *args: Any) -> None:
        """Run ``function`` on the session's loop, soon, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, turn number)`` on the session's loop for each frame; return the end of it.

        Frames of both directions come, each after it was folded. A listener must be quick and not raise.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # Sending.

    def send(
        self,
        *things: Any,
        tools: Iterable[Any] | None = None,
        **options: Any,
    ) -> Turn:
        """Send one turn and return its promise at once.

        ``things`` as in ``contents``; ``options`` are those of ``config.response_options``, for this
        response only.
        """
        self._usable()
        given = contents(things, self._model)
        if tools is not None:
            made = [Tool.of(tool) for tool in tools]
            options["tools"] = [tool.wire for tool in made]
        response = config.response_options(self._model, **options)
        if tools is not None:
            self._tools.update({tool.name: tool for tool in made})
        turn = Turn(self, given)
        self.turns.append(turn)
        if response.get("conversation") == "none":
            self._send_aside(turn, given, response)
        else:
            self._waiting.append((turn, given, response))
            self._next()
        return turn

    def add(self, *things: Any) -> None:
        """Add input to the conversation and ask for no response; it belongs to the turn that comes next."""
        self._usable()
        self._add(contents(things, self._model))

    def commit(self, **options: Any) -> Turn:
        """End the input that was appended, ask for a response, and return its turn. Push to talk.

        Raises ArgumentError while a turn runs: wait for it or cancel it first.
        """
        self._usable()
        if self._current is not None:
            raise ArgumentError("a turn runs: wait for it or cancel it, then commit")
        turn = Turn(self)
        self._emit({"type": "input_audio_buffer.commit"}, turn)
        self.turns.append(turn)
        self._current = turn
        self._ask(turn, config.response_options(self._model, **options))
        return turn

    def _next(self) -> None:
        """Send the next turn if none runs."""
        while self._waiting and self._current is None and not self.closed:
            turn, given, response = self._waiting.popleft()
            if not turn.done:
                self._current = turn
                self._add(given, turn)
                self._ask(turn, response)

    def _add(self, given: list[Content], turn: Turn | None = None) -> None:
        for part in self._grouped(given):
            if isinstance(part, Clip):
                self._send_clip(part, turn)
            else:
                self._emit({"type": "conversation.item.create", "item": self._message(part)}, turn)

    def _send_aside(self, turn: Turn, given: list[Content], response: Event) -> None:
        content = [self._content(part) for part in given]
        message = {"type": "message", "role": "user", "content": content}
        self._ask(turn, {**response, "input": [message]})

    def _ask(self, turn: Turn, response: Event) -> None:
        self._emit({"type": "response.create", **({"response": response} if response else {})}, turn)

    @staticmethod
    def _grouped(given: list[Content]) -> list[Clip | list[str | Picture]]:
        """Put texts and pictures that stand together into one message; a clip stands alone."""
        groups: list[Clip | list[str | Picture]] = []
        for part in given:
            if isinstance(part, Clip):
                groups.append(part)
            elif groups and isinstance(groups[-1], list):
                groups[-1].append(part)
            else:
                groups.append([part])
        return groups

    def _message(self, parts: Iterable[Content]) -> Event:
        return {
            "id": self._ids("item"),
            "type": "message",
            "role": "user",
            "content": [self._content(part) for part in parts],
        }

    def _content(self, part: Content) -> Event:
        if isinstance(part, str):
            return {"type": "input_text", "text": part}
        if isinstance(part, Picture):
            return {"type": "input_image", "image_url": part.url}
        return {"type": "input_audio", "audio": b64encode(self._encoded(part)).decode()}

    def _encoded(self, clip: Clip) -> bytes:
        codec = self.record.conversation.input_codec
        return codec.encode(clip.resample(codec.rate).samples)

    def _send_clip(self, clip: Clip, turn: Turn | None) -> None:
        """Send a whole utterance. Where the server detects turns it goes as an item, past the detector."""
        if self.record.conversation.turn_detection is not None:
            self._emit({"type": "conversation.item.create", "item": self._message([clip])}, turn)
            return
        data = self._encoded(clip)
        size = int(self.record.conversation.input_codec.bytes_per_second * _CHUNK_SECONDS)
        for start in range(0, len(data), size):
            self._append(data[start : start + size], turn)
        self._emit({"type": "input_audio_buffer.commit"}, turn)

    def _append(self, data: bytes, turn: Turn | None = None) -> None:
        self._emit({"type": "input_audio_buffer.append", "audio": b64encode(data).decode()}, turn)

    def append(self, sound: Clip | bytes) -> None:
        """Add sound to the input buffer, as a microphone does: a clip, or bytes in the session's format."""
        self._usable()
        self._append(self._encoded(sound) if isinstance(sound, Clip) else bytes(sound))

    async def speak(self, clip: Clip, *, speed: float = 1.0, chunk: float = 0.04) -> None:
        """Stream a clip into the input buffer as a microphone would: in ``chunk`` seconds, paced.

        ``speed`` 2 is twice as fast as a person. The server's turn detection decides what a turn is.
        """
        if speed <= 0 or chunk <= 0:
            raise ArgumentError("speed and chunk are above 0")
        data = self._encoded(clip)
        codec = self.record.conversation.input_codec
        size = max(1, int(codec.rate * chunk)) * codec.width
        began = self._loop.time()
        for start in range(0, len(data), size):
            self.append(data[start : start + size])
            due = began + (start + size) / codec.bytes_per_second / speed
            await asyncio.sleep(max(0.0, due - self._loop.time()))

    def send_event(self, event: Event) -> Event:
        """Send one raw event as it is and return it; an ``event_id`` is added where it has none.

        For what the session has no verb for. It is logged like all others.
        """
        self._usable()
        if not isinstance(event.get("type"), str):
            raise ArgumentError("an event is a dict with a 'type'")
        return self._emit(dict(event))

    def _emit(self, event: Event, turn: Turn | None = None) -> Event:
        if event["type"] != "input_audio_buffer.append":
            event.setdefault("event_id", self._ids("event"))
        frame = orjson.dumps(event)
        number = self._keep(frame, "client", event)[1]
        if turn is not None and turn.number < 0 and number >= 0:
            turn.begin(self.record.turns.all[number])
            self._promises[number] = turn
        self._outbox.put_nowait(frame)
        return event

    async def _write(self) -> None:
        while True:
            frame = await self._outbox.get()
            try:
                await self._transport.send(frame)
            except ConnectionLost:
                return  # the reader hears of it too, with the server's last words

    # Receiving.

    async def _read(self) -> None:
        try:
            while True:
                frame = await self._transport.recv()
                event, number = self._keep(frame, "server")
                if event is not None:
                    self._react(event, number)
        except ConnectionLost as lost:
            if not self._closed:
                self.problem = self._explained(lost)
                self._end(self.problem)

    def _keep(self, frame: bytes, direction: Any, event: Event | None = None) -> tuple[Event | None, int]:
        event, number = self.record.append(
            frame, direction, mono_ns=time.monotonic_ns(), wall_ns=time.time_ns(), event=event
        )
        if event is not None:
            for listener in tuple(self._listeners):
                try:
                    listener(event, number)
                except Exception:
                    _log.exception("a listener of the session failed")
        self.signal.fire()
        return event, number

    def _react(self, event: Event, number: int) -> None:
        reaction = _REACTIONS.get(event["type"])
        if reaction is not None:
            reaction(self, event, number)

    def _on_session(self, event: Event, number: int) -> None:
        self._model = models.find(self.record.model or self._model.id)
        self._answer(event["type"], event)

    def _on_speech_started(self, event: Event, number: int) -> None:
        if number >= 0:
            self._promise(number)

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
        error = event["error"]
        culprit = error.get("event_id")
        failed = ServiceError(
            error.get("message") or "the service gave no reason",
            type=error.get("type"),
            code=error.get("code"),
            param=error.get("param"),
        )
        if culprit is not None and culprit in self._answers:
            self._answers.pop(culprit).set_exception(failed)
            return
        turn = self._promises.get(number)
        if turn is not None and not self.record.turns.all[number].active:
            self._finish(turn)

    def _on_response_done(self, event: Event, number: int) -> None:
        if number < 0:
            return
        turn, fold = self._promise(number), self.record.turns.all[number]
        if fold.active:
            return
        pending = [call for call in turn.calls if call.output is None]
        if fold.responses[-1].status == "completed" and pending and not turn.unwanted:
            runnable = [call for call in pending if self._tool(call.name) is not None]
            if len(runnable) == len(pending):
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
        if turn.done:
            return
        turn.settle(failure)
        self._ended(turn)

    def _ended(self, turn: Turn) -> None:
        self._rounds.pop(turn, None)
        if self._current is turn:
            self._current = None
        self.signal.fire()
        self._next()

    # Tools.

    def _tool(self, name: str) -> Tool | None:
        """Return the tool that answers a call; None where the caller wants to answer it."""
        known = self._tools.get(name)
        if known is None:  # the model made the name up, and must hear so
            return Tool(name, "", {}, _no_such_tool(name, self._tools)) if self._tools else None
        return known if known.function is not None else None

    async def _run_tools(self, turn: Turn) -> None:
        """Run all calls of a turn at once, send all outputs, then ask for exactly one new response."""
        self._rounds[turn] = self._rounds.get(turn, 0) + 1
        pending = [call for call in turn.calls if call.output is None]
        outputs = await asyncio.gather(*(self._run(call.name, call.arguments) for call in pending))
        if self.closed or turn.done:
            return
        for call, output in zip(pending, outputs, strict=True):
            item = {
                "id": self._ids("item"),
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

    async def _run(self, name: str, arguments: str) -> str:
        tool = self._tool(name)
        assert tool is not None
        try:
            return await tool.run(arguments)
        except Exception as error:
            _log.warning("the tool %s failed: %s: %s", name, type(error).__name__, error)
            return f"{TOOL_ERROR}{type(error).__name__}: {error}"

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

    def interrupt_turn(self, turn: Turn, heard: float) -> None:
        """Stop a turn's answer and cut it to what was heard. See ``Turn.interrupt``."""
        if self.closed or turn.number < 0:
            return
        self.cancel_turn(turn)
        left = heard * 1000
        for item in turn.items:
            if item.type != "message" or not item.audio_ms:
                continue
            if left < item.audio_ms and item.heard_ms is None:
                self._cut(item.id, int(max(0.0, left)))
            left -= item.audio_ms

    def _cut(self, item_id: str, heard_ms: int) -> None:
        if heard_ms <= 0:  # nothing was heard: there is nothing to truncate to
            self._emit({"type": "conversation.item.delete", "item_id": item_id})
            return
        self._emit(
            {
                "type": "conversation.item.truncate",
                "item_id": item_id,
                "content_index": 0,
                "audio_end_ms": heard_ms,
            }
        )

    # Answers that somebody waits for.

    async def _answered(self, kind: str, timeout: float, event_id: str | None = None) -> Event:
        future: asyncio.Future[Event] = self._loop.create_future()
        self._answers[kind] = future
        if event_id is not None:
            self._answers[event_id] = future
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise ConnectionLost(f"the server sent no {kind} within {timeout:g} s") from None
        finally:
            self._answers.pop(kind, None)
            self._answers.pop(event_id or "", None)

    def _answer(self, kind: str, event: Event) -> None:
        future = self._answers.get(kind)
        if future is not None and not future.done():
            future.set_result(event)

    # The end.

    def _end(self, why: RtnbError) -> None:
        """Fail everything that still waits."""
        for future in set(self._answers.values()):
            if not future.done():
                future.set_exception(why)
        for turn in self.turns:
            turn.settle(why)
        self._current = None
        self._waiting.clear()
        self.signal.fire()

    def _explained(self, lost: ConnectionLost) -> RtnbError:
        """Make one sentence of a close and the error that came before it."""
        errors = self.record.log.filter("error", direction="server")
        last = (errors[-1].data.get("error") or {}) if len(errors) else {}
        code = lost.reason.rpartition(".")[2] or last.get("code")
        said = f": {last['message']}" if last.get("message") and lost.code in (3000, 4000) else ""
        if lost.code == 3000:
            return AuthError(f"the service refused the key ({code or 'invalid_api_key'}){said}")
        if code == "beta_api_shape_disabled":
            return ServiceError(
                "this service no longer speaks the beta protocol: connect without the OpenAI-Beta header",
                code=code,
            )
        if lost.code == 4000:
            return ServiceError(f"the service ended the session ({code}){said}", code=code)
        if lost.code == 1001 and "maximum duration" in lost.reason:
            return ConnectionLost(f"{lost.reason} Connect again to go on", code=1001, reason=lost.reason)
        return lost


_REACTIONS: dict[str, Callable[[AsyncSession, Event, int], None]] = {
    "session.created": AsyncSession._on_session,
    "session.updated": AsyncSession._on_session,
    "error": AsyncSession._on_error,
    "conversation.item.input_audio_transcription.completed": AsyncSession._on_transcribed,
    "conversation.item.input_audio_transcription.failed": AsyncSession._on_transcribed,
    "input_audio_buffer.speech_started": AsyncSession._on_speech_started,
    "response.created": AsyncSession._on_response_created,
    "response.done": AsyncSession._on_response_done,
}


def _prepared(model: models.Model, options: dict[str, Any]) -> tuple[Event, dict[str, Tool] | None]:
    """Return the session for a ``session.update``, and the tools where they were given."""
    given = options.pop("tools", None)
    if given is None:
        return config.session_options(model, **options), None
    tools = [Tool.of(tool) for tool in given]
    update = config.session_options(model, tools=[tool.wire for tool in tools], **options)
    return update, {tool.name: tool for tool in tools}


def _no_such_tool(name: str, tools: Mapping[str, Tool]) -> Callable[..., Any]:
    def refuse(**_: Any) -> Any:
        raise ArgumentError(f"there is no tool {name!r}; there is {', '.join(tools)}")

    return refuse
