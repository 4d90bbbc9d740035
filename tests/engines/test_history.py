"""A conversation that is cut to a context: the head stays, the cut is stable, the result fits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtnb.engines.prompting import fit

HEAD = {"role": "system", "content": "Be brief and kind."}


def count(text: str) -> int:
    return len(text.split())


def turns(number: int, words: int = 10) -> list[dict[str, Any]]:
    return [
        {"role": role, "content": f"{role} {i} " + "word " * words}
        for i in range(number)
        for role in ("user", "assistant")
    ]


def cost(messages: list[dict[str, Any]]) -> int:
    return sum(count(m["content"]) + 8 for m in messages)


def test_what_fits_stays_as_it_is() -> None:
    messages = [HEAD, *turns(3)]
    assert fit(messages, 1000, count) == messages
    assert fit([], 10, count) == []
    assert fit([HEAD], 1000, count) == [HEAD]


@given(st.integers(1, 120), st.integers(60, 600), st.integers(0, 30))
def test_the_result_fits_and_keeps_head_and_last_turn(number: int, room: int, words: int) -> None:
    messages = [HEAD, *turns(number, words), {"role": "user", "content": "and now?"}]
    kept = fit(messages, room, count)
    assert cost(kept) <= room
    assert kept[0] == HEAD
    assert kept[-1] == messages[-1]
    assert kept[1]["role"] == "user"
    assert kept[1:] == messages[len(messages) - len(kept) + 1 :]


def test_old_turns_go_in_blocks_so_that_the_prefix_stays() -> None:
    firsts = []
    for number in range(1, 200):
        kept = fit([HEAD, *turns(number), {"role": "user", "content": "?"}], 400, count)
        firsts.append(kept[1]["content"])
    changes = sum(a != b for a, b in pairwise(firsts))
    assert changes < len(firsts) / 3
    assert len(set(firsts)) == changes + 1  # what was dropped never comes back


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(60, 300))
def test_what_is_too_long_by_itself_is_shortened(head: int, last: int, room: int) -> None:
    messages = [
        {"role": "system", "content": "rule " * head},
        {"role": "user", "content": "word " * last + "end"},
    ]
    kept = fit(messages, room, count)
    assert cost(kept) <= room
    assert kept[-1]["content"].endswith("end")
    assert "rule " * head == kept[0]["content"] or kept[0]["content"].startswith("rule")


def test_a_call_and_its_output_are_not_torn() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}
    output = {"role": "tool", "tool_call_id": "1", "content": "word " * 30}
    messages = [HEAD]
    for i in range(20):
        messages += [{"role": "user", "content": f"question {i}"}, call, output]
    kept = fit(messages, 200, count)
    assert kept[1]["role"] == "user"
    assert len(kept) < len(messages)
