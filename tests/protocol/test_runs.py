"""Runs of pieces: folded at once or one by one, the state is the same."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.protocol.runs import Run
from rtnb.protocol.state import SessionState

LOUD = b64encode(bytes(range(256)) * 4).decode()
SILENT = b64encode(bytes(1024)).decode()
IDS = st.sampled_from(["item_a", "item_b", ""])
RESPONSES = st.sampled_from(["resp_1", "resp_2", ""])
WHERE = {"response_id": RESPONSES, "item_id": IDS, "content_index": st.integers(0, 1)}


def event(kind: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    given = {
        name: one if isinstance(one, st.SearchStrategy) else st.just(one) for name, one in fields.items()
    }
    return st.fixed_dictionaries({"type": st.just(kind), **given})


EVENTS = st.one_of(
    event("response.created", response={"id": "resp_1"}),
    event("response.created", response={"id": "resp_2"}),
    event("response.output_audio.delta", **WHERE, delta=st.sampled_from([LOUD, SILENT])),
    event("response.output_audio.delta", **WHERE, delta=LOUD),
    event("response.output_audio_transcript.delta", **WHERE, delta=st.sampled_from(["a", "ab", " word"])),
    event("response.output_text.delta", **WHERE, delta="text"),
    event("response.output_audio_transcript.done", **WHERE, transcript="a word"),
    event(
        "response.output_item.added",
        response_id=RESPONSES,
        item=event(
            "message", id=IDS, role="assistant", phase=st.sampled_from(["commentary", "final_answer"])
        ),
    ),
    event("conversation.item.truncated", item_id=IDS, content_index=0, audio_end_ms=5),
    event("response.done", response=event("x", id=RESPONSES, status="completed")),
)


def fold(events: list[dict[str, Any]]) -> SessionState:
    state = SessionState()
    frames = [{"type": "session.created", "session": {"type": "realtime", "model": "m"}}, *events]
    for number, one in enumerate(frames):
        frame = orjson.dumps({"event_id": f"event_{number}", **one})
        state.append(frame, "server", mono_ns=number * 10**6, wall_ns=number * 10**6)
    return state


@given(st.lists(EVENTS, max_size=30))
def test_at_once_or_one_by_one_is_the_same(events: list[dict[str, Any]]) -> None:
    runs = fold(events)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Run, "add", lambda *_: False)
        one_by_one = fold(events)
    assert runs.conversation.items == one_by_one.conversation.items
    assert runs.turns.all == one_by_one.turns.all
    assert [entry.turn for entry in runs.log] == [entry.turn for entry in one_by_one.log]
    assert list(runs.tracks["output"]) == list(one_by_one.tracks["output"])
    assert runs.problems == one_by_one.problems


def test_pieces_of_one_part_are_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    added = []
    add = Run.add
    monkeypatch.setattr(Run, "add", lambda *args: added.append(add(*args)) or added[-1])
    where = {"response_id": "resp_1", "item_id": "item_a", "content_index": 0}
    piece = {"type": "response.output_audio.delta", **where, "delta": LOUD}
    state = fold([{"type": "response.created", "response": {"id": "resp_1"}}, *[piece] * 10])
    assert added == [True] * 9
    assert state.conversation.items["item_a"].audio_ms == pytest.approx(10 * 1024 / 48)
    assert state.turns.all[0].marks["last_audio"] == pytest.approx(0.011)
    assert [one.t for one in state.tracks["output"]] == pytest.approx([n / 1000 for n in range(2, 12)])


def test_the_first_sound_of_a_long_silence() -> None:
    where = {"response_id": "resp_1", "item_id": "item_a", "content_index": 0}
    silent = {"type": "response.output_audio.delta", **where, "delta": SILENT}
    loud = {**silent, "delta": LOUD}
    state = fold([{"type": "response.created", "response": {"id": "resp_1"}}, *[silent] * 50, loud])
    marks = state.turns.all[0].marks
    assert marks["first_sound"] == pytest.approx(marks["first_audio"] + 50 * 1024 / 48_000, abs=0.02)
