import numpy as np
import pytest
from frames import Wire, full, tone, usage

from rtnb.protocol.log import NO_TURN
from rtnb.protocol.timing import MARKS, Latency
from rtnb.protocol.usage import Usage

VAD = {"type": "server_vad", "prefix_padding_ms": 0, "silence_duration_ms": 0}


@pytest.fixture
def wire():
    wire = Wire()
    wire.session()
    return wire


@pytest.fixture
def free():
    """Hands-free: the server finds the turns."""
    wire = Wire()
    wire.session(VAD)
    return wire


def utter(wire, id, start, end, previous=None):
    """Speech is detected from ``start`` to ``end``; return the turns of the three events."""
    found = [wire.server("input_audio_buffer.speech_started", item_id=id, audio_start_ms=start)]
    wire.append(tone(end - start))
    found.append(wire.server("input_audio_buffer.speech_stopped", item_id=id, audio_end_ms=end))
    return [*found, wire.committed(id, previous)]


def status(wire, number=-1):
    return wire.turns[number].status(wire.conversation)


def test_a_text_turn(wire):
    assert wire.text("u", "Hi") == 0
    assert wire.ask() == 0
    assert wire.begin(previous="u") == 0
    assert status(wire) == "in_progress"
    wire.delta("output_text", "Good day")
    assert wire.end(usage=usage(12, 4)) == 0
    assert wire.server("rate_limits.updated", rate_limits=[]) == 0
    (turn,) = wire.turns
    assert (turn.inputs, turn.outputs, status(wire)) == (["u"], ["item_a"], "completed")
    assert turn.usage == Usage(input_text=12, output_text=4)
    assert {entry.turn for entry in wire.state.log[1:]} == {0}
    assert wire.state.log[0].turn == NO_TURN


def test_several_inputs_make_one_turn(wire):
    wire.text("a", "See:")
    wire.append(tone(100))
    wire.client("input_audio_buffer.commit")
    wire.committed("b", "a")
    wire.text("c", "What is it?", "b")
    wire.ask()
    assert len(wire.turns) == 1
    assert wire.turns[0].inputs == ["a", "b", "c"]
    assert wire.text("d", "And now?") == 1


def test_nothing_is_waited_for_between_append_commit_and_ask(wire):
    """What the server says of the input comes when the client is past it: no turn is made of that."""
    for number in range(2):
        assert wire.append(tone(100)) == number
        assert wire.client("input_audio_buffer.commit") == number
        assert wire.ask() == number
    for number in range(2):
        assert wire.committed(f"u{number}") == number
        assert wire.begin(f"resp_{number}", f"item_{number}") == number
        assert wire.end(f"resp_{number}") == number
    assert [turn.inputs for turn in wire.turns] == [["u0"], ["u1"]]


def test_items_that_the_server_names(wire):
    for text in ("one", "two"):
        content = [{"type": "input_text", "text": text}]
        wire.client("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        wire.ask()
    for number in range(2):
        wire.item({"id": f"u{number}", "type": "message", "role": "user"})
        wire.begin(f"resp_{number}", f"item_{number}")
        wire.end(f"resp_{number}")
    assert [turn.inputs for turn in wire.turns] == [["u0"], ["u1"]]
    assert [turn.outputs for turn in wire.turns] == [["item_0"], ["item_1"]]


def test_a_system_message_opens_no_turn(wire):
    assert wire.text("s", "Be short.", role="system") == NO_TURN
    assert wire.turns == []
    wire.text("u", "Hi", "s")
    assert wire.text("s2", "Be shorter.", "u", role="system") == 0


def test_a_response_without_input_is_a_turn(wire):
    assert wire.ask() == 0
    assert wire.begin() == 0
    wire.end()
    assert (wire.turns[0].inputs, status(wire)) == ([], "completed")


def test_function_calls_continue_their_turn(wire):
    wire.text("u", "Weather?")
    wire.ask()
    wire.call(call_id="call_7")
    assert status(wire) == "completed"
    output = {"id": "o", "type": "function_call_output", "call_id": "call_7", "output": "sunny"}
    assert wire.client("conversation.item.create", item=output) == 0
    assert wire.item(output, "item_f") == 0
    assert wire.ask() == 0
    assert status(wire) == "in_progress"
    assert wire.begin("resp_2", "item_a", "o") == 0
    wire.end("resp_2", usage=usage(20, 3))
    (turn,) = wire.turns
    assert (turn.inputs, turn.outputs, len(turn.responses)) == (["u"], ["item_f", "item_a"], 2)
    assert wire.text("next", "Thanks") == 1


def test_the_output_of_an_older_call_goes_to_its_own_turn(wire):
    wire.text("u", "Weather?")
    wire.ask()
    wire.call()
    wire.text("v", "Never mind. Hi!")
    wire.ask()
    wire.begin("resp_2", "item_a", "v")
    wire.end("resp_2")
    output = {"id": "o", "type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    assert wire.client("conversation.item.create", item=output) == 0
    assert wire.ask() == 0
    assert wire.begin("resp_3", "item_b", "o") == 0


def test_an_output_of_a_call_nobody_made_goes_to_the_latest_turn(wire):
    output = {"id": "o", "type": "function_call_output", "call_id": "call_x", "output": "?"}
    assert wire.client("conversation.item.create", item=output) == NO_TURN
    wire.text("u", "Hi")
    wire.ask()
    wire.begin()
    assert wire.client("conversation.item.create", item={**output, "id": "o2"}) == 0


def test_detected_speech_is_a_turn_and_the_silence_around_it_none(free):
    assert free.append(tone(100)) == NO_TURN
    assert utter(free, "u", 50, 300) == [0, 0, 0]
    assert free.begin(previous="u") == 0
    assert free.append(tone(100)) == NO_TURN
    free.end()
    (turn,) = free.turns
    assert (turn.inputs, turn.outputs, status(free)) == (["u"], ["item_a"], "completed")
    appends = free.state.log.filter("input_audio_buffer.append")
    assert [entry.turn for entry in appends] == [NO_TURN, 0, NO_TURN]


def test_barging_in_makes_two_turns(free):
    utter(free, "u1", 0, 200)
    free.begin(previous="u1")
    free.speak(tone(300), "I was about")
    started = free.server("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=400)
    assert started == 1
    details = {"type": "cancelled", "reason": "turn_detected"}
    assert free.end(status="cancelled", details=details) == 0
    cut = {"item_id": "item_a", "content_index": 0, "audio_end_ms": 120}
    assert free.client("conversation.item.truncate", **cut) == 0
    assert free.server("conversation.item.truncated", **cut) == 0
    assert free.append(tone(300)) == 1
    assert free.server("input_audio_buffer.speech_stopped", item_id="u2", audio_end_ms=700) == 1
    assert free.committed("u2", "item_a") == 1
    assert free.begin("resp_2", "item_b", "u2") == 1
    free.end("resp_2")
    assert [status(free, n) for n in (0, 1)] == ["interrupted", "completed"]
    assert [turn.outputs for turn in free.turns] == [["item_a"], ["item_b"]]


def test_where_the_client_asks_detected_speech_adds_up():
    wire = Wire()
    wire.session({**VAD, "create_response": False})
    assert utter(wire, "u1", 0, 200) == [0, 0, 0]
    assert utter(wire, "u2", 300, 500, "u1") == [0, 0, 0]
    assert wire.ask() == 0
    assert wire.begin(previous="u2") == 0
    wire.end()
    assert wire.turns[0].inputs == ["u1", "u2"]
    assert utter(wire, "u3", 600, 700, "item_a")[0] == 1


def test_a_response_nobody_asked_for_belongs_to_the_input_committed_last(free):
    utter(free, "u1", 0, 200)
    free.server("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=300)
    assert free.begin(previous="u1") == 0
    free.end()
    assert free.begin("resp_2", "item_b") == 2
    assert free.turns[2].inputs == []


def test_text_is_asked_for_beside_detected_speech(free):
    utter(free, "u1", 0, 200)
    assert free.text("t", "Typed meanwhile", "u1") == 1
    assert free.begin(previous="u1") == 0
    free.end()
    assert free.ask() == 1
    assert free.begin("resp_2", "item_b", "t") == 1


def test_out_of_band_turns_are_told_by_metadata(wire):
    wire.text("u", "Hi")
    assert wire.ask() == 0
    assert wire.ask("event_a", conversation="none", metadata={"n": "1"}) == 1
    assert wire.ask("event_b", conversation="none", metadata={"n": "2"}) == 2
    assert wire.begin("resp_c", "item_c", placed=False, metadata={"n": "2"}) == 2
    assert wire.begin("resp_b", "item_b", placed=False, metadata={"n": "1"}) == 1
    assert wire.begin("resp_a", "item_a", "u") == 0
    for name in "abc":
        wire.end(f"resp_{name}")
    assert [turn.out_of_band for turn in wire.turns] == [False, True, True]
    assert [turn.outputs for turn in wire.turns] == [["item_a"], ["item_b"], ["item_c"]]
    assert not any(turn.active for turn in wire.turns)


def test_a_server_that_does_not_echo_metadata_is_understood(wire):
    assert wire.ask(metadata={"n": "1"}) == 0
    assert wire.begin(metadata=None) == 0
    wire.end()
    assert status(wire) == "completed"


def test_a_request_without_metadata_goes_before_one_whose_metadata_was_not_echoed(wire):
    wire.ask(conversation="none", metadata={"n": "1"})
    wire.ask()
    assert wire.begin("resp_1", "item_a") == 1
    assert wire.begin("resp_2", "item_b") == 0


def test_a_refused_request_ends_its_turn(wire):
    wire.text("u", "Hi")
    wire.ask("event_r")
    assert status(wire) == "in_progress"
    error = {"type": "invalid_request_error", "message": "no", "code": "bad", "event_id": "event_r"}
    assert wire.server("error", error=error) == 0
    (failed,) = wire.turns[0].errors
    assert (status(wire), failed.message, failed.code) == ("failed", "no", "bad")
    assert wire.server("error", error={**error, "event_id": "unknown"}) == NO_TURN
    assert wire.server("error", error={**error, "event_id": None}) == NO_TURN


def test_a_refused_commit_gives_its_place_to_the_next(wire):
    wire.client("input_audio_buffer.commit", event_id="event_1")
    wire.append(b"")
    assert wire.client("input_audio_buffer.commit", event_id="event_2") == 0
    wire.server("error", error={"message": "empty", "event_id": "event_2"})
    wire.ask()
    wire.append(tone(100))
    assert wire.client("input_audio_buffer.commit", event_id="event_3") == 1
    assert wire.committed("u") == 1


@pytest.mark.parametrize(
    ("given", "reason", "expected"),
    [
        ("completed", None, "completed"),
        ("cancelled", "client_cancelled", "cancelled"),
        ("cancelled", "turn_detected", "interrupted"),
        ("incomplete", "max_output_tokens", "incomplete"),
        ("failed", None, "failed"),
    ],
)
def test_statuses(wire, given, reason, expected):
    wire.ask()
    wire.begin()
    error = {"type": "server_error", "code": "inference_rate_limit_exceeded"} if given == "failed" else None
    wire.end(status=given, details={"type": given, "reason": reason, "error": error})
    assert status(wire) == expected
    response = wire.turns[0].responses[0]
    assert (response.reason, response.error and response.error.code) == (reason, error and error["code"])


@pytest.mark.parametrize("odd", [{}, {"status": None}, {"status": "in_progress"}, {"status": ["completed"]}])
def test_a_response_that_is_done_is_over_whatever_it_says(wire, odd):
    wire.ask()
    wire.begin()
    wire.server("response.done", response={"id": "resp_1", **odd})
    assert status(wire) == "completed"


def test_a_response_with_odd_output_is_over_too(wire):
    wire.ask()
    wire.begin()
    wire.server("response.done", response={"id": "resp_1", "status": "completed", "output": [None]})
    assert status(wire) == "completed"
    assert wire.problems == []


def test_an_answer_cut_after_its_end_was_interrupted(wire):
    wire.ask()
    wire.begin()
    wire.speak(tone(100))
    wire.end()
    wire.server("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=40)
    assert status(wire) == "interrupted"


def test_cancelling_belongs_to_the_response_named_or_the_latest(wire):
    wire.ask()
    wire.begin("resp_1", "item_a")
    wire.ask(conversation="none", metadata={"n": "1"})
    wire.begin("resp_2", "item_b", metadata={"n": "1"}, placed=False)
    assert wire.client("response.cancel", response_id="resp_1") == 0
    assert wire.client("response.cancel") == 1
    assert wire.client("response.cancel", response_id="unknown") == 1


def test_a_log_joined_late_has_no_turn_for_what_began_before():
    wire = Wire()
    assert wire.delta("output_text", "…the end") == NO_TURN
    assert wire.delta("output_audio", tone(20)) == NO_TURN
    assert wire.end() == NO_TURN
    item = {"id": "i", "type": "message", "role": "assistant"}
    added = wire.server("response.output_item.added", response_id="r", output_index=0, item=item)
    assert added == NO_TURN
    assert wire.server("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=99) == NO_TURN
    assert wire.server("conversation.item.truncated", item_id="x", content_index=0, audio_end_ms=1) == NO_TURN
    assert wire.turns == []
    assert wire.problems == []


def test_transcription_is_counted_in_its_turn_however_late(wire):
    wire.session(None, "session.updated", transcription={"model": "gpt-realtime-whisper"})
    wire.append(tone(100))
    wire.client("input_audio_buffer.commit")
    wire.ask()
    wire.committed("u")
    wire.begin(previous="u")
    wire.end(usage=usage(5, 5))
    wire.text("v", "next")
    kind = "conversation.item.input_audio_transcription.completed"
    seconds = {"type": "duration", "seconds": 30}
    assert wire.server(kind, item_id="u", content_index=0, transcript="Hi", usage=seconds) == 0
    assert wire.turns[0].usage.transcription == {"gpt-realtime-whisper": {"seconds": 30}}
    assert wire.turns[0].usage.total_tokens == 10
    assert wire.state.usage == wire.turns[0].usage


# Marks.


def test_marks_of_a_spoken_answer(wire):
    wire.text("u", "Hi")
    wire.ask()
    wire.begin(previous="u")
    wire.delta("output_audio_transcript", "Good day")
    quiet = bytes(4800)
    for piece in (quiet, bytes(480) + tone(90), quiet):
        wire.delta("output_audio", piece)
    wire.end()
    marks = wire.turns[0].marks
    assert set(marks) <= set(MARKS)
    first = marks["first_audio"]
    assert marks["first_sound"] == pytest.approx(first + 0.100 + 0.010, abs=0.001)
    assert marks["last_audio"] == pytest.approx(first + 0.020)
    assert (
        marks["input"] < marks["requested"] < marks["created"] < marks["first_text"] < first < marks["done"]
    )
    latency = Latency.of(marks)
    assert latency.since == "requested"
    assert latency.first_audio == pytest.approx((first - marks["requested"]) * 1000)


def test_sound_cut_within_a_sample_is_still_found(wire):
    wire.ask()
    wire.begin()
    data = bytes(960) + tone(80)
    for start in range(0, len(data), 333):
        wire.delta("output_audio", data[start : start + 333])
    assert wire.problems == []
    marks = wire.turns[0].marks
    assert 0.02 <= marks["first_sound"] - marks["first_audio"] <= 0.04


def test_an_answer_of_silence_has_no_first_sound(wire):
    wire.ask()
    wire.begin()
    wire.delta("output_audio", (np.ones(2400, "<i2") * 50).tobytes())
    wire.end()
    assert "first_sound" not in wire.turns[0].marks


def test_the_end_of_speech_is_when_that_piece_was_sent(free):
    """Pieces of 40 ms leave every 10 ms here; the server places the end at 200 ms of sound."""
    sent = []
    for _ in range(10):
        sent.append(free.now / 1000)
        free.append(tone(40))
    free.server("input_audio_buffer.speech_started", item_id="u", audio_start_ms=40)
    free.server("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=200)
    free.committed("u")
    marks = free.turns[0].marks
    assert marks["speech_end"] == pytest.approx(sent[4] - 0.0)
    assert Latency.of(marks).since == "speech_end"


def test_speech_begins_after_the_padding_that_the_server_takes_along(wire):
    wire.session({"type": "server_vad", "prefix_padding_ms": 80})
    sent = []
    for _ in range(10):
        sent.append(wire.now / 1000)
        wire.append(tone(40))
    wire.server("input_audio_buffer.speech_started", item_id="u", audio_start_ms=120)
    assert wire.turns[0].marks["speech_begin"] == sent[4]
    wire.server("input_audio_buffer.speech_started", item_id="v")
    assert "speech_begin" not in wire.turns[1].marks


def pieces(wire, count=10):
    """Send so many pieces of 40 ms, and return when each left."""
    sent = []
    for _ in range(count):
        sent.append(wire.now / 1000)
        wire.append(tone(40))
    return sent


def test_where_speech_begins_is_unknown_where_the_padding_was_cut_short(wire):
    """By the beginning of the session, by the turn before, and by what was committed or cleared by hand."""
    wire.session({"type": "server_vad", "prefix_padding_ms": 80, "silence_duration_ms": 40})
    sent = pieces(wire)
    utter(wire, "at the beginning", 0, 120)
    assert "speech_begin" not in wire.turns[0].marks
    assert wire.turns[0].marks["speech_end"] == sent[1]
    utter(wire, "at once after it", 120, 200)
    assert "speech_begin" not in wire.turns[1].marks
    utter(wire, "later", 240, 360)
    assert wire.turns[2].marks["speech_begin"] == sent[7]
    for number, verb, at in ((3, "clear", 800), (4, "commit", 1600)):
        pieces(wire)
        wire.client(f"input_audio_buffer.{verb}")
        pieces(wire)
        utter(wire, verb, at, at + 120)
        assert "speech_begin" not in wire.turns[number].marks


@pytest.mark.parametrize(
    "detection",
    [
        {"type": "semantic_vad", "eagerness": "auto"},
        {"type": "server_vad", "prefix_padding_ms": None, "silence_duration_ms": "200"},
    ],
)
def test_where_speech_lies_is_unknown_where_the_server_told_no_padding_and_no_silence(wire, detection):
    wire.session(detection)
    pieces(wire)
    utter(wire, "u", 120, 360)
    marks = wire.turns[0].marks
    assert {"input", "input_end", "speech_started", "speech_stopped", "committed"} <= set(marks)
    assert {"speech_begin", "speech_end"}.isdisjoint(marks)
    assert Latency.of(marks).since == "committed"


def test_each_response_has_its_own_marks(wire):
    wire.append(tone(100))
    last = wire.now / 1000
    wire.append(tone(100))
    wire.client("input_audio_buffer.commit")
    wire.ask()
    wire.committed("u")
    wire.call("resp_1")
    wire.client("conversation.item.create", item={"type": "function_call_output", "call_id": "call_1"})
    wire.ask()
    wire.begin("resp_2", "item_b")
    wire.speak(tone(300), "Sun.", "resp_2", "item_b")
    wire.end("resp_2")
    turn = wire.turns[0]
    first, second = (response.marks for response in turn.responses)
    assert turn.marks["input_end"] == last
    assert set(first) == {"created", "done"}
    assert set(second) == {"created", "first_text", "first_audio", "last_audio", "done"}
    assert first["created"] == turn.marks["created"] < first["done"] < second["created"]
    assert second["done"] == turn.marks["done"]


def answering(wire):
    wire.session(VAD)
    wire.append(tone(100))
    wire.server("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    wire.server("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=100)
    wire.committed("u")
    wire.begin(previous="u")
    wire.speak(tone(400), "Well")


def test_speech_interrupts_when_it_was_noticed(wire):
    answering(wire)
    noticed = wire.now / 1000
    wire.server("input_audio_buffer.speech_started", item_id="v", audio_start_ms=100)
    wire.end(status="cancelled", details={"type": "cancelled", "reason": "turn_detected"})
    told = wire.now / 1000
    wire.client("conversation.item.truncate", item_id="item_a", content_index=0, audio_end_ms=90)
    wire.server("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=90)
    marks = wire.turns[0].marks
    assert (marks["interrupted"], marks["cut"]) == (noticed, told)
    assert "interrupted" not in wire.turns[1].marks


def test_cancelling_interrupts_at_once_and_only_what_runs(wire):
    answering(wire)
    at = wire.now / 1000
    wire.client("response.cancel")
    wire.end(status="cancelled", details={"type": "cancelled", "reason": "client_cancelled"})
    wire.client("response.cancel")
    assert wire.turns[0].marks["interrupted"] == at
    assert "cut" not in wire.turns[0].marks
    wire.ask()
    wire.begin("resp_2", "item_b")
    wire.end("resp_2")
    wire.client("response.cancel")
    assert "interrupted" not in wire.turns[1].marks


def test_what_the_server_plays_itself_is_marked(wire):
    answering(wire)
    began = wire.now / 1000
    wire.server("output_audio_buffer.started", response_id="resp_1")
    wire.end()
    ended = wire.now / 1000
    wire.server("output_audio_buffer.stopped", response_id="resp_1")
    wire.server("output_audio_buffer.stopped", response_id="resp_unknown")
    marks = wire.turns[0].marks
    assert (marks["played"], marks["played_end"]) == (began, ended)
    assert set(marks) <= set(MARKS)


@pytest.mark.parametrize("size", [1920, 2048, 1000, 1])
def test_padding_does_not_move_the_end_of_speech(size):
    wire = Wire()
    wire.session(VAD)
    sent = {}
    total = 0
    for _ in range(2000):
        total += size
        sent[total] = wire.now / 1000
        wire.append(bytes(size))
    middle = size * 1500
    wire.server("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    wire.server("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=middle / 48)
    assert wire.turns[0].marks["speech_end"] == pytest.approx(sent[middle])


def test_an_end_of_speech_beyond_what_is_remembered_is_not_guessed(free):
    free.server("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    for _ in range(5000):
        free.append(b"\0" * 48)
    free.server("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=10)
    assert "speech_end" not in free.turns[0].marks
    free.server("input_audio_buffer.speech_started", item_id="v", audio_start_ms=0)
    free.server("input_audio_buffer.speech_stopped", item_id="v", audio_end_ms=9999)
    assert "speech_end" not in free.turns[1].marks
    assert "speech_stopped" in free.turns[1].marks


def test_a_bit_of_everything():
    wire = full()
    assert wire.problems == []
    assert [status(wire, n) for n in range(len(wire.turns))] == ["completed", "interrupted", "cancelled"]
    assert [turn.inputs for turn in wire.turns] == [["item_u1"], ["item_u2"], ["item_u3"]]
    assert [turn.outputs for turn in wire.turns] == [["item_a1"], ["item_f1", "item_a2"], ["item_a3"]]
    assert wire.turns[1].usage.transcription == {"the transcription model": {"seconds": 0.2}}


@pytest.mark.parametrize("odd", [{"a": 1}, ["x"], 5])
def test_an_odd_reason_or_id_never_gets_into_what_views_read(odd):
    wire = Wire()
    wire.session()
    wire.text("item_u", "Hello")
    wire.ask()
    wire.begin("resp_1", "item_a")
    item = {"id": "item_a", "type": "message", "role": "assistant", "content": []}
    wire.server("response.output_item.done", response_id=odd, item=item)
    wire.end("resp_1", status="incomplete", details={"reason": odd})
    wire.begin(odd, "item_b")
    turn = wire.turns[0]
    assert (status(wire, 0), turn.responses[0].reason) == ("incomplete", None)
    assert [response.id for response in turn.responses] == ["resp_1"]
    assert wire.conversation.items["item_a"].response_id == "resp_1"


def test_an_error_in_words_alone_is_an_error():
    wire = Wire()
    wire.session()
    wire.ask()
    wire.begin("resp_1", "item_a")
    wire.end("resp_1", status="failed", details={"error": "boom"})
    assert wire.turns[0].responses[0].error.message == "boom"


def test_less_than_nothing_was_never_heard():
    wire = Wire()
    wire.session()
    wire.ask()
    wire.begin("resp_1", "item_a")
    wire.server("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=-100)
    assert wire.conversation.items["item_a"].played_ms == 0


def test_runs_of_pieces_that_interleave_stay_apart(wire):
    """A run of pieces is looked up once: another part, item or response, or any other event, ends it."""
    wire.text("u", "Hi")
    wire.ask()
    wire.begin(previous="u")
    for word, item, index in (("a", "item_a", 0), ("b", "item_a", 0), ("c", "item_a", 1), ("d", "item_a", 0)):
        wire.delta("output_text", word, item=item, index=index)
    wire.end(usage=usage(1, 1))
    wire.ask()
    wire.begin("resp_2", "item_b", previous="item_a")
    for word, response, item in (
        ("e", "resp_2", "item_b"),
        ("f", "resp_1", "item_a"),
        ("g", "resp_2", "item_b"),
    ):
        turn = wire.delta("output_text", word, response=response, item=item)
        assert turn == (1 if response == "resp_2" else 0)
    items = wire.conversation.items
    assert [part.text for part in items["item_a"].parts] == ["abdf", "c"]
    assert items["item_b"].text == "eg"
    assert [turn.outputs for turn in wire.turns] == [["item_a"], ["item_b"]]
