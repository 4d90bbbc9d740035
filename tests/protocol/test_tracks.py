"""Audio beside the frames, as over WebRTC, and audio in frames: the same turns, players and times."""

from __future__ import annotations

import pytest
from frames import MS, Wire, tone

from rtnb.analysis.turn import TurnView
from rtnb.audio.codecs import pcm16, ulaw
from rtnb.protocol.state import SessionState


def spoken(*, media: bool) -> Wire:
    wire = Wire()
    wire.session()
    wire.text("u", "Hi", role="user")
    wire.ask()
    wire.begin("resp_1", "item_a", "u")
    wire.delta("output_audio_transcript", "Good day.")
    for piece in (tone(40), tone(60)):
        if media:
            wire.state.append_media("output", piece, pcm16, mono_ns=wire.now * MS)
            wire.now += 10
        else:
            wire.speak(piece, "", "resp_1", "item_a")
    wire.end("resp_1")
    return wire


def test_audio_beside_the_frames_is_the_turns_audio() -> None:
    wire = spoken(media=True)
    turn = TurnView(wire.state, wire.turns[0])
    assert turn.audio_so_far is not None
    assert turn.audio_so_far.seconds == pytest.approx(0.1)
    assert wire.conversation.items["item_a"].parts[0].data == tone(40) + tone(60)
    assert turn.latency.first_audio is not None
    assert {"first_audio", "first_sound", "last_audio"} <= set(turn.marks)
    assert len(wire.state.log.filter("response.output_audio.delta")) == 0
    assert wire.problems == []


def test_what_was_played_of_it_is_known_where_it_was_truncated() -> None:
    wire = spoken(media=True)
    wire.server("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=30)
    turn = TurnView(wire.state, wire.turns[0])
    assert turn.played == pytest.approx(0.03)
    assert turn.status == "interrupted"


@pytest.mark.parametrize("media", [True, False])
def test_a_track_has_the_audio_of_both_ways(media: bool) -> None:
    state = spoken(media=media).state
    track = state.tracks["output"]
    assert track.seconds == pytest.approx(0.1)
    assert [piece.item_id for piece in track.pieces] == ["item_a", "item_a"]
    assert track.framed is not media
    assert [piece.t for piece in track.pieces] == sorted(piece.t for piece in track.pieces)
    assert "output: 2 pieces, 0.10 s" in repr(track)


def test_audio_that_arrives_after_the_response_is_still_its_own() -> None:
    wire = spoken(media=True)
    wire.state.append_media("output", tone(50), pcm16, mono_ns=wire.now * MS)
    turn = TurnView(wire.state, wire.turns[0])
    assert turn.audio_so_far is not None
    assert turn.audio_so_far.seconds == pytest.approx(0.15)
    assert turn.status == "completed"


def test_input_beside_the_frames_is_committed_as_speech() -> None:
    wire = Wire()
    wire.session({"type": "server_vad"})
    wire.state.append_media("input", bytes(8000), ulaw, mono_ns=wire.now * MS)
    wire.server("input_audio_buffer.speech_started", item_id="u", audio_start_ms=100)
    wire.server("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=600)
    wire.committed("u")
    assert wire.conversation.items["u"].audio_ms == pytest.approx(500)
    assert wire.state.tracks["input"].seconds == pytest.approx(1)


def test_another_side_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'input' or 'output', got 'left'"):
        SessionState().append_media("left", b"", pcm16, mono_ns=0)
