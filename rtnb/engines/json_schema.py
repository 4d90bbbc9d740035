"""Values that match a JSON schema, generated without a model.

The fake engine calls tools with them, and the local engine shows a small model an example of a tool's
arguments. The schema dialect is what function tools use in practice: ``type`` (a name or a list), ``enum``,
``const``, ``properties``/``required``, ``items``/``prefixItems``, numeric, length and count bounds,
``anyOf``/``oneOf``/ ``allOf``, ``$ref`` within the schema, ``format`` and simple ``pattern``s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["fill", "fits"]

# A schema that requires itself has no finite value; valid recursion ends in an empty list or null before
# this.
_DEEPEST = 40
# From this depth on the shortest alternative is taken, so that a recursive schema terminates.
_SHALLOW = 4

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# Tried where a schema has a pattern that nothing else matches.
_PATTERN_SAMPLES = ("a", "A", "1", "aaa", "AAA", "123", "12345", "AB-123", "#a0b1c2", "+15550100")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_QUOTED = re.compile(r"[\"“«](.+?)[\"”»]")
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][\w'-]*(?: [A-Z][\w'-]*)*")


def fill(schema: Mapping[str, Any] | bool | None, text: str = "", *, optional: bool = False) -> Any:
    """Return a JSON value that matches ``schema``; None means an object without properties.

    Each position takes the first of: ``const``; the ``enum`` member that ``text`` names, or the first member;
    a value in ``text`` (numbers in order, "city Paris", quoted words, proper names); ``default``; the first
    of ``examples``; the bounds. An object gets its required properties, with ``optional`` all of them.

    Raises:
        ValueError: The schema requires itself without end, or has a ``$ref`` to something not in it.
    """
    root: Mapping[str, Any] | bool = {"type": "object"} if schema is None else schema
    return _Filler(root, text, optional).value(root, "", 0)


def fits(value: Any, schema: Mapping[str, Any] | None) -> bool:
    """Return whether ``value`` is an object that matches ``schema``.

    Without the package jsonschema, return whether it is an object.
    """
    if not isinstance(value, dict):
        return False
    try:
        import jsonschema
    except ImportError:
        return True
    try:
        jsonschema.validate(value, schema or {})
    except (jsonschema.ValidationError, jsonschema.SchemaError):
        return False
    return True


class _Filler:
    def __init__(self, root: Mapping[str, Any] | bool, text: str, optional: bool) -> None:
        self.root = root
        self.text = text
        self.optional = optional
        self.numbers = [float(n) for n in _NUMBER.findall(text)]
        quoted = _QUOTED.findall(text)
        self.phrases: list[str] = quoted or _NAME.findall(text)

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("the schema refers to itself without an end")
        if not isinstance(schema, Mapping):
            return {}
        schema = self._flat(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._member(schema["enum"])
        kind = _kind(schema, depth)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, kind)
        if kind == "string":
            return self._string(schema, name)
        if kind == "boolean":
            return bool(schema.get("default", True))
        return None

    def _flat(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Resolve references, choose among alternatives and merge ``allOf``."""
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                rest = {k: v for k, v in schema.items() if k != "$ref"}
                schema = _merge(self._target(schema["$ref"]), rest)
            elif schema.get("allOf"):
                merged: Mapping[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
                for part in schema["allOf"]:
                    merged = _merge(merged, part if isinstance(part, Mapping) else {})
                schema = merged
            elif word := next((w for w in ("anyOf", "oneOf") if schema.get(w)), None):
                rest = {k: v for k, v in schema.items() if k != word}
                options = [o for o in schema[word] if isinstance(o, Mapping)] or [{}]
                null = next((o for o in options if o.get("type") == "null"), None)
                others = [o for o in options if o is not null] or options
                plain = [o for o in others if "$ref" not in o] or others
                chosen = others[0] if depth < _SHALLOW else (null or plain[0])
                schema = _merge(rest, chosen)
            else:
                return schema
        raise ValueError("the schema refers to itself without an end")

    def _target(self, ref: str) -> Mapping[str, Any]:
        node: Any = self.root
        if not ref.startswith("#"):
            raise ValueError(f"the schema refers to {ref!r}, which is not inside it")
        for step in ref.lstrip("#").strip("/").split("/") if ref != "#" else ():
            step = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, Mapping) or step not in node:
                raise ValueError(f"the schema refers to {ref!r}, which is not inside it")
            node = node[step]
        return node if isinstance(node, Mapping) else {}

    def _member(self, members: Sequence[Any]) -> Any:
        for member in members:
            if isinstance(member, str) and re.search(rf"(?<!\w){re.escape(member)}(?!\w)", self.text, re.I):
                return member
        return members[0]

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        names = [n for n in schema.get("required") or () if isinstance(n, str)]
        if self.optional and depth < _SHALLOW:
            names += [n for n in properties if n not in names]
        extra = schema.get("additionalProperties", {})
        result = {n: self.value(properties.get(n, _typed(extra)), n, depth + 1) for n in names}
        spare = [n for n in properties if n not in result]
        while len(result) < int(schema.get("minProperties", 0)):
            name = spare.pop(0) if spare else f"key{len(result) + 1}"
            result[name] = self.value(properties.get(name, _typed(extra)), name, depth + 1)
        return result

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        first = list(schema.get("prefixItems") or ())
        items = schema.get("items", {})
        want = least if depth >= _SHALLOW else max(least, len(first), 0 if items is False else 1)
        want = max(want, 1 if "contains" in schema else 0)
        if most is not None:
            want = min(want, int(most))
        each = _typed(schema.get("contains", items))
        result: list[Any] = []
        for i in range(want):
            part = first[i] if i < len(first) else each
            item = self.value(part, name, depth + 1)
            if schema.get("uniqueItems") and item in result:
                item = self._other(part, result, item, depth)
            result.append(item)
        return result

    def _other(self, schema: Any, taken: list[Any], item: Any, depth: int) -> Any:
        """Return a value that matches ``schema`` and is not in ``taken``; ``item`` if none is found."""
        flat = self._flat(schema, depth) if isinstance(schema, Mapping) else {}
        choices: list[Any] = list(flat.get("enum") or ())
        if isinstance(item, bool):
            choices = [True, False]
        elif isinstance(item, int | float):
            step = flat.get("multipleOf", 1)
            choices += [item + step * k for k in range(1, len(taken) + 2)]
            choices += [item - step * k for k in range(1, len(taken) + 2)]
            choices = [c for c in choices if _within(c, flat)]
        elif isinstance(item, str) and not choices:
            most = flat.get("maxLength")
            for k in range(2, len(taken) + 3):
                tail = str(k)
                choices.append((item if most is None else item[: int(most) - len(tail)]) + tail)
        elif isinstance(item, dict):
            for key, value in item.items():
                part = (flat.get("properties") or {}).get(key)
                fresh = self._other(part, [t[key] for t in taken], value, depth)
                choices.append({**item, key: fresh})
        return next((c for c in choices if c not in taken), item)

    def _number(self, schema: Mapping[str, Any], kind: str) -> int | float:
        step = schema.get("multipleOf") or (1 if kind == "integer" else None)
        if kind == "integer" and step is not None and step != int(step):
            step = 1
        wanted: float | None = None
        for i, number in enumerate(self.numbers):
            even = step is None or math.isclose(number / step, round(number / step))
            if even and _within(number, schema):
                wanted = self.numbers.pop(i)
                break
        if wanted is None:
            given = [schema.get("default"), *(schema.get("examples") or ())]
            wanted = next((n for n in given if isinstance(n, int | float) and _within(n, schema)), None)
        if wanted is None:
            wanted = _inside(schema, step)
        return round(wanted) if kind == "integer" or float(wanted).is_integer() else wanted

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        given = [schema.get("default"), *(schema.get("examples") or ())]
        sample = _FORMATS.get(str(schema.get("format")))
        from_text = [] if sample else [self._from_text(name)]
        candidates = [c for c in (*from_text, *given, sample) if isinstance(c, str) and c]
        pattern = schema.get("pattern")
        if pattern is not None:
            candidates += [*re.findall(r"[\w.+@:-]+", self.text), *_FORMATS.values(), *_PATTERN_SAMPLES]
        candidates += [name.replace("_", " ") or "text"]
        for text in candidates:
            if _fits(text, schema, pattern):
                if from_text and text == from_text[0] and text in self.phrases:
                    self.phrases.remove(text)
                return text
        text = candidates[0]
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        if len(text) < least:
            text += "." * (least - len(text))
        return text if most is None else text[: int(most)]

    def _from_text(self, name: str) -> str | None:
        """Return the value of the property ``name`` in the text, if it has one."""
        if name:
            words = re.escape(name).replace("_", r"[ _]")
            named = re.search(rf"\b{words}\b(?:\s*[:=]\s*|\s+(?:is\s+)?)([\w'-]+)", self.text, re.I)
            if named:
                return named.group(1)
        return self.phrases[0] if self.phrases else None


def _typed(schema: Any) -> Any:
    """Return ``schema``, or that of a string where there is none."""
    return schema if isinstance(schema, Mapping) and schema else {"type": "string"}


def _kind(schema: Mapping[str, Any], depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list | tuple):
        if depth >= _SHALLOW and "null" in kind:
            return "null"
        return next((str(k) for k in kind if k != "null"), "null")
    if isinstance(kind, str):
        return kind
    if any(w in schema for w in ("properties", "required", "additionalProperties", "minProperties")):
        return "object"
    if any(w in schema for w in ("items", "prefixItems", "minItems", "contains")):
        return "array"
    if any(w in schema for w in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")):
        return "number"
    return "string"


def _merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**first, **second}
    if "properties" in first and "properties" in second:
        merged["properties"] = {**first["properties"], **second["properties"]}
    if "required" in first and "required" in second:
        merged["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    return merged


def _bounds(schema: Mapping[str, Any]) -> tuple[float, bool, float, bool]:
    """Return (minimum, whether it is excluded, maximum, whether it is excluded)."""
    least, most = float(schema.get("minimum", -math.inf)), float(schema.get("maximum", math.inf))
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    open_low, open_high = low is True, high is True  # flags in draft 4
    if isinstance(low, int | float) and not isinstance(low, bool) and low >= least:
        least, open_low = float(low), True
    if isinstance(high, int | float) and not isinstance(high, bool) and high <= most:
        most, open_high = float(high), True
    return least, open_low, most, open_high


def _within(number: float, schema: Mapping[str, Any]) -> bool:
    least, open_low, most, open_high = _bounds(schema)
    above = number > least if open_low else number >= least
    return above and (number < most if open_high else number <= most)


def _inside(schema: Mapping[str, Any], step: float | None) -> float:
    """Return the smallest number within the bounds, or 1 without a lower bound."""
    least, open_low, most, open_high = _bounds(schema)
    start = least if math.isfinite(least) else min(1.0, most)
    if step is None:
        if not open_low or start > least:
            return start if not (open_high and start >= most) else most - 1.0
        return (least + most) / 2 if math.isfinite(most) else least + 1.0
    multiple = math.ceil(start / step - 1e-9)
    if open_low and multiple * step <= least:
        multiple += 1
    while not _within(multiple * step, schema) and multiple * step > least:
        multiple -= 1
    return multiple * step


def _fits(text: str, schema: Mapping[str, Any], pattern: str | None) -> bool:
    if not int(schema.get("minLength", 0)) <= len(text) <= int(schema.get("maxLength", len(text))):
        return False
    if pattern is None:
        return True
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True
