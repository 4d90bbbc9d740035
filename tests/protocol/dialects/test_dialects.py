"""Every published example through the reader and the writer, and the beta through GA and back."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.schema import check_server_event

from rtnb.protocol import dialects
from rtnb.protocol.changes import Other, Unknown
from rtnb.protocol.dialects import BETA, GA, Unreadable, detect, read
from rtnb.protocol.dialects.names import CLIENT_EVENTS, SERVER_EVENTS

PUBLISHED = Path(__file__).parents[4] / "shared" / "protocol"
NOT_TYPED = ("mcp", "segment", "dtmf", "session.close", "session.input_audio_buffer")

# Examples that the publisher wrote in the other dialect's shape or names, or that hold words for audio.
WRONG = {
    ("beta-head", "response.output_audio.done"),
    ("beta-head", "response.output_audio_transcript.delta"),
    ("beta-head", "response.output_audio_transcript.done"),
    ("beta-head", "response.output_text.delta"),
    ("beta-head", "response.output_text.done"),
    ("beta-head", "response.created"),
    ("beta-head", "response.create"),
    ("beta-head", "session.created"),
    ("ga", "conversation.item.created"),
    ("ga", "conversation.item.retrieved"),
    ("ga", "response.output_item.done"),
    ("ga-unlisted", "transcription_session.updated"),
    ("ga-unlisted", "transcription_session.update"),
}


def examples(side: str) -> list[Any]:
    path = PUBLISHED / f"examples-{side}.jsonl"
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [
        pytest.param(side, line, id=f"{line['family']} {line['type']} {number}")
        for number, line in enumerate(lines)
        if "translation" not in line["family"] and not any(part in line["type"] for part in NOT_TYPED)
    ]


def bare(value: Any) -> Any:
    """Return a value without nulls, event ids and padding, which say nothing."""
    if isinstance(value, dict):
        skipped = ("event_id", "obfuscation")
        return {k: bare(v) for k, v in value.items() if v is not None and k not in skipped}
    return [bare(one) for one in value] if isinstance(value, list) else value


def written(dialect: Any, side: str, event: dict[str, Any]) -> list[Any]:
    found = read(event, side)  # type: ignore[arg-type]
    if side == "client":
        return [dialect.command(found[0])]
    return [one for change in found for one in dialect.events(change)]


@pytest.mark.parametrize(("side", "line"), [*examples("server"), *examples("client")])
def test_published_examples_come_back(side: str, line: dict[str, Any]) -> None:
    event, dialect = line["example"], dialects.DIALECTS[line["dialect"]]
    for name in ("delta", "audio"):
        if str(event.get(name)).startswith("Base64"):
            event = {**event, name: b64encode(b"\0\0" * 8).decode()}
    found = written(dialect, side, event)
    assert found
    if (line["family"], line["type"]) not in WRONG and event["type"] != "response.output_audio.delta":
        assert bare(event) in [bare(one) for one in found]
    if dialect is GA and side == "server":
        for one in found:
            if one["type"] in SERVER_EVENTS:
                json.dumps(one)


def test_every_name_of_the_protocol_has_a_reader_or_is_known_to_have_none() -> None:
    for name in SERVER_EVENTS:
        try:
            found = read({"type": name}, "server")
        except Unreadable:
            continue
        assert not any(isinstance(one, Unknown) for one in found) or any(p in name for p in NOT_TYPED), name
    for name in CLIENT_EVENTS:
        try:
            found = read({"type": name}, "client")
        except Unreadable:
            continue
        assert not any(isinstance(one, Other) for one in found), name


ids = st.from_regex(r"[a-z]{3,5}_[0-9a-zA-Z]{4,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
encoded = st.binary(min_size=2, max_size=60).map(lambda data: b64encode(data).decode())
numbers = st.integers(0, 9)
formats = st.sampled_from(["pcm16", "g711_ulaw", "g711_alaw"])
modalities = st.sampled_from([["text"], ["text", "audio"]])
detection = st.one_of(
    st.none(),
    st.fixed_dictionaries({"type": st.just("server_vad"), "threshold": st.floats(0, 1)}),
)
beta_sessions = st.fixed_dictionaries(
    {"input_audio_format": formats, "modalities": modalities},
    optional={
        "id": ids,
        "model": texts,
        "instructions": texts,
        "voice": st.sampled_from(["alloy", "sage"]),
        "output_audio_format": formats,
        "input_audio_transcription": st.none() | st.fixed_dictionaries({"model": st.just("whisper-1")}),
        "input_audio_noise_reduction": st.none() | st.just({"type": "near_field"}),
        "turn_detection": detection,
        "temperature": st.floats(0.6, 1.2),
        "max_response_output_tokens": st.just("inf") | st.integers(1, 4096),
        "tools": st.just([]),
        "speed": st.floats(0.25, 1.5),
        "a_field_of_the_future": texts,
    },
)
contents = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    st.fixed_dictionaries({"type": st.just("audio"), "transcript": texts}),
)
beta_items = st.fixed_dictionaries(
    {
        "id": ids,
        "type": st.just("message"),
        "role": st.just("assistant"),
        "status": st.sampled_from(["in_progress", "completed"]),
        "content": st.lists(contents, max_size=2),
    }
)
place = {"response_id": ids, "item_id": ids, "output_index": numbers, "content_index": numbers}


def event(kind: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


beta_server = st.one_of(
    event("session.created", session=beta_sessions),
    event("session.updated", session=beta_sessions),
    event("transcription_session.updated", session=beta_sessions),
    event("conversation.item.created", previous_item_id=st.none() | ids, item=beta_items),
    event("response.output_item.added", response_id=ids, output_index=numbers, item=beta_items),
    event("response.output_item.done", response_id=ids, output_index=numbers, item=beta_items),
    event("response.text.delta", **place, delta=texts),
    event("response.text.done", **place, text=texts),
    event("response.audio_transcript.delta", **place, delta=texts),
    event("response.audio_transcript.done", **place, transcript=texts),
    event("response.audio.delta", **place, delta=encoded),
    event("response.audio.done", **place),
    event(
        "response.done",
        response=st.fixed_dictionaries(
            {
                "id": ids,
                "status": st.sampled_from(["completed", "cancelled"]),
                "modalities": modalities,
                "temperature": st.floats(0.6, 1.2),
                "output": st.lists(beta_items, max_size=2),
            }
        ),
    ),
)
beta_client = st.one_of(
    event("session.update", session=beta_sessions),
    event("transcription_session.update", session=beta_sessions),
    event("input_audio_buffer.append", audio=encoded),
    event("input_audio_buffer.commit"),
    event("conversation.item.truncate", item_id=ids, content_index=numbers, audio_end_ms=numbers),
    event("conversation.item.delete", item_id=ids),
    event("response.cancel", response_id=ids),
    event(
        "response.create",
        response=st.fixed_dictionaries(
            {"modalities": modalities, "temperature": st.floats(0.6, 1.2)},
            optional={"voice": st.just("sage"), "output_audio_format": formats, "instructions": texts},
        ),
    ),
)


@given(beta_server)
def test_beta_server_events_survive_ga(event: dict[str, Any]) -> None:
    (ga,) = written(GA, "server", event)
    assert detect(ga, "server") in (GA, None)
    (back,) = written(BETA, "server", ga)
    assert bare(back) == bare(event)


@given(beta_client)
def test_beta_client_events_survive_ga(event: dict[str, Any]) -> None:
    (ga,) = written(GA, "client", event)
    (back,) = written(BETA, "client", ga)
    assert bare(back) == bare(event)


@given(beta_sessions)
def test_a_session_shows_its_dialect(session: dict[str, Any]) -> None:
    flat = {"type": "session.created", "session": session}
    assert detect(flat, "server") is BETA
    (ga,) = written(GA, "server", flat)
    assert detect(ga, "server") is GA


@given(st.sampled_from(sorted(SERVER_EVENTS | CLIENT_EVENTS)), st.data())
def test_nothing_but_unreadable_is_raised(kind: str, data: st.DataObject) -> None:
    odd = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=8,
    )
    made = {**data.draw(st.dictionaries(names, odd, max_size=8)), "type": kind}
    for side in ("server", "client"):
        try:
            found = read(made, side)  # type: ignore[arg-type]
        except Unreadable:
            continue
        for one in found:
            for dialect in (GA, BETA):
                if side == "server":
                    dialect.events(one)  # type: ignore[arg-type]
                elif not isinstance(one, Other):
                    dialect.command(one)  # type: ignore[arg-type]


names = st.sampled_from(
    [
        "item",
        "item_id",
        "response",
        "response_id",
        "session",
        "content_index",
        "output_index",
        "delta",
        "text",
        "transcript",
        "part",
        "usage",
        "status",
        "status_details",
        "output",
        "content",
        "error",
        "audio",
        "id",
        "role",
        "rate_limits",
        "name",
        "input",
        "conversation",
        "previous_item_id",
        "audio_end_ms",
        "metadata",
        "modalities",
        "voice",
    ]
)


def test_an_error_is_read_in_every_form() -> None:
    for wire, message, code in (
        ({"error": "boom"}, "boom", None),
        ({"message": "boom", "code": 500}, "boom", "500"),
        ({"error": {"message": "boom", "code": "x"}}, "boom", "x"),
        ({"error": None}, "", None),
        ({}, "", None),
    ):
        (failed,) = read({"type": "error", **wire}, "server")
        assert (failed.error.message, failed.error.code) == (message, code)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"total_tokens": 30.0, "input_tokens": 20.0, "output_tokens": 10.0}, (20, 10)),
        ({"total_tokens": "30", "input_tokens": "20", "output_tokens": "10"}, (20, 10)),
        ({"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}, (20, 10)),
        ({"total_tokens": -1, "input_tokens": -1, "output_tokens": -1}, None),
        ({"total_tokens": None, "input_tokens": None}, None),
        ([{"input_tokens": 1}], None),
        ("30", None),
        ({"input_tokens": True}, None),
        ({"input_tokens": 1.5}, None),
    ],
)
def test_usage_is_read_or_unknown_and_never_zero(usage: Any, counted: tuple[int, int] | None) -> None:
    (ended,) = read({"type": "response.done", "response": {"id": "r", "usage": usage}}, "server")
    if counted is None:
        assert ended.usage is None  # type: ignore[union-attr]
        assert len(ended.problems) == 1  # type: ignore[union-attr]
    else:
        used = ended.usage  # type: ignore[union-attr]
        assert (used.input_tokens, used.output_tokens) == counted
        assert not ended.problems  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("details", "status", "reason", "message"),
    [
        ("max_output_tokens", "incomplete", "max_output_tokens", None),
        ([{"error": "x"}], "failed", None, "x"),
        ({"error": {"message": "m"}}, "failed", None, "m"),
        ({"reason": "turn_detected", "type": "cancelled"}, "incomplete", "turn_detected", None),
        (7, "completed", None, None),
        (None, "completed", None, None),
    ],
)
def test_details_of_any_type(details: Any, status: str, reason: str | None, message: str | None) -> None:
    (ended,) = read({"type": "response.done", "response": {"id": "r", "status_details": details}}, "server")
    found = (ended.status, ended.reason, ended.error and ended.error.message)  # type: ignore[union-attr]
    assert found == (status, reason, message)


def test_what_ga_writes_fits_the_schema() -> None:
    event = {"type": "response.audio.delta", "response_id": "r", "item_id": "i", "delta": "AAAA"}
    (ga,) = written(GA, "server", event)
    check_server_event({"event_id": "event_1", **ga})
