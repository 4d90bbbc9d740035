"""What one response may override: the session's settings under those of ``response.create``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from .schema import checked_response, voice_is_fixed
from .validation import InvalidRequest, invalid_value

__all__ = ["plan_response"]


def plan_response(
    session: Mapping[str, Any], overrides: Any, *, voices: Iterable[str], voice_fixed: bool
) -> dict[str, Any]:
    """Return the plan of one response: the session's settings under the overrides of ``response.create``.

    Keys: output_modalities, instructions, tools, tool_choice, max_output_tokens, format, voice, speed,
    conversation ("auto" or "none"), metadata, input (raw items, or None for the whole conversation).

    Raises:
        InvalidRequest: An override is unknown or invalid.
    """
    output = session["audio"]["output"]
    given = checked_response(overrides, voices)
    spoken = given.get("audio", {}).get("output", {})
    conversation = given.get("conversation", "auto")
    plan: dict[str, Any] = {
        **{key: deepcopy(session[key]) for key in ("output_modalities", "instructions", "tools")},
        "tool_choice": session["tool_choice"],
        "max_output_tokens": session["max_output_tokens"],
        "metadata": None,
        "input": None,
        "format": output["format"],
        "voice": output["voice"],
        "speed": output["speed"],
        **{key: value for key, value in given.items() if key not in ("audio", "prompt")},
        **spoken,
        "conversation": conversation,
    }
    if voice_fixed and conversation == "auto" and plan["voice"] != output["voice"]:
        raise voice_is_fixed("response.audio.output.voice")
    choice = plan["tool_choice"]
    if isinstance(choice, dict) and choice["name"] not in {tool["name"] for tool in plan["tools"]}:
        offered = [tool["name"] for tool in plan["tools"]]
        if not offered:
            raise InvalidRequest(
                "invalid_value",
                f"Invalid value: '{choice['name']}'. No tools are offered to this response.",
                "response.tool_choice",
            )
        raise invalid_value("response.tool_choice", choice["name"], offered)
    return plan
