import base64
import json
import random
from copy import deepcopy
from pathlib import Path

import orjson
import pytest
from frames import MS, WALL, Wire, b64, full, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb.analysis.turn import TurnView
from rtnb.audio import Clip
from rtnb.protocol.dialects import read
from rtnb.protocol.events import BINARY
from rtnb.protocol.log import NO_TURN
from rtnb.protocol.state import SessionState

PROTOCOL = Path(__file__).parents[3] / "shared" / "protocol"

# A few published examples, for where the whole collection is absent.
BUILT_IN = [
    ("client", {"type": "input_audio_buffer.append", "event_id": "event_456", "audio": "AAAA"}),
    ("client", {"type": "response.cancel", "event_id": "event_012"}),
    (
        "server",
        {
            "event_id": "event_1920",
            "type": "input_audio_buffer.speech_stopped",
            "audio_end_ms": 2000,
            "item_id": "msg_003",
        },
    ),
    (
        "server",
        {
            "event_id": "event_890",
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "code": "invalid_event",
                "message": "No.",
                "param": None,
            },
        },
    ),
]

# Published GA examples that are no such events, by type, with the reason.
WRONG = {
    "input_audio_buffer.append": "its audio is the words Base64EncodedAudioData: no whole base64",
    "session.input_audio_buffer.append": "its audio is the words Base64EncodedAudioData: no whole base64",
    "session.output_audio.delta": "its delta is the words Base64EncodedAudioDelta",
    "response.output_audio.delta": "its delta is the words Base64EncodedAudioDelta: no whole base64",
}


def examples():
    for side in ("client", "server"):
        path = PROTOCOL / f"examples-{side}.jsonl"
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                row = json.loads(line)
                yield side, row["dialect"], row["example"]
        else:
            yield from ((at, "ga", event) for at, event in BUILT_IN if at == side)


def keep(record, side, event, at=0):
    return record.append(orjson.dumps(event), side, mono_ns=at, wall_ns=WALL + at)


@pytest.mark.parametrize(
    ("side", "dialect", "event"),
    list(examples()),
    ids=lambda v: v["type"].strip() if isinstance(v, dict) else v,
)
def test_published_examples(side, dialect, event):
    record = SessionState()
    keep(record, side, event)
    assert len(record.log) == 1
    assert record.log[0].data == event
    if dialect == "ga":
        wrong = event["type"] in WRONG and "Base64" in json.dumps(event)
        assert bool(record.problems) is wrong


def test_all_published_examples_one_after_another():
    record = SessionState()
    every = list(examples())
    for number, (side, _, event) in enumerate(every):
        keep(record, side, event, number * MS)
    assert [entry.data for entry in record.log] == [event for _, _, event in every]
    look_at_everything(record)


def look_at_everything(record):
    """Read whatever a face would read."""
    record.usage.cost(record.model)
    for turn in record.turns.all:
        view = TurnView(record, turn)
        _ = (
            view.text_so_far,
            view.input,
            view.calls,
            view.status,
            view.error,
            view.usage,
            view.cost,
            view.latency,
        )
        assert len(view.events) >= 0
    for item in record.conversation.items.values():
        assert isinstance(item.text, str)
        assert item.audio_ms >= 0


def test_a_bit_of_everything_has_no_problem():
    wire = full()
    assert wire.problems == []
    assert wire.state.model == "gpt-4o-realtime-preview"
    assert wire.state.session["type"] == "realtime"
    assert wire.state.limits == {
        "tokens": {"name": "tokens", "limit": 100, "remaining": 60, "reset_seconds": 2}
    }
    assert wire.state.usage.total_tokens == 66
    look_at_everything(wire.state)


def test_folding_again_gives_the_same():
    wire = full()
    again = SessionState()
    for entry in wire.state.log:
        again.append(
            entry.frame, entry.direction, mono_ns=round(entry.t * 1e9), wall_ns=round(entry.wall * 1e9)
        )
    assert again.conversation == wire.state.conversation
    assert again.conversation.items == wire.state.conversation.items
    assert again.turns.all == wire.state.turns.all
    assert [entry.turn for entry in again.log] == [entry.turn for entry in wire.state.log]
    assert (again.limits, again.problems, again.usage) == (wire.state.limits, [], wire.state.usage)


def test_a_command_given_beside_its_frame_spares_the_reading_and_changes_nothing():
    wire, again = full(), SessionState()
    for frame, direction, now in wire.frames:
        event = orjson.loads(frame)
        made = {"command": read(event, direction)[0], "kind": event["type"]} if direction == "client" else {}
        applied = again.append(frame, direction, mono_ns=now * MS, wall_ns=WALL + now * MS, **made)
        assert direction == "server" or applied.changes == [made["command"]]
    assert again.conversation == wire.state.conversation
    assert again.turns.all == wire.state.turns.all


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"type":"\\ud800"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"null", "not a JSON object with a type"),
        (b"[]", "not a JSON object with a type"),
        (b'"error"', "not a JSON object with a type"),
        (b"{}", "not a JSON object with a type"),
        (b'{"type":null}', "not a JSON object with a type"),
        (b'{"type":["error"]}', "not a JSON object with a type"),
    ],
    ids=range(11),
)
def test_a_frame_that_is_no_event_is_kept_and_named(frame, sentence):
    record = SessionState()
    read = record.append(frame, "server", mono_ns=0, wall_ns=0)
    assert (read.row, read.turn, read.changes) == (0, NO_TURN, [])
    assert (record.log[0].frame, record.log[0].type) == (frame, BINARY)
    ((index, problem),) = record.problems
    assert index == 0
    assert sentence in problem


def test_an_unknown_event_is_no_problem():
    wire = Wire()
    wire.client("response.dance", steps=3)
    wire.server("response.danced", response_id="resp_1", item_id=None, item=None)
    assert wire.problems == []
    assert wire.state.log[1].type == "response.danced"


MALFORMED = [
    ("server", "session.created", {}),
    ("server", "session.created", {"session": None}),
    ("server", "session.created", {"session": "realtime"}),
    ("server", "session.updated", {"session": {"audio": {"input": {"format": "pcm16"}}}}),
    ("server", "session.updated", {"session": {"audio": {"output": {"format": {"type": "audio/ogg"}}}}}),
    (
        "server",
        "session.updated",
        {"session": {"audio": {"input": {"format": {"type": "audio/pcm", "rate": -1}}}}},
    ),
    ("client", "input_audio_buffer.append", {}),
    ("client", "input_audio_buffer.append", {"audio": None}),
    ("client", "input_audio_buffer.append", {"audio": "?"}),
    ("client", "input_audio_buffer.append", {"audio": "é"}),
    ("client", "conversation.item.create", {}),
    ("client", "conversation.item.create", {"item": []}),
    ("client", "conversation.item.delete", {}),
    ("server", "conversation.item.added", {}),
    ("server", "conversation.item.added", {"item": {}}),
    ("server", "conversation.item.added", {"item": {"id": None, "role": "user"}}),
    ("server", "conversation.item.deleted", {}),
    ("server", "input_audio_buffer.speech_started", {"audio_start_ms": 5}),
    ("server", "input_audio_buffer.committed", {}),
    ("server", "input_audio_buffer.committed", {"item_id": {}}),
    ("server", "response.done", {}),
    (
        "server",
        "response.done",
        {"response": {"id": "resp_0", "usage": {"input_token_details": {"text_tokens": "x"}}}},
    ),
    ("server", "response.done", {"response": {"id": "resp_0", "usage": "much"}}),
    ("server", "response.output_text.delta", {"item_id": "x", "content_index": 0}),
    ("server", "response.output_text.delta", {"item_id": "x", "content_index": 0, "delta": 5}),
    ("server", "response.output_text.delta", {"item_id": "x", "content_index": 10**12, "delta": "a"}),
    ("server", "response.output_text.delta", {"item_id": "x", "content_index": -1, "delta": "a"}),
    (
        "server",
        "response.output_audio.delta",
        {"item_id": "x", "content_index": 0, "response_id": "r", "delta": "?"},
    ),
]

# What a server may leave out or get wrong while its event still says something.
LENIENT = [
    ("server", "error", {}),
    ("server", "error", {"error": "no"}),
    ("client", "conversation.item.create", {"item": {"id": ["x"], "role": "user"}}),
    ("server", "conversation.item.added", {"item": {"id": 5, "role": "user"}}),
    ("server", "conversation.item.added", {"item": {"id": "x", "role": 5}}),
    ("server", "conversation.item.added", {"item": {"id": "x", "content": 5}}),
    ("server", "conversation.item.added", {"item": {"id": "x", "content": [{}]}}),
    ("server", "conversation.item.added", {"item": {"id": "x", "content": [{"type": "text", "text": 5}]}}),
    ("server", "conversation.item.added", {"item": {"id": "x", "output": {"weather": "sunny"}}}),
    ("server", "conversation.item.truncated", {"item_id": "x", "audio_end_ms": "soon"}),
    ("server", "conversation.item.truncated", {"item_id": "x"}),
    ("server", "conversation.item.input_audio_transcription.completed", {"item_id": "x", "content_index": 0}),
    (
        "server",
        "conversation.item.input_audio_transcription.completed",
        {"item_id": "x", "content_index": 0, "transcript": None},
    ),
    ("server", "conversation.item.input_audio_transcription.failed", {"item_id": "x", "error": None}),
    (
        "server",
        "conversation.item.input_audio_transcription.failed",
        {"item_id": "x", "error": {"message": 5}},
    ),
    ("server", "input_audio_buffer.speech_started", {"item_id": "x", "audio_start_ms": []}),
    ("server", "input_audio_buffer.speech_stopped", {"item_id": "u", "audio_end_ms": None}),
    ("server", "response.created", {}),
    ("server", "response.created", {"response": None}),
    ("server", "response.created", {"response": {}}),
    ("server", "response.created", {"response": {"id": []}}),
    ("server", "response.done", {"response": {"id": "resp_0", "output": [None]}}),
    ("server", "response.done", {"response": {"id": "resp_0", "status_details": "odd"}}),
    ("server", "response.output_item.added", {"response_id": "resp_0", "item": {}}),
    ("server", "response.output_item.added", {"response_id": "resp_0", "item": {"id": 7}}),
    ("server", "response.content_part.added", {"item_id": "x", "content_index": 0}),
    (
        "server",
        "response.content_part.added",
        {"item_id": "x", "content_index": "0", "part": {"type": "text"}},
    ),
    ("server", "response.output_text.delta", {"item_id": None, "content_index": 0, "delta": "a"}),
    ("server", "response.output_text.done", {"item_id": "x", "content_index": 0, "text": ["a"]}),
    ("server", "response.output_audio.delta", {"item_id": "x", "content_index": 0, "delta": "AAAA"}),
    ("server", "response.function_call_arguments.delta", {"item_id": "x", "delta": {}}),
    ("server", "response.function_call_arguments.done", {"item_id": "x", "arguments": {"city": "Rome"}}),
    ("server", "rate_limits.updated", {"rate_limits": None}),
    ("server", "rate_limits.updated", {"rate_limits": [{}]}),
]


@pytest.mark.parametrize(
    ("side", "type", "fields"),
    [*MALFORMED, *LENIENT],
    ids=[f"{m[1]}-{n}" for n, m in enumerate([*MALFORMED, *LENIENT])],
)
def test_a_malformed_event_is_one_line_and_the_next_events_fold(side, type, fields):
    wire = Wire()
    wire.session()
    wire.server("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    wire.server("response.created", response={"id": "resp_0", "status": "in_progress"})
    wire.say(side, type, **fields)
    problems = list(wire.state.problems)
    if (side, type, fields) in MALFORMED:
        ((index, problem),) = problems
        assert index == 3
        assert len(problem) < 400
    else:
        assert problems == []
    assert wire.state.log[3].data == {"type": type, **fields}
    look_at_everything(wire.state)
    wire.server("response.done", response={"id": "resp_0", "status": "completed"})
    before = len(wire.turns)
    turn_runs(wire)
    assert wire.state.problems == problems
    assert len(wire.turns) in (before, before + 1)


def turn_runs(wire):
    """Fold one good turn after whatever came before, and see that all is right."""
    wire.session(None, "session.updated")
    wire.text("good_u", "Hi", role="user")
    wire.ask(metadata={"good": "yes"})
    number = wire.begin("good_resp", "good_a", "good_u", metadata={"good": "yes"})
    wire.speak(tone(40), "Good day.", "good_resp", "good_a")
    wire.end("good_resp")
    items = wire.conversation.items
    assert (items["good_u"].text, items["good_a"].text) == ("Hi", "Good day.")
    assert items["good_a"].parts[0].data == tone(40)
    assert "good_u" in wire.turns[number].inputs
    assert wire.turns[number].outputs[-1] == "good_a"
    look_at_everything(wire.state)


def paths(value, at=()):
    """Yield the path of everything within an event."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from paths(inner, (*at, number))


def mutated(event, at, value, drop):
    event = deepcopy(event)
    into = event
    for key in at[:-1]:
        into = into[key]
    if drop:
        del into[at[-1]]
    else:
        into[at[-1]] = value
    return event


REAL = [(direction, orjson.loads(frame)) for frame, direction, _ in full().frames]
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just({"type": "audio/pcm"}),
    st.sampled_from(["item_u1", "item_a2", "resp_1", "audio", "function_call", b64(b"odd"), 1e308, 10**18]),
)


PLACES = [(number, at) for number, (_, event) in enumerate(REAL) for at in paths(event) if at != ("type",)]
damages = st.lists(st.tuples(st.sampled_from(PLACES), odd, st.booleans()), min_size=1, max_size=3)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(damages)
def test_damaged_events_never_stop_the_fold(damages):
    """The real conversation, with up to three places of it changed or dropped."""
    events = list(REAL)
    for (number, at), value, drop in damages:
        direction, event = events[number]
        if event is not REAL[number][1]:
            continue  # one damage for each event: the second's place may be gone
        events[number] = direction, mutated(event, at, value, drop)
    wire = Wire()
    for number, (direction, event) in enumerate(events):
        problems = len(wire.problems)
        frame = orjson.dumps(event)
        wire.state.append(frame, direction, mono_ns=number * MS, wall_ns=WALL + number * MS)
        assert len(wire.problems) - problems in (0, 1)
        assert wire.state.log[-1].frame == frame
    look_at_everything(wire.state)
    wire.now = 10_000
    problems = list(wire.state.problems)
    turn_runs(wire)
    assert wire.state.problems == problems
    frames = [orjson.dumps(event) for _, event in events]
    assert [entry.frame for entry in wire.state.log[: len(events)]] == frames


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(REAL), max_size=40))
def test_any_order_of_events_folds_and_folds_again_the_same(events):
    one, other = SessionState(), SessionState()
    for record in (one, other):
        for number, (direction, event) in enumerate(events):
            keep(record, direction, event, number * MS)
    assert one.conversation == other.conversation
    assert one.conversation.items == other.conversation.items
    assert one.turns.all == other.turns.all
    assert one.problems == other.problems
    look_at_everything(one)


def test_the_sound_of_a_record_can_be_heard():
    wire = full()
    view = TurnView(wire.state, wire.turns[1])
    assert isinstance(view.audio_so_far, Clip)
    assert view.audio_so_far.seconds == pytest.approx(0.5)
    assert view.played == pytest.approx(0.3)
    assert view.input == "How is the weather?"
    assert view.input.audio.to_pcm16() == tone(200)


@given(
    data=st.binary(min_size=2, max_size=400).map(lambda data: data[: len(data) // 2 * 2]),
    last=st.integers(0, 3),
    slashes=st.booleans(),
    order=st.permutations(["type", "delta", "item_id", "response_id", "content_index"]),
    spaces=st.booleans(),
)
def test_sound_is_kept_once_and_every_frame_comes_back(
    data: bytes, last: int, slashes: bool, order: list[str], spaces: bool
) -> None:
    text = base64.b64encode(data).decode()
    if text.endswith("="):  # bits that no canonical encoder sets
        at = text.index("=") - 1
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        text = text[:at] + alphabet[(alphabet.index(text[at]) + last) % 64] + text[at + 1 :]
    fields = {
        "type": "response.output_audio.delta",
        "delta": text,
        "item_id": text,
        "response_id": "r",
        "content_index": 0,
    }
    frame = json.dumps({k: fields[k] for k in order}, separators=(", ", ": ") if spaces else (",", ":"))
    if slashes:
        frame = frame.replace("/", "\\/")
    record = SessionState()
    for ns in range(3):
        record.append(frame.encode(), "server", mono_ns=ns, wall_ns=ns)
    assert [entry.raw for entry in record.log] == [frame] * 3
    assert not record.problems
    assert record.conversation.items[text].parts[0].data == base64.b64decode(text) * 3


def test_a_spoken_log_takes_less_than_its_own_bytes() -> None:
    record = SessionState()
    for n in range(500):
        text = base64.b64encode(random.Random(n).randbytes(4800)).decode()
        event = {"type": "input_audio_buffer.append", "audio": text}
        record.append(json.dumps(event).encode(), "client", mono_ns=n, wall_ns=n)
    assert record.log.nbytes < 0.8 * record.log.bytes
    assert record.log[250].data["audio"] == base64.b64encode(random.Random(250).randbytes(4800)).decode()


QUIET = base64.b64encode(bytes(300)).decode()
ALIKE = QUIET[:-4] + "AAAB"


@pytest.mark.parametrize(
    "fields",
    [
        f'"note":"{ALIKE}","audio":"{QUIET}"',
        f'"note":"{QUIET}","audio":"{QUIET}"',
        f'"audio":"{ALIKE}","audio":"{QUIET}"',
        f'"audio":"{QUIET}","audio":"{ALIKE}"',
        f'"audio":"{QUIET}A"',
        f'"audio":"{QUIET[:-4]}AAB="',
        f'"audio":"{QUIET[:-4]}AB=="',
        f'"audio":"{QUIET[:-4]}====" ',
        f'"audio":"{QUIET[:-4]}"',
        f'"audio":"\\u0041{QUIET[1:]}"',
        f'"audio":"{QUIET[:-2]}\\/\\/"',
        f'"audio" : "{QUIET[:-2]}//" ',
        f'"{QUIET}":"{QUIET}","audio":"{QUIET}"',
    ],
    ids=range(13),
)
def test_whatever_looks_like_sound_comes_back_byte_for_byte(fields):
    frame = f'{{"type":"input_audio_buffer.append",{fields}}}'.encode()
    record = SessionState()
    for _ in range(2):
        record.append(frame, "client", mono_ns=0, wall_ns=WALL)
    assert [entry.frame for entry in record.log] == [frame, frame]


words = st.sampled_from([b"", b"A" * 70, b"A" * 63 + b"B", b"AAAA" * 20, b"/+8=" * 20, b"ab12" * 16])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["audio", "delta", "note"]), st.binary(max_size=200) | words), max_size=3
    ),
    st.booleans(),
)
def test_frames_with_any_sound_come_back_byte_for_byte(fields, plain):
    inside = b",".join(
        b'"%s":"%s"'
        % (name.encode(), value if value in (b"A" * 70, b"AAAA" * 20) else base64.b64encode(value))
        for name, value in fields
    )
    frame = b'{"type":"input_audio_buffer.append"%s%s}' % (b"," if inside else b"", inside)
    frame = frame if plain else frame.replace(b"/", b"\\/")
    record = SessionState()
    record.append(frame, "client", mono_ns=0, wall_ns=WALL)
    assert record.log[0].frame == frame
