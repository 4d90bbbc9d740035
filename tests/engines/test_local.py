"""The real parts of the local engine. Needs its weights, except for what tells that they lack."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtnb.engines import weights
from rtnb.engines.base import Call, Engine, Samples, TextPiece
from rtnb.errors import EngineError, WeightsError

SPEECH = Path(__file__).parents[3] / "shared" / "speech"
SENTENCES = (
    "The sea was calm, and the evening light lay on the water.",
    "I can help you with that; what would you like to know?",
    "Thank you for your question.",
    "He walked along the river until the rain stopped.",
)
engine_only = pytest.mark.engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    if weights.missing():
        pytest.skip("the weights are not installed: run  rtnb engine install")
    from rtnb.engines.local import local

    made = local({})
    yield made
    made.close()


def resampled(samples: Samples) -> Samples:
    import soxr

    return np.asarray(soxr.resample(samples, 24_000, 16_000), np.float32)


def words(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", "", text.lower().replace("-", " ").replace("mr.", "mister")).split()


def distance(first: list[str], second: list[str]) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def ask(
    engine: Engine, text: str, tools: Any = (), choice: Any = "auto", **more: Any
) -> list[TextPiece | Call]:
    messages = [{"role": "user", "content": text}, *more.get("after", ())]
    stopped = more.get("stopped", lambda: False)
    return list(engine.llm.generate(messages, tools, choice, more.get("most", 4096), stopped))


def said(pieces: list[TextPiece | Call]) -> str:
    return "".join(p.text for p in pieces if isinstance(p, TextPiece))


@engine_only
def test_the_detector_hears_speech_and_not_noise(engine: Engine) -> None:
    def likeliest(sound: Samples) -> float:
        stream = engine.vad.stream()
        return max(stream(sound[i : i + 512]) for i in range(0, len(sound) - 511, 512))

    voice = resampled(engine.tts.speak(SENTENCES[0], "alloy", 1.0))
    noise = np.random.default_rng(0).normal(0, 0.02, 32_000).astype(np.float32)
    assert likeliest(voice) > 0.9
    assert likeliest(noise) < 0.5
    assert likeliest(np.zeros(16_000, np.float32)) < 0.1
    with pytest.raises(EngineError, match=r"shape \(512,\), got \(100,\)"):
        engine.vad.stream()(np.zeros(100, np.float32))


@engine_only
def test_the_recognizer_understands_the_voice(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = total = 0
    for sentence in SENTENCES:
        heard = engine.asr.transcribe(resampled(engine.tts.speak(sentence, "alloy", 1.0)))
        wrong, total = wrong + distance(words(sentence), words(heard)), total + len(words(sentence))
    with capsys.disabled():
        print(f"\nword error rate on synthesised speech: {wrong / total:.1%} of {total} words")
    assert wrong / total < 0.1


@engine_only
@pytest.mark.skipif(not SPEECH.is_dir(), reason="the recordings are not here")
def test_the_recognizer_understands_people(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    import soundfile

    wrong = total = 0
    for row in json.loads((SPEECH / "transcripts.json").read_text()):
        samples, rate = soundfile.read(SPEECH / row["wav"], dtype="float32")
        assert rate == engine.asr.rate
        heard = engine.asr.transcribe(samples)
        wrong, total = wrong + distance(words(row["text"]), words(heard)), total + len(words(row["text"]))
    with capsys.disabled():
        print(f"\nword error rate on recordings: {wrong / total:.1%} of {total} words")
    assert wrong / total < 0.06


@engine_only
def test_long_speech_is_cut_at_a_pause(engine: Engine) -> None:
    pause = np.zeros(12_000, np.float32)
    parts = [resampled(engine.tts.speak(SENTENCES[i % 4], "alloy", 1.0)) for i in range(14)]
    sound = np.concatenate([x for part in parts for x in (part, pause)])
    assert len(sound) > 40 * 16_000
    spoken = words(" ".join(SENTENCES[i % 4] for i in range(14)))
    assert distance(spoken, words(engine.asr.transcribe(sound))) / len(spoken) < 0.1


@engine_only
@pytest.mark.parametrize("samples", [0, 1, 100, 900, 16_000])
def test_no_speech_has_no_words(engine: Engine, samples: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, samples).astype(np.float32)
    assert engine.asr.transcribe(noise) == ""
    assert engine.asr.transcribe(np.zeros(samples, np.float32)) == ""


@engine_only
def test_the_voice(engine: Engine) -> None:
    first = engine.tts.speak(SENTENCES[0], "alloy", 1.0)
    assert first.dtype == np.float32
    assert 0.3 < float(np.abs(first).max()) <= 1.0
    assert np.array_equal(first, engine.tts.speak(SENTENCES[0], "nobody", 1.0))
    fast, slow = (engine.tts.speak(SENTENCES[0], "heart", s) for s in (1.5, 0.5))
    assert len(fast) < 0.8 * len(first) < 0.6 * len(slow)
    for nothing in ("", "...", "日本 🎉"):
        assert len(engine.tts.speak(nothing, "alloy", 1.0)) == 0
    assert "heart" in engine.tts.voices
    with pytest.raises(EngineError, match="above 0"):
        engine.tts.speak("Hello", "alloy", 0.0)


@engine_only
def test_the_model_answers_briefly_and_at_length_when_asked(engine: Engine) -> None:
    engine.llm.prefill([{"role": "system", "content": "Be kind."}], [])
    brief = said(ask(engine, "What is the capital of France?"))
    assert "Paris" in brief
    assert brief == brief.strip()
    long = ask(engine, "Tell me a long story about a fox.")
    assert len(said(long)) > 3 * len(brief)
    assert said(ask(engine, "What is the capital of France?")) == brief
    assert said(list(engine.llm.generate([], [], "auto", 50, lambda: False)))


@engine_only
def test_the_model_keeps_the_limit_and_stops(engine: Engine) -> None:
    assert sum(p.tokens for p in ask(engine, "Tell me a long story.", most=9)) == 9
    looks: list[int] = []
    heard = ask(engine, "Tell me a long story.", stopped=lambda: bool(looks.append(1)) or len(looks) > 30)
    assert len(heard) < 40
    generation = engine.llm.generate(
        [{"role": "user", "content": "Tell me a long story."}], [], "auto", 500, lambda: False
    )
    next(generation)
    generation.close()  # type: ignore[attr-defined]
    assert said(ask(engine, "Hello."))


@engine_only
def test_the_model_forgets_rather_than_fails(engine: Engine) -> None:
    past = [
        {"role": role, "content": f"This is the sentence number {i} of a conversation that goes on and on."}
        for i in range(200)
        for role in ("user", "assistant")
    ]
    messages = [
        {"role": "system", "content": "Be kind. " * 800},
        *past,
        {"role": "user", "content": "word " * 3000},
    ]
    assert sum(engine.llm.count(str(m["content"])) for m in messages) > 2 * engine.llm.context
    assert list(engine.llm.generate(messages, [], "auto", 20, lambda: False))


@engine_only
def test_counting_tokens(engine: Engine) -> None:
    assert engine.llm.count("") == 0
    assert engine.llm.count("Hello there.") == 3


def tool(name: str, about: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "name": name, "description": about, "parameters": schema}


TEXT = {"type": "string"}
TOOLS = [
    tool("get_weather", "Get the current weather for a city.", {"city": TEXT}, ["city"]),
    tool("set_timer", "Start a timer.", {"minutes": {"type": "integer", "minimum": 1}}, ["minutes"]),
    tool("search_web", "Search the web.", {"query": TEXT}, ["query"]),
    tool(
        "set_light",
        "Switch a lamp on or off in a room.",
        {"room": {"enum": ["kitchen", "bedroom"]}, "on": {"type": "boolean"}},
        ["room", "on"],
    ),
]


@engine_only
@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("What is the weather in Paris?", "get_weather", {"city": "Paris"}),
        ("Will it rain in Buenos Aires tomorrow?", "get_weather", {"city": "Buenos Aires"}),
        ("Set a timer for twenty five minutes.", "set_timer", {"minutes": 25}),
        ("Search the web for red pandas.", "search_web", {"query": "red pandas"}),
        ("Turn on the light in the bedroom.", "set_light", {"room": "bedroom", "on": True}),
    ],
)
def test_the_model_calls(engine: Engine, text: str, name: str, arguments: dict[str, Any]) -> None:
    (call,) = ask(engine, text, TOOLS)
    assert isinstance(call, Call)
    assert (call.name, json.loads(call.arguments)) == (name, arguments)
    assert call.tokens > 0


@engine_only
def test_the_model_reports_a_result_correctly(engine: Engine) -> None:
    after = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "get_weather"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": '{"temperature": 21, "sky": "sunny"}'},
    ]
    answer = said(ask(engine, "What is the weather in Paris?", TOOLS, after=after))
    assert "21" in answer


@engine_only
def test_a_schema_beyond_the_grammar_still_gets_arguments(engine: Engine) -> None:
    odd = tool("odd", "Do it.", {"a": {"type": "string", "pattern": "(?=x)y"}, "n": {"multipleOf": 7}}, ["n"])
    (call,) = ask(engine, "Do the odd thing.", [odd], "required")
    assert isinstance(call, Call)
    assert json.loads(call.arguments)["n"] % 7 == 0
    with pytest.raises(EngineError, match="'radio', which is not among the tools"):
        ask(engine, "hello", TOOLS, {"type": "function", "name": "radio"})


@engine_only
def test_the_engine_describes_its_parts(engine: Engine) -> None:
    assert set(engine.about) == {"vad", "asr", "llm", "tts"}
    assert "small, fluent but unreliable" in engine.about["llm"]
    assert engine.asr.languages == engine.tts.languages == ("en",)


def test_without_weights_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rtnb.engines.registry import engine as make

    monkeypatch.setenv("RTNB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="run  rtnb engine install"):
        make("local")


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        ("llm", "/nowhere/model.gguf", "model.gguf does not exist"),
        ("llm", "{file}", "is not a GGUF model file"),
        ("asr", "moonshine:{folder}", "has no encoder_model.ort, decoder_model_merged.ort, tokenizer.bin"),
        ("vad", "silero:{file}", "the voice detector cannot load"),
        ("tts", "hibari:nobody", "the voice 'nobody' is not installed; installed voices: heart"),
    ],
)
def test_a_wrong_model_is_one_sentence(tmp_path: Path, kind: str, setting: str, message: str) -> None:
    from rtnb.engines.registry import part

    (tmp_path / "x.gguf").write_bytes(b"no model")
    with pytest.raises(EngineError, match=message):
        part(kind, setting.format(file=tmp_path / "x.gguf", folder=tmp_path))


@pytest.mark.parametrize("threads", ["0", "many", "-1"])
def test_threads_are_a_whole_number(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    from rtnb.engines.llama_cpp import llama

    monkeypatch.setenv("RTNB_LLM_THREADS", threads)
    with pytest.raises(EngineError, match="RTNB_LLM_THREADS must be a whole number"):
        llama()
