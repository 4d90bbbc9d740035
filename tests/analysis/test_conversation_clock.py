"""The conversation clock: each side follows its own past, waits are kept, and live speech overlaps."""

from itertools import pairwise

import numpy as np
import pytest
from frames import MS, Wire, b64, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from support.talk_over import talk_over

from rtnb.analysis.conversation_clock import ConversationClock
from rtnb.analysis.input_pacing import sent_live
from rtnb.analysis.turn import TurnView
from rtnb.audio.codecs import wire_format
from rtnb.protocol.log_storage import Sound
from rtnb.protocol.tracks import Piece
from rtnb.recordings.export import mix
from rtnb.render.timeline_card import timeline_html

VAD = {
    "type": "server_vad",
    "prefix_padding_ms": 0,
    "silence_duration_ms": 200,
    "create_response": True,
    "interrupt_response": True,
}
PCM = wire_format({"type": "audio/pcm", "rate": 24000})


def places(wire, side=None):
    """Return (start, played, received) of all audio of a side, in milliseconds."""
    clock = ConversationClock(wire.state)
    return [
        (round(one.start * 1000), round(one.seconds * 1000), round(one.received * 1000))
        for one in clock.placed
        if side in (None, one.side)
    ]


def commit(wire, id):
    wire.client("input_audio_buffer.commit")
    wire.ask()
    wire.committed(id)


def answer(wire, n, ms, *, wait=200, **about):
    """An answer whose audio arrives at once, ``wait`` ms after what was before."""
    wire.begin(f"r{n}", f"a{n}", **about)
    wire.now += wait
    wire.delta("output_audio", tone(ms), f"r{n}", f"a{n}")
    wire.end(f"r{n}")


def cut(wire, n, ms):
    wire.client("conversation.item.truncate", item_id=f"a{n}", content_index=0, audio_end_ms=ms)
    wire.server("conversation.item.truncated", item_id=f"a{n}", content_index=0, audio_end_ms=ms)


def microphone(wire, ms, data=None, every=40):
    """Audio in real time; ``data`` is its sound, silence unless stated."""
    data = data or bytes(ms * 48)
    for start in range(0, ms, every):
        now = wire.now
        wire.append(data[start * 48 : (start + every) * 48])
        wire.now = now + every


def test_an_answer_to_a_clip_follows_the_clip_after_the_measured_wait():
    wire = Wire()
    wire.session()
    wire.append(tone(1000))
    wire.append(tone(1000))
    commit(wire, "u1")
    answer(wire, 1, 3000)
    marks = wire.turns[0].marks
    wait = marks["first_audio"] - marks["requested"]
    clock = ConversationClock(wire.state)
    clip, reply = clock.placed
    assert (clip.start, clip.seconds) == (pytest.approx(0.01), pytest.approx(2))
    assert reply.start - clip.end == pytest.approx(wait + 0.01)  # the request is 10 ms after the commit
    assert clock.marks(wire.turns[0])["first_audio"] == pytest.approx(reply.start)
    assert talk_over(mix(wire.state)) == 0


def test_the_next_clip_follows_an_answer_that_would_still_play():
    wire = Wire()
    wire.session()
    for n in (1, 2):
        wire.append(tone(1000))
        commit(wire, f"u{n}")
        answer(wire, n, 3000)
    first, reply, second, last = ConversationClock(wire.state).placed
    assert [one.side for one in (first, reply, second, last)] == ["input", "output"] * 2
    assert second.start == pytest.approx(reply.end)
    assert last.start > second.end
    assert talk_over(mix(wire.state)) == 0


def test_a_text_follows_the_answer_before_it_and_text_takes_no_time():
    wire = Wire()
    wire.session()
    wire.text("u1", "Hello")
    wire.ask()
    answer(wire, 1, 2000)
    wire.text("u2", "And on")
    wire.ask()
    wire.begin("r2", "a2")
    wire.delta("output_text", "Text.", "r2", "a2")
    wire.end("r2")
    wire.text("u3", "And on")
    wire.ask()
    answer(wire, 3, 1000)
    clock = ConversationClock(wire.state)
    first, last = clock.placed
    assert clock.marks(wire.turns[1])["input"] == pytest.approx(first.end)
    marks = wire.turns[2].marks
    asked = clock.at(marks["requested"])
    assert last.start - asked == pytest.approx(marks["first_audio"] - marks["requested"])


def test_what_a_script_cut_was_played_before_it_went_on():
    wire = Wire()
    wire.session()
    wire.text("u1", "Hello")
    wire.ask()
    answer(wire, 1, 3000)
    cut(wire, 1, 1500)
    wire.append(tone(500))
    commit(wire, "u2")
    first, clip = ConversationClock(wire.state).placed
    assert (first.seconds, first.received, first.complete) == (1.5, 3.0, False)
    assert clip.start == pytest.approx(first.end, abs=0.03)
    assert len(mix(wire.state)) == round(clip.end * 24_000)
    assert len(first.data) == 1500 * 48


def barge_in(*, truncate):
    """A microphone in real time, 600 ms of an answer, and speech into it."""
    wire = Wire()
    wire.session(VAD)
    microphone(wire, 200)
    said = 200
    microphone(wire, 1000, tone(1000))
    said += 1000
    microphone(wire, 200)
    said += 200
    now = wire.now
    wire.server("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=200)
    wire.server("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=said)
    wire.committed("u1")
    wire.begin("r1", "a1")
    wire.delta("output_audio", tone(5000), "r1", "a1")
    wire.end("r1")
    began = wire.turns[0].marks["first_audio"]
    wire.now = now
    microphone(wire, 600)
    said += 600
    spoke = wire.now / 1000
    microphone(wire, 400, tone(400))
    wire.now += 1
    wire.server("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=said)
    noticed = (wire.now - 10) / 1000
    if truncate:
        cut(wire, 1, round((noticed - began) * 1000))
    wire.now = round(noticed * 1000) - 1
    microphone(wire, 600, tone(600))
    return wire, spoke, noticed


@pytest.mark.parametrize("truncate", [True, False])
def test_live_speech_into_an_answer_overlaps_until_it_was_cut(truncate):
    wire, spoke, noticed = barge_in(truncate=truncate)
    clock = ConversationClock(wire.state)
    for t in np.linspace(0, wire.now / 1000, 50):
        assert clock.at(t) == t  # the clock of a microphone is that of the log
    [reply] = [one for one in clock.placed if one.side == "output"]
    assert reply.end == pytest.approx(noticed, abs=0.002)
    assert not reply.complete
    assert talk_over(mix(wire.state)) == pytest.approx(noticed - spoke, abs=0.045)
    times = TurnView(wire.state, wire.turns[0]).times
    spans = {span.kind: span.seconds for span in times.drawn.spans() if span.lane == "model"}
    assert spans["speaking"] + spans["not_played"] == pytest.approx(5)
    assert spans["speaking"] == pytest.approx(reply.seconds)


def test_a_clip_sent_at_once_to_a_server_that_detects_turns():
    wire = Wire()
    wire.session(VAD)
    wire.append(tone(1000) + bytes(1000 * 48))
    wire.server("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    wire.server("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=1200)
    wire.committed("u1")
    answer(wire, 1, 2000)
    clock = ConversationClock(wire.state)
    clip, reply = clock.placed
    marks = wire.turns[0].marks
    assert clock.at(marks["speech_stopped"]) == pytest.approx(clip.start + 1.2)
    assert reply.start == pytest.approx(clip.start + 1.2 + marks["first_audio"] - marks["speech_stopped"])
    drawn = clock.marks(wire.turns[0])
    assert drawn["speech_end"] == pytest.approx(clip.start + 1.0)
    assert talk_over(mix(wire.state)) == 0
    times = TurnView(wire.state, wire.turns[0]).times
    assert times.latency.first_audio == TurnView(wire.state, wire.turns[0]).latency.first_audio


def test_an_answer_of_several_items_and_a_round_of_tools_play_one_after_another():
    wire = Wire()
    wire.session()
    wire.text("u1", "Weather?")
    wire.ask()
    wire.begin("r1", "a1")
    wire.delta("output_audio", tone(2000), "r1", "a1")
    wire.end("r1")
    wire.call("r2", "f1")
    output = {"id": "o1", "type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    wire.client("conversation.item.create", item=output)
    wire.item(output, "f1")
    wire.ask()
    answer(wire, 3, 1000)
    first, second = places(wire)
    assert second[0] == first[0] + 2000  # it arrived while the first still played
    assert ConversationClock(wire.state).at(1.0) == 1.0


def test_an_out_of_band_response_is_not_played():
    wire = Wire()
    wire.session()
    wire.text("u1", "Hello")
    wire.ask()
    answer(wire, 1, 1000)
    wire.ask(conversation="none", metadata={"k": "v"})
    answer(wire, 2, 4000, metadata={"k": "v"}, placed=False)
    wire.text("u3", "And on")
    wire.ask()
    answer(wire, 3, 1000)
    assert sorted(one[1:] for one in places(wire)) == [(0, 4000), (1000, 1000), (1000, 1000)]
    assert len(mix(wire.state)) < 24_000 * 3


def test_several_clips_of_one_turn_and_one_that_an_item_holds():
    wire = Wire()
    wire.session()
    part = {"type": "input_audio", "audio": b64(tone(700))}
    item = {"id": "u0", "type": "message", "role": "user", "content": [part]}
    wire.client("conversation.item.create", item=item)
    wire.item({**item, "content": [{"type": "input_audio"}]})
    wire.append(tone(300))
    wire.append(tone(500))
    commit(wire, "u1")
    answer(wire, 1, 1000)
    clock = ConversationClock(wire.state)
    assert [one[1] for one in places(wire, "input")] == [700, 800]
    assert sum(end - start for start, end in clock.input(0)) == pytest.approx(1.5)
    assert clock.sent_at_once(0)
    assert talk_over(mix(wire.state)) == 0
    times = TurnView(wire.state, wire.turns[0]).timeline
    speech = [span for span in times[0].drawn.spans() if span.kind == "speech"]
    assert sum(span.seconds for span in speech) == pytest.approx(1.5, abs=0.05)
    assert all("faster than real time" in span.note for span in speech)
    assert "You speak" in timeline_html(times)


def test_mu_law_input_and_pcm_output():
    wire = Wire()
    given = {"format": {"type": "audio/pcmu"}, "turn_detection": None}
    made = {"format": {"type": "audio/pcm", "rate": 24000}}
    wire.server("session.created", session={"type": "realtime", "audio": {"input": given, "output": made}})
    wire.append(bytes(range(256)) * 32)  # 1.024 s
    commit(wire, "u1")
    answer(wire, 1, 500)
    assert [one[1] for one in places(wire)] == [1024, 500]
    samples = mix(wire.state)
    assert abs(samples[:, 0]).max() > 0.5
    assert talk_over(samples) == 0


def test_a_piece_that_ends_within_a_sample():
    wire = Wire()
    wire.session()
    wire.text("u1", "Hello")
    wire.ask()
    wire.begin("r1", "a1")
    sound = np.full(24_000, 8192, "<i2").tobytes()
    wire.delta("output_audio", sound[:4801], "r1", "a1")
    wire.now += 2000  # so that the rest is a stretch of its own
    wire.delta("output_audio", sound[4801:], "r1", "a1")
    wire.end("r1")
    for one in ConversationClock(wire.state).placed:
        assert set(np.frombuffer(one.data, "<i2")) == {8192}


def test_audio_beside_the_frames_is_placed():
    wire = Wire()
    wire.session(VAD)
    wire.begin("r1", "a1")
    began = wire.now
    for k in range(25):
        now = (began + 20 * k + k % 3) * MS  # with some jitter
        wire.state.append_media("output", tone(20), PCM, mono_ns=now)
        wire.state.append_media("input", bytes(20 * 48), PCM, mono_ns=now)
    assert places(wire) == [(began, 500, 500)] * 2
    wire.now = began + 300
    wire.server("output_audio_buffer.cleared", response_id="r1")
    assert places(wire, "output") == [(began, 300, 500)]


@pytest.mark.parametrize(
    ("times", "seconds", "live"),
    [
        ([0.0], 2.0, [False]),
        ([0.0, 0.001, 0.002], 0.7, [False] * 3),
        ([0.0, 0.04, 0.08, 0.12], 0.04, [True] * 4),
        ([0.0, 0.03, 0.09, 0.12], 0.04, [True] * 4),
        ([0.0, 0.04, 0.24, 0.24, 0.24, 0.24, 0.28], 0.04, [True] * 7),  # it stalled, and caught up
        ([0.0, 3.0, 6.0], 2.0, [False] * 3),
    ],
)
def test_what_a_microphone_sends_is_live(times, seconds, live):
    audio = Sound(bytes(round(seconds * 48_000)))
    assert sent_live([Piece(t, "", audio, PCM, True) for t in times], []) == live


def test_a_microphone_that_stalled_is_not_late_for_good():
    wire = Wire()
    wire.session(VAD)
    microphone(wire, 1000)
    wire.now += 400
    for _ in range(10):  # it catches up
        wire.append(bytes(40 * 48))
        wire.now -= 10
    microphone(wire, 1000)
    [(start, played, _)] = places(wire)
    assert (start, played) == (10, 2400)
    assert wire.now == 2410


def test_no_audio_is_live_across_a_commit():
    audio = Sound(bytes(9_600))
    pieces = [Piece(t, "", audio, PCM, True) for t in (0.0, 0.2)]
    assert sent_live(pieces, []) == [True, True]
    assert sent_live(pieces, [0.1]) == [False, False]


@st.composite
def sessions(draw):
    """A session of any turns: clips at once, texts and microphones, with answers that may be cut."""
    wire = Wire()
    detected = draw(st.booleans())
    wire.session(VAD if detected else None)
    said = 0
    for n in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["clip", "clips", "text", "microphone", "nothing"]))
        before = said
        if kind == "text":
            wire.text(f"t{n}", "Hello")
        elif kind == "microphone":
            ms = draw(st.integers(5, 40)) * 40
            microphone(wire, ms, tone(ms))
            said += ms
        elif kind != "nothing":
            for _ in range(1 if kind == "clip" else 3):
                ms = draw(st.integers(1, 60)) * 20
                wire.append(tone(ms))
                said += ms
        if said > before and detected:
            wire.server("input_audio_buffer.speech_started", item_id=f"u{n}", audio_start_ms=before)
            wire.server("input_audio_buffer.speech_stopped", item_id=f"u{n}", audio_end_ms=said)
            wire.committed(f"u{n}")
        elif said > before:
            commit(wire, f"u{n}")
        else:
            wire.ask()
        end = draw(st.sampled_from(["whole", "cut", "cancelled", "text", "out of band"]))
        if end == "out of band":
            wire.ask(conversation="none", metadata={"n": str(n)})
            answer(wire, n, 400, metadata={"n": str(n)}, placed=False)
            continue
        wire.begin(f"r{n}", f"a{n}")
        made = 0
        for _ in range(0 if end == "text" else draw(st.integers(1, 4))):
            wire.now += draw(st.sampled_from([0, 0, 30, 500]))
            ms = draw(st.integers(1, 40)) * 25
            wire.delta("output_audio", tone(ms), f"r{n}", f"a{n}")
            made += ms
        if end == "cancelled":
            wire.client("response.cancel", response_id=f"r{n}")
            wire.end(f"r{n}", status="cancelled")
        else:
            wire.end(f"r{n}")
        if end == "cut" or (end == "cancelled" and draw(st.booleans())):
            cut(wire, n, draw(st.integers(0, made)))
        wire.now += draw(st.sampled_from([0, 0, 400, 4000]))
    return wire


@settings(deadline=None, max_examples=120)
@given(sessions())
def test_no_audio_overlaps_its_own_past_and_every_wait_is_kept(wire):
    clock = ConversationClock(wire.state)
    received, played = {}, {}
    for side in ("input", "output"):
        mine = [one for one in clock.placed if one.side == side]
        audible = [one for one in mine if one.seconds]
        for before, after in pairwise(audible):
            assert after.start >= before.end - 1e-9
        assert sum(one.received for one in mine) == pytest.approx(wire.state.tracks[side].seconds)
        for one in mine:
            assert 0 <= one.seconds <= one.received + 1e-9
            key = one.item_id, one.side
            received[key] = received.get(key, 0.0) + one.received
            played[key] = played.get(key, 0.0) + one.seconds
    order = [one.item_id for one in clock.placed if one.side == "output" and one.seconds]
    arrived = list(dict.fromkeys(piece.item_id for piece in wire.state.tracks["output"]))
    assert list(dict.fromkeys(order)) == [id for id in arrived if id in order]
    for (id, side), seconds in played.items():
        item = wire.conversation.items.get(id)
        assert seconds <= received[id, side] + 1e-9
        if side == "output" and item is not None and item.played_ms is not None:
            assert seconds <= item.played_ms / 1000 + 1e-9

    moments = [entry.t for entry in wire.state.log]
    mapped = [clock.at(t) for t in moments]
    assert all(after >= before for before, after in pairwise(mapped))
    assert all(there >= here for here, there in zip(moments, mapped, strict=True))
    for turn in wire.turns:
        marks, drawn = turn.marks, clock.marks(turn)
        if {"created", "first_audio"} <= set(marks) and len(turn.responses) == 1:
            wait = marks["first_audio"] - marks["created"]
            assert clock.at(marks["first_audio"]) - clock.at(marks["created"]) == pytest.approx(wait)
            first = clock.output(turn.number)[0]
            if first.seconds:
                assert first.start >= drawn["created"] + wait - 1e-9

    live = any(
        sent_live(
            list(wire.state.tracks["input"]), [e.t for e in wire.state.log if e.type.endswith("commit")]
        )
    )
    if not live:
        assert talk_over(mix(wire.state)) == 0
