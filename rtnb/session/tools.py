"""Tools: a typed Python function that the model may call.

::

    @rtnb.tool
    def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
        '''Return the weather.

        Args:
            city: A city's English name.
        '''
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from types import MethodType
from typing import Any, cast, overload

import orjson

from ..errors import ArgumentError

__all__ = ["Tool", "as_text", "tool", "tools_of"]

_MOST_RESULTS = 10_000
"""How many results of a generator are taken."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call.

    ``parameters`` is the JSON schema of its arguments. A call of a tool without a ``function`` waits for
    ``turn.answer``, one with ``approve`` for the user's approval.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any] | None = None
    approve: bool = False
    """Whether each call needs the user's approval: ``turn.approve``, or a button in the cell."""
    _validate: Callable[[Any], dict[str, Any]] | None = field(default=None, repr=False)
    _unbound: bool = field(default=False, repr=False)
    """Whether the function is a method without its object; see ``__get__``."""

    @classmethod
    def of(cls, thing: Tool | Callable[..., Any] | Mapping[str, Any]) -> Tool:
        """Return a tool from a tool, a typed function, or a ``{"type": "function", …}`` dict.

        Raises ArgumentError for anything else, and for a function whose parameters cannot be described.
        """
        if isinstance(thing, Tool):
            return thing
        if isinstance(thing, Mapping):
            if thing.get("type", "function") != "function" or not isinstance(thing.get("name"), str):
                raise ArgumentError("a tool as a dict needs 'type': 'function' and a 'name'")
            parameters = thing.get("parameters") or {"type": "object", "properties": {}}
            if not isinstance(parameters, Mapping):
                raise ArgumentError(
                    f"a tool's parameters: expected a JSON schema (a dict), got {type(parameters).__name__}"
                )
            return cls(_checked(thing["name"]), str(thing.get("description") or ""), parameters)
        if callable(thing):
            return _from_function(thing)
        raise ArgumentError(
            f"a tool: expected a typed function, an rtnb.tool or a dict, got {type(thing).__name__}"
        )

    def __get__(self, instance: object, owner: type | None = None) -> Tool:
        """Bind a method that ``rtnb.tool`` decorates to its object, as Python binds a plain method."""
        if instance is None or not self._unbound:
            return self
        assert self.function is not None
        return replace(self, function=MethodType(self.function, instance), _unbound=False)

    @property
    def wire(self) -> dict[str, Any]:
        """The tool as ``session.tools`` holds it."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself. Raises ArgumentError if the tool has none."""
        if self.function is None:
            raise ArgumentError(f"the tool {self.name!r} was made from a dict and has no function to call")
        return self.function(*args, **kwargs)

    async def run(self, arguments: str) -> str:
        """Call the function with the model's arguments (JSON text) and return the output as text.

        A plain function runs on a thread, so that it may block. Raises whatever the function raises, and
        ArgumentError if the arguments do not match its parameters.
        """
        assert self.function is not None
        try:
            given = orjson.loads(arguments or "{}")
        except orjson.JSONDecodeError as error:
            raise ArgumentError(f"the arguments are not JSON: {error}") from None
        if not isinstance(given, dict):
            raise ArgumentError(f"the arguments: expected a JSON object, got {type(given).__name__}")
        values = self._validate(given) if self._validate else given
        if inspect.iscoroutinefunction(self.function):
            result = await self.function(**values)
        elif inspect.isasyncgenfunction(self.function):
            result = self.function(**values)
        else:
            try:
                result = await asyncio.to_thread(_called, self.function, values)
            except _Raised as raised:
                raise raised.error from None
            if inspect.isawaitable(result):
                result = await result
        if inspect.isasyncgen(result):
            result = await _taken(cast("AsyncGenerator[Any, None]", result))
        return as_text(result)


async def _taken(results: AsyncGenerator[Any, None]) -> list[Any]:
    """Return the results of an asynchronous generator, which may have no end."""
    found: list[Any] = []
    async with aclosing(results):
        async for one in results:
            found.append(one)
            if len(found) >= _MOST_RESULTS:
                break
    return found


class _Raised(Exception):
    """What a function raised on a thread. As itself, some of it would end the thread or hang its future."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _called(function: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        result = function(**values)
        return list(islice(result, _MOST_RESULTS)) if isinstance(result, Iterator) else result
    except BaseException as error:  # SystemExit too: a tool may call argparse or exit()
        raise _Raised(error) from None


@overload
def tool(function: Callable[..., Any], *, approve: bool = False) -> Tool: ...
@overload
def tool(function: None = None, *, approve: bool = False) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None, *, approve: bool = False
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a typed function a tool; its docstring describes it and its arguments to the model.

    With ``approve=True`` no call runs before the user has approved it, with ``turn.approve`` or a button in
    the cell::

        @rtnb.tool(approve=True)
        def pay(dollars: float) -> str:
            '''Pay a sum.'''

    Raises ArgumentError for ``*args``, ``**kwargs``, positional-only parameters, and types without a JSON
    schema.
    """
    if function is None:
        return partial(tool, approve=approve)
    return replace(Tool.of(function), approve=approve)


def tools_of(given: Any) -> list[Tool]:
    """Return tools from a list of what `Tool.of` accepts, or from a single one. Raises ArgumentError."""
    if callable(given) or isinstance(given, Mapping):
        given = [given]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ArgumentError(f"tools: expected a list of typed functions, got {given!r:.80}")
    tools = [Tool.of(one) for one in given]
    for tool in tools:
        if tool._unbound:
            raise ArgumentError(
                f"{tool.name} is a method without its object: pass tools=[obj.{tool.name}], not the class's"
            )
    return tools


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ArgumentError(f"a tool's name: expected 1 to 64 letters, digits, _ or -, got {name!r:.80}")
    return name


def _from_function(function: Callable[..., Any]) -> Tool:
    from docstring_parser import parse
    from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
    from pydantic.json_schema import GenerateJsonSchema

    class Schema(GenerateJsonSchema):
        ignored_warning_kinds = {"non-serializable-default"}  # noqa: RUF012

    name = _checked(getattr(function, "__name__", type(function).__name__))
    documented = parse(inspect.getdoc(function) or "")
    described = {param.arg_name: param.description for param in documented.params if param.description}
    names: dict[str, str] = {}
    fields: dict[str, Any] = {}
    for parameter in _parameters(name, function):
        about: dict[str, Any] = {"alias": parameter.name}
        # Annotated[str, "text"] describes the parameter if the docstring does not.
        notes = [note for note in getattr(parameter.annotation, "__metadata__", ()) if isinstance(note, str)]
        description = described.get(parameter.name) or next(iter(notes), None)
        if description:
            about["description"] = description
        default = ... if parameter.default is parameter.empty else parameter.default
        # The parameter's name is the alias: a field of that name could hide an attribute of pydantic's.
        field = f"field{len(fields)}"
        names[parameter.name] = field
        fields[field] = (parameter.annotation, Field(default, **about))
    try:
        model: type[BaseModel] = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        schema = model.model_json_schema(schema_generator=Schema)
    except Exception as error:  # pydantic's own, and any that a wrong annotation causes in it
        reason = getattr(error, "message", error)
        raise ArgumentError(f"{name}: a parameter's type has no JSON schema: {reason}") from None
    _drop_titles(schema)

    def validate(given: Any) -> dict[str, Any]:
        try:
            validated = model.model_validate(given)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ArgumentError(f"the arguments do not match: {wrong}") from None
        return {name: getattr(validated, field) for name, field in names.items()}

    text = "\n\n".join(filter(None, (documented.short_description, documented.long_description)))
    return Tool(name, text, schema, function, _validate=validate, _unbound=_is_unbound(function))


def _is_unbound(function: Callable[..., Any]) -> bool:
    """Return whether a function is a method of a class: its first parameter is ``self``."""
    if not inspect.isfunction(function):
        return False
    first = next(iter(function.__code__.co_varnames[: function.__code__.co_argcount]), "")
    scope = function.__qualname__.rpartition(".")[0]
    return first == "self" and bool(scope) and not scope.endswith("<locals>")


def _parameters(name: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    except Exception as error:  # annotations are the caller's code
        raise ArgumentError(f"{name}: cannot read its parameters: {error}") from None
    if _is_unbound(function):  # the object comes from Tool.__get__, never from the model
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ArgumentError(f"{name}: a tool's parameters must be passed by name, got {parameter}")
        if parameter.annotation is parameter.empty:
            raise ArgumentError(f"{name}: the parameter {parameter.name!r} needs a type, such as str")
    return parameters


def _drop_titles(schema: Any) -> None:
    """Remove the titles that pydantic makes of names: they cost tokens and add nothing."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for key, value in schema.items():
            if key in ("properties", "$defs"):
                _drop_titles(list(value.values()))
            elif key not in ("default", "const", "enum", "examples"):  # those hold values, not schemas
                _drop_titles(value)
    elif isinstance(schema, list):
        for value in schema:
            _drop_titles(value)


def as_text(result: Any) -> str:
    """Return a function's result as the text that the model reads: a str as it is, all else as JSON."""
    if isinstance(result, str):
        return result.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    try:
        return orjson.dumps(result, default=_plain, option=options).decode()
    except TypeError:  # integers beyond 64 bits, lone surrogates
        return json.dumps(result, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, (set, frozenset)) else str(value)
