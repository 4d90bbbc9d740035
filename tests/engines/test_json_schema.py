"""Values that fit a JSON schema: every schema of the dialect gets one, and what was said goes into it."""

from __future__ import annotations

import string
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.engines.json_schema import fill, fits

NAMES = st.sampled_from(["city", "days", "unit", "to", "body", "items", "flag", "note", "when"])
WORDS = st.text(string.ascii_letters + string.digits + " .'\"_-:,é日", max_size=60)


def numbers(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    whole = st.integers(-50, 50)

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": kind}
        low = draw(st.none() | whole)
        if low is not None:
            schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
        if draw(st.booleans()):
            span = draw(st.integers(12, 100))
            schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = (low or 0) + span
        if draw(st.booleans()):
            schema["multipleOf"] = draw(st.integers(1, 5))
        return schema

    return build()


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if draw(st.booleans()):
        schema["minLength"] = draw(st.integers(0, 8))
    if draw(st.booleans()):
        schema["maxLength"] = schema.get("minLength", 0) + draw(st.integers(0, 8))
    return schema


LEAVES = (
    strings()
    | numbers("integer")
    | numbers("number")
    | st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {},
            {"type": "string", "format": "date"},
            {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
            {"type": ["string", "null"]},
            {"type": "string", "default": "x"},
            {"const": 5},
        ]
    )
    | st.lists(st.text(min_size=1, max_size=4) | st.integers(), min_size=1, max_size=4).map(
        lambda e: {"enum": e}
    )
)


def larger(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def objects(draw: st.DrawFn) -> dict[str, Any]:
        properties = draw(st.dictionaries(NAMES, inner, max_size=4))
        required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
        schema = {"type": "object", "properties": properties, "required": required}
        if draw(st.booleans()):
            schema["additionalProperties"] = False
        return schema

    @st.composite
    def arrays(draw: st.DrawFn) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array", "items": draw(inner)}
        if draw(st.booleans()):
            schema["minItems"] = draw(st.integers(0, 3))
        if draw(st.booleans()):
            schema["maxItems"] = schema.get("minItems", 0) + draw(st.integers(0, 3))
        return schema

    choices = st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    return objects() | arrays() | choices


SCHEMAS = st.dictionaries(NAMES, st.recursive(LEAVES, larger, max_leaves=6), min_size=1, max_size=4).map(
    lambda p: {"type": "object", "properties": p, "required": sorted(p)}
)


@pytest.mark.slow
@given(SCHEMAS, WORDS, st.booleans())
def test_every_schema_gets_a_value_that_fits(schema: dict[str, Any], text: str, optional: bool) -> None:
    value = fill(schema, text, optional=optional)
    jsonschema.validate(value, schema)
    assert fits(value, schema)
    assert value == fill(schema, text, optional=optional)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "look in Buenos Aires now", "Buenos Aires"),
        ({"type": "string"}, 'say "good night" to them', "good night"),
        ({"type": "integer", "minimum": 2}, "1 or 7 days", 7),
        ({"type": "number"}, "about 2.5 of it", 2.5),
        ({"enum": ["celsius", "fahrenheit"]}, "in Fahrenheit please", "fahrenheit"),
        ({"type": "string", "default": "now"}, "whenever", "now"),
    ],
)
def test_values_in_the_text_are_used(schema: dict[str, Any], text: str, value: object) -> None:
    wrapped = {"type": "object", "properties": {"it": schema}, "required": ["it"]}
    assert fill(wrapped, text) == {"it": value}


def test_no_schema_is_an_empty_object() -> None:
    assert fill(None) == {}
    assert fill({"type": "object", "properties": {"a": {"type": "string"}}}) == {}


def test_references_and_recursion_come_to_an_end() -> None:
    node = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        },
        "required": ["name", "next"],
    }
    schema = {"$defs": {"node": node}, "$ref": "#/$defs/node"}
    jsonschema.validate(fill(schema), schema)
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    tree["required"] = ["children"]
    jsonschema.validate(fill(tree), tree)


def test_what_pydantic_writes_is_understood() -> None:
    from pydantic import BaseModel, Field

    class Leg(BaseModel):
        start: str
        end: str
        hours: float = Field(gt=0, le=24)

    class Trip(BaseModel):
        legs: list[Leg] = Field(min_length=2)
        note: str | None = None
        tags: set[str] = Field(min_length=3)

    Trip.model_validate(fill(Trip.model_json_schema(), "a trip"))
    Trip.model_validate(fill(Trip.model_json_schema(), "a trip", optional=True))


@pytest.mark.parametrize(
    "schema", [{"$ref": "#/$defs/none"}, {"$ref": "https://example.com/x"}, {"$ref": "#"}], ids=str
)
def test_a_schema_without_a_value_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="refers to"):
        fill({"type": "object", "properties": {"a": schema}, "required": ["a"]})


def test_only_objects_fit() -> None:
    assert not fits([1], None)
    assert fits({}, None)
    assert not fits({}, {"type": "object", "required": ["a"]})
