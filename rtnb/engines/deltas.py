"""From the chunks of a streamed chat completion to the pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import EngineError
from .base import Call, Say

__all__ = ["fold", "with_tools"]


def fold(
    chunks: Iterable[Mapping[str, Any]], count: Callable[[str], int] | None = None
) -> Iterator[Say | Call]:
    """Yield text as it comes, then the calls, each whole. Fields that are not known are skipped.

    ``count`` gives the tokens of a piece; without it each piece is one, as llama.cpp streams. Where the
    other side tells how many tokens there were, an empty piece at the end makes up what is missing.

    Raises:
        EngineError: A call's arguments are no JSON object.
    """
    calls: dict[int, dict[str, str]] = {}
    spent, told, reason = 0, 0, None
    for chunk in chunks:
        told = max(told, _told(chunk))
        choice: Mapping[str, Any] = next(iter(chunk.get("choices") or ()), {})
        reason = choice.get("finish_reason") or reason
        delta = choice.get("delta") or {}
        if text := delta.get("content"):
            piece = Say(text, count(text) if count else 1)
            spent += piece.tokens
            yield piece
        for part in delta.get("tool_calls") or ():
            call = calls.setdefault(int(part.get("index") or 0), {"name": "", "arguments": ""})
            function = part.get("function") or {}
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""
    if reason != "length":  # a call that was cut is no call
        for call in calls.values():
            arguments = call["arguments"] or "{}"
            tokens = (count or len)(arguments)
            spent += tokens
            yield Call(call["name"], _object(call["name"], arguments), tokens)
    if told > spent:
        yield Say("", told - spent)


def with_tools(tools: Sequence[Mapping[str, Any]], tool_choice: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the tools of a session and its choice as fields of a chat completions request."""
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


def _told(chunk: Mapping[str, Any]) -> int:
    usage, timings = chunk.get("usage") or {}, chunk.get("timings") or {}
    return int(usage.get("completion_tokens") or timings.get("predicted_n") or 0)


def _object(name: str, arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise EngineError(f"the chat model called {name!r} with arguments that are no JSON object")
    return json.dumps(value, ensure_ascii=False)
