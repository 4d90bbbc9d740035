"""The fake engine: deterministic parts that keep the promises of an engine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema
import numpy as np
import pytest
from engines.test_json_schema import SCHEMAS, WORDS
from hypothesis import given
from hypothesis import strategies as st

from rtnb.engines.base import Call, TextPiece
from rtnb.engines.fake import fake
from rtnb.errors import EngineError

ENGINE = fake({})
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city", "days"],
    },
}
CLOCK = {"type": "function", "name": "clock", "parameters": {"type": "object", "properties": {}}}


def answer(
    text: str,
    tools: list[dict[str, Any]] | None = None,
    tool_choice: str | dict[str, Any] = "auto",
    *,
    after: list[dict[str, Any]] | None = None,
    max_tokens: int = 4096,
) -> list[TextPiece | Call]:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}, *(after or [])]
    return list(ENGINE.llm.generate(messages, tools or [], tool_choice, max_tokens, lambda: False))


def said(pieces: list[TextPiece | Call]) -> str:
    return "".join(p.text for p in pieces if isinstance(p, TextPiece))


def test_it_quotes_the_user() -> None:
    assert said(answer("Hello, it's  me.")) == "You said: Hello, it's  me."
    assert said(list(ENGINE.llm.generate([], [], "auto", 100, lambda: False))) == "I heard nothing."


@given(st.text(max_size=80))
def test_pieces_join_to_the_text_and_to_its_count(text: str) -> None:
    pieces = answer(text)
    whole = said(pieces)
    if text.strip():
        assert whole == f"You said: {text.strip()}"
    assert sum(p.tokens for p in pieces) == ENGINE.llm.count(whole)


def test_a_named_tool_is_called() -> None:
    (call,) = answer("Please get weather in Oslo for 3 days", [CLOCK, WEATHER])
    assert isinstance(call, Call)
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Oslo", "days": 3})
    assert call.tokens > 0


@pytest.mark.parametrize(
    ("text", "choice", "names"),
    [
        ("the clockwork stopped", "auto", []),
        ("the clock, please", "auto", ["clock"]),
        ("CLOCK and get_weather", "auto", ["get_weather", "clock"]),
        ("the clock, please", "none", []),
        ("hello", "required", ["get_weather"]),
        ("hello", {"type": "function", "name": "clock"}, ["clock"]),
        ("the clock", {"type": "function", "name": "get_weather"}, ["get_weather"]),
    ],
)
def test_tool_choice_is_obeyed(text: str, choice: str | dict[str, Any], names: list[str]) -> None:
    assert [p.name for p in answer(text, [WEATHER, CLOCK], choice) if isinstance(p, Call)] == names


def test_a_choice_that_is_not_offered_is_an_error() -> None:
    with pytest.raises(EngineError, match="'radio', but the tools offered are: clock"):
        answer("hello", [CLOCK], {"type": "function", "name": "radio"})


def test_the_output_of_a_tool_is_in_the_answer() -> None:
    after = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "clock"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "noon"},
    ]
    assert said(answer("the clock, please", [CLOCK], after=after)) == "The tool said: noon"


@pytest.mark.slow
@given(SCHEMAS, WORDS)
def test_arguments_fit_the_schema(schema: dict[str, Any], text: str) -> None:
    tool = {"type": "function", "name": "tool", "parameters": schema}
    (call,) = answer(text, [tool], "required", max_tokens=10**6)
    assert isinstance(call, Call)
    jsonschema.validate(json.loads(call.arguments), schema)


def test_a_long_story_is_long_and_never_repeats() -> None:
    sentences = said(answer("Tell me a long story.")).split(". ")
    assert len(sentences) == len(set(sentences)) == 120
    assert 1_300 <= sum(len(s.split()) for s in sentences) <= 1_700


@given(st.integers(0, 40))
def test_max_tokens_is_kept_and_reached(limit: int) -> None:
    assert sum(p.tokens for p in answer("Tell me a long story.", max_tokens=limit)) == limit
    cut = answer("get weather", [WEATHER], max_tokens=min(limit, 5))
    assert sum(p.tokens for p in cut) == min(limit, 5)
    assert not any(isinstance(p, Call) for p in cut)


def test_it_stops_when_asked_to() -> None:
    looks = iter([False] * 7 + [True] * 1000)
    messages = [{"role": "user", "content": "Tell me a long story."}]
    assert len(list(ENGINE.llm.generate(messages, [], "auto", 4096, lambda: next(looks)))) == 7


def test_loudness_is_speech() -> None:
    stream, rng = ENGINE.vad.stream(), np.random.default_rng(1)
    quiet = rng.normal(0, 0.002, 512).astype(np.float32)
    tone = 0.2 * np.sin(np.arange(512) / 10).astype(np.float32)
    assert [stream(w) for w in (quiet, tone, tone, quiet, quiet, quiet)] == [0, 1, 1, 1, 0, 0]
    assert ENGINE.vad.stream()(np.zeros(512, np.float32)) == 0.0


def test_the_recognizer_distinguishes_speech_from_silence() -> None:
    speech = np.tile(ENGINE.tts.speak("one two three", "sage", 1.0)[::3] * 2, 8)
    assert ENGINE.asr.transcribe(speech) == f"(speech, {len(speech) / 16_000:.1f} seconds)"
    for silence in (np.zeros(0), np.zeros(100), np.zeros(16_000)):
        assert ENGINE.asr.transcribe(silence.astype(np.float32)) == ""
    assert ENGINE.asr.languages == ("en",)


@given(st.lists(st.text("abcdefg", min_size=1, max_size=9), max_size=20), st.sampled_from([0.5, 1.0, 1.5]))
def test_words_map_to_duration(words: list[str], speed: float) -> None:
    sound = ENGINE.tts.speak(" ".join(words) + " ... !", "echo", speed)
    each = round(0.06 * 24_000 / speed) + round(0.02 * 24_000 / speed)
    assert sound.dtype == np.float32
    assert len(sound) == each * len(words)
    assert not len(sound) or 0.1 < float(np.abs(sound).max()) <= 0.3


def test_voices_differ_and_repeat() -> None:
    first, again = (ENGINE.tts.speak("Hello there", "alloy", 1.0) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(first, ENGINE.tts.speak("Hello there", "nobody", 1.0))
    sounds = {ENGINE.tts.speak("Hello there", v, 1.0).tobytes() for v in ENGINE.tts.voices}
    assert len(sounds) == len(ENGINE.tts.voices) == 10


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_is_a_positive_number(speed: float) -> None:
    with pytest.raises(EngineError, match="above 0"):
        ENGINE.tts.speak("Hello", "alloy", speed)


def test_it_takes_no_options() -> None:
    with pytest.raises(EngineError, match="takes no options, got llm"):
        fake({"llm": "chat"})


def test_it_imports_numpy_alone() -> None:
    code = (
        "import sys; import numpy; known = set(sys.modules)\n"
        "from rtnb.engines.fake import fake; fake({})\n"
        "new = {m.partition('.')[0] for m in set(sys.modules) - known} - set(sys.stdlib_module_names)\n"
        "import json; print(json.dumps(sorted(new)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) <= {"numpy", "rtnb"}
