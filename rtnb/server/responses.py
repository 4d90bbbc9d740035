"""Responses: at most one in the conversation at a time, and any number out of band.

Each response runs in one task. Whatever ends it (its last word, a limit, a cancellation, speech, a failure),
all closing changes are sent at once: those of its open item, its end and the rate limits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from ..audio.codecs import wire_format
from ..engines.base import Call, TextPiece
from ..errors import RtnbError
from ..protocol.changes import ErrorData, Limits, ResponseEnded, ResponseStarted
from ..protocol.events import Event, server_id
from ..protocol.items import Item
from ..protocol.usage import Usage
from . import usage_meter
from .conversation import item_data
from .generation import Generation, GenerationStarted, Request, SpeculativeResponse, token_limit
from .output_items import FunctionCall, Output, SpokenMessage, WrittenMessage
from .prompt import ItemExtras, Prompt, entries, retention_ratio
from .session_context import SessionContext
from .validation import InvalidRequest

__all__ = ["Response", "Responses"]

_log = logging.getLogger(__name__)


class Response:
    """One response, with the settings that :func:`rtnb.server.schema.plan_response` returns.

    ``items`` are those of the prompt, or None for the whole conversation. ``speculative`` is a response to
    the conversation that was started before its last turn ended; its work is used if the prompt is the same.
    """

    def __init__(
        self,
        context: SessionContext,
        plan: Mapping[str, Any],
        items: list[tuple[Item, ItemExtras]] | None,
        speculative: SpeculativeResponse | None,
    ) -> None:
        self.id = server_id("resp")
        self.in_conversation = plan["conversation"] != "none"
        self.running = True
        self._context = context
        self._plan = plan
        self._items = items
        self._outputs: list[Output] = []
        self._speculative = speculative
        self._generation: Generation | None = None
        self._tokens: usage_meter.Tokens | None = None
        self._cached: usage_meter.Tokens = {"text": 0, "audio": 0}
        self._task: asyncio.Task[None] | None = None
        self._limit = token_limit(context, plan["max_output_tokens"])

    def start(self) -> None:
        """Announce the response and start its task."""
        limit = self._plan["max_output_tokens"]
        self._context.emit(
            ResponseStarted(
                self.id,
                self._plan["metadata"],
                limit if isinstance(limit, int) else None,
                self._plan["format"],
                self._raw("in_progress", None, None),
            )
        )
        self._task = asyncio.create_task(self._run())

    def finish(self, status: str, reason: str | None = None, error: ErrorData | None = None) -> None:
        """End the response now and drop unfinished work. Later calls have no effect."""
        if not self.running:
            return
        self.abandon()
        for output in self._outputs:
            if output.open:
                output.close("completed" if status == "completed" else "incomplete")
        usage = self._usage(status)
        items = self._context.conversation.items
        self._context.emit(
            ResponseEnded(
                self.id,
                status,
                reason,
                error,
                Usage.from_wire(usage),
                [item_data(items[output.id]) for output in self._outputs],
                self._plan["metadata"],
                raw=self._raw(status, _details(status, reason, error), usage),
            )
        )
        now = time.monotonic()
        self._context.limits.spend(usage["total_tokens"], now)
        self._context.emit(Limits({limit["name"]: limit for limit in self._context.limits.report(now)}))

    def cancel(self, reason: str) -> None:
        """End the response; ``reason`` is ``client_cancelled`` or ``turn_detected``."""
        self.finish("cancelled", reason)

    def abandon(self) -> None:
        """Stop all work without sending events, as after the connection was lost."""
        self.running = False
        self._stop()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _stop(self) -> None:
        if self._speculative is not None:
            self._speculative.drop()
        if self._generation is not None:
            self._generation.stop()

    def _raw(self, status: str, details: Event | None, usage: Event | None) -> Event:
        """Return the response in GA's shape, without its items."""
        own = {name: self._plan[name] for name in ("temperature",) if name in self._plan}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [],
            "conversation_id": self._context.conversation_id if self.in_conversation else None,
            "output_modalities": self._plan["output_modalities"],
            "max_output_tokens": self._plan["max_output_tokens"],
            "audio": {"output": {"format": self._plan["format"], "voice": self._plan["voice"]}},
            "usage": usage,
            "metadata": self._plan["metadata"],
            **own,
        }

    def _usage(self, status: str) -> dict[str, Any]:
        if status == "failed" or self._tokens is None:
            return usage_meter.zero()
        text = sum(output.text_tokens for output in self._outputs)
        audio = sum(output.audio_tokens for output in self._outputs)
        return usage_meter.usage(self._tokens, self._cached, text, audio)

    async def _run(self) -> None:
        try:
            cut = await self._answer()
        except asyncio.CancelledError:
            self._stop()
            raise
        except Exception as error:
            if not isinstance(error, RtnbError):
                _log.exception("a response failed")
            message = str(error) or type(error).__name__
            self.finish("failed", error=ErrorData(message, "server_error", "server_error"))
        else:
            if cut:
                self.finish("incomplete", "max_output_tokens")
            else:
                self.finish("completed")

    async def _answer(self) -> bool:
        """Generate all items; return whether a limit cut them off."""
        context = self._context
        found = await (context.prompt_entries.read() if self._items is None else entries(self._items))
        prompt = Prompt(self._plan["instructions"], self._plan["tools"], found)
        keep = retention_ratio(context.session.get("truncation"))
        request = Request(prompt, self._plan["tool_choice"], self._limit, keep)
        started = self._speculative.adopt(request) if self._speculative is not None else None
        self._generation = started or Generation(context, request)
        used = 0
        async for piece in self._generation.pieces():
            if isinstance(piece, GenerationStarted):
                context.usage_meter.remember(piece.prefilled)
                self._cached = context.usage_meter.cached(piece.segments)
                self._tokens = context.usage_meter.remember(piece.segments)
                context.prompt_entries.drop(piece.dropped_items)
                continue
            used += piece.tokens
            if isinstance(piece, TextPiece) and not piece.text:  # the tokens of a call that a limit cut off
                continue
            if isinstance(piece, TextPiece):
                await self._say(piece)
            else:
                await self._call(piece)
            last = self._outputs[-1] if self._outputs else None
            if isinstance(last, SpokenMessage) and last.cut:
                self._stop()
                return True
            await context.outbox.room()
        return await self._speak_rest() or used >= self._limit

    async def _say(self, piece: TextPiece) -> None:
        last = self._outputs[-1] if self._outputs else None
        if not isinstance(last, SpokenMessage | WrittenMessage) or not last.open:
            last = self._message()
        await last.say(piece.text, piece.tokens)

    def _message(self) -> SpokenMessage | WrittenMessage:
        place = (self._context, self.id, len(self._outputs), self.in_conversation)
        message: SpokenMessage | WrittenMessage
        if self._plan["output_modalities"] == ["audio"]:
            message = SpokenMessage(
                *place,
                codec=wire_format(self._plan["format"]),
                voice=self._plan["voice"],
                speed=self._plan["speed"],
                budget=self._limit - sum(o.text_tokens + o.audio_tokens for o in self._outputs),
            )
        else:
            message = WrittenMessage(*place)
        self._outputs.append(message)
        return message

    async def _speak_rest(self) -> bool:
        """Synthesize the rest of the message; return whether a limit cut it off."""
        last = self._outputs[-1] if self._outputs else None
        if not isinstance(last, SpokenMessage) or not last.open:
            return False
        await last.finish()
        return last.cut

    async def _call(self, call: Call) -> None:
        if await self._speak_rest():
            return
        if self._outputs and self._outputs[-1].open:
            self._outputs[-1].close("completed")
        output = FunctionCall(self._context, self.id, len(self._outputs), self.in_conversation, call)
        self._outputs.append(output)
        output.close("completed")


def _details(status: str, reason: str | None, error: ErrorData | None) -> Event | None:
    """Return a response's ``status_details``."""
    if error is not None:
        shown = {"type": error.type, "code": error.code, "message": error.message}
        return {"type": status, "error": shown}
    return None if reason is None else {"type": status, "reason": reason}


class Responses:
    """The running responses of a session."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._running: list[Response] = []

    @property
    def active(self) -> Response | None:
        """The running response in the conversation, if there is one."""
        self._running = [response for response in self._running if response.running]
        return next((response for response in self._running if response.in_conversation), None)

    def create(
        self,
        plan: Mapping[str, Any],
        items: list[tuple[Item, ItemExtras]] | None = None,
        speculative: SpeculativeResponse | None = None,
    ) -> None:
        """Start a :class:`Response`.

        Raises:
            InvalidRequest: It belongs to the conversation, where another one is running.
        """
        active = self.active
        if active is not None and plan["conversation"] != "none":
            raise InvalidRequest(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {active.id}."
                " Wait until the response is finished before creating a new one.",
            )
        response = Response(self._context, plan, items, speculative)
        self._running.append(response)
        response.start()

    def cancel(self, response_id: str | None) -> None:
        """Cancel the response ``response_id``, or with None the one in the conversation.

        Raises:
            InvalidRequest: It is not running.
        """
        found = self.active
        if response_id is not None:
            found = next((response for response in self._running if response.id == response_id), None)
        if found is None:
            raise InvalidRequest(
                "response_cancel_not_active", "Cancellation failed: no active response found"
            )
        found.cancel("client_cancelled")

    def interrupt(self) -> None:
        """Cancel the response in the conversation because the user started to speak."""
        if (active := self.active) is not None:
            active.cancel("turn_detected")

    def abandon(self) -> None:
        """Stop all responses without sending events."""
        for response in self._running:
            response.abandon()
