"""Tool calls for a language model that is too small to make them reliably.

A model of 135M parameters chooses between "tool" and "no tool" little better than chance, and copies
arguments from the example in its prompt. So the tool is chosen by the words it shares with the user's
message, and the schema that constrains the arguments is narrowed to that message: free strings become spans
of it, numbers and enums the ones it contains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .json_schema import fill

__all__ = ["choose", "example", "narrowed_schema", "user_text"]

_MIN_SCORE = 2.0  # one word of a tool's name, or two of its description
_FOLLOW_UP = 6  # words; "and in Rome?" after a call means the same tool again
_MAX_SPAN = 7  # words
_MAX_SPANS = 120


def _words(text: str) -> list[str]:
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [w.replace("'", "") for w in re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())]


_STOP = frozenset(
    _words(
        "a about all also am an and any are as at be been but by can could did do does for from get gets"
        " given give had has have he her him his how i if in into is it its just let like may me might my no"
        " not of off on one or our out please return returns say saying says set she should so some tell than"
        " that the their them then there these they this to up us use used user want was we were what when"
        " where which who why will with would you your"
    )
)
_CONCEPTS = {
    "weather": "rain rainy raining snow snowing sunny cloudy wind windy forecast umbrella hot cold warm",
    "time": "clock hour oclock",
    "calculate": "calculator compute sum plus minus times divided multiply multiplied add subtract percent",
    "email": "mail",
    "light": "lamp lights bright brightness dim",
    "timer": "alarm remind reminder wake",
    "search": "find look lookup google",
    "price": "cost costs expensive worth",
    "translate": "translation",
    "order": "buy purchase",
}
_CONCEPT = {word: concept for concept, words in _CONCEPTS.items() for word in [concept, *words.split()]}
_UNITS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
)
_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")
_YES = re.compile(r"\b(on|yes|true|enable|start|open)\b", re.I)
_NO = re.compile(r"\b(off|no|not|false|disable|stop|close|don't|without)\b", re.I)
# Values of an example, by words in a property's name; a user is unlikely to say any of them.
_SAMPLES = {
    "city location place country address": "Lisbon",
    "name person user recipient to": "Ophelia",
    "date day": "the first of May",
    "query question term topic": "blue whales",
    "message text body note content title": "water the ferns",
}


def user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the last user message; "" if there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return str(message.get("content") or "")
    return ""


def choose(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    tool_choice: str | Mapping[str, Any],
) -> Mapping[str, Any] | None:
    """Return the tool to call next, or None for an answer in words."""
    functions = [t for t in tools if t.get("type", "function") == "function" and t.get("name")]
    if not functions or tool_choice == "none":
        return None
    if isinstance(tool_choice, Mapping):
        return next((t for t in functions if t["name"] == tool_choice.get("name")), None)
    answering = bool(messages) and messages[-1].get("role") == "tool"
    if answering and tool_choice != "required":
        return None
    text = user_text(messages)
    scores = [_score(text, tool) for tool in functions]
    best = functions[scores.index(max(scores))]
    if tool_choice == "required" or max(scores) >= _MIN_SCORE:
        return best
    last = _last_called(messages)
    if (
        last
        and len(text.split()) <= _FOLLOW_UP
        and re.match(r"\W*(and|what about|how about|now)\b", text, re.I)
    ):
        return next((t for t in functions if t["name"] == last), None)
    return None


def narrowed_schema(tool: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return the tool's schema narrowed to the values in ``text``; what matches it matches the schema."""
    root = dict(tool.get("parameters") or {"type": "object", "properties": {}})
    return _narrow(root, text, _spans(text, _STOP.union(_words(str(tool["name"])))), _numbers(text), True)


def example(tool: Mapping[str, Any]) -> tuple[str, str]:
    """Return a request that a user could make and its arguments, generated from the tool's schema."""
    schema = tool.get("parameters")
    try:
        value = fill(_sampled(dict(schema)) if isinstance(schema, Mapping) else None, "")
    except ValueError:
        value = {}
    values = " and ".join(f"{k.replace('_', ' ')} {_plain(v)}" for k, v in value.items())
    name = str(tool["name"]).replace("_", " ")
    return f"Use {name}{' with ' + values if values else ''}.", json.dumps(value, ensure_ascii=False)


def _stems(text: str) -> set[str]:
    words = (w for w in _words(text) if w not in _STOP)
    return {_CONCEPT.get(w) or _CONCEPT.get(_stem(w)) or _stem(w) for w in words}


def _stem(word: str) -> str:
    for end in ("ing", "ies", "es", "ed", "s"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word[: -len(end)]
    return word


def _score(text: str, tool: Mapping[str, Any]) -> float:
    if str(tool["name"]).lower() in text.lower():
        return 10.0
    spoken = _stems(text)
    name = _stems(str(tool["name"]))
    rest = _stems(str(tool.get("description") or "")) - name
    schema = tool.get("parameters")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    values = {
        str(v) for p in (properties or {}).values() if isinstance(p, Mapping) for v in p.get("enum") or ()
    }
    keys = _stems(" ".join([*(properties or {}), *values])) - name - rest
    return 2.0 * len(spoken & name) + 1.0 * len(spoken & rest) + 0.5 * len(spoken & keys)


def _last_called(messages: Sequence[Mapping[str, Any]]) -> str | None:
    for message in reversed(messages[-6:]):
        for call in message.get("tool_calls") or ():
            return str((call.get("function") or call).get("name"))
    return None


def _numbers(text: str) -> list[float]:
    """Return the numbers in ``text``, in digits or in words up to ninety-nine."""
    found = [
        float(n)
        for n in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])", re.sub(r"(?<=\d),(?=\d)", "", text))
    ]
    tens = 0
    for word in [*_words(text), ""]:
        if word in _TENS:
            tens = 20 + 10 * _TENS.index(word)
        elif word in _UNITS:
            found.append(float(tens + _UNITS.index(word)))
            tens = 0
        elif tens:
            found.append(float(tens))
            tens = 0
    return list(dict.fromkeys(found))


def _spans(text: str, edges: frozenset[str]) -> list[str]:
    """Return the spans of ``text`` that can be an argument: within one sentence, and not splitting a name.

    A span neither starts nor ends with one of ``edges``.
    """
    words = text.split()
    bare = [w.strip(".,;:!?\"'()").lower() for w in words]
    # A capitalized word that is not a stop word: part of a name if its neighbour is one as well.
    capital = [w[:1].isupper() and b not in _STOP for w, b in zip(words, bare, strict=True)]
    joined = [capital[i] and capital[i + 1] and words[i][-1].isalnum() for i in range(len(words) - 1)]
    spans: list[str] = []
    for size in range(1, min(_MAX_SPAN, len(words)) + 1):
        for start in range(len(words) - size + 1):
            end = start + size - 1
            if (start and joined[start - 1]) or (end < len(joined) and joined[end]):
                continue
            if any(w[-1] in ".!?;" for w in words[start:end]):
                continue
            if bare[start] in edges or bare[end] in edges or not bare[start] or not bare[end]:
                continue
            spans.append(" ".join(words[start : end + 1]).strip(".,;:!?\"'()"))
    return list(dict.fromkeys(spans))[:_MAX_SPANS]


def _narrow(
    schema: dict[str, Any], text: str, spans: list[str], numbers: list[float], top: bool = False
) -> dict[str, Any]:
    if "const" in schema or "$ref" in schema:
        return schema
    if members := schema.get("enum"):
        named = [m for m in members if re.search(rf"(?<!\w){re.escape(str(m))}(?!\w)", text, re.I)]
        return {**schema, "enum": named} if named else schema
    kind = schema.get("type")
    if kind == "boolean" and (no := _NO.search(text) is not None) != (_YES.search(text) is not None):
        return {"enum": [not no]}
    if kind == "string" and not {"format", "pattern"} & schema.keys():
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        fitting = [s for s in spans if len(s) >= least and (most is None or len(s) <= int(most))]
        return {"type": "string", "enum": fitting} if fitting else schema
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
        plain = not {"multipleOf", "exclusiveMinimum", "exclusiveMaximum"} & schema.keys()
        allowed = [n for n in numbers if low <= n <= high and (kind == "number" or n.is_integer())]
        if plain and allowed:
            return {"enum": [int(n) if n.is_integer() else n for n in allowed]}
        return schema
    if kind == "array" and isinstance(schema.get("items"), dict):
        return {**schema, "items": _narrow(schema["items"], text, spans, numbers)}
    properties = schema.get("properties")
    if isinstance(properties, dict):
        required = [n for n in schema.get("required") or () if n in properties]
        kept = [n for n in properties if n in required or _mentioned(n, properties[n], text, numbers)]
        narrowed = {
            n: _narrow(properties[n], text, spans, numbers)
            if isinstance(properties[n], dict)
            else properties[n]
            for n in kept
        }
        # A property that the user did not mention is left out, and one that they mentioned is required.
        return {
            **schema,
            "type": "object",
            "properties": narrowed,
            "required": kept,
            "additionalProperties": False,
        }
    return {**schema, "type": "object", "properties": {}, "additionalProperties": False} if top else schema


def _mentioned(name: str, schema: Any, text: str, numbers: list[float]) -> bool:
    if not isinstance(schema, dict):
        return False
    spoken = _stems(text)
    if spoken & _stems(name):
        return True
    if any(_stems(str(v)) & spoken for v in schema.get("enum") or ()):
        return True
    return schema.get("type") in ("integer", "number") and bool(numbers)


def _sampled(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return schema
    changed = {}
    for name, part in properties.items():
        free = isinstance(part, dict) and part.get("type") == "string"
        if free and not {
            "enum",
            "const",
            "format",
            "pattern",
            "default",
            "examples",
            "minLength",
            "maxLength",
        } & set(part):
            words = set(_words(name))
            sample = next((v for k, v in _SAMPLES.items() if words & set(k.split())), "blue lanterns")
            changed[name] = {**part, "default": sample}
        else:
            changed[name] = part
    return {**schema, "properties": changed}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
