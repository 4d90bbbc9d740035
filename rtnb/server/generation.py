"""The model's answer to one prompt, as it comes: one run on the model's thread, read on the event loop."""

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
from .prompt import Prompt, entries, kept_share, spoken
from .response_options import plan_response
from .session_context import State
from .usage_meter import Segment

__all__ = ["Begun", "Generation", "Request", "SpeculativeResponse", "reread", "token_limit"]


@dataclass(frozen=True, slots=True)
class Request:
    """All that an answer depends on: equal requests have equal answers.

    ``limit`` is in tokens; ``keep`` is what ``prompts.kept_share`` returns.
    """

    prompt: Prompt
    tool_choice: str | dict[str, Any]
    limit: int
    keep: float | None


@dataclass(frozen=True, slots=True)
class Begun:
    """The model has begun: what the prompt came to, what of it the session had the model read when it was
    set up, and which items no longer fit it."""

    segments: list[Segment]
    read_ahead: list[Segment]
    forgotten: list[str]


class Generation:
    """One run of the model, which begins as soon as the model is free.

    What it made is kept, so that whoever joins late still gets all of it, and several may read at once.
    """

    def __init__(self, state: State, request: Request) -> None:
        self.request = request
        self._llm = state.engine.llm
        self._setup = Prompt(state.session["instructions"], state.session["tools"])
        self._made: list[Begun | TextPiece | Call] = []
        self._ended = False
        self._news = asyncio.Event()
        self._stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        state.skip_prefill()
        self._job = state.workers.llm.submit(state, self._run)
        self._job.add_done_callback(lambda _: self._tell(None))

    def stop(self) -> None:
        """Let the model end soon; nobody wants the rest."""
        self._stop.set()

    async def pieces(self) -> AsyncIterator[Begun | TextPiece | Call]:
        """Yield everything from the beginning on: first ``Begun``, then the answer's pieces.

        Raises:
            EngineError: The prompt is too long, or the model failed.
        """
        at = 0
        while True:
            while at < len(self._made):
                yield self._made[at]
                at += 1
            if self._ended:
                await asyncio.wrap_future(self._job)  # raises what the model raised
                return
            self._news.clear()
            await self._news.wait()

    def _run(self) -> None:
        if self._stop.is_set():
            return
        asked, llm = self.request, self._llm
        prompt = replace(asked.prompt, entries=list(asked.prompt.entries))
        forgotten = prompt.fit(llm.count, llm.context, asked.keep)
        self._tell(Begun(prompt.segments(llm.count), self._setup.segments(llm.count), forgotten))
        answer = llm.generate(
            prompt.messages(), prompt.tools, asked.tool_choice, asked.limit, self._stop.is_set
        )
        for piece in answer:
            if self._stop.is_set():
                return
            self._tell(piece)

    def _tell(self, piece: Begun | TextPiece | Call | None) -> None:
        """Hand a piece to the event loop, or the end; nobody listens once the loop is closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, piece)

    def _take(self, piece: Begun | TextPiece | Call | None) -> None:
        if piece is None:
            self._ended = True
        else:
            self._made.append(piece)
        self._news.set()


_log = logging.getLogger(__name__)
_MAX_OUTPUT = 4_096


class SpeculativeResponse:
    """The answer to a turn that would be item ``item_id``: ``words`` in ``ms`` milliseconds of sound."""

    def __init__(self, state: State, item_id: str, ms: float, words: asyncio.Future[str]) -> None:
        self._state = state
        self._generation: Generation | None = None
        self._task = asyncio.create_task(self._run(item_id, ms, words))

    def adopt(self, request: Request) -> Generation | None:
        """Give the answer to ``request`` over, if it was begun; the draft is over either way."""
        self._task.cancel()
        if self._generation is not None and self._generation.request == request:
            return self._generation
        self.drop()
        return None

    def drop(self) -> None:
        """Let go of the draft: speech goes on, or no answer is due."""
        self._task.cancel()
        if self._generation is not None:
            self._generation.stop()

    async def _run(self, item_id: str, ms: float, words: asyncio.Future[str]) -> None:
        try:
            await self._prepare(item_id, ms, words)
        except Exception:  # the answer itself will meet it again, and tell
            _log.debug("an answer could not be begun ahead", exc_info=True)

    async def _prepare(self, item_id: str, ms: float, words: asyncio.Future[str]) -> None:
        state = self._state
        heard = await asyncio.shield(words)
        voices = state.engine.tts.voices
        plan = plan_response(state.session, None, voices=voices, voice_fixed=state.spoke)
        before = await entries(state, state.remembered())
        prompt = Prompt(plan["instructions"], plan["tools"], [*before, spoken(item_id, heard, ms)])
        limit = token_limit(state, plan["max_output_tokens"])
        keep = kept_share(state.session["truncation"])
        self._generation = Generation(state, Request(prompt, plan["tool_choice"], limit, keep))
        if plan["output_modalities"] != ["audio"]:
            return
        clauses = ClauseSplitter()
        async for piece in self._generation.pieces():
            if isinstance(piece, Begun):
                continue
            if not isinstance(piece, TextPiece):
                return
            for clause, _ in clauses.feed(piece.text, piece.tokens):
                state.speak_ahead(clause.strip(), plan["voice"], plan["speed"])
                return
        if rest := clauses.rest():
            state.speak_ahead(rest[0].strip(), plan["voice"], plan["speed"])


async def reread(state: State) -> None:
    """Have the model's cache hold the conversation so far, whatever was asked of the model last."""
    session = state.session
    try:
        before = await entries(state, state.remembered())
    except EngineError:  # the recogniser failed; the answer will tell
        return
    prompt = Prompt(session["instructions"], session["tools"], before)
    llm, keep = state.engine.llm, kept_share(session["truncation"])

    def messages() -> list[dict[str, Any]]:
        prompt.fit(llm.count, llm.context, keep)
        return prompt.messages()

    state.prefill(messages)


def token_limit(state: State, wanted: int | str) -> int:
    """Return how many tokens an answer may have: ``max_output_tokens`` under the model's own limit."""
    most = find(state.session["model"]).max_output or _MAX_OUTPUT
    return most if isinstance(wanted, str) else min(wanted, most)
