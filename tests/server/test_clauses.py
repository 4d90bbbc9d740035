from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.server.clauses import Clause, ClauseSplitter, audio_deltas, played_text


def cut(*texts: str) -> list[tuple[str, int]]:
    clauses = ClauseSplitter()
    found = [clause for text in texts for clause in clauses.feed(text, 1)]
    return [*found, *([rest] if (rest := clauses.rest()) else [])]


@given(st.lists(st.text(alphabet="ab .,!?\n3。…:'\"", max_size=30), max_size=40))
def test_nothing_is_lost(texts):
    clauses = cut(*texts)
    assert "".join(text for text, _ in clauses) == "".join(texts)
    assert sum(tokens for _, tokens in clauses) == len(texts)


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("One. Two.", ["One.", " Two."]),
        ("It is 3.5 metres. Really?", ["It is 3.5 metres.", " Really?"]),
        ("Ask Dr. Smith. He knows.", ["Ask Dr. Smith.", " He knows."]),
        ("Well, of course, it is a long way.", ["Well, of course,", " it is a long way."]),
        ("“Stop!” she said.", ["“Stop!”", " she said."]),
        ("海は青い。空も青い。", ["海は青い。", "空も青い。"]),
        ("", []),
        ("The sky is blue today because it is.", ["The sky is blue today", " because it is."]),
        ("It is that which counts.", ["It is that which counts."]),
        (
            "A red fox and a hen live here, but not that one.",
            ["A red fox and a hen live here,", " but not that one."],
        ),
        (
            "A good breakfast on cold days is hot oats with nuts and big ripe pears from home.",
            ["A good breakfast on cold days is hot oats", " with nuts and big ripe pears from home."],
        ),
        (
            "The first clause is short because time counts. The next one is whole because it has time.",
            [
                "The first clause is short",
                " because time counts.",
                " The next one is whole because it has time.",
            ],
        ),
    ],
)
def test_clauses(text, clauses):
    assert [clause for clause, _ in cut(*text)] == clauses


def test_a_flood_without_punctuation_is_cut_at_a_space():
    clauses = [text for text, _ in cut("word " * 200)]
    assert all(len(text) <= 240 for text in clauses)
    assert all(text.startswith(" ") for text in clauses[1:])


SPOKEN = [Clause("One two three.", 0, 1_000), Clause(" Four five.", 1_000, 2_000)]


@pytest.mark.parametrize(
    ("ms", "heard"),
    [
        (0, ""),
        (100, ""),
        (600, "One two"),
        (999, "One two"),
        (1_000, "One two three."),
        (1_600, "One two three. Four"),
        (5_000, "One two three. Four five."),
    ],
)
def test_played_words(ms, heard):
    assert played_text(SPOKEN, ms) == heard


@given(st.floats(0, 2_500), st.floats(0, 2_500))
def test_more_time_is_never_fewer_words(one, other):
    less, more = sorted((one, other))
    assert played_text(SPOKEN, more).startswith(played_text(SPOKEN, less))


@given(st.integers(0, 100_000), st.sampled_from([(2, 48_000), (1, 8_000)]))
def test_deltas_are_equal_parts_of_100_to_200_ms(samples, form):
    width, rate = form
    data = bytes(samples * width)
    parts = list(audio_deltas(data, width, rate))
    assert b"".join(parts) == data
    assert all(len(part) % width == 0 and len(part) * 1000 / rate <= 200 for part in parts)
    if len(data) * 1000 / rate > 200:
        assert all(len(part) * 1000 / rate > 99 for part in parts[:-1])
