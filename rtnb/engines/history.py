"""A conversation that fits a context, cut where the prefix cache hurts least."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["fit"]

_FRAME = 8  # tokens a template spends around one message, roughly
_SHARE = 3  # a block is a third of the room: old turns go together, so the prefix changes seldom


def fit(messages: Sequence[dict[str, Any]], room: int, count: Callable[[str], int]) -> list[dict[str, Any]]:
    """Return ``messages`` cut to ``room`` tokens.

    The leading system messages stay. Old turns are dropped in whole blocks, up to a user's turn, so that
    the same turns stay away while the conversation grows. What is too long by itself is shortened:
    instructions at their end, the last turn at its beginning.
    """
    head_size = 0
    while head_size < len(messages) and messages[head_size].get("role") == "system":
        head_size += 1
    head, body = list(messages[:head_size]), list(messages[head_size:])
    for i, message in enumerate(head):
        head[i] = _shorten(message, max(room // 2 // len(head), 1), count, keep_end=False)
    left = room - sum(_cost(m, count) for m in head)
    costs = [_cost(m, count) for m in body]
    starts = [i for i, m in enumerate(body) if m.get("role") == "user" and i] or [len(body)]
    total, block, dropped, first = sum(costs), max(left // _SHARE, 1), 0, 0
    while total - dropped > left and first < starts[-1] and starts[-1] < len(body):
        goal = (dropped // block + 1) * block
        while dropped < goal and first < starts[-1]:
            after = next(i for i in starts if i > first)
            dropped += sum(costs[first:after])
            first = after
    kept = body[first:]
    if total - dropped > left:
        kept = [_shorten(m, max(left // len(kept), 1), count, keep_end=True) for m in kept]
    return head + kept


def _cost(message: dict[str, Any], count: Callable[[str], int]) -> int:
    text = message.get("content") or ""
    calls = message.get("tool_calls")
    return count(str(text)) + (count(json.dumps(calls)) if calls else 0) + _FRAME


def _shorten(
    message: dict[str, Any], room: int, count: Callable[[str], int], *, keep_end: bool
) -> dict[str, Any]:
    text, cost = str(message.get("content") or ""), _cost(message, count)
    while text and cost > room:
        size = int(len(text) * max(room - _FRAME, 0) / cost * 0.95)
        text = text[len(text) - size :] if keep_end else text[:size]
        message = {**message, "content": text}
        cost = _cost(message, count)
    return message
