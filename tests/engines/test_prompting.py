"""A small model's prompts, the limit on its sentences, and what it may say of a tool's result."""

from __future__ import annotations

import pytest

from rtnb.engines import prompting
from rtnb.engines.base import Call, TextPiece


def capped(text: str, answer: str) -> str:
    limit, kept = prompting.answer_limit(text), []
    words = answer.split(" ")
    for piece in [words[0], *(f" {w}" for w in words[1:])]:
        if limit.reached(piece):
            break
        kept.append(piece)
    return "".join(kept)


@pytest.mark.parametrize(
    ("text", "answer", "kept"),
    [
        ("Hello.", "One is here. Two is here. Three is here.", "One is here. Two is here."),
        (
            "Hello.",
            "Dr. Smith met J. K. Rowling. They spoke! Then left.",
            "Dr. Smith met J. K. Rowling. They spoke!",
        ),
        ("Hello.", "It is 3.5 metres. Really? Yes.", "It is 3.5 metres. Really?"),
        ("Hello.", "A first line.\nA second.", "A first"),
        ("Describe it in one sentence.", "One. Two.", "One."),
        ("Use 3 sentences.", "One. Two. Three. Four.", "One. Two. Three."),
        ("Tell me a long story.", "One. Two. Three. Four.", "One. Two. Three. Four."),
    ],
)
def test_two_sentences_unless_more_was_asked_for(text: str, answer: str, kept: str) -> None:
    assert capped(text, answer) == kept


def test_the_prompt_has_one_prefix_and_no_function_traffic() -> None:
    messages = [
        {"role": "system", "content": "Be a pirate."},
        {"role": "user", "content": "Ahoy"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
        {"role": "tool", "content": "x"},
        {"role": "assistant", "content": "Aye."},
    ]
    prompt = prompting.chat_prompt(messages)
    assert prompt[0]["content"].startswith("Be a pirate.")
    assert prompt[: len(prompt) - 2] == prompting.chat_prompt(messages[:1])
    assert [m["content"] for m in prompt[-2:]] == ["Ahoy", "Aye."]


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["A", ":", " Hello", " there"], "Hello there"),
        (["A", " good", " day"], "A good day"),
        (["AI", " is", " fun"], "AI is fun"),
        (["Answer:", " Yes"], "Yes"),
        ([" ", "Hi"], "Hi"),
        (["A"], "A"),
        ([""], ""),
    ],
)
def test_labels_are_dropped(pieces: list[str], text: str) -> None:
    said = list(prompting.without_label([*(TextPiece(p) for p in pieces), Call("f", "{}")]))
    assert "".join(s.text for s in said) == text
    if text:
        assert sum(s.tokens for s in said) == len(pieces)


@pytest.mark.parametrize(
    ("answer", "output", "true"),
    [
        ("It is 21 degrees.", '{"temperature": 21}', True),
        ("It is 12 degrees.", '{"temperature": 21}', False),
        ("It is warm.", '{"temperature": 21}', False),
        ("It is sunny.", '{"temperature": 21, "sky": "sunny"}', False),
        ("12 times 7 is 84.", "84", True),
        ("Done.", '{"ok": true}', True),
        ("Hello.", "Whales are mammals.", False),
        ("I know that whales are mammals.", "Whales are mammals.", True),
    ],
)
def test_an_answer_is_held_to_the_result(answer: str, output: str, true: bool) -> None:
    assert prompting.agrees(answer, output, "What is 12 times 7?") is true


@pytest.mark.parametrize(
    ("output", "spoken"),
    [
        ('{"temperature": 21, "sky_now": "sunny"}', "Here is the result: temperature 21, sky now sunny."),
        ('{"ok": true}', "That is done."),
        ("", "That is done."),
        ("84", "Here is the result: 84."),
        ("Whales are mammals.", "Here is the result: Whales are mammals."),
        ('{"error": "the lamp is offline."}', "That did not work: the lamp is offline."),
        (
            '{"open": false, "days": ["Monday", "Friday"]}',
            "Here is the result: open no, days Monday, days Friday.",
        ),
    ],
)
def test_a_result_has_a_plain_sentence(output: str, spoken: str) -> None:
    assert prompting.spoken_result(output) == spoken
