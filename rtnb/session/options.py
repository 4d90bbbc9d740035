"""What a session is asked to be: keywords in, a ``session.update`` out, checked against the model's row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from ..errors import ArgumentError
from ..protocol.events import Event
from ..protocol.models import Model

__all__ = ["FORMATS", "OFF", "check_names", "checked", "response_options", "session_options"]

P = ParamSpec("P")
R = TypeVar("R")


def check_names(options: Iterable[str], function: Callable[..., Any]) -> None:
    """Raise ArgumentError for a name that is no keyword of ``function``, with the one that was meant."""
    known = [name for name, p in signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name in known:
            continue
        if name == "model":
            raise ArgumentError("the model is chosen by rtnb.connect, once for a session")
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(known)}"
        raise ArgumentError(f"there is no option {name!r}: {hint}")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function check the names of its keywords before it is called."""
    positional = {
        name for name, p in signature(function).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD
    }

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_names(kwargs.keys() - positional, function)
        return function(*args, **kwargs)

    return call


OFF: Any = False
"""Turns off what has a default: ``transcription=OFF``, ``turn_detection=OFF``."""

FORMATS: dict[str, Event] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}

_DETECTION: dict[str, frozenset[str]] = {
    "server_vad": frozenset(
        {
            "type",
            "threshold",
            "prefix_padding_ms",
            "silence_duration_ms",
            "create_response",
            "interrupt_response",
            "idle_timeout_ms",
        }
    ),
    "semantic_vad": frozenset({"type", "eagerness", "create_response", "interrupt_response"}),
}


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
    """Return the ``session`` of a ``session.update`` that says only what was given.

    ``session`` is merged in last, as it is: fields that this version does not know pass through.
    Raises ArgumentError for what the protocol or the model's row does not allow.
    """
    _no_structured_output(model, response_format)
    sound_in: Event = {}
    sound_out: Event = {}
    made: Event = {"type": "realtime"}
    if instructions is not None:
        made["instructions"] = _text("instructions", instructions)
    if modalities is not None:
        made["output_modalities"] = _modalities(modalities)
    if tools is not None:
        made["tools"] = _tools(model, list(tools))
    if tool_choice is not None:
        made["tool_choice"] = _tool_choice(tool_choice)
    if max_output_tokens is not None:
        made["max_output_tokens"] = _limit(model, max_output_tokens)
    if turn_detection is not None:
        sound_in["turn_detection"] = _turn_detection(turn_detection)
    if transcription is not None:
        sound_in["transcription"] = _transcription(transcription)
    if noise_reduction is not None:
        sound_in["noise_reduction"] = _noise_reduction(noise_reduction)
    if input_format is not None:
        sound_in["format"] = _format("input_format", input_format)
    if output_format is not None:
        sound_out["format"] = _format("output_format", output_format)
    if voice is not None:
        sound_out["voice"] = _text("voice", voice)
    if speed is not None:
        if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not 0.25 <= speed <= 1.5:
            raise ArgumentError(f"speed is 0.25 to 1.5, not {speed!r}")
        sound_out["speed"] = speed
    audio = {name: part for name, part in (("input", sound_in), ("output", sound_out)) if part}
    if audio:
        made["audio"] = audio
    if session is not None and not isinstance(session, Mapping):
        raise ArgumentError(f"session is a dict of fields, not {type(session).__name__}")
    return _merged(made, session or {})


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
    """Return the ``response`` of a ``response.create``: what differs from the session for this once."""
    made = session_options(
        model,
        instructions=instructions,
        voice=voice,
        modalities=modalities,
        tools=tools,
        tool_choice=tool_choice,
        max_output_tokens=max_output_tokens,
        output_format=output_format,
        response_format=response_format,
    )
    del made["type"]
    if metadata is not None:
        if not isinstance(metadata, Mapping):
            raise ArgumentError(f"metadata is a dict of texts, not {type(metadata).__name__}")
        if len(metadata) > 16:
            raise ArgumentError(f"metadata has at most 16 pairs, not {len(metadata)}")
        for key, value in metadata.items():
            texts = isinstance(key, str) and isinstance(value, str)
            if not texts or len(key) > 64 or len(value) > 512:
                raise ArgumentError(
                    f"metadata is text: keys up to 64 signs, values up to 512; see {repr(key)[:80]}"
                )
        made["metadata"] = dict(metadata)
    if conversation is not None:
        if conversation not in ("auto", "none"):
            raise ArgumentError(f"conversation is 'auto' or 'none', not {conversation!r}")
        made["conversation"] = conversation
    return made


def _no_structured_output(model: Model, response_format: Any) -> None:
    if response_format is None or response_format == "text":
        return
    if model.supports("structured_outputs") is not True:
        raise ArgumentError(
            f"{model.id} has no structured outputs: it cannot be held to a JSON schema. "
            "Ask for JSON in the instructions, or give it a tool whose parameters have that schema"
        )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ArgumentError(f"{name} is text, not {type(value).__name__}")
    return value


def _modalities(value: str | Iterable[str]) -> list[str]:
    asked = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else []
    if not asked or any(one not in ("audio", "text") for one in asked):
        raise ArgumentError(f"modalities is 'audio' or 'text', not {value!r}")
    return ["audio"] if "audio" in asked else ["text"]  # sound always comes with its transcript


def _tools(model: Model, tools: list[Event]) -> list[Event]:
    if tools and model.supports("function_calling") is False:
        raise ArgumentError(f"{model.id} cannot call functions")
    names = [tool.get("name") for tool in tools if tool.get("type") == "function"]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f"two tools are named {name!r}")
    return tools


def _tool_choice(value: str | Event) -> str | Event:
    if isinstance(value, str) and value not in ("auto", "none", "required"):
        return {"type": "function", "name": value}
    if not isinstance(value, (str, Mapping)):
        raise ArgumentError(
            f"tool_choice is 'auto', 'none', 'required' or a tool's name, not {type(value).__name__}"
        )
    return value


def _limit(model: Model, value: int | str) -> int | str:
    if value == "inf":
        return "inf"
    top = model.max_output
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= (top or value):
        allowed = f"1 to {top:,} for {model.id}" if top else "1 or more"
        raise ArgumentError(f"max_output_tokens is {allowed}, or 'inf', not {value!r}")
    return value


def _turn_detection(value: str | bool | Mapping[str, Any]) -> Event | None:
    if value is False:
        return None
    if value is True:
        value = "server_vad"
    detection: Event = {"type": value}
    if isinstance(value, Mapping):
        detection = {"type": "server_vad", **value}
    kind = detection["type"]
    if not isinstance(kind, str) or kind not in _DETECTION:
        raise ArgumentError(
            f"turn_detection is 'server_vad', 'semantic_vad', a dict of one, or False, not {kind!r}"
        )
    for name in detection:
        if name not in _DETECTION[kind]:
            close = get_close_matches(str(name), _DETECTION[kind], 1)
            hint = f": did you mean {close[0]!r}?" if close else ""
            raise ArgumentError(f"{kind} has no setting {name!r}{hint}")
    return detection


def _transcription(value: str | bool | Mapping[str, Any]) -> Event | None:
    if value is False:
        return None
    if value is True:
        return {"model": "gpt-4o-mini-transcribe"}
    if not isinstance(value, (str, Mapping)):
        raise ArgumentError(
            f"transcription is True, False, a model's name or a dict, not {type(value).__name__}"
        )
    return {"model": value} if isinstance(value, str) else dict(value)


def _noise_reduction(value: str | bool) -> Event | None:
    if value is False:
        return None
    if value not in ("near_field", "far_field"):
        raise ArgumentError(f"noise_reduction is 'near_field', 'far_field' or False, not {value!r}")
    return {"type": value}


def _format(name: str, value: str | Event) -> Event:
    if isinstance(value, str):
        if value not in FORMATS:
            raise ArgumentError(f"{name} is one of {', '.join(FORMATS)}, not {value!r}")
        return dict(FORMATS[value])
    if value not in FORMATS.values():
        raise ArgumentError(f"{name} is one of {', '.join(FORMATS)}; got {repr(value)[:80]}")
    return dict(value)


def _merged(into: Mapping[str, Any], more: Mapping[str, Any]) -> Event:
    made = dict(into)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), Mapping)
        made[key] = _merged(made[key], value) if both else value
    return made
