from __future__ import annotations

from typing import Any

import pytest

from rtnb.server.response_options import plan_response
from rtnb.server.schema import defaults
from rtnb.server.validation import InvalidRequest

START = defaults("sess_1", "gpt-4o-realtime-preview", 1_800_000_000)
TOOL = {"type": "function", "name": "look", "description": "Look.", "parameters": {"type": "object"}}


def plan(overrides: Any = None, session: Any = START) -> dict[str, Any]:
    return plan_response(session, overrides, voices=(), voice_fixed=False)


def test_a_plan_is_the_session_under_its_overrides():
    assert plan() == {
        "output_modalities": ["audio"],
        "instructions": START["instructions"],
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "metadata": None,
        "input": None,
        "format": {"type": "audio/pcm", "rate": 24_000},
        "voice": "alloy",
        "speed": 1.0,
        "conversation": "auto",
    }
    given = plan(
        {
            "output_modalities": ["text"],
            "instructions": "",
            "audio": {"output": {"format": {"type": "audio/pcma"}}},
            "tools": [TOOL],
            "tool_choice": {"type": "function", "name": "look"},
            "conversation": "none",
            "input": [],
        }
    )
    assert given["format"] == {"type": "audio/pcma"}
    assert given["instructions"] == ""
    assert given["input"] == []


@pytest.mark.parametrize(
    ("overrides", "code", "param"),
    [
        ({"voice": "ash"}, "unknown_parameter", "response.voice"),
        ({"audio": {"input": {}}}, "unknown_parameter", "response.audio.input"),
        ({"conversation": "conv_1"}, "invalid_value", "response.conversation"),
        ({"metadata": {"a": 1}}, "invalid_type", "response.metadata.a"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "integer_above_max_value", "response.metadata"),
        ({"metadata": {"k" * 65: "x"}}, "string_above_max_length", "response.metadata"),
        ({"metadata": {"k": "x" * 513}}, "string_above_max_length", "response.metadata"),
        ({"input": {}}, "invalid_type", "response.input"),
        ({"tool_choice": {"type": "function", "name": "look"}}, "invalid_value", "response.tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "jump"}},
            "invalid_value",
            "response.tool_choice",
        ),
    ],
)
def test_plans_that_are_refused(overrides, code, param):
    with pytest.raises(InvalidRequest) as refused:
        plan(overrides)
    assert (refused.value.code, refused.value.param) == (code, param)
