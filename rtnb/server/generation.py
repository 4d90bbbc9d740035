"""One run of the language model: it generates on its worker thread and is read on the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from ..engines.base import Call, TextPiece
from ..errors import EngineError
from ..protocol.models import find
from .clauses import ClauseSplitter
from .prompt import Prompt, retention_ratio, spoken
from .schema import plan_response
from .session_context import SessionContext
from .usage_meter import Segment

__all__ = ["Generation", "GenerationStarted", "Request", "SpeculativeResponse", "token_limit", "warm_cache"]


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that an answer depends on.

    ``limit`` is in tokens; ``keep`` is the result of :func:`rtnb.server.prompt.retention_ratio`.
    """

    prompt: Prompt
    tool_choice: str | dict[str, Any]
    limit: int
    keep: float | None


@dataclass(frozen=True, slots=True)
class GenerationStarted:
    """The first output of a `Generation`: the model has started.

    ``segments`` are the tokens of its prompt, ``prefilled`` those of the session's instructions and tools,
    which are cached already, and ``dropped_items`` the items that no longer fit into the prompt.
    """

    segments: list[Segment]
    prefilled: list[Segment]
    dropped_items: list[str]


class Generation:
    """One run of the language model, which starts as soon as its worker is free.

    The output is stored, so that several readers, at any time, each get all of it.
    """

    def __init__(self, context: SessionContext, request: Request) -> None:
        self.request = request
        self._llm = context.engine.llm
        self._setup = Prompt(context.session["instructions"], context.session["tools"])
        self._output: list[GenerationStarted | TextPiece | Call] = []
        self._done = False
        self._changed = asyncio.Event()
        self._stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        context.skip_prefill()
        self._job = context.workers.llm.submit(context, self._run)
        self._job.add_done_callback(lambda _: self._publish(None))

    def stop(self) -> None:
        """Stop the model soon; the rest of the output is not needed."""
        self._stop.set()

    async def pieces(self) -> AsyncIterator[GenerationStarted | TextPiece | Call]:
        """Yield all output from the beginning: first ``GenerationStarted``, then the answer's pieces.

        Raises:
            EngineError: The prompt is too long, or the model failed.
        """
        at = 0
        while True:
            while at < len(self._output):
                yield self._output[at]
                at += 1
            if self._done:
                await asyncio.wrap_future(self._job)  # raises what the model raised
                return
            self._changed.clear()
            await self._changed.wait()

    def _run(self) -> None:
        if self._stop.is_set():
            return
        request, llm = self.request, self._llm
        prompt = replace(request.prompt, entries=list(request.prompt.entries))
        dropped = prompt.fit(llm.count, llm.context, request.keep)
        self._publish(GenerationStarted(prompt.segments(llm.count), self._setup.segments(llm.count), dropped))
        answer = llm.generate(
            prompt.messages(), prompt.tools, request.tool_choice, request.limit, self._stop.is_set
        )
        for piece in answer:
            if self._stop.is_set():
                return
            self._publish(piece)

    def _publish(self, piece: GenerationStarted | TextPiece | Call | None) -> None:
        """Pass a piece, or None for the end, to the event loop, unless the loop is closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._append, piece)

    def _append(self, piece: GenerationStarted | TextPiece | Call | None) -> None:
        if piece is None:
            self._done = True
        else:
            self._output.append(piece)
        self._changed.set()


_log = logging.getLogger(__name__)
_MAX_OUTPUT = 4_096


class SpeculativeResponse:
    """An answer that is started before the turn ends, in case it ends now.

    The turn would be the item ``item_id``, with ``ms`` milliseconds of audio.
    """

    def __init__(
        self, context: SessionContext, item_id: str, ms: float, transcript: asyncio.Future[str]
    ) -> None:
        self._context = context
        self._generation: Generation | None = None
        self._task = asyncio.create_task(self._run(item_id, ms, transcript))

    def adopt(self, request: Request) -> Generation | None:
        """Return the generation if it is for ``request``; otherwise drop it and return None."""
        self._task.cancel()
        if self._generation is not None and self._generation.request == request:
            return self._generation
        self.drop()
        return None

    def drop(self) -> None:
        """Stop the work: the speech resumed, or no answer is due."""
        self._task.cancel()
        if self._generation is not None:
            self._generation.stop()

    async def _run(self, item_id: str, ms: float, transcript: asyncio.Future[str]) -> None:
        try:
            await self._prepare(item_id, ms, transcript)
        except Exception:  # the response itself will fail in the same way and report it
            _log.debug("a speculative response failed", exc_info=True)

    async def _prepare(self, item_id: str, ms: float, transcript: asyncio.Future[str]) -> None:
        context = self._context
        text = await asyncio.shield(transcript)
        voices = context.engine.tts.voices
        plan = plan_response(context.session, None, voices=voices, voice_fixed=context.has_spoken)
        before = await context.prompt_entries.read()
        prompt = Prompt(plan["instructions"], plan["tools"], [*before, spoken(item_id, text, ms)])
        limit = token_limit(context, plan["max_output_tokens"])
        keep = retention_ratio(context.session.get("truncation"))
        self._generation = Generation(context, Request(prompt, plan["tool_choice"], limit, keep))
        if plan["output_modalities"] != ["audio"]:
            return
        clauses = ClauseSplitter()
        async for piece in self._generation.pieces():
            if isinstance(piece, GenerationStarted):
                continue
            if not isinstance(piece, TextPiece):
                return
            for clause, _ in clauses.feed(piece.text, piece.tokens):
                context.synthesize_ahead(clause.strip(), plan["voice"], plan["speed"])
                return
        if rest := clauses.rest():
            context.synthesize_ahead(rest[0].strip(), plan["voice"], plan["speed"])


async def warm_cache(context: SessionContext) -> None:
    """Put the conversation so far into the model's cache, where another prompt may have replaced it."""
    session = context.session
    try:
        before = await context.prompt_entries.read()
    except EngineError:  # the recognizer failed; the response will report it
        return
    prompt = Prompt(session["instructions"], session["tools"], before)
    llm, keep = context.engine.llm, retention_ratio(session.get("truncation"))

    def messages() -> list[dict[str, Any]]:
        prompt.fit(llm.count, llm.context, keep)
        return prompt.messages()

    context.prefill(messages)


def token_limit(context: SessionContext, wanted: int | str) -> int:
    """Return the most tokens of an answer: ``max_output_tokens``, up to the limit of the session's model."""
    most = find(context.session["model"]).max_output or _MAX_OUTPUT
    return most if isinstance(wanted, str) else min(wanted, most)
