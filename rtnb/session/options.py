"""Turn keywords into a ``session.update`` or a ``response.create``, checked against schema and model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache, wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from msgspec import Struct, to_builtins

from ..errors import ArgumentError
from ..protocol.events import Event
from ..protocol.models import Model
from ..protocol.session_config import FORMATS, Response, Session
from ..structs import FieldError, check

__all__ = ["FORMATS", "OFF", "check_names", "checked", "response_options", "session_options"]

P = ParamSpec("P")
R = TypeVar("R")


def check_names(options: Iterable[str], function: Callable[..., Any]) -> None:
    """Raise ArgumentError for a name that is not a keyword of ``function``, and suggest the closest one."""
    known = _keywords(function)
    for name in options:
        if name in known:
            continue
        if name == "model":
            raise ArgumentError("the model of a session cannot change: pass model= to rtnb.connect")
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"
        raise ArgumentError(f"unknown option {name!r:.80}: {hint}")


@cache  # a signature is slow to compute, and this is checked for every turn
def _keywords(function: Callable[..., Any]) -> list[str]:
    return [name for name, p in signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the names of a function's keywords before it is called."""
    positional = {
        name for name, p in signature(function).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD
    }

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_names(kwargs.keys() - positional, function)
        return function(*args, **kwargs)

    return call


OFF: Any = False
"""Turns off a feature that has a default: ``transcription=OFF``, ``turn_detection=OFF``."""

_DEFAULT_TRANSCRIPTION = "gpt-4o-mini-transcribe"
_EXPECTED = {
    "tool_choice": "'none', 'auto', 'required' or a tool's name",
    "transcription": "a model's name, a dict, True",
}
_CAN_BE_OFF = ("turn_detection", "transcription", "noise_reduction")


def session_options(
    model: Model,
    *,
    instructions: str | None = None,
    voice: str | None = None,
    modalities: str | Iterable[str] | None = None,
    tools: Iterable[Event] | None = None,
    tool_choice: str | Event | None = None,
    turn_detection: str | bool | Mapping[str, Any] | None = None,
    transcription: str | bool | Mapping[str, Any] | None = None,
    noise_reduction: str | bool | None = None,
    input_format: str | Event | None = None,
    output_format: str | Event | None = None,
    max_output_tokens: int | str | None = None,
    speed: float | None = None,
    response_format: Any = None,
    session: Mapping[str, Any] | None = None,
) -> Event:
    """Return the ``session`` of a ``session.update``, with only the fields that were given.

    ``session`` is merged in last and unchecked: fields that this version does not know pass through.
    Raises ArgumentError for what the protocol or the model does not allow.
    """
    _no_structured_output(model, response_format)
    if session is not None and not isinstance(session, Mapping):
        raise ArgumentError(f"session: expected a dict of fields, got {type(session).__name__}")
    fields = _common(model, instructions, modalities, tool_choice, max_output_tokens, output_format, voice)
    output, unchecked = fields["audio"]["output"], _tools(model, tools)
    output["speed"] = speed
    fields["audio"]["input"] = {
        "turn_detection": _turn_detection(turn_detection),
        "noise_reduction": _part("type", noise_reduction),
        "format": _format("input_format", input_format),
    }
    if isinstance(transcription, Mapping):
        unchecked["audio"] = {"input": {"transcription": dict(transcription)}}
    elif transcription is not None:
        name = _DEFAULT_TRANSCRIPTION if transcription is True else transcription
        fields["audio"]["input"]["transcription"] = _part("model", name)
    return _merged(_merged(_wire(Session, fields), unchecked), session or {})


def response_options(
    model: Model,
    *,
    instructions: str | None = None,
    voice: str | None = None,
    modalities: str | Iterable[str] | None = None,
    tools: Iterable[Event] | None = None,
    tool_choice: str | Event | None = None,
    max_output_tokens: int | str | None = None,
    output_format: str | Event | None = None,
    metadata: Mapping[str, str] | None = None,
    conversation: str | None = None,
    response_format: Any = None,
) -> Event:
    """Return the ``response`` of a ``response.create``: what differs from the session for this response."""
    _no_structured_output(model, response_format)
    fields = _common(model, instructions, modalities, tool_choice, max_output_tokens, output_format, voice)
    fields |= {"metadata": metadata, "conversation": conversation}
    return _merged(_wire(Response, fields), _tools(model, tools))


def _common(
    model: Model, instructions: Any, modalities: Any, choice: Any, limit: Any, format: Any, voice: Any
) -> Event:
    """Return the fields that a session and a response share; fields that were not given are None."""
    return {
        "instructions": instructions,
        "output_modalities": None if modalities is None else _modalities(modalities),
        "tool_choice": _tool_choice(choice),
        "max_output_tokens": None if limit is None else _limit(model, limit),
        "audio": {"output": {"voice": voice, "format": _format("output_format", format)}},
    }


def _wire(struct: type[Struct], fields: Event) -> Event:
    """Return the fields of ``fields`` as the struct's wire form: without None, and with null for False."""
    try:
        return dict(to_builtins(check(struct, _given(fields))))
    except FieldError as error:
        raise ArgumentError(_sentence(error)) from None


def _given(fields: Event) -> Event:
    given = {
        name: _given(value) if name in ("audio", "input", "output") else _plain(value)
        for name, value in fields.items()
        if value is not None
    }
    off = {name: None for name in _CAN_BE_OFF if given.get(name) is False}
    return {name: value for name, value in (given | off).items() if value != {} or name in _CAN_BE_OFF}


def _plain(value: Any) -> Any:
    """Return a value with plain JSON types: numpy's floats, for example, are a subclass of float."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, float):
        return float(value)
    return str.__str__(value) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    try:
        return repr(value)[:80]
    except Exception:  # the value's own code, or it is nested too deeply
        return f"a {type(value).__name__}"


def _sentence(error: FieldError) -> str:
    """Return what is wrong with a field, under the name of its keyword."""
    place = error.path.removeprefix("audio.").removeprefix("input.").removeprefix("output.")
    place = place.removesuffix(".type").removesuffix(".model")
    if error.reason == "unknown":
        close = get_close_matches(error.value, error.allowed, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(error.allowed)}"
        return f"{place.rpartition('.')[0]}: unknown field {error.value!r:.80}: {hint}"
    expected = _EXPECTED.get(place, error.expected)
    if place in _CAN_BE_OFF and error.reason != "key":
        expected = f"{expected.replace(' or ', ', ')} or False"
    return f"{place}: expected {expected}, got {_shown(error.value)}"


def _no_structured_output(model: Model, response_format: Any) -> None:
    if response_format in (None, "text") or model.supports("structured_outputs") is True:
        return
    raise ArgumentError(
        f"{model.id} does not support structured outputs (response_format). "
        "Ask for JSON in the instructions, or pass a tool whose parameters have that schema"
    )


def _modalities(value: Any) -> list[str]:
    asked = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else []
    if not asked or any(one not in ("audio", "text") for one in asked):
        raise ArgumentError(f"modalities: expected 'audio' or 'text', got {value!r:.80}")
    return ["audio"] if "audio" in asked else ["text"]  # audio always has a transcript


def _tools(model: Model, given: Iterable[Event] | None) -> Event:
    if given is None:
        return {}
    tools = list(given)
    if tools and model.supports("function_calling") is False:
        raise ArgumentError(f"{model.id} does not support function calling: connect without tools")
    names = [tool.get("name") for tool in tools if tool.get("type") == "function"]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f"two tools are named {name!r}: names must be unique")
    return {"tools": tools}


def _tool_choice(value: Any) -> Any:
    if isinstance(value, str) and value not in ("auto", "none", "required"):
        return {"type": "function", "name": value}
    return value


def _limit(model: Model, value: int | str) -> int | str:
    if value == "inf":
        return "inf"
    top = model.max_output
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= (top or value):
        allowed = f"1 to {top:,} for {model.id}" if top else "1 or more"
        raise ArgumentError(f"max_output_tokens: expected {allowed}, or 'inf', got {value!r}")
    return value


def _part(name: str, value: Any) -> Any:
    return value if value is None or value is False else {name: value}


def _turn_detection(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {"type": "server_vad", **value}
    return _part("type", "server_vad" if value is True else value)


def _format(keyword: str, value: str | Event | None) -> Event | None:
    known = FORMATS.get(value) if isinstance(value, str) else value
    if value is not None and known not in FORMATS.values():
        raise ArgumentError(f"{keyword}: expected one of {', '.join(FORMATS)}, got {repr(value)[:80]}")
    return known


def _merged(into: Mapping[str, Any], more: Mapping[str, Any]) -> Event:
    fields = dict(into)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(fields.get(key), Mapping)
        fields[key] = _merged(fields[key], value) if both else value
    return fields
