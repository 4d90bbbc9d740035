"""What is done ahead of an answer: the conversation is read again while the user begins to speak, and the
answer begun while it is not yet sure that the turn has ended.

Nothing of a draft is heard, billed or remembered. It becomes an answer only if that answer asks the model
for the very same thing: the same words after the same conversation under the same settings.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..engines.base import Say
from ..errors import EngineError
from ..protocol.models import find
from .clauses import Clauses
from .generation import Begun, Generation, Request
from .prompt import Prompt, entries, kept_share, spoken
from .response_options import plan_response
from .session_context import State

__all__ = ["Draft", "reread", "token_limit"]

_log = logging.getLogger(__name__)
_MAX_OUTPUT = 4_096


class Draft:
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
        clauses = Clauses()
        async for piece in self._generation.pieces():
            if isinstance(piece, Begun):
                continue
            if not isinstance(piece, Say):
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
