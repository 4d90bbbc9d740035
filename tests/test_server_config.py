from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from rtnb.server.config import defaults, plan_response, update
from rtnb.server.faults import Fault

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


def test_turn_detection_keeps_what_is_not_said():
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


REFUSED = [
    ({"bogus": 1}, "unknown_parameter", "session.bogus", ""),
    ({"temperature": 0.8}, "unknown_parameter", "session.temperature", ""),
    ({"audio": {"input": {"fmt": 1}}}, "unknown_parameter", "session.audio.input.fmt", ""),
    ({"type": "transcription"}, "invalid_value", "session.type", "transcription"),
    ({"type": "chat"}, "invalid_value", "session.type", "'realtime'"),
    ({"output_modalities": ["text", "audio"]}, "invalid_value", "session.output_modalities", "['audio']"),
    ({"output_modalities": []}, "invalid_value", "session.output_modalities", "['text']"),
    ({"output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]", "'audio'"),
    ({"output_modalities": "text"}, "invalid_type", "session.output_modalities", "an array"),
    ({"instructions": 3}, "invalid_type", "session.instructions", "an integer"),
    ({"audio": {"output": {"voice": "tarzan"}}}, "invalid_value", "session.audio.output.voice", "'heart'"),
    ({"audio": {"output": {"voice": {"id": "x"}}}}, "invalid_value", "session.audio.output.voice", ""),
    ({"audio": {"output": {"speed": 0.1}}}, "decimal_below_min_value", "session.audio.output.speed", "0.25"),
    ({"audio": {"output": {"speed": 2}}}, "decimal_above_max_value", "session.audio.output.speed", "1.5"),
    ({"audio": {"output": {"speed": True}}}, "invalid_type", "session.audio.output.speed", "a boolean"),
    ({"max_output_tokens": 0}, "integer_below_min_value", "session.max_output_tokens", "1"),
    ({"max_output_tokens": 4097}, "integer_above_max_value", "session.max_output_tokens", "4096"),
    ({"max_output_tokens": "many"}, "invalid_value", "session.max_output_tokens", "'inf'"),
    ({"tools": [{}]}, "missing_required_parameter", "session.tools[0].name", ""),
    ({"tools": [{**TOOL, "strict": True}]}, "unknown_parameter", "session.tools[0].strict", ""),
    ({"tools": [{**TOOL, "name": "two words"}]}, "invalid_value", "session.tools[0].name", "letters"),
    ({"tools": [TOOL, TOOL]}, "invalid_value", "session.tools[1].name", "two tools"),
    ({"tools": [{"type": "mcp"}]}, "invalid_value", "session.tools[0].type", "'function'"),
    ({"tool_choice": "perhaps"}, "invalid_value", "session.tool_choice", "'required'"),
    ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "session.tool_choice.name", ""),
    ({"prompt": {"id": "pmpt_1"}}, "invalid_value", "session.prompt", "instructions"),
    ({"truncation": "often"}, "invalid_value", "session.truncation", "'disabled'"),
    ({"tracing": {"name": "x"}}, "unknown_parameter", "session.tracing.name", ""),
    (
        audio_in(format={"type": "audio/pcm", "rate": 16_000}),
        "integer_below_min_value",
        "session.audio.input.format.rate",
        "24000",
    ),
    (
        audio_in(format={"type": "audio/pcm", "rate": 48_000}),
        "integer_above_max_value",
        "session.audio.input.format.rate",
        "24000",
    ),
    (audio_in(format={"rate": 24_000}), "missing_required_parameter", "session.audio.input.format.type", ""),
    (
        audio_in(format={"type": "audio/mp3"}),
        "invalid_value",
        "session.audio.input.format.type",
        "audio/pcmu",
    ),
    (audio_in(format="pcm16"), "invalid_type", "session.audio.input.format", "an object"),
    (
        audio_in(turn_detection={"threshold": 0.5}),
        "missing_required_parameter",
        "session.audio.input.turn_detection.type",
        "",
    ),
    (
        audio_in(turn_detection={"type": "server_vad", "eagerness": "low"}),
        "unknown_parameter",
        "session.audio.input.turn_detection.eagerness",
        "",
    ),
    (
        audio_in(turn_detection={"type": "server_vad", "threshold": 1.5}),
        "decimal_above_max_value",
        "session.audio.input.turn_detection.threshold",
        "",
    ),
    (
        audio_in(turn_detection={"type": "server_vad", "idle_timeout_ms": 10}),
        "integer_below_min_value",
        "session.audio.input.turn_detection.idle_timeout_ms",
        "5000",
    ),
]


@pytest.mark.parametrize(("change", "code", "param", "said"), REFUSED)
def test_updates_that_are_refused(change, code, param, said):
    with pytest.raises(Fault) as refused:
        changed(change)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert said in refused.value.message


def test_the_fixed_voice():
    with pytest.raises(Fault, match="Cannot update"):
        changed({"audio": {"output": {"voice": "ash"}}}, fixed=True)
    assert changed({"audio": {"output": {"voice": "alloy"}}}, fixed=True)


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
    with pytest.raises(Fault) as refused:
        plan(overrides)
    assert (refused.value.code, refused.value.param) == (code, param)
