"""Scrubbing of any event: what the protocol lists stays, and everything else is masked, wherever it is."""

import copy
import re
from base64 import b64encode
from functools import partial

import orjson
import pytest
from frames import Wire, b64, tone
from hypothesis import given, settings
from hypothesis import strategies as st

import rtnb
from rtnb.protocol.dialects.names import AUDIO_DELTAS, EVENTS
from rtnb.recordings import save
from rtnb.recordings.manifest import manifest
from rtnb.recordings.protocol_fields import PROTOCOL_WORDS, Field, event_field
from rtnb.recordings.scrub import ScrubRule, _Work, scrub
from rtnb.recordings.scrub_rules import changed, masked
from rtnb.recordings.view import RecordingView
from rtnb.recordings.writer import pieces

SOUND = b64(tone(10, 777))
ERROR = {"type": "server_error", "code": "rate_limit_exceeded", "message": "Sorry, Ann", "param": "x.y"}
USAGE = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {
        "text_tokens": 20,
        "cached_tokens": 5,
        "cached_tokens_details": {"text_tokens": 5},
    },
    "output_token_details": {"text_tokens": 4, "audio_tokens": 6},
}
CONTENT = [
    {"type": "input_text", "text": "Hello Ann"},
    {"type": "input_audio", "audio": SOUND, "transcript": "Hello Bob"},
    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
]
MESSAGE = {
    "id": "item_1",
    "object": "realtime.item",
    "type": "message",
    "status": "completed",
    "role": "user",
}
MESSAGE["content"] = CONTENT
CALL = {
    "id": "item_2",
    "type": "function_call",
    "call_id": "call_1",
    "name": "ask",
    "arguments": '{"city":"Rome"}',
}
TOOL = {
    "type": "function",
    "name": "ask",
    "description": "Asks Ann",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9}}},
}
FORMAT = {"type": "audio/pcm", "rate": 24000}
GA_SESSION = {
    "id": "sess_1",
    "object": "realtime.session",
    "type": "realtime",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "Be kind to Ann",
    "tools": [TOOL, {"type": "mcp", "server_label": "crm", "headers": {"X-Ann": "Dora"}}],
    "tool_choice": {"type": "function", "name": "ask"},
    "max_output_tokens": "inf",
    "audio": {
        "input": {
            "format": FORMAT,
            "transcription": {"model": "whisper-1", "language": "en", "prompt": "Ann"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "create_response": True},
        },
        "output": {"format": FORMAT, "voice": "alloy", "speed": 1.0},
    },
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
    "tracing": {"workflow_name": "Ann", "metadata": {"Ann": "Bob"}},
}
BETA_SESSION = {
    "id": "sess_1",
    "modalities": ["text", "audio"],
    "voice": "sage",
    "input_audio_format": "g711_ulaw",
    "input_audio_transcription": {"model": "whisper-1", "keywords": ["Ann"]},
    "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
    "temperature": 0.8,
    "max_response_output_tokens": 100,
    "client_secret": {"value": "Ann", "expires_at": 1},
}
RESPONSE = {
    "id": "resp_1",
    "object": "realtime.response",
    "status": "failed",
    "status_details": {"type": "failed", "reason": "content_filter", "error": ERROR},
    "output": [MESSAGE, CALL],
    "usage": USAGE,
    "metadata": {"Ann": "Bob"},
}
WHERE = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
SPOKEN = {"event_id": "event_1", "item_id": "item_1", "content_index": 0}
LOGPROBS = [{"token": "Ann", "logprob": -0.5, "bytes": [65, 110, 110]}]
EXAMPLES = [
    ("client", "session.update", {"session": GA_SESSION}),
    ("client", "session.update", {"session": BETA_SESSION}),
    ("client", "transcription_session.update", {"session": {**BETA_SESSION, "include": None}}),
    ("client", "conversation.item.create", {"item": MESSAGE, "previous_item_id": "root"}),
    ("client", "input_audio_buffer.append", {"audio": SOUND}),
    ("client", "session.input_audio_buffer.append", {"audio": SOUND}),
    ("client", "response.create", {"response": {"input": [MESSAGE, CALL], "instructions": "Hi, Bob"}}),
    ("server", "session.updated", {"session": GA_SESSION}),
    ("server", "session.created", {"session": BETA_SESSION}),
    (
        "server",
        "session.updated",
        {"session": {"type": "translation", "audio": {"output": {"language": "fr"}}}},
    ),
    ("server", "conversation.item.added", {"item": MESSAGE, "previous_item_id": None}),
    ("server", "conversation.item.created", {"item": {**MESSAGE, "role": "assistant"}}),
    ("server", "response.done", {"response": RESPONSE}),
    ("server", "response.output_audio.delta", {**WHERE, "delta": SOUND}),
    ("server", "response.audio.delta", {**WHERE, "delta": SOUND}),
    ("server", "response.text.delta", {**WHERE, "delta": "Ann"}),
    ("server", "response.output_audio_transcript.done", {**WHERE, "transcript": "Hello Ann"}),
    ("server", "response.content_part.added", {**WHERE, "part": {"type": "audio", "transcript": "Ann"}}),
    ("server", "session.output_audio.delta", {"delta": SOUND, "sample_rate": 24000, "format": "pcm16"}),
    ("server", "session.output_transcript.delta", {"delta": "Hello Ann", "elapsed_ms": 12}),
    ("server", "session.usage.updated", {"seconds": 12.5}),
    ("server", "error", {"error": {**ERROR, "event_id": "event_1"}}),
    (
        "server",
        "rate_limits.updated",
        {"rate_limits": [{"name": "tokens", "limit": 9, "reset_seconds": 0.1}]},
    ),
    ("server", "input_audio_buffer.speech_started", {**SPOKEN, "audio_start_ms": 120}),
    (
        "server",
        "response.function_call_arguments.done",
        {"call_id": "call_1", "name": "ask", "arguments": "{}"},
    ),
    (
        "server",
        "conversation.item.input_audio_transcription.completed",
        {**SPOKEN, "transcript": "Ann", "logprobs": LOGPROBS, "usage": {"type": "duration", "seconds": 2}},
    ),
    (
        "server",
        "conversation.item.input_audio_transcription.segment",
        {**SPOKEN, "text": "Hello Ann", "speaker": "Ann", "start": 0.5, "end": 1.5, "id": "seg_1"},
    ),
    ("server", "x.unknown", {"item_id": "item_1", "role": "user", "item": MESSAGE, "born": 1971}),
]
TEXT = st.text('aéZ9 _/+="\\🎉٣\u0301x', max_size=8) | st.sampled_from(["user", "server_vad", "Ann_1"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9**12)
    | st.floats(allow_nan=False, width=32)
    | TEXT
    | st.just(SOUND),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(TEXT | st.sampled_from(["id", "audio"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@st.composite
def events(draw, *, foreign=True):
    """An event of the protocol, with other strings in it; ``foreign``: and members that it does not have."""
    direction, type, members = draw(st.sampled_from(EXAMPLES))
    event = {"type": type, **copy.deepcopy(members)}
    objects, places = [], []

    def look(value, path):
        if isinstance(value, dict):
            objects.append(value)
        inner = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, one in inner:
            if isinstance(one, str) and (path or key != "type"):
                places.append((value, key))
            look(one, (*path, key))

    look(event, ())
    for holder, key in draw(st.lists(st.sampled_from(places), max_size=4)) if places else ():
        holder[key] = draw(TEXT)
    for holder in draw(st.lists(st.sampled_from(objects), max_size=3)) if foreign else ():
        holder.setdefault(draw(TEXT.filter(lambda key: key != "type")), draw(JSON))
    return direction, event


EMPTY = RecordingView.__new__(RecordingView)  # a rule without a pattern reads nothing of it


def scrubbed(rule, direction, event):
    return changed(direction, event, partial(_Work(rule, EMPTY).change, direction))


_ID = re.compile(r"(.*_)?id")
_NAMES = {"model", "voice", "language", "languages", "code", "type", "name"}  # also the code of an error


def strings(value, key=""):
    """Yield each string with the name of its member, and each name of a member with none."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, None
            yield from strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)
    elif isinstance(value, str):
        yield value, key


@given(events())
@settings(max_examples=120)
def test_no_letter_but_x_is_left_outside_of_what_is_listed(given):
    direction, event = given
    new = scrubbed(ScrubRule(text="all", voice="all"), direction, event)
    for text, key in strings(new):
        if text == masked(text) or text in PROTOCOL_WORDS or text == new["type"]:
            continue
        silent = key == "audio" or (key == "delta" and event["type"] in AUDIO_DELTAS)
        plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]*", text)
        assert (silent and set(text) <= {"A", "=", "/", "f", "V", "1"}) or (
            plain and key is not None and (_ID.fullmatch(key) or key in _NAMES)
        ), (text, key)
    assert SOUND not in str(new)


@given(events(), st.sampled_from(["text", "voice", "both"]))
@settings(max_examples=120)
def test_twice_is_once(given, what):
    direction, event = given
    rule = ScrubRule(text=None if what == "voice" else "all", voice=None if what == "text" else "all")
    once = scrubbed(rule, direction, event)
    assert scrubbed(rule, direction, once) == once


def skeleton(value, field, known):
    """Return the members that the protocol has, in order, and their numbers, without strings."""
    if isinstance(value, dict) and (field.members or field.kind == "schema"):
        named = ((name, field.member(name), inner) for name, inner in value.items())
        return [(name, skeleton(inner, one, known)) for name, one, inner in named if one is not None]
    if isinstance(value, list) and field.kind != "bytes":
        return [skeleton(inner, field, known) for inner in value]
    return value if known and field.kind == "number" and not isinstance(value, str) else None


@given(events())
@settings(max_examples=120)
def test_the_members_of_the_protocol_and_their_numbers_stay(given):
    direction, event = given
    new = scrubbed(ScrubRule(text="all", voice="all"), direction, event)
    known = event["type"] in EVENTS
    field = event_field(event["type"])
    assert skeleton(new, field, known) == skeleton(event, field, known)


@given(st.lists(events(), max_size=5))
@settings(max_examples=15)
def test_a_file_of_any_events_is_verified_and_scrubbed_once(tmp_path_factory, given):
    folder, wire = tmp_path_factory.mktemp("any"), Wire()
    wire.session()
    for direction, event in given:
        wire.state.append(orjson.dumps(event), direction, mono_ns=10**9, wall_ns=10**9)
    save(pieces(wire.state.log), manifest(wire.state), folder / "x.rtnb")
    rule = ScrubRule(text="all", voice="all")
    left = scrub(folder / "x.rtnb", folder / "y.rtnb", rule).left
    assert [line for line in left if "repeats a text" not in line] == []  # an id may be any word
    scrub(folder / "y.rtnb", folder / "z.rtnb", rule)
    once, twice = (rtnb.open(folder / f"{name}.rtnb") for name in "yz")
    assert [entry.frame for entry in twice.log] == [entry.frame for entry in once.log]
    assert twice.manifest["session"] == once.manifest["session"]


@given(events())
@settings(max_examples=120)
def test_voice_alone_leaves_every_word(given):
    direction, event = given
    new = scrubbed(ScrubRule(voice="all"), direction, event)
    assert SOUND not in str(new)
    for (text, key), (now, _) in zip(strings(event), strings(new), strict=True):
        assert now == text or len(text) >= 64 or key in ("audio", "delta")


@given(events(foreign=False))
@settings(max_examples=120)
def test_the_examples_themselves_lose_what_is_said_in_them(given):
    direction, event = given
    new = str(scrubbed(ScrubRule(text="all"), direction, event))
    for word in ("Ann", "Bob", "Rome", "Dora", "1971"):
        assert not re.search(rf"{word}(?!_1)", new)


@pytest.mark.parametrize("wrap", ["{}", " {}\n", "data:audio/pcm;base64,{}"])
def test_a_voice_in_an_unknown_member_is_silenced_in_lines_too(wrap):
    encoded = b64encode(tone(100, 777)).decode()
    lines = "\n".join(encoded[at : at + 76] for at in range(0, len(encoded), 76))
    for direction, who in (("client", "user"), ("server", "assistant")):
        for sound in (encoded, lines):
            event = {"type": "response.done", "response": {"clip": {"parts": [wrap.format(sound)]}}}
            new = scrubbed(ScrubRule(voice=who), direction, event)
            [part] = new["response"]["clip"]["parts"]
            assert set(part) <= {"A", "="}
    prose = "The quick brown fox jumps over the lazy dog and then goes home to its den again"
    assert scrubbed(ScrubRule(voice="all"), "server", {"type": "error", "note": prose})["note"] == prose


def test_words_in_place_of_audio_that_became_base64_stay_as_they_are():
    event = {"type": "response.output_audio.delta", "delta": "999é"}
    rule = ScrubRule(text="all", voice="all")
    once = scrubbed(rule, "server", event)
    assert once["delta"] == "000x"
    assert scrubbed(rule, "server", once) == once


def test_an_enumeration_keeps_only_what_is_listed():
    item = {
        "type": "message",
        "role": "Ossifrage",
        "status": "Ann",
        "object": "realtime.item",
        "phase": "final_answer",
    }
    new = scrubbed(ScrubRule(text="all"), "server", {"type": "conversation.item.done", "item": item})
    assert new["item"] == {**item, "role": "xxxxxxxxx", "status": "xxx"}
    session = {"truncation": "auto", "voice": "auto", "tool_choice": "disabled", "tracing": "Ann"}
    new = scrubbed(ScrubRule(text="all"), "client", {"type": "session.update", "session": session})
    assert new["session"] == {**session, "tool_choice": "xxxxxxxx", "tracing": "xxx"}


def test_the_verification_does_not_rely_on_the_table(monkeypatch, tmp_path):
    """A mistake in the table would let words stay, and the same walk would not see them."""
    wire = Wire()
    wire.session()
    wire.text("item_1", "Hello, Ossifrage")
    wire.server("response.output_audio_transcript.done", **WHERE, transcript="Hello, Ossifrage")
    save(pieces(wire.state.log), manifest(wire.state, endpoint="with Hello, Ossifrage"), tmp_path / "x.rtnb")
    wrong = Field("id", frozenset({"Hello, Ossifrage"}))
    monkeypatch.setitem(event_field("response.output_audio_transcript.done").members, "transcript", wrong)
    monkeypatch.setattr("rtnb.recordings.scrub._Work._new_id", lambda work, id: id)
    repeated = "repeats a text that was removed elsewhere"
    for who, found in (("user", [repeated]), ("all", ["still has text", repeated])):
        event = "event 4 (response.output_audio_transcript.done)"
        left = scrub(tmp_path / "x.rtnb", tmp_path / "y.rtnb", ScrubRule(text=who)).left
        assert left == [*(f"{event} {what}" for what in found), f"the manifest {repeated}"]
