"""Prompts for language models of about a hundred million parameters, and limits on their answers.

Such a model works best with three example turns, greedy decoding with DRY sampling against repetition, and a
stop after two sentences unless the user asked for more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from .base import Call, TextPiece

__all__ = [
    "SAMPLING",
    "AnswerLimit",
    "agrees",
    "answer_limit",
    "call_prompt",
    "chat_prompt",
    "error_of",
    "fit",
    "result_prompt",
    "spoken_result",
    "without_label",
]

_OVERHEAD = 8  # tokens of the chat template per message, approximately
_BLOCKS = 3  # a block is a third of the room: old turns are dropped together, so the prefix changes rarely


def fit(messages: Sequence[dict[str, Any]], room: int, count: Callable[[str], int]) -> list[dict[str, Any]]:
    """Return ``messages`` reduced to ``room`` tokens.

    The leading system messages stay. The oldest turns are dropped in blocks that end before a user message,
    so that the prompt's beginning stays the same for several turns. Messages that are too long by themselves
    are shortened: instructions at their end, the last turn at its beginning.
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
    total, block, dropped, first = sum(costs), max(left // _BLOCKS, 1), 0, 0
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
    return count(str(text)) + (count(json.dumps(calls)) if calls else 0) + _OVERHEAD


def _shorten(
    message: dict[str, Any], room: int, count: Callable[[str], int], *, keep_end: bool
) -> dict[str, Any]:
    text, cost = str(message.get("content") or ""), _cost(message, count)
    while text and cost > room:
        size = int(len(text) * max(room - _OVERHEAD, 0) / cost * 0.95)
        text = text[len(text) - size :] if keep_end else text[:size]
        message = {**message, "content": text}
        cost = _cost(message, count)
    return message


SAMPLING: dict[str, Any] = {
    "temperature": 0,
    "dry_multiplier": 0.8,
    "dry_allowed_length": 3,
    "dry_penalty_last_n": 512,
}

_STYLE = "Answer in one or two short, friendly sentences."
_SHOTS = (
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
    ("I had a long day today.", "That sounds tiring. I hope you can rest a little now."),
    ("How do I cook rice?", "Boil one cup of rice in two cups of water for about fifteen minutes."),
)
_MORE = re.compile(
    r"\b(stor(?:y|ies)|poem|song|lists?|long(?:er)?|essay|detail(?:s|ed)?|step by step|recite|"
    r"count (?:from|to)|everything|paragraphs?|continue|go on|explain|letter|speech|as much as)\b",
    re.I,
)
_COUNT = re.compile(r"\b(one|two|three|four|five|six|seven|eight|nine|ten|\d+|a single) sentences?\b", re.I)
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_END = re.compile(r"[.!?…][\"')\]]*\Z")
_TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|e\.g|i\.e|vs|[A-Z])\.\Z")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LABEL = re.compile(r"\A(?:A|Q|AI|Answer|Assistant|Result)\s*:\s*")
_LABEL_START = re.compile(r"(?:A|Q|AI|Answer|Assistant|Result)\s*")
_FEW = 4  # values of a result that one sentence can contain
_RESULT_SIZE = 800  # characters of a tool's output that the model is given


class AnswerLimit:
    """A limit on the sentences and tokens of an answer."""

    def __init__(self, sentences: int | None, tokens: int) -> None:
        self.sentences = sentences
        self.tokens = tokens
        self._text = ""

    def reached(self, piece: str) -> bool:
        """Take the next piece; return whether the answer was complete before it."""
        if self.sentences is not None and piece[:1].isspace() and _END.search(self._text):
            if not _TITLE.search(self._text):
                self.sentences -= 1
            if self.sentences <= 0:
                return True
        if self.sentences is not None and "\n" in piece and self._text.strip():
            return True
        self._text += piece
        return False


def answer_limit(text: str) -> AnswerLimit:
    """Return how long an answer to ``text`` may be: two sentences, unless it asks for more."""
    if wanted := _COUNT.search(text):
        word = wanted[1].lower()
        number = int(word) if word.isdigit() else _WORDS.index(word) + 1 if word in _WORDS else 1
        return AnswerLimit(max(1, number), 48 * max(1, min(number, 40)))
    if _MORE.search(text):
        return AnswerLimit(None, 640)
    return AnswerLimit(2, 120)


def chat_prompt(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return ``messages`` with the style and three example turns, and without tool calls and outputs."""
    head = [str(m.get("content") or "") for m in _leading(messages)]
    prompt = [{"role": "system", "content": "\n\n".join([*(h for h in head if h), _STYLE])}]
    for asked, answered in _SHOTS:
        prompt += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    for message in messages[len(head) :]:
        if message.get("role") in ("user", "assistant", "system") and message.get("content"):
            prompt.append({"role": str(message["role"]), "content": str(message["content"])})
    return prompt


def call_prompt(tool: Mapping[str, Any], example: tuple[str, str], text: str) -> list[dict[str, Any]]:
    """Return the prompt for the arguments of ``tool``; ``example`` is a request and its arguments."""
    about = f"Fill in the arguments of {tool['name']} as JSON with the user's own words."
    return [
        {"role": "system", "content": f"{about} {tool.get('description') or ''}".strip()},
        {"role": "user", "content": example[0]},
        {"role": "assistant", "content": example[1]},
        {"role": "user", "content": text},
    ]


def result_prompt(text: str, output: str) -> list[dict[str, Any]]:
    """Return the prompt for a sentence that gives a tool's ``output`` to the user, who asked ``text``."""
    examples = [
        ("How long is the film?", '{"film": "Metropolis", "minutes": 153}', "The film is 153 minutes long."),
        ("Is the shop open today?", '{"open": false, "opens": "Monday"}', "The shop opens on Monday."),
        ("Remind me to call Ada.", '{"ok": true}', "Done."),
    ]
    prompt = [{"role": "system", "content": "Say the result to the user in one short sentence."}]
    for asked, result, answered in examples:
        prompt.append({"role": "user", "content": f"Question: {asked}\nResult: {result}"})
        prompt.append({"role": "assistant", "content": answered})
    prompt.append({"role": "user", "content": f"Question: {text}\nResult: {output[:_RESULT_SIZE]}"})
    return prompt


def without_label(pieces: Iterable[TextPiece | Call]) -> Iterator[TextPiece]:
    """Yield the text without leading space and without a label such as "A:", which small models add."""
    held, tokens, started = "", 0, False
    for piece in pieces:
        if not isinstance(piece, TextPiece):
            continue
        if started:
            yield piece
            continue
        held, tokens = held + piece.text, tokens + piece.tokens
        bare = _LABEL.sub("", held.lstrip())
        if bare.strip() and not _LABEL_START.fullmatch(bare):
            started = True
            yield TextPiece(bare, tokens)
    if not started and held.strip():
        yield TextPiece(held.strip(), tokens)


def error_of(output: str) -> str | None:
    """Return the error in a tool's output, if it has one."""
    errors = [str(value) for name, value in _leaves(output) if name == "error"]
    return errors[0] if errors else None


def agrees(answer: str, output: str, text: str) -> bool:
    """Return whether ``answer`` has a value of ``output``, and numbers only of ``output`` or ``text``."""
    numbers = set(_NUMBER.findall(answer))
    if not numbers <= set(_NUMBER.findall(f"{output} {text}")):
        return False
    leaves = [str(v).lower().strip(". ") for _, v in _leaves(output) if not isinstance(v, bool)]
    if len(leaves) <= _FEW and not all(set(_NUMBER.findall(v)) <= numbers for v in leaves):
        return False
    return not leaves or any(v in answer.lower() for v in leaves)


def spoken_result(output: str) -> str:
    """Return ``output`` as a sentence, for use if the model's own sentence does not agree with it."""
    if error := error_of(output):
        return f"That did not work: {error.rstrip('.')}."
    leaves = [(n, v) for n, v in _leaves(output) if not (v is True and n in ("ok", "success", "done"))]
    if not leaves:
        return "That is done."
    parts = [f"{name} {_spoken(value)}".strip() for name, value in leaves[:8]]
    return f"Here is the result: {', '.join(parts).rstrip('.')}."


def _leading(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    head: list[Mapping[str, Any]] = []
    for message in messages:
        if message.get("role") != "system":
            break
        head.append(message)
    return head


def _leaves(output: str) -> list[tuple[str, Any]]:
    """Return (name, value) of each leaf of a JSON text; any other text is one leaf without a name."""
    try:
        value = orjson.loads(output)
    except orjson.JSONDecodeError:
        value = output.strip()
    found: list[tuple[str, Any]] = []

    def walk(name: str, node: Any) -> None:
        if isinstance(node, dict):
            for key, child in node.items():
                walk(str(key).replace("_", " "), child)
        elif isinstance(node, list):
            for child in node:
                walk(name, child)
        elif node not in ("", None):
            found.append((name, node))

    try:
        walk("", value)
    except RecursionError:
        return [("", output.strip())]
    return found


def _spoken(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
