"""One connection of the local protocol server: it takes a client's commands and sends changes.

A frame is checked against the dialect of the connection and then read into a command; changes are written in
that dialect. The conversation is the same fold of the same frames as on the client, so both sides agree. What
only the server knows of an item is in :class:`rtnb.server.prompt.ItemExtras`.

What :meth:`ServerSession.run` closes when the connection ends:

======================  ==============================================================
the transport           closed at the end of ``run``
the engine's threads    leased from ``workers``; the last session to return ends them
the sending task        cancelled, once the queued frames are sent
responses               abandoned: the model stops within a token
transcription tasks     cancelled
the engine              stays open: the caller closes it
======================  ==============================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from ..engines.base import Engine
from ..errors import ConnectionLost, RemoteProtocolError
from ..protocol.changes import (
    AddItem,
    AppendAudio,
    Cancel,
    Clear,
    ClearOutput,
    Command,
    Commit,
    Configure,
    DeleteItem,
    Failed,
    Respond,
    RetrieveItem,
    SessionChanged,
    SessionStarted,
    Truncate,
)
from ..protocol.dialects import BETA, GA, Dialect, Unreadable, read
from ..protocol.dialects.client_schema import LONGEST_EVENT_ID
from ..protocol.events import Event, server_id
from ..protocol.models import SEED, find
from ..transports.base import Transport
from .audio_input import AudioInput
from .conversation import ConversationItems
from .generation import SpeculativeResponse
from .responses import Responses
from .schema import CLIENT_EVENTS, defaults, plan_response, reported, update
from .session_context import SessionContext, send_transcript
from .usage_meter import TokenWindow, tokens_per_minute
from .validation import InvalidRequest, check_event
from .workers import Workers, lease

__all__ = ["CAP_SECONDS", "ServerSession", "serve"]

_log = logging.getLogger(__name__)

CAP_SECONDS = 3_600
"""How long a session may last (Realtime API guide: 60 minutes)."""

_CAP_REASON = "Your session hit the maximum duration of 60 minutes."
_FLUSH_SECONDS = 5.0


async def serve(
    transport: Transport,
    engine: Engine,
    *,
    model: str = SEED,
    limits: TokenWindow | None = None,
    cap_seconds: float = CAP_SECONDS,
    dialect: Dialect = GA,
) -> None:
    """Serve one client over ``transport`` until either side closes it; the engine stays open.

    ``model`` is the model that the session reports and whose limits apply; ``limits`` is a window to share
    between sessions; ``dialect`` is what the client speaks. Invalid client events are answered with errors.
    """
    with lease(engine) as workers:
        window = limits or TokenWindow(tokens_per_minute(model))
        await ServerSession(transport, engine, workers, model, window, cap_seconds, dialect).run()


class ServerSession:
    """One session. Its handlers run one at a time, in the order of the client's commands."""

    def __init__(
        self,
        transport: Transport,
        engine: Engine,
        workers: Workers,
        model: str,
        limits: TokenWindow,
        cap_seconds: float,
        dialect: Dialect = GA,
    ) -> None:
        self._transport = transport
        self._cap_seconds = cap_seconds
        self._schemas = CLIENT_EVENTS[dialect.name]
        expires_at = int(time.time() + cap_seconds)
        session = defaults(server_id("sess"), model, expires_at, beta=dialect is BETA)
        self.context = SessionContext(engine, workers, session, limits, dialect)
        self.responses = Responses(self.context)
        self.items = ConversationItems(self.context, model=model, images=bool(find(model).supports("image")))
        self.input = AudioInput(self.context, on_speech=self._on_speech, on_item=self._on_item)
        self._tasks: set[asyncio.Task[None]] = set()
        self._handlers: dict[type, Callable[[Any], Coroutine[Any, Any, None] | None]] = {
            Configure: self._configure,
            AppendAudio: self.input.append,
            Commit: self.input.commit,
            Clear: self.input.clear,
            AddItem: self._add_item,
            RetrieveItem: self.items.retrieve,
            Truncate: self.items.truncate,
            DeleteItem: self.items.delete,
            Respond: self._respond,
            Cancel: self._cancel,
            ClearOutput: self._clear_output,
        }

    async def run(self) -> None:
        """Serve until the connection ends or the session reaches its maximum duration."""
        context = self.context
        sender = asyncio.create_task(context.outbox.send_all(self._transport.send))
        code, reason = 1000, ""
        try:
            context.emit(SessionStarted(reported(context.session)))
            context.prefill()
            async with asyncio.timeout(self._cap_seconds):
                await self._receive()
        except TimeoutError:
            code, reason = 1001, _CAP_REASON
        except ConnectionLost:
            pass
        finally:
            self.responses.abandon()
            self.input.end()
            context.end()
            for task in self._tasks:
                task.cancel()
            flushed = asyncio.create_task(context.outbox.flushed())
            if code != 1000:
                await asyncio.wait(
                    {flushed, sender}, timeout=_FLUSH_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            for task in (flushed, sender):
                task.cancel()
            await asyncio.gather(flushed, sender, *self._tasks, return_exceptions=True)
            with contextlib.suppress(ConnectionLost):
                await self._transport.close(code, reason)

    async def _receive(self) -> None:
        while True:
            try:
                frame = await self._transport.recv()
            except RemoteProtocolError as error:  # a binary frame; the connection stays open
                self._refuse(InvalidRequest("invalid_event", str(error)), None)
                continue
            await self._handle(frame)

    async def _handle(self, frame: bytes) -> None:
        event_id: str | None = None
        try:
            event = _parse(frame)
            id = event.get("event_id")
            if isinstance(id, str) and len(id) <= LONGEST_EVENT_ID:
                event_id = id
            await self._carry_out(self._read(event))
        except InvalidRequest as error:
            self._refuse(error, event_id)
        except Exception:
            _log.exception("a client event could not be handled")
            message = "The server had an error while processing your request."
            self._refuse(InvalidRequest(None, message, type="server_error"), event_id)

    def _read(self, event: Event) -> Command:
        check_event(self._schemas, event)
        try:
            (command,) = read(event, "client")
        except Unreadable as error:
            where = f"'{error.field}'" if error.field else "event"
            message = f"Invalid {where}: {error}."
            raise InvalidRequest("invalid_value", message, error.field or None) from None
        assert isinstance(command, Command)
        return command

    async def _carry_out(self, command: Command) -> None:
        try:
            if (pending := self._handlers[type(command)](command)) is not None:
                await pending
        except InvalidRequest as error:  # of a field of the command, which has GA's shape
            raise error.written(self.context.dialect) from None

    def _refuse(self, error: InvalidRequest, event_id: str | None) -> None:
        self.context.emit(Failed(error.data(event_id)))

    # Settings

    def _configure(self, command: Configure) -> None:
        context, before = self.context, self.context.session
        context.session = update(
            before, command.config, voices=context.engine.tts.voices, voice_fixed=context.has_spoken
        )
        context.conversation.apply(command)
        context.emit(SessionChanged(reported(context.session)))
        self.input.configure()
        if any(before[key] != context.session[key] for key in ("instructions", "tools")):
            context.prefill()

    # Audio

    def _clear_output(self, command: ClearOutput) -> None:
        raise InvalidRequest(
            "invalid_value",
            "The server buffers output audio only for WebRTC and SIP. Over a WebSocket the client buffers it:"
            " stop its playback there and truncate the item.",
            "type",
        )

    def _on_speech(self) -> None:
        detection = self.context.session["audio"]["input"]["turn_detection"]
        if detection and detection["interrupt_response"]:
            self.responses.interrupt()

    def _on_item(
        self,
        id: str,
        ms: float,
        transcript: asyncio.Future[str],
        by_turn: bool,
        speculative: SpeculativeResponse | None,
    ) -> None:
        self._send_transcript(id, 0, ms, transcript)
        if by_turn and self.context.answers_turns:
            try:
                self._respond(Respond(), speculative)
                return
            except InvalidRequest as error:
                self._refuse(error, None)
        if speculative is not None:
            speculative.drop()

    def _send_transcript(self, id: str, index: int, ms: float, transcript: asyncio.Future[str]) -> None:
        settings = self.context.session["audio"]["input"]["transcription"]
        if settings is not None:
            task = asyncio.create_task(send_transcript(self.context, settings, id, index, ms, transcript))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # Items and responses

    def _add_item(self, command: AddItem) -> None:
        item = self.items.add(command)
        for index, transcript in self.context.item_extras[item.id].transcripts.items():
            self._send_transcript(item.id, index, item.parts[index].ms, transcript)

    def _respond(self, command: Respond, speculative: SpeculativeResponse | None = None) -> None:
        context = self.context
        if context.transcribes_only:
            raise InvalidRequest("invalid_value", "A transcription session has no responses.", "type")
        plan = plan_response(
            context.session,
            command.options,
            voices=context.engine.tts.voices,
            voice_fixed=context.has_spoken,
        )
        items = None if plan["input"] is None else self.items.input_items(command.input or [])
        self.responses.create(plan, items, speculative)

    def _cancel(self, command: Cancel) -> None:
        self.responses.cancel(command.response_id or None)


def _parse(frame: bytes) -> Event:
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError:
        raise InvalidRequest(
            "invalid_json", "The message is not valid JSON: send one JSON object per text message."
        ) from None
    if not isinstance(event, dict):
        raise InvalidRequest("invalid_event", "An event must be a JSON object with a 'type'.")
    return event
