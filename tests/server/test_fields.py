from __future__ import annotations

from typing import Any

import pytest

from rtnb.server.schema import defaults, update
from rtnb.server.validation import InvalidRequest

START = defaults("sess_1", "gpt-4o-realtime-preview", 1_800_000_000)
TOOL = {"type": "function", "name": "look", "description": "Look.", "parameters": {"type": "object"}}


def changed(change: Any, before: Any = START, *, fixed: bool = False) -> dict[str, Any]:
    return update(before, {"type": "realtime", **change}, voices=("heart",), voice_fixed=fixed)


def audio_in(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": fields}}


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
    with pytest.raises(InvalidRequest) as refused:
        changed(change)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert said in refused.value.message
