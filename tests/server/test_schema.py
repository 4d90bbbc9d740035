from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from rtnb.server.schema import defaults, plan_response, update
from rtnb.server.validation import InvalidRequest

START = defaults("sess_1", "gpt-4o-realtime-preview", 1_800_000_000)
TOOL = {"type": "function", "name": "look", "description": "Look.", "parameters": {"type": "object"}}


def changed(change: Any, before: Any = START, *, fixed: bool = False) -> dict[str, Any]:
    return update(before, {"type": "realtime", **change}, voices=("heart",), voice_fixed=fixed)


def audio_in(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": fields}}


def test_an_update_is_partial():
    before = deepcopy(START)
    after = changed({"instructions": "Be kind.", "audio": {"output": {"voice": "heart"}}})
    assert before == START
    assert after["audio"]["output"] == {**START["audio"]["output"], "voice": "heart"}
    assert after["audio"]["input"] == START["audio"]["input"]
    assert {**after, "instructions": START["instructions"], "audio": START["audio"]} == START


def test_what_clears():
    full = changed(
        {
            "instructions": "x",
            "tools": [TOOL],
            "max_output_tokens": 7,
            "reasoning": {"effort": "low"},
            **audio_in(transcription={"model": "whisper-1"}, noise_reduction={"type": "near_field"}),
        }
    )
    assert full["tools"] == [TOOL]
    assert full["reasoning"] == {"effort": "low"}
    cleared = changed(
        {
            "instructions": "",
            "tools": [],
            "max_output_tokens": "inf",
            "reasoning": None,
            **audio_in(transcription=None, noise_reduction=None, turn_detection=None),
        },
        full,
    )
    assert cleared["instructions"] == ""
    assert cleared["tools"] == []
    assert "reasoning" not in cleared
    assert [cleared["audio"]["input"][k] for k in ("transcription", "noise_reduction", "turn_detection")] == [
        None
    ] * 3


def test_turn_detection_settings_stay_unless_changed():
    once = changed(audio_in(turn_detection={"type": "server_vad", "threshold": 0.8}))
    twice = changed(audio_in(turn_detection={"type": "server_vad", "silence_duration_ms": 700}), once)
    assert twice["audio"]["input"]["turn_detection"] == {
        **START["audio"]["input"]["turn_detection"],
        "threshold": 0.8,
        "silence_duration_ms": 700,
    }
    semantic = changed(audio_in(turn_detection={"type": "semantic_vad"}), twice)
    assert semantic["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }


def test_the_model_is_taken_and_stays():
    assert changed({"model": "gpt-realtime-2.1"})["model"] == START["model"]


def test_the_fixed_voice():
    with pytest.raises(InvalidRequest, match="Cannot update"):
        changed({"audio": {"output": {"voice": "ash"}}}, fixed=True)
    assert changed({"audio": {"output": {"voice": "alloy"}}}, fixed=True)


# What a response may override.


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
