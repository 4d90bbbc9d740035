"""The model's answer to one prompt, as it comes: one run on the model's thread, read on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from ..engines.base import Call, Say
from .prompt import Prompt
from .session_context import State
from .usage_meter import Segment

__all__ = ["Begun", "Generation", "Request"]


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
        self._made: list[Begun | Say | Call] = []
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

    async def pieces(self) -> AsyncIterator[Begun | Say | Call]:
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

    def _tell(self, piece: Begun | Say | Call | None) -> None:
        """Hand a piece to the event loop, or the end; nobody listens once the loop is closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, piece)

    def _take(self, piece: Begun | Say | Call | None) -> None:
        if piece is None:
            self._ended = True
        else:
            self._made.append(piece)
        self._news.set()
