"""One connection of the local protocol server: it receives client events and sends server events.

The conversation is the same fold of the same frames as on the client, so both sides agree. What only the
server knows of an item is in :class:`rtnb.server.session_context.ItemExtras`.

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
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import UNSET, Meta, UnsetType

from ..engines.base import Engine
from ..errors import ConnectionLost, RemoteProtocolError
from ..protocol.dialects.names import CLIENT_EVENTS
from ..protocol.events import Event, server_id
from ..protocol.items import Item
from ..protocol.models import SEED, find
from ..transports.base import Transport
from .audio_input import AudioInput
from .conversation import ConversationItems
from .generation import SpeculativeResponse
from .responses import Responses
from .schema import defaults, plan_response, update
from .session_context import SessionContext, apply_event, send_transcript
from .usage_meter import TokenWindow, tokens_per_minute
from .validation import InvalidRequest, check, invalid_type, invalid_value
from .workers import Workers, lease

__all__ = ["CAP_SECONDS", "ServerSession", "serve"]

_log = logging.getLogger(__name__)

CAP_SECONDS = 3_600
"""How long a session may last (Realtime API guide: 60 minutes)."""

_CAP_REASON = "Your session hit the maximum duration of 60 minutes."
_LONGEST_EVENT_ID = 512
_FLUSH_SECONDS = 5.0

_TEXT_OR_NULL = str | None | UnsetType
_Index = Annotated[int, Meta(ge=0)]
_EventId = Annotated[str, Meta(max_length=_LONGEST_EVENT_ID)]
_EVENTS: dict[str, type[msgspec.Struct]] = {
    type: msgspec.defstruct(
        "ClientEvent",
        [("event_id", _EventId | None | UnsetType, UNSET), *fields],
        tag_field="type",
        tag=type,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    for type, fields in (
        ("session.update", [("session", Any)]),
        ("input_audio_buffer.append", [("audio", str)]),
        ("input_audio_buffer.commit", []),
        ("input_audio_buffer.clear", []),
        (
            "conversation.item.create",
            [("item", dict[str, Any]), ("previous_item_id", _TEXT_OR_NULL, UNSET)],
        ),
        ("conversation.item.retrieve", [("item_id", str)]),
        (
            "conversation.item.truncate",
            [("item_id", str), ("content_index", _Index), ("audio_end_ms", _Index)],
        ),
        ("conversation.item.delete", [("item_id", str)]),
        ("response.create", [("response", dict[str, Any] | None | UnsetType, UNSET)]),
        ("response.cancel", [("response_id", _TEXT_OR_NULL, UNSET)]),
        ("output_audio_buffer.clear", []),
    )
}


async def serve(
    transport: Transport,
    engine: Engine,
    *,
    model: str = SEED,
    limits: TokenWindow | None = None,
    cap_seconds: float = CAP_SECONDS,
) -> None:
    """Serve one client over ``transport`` until either side closes it; the engine stays open.

    ``model`` is the model that the session reports and whose limits apply; ``limits`` is a window to share
    between sessions. Invalid client events are answered with error events.
    """
    with lease(engine) as workers:
        window = limits or TokenWindow(tokens_per_minute(model))
        await ServerSession(transport, engine, workers, model, window, cap_seconds).run()


class ServerSession:
    """One session. Its event handlers run one at a time, in the order of the client's events."""

    def __init__(
        self,
        transport: Transport,
        engine: Engine,
        workers: Workers,
        model: str,
        limits: TokenWindow,
        cap_seconds: float,
    ) -> None:
        self._transport = transport
        self._cap_seconds = cap_seconds
        session = defaults(server_id("sess"), model, int(time.time() + cap_seconds))
        self.context = SessionContext(engine, workers, session, limits)
        self.responses = Responses(self.context)
        self.items = ConversationItems(self.context, model=model, images=bool(find(model).supports("image")))
        self.input = AudioInput(self.context, on_speech=self._on_speech, on_item=self._on_item)
        self._tasks: set[asyncio.Task[None]] = set()
        self._handlers: dict[str, Callable[[Event], Coroutine[Any, Any, None] | None]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self.input.append,
            "input_audio_buffer.commit": self.input.commit,
            "input_audio_buffer.clear": self.input.clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self.items.retrieve,
            "conversation.item.truncate": self.items.truncate,
            "conversation.item.delete": self.items.delete,
            "response.create": self._respond,
            "response.cancel": self._cancel,
            "output_audio_buffer.clear": self._clear_output,
        }

    async def run(self) -> None:
        """Serve until the connection ends or the session reaches its maximum duration."""
        context = self.context
        sender = asyncio.create_task(context.outbox.send_all(self._transport.send))
        code, reason = 1000, ""
        try:
            context.emit("session.created", session=context.session)
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
            if isinstance(id, str) and len(id) <= _LONGEST_EVENT_ID:
                event_id = id
            type = event["type"]
            if type not in CLIENT_EVENTS:
                raise invalid_value("type", type, sorted(CLIENT_EVENTS))
            check(_EVENTS[type], event)
            if (pending := self._handlers[type](event)) is not None:
                await pending
        except InvalidRequest as error:
            self._refuse(error, event_id)
        except Exception:
            _log.exception("a client event could not be handled")
            message = "The server had an error while processing your request."
            self._refuse(InvalidRequest(None, message, type="server_error"), event_id)

    def _refuse(self, error: InvalidRequest, event_id: str | None) -> None:
        self.context.emit("error", error=error.wire(event_id))

    # Settings

    def _update(self, event: Event) -> None:
        context, before = self.context, self.context.session
        context.session = update(
            before, event["session"], voices=context.engine.tts.voices, voice_fixed=context.has_spoken
        )
        apply_event(context.conversation, "client", event)
        context.emit("session.updated", session=context.session)
        self.input.configure()
        if any(before[key] != context.session[key] for key in ("instructions", "tools")):
            context.prefill()

    # Audio

    def _clear_output(self, event: Event) -> None:
        raise InvalidRequest(
            "invalid_value",
            "output_audio_buffer.clear is only for WebRTC and SIP. Over a WebSocket the client buffers the"
            " audio: stop its playback there and send conversation.item.truncate.",
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
        detection = self.context.session["audio"]["input"]["turn_detection"]
        if by_turn and detection and detection["create_response"]:
            try:
                self._respond({"type": "response.create"}, speculative)
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

    def _create_item(self, event: Event) -> None:
        item: Item = self.items.create(event)
        for index, transcript in self.context.item_extras[item.id].transcripts.items():
            self._send_transcript(item.id, index, item.parts[index].ms, transcript)

    def _respond(self, event: Event, speculative: SpeculativeResponse | None = None) -> None:
        context = self.context
        plan = plan_response(
            context.session,
            event.get("response"),
            voices=context.engine.tts.voices,
            voice_fixed=context.has_spoken,
        )
        items = None if plan["input"] is None else self.items.input_items(plan["input"])
        self.responses.create(plan, items, speculative)

    def _cancel(self, event: Event) -> None:
        self.responses.cancel(event.get("response_id"))


def _parse(frame: bytes) -> Event:
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError:
        raise InvalidRequest(
            "invalid_json", "The message is not valid JSON: send one JSON object per text message."
        ) from None
    if not isinstance(event, dict):
        raise InvalidRequest("invalid_event", "An event must be a JSON object with a 'type'.")
    if event.get("type") is None:
        raise InvalidRequest("invalid_event", "The 'type' field is missing.")
    if not isinstance(event["type"], str):
        raise invalid_type("type", "a string", event["type"])
    return event
