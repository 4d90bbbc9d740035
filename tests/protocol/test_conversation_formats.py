from __future__ import annotations

from base64 import b64encode
from typing import Any

from rtnb.protocol.conversation import Conversation
from rtnb.protocol.dialects import read

ULAW = {"type": "audio/pcmu"}


def apply(conversation: Conversation, direction: Any, event: dict[str, Any]) -> None:
    for change in read(event, direction):
        conversation.apply(change)


def append(size: int) -> tuple[str, dict[str, Any]]:
    return "client", {"type": "input_audio_buffer.append", "audio": b64encode(bytes(size)).decode()}


def session(form: dict[str, Any]) -> dict[str, Any]:
    return {"type": "realtime", "audio": {"input": {"format": form}}}


def test_times_go_on_when_the_input_format_changes():
    frames: list[tuple[Any, dict[str, Any]]] = [
        append(48_000),  # one second of PCM16 at 24 kHz
        ("client", {"type": "session.update", "event_id": "e1", "session": session(ULAW)}),
        append(8_000),  # one second of G.711, on its way before the server has answered
        ("server", {"type": "session.updated", "session": session(ULAW)}),
        append(8_000),
        ("server", {"type": "input_audio_buffer.speech_started", "item_id": "i1", "audio_start_ms": 1_500}),
        ("server", {"type": "input_audio_buffer.speech_stopped", "item_id": "i1", "audio_end_ms": 2_250}),
        ("server", {"type": "input_audio_buffer.committed", "item_id": "i1", "previous_item_id": None}),
    ]
    conversation = Conversation()
    for direction, event in frames:
        apply(conversation, direction, event)
    part = conversation.items["i1"].parts[0]
    assert part.codec is not None
    assert part.codec.rate == 8_000
    assert part.ms == 750


def test_an_update_that_is_refused_changes_nothing():
    conversation = Conversation()
    apply(conversation, "client", {"type": "session.update", "event_id": "e1", "session": session(ULAW)})
    apply(conversation, "server", {"type": "error", "error": {"message": "no", "event_id": "e1"}})
    apply(conversation, *append(4_800))
    apply(conversation, "client", {"type": "input_audio_buffer.commit", "event_id": "e2"})
    committed = {"type": "input_audio_buffer.committed", "item_id": "i1", "previous_item_id": None}
    apply(conversation, "server", committed)
    assert conversation.items["i1"].audio_ms == 100
