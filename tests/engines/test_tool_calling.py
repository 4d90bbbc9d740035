"""Tool or no tool, and what the arguments may be: decided by words, without a model."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from engines.test_json_schema import SCHEMAS, WORDS
from hypothesis import given

from rtnb.engines import tool_calling
from rtnb.engines.json_schema import fill


def tool(name: str, about: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "name": name, "description": about, "parameters": schema}


TEXT = {"type": "string"}
WEATHER = tool(
    "get_weather",
    "Get the current weather for a city.",
    {"city": TEXT, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    ["city"],
)
TIMER = tool("set_timer", "Start a timer.", {"minutes": {"type": "integer", "minimum": 1}}, ["minutes"])
LIGHT = tool("turnOnLight", "Switch a lamp on or off.", {"room": TEXT}, ["room"])
TOOLS = [WEATHER, TIMER, LIGHT]


def chosen(text: str, choice: Any = "auto", *before: dict[str, Any]) -> str | None:
    found = tool_calling.choose([*before, {"role": "user", "content": text}], TOOLS, choice)
    return found and str(found["name"])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("What is the weather in Paris?", "get_weather"),
        ("Will it rain in Oslo tomorrow?", "get_weather"),
        ("Set a timer for five minutes.", "set_timer"),
        ("Please switch off the kitchen lamp.", "turnOnLight"),
        ("Use turnOnLight now", "turnOnLight"),
        ("Tell me a joke.", None),
        ("Who are you?", None),
        ("What is your favourite colour?", None),
        ("", None),
    ],
)
def test_shared_words_choose(text: str, name: str | None) -> None:
    assert chosen(text) == name


def test_the_choice_of_the_session_is_obeyed() -> None:
    assert chosen("What is the weather?", "none") is None
    assert chosen("Hello.", "required") == "get_weather"
    assert chosen("Set a timer.", {"type": "function", "name": "turnOnLight"}) == "turnOnLight"
    assert tool_calling.choose([{"role": "user", "content": "the weather"}], [], "required") is None


def test_a_follow_up_means_the_same_tool() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "get_weather"}}]}
    told = {"role": "tool", "content": "sunny"}
    assert chosen("And in Rome?", "auto", called, told) == "get_weather"
    assert chosen("Thank you.", "auto", called, told) is None
    assert chosen("And in Rome?") is None
    assert tool_calling.choose([{"role": "user", "content": "weather"}, called, told], TOOLS, "auto") is None


def test_strings_become_spans_and_numbers_those_in_the_text() -> None:
    narrow = tool_calling.narrowed_schema(WEATHER, "What is the weather in Buenos Aires tomorrow?")
    cities = narrow["properties"]["city"]["enum"]
    assert "Buenos Aires" in cities
    assert "Buenos" not in cities
    assert "Aires" not in cities
    assert "unit" not in narrow["properties"]
    assert "unit" in tool_calling.narrowed_schema(WEATHER, "Paris in fahrenheit")["properties"]
    assert tool_calling.narrowed_schema(TIMER, "a timer for twenty five minutes")["properties"][
        "minutes"
    ] == {"enum": [25]}
    assert tool_calling.narrowed_schema(TIMER, "1,500 minutes or ninety")["properties"]["minutes"] == {
        "enum": [1500, 90]
    }
    switch = tool(
        "switch", "", {"room": {"enum": ["kitchen", "bedroom"]}, "on": {"type": "boolean"}}, ["room", "on"]
    )
    narrow = tool_calling.narrowed_schema(switch, "Switch off the Bedroom, please")
    assert narrow["properties"] == {"room": {"enum": ["bedroom"]}, "on": {"enum": [False]}}
    assert (
        tool_calling.narrowed_schema(switch, "Switch it.")["properties"] == switch["parameters"]["properties"]
    )
    assert (
        tool_calling.narrowed_schema({"type": "function", "name": "now"}, "what time is it")["properties"]
        == {}
    )


@given(SCHEMAS, WORDS)
def test_what_fits_the_narrowed_schema_fits_the_tool(schema: dict[str, Any], text: str) -> None:
    narrow = tool_calling.narrowed_schema({"name": "tool", "parameters": schema}, text)
    jsonschema.validate(fill(narrow, ""), schema)


@given(SCHEMAS)
def test_an_example_fits_its_own_schema(schema: dict[str, Any]) -> None:
    asked, arguments = tool_calling.example({"name": "do_it", "parameters": schema})
    assert asked.startswith("Use do it")
    jsonschema.validate(json.loads(arguments), schema)


def test_an_example_is_a_request_in_words() -> None:
    assert tool_calling.example(WEATHER) == ("Use get weather with city Lisbon.", '{"city": "Lisbon"}')
    assert tool_calling.example({"name": "now"}) == ("Use now.", "{}")
