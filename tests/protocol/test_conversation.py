import numpy as np
import pytest
from frames import MS_BYTES, Wire, b64, full, tone

from rtnb.audio.codecs import ulaw
from rtnb.protocol.conversation import Conversation


@pytest.fixture
def wire():
    wire = Wire()
    wire.session()
    return wire


def texts(conversation):
    return [item.text for item in conversation]


def test_items_come_in_the_order_of_previous_item_id(wire):
    wire.text("a", "1")
    wire.text("c", "3", "a")
    wire.text("b", "2", "a")
    wire.text("z", "0", None)
    assert texts(wire.conversation) == ["0", "1", "2", "3"]
    assert wire.conversation.order == ["z", "a", "b", "c"]
    assert len(wire.conversation) == 4


def test_an_unknown_neighbour_or_none_told_puts_an_item_last(wire):
    wire.text("a", "1")
    wire.text("b", "2", "never_seen")
    wire.server("conversation.item.added", item={"id": "c", "type": "message", "role": "user", "content": []})
    assert wire.conversation.order == ["a", "b", "c"]


def test_an_item_stays_where_it_was_first_put(wire):
    wire.text("a", "1")
    wire.text("b", "2", "a")
    wire.item({"id": "a", "type": "message", "role": "user", "status": "completed"}, "b")
    assert wire.conversation.order == ["a", "b"]


def test_text_of_an_answer_streams_in(wire):
    wire.text("u", "Hi")
    wire.ask()
    wire.begin(previous="u")
    for delta in ("Go", "od", " day"):
        wire.delta("output_text", delta)
    item = wire.conversation.items["item_a"]
    assert (item.text, item.role, item.status, item.response_id) == (
        "Good day",
        "assistant",
        "in_progress",
        "resp_1",
    )
    where = {"response_id": "resp_1", "item_id": "item_a", "output_index": 0, "content_index": 0}
    wire.server("response.output_text.done", **where, text="Good day!")
    assert item.text == "Good day!"
    done = {"id": "item_a", "type": "message", "role": "assistant", "status": "completed"}
    wire.end("resp_1", {**done, "content": [{"type": "output_text", "text": "Good day!"}]})
    assert (item.text, item.status, len(item.parts)) == ("Good day!", "completed", 1)
    assert wire.conversation.order == ["u", "item_a"]
    assert wire.problems == []


def test_sound_of_an_answer_streams_in_with_its_words(wire):
    sound = tone(250)
    wire.begin()
    wire.speak(sound, "Good day.")
    part = wire.conversation.items["item_a"].parts[0]
    assert (part.kind, part.text, part.data, part.ms) == ("audio", "Good day.", sound, 250.0)
    assert part.codec.rate == 24_000
    assert wire.conversation.items["item_a"].audio_ms == 250.0


def test_half_a_sample_is_not_yet_sound(wire):
    wire.delta("output_audio", tone(10)[:-1])
    part = wire.conversation.items["item_a"].parts[0]
    assert part.data == tone(10)[:-2]
    wire.delta("output_audio", tone(10)[-1:])
    assert part.data == tone(10)


def test_a_response_may_have_a_format_of_its_own(wire):
    form = {"output": {"format": {"type": "audio/pcmu"}}}
    response = {"id": "resp_1", "status": "in_progress", "audio": form}
    wire.server("response.created", response=response)
    wire.delta("output_audio", b"\x80" * 800)
    wire.end()
    wire.begin("resp_2", "item_b")
    wire.delta("output_audio", tone(100), "resp_2", "item_b")
    items = wire.conversation.items
    assert (items["item_a"].parts[0].codec, items["item_a"].audio_ms) == (ulaw, 100.0)
    assert items["item_b"].audio_ms == 100.0


def test_parts_are_made_where_their_announcement_is_missing(wire):
    wire.delta("output_text", "two", index=1)
    assert [part.text for part in wire.conversation.items["item_a"].parts] == ["", "two"]


def test_what_the_wire_loses_stays(wire):
    """A done item comes back without sound, at times without words: openai-agents-js#523."""
    wire.begin()
    wire.speak(tone(100), "Good day.")
    for transcript in ("", None):
        content = [{"type": "output_audio", "transcript": transcript}]
        done = {
            "id": "item_a",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": content,
        }
        wire.server("response.output_item.done", response_id="resp_1", output_index=0, item=done)
    item = wire.conversation.items["item_a"]
    assert (item.text, item.audio_ms, item.status) == ("Good day.", 100.0, "completed")


def test_a_committed_item_holds_the_appended_sound(wire):
    sound = tone(300)
    for start in range(0, len(sound), 999):
        wire.append(sound[start : start + 999])
    wire.client("input_audio_buffer.commit")
    wire.append(tone(40, 900))
    wire.committed("u1")
    item = wire.conversation.items["u1"]
    assert (item.role, item.committed, item.parts[0].kind, item.parts[0].data) == (
        "user",
        True,
        "audio",
        sound,
    )
    wire.client("input_audio_buffer.commit")
    wire.committed("u2", "u1")
    assert wire.conversation.items["u2"].parts[0].data == tone(40, 900)


def test_a_late_transcript_joins_its_item(wire):
    wire.append(tone(300))
    wire.client("input_audio_buffer.commit")
    wire.committed("u1")
    wire.begin(previous="u1")
    wire.delta("output_text", "Good day.")
    wire.end()
    kind = "conversation.item.input_audio_transcription"
    for delta in ("Hel", "lo"):
        wire.server(f"{kind}.delta", item_id="u1", content_index=0, delta=delta)
    assert texts(wire.conversation) == ["Hello", "Good day."]
    assert not wire.conversation.items["u1"].transcribed
    wire.server(f"{kind}.completed", item_id="u1", content_index=0, transcript="Hello.", usage=None)
    assert texts(wire.conversation) == ["Hello.", "Good day."]
    assert wire.conversation.items["u1"].transcribed


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ({"message": "too noisy", "code": "audio_unintelligible"}, "too noisy"),
        ({"code": "server_error"}, "server_error"),
        ({}, "transcription failed"),
    ],
)
def test_a_failed_transcription_is_told(wire, error, text):
    kind = "conversation.item.input_audio_transcription.failed"
    wire.server(kind, item_id="u1", content_index=0, error=error)
    assert wire.conversation.items["u1"].transcription_error == text
    assert wire.conversation.items["u1"].transcribed


def test_detected_speech_is_cut_out_of_the_appended_sound():
    wire = Wire()
    wire.session({"type": "server_vad"})
    sound = np.arange(1000 * 24, dtype="<i2").tobytes()
    for start in range(0, len(sound), 40 * MS_BYTES):
        wire.append(sound[start : start + 40 * MS_BYTES])
        if start == 400 * MS_BYTES:
            wire.server("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=120)
    wire.server("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=460)
    wire.server("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=600)
    wire.committed("u1")
    wire.server("input_audio_buffer.speech_stopped", item_id="u2", audio_end_ms=900)
    wire.committed("u2", "u1")
    items = wire.conversation.items
    assert items["u1"].parts[0].data == sound[120 * MS_BYTES : 460 * MS_BYTES]
    assert items["u2"].parts[0].data == sound[600 * MS_BYTES : 900 * MS_BYTES]
    assert wire.problems == []


def test_the_place_of_speech_counts_what_was_cleared_too():
    wire = Wire()
    wire.session({"type": "server_vad"})
    wire.append(tone(200))
    wire.client("input_audio_buffer.clear")
    wire.server("input_audio_buffer.cleared")
    wire.append(tone(200, 900))
    wire.server("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=250)
    wire.server("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=350)
    wire.committed("u1")
    assert wire.conversation.items["u1"].parts[0].data == tone(200, 900)[50 * MS_BYTES : 150 * MS_BYTES]


def test_speech_in_telephone_sound():
    wire = Wire()
    wire.session({"type": "server_vad"}, form={"type": "audio/pcmu"})
    sound = bytes(range(200)) * 8  # 200 ms
    wire.append(sound)
    wire.server("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=51)
    wire.server("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=151)
    wire.committed("u1")
    part = wire.conversation.items["u1"].parts[0]
    assert (part.data, part.codec, part.ms) == (sound[51 * 8 : 151 * 8], ulaw, 100.0)


def test_an_idle_timeout_commits_the_silence():
    wire = Wire()
    wire.session({"type": "server_vad", "idle_timeout_ms": 5000})
    wire.append(bytes(300 * MS_BYTES))
    wire.server("input_audio_buffer.timeout_triggered", item_id="u1", audio_start_ms=100, audio_end_ms=300)
    wire.committed("u1")
    assert wire.conversation.items["u1"].audio_ms == 200.0


def test_commits_and_clears_race_with_appends(wire):
    """The client goes on sending; what the server answers is told by order, not by time."""
    pieces = [tone(100, 300 + 100 * n) for n in range(5)]
    wire.append(pieces[0])
    wire.client("input_audio_buffer.commit")
    wire.append(pieces[1])
    wire.client("input_audio_buffer.clear")
    wire.append(pieces[2])
    wire.append(pieces[3])
    wire.client("input_audio_buffer.commit")
    wire.append(pieces[4])
    wire.committed("u1")
    wire.server("input_audio_buffer.cleared")
    wire.committed("u2", "u1")
    wire.client("input_audio_buffer.commit")
    wire.committed("u3", "u2")
    found = [item.parts[0].data for item in wire.conversation]
    assert found == [pieces[0], pieces[2] + pieces[3], pieces[4]]


def test_a_refused_commit_takes_nothing(wire):
    wire.append(tone(20))
    wire.client("input_audio_buffer.commit", event_id="event_9")
    wire.append(tone(100, 900))
    error = {
        "type": "invalid_request_error",
        "code": "input_audio_buffer_commit_empty",
        "message": "too small",
    }
    wire.server("error", error={**error, "event_id": "event_9"})
    wire.client("input_audio_buffer.commit", event_id="event_10")
    wire.committed("u1")
    assert wire.conversation.items["u1"].parts[0].data == tone(20) + tone(100, 900)


def test_a_refused_commit_without_an_event_id_takes_nothing(wire):
    wire.append(tone(20))
    wire.client("input_audio_buffer.commit")
    wire.append(tone(100, 900))
    wire.server(
        "error", error={"code": "input_audio_buffer_commit_empty", "message": "small", "event_id": None}
    )
    wire.client("input_audio_buffer.commit")
    wire.committed("u1")
    assert wire.conversation.items["u1"].audio_ms == 120.0


def test_an_open_microphone_keeps_two_to_four_minutes_of_silence():
    wire = Wire()
    wire.session({"type": "server_vad"})
    silence = bytes(10_000 * MS_BYTES)
    for _ in range(60):
        wire.append(silence)
    buffer = wire.conversation._input
    assert 120_000 * MS_BYTES <= sum(map(len, buffer.chunks)) <= 250_000 * MS_BYTES
    wire.server("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=595_000)
    wire.server("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=599_000)
    wire.committed("u1")
    assert wire.conversation.items["u1"].audio_ms == 4000.0


def test_truncation_says_what_was_heard_and_keeps_the_rest(wire):
    wire.begin()
    wire.speak(tone(500), "Good day to you.")
    wire.end()
    wire.server("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=320)
    item = wire.conversation.items["item_a"]
    assert (item.played_ms, item.audio_ms, item.text) == (320, 500.0, "Good day to you.")


def test_a_deleted_item_leaves_the_order_and_is_kept(wire):
    wire.text("a", "1")
    wire.text("b", "2", "a")
    wire.server("conversation.item.deleted", item_id="a")
    wire.server("conversation.item.deleted", item_id="a")
    assert texts(wire.conversation) == ["2"]
    assert wire.conversation.items["a"].text == "1"
    wire.text("c", "3", "a")
    assert wire.conversation.order == ["b", "c"]
    assert wire.problems == []


def test_a_function_call(wire):
    wire.call()
    item = wire.conversation.items["item_f"]
    assert (item.type, item.name, item.call_id, item.arguments) == (
        "function_call",
        "weather",
        "call_1",
        '{"city":"Rome"}',
    )
    output = {"id": "o", "type": "function_call_output", "call_id": "call_1", "output": ""}
    wire.client("conversation.item.create", item=output)
    wire.item(output, "item_f")
    assert (wire.conversation.items["o"].type, wire.conversation.items["o"].output) == (
        "function_call_output",
        "",
    )


def test_an_item_sent_with_sound_keeps_it_though_the_echo_has_none(wire):
    sound = tone(100)
    content = [{"type": "input_audio", "audio": b64(sound)}, {"type": "input_text", "text": "What is it?"}]
    item = {"id": "u", "type": "message", "role": "user", "content": content}
    wire.client("conversation.item.create", item=item)
    wire.item({**item, "content": [{"type": "input_audio", "transcript": None}, content[1]]})
    found = wire.conversation.items["u"]
    assert (found.parts[0].data, found.parts[1].text, found.committed) == (sound, "What is it?", False)


def test_an_item_that_the_server_names_takes_what_was_sent(wire):
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    for part in ({"type": "input_text", "text": "one"}, picture):
        wire.client("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
    wire.item({"id": "item_a", "type": "message", "role": "assistant", "content": []})
    wire.item({"id": "u1", "type": "message", "role": "user"}, "item_a")
    wire.item({"id": "u2", "type": "message", "role": "user"}, "u1")
    items = wire.conversation.items
    assert (items["item_a"].text, items["u1"].text) == ("", "one")
    assert (items["u2"].parts[0].kind, items["u2"].parts[0].image_url) == ("image", picture["image_url"])
    assert items["u2"].text == ""


def test_a_refused_item_is_forgotten(wire):
    for id, text in (("event_1", "no"), ("event_2", "yes")):
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        wire.client("conversation.item.create", event_id=id, item=item)
    wire.server("error", error={"message": "refused", "event_id": "event_1"})
    wire.item({"id": "u", "type": "message", "role": "user"})
    assert texts(wire.conversation) == ["yes"]


def test_the_beta_of_added_is_taken_too(wire):
    item = {"id": "u", "object": "realtime.item", "type": "message", "role": "user"}
    wire.server(
        "conversation.item.created",
        previous_item_id=None,
        item={**item, "content": [{"type": "input_text", "text": "Hi"}]},
    )
    assert texts(wire.conversation) == ["Hi"]


def test_done_alone_is_enough(wire):
    item = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    wire.server("conversation.item.done", previous_item_id=None, item=item)
    assert texts(wire.conversation) == ["Hi"]


def test_an_out_of_band_answer_is_kept_and_not_in_the_conversation(wire):
    wire.text("u", "Hi")
    wire.ask(conversation="none", metadata={"topic": "mood"})
    wire.begin(placed=False, metadata={"topic": "mood"})
    wire.delta("output_text", "cheerful")
    wire.end()
    assert wire.conversation.order == ["u"]
    assert wire.conversation.items["item_a"].text == "cheerful"


def test_a_log_joined_late(wire):
    wire = Wire()
    wire.delta("output_text", "the end")
    wire.server("input_audio_buffer.committed", item_id="u", previous_item_id="unseen")
    wire.server("conversation.item.truncated", item_id="x", content_index=0, audio_end_ms=10)
    wire.server("conversation.item.deleted", item_id="y")
    wire.server("input_audio_buffer.cleared")
    wire.end("resp_9", {"id": "item_a", "type": "message", "status": "completed"}, {"id": "unseen"})
    assert wire.conversation.items["item_a"].text == "the end"
    assert wire.conversation.items["u"].audio_ms == 0
    assert wire.conversation.order == ["u"]
    assert wire.problems == []


def test_the_session_is_what_the_server_last_told(wire):
    assert wire.conversation.turn_detection is None
    wire.session({"type": "semantic_vad"}, "session.updated")
    assert wire.conversation.turn_detection == {"type": "semantic_vad"}
    wire.server("session.updated", session={"type": "transcription"})
    assert wire.conversation.turn_detection is None
    assert Conversation().input_settings == {}


def test_conversations_are_equal_where_their_items_are():
    one, other = full().conversation, full().conversation
    assert one == other
    other.items["item_a2"].played_ms = 1
    assert one != other
    assert one != "a conversation"
    with pytest.raises(TypeError):
        hash(one)


@pytest.mark.parametrize(
    ("event_id", "played"), [("not_played_c0001", 0), ("event_c0001", None), (None, None)]
)
def test_a_deletion_may_say_that_nothing_was_played(event_id, played):
    wire = Wire()
    wire.session()
    wire.ask()
    wire.begin()
    wire.speak(tone(300))
    wire.end()
    wire.client("conversation.item.delete", item_id="item_a", **({"event_id": event_id} if event_id else {}))
    wire.client("conversation.item.delete", item_id="nothing", event_id="not_played_c0002")
    assert wire.conversation.items["item_a"].played_ms == played
    assert wire.problems == []


def test_a_place_after_the_last_or_a_deleted_item_or_a_place_that_is_none(wire):
    def added(id, previous):
        item = {"id": id, "type": "message", "role": "user", "content": []}
        wire.server("conversation.item.added", previous_item_id=previous, item=item)

    for id, previous in (("a", None), ("b", "a"), ("c", "a"), ("b", None), ("d", ["a"]), ("e", "gone")):
        added(id, previous)
    assert wire.conversation.order == ["a", "c", "b", "d", "e"]
    wire.server("conversation.item.deleted", item_id="e")
    wire.server("conversation.item.deleted", item_id="e")
    added("f", "e")
    added("e", "a")
    assert wire.conversation.order == ["a", "e", "c", "b", "d", "f"]
