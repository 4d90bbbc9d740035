import copy
import json

import numpy as np
import pytest

from rtnb.errors import ArgumentError
from rtnb.protocol import models
from rtnb.session import options as config
from rtnb.session.options import FORMATS, OFF, response_options, session_options

SEED = models.find(models.SEED)
NEWER = models.find("gpt-realtime-2.1")
STRANGER = models.find("my-own-model")

TOOL = {"type": "function", "name": "weather", "parameters": {}}


def test_nothing_given_nothing_said():
    assert session_options(SEED) == {"type": "realtime"}
    assert response_options(SEED) == {}


def test_subclasses_of_plain_values_are_sent_as_those():
    class Name(str):
        pass

    made = session_options(
        SEED, voice=Name("ash"), speed=np.float64(1.25), turn_detection={"threshold": np.float64(0.5)}
    )
    assert json.loads(json.dumps(made)) == made
    assert type(made["audio"]["output"]["voice"]) is str
    assert made["audio"]["output"]["speed"] == 1.25
    assert made["audio"]["input"]["turn_detection"]["threshold"] == 0.5


def test_ranges_within_a_dict_are_checked():
    with pytest.raises(
        ArgumentError, match=r"turn_detection\.threshold: expected a number from 0 to 1, got 3"
    ):
        session_options(SEED, turn_detection={"threshold": 3})


def test_everything():
    made = session_options(
        SEED,
        instructions="Be short.",
        voice="alloy",
        modalities=["audio", "text"],
        tools=[TOOL],
        tool_choice="weather",
        turn_detection={"type": "server_vad", "threshold": 0.6},
        transcription="gpt-realtime-whisper",
        noise_reduction="near_field",
        input_format="g711_ulaw",
        output_format={"type": "audio/pcm", "rate": 24000},
        max_output_tokens=500,
        speed=1.25,
        response_format="text",
        session={"tracing": "auto", "audio": {"input": {"transcription": {"language": "it"}}}},
    )
    assert made == {
        "type": "realtime",
        "instructions": "Be short.",
        "output_modalities": ["audio"],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "weather"},
        "max_output_tokens": 500,
        "tracing": "auto",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "turn_detection": {"type": "server_vad", "threshold": 0.6},
                "transcription": {"model": "gpt-realtime-whisper", "language": "it"},
                "noise_reduction": {"type": "near_field"},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.25},
        },
    }


def test_what_can_be_turned_off():
    made = session_options(
        SEED, turn_detection=OFF, transcription=False, noise_reduction=False, instructions=""
    )
    assert made["audio"]["input"] == {"turn_detection": None, "transcription": None, "noise_reduction": None}
    assert made["instructions"] == ""
    assert session_options(SEED, tools=[])["tools"] == []


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (True, {"type": "server_vad"}),
        ("server_vad", {"type": "server_vad"}),
        ("semantic_vad", {"type": "semantic_vad"}),
        ({"threshold": 0.4}, {"type": "server_vad", "threshold": 0.4}),
        ({"type": "semantic_vad", "eagerness": "low"}, {"type": "semantic_vad", "eagerness": "low"}),
        ({}, {"type": "server_vad"}),
    ],
)
def test_turn_detection(given, made):
    assert session_options(SEED, turn_detection=given)["audio"]["input"]["turn_detection"] == made


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (True, {"model": "gpt-4o-mini-transcribe"}),
        ("whisper-1", {"model": "whisper-1"}),
        (
            {"model": "whisper-1", "language": "it", "new": 1},
            {"model": "whisper-1", "language": "it", "new": 1},
        ),
    ],
)
def test_transcription(given, made):
    assert session_options(SEED, transcription=given)["audio"]["input"]["transcription"] == made


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("audio", ["audio"]),
        ("text", ["text"]),
        (["text"], ["text"]),
        (("text", "audio"), ["audio"]),
        ({"audio"}, ["audio"]),
    ],
)
def test_modalities(given, made):
    assert session_options(SEED, modalities=given)["output_modalities"] == made


@pytest.mark.parametrize("given", ["auto", "none", "required", {"type": "mcp", "server_label": "x"}])
def test_tool_choices_that_go_as_they_are(given):
    assert session_options(SEED, tool_choice=given)["tool_choice"] == given


@pytest.mark.parametrize(
    ("model", "limit"),
    [(SEED, 1), (SEED, 4096), (SEED, "inf"), (NEWER, 32_000), (STRANGER, 100_000)],
)
def test_limits_of_the_answer(model, limit):
    assert session_options(model, max_output_tokens=limit)["max_output_tokens"] == limit


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"instructions": 5}, "instructions: expected a string, got 5"),
        ({"voice": ["alloy"]}, "voice: expected a string or an object, got ['alloy']"),
        ({"modalities": "video"}, "modalities: expected 'audio' or 'text', got 'video'"),
        ({"modalities": []}, "modalities: expected 'audio' or 'text', got []"),
        ({"modalities": 5}, "modalities: expected 'audio' or 'text', got 5"),
        ({"modalities": [["audio"]]}, "modalities: expected 'audio' or 'text'"),
        ({"tools": [TOOL, TOOL]}, "two tools are named 'weather'"),
        ({"tool_choice": 5}, "tool_choice: expected 'none', 'auto', 'required' or a tool's name, got 5"),
        (
            {"turn_detection": "vad"},
            "turn_detection: expected 'server_vad', 'semantic_vad' or False, got 'vad'",
        ),
        ({"turn_detection": 5}, "turn_detection: expected 'server_vad'"),
        ({"turn_detection": {"type": None}}, "turn_detection: expected 'server_vad'"),
        ({"turn_detection": {"type": ["server_vad"]}}, "turn_detection: expected 'server_vad'"),
        (
            {"turn_detection": {"treshold": 0.5}},
            "turn_detection: unknown field 'treshold': did you mean 'threshold'?",
        ),
        (
            {"turn_detection": {"type": "semantic_vad", "threshold": 1}},
            "turn_detection: unknown field 'threshold'",
        ),
        ({"turn_detection": {5: 5}}, "turn_detection: expected strings as names, got 5"),
        ({"transcription": 5}, "transcription: expected a model's name, a dict, True or False, got 5"),
        (
            {"noise_reduction": "far"},
            "noise_reduction: expected 'near_field', 'far_field' or False, got 'far'",
        ),
        ({"noise_reduction": True}, "got True"),
        ({"input_format": "mp3"}, "input_format: expected one of pcm16, g711_ulaw, g711_alaw, got 'mp3'"),
        ({"output_format": {"type": "audio/pcm", "rate": 8000}}, "output_format: expected one of pcm16"),
        ({"output_format": 5}, "output_format: expected one of pcm16"),
        (
            {"max_output_tokens": 0},
            "max_output_tokens: expected 1 to 4,096 for gpt-4o-realtime-preview, or 'inf', got 0",
        ),
        ({"max_output_tokens": 4097}, "1 to 4,096"),
        ({"max_output_tokens": True}, "got True"),
        ({"max_output_tokens": "many"}, "got 'many'"),
        ({"max_output_tokens": 5.5}, "got 5.5"),
        ({"speed": 2}, "speed: expected a number from 0.25 to 1.5, got 2"),
        ({"speed": "fast"}, "speed: expected a number from 0.25 to 1.5, got 'fast'"),
        ({"speed": float("nan")}, "speed: expected a number from 0.25 to 1.5, got nan"),
        ({"speed": True}, "speed: expected a number from 0.25 to 1.5, got True"),
        (
            {"response_format": {"type": "json_schema"}},
            "gpt-4o-realtime-preview does not support structured outputs",
        ),
        ({"session": ["tracing"]}, "session: expected a dict of fields, got list"),
    ],
    ids=range(32),
)
def test_what_is_refused(options, sentence):
    with pytest.raises(ArgumentError) as raised:
        session_options(SEED, **options)
    assert sentence in str(raised.value)


def test_a_strangers_limits_are_unknown_and_not_made_up():
    with pytest.raises(ArgumentError, match="max_output_tokens: expected 1 or more, or 'inf', got 0"):
        session_options(STRANGER, max_output_tokens=0)
    with pytest.raises(ArgumentError, match="my-own-model does not support structured outputs"):
        session_options(STRANGER, response_format={"type": "json_schema"})


def test_a_model_without_functions_takes_none():
    from dataclasses import replace

    mute = replace(SEED, features={"function_calling": False})
    assert session_options(mute, tools=[]) == {"type": "realtime", "tools": []}
    with pytest.raises(ArgumentError, match="does not support function calling"):
        session_options(mute, tools=[TOOL])


def test_merging_changes_nothing_that_was_given():
    formats = copy.deepcopy(FORMATS)
    choice = {"type": "function", "name": "weather"}
    more = {"audio": {"input": {"format": {"rate": 16_000}}}, "tool_choice": {"name": "other"}}
    before = copy.deepcopy(more)
    made = session_options(SEED, input_format="pcm16", tool_choice=choice, session=more)
    assert made["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 16_000}
    assert made["tool_choice"] == {"type": "function", "name": "other"}
    assert formats == FORMATS
    assert config.FORMATS["pcm16"]["rate"] == 24_000
    assert choice["name"] == "weather"
    assert more == before


def test_more_fields_replace_and_add():
    more = {"type": "transcription", "audio": {"output": None}, "unknown": {"a": 1}}
    made = session_options(SEED, voice="alloy", session=more)
    assert made == {"type": "transcription", "audio": {"output": None}, "unknown": {"a": 1}}


def test_a_response():
    made = response_options(
        SEED,
        instructions="Once.",
        modalities="text",
        tools=[TOOL],
        tool_choice="none",
        max_output_tokens="inf",
        output_format="g711_alaw",
        voice="ash",
        metadata={"topic": "sea"},
        conversation="none",
    )
    assert made == {
        "instructions": "Once.",
        "output_modalities": ["text"],
        "tools": [TOOL],
        "tool_choice": "none",
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcma"}, "voice": "ash"}},
        "metadata": {"topic": "sea"},
        "conversation": "none",
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metadata": ["a"]}, "metadata: expected an object, got ['a']"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata: expected at most 16 members, got 17"),
        ({"metadata": {"a": 5}}, "metadata.a: expected a string, got 5"),
        ({"metadata": {5: "a"}}, "metadata: expected strings as names, got 5"),
        ({"metadata": {"k" * 65: "a"}}, "metadata: expected a string of at most 64 characters, got 'kkk"),
        ({"metadata": {"k": "v" * 513}}, "metadata: expected a string of at most 512 characters, got 'vvv"),
        ({"conversation": "side"}, "conversation: expected 'auto' or 'none', got 'side'"),
        ({"response_format": "json"}, "does not support structured outputs"),
    ],
    ids=range(8),
)
def test_what_a_response_refuses(options, sentence):
    with pytest.raises(ArgumentError) as raised:
        response_options(SEED, **options)
    assert sentence in str(raised.value)
    assert len(str(raised.value)) < 250


def test_the_metadata_is_a_copy():
    metadata = {"a": "b"}
    made = response_options(SEED, metadata=metadata)
    metadata["a"] = "c"
    assert made["metadata"] == {"a": "b"}
