"""What each setting may be: one check per field of a session or a response.

The names are the wire's, with ``_field`` behind them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .faults import Fault, above_max, invalid_type, missing
from .validation import Check, array, boolean, decimal, integer, mapping, null_or, one_of, record, string

__all__ = [
    "MODALITIES",
    "PCM",
    "SILENCE_BY_EAGERNESS",
    "VOICES",
    "format_field",
    "instructions_field",
    "max_output_tokens_field",
    "metadata_field",
    "modalities_field",
    "noise_reduction_field",
    "prompt_field",
    "reasoning_field",
    "tool_choice_field",
    "tools_field",
    "tracing_field",
    "transcription_field",
    "truncation_field",
    "turn_detection_field",
    "voice_field",
]

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
"""The hosted service's voices (Realtime API reference)."""

MODALITIES = ("text", "audio")

SILENCE_BY_EAGERNESS = {"low": 1_200, "medium": 800, "auto": 800, "high": 500}
"""Milliseconds of silence that end a turn under ``semantic_vad``: no meaning is read, silence decides."""

PCM = {"type": "audio/pcm", "rate": 24_000}
"""The only form of PCM that the service takes: 16 bit, mono."""

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def modalities_field(value: Any, path: str) -> list[str]:
    """Take ["text"] or ["audio"]; audio always has a transcript."""
    words = array(one_of(MODALITIES))(value, path)
    if len(words) != 1:
        shown = ", ".join(f"'{word}'" for word in words)
        raise Fault(
            "invalid_value",
            f"Invalid modalities: [{shown}]. Supported combinations are: ['text'] and ['audio'].",
            path,
        )
    return list(words)


def _typed(variants: Mapping[str, Check]) -> Check:
    """Take an object whose ``type`` says which check it must pass."""

    def check(value: Any, path: str) -> Any:
        given = mapping(value, path)
        if "type" not in given:
            raise missing(f"{path}.type")
        return variants[one_of(variants)(given["type"], f"{path}.type")](given, path)

    return check


def _pcm(value: Any, path: str) -> dict[str, Any]:
    return {**PCM, **record({"type": string, "rate": integer(24_000, 24_000)})(value, path)}


format_field = _typed(
    {"audio/pcm": _pcm, "audio/pcmu": record({"type": string}), "audio/pcma": record({"type": string})}
)

_flags: dict[str, Check] = {"create_response": boolean, "interrupt_response": boolean}
turn_detection_field = _typed(
    {
        "server_vad": record(
            {
                "type": string,
                "threshold": decimal(0.0, 1.0),
                "prefix_padding_ms": integer(0, 10_000),
                "silence_duration_ms": integer(0, 60_000),
                "idle_timeout_ms": null_or(integer(5_000, 30_000)),
                **_flags,
            }
        ),
        "semantic_vad": record({"type": string, "eagerness": one_of(SILENCE_BY_EAGERNESS), **_flags}),
    }
)

transcription_field = record(
    {
        "model": string,
        "language": null_or(string),
        "languages": array(string),
        "keywords": array(string),
        "prompt": null_or(string),
        "delay": one_of(("minimal", "low", "medium", "high", "xhigh")),
    }
)

noise_reduction_field = record({"type": one_of(("near_field", "far_field"))})


def voice_field(voices: Iterable[str]) -> Check:
    """Return the check of a voice: one of the hosted ones or of the engine's own ``voices``."""
    allowed = tuple(dict.fromkeys((*VOICES, *voices)))

    def check(value: Any, path: str) -> str:
        if isinstance(value, dict):  # a custom voice: {"id": …}
            value = record({"id": string}, ("id",))(value, path)["id"]
        return str(one_of(allowed)(value, path))

    return check


def _tool(value: Any, path: str) -> dict[str, Any]:
    given = mapping(value, path)
    if given.get("type", "function") != "function":
        raise Fault(
            "invalid_value",
            f"Invalid value: '{given['type']!s:.80}'. Supported values are: 'function'. This server runs no"
            " MCP connector: offer the tools as functions.",
            f"{path}.type",
        )
    fields: dict[str, Check] = {
        "type": string,
        "name": string,
        "description": null_or(string),
        "parameters": null_or(mapping),
    }
    tool = record(fields, ("name",))(given, path)
    if not _TOOL_NAME.match(tool["name"]):
        raise Fault(
            "invalid_value",
            f"Invalid '{path}.name': a tool's name is 1 to 64 letters, digits, '_' and '-'.",
            f"{path}.name",
        )
    return {"type": "function", **{key: part for key, part in tool.items() if part is not None}}


def _tools(value: Any, path: str) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = array(_tool)(value, path)
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool["name"] in seen:
            raise Fault(
                "invalid_value",
                f"Invalid '{path}[{index}].name': two tools are named '{tool['name']}'.",
                f"{path}[{index}].name",
            )
        seen.add(tool["name"])
    return tools


def tool_choice_field(value: Any, path: str) -> Any:
    """Take "none", "auto", "required" or one function by name."""
    if isinstance(value, str):
        return one_of(("none", "auto", "required"))(value, path)
    given = record({"type": one_of(("function",)), "name": string}, ("type", "name"))(value, path)
    return dict(given)


def max_output_tokens_field(value: Any, path: str) -> Any:
    """Take 1 to 4096, or "inf"; null means the same."""
    if value is None or value == "inf":
        return "inf"
    if isinstance(value, str):
        raise Fault("invalid_value", f"Invalid '{path}': expected an integer from 1 to 4096, or 'inf'.", path)
    return integer(1, 4_096)(value, path)


def truncation_field(value: Any, path: str) -> Any:
    """Take "auto", "disabled" or a retention ratio."""
    if isinstance(value, str):
        return one_of(("auto", "disabled"))(value, path)
    limits = record({"post_instructions": integer(0)})
    fields = {
        "type": one_of(("retention_ratio",)),
        "retention_ratio": decimal(0.0, 1.0),
        "token_limits": limits,
    }
    return record(fields, ("type", "retention_ratio"))(value, path)


def tracing_field(value: Any, path: str) -> Any:
    """Take "auto" or an object; nothing is traced here."""
    if isinstance(value, str):
        return one_of(("auto",))(value, path)
    return record({"workflow_name": string, "group_id": string, "metadata": mapping})(value, path)


def prompt_field(value: Any, path: str) -> None:
    """Take null: stored prompts are not here."""
    if value is not None:
        raise Fault(
            "invalid_value",
            f"Invalid '{path}': stored prompts are kept by the hosted service and are not offered here:"
            " send their text as 'instructions'.",
            path,
        )


def metadata_field(value: Any, path: str) -> dict[str, str]:
    """Take up to 16 pairs of strings, 64 and 512 characters long at most."""
    given = mapping(value, path)
    if len(given) > 16:
        raise above_max(path, len(given), 16)
    for key, text in given.items():
        if not isinstance(text, str):
            raise invalid_type(f"{path}.{key}", "a string", text)
        if len(key) > 64 or len(text) > 512:
            raise Fault(
                "string_above_max_length",
                f"Invalid '{path}.{key:.64}': a key has at most 64 and a value at most 512 characters.",
                path,
            )
    return dict(given)


reasoning_field = record({"effort": null_or(one_of(("none", "minimal", "low", "medium", "high", "xhigh")))})
instructions_field: Check = lambda value, path: "" if value is None else string(value, path)  # noqa: E731
tools_field: Check = lambda value, path: [] if value is None else _tools(value, path)  # noqa: E731
