"""From the chunks of a streamed chat completion to the pieces of an answer."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import EngineError
from .base import Call, TextPiece

__all__ = ["estimate", "fold", "with_tools"]

_ONE = 16  # characters that may well be one token


def fold(chunks: Iterable[Mapping[str, Any]]) -> Iterator[TextPiece | Call]:
    """Yield text as it comes, then the calls, each whole. Fields that are not known are skipped.

    A short piece is one token, as most servers stream; what the server tells in the end corrects the last
    call. An answer that a limit cut ends with an empty piece that accounts for what was not shown.

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
            piece = TextPiece(text, 1 if len(text) <= _ONE else estimate(text))
            spent += piece.tokens
            yield piece
        for part in delta.get("tool_calls") or ():
            call = calls.setdefault(int(part.get("index") or 0), {"name": "", "arguments": ""})
            function = part.get("function") or {}
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""
    if reason == "length":  # a call that was cut is no call
        if told > spent:
            yield TextPiece("", told - spent)
        return
    for left, call in zip(range(len(calls))[::-1], calls.values(), strict=True):
        arguments = _object(call["name"], call["arguments"] or "{}")
        tokens = estimate(arguments)
        spent += tokens
        yield Call(call["name"], arguments, tokens if left else max(tokens, tokens + told - spent))


def estimate(text: str) -> int:
    """Return about how many tokens ``text`` is: four characters of English make one."""
    return math.ceil(len(text) / 4)


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
