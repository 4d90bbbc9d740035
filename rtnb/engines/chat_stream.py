"""The streamed answer of a chat model: read on a thread, and turned from chunks into text and calls."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from ..errors import EngineError
from .base import Call, TextPiece

__all__ = ["StreamThread", "answer_pieces", "arguments_text", "estimate_tokens", "tool_fields"]

_POLL_SECONDS = 0.05  # between two calls of ``stopped`` while nothing arrives
_SHORT = 16  # characters of a piece that count as one token


class StreamThread:
    """Runs a blocking producer on a thread and iterates over its items; the iteration can stop at any time.

    One producer runs at a time. ``daemon`` says whether the interpreter may exit while the producer still
    runs, which native code that calls back into Python does not survive.
    """

    def __init__(self, name: str, *, daemon: bool) -> None:
        self._name, self._daemon = name, daemon
        self._worker: threading.Thread | None = None

    def run(
        self, produce: Callable[[Callable[[Any], bool]], None], stopped: Callable[[], bool]
    ) -> Iterator[Any]:
        """Yield the items that ``produce(put)`` puts, until it returns or ``stopped()`` is true.

        ``put`` returns True once no more items are wanted; the producer should then return. Its exceptions
        are raised here.
        """
        items: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        abandoned = threading.Event()

        def put(item: Any) -> bool:
            items.put(("item", item))
            # An iterator that was never closed must not delay the interpreter's exit.
            return abandoned.is_set() or stopped() or not threading.main_thread().is_alive()

        def work() -> None:
            try:
                produce(put)
            except Exception as error:
                items.put(("error", error))
            items.put(("end", None))

        self.join()
        self._worker = threading.Thread(target=work, name=self._name, daemon=self._daemon)
        self._worker.start()
        try:
            while not stopped():
                try:
                    kind, item = items.get(timeout=_POLL_SECONDS)
                except Empty:
                    continue
                if kind == "end":
                    return
                if kind == "error":
                    raise item
                yield item
        finally:
            abandoned.set()

    def join(self) -> None:
        """Wait for the last producer, which is expected to return soon; a daemon thread is not waited for."""
        if self._worker is not None and not self._daemon:
            self._worker.join()
        self._worker = None


def answer_pieces(chunks: Iterable[Mapping[str, Any]]) -> Iterator[TextPiece | Call]:
    """Yield the text of chat completion chunks as it arrives, then each complete call; ignore unknown fields.

    A short piece counts as one token, as most servers stream them. The usage that the server reports at the
    end corrects the count of the last call. If a limit cut the answer, an empty piece at the end counts the
    tokens that were not shown.

    Raises:
        EngineError: The arguments of a call are not a JSON object.
    """
    calls: dict[int, dict[str, str]] = {}
    counted, reported, reason = 0, 0, None
    for chunk in chunks:
        reported = max(reported, _reported_tokens(chunk))
        choice: Mapping[str, Any] = next(iter(chunk.get("choices") or ()), {})
        reason = choice.get("finish_reason") or reason
        delta = choice.get("delta") or {}
        if text := delta.get("content"):
            piece = TextPiece(text, 1 if len(text) <= _SHORT else estimate_tokens(text))
            counted += piece.tokens
            yield piece
        for part in delta.get("tool_calls") or ():
            call = calls.setdefault(int(part.get("index") or 0), {"name": "", "arguments": ""})
            function = part.get("function") or {}
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""
    if reason == "length":  # the last call may be incomplete: drop the calls
        if reported > counted:
            yield TextPiece("", reported - counted)
        return
    for left, call in zip(range(len(calls))[::-1], calls.values(), strict=True):
        arguments = _checked_arguments(call["name"], call["arguments"] or "{}")
        tokens = estimate_tokens(arguments)
        counted += tokens
        yield Call(call["name"], arguments, tokens if left else max(tokens, tokens + reported - counted))


def estimate_tokens(text: str) -> int:
    """Return about how many tokens ``text`` is: one per four characters, as in English."""
    return math.ceil(len(text) / 4)


def tool_fields(tools: Sequence[Mapping[str, Any]], tool_choice: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return a session's tools and tool choice as fields of a chat completions request."""
    functions = [t for t in tools if t.get("type", "function") == "function" and t.get("name")]
    if not functions:
        return {}
    keys = ("name", "description", "parameters", "strict")
    offered = [
        {"type": "function", "function": {k: t[k] for k in keys if t.get(k) is not None}} for t in functions
    ]
    if isinstance(tool_choice, Mapping):
        choice: Any = {"type": "function", "function": {"name": tool_choice.get("name")}}
    else:
        choice = tool_choice
    return {"tools": offered, "tool_choice": choice}


def arguments_text(arguments: Any) -> str:
    """Return a call's arguments as JSON text. A lone surrogate, which UTF-8 cannot encode, becomes "?"."""
    return json.dumps(arguments, ensure_ascii=False).encode("utf-8", "replace").decode()


def _reported_tokens(chunk: Mapping[str, Any]) -> int:
    usage, timings = chunk.get("usage") or {}, chunk.get("timings") or {}
    return int(usage.get("completion_tokens") or timings.get("predicted_n") or 0)


def _checked_arguments(name: str, arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise EngineError(f"the language model called {name!r} with arguments that are not a JSON object")
    return arguments_text(value)
