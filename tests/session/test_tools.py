from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import numpy as np
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from rtnb.errors import ArgumentError
from rtnb.session.tools import Tool, tool, tools_of


class Place(BaseModel):
    """Where."""

    city: str
    country: str = Field("it", description="Two letters.")


@dataclass
class Span:
    start: int
    end: int = 9


class Point(TypedDict):
    x: float
    y: float


def weather(
    city: str,
    unit: Literal["C", "F"] = "C",
    *,
    days: int = 1,
    hours: Optional[list[int]] = None,  # noqa: UP045
) -> str:
    """Tell the weather.

    Only of the past.

    Args:
        city: A city's English name.
        days: How many days.
    """
    return f"{city} {unit} {days} {hours}"


def run(thing, arguments="{}"):
    return asyncio.run(Tool.of(thing).run(arguments))


def test_a_schema_from_the_signature_and_the_docstring():
    made = tool(weather)
    assert made.wire == {
        "type": "function",
        "name": "weather",
        "description": "Tell the weather.\n\nOnly of the past.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "A city's English name."},
                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                "days": {"type": "integer", "default": 1, "description": "How many days."},
                "hours": {
                    "anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}],
                    "default": None,
                },
            },
            "required": ["city"],
            "additionalProperties": False,
        },
    }
    assert made.function is weather
    assert Tool.of(made) is made
    json.dumps(made.wire)


@pytest.mark.parametrize(
    "doc",
    [
        "Do.\n\nArgs:\n    city: Its name.",
        "Do.\n\nParameters\n----------\ncity : str\n    Its name.",
        "Do.\n\n:param city: Its name.",
    ],
)
def test_docstrings_of_several_styles(doc):
    def do(city: str):
        pass

    do.__doc__ = doc
    made = tool(do)
    assert made.description == "Do."
    assert made.parameters["properties"]["city"]["description"] == "Its name."


def test_nested_types():
    def go(place: Place, span: Span, point: Point, ways: list[Place], more: dict[str, int]) -> str:
        return f"{place.city} {place.country} {span.start}-{span.end} {point['x']} {len(ways)} {more}"

    made = tool(go)
    schema = made.parameters
    assert set(schema["$defs"]) == {"Place", "Span", "Point"}
    assert schema["properties"]["place"] == {"$ref": "#/$defs/Place"}
    assert schema["properties"]["ways"]["items"] == {"$ref": "#/$defs/Place"}
    assert schema["$defs"]["Place"]["properties"]["country"]["description"] == "Two letters."
    assert "title" not in json.dumps(schema)
    arguments = {
        "place": {"city": "Rome"},
        "span": {"start": 1},
        "point": {"x": 0, "y": 1},
        "ways": [{"city": "Bari"}, {"city": "Pisa"}],
        "more": {"a": 1},
    }
    assert run(made, json.dumps(arguments)) == "Rome it 1-9 0.0 2 {'a': 1}"


def test_annotated_types():
    def roll(
        sides: Annotated[int, Field(ge=2, le=100, description="Of the die.")],
        times: Annotated[int, Field(description="Overruled.")] = 1,
    ):
        """Roll a die.

        Args:
            times: How often.
        """
        return sides * times

    made = tool(roll)
    sides = made.parameters["properties"]["sides"]
    assert sides == {"type": "integer", "minimum": 2, "maximum": 100, "description": "Of the die."}
    assert made.parameters["properties"]["times"]["description"] == "How often."
    assert run(made, '{"sides":6}') == "6"
    with pytest.raises(ArgumentError, match="sides: Input should be greater than or equal to 2"):
        run(made, '{"sides":1}')


def test_no_parameters():
    def now():
        return "noon"

    assert tool(now).parameters == {"type": "object", "properties": {}, "additionalProperties": False}
    assert run(now) == run(now, "") == "noon"


@pytest.mark.parametrize(
    "name", ["schema", "json", "copy", "validate", "model_x", "model_config", "_x", "field0", "title"]
)
def test_any_name_of_a_parameter_will_do(name):
    scope: dict[str, Any] = {}
    exec(f"def echo({name}: str, default: str = 'd'): return {name} + default", scope)
    made = tool(scope["echo"])
    assert made.parameters["properties"] == {
        name: {"type": "string"},
        "default": {"type": "string", "default": "d"},
    }
    assert run(made, json.dumps({name: "a"})) == "ad"


def test_defaults_that_are_no_json():
    marker = object()

    def check(a: Any = marker, b: dict[str, str] = {"title": "kept"}):  # noqa: B006
        return a is marker and b["title"]

    made = tool(check)
    assert made.parameters["properties"]["a"] == {}
    assert made.parameters["properties"]["b"]["default"] == {"title": "kept"}
    assert run(made) == "kept"


def test_a_plain_function_runs_on_a_thread_and_an_async_one_on_the_loop():
    def plain():
        return threading.get_ident()

    async def on_loop():
        return threading.get_ident()

    class Later:
        async def __call__(self, a: int = 1):
            return a + 1

    here = str(threading.get_ident())
    assert run(plain) != here
    assert run(on_loop) == here
    assert run(Later()) == "2"
    assert Tool.of(Later()).name == "Later"


def test_a_method():
    class Counter:
        total = 0

        def add(self, n: int) -> int:
            """Add."""
            self.total += n
            return self.total

    counter = Counter()
    made = tool(counter.add)
    assert (made.name, list(made.parameters["properties"])) == ("add", ["n"])
    assert run(made, '{"n":2}') == "2"
    assert counter.total == 2


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("k"), StopIteration(), ZeroDivisionError()])
def test_what_a_function_raises_comes_out(error):
    def fail():
        raise error

    async def fail_later():
        raise error

    for function in (fail, fail_later):
        expected = RuntimeError if isinstance(error, StopIteration) else type(error)
        with pytest.raises(expected):
            asyncio.run(asyncio.wait_for(Tool.of(function).run("{}"), 20))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("{", "the arguments are not JSON"),
        ("[]", "the arguments: expected a JSON object, got list"),
        ("null", "the arguments: expected a JSON object, got NoneType"),
        ("{}", "the arguments do not match: city: Field required"),
        ('{"city":5}', "the arguments do not match: city: Input should be a valid string"),
        ('{"city":"Rome","unit":"K"}', "the arguments do not match: unit: Input should be 'C' or 'F'"),
        ('{"city":"Rome","mood":"fine"}', "the arguments do not match: mood: Extra inputs are not permitted"),
        ('{"city":"Rome","hours":[1,"x"]}', "hours.1: Input should be a valid integer"),
        ('{"field0":"Rome"}', "city: Field required"),
    ],
)
def test_arguments_that_do_not_fit(arguments, sentence):
    with pytest.raises(ArgumentError) as raised:
        run(weather, arguments)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("text", "text"),
        (None, "null"),
        (5, "5"),
        (True, "true"),
        ({"a": [1, 2.5]}, '{"a":[1,2.5]}'),
        ({1: "one"}, '{"1":"one"}'),
        (Place(city="Rome"), '{"city":"Rome","country":"it"}'),
        ([Span(1)], '[{"start":1,"end":9}]'),
        ({3}, "[3]"),
        (np.arange(3), "[0,1,2]"),
        (np.float32(0.5), "0.5"),
        (2**70, str(2**70)),
        (float("nan"), "null"),
        (b"raw", "\"b'raw'\""),
        ("half \ud800", "half ?"),
        (["half \ud800"], '["half \\ud800"]'),
    ],
    ids=range(16),
)
def test_results_become_text(result, text):
    def give():
        return result

    assert run(give) == text


def star(*cities: str):
    pass


def keywords(**more: str):
    pass


def positional(city: str, /):
    pass


def untyped(city):
    pass


def stranger(city: Nowhere):  # noqa: F821
    pass


def broken(city: "not python at all"):  # noqa: F722
    pass


def handler(call: threading.Lock):
    pass


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        (star, "star: a tool's parameters must be passed by name, got *cities"),
        (keywords, "keywords: a tool's parameters must be passed by name, got **more"),
        (positional, "positional: a tool's parameters must be passed by name, got city"),
        (untyped, "untyped: the parameter 'city' needs a type, such as str"),
        (stranger, "stranger: cannot read its parameters: name 'Nowhere' is not defined"),
        (broken, "broken: a parameter's type has no JSON schema"),
        (handler, "handler: "),
        (dict, "dict: cannot read its parameters"),
        (lambda: 1, "a tool's name: expected 1 to 64 letters, digits, _ or -, got '<lambda>'"),
        (5, "a tool: expected a typed function, an rtnb.tool or a dict, got int"),
        ("weather", "got str"),
        ({"type": "mcp", "name": "x"}, "a tool as a dict needs 'type': 'function' and a 'name'"),
        (
            {"type": "function", "function": {"name": "x"}},
            "a tool as a dict needs 'type': 'function' and a 'name'",
        ),
        ({"name": "two words"}, "got 'two words'"),
        ({"name": ""}, "got ''"),
        ({"name": "x" * 65}, "1 to 64"),
        (
            {"name": "x", "parameters": ["city"]},
            "a tool's parameters: expected a JSON schema (a dict), got list",
        ),
    ],
    ids=range(17),
)
def test_what_is_no_tool(thing, sentence):
    with pytest.raises(ArgumentError) as raised:
        Tool.of(thing)
    assert sentence in str(raised.value)


def test_dict_tools():
    parameters = {"type": "object", "properties": {"city": {"type": "string", "title": "kept"}}}
    made = Tool.of({"type": "function", "name": "w", "description": "Weather.", "parameters": parameters})
    assert made.wire == {"type": "function", "name": "w", "description": "Weather.", "parameters": parameters}
    assert made.function is None
    assert Tool.of({"name": "bare"}).wire["parameters"] == {"type": "object", "properties": {}}


def test_as_a_decorator():
    @tool
    def double(n: int) -> int:
        """Double it."""
        return 2 * n

    assert isinstance(double, Tool)
    assert repr(double).startswith("Tool(name='double'")
    assert run(double, '{"n":4}') == "8"


def test_a_tool_is_still_the_function() -> None:
    @tool
    def double(n: int) -> int:
        """Double."""
        return 2 * n

    assert double(4) == 8
    with pytest.raises(ArgumentError, match="no function"):
        Tool("x", "", {})()


def test_one_tool_needs_no_list():
    def weather(city: str) -> str:
        return city

    for given in (weather, Tool.of(weather), Tool.of(weather).wire):
        assert [made.name for made in tools_of(given)] == ["weather"]
    assert [made.name for made in tools_of(iter([weather]))] == ["weather"]
    for wrong in ("weather", 3):
        with pytest.raises(ArgumentError, match="tools: expected a list of typed functions, got"):
            tools_of(wrong)


class Weather:
    def __init__(self, sky: str) -> None:
        self.sky = sky

    @tool
    def look(self, city: Annotated[str, "A city's name"], days: int = 1) -> str:
        """Report the weather."""
        return f"{self.sky} in {city} for {days}"

    def plain(self, city: str) -> str:
        """Report the weather."""
        return self.sky


async def test_a_decorated_method_is_bound_to_its_object():
    sunny, grey = Weather("sunny"), Weather("grey")
    assert list(sunny.look.wire["parameters"]["properties"]) == ["city", "days"]
    assert await sunny.look.run('{"city": "Rome"}') == "sunny in Rome for 1"
    assert await grey.look.run('{"city": "Oslo", "days": 2}') == "grey in Oslo for 2"
    assert sunny.look("Rome") == "sunny in Rome for 1"
    assert tools_of([sunny.look])[0].name == "look"


@pytest.mark.parametrize("method", [Weather.look, Weather.plain])
def test_a_method_without_its_object_is_refused(method):
    with pytest.raises(
        ArgumentError, match=r"is a method without its object: pass tools=\[obj\.(look|plain)\]"
    ):
        tools_of([method])


def test_text_in_annotated_describes_a_parameter():
    properties = Weather("sunny").look.wire["parameters"]["properties"]
    assert properties["city"]["description"] == "A city's name"
    assert "description" not in properties["days"]
