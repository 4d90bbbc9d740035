"""The table of turns and the comparison of two sides, from records made by hand."""

import re
from html import unescape

import pytest
from frames import Wire
from support.usages import wire_usage

from rtnb import Clip
from rtnb.analysis.comparison import Comparison, Side, words
from rtnb.analysis.turn import TurnView
from rtnb.analysis.turn_table import TurnList, TurnTable

EVIL = "<script>alert(1)</script><b onclick=x>"


def turns(answers, model="gpt-realtime", usage=True, **how):
    wire = Wire()
    wire.server("session.created", session={"type": "realtime", "model": model, "audio": {}})
    for number, answer in enumerate(answers):
        wire.text(f"item_{number}", f"Question {number}?")
        wire.ask()
        wire.begin(f"resp_{number}", f"answer_{number}")
        wire.delta("output_text", answer, f"resp_{number}", f"answer_{number}")
        wire.end(f"resp_{number}", usage=wire_usage(out_audio=40 + number) if usage else None)
    return TurnList(TurnView(wire.state, fold, **how) for fold in wire.state.turns.all)


def sanitized(page):
    """What is left where a notebook is not trusted: no style, script, inline pictures or handlers."""
    page = re.sub(r"<(style|script|svg).*?</\1>|<audio.*?</audio>", "", str(page), flags=re.S)
    return unescape(re.sub(r"<[^>]*>", " ", page))


def test_the_turns_of_a_session_are_a_list_and_a_table():
    made = turns(["Yes.", "No.", "Perhaps."])
    assert isinstance(made, list)
    assert [turn.number for turn in made] == [0, 1, 2]
    assert isinstance(made[1:], TurnList)
    assert made[-1].text_so_far == "Perhaps."
    bundle = made._repr_mimebundle_()
    assert bundle["text/html"] == made._repr_html_()
    lines = bundle["text/plain"].splitlines()
    assert lines[0].split() == ["turn", "you", "answer", "wait", "tokens", "cost"]
    assert re.match(r" +2  Question 1\? +No\. ", lines[2])
    assert lines[-1].startswith("3 turns · median wait ")
    assert "No turns yet." in TurnList()._repr_html_()
    assert repr(TurnList().table) == "No turns yet."


def test_all_of_it_is_text_after_a_sanitizer():
    text = sanitized(turns(["Yes.", EVIL])._repr_html_())
    for word in ("Turn", "You", "Answer", "Wait", "Tokens", "Cost", "Question 1?", "Yes.", EVIL, "30 → 45"):
        assert word in text


def test_what_looks_like_html_is_text():
    page = turns([EVIL])._repr_html_()
    assert EVIL not in page
    assert page.count("<script") == 1
    assert "onclick" not in re.sub(r"&lt;.*?&gt;", "", page)
    compared = Comparison(Side(EVIL, turns([EVIL])), Side("b", turns(["x"])))._repr_html_()
    assert "<b onclick" not in compared


def test_players_are_small_and_named():
    clip = Clip.tone(300, 0.5)

    class Spoken(TurnView):
        audio_so_far = clip

    made = turns(["Yes."])
    page = TurnList([Spoken(made[0]._state, made[0]._fold)])._repr_html_()
    assert 'aria-label="Play the answer of turn 1, 0.50 s"' in page
    assert 'alt="Waveform of 0.50 s of audio"' in page


def test_unknown_is_never_zero():
    made = turns(["Yes."], usage=False)
    row = made.table.rows[0]
    assert (row.tokens, row.cost) == ("unknown", "unknown")
    assert made.table.summary[0] == "1 turn"
    assert "$0" not in repr(made.table)
    assert turns(["Yes."], model="no-such-model").table.rows[0].cost == "unpriced"


def test_many_sessions_have_a_column():
    table = TurnTable([("a", turns(["Yes."])[0]), ("b", turns(["No."], billed=False)[0])])
    assert repr(table).startswith("session  turn")
    assert "not billed" in repr(table)
    assert '<th scope="col">Session</th>' in table._repr_html_()
    assert "would cost" in repr(turns(["No."], billed=False).table)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_as_a_data_frame(kind):
    pytest.importorskip({"arrow": "pyarrow"}.get(kind, kind))
    found = turns(["Yes.", "No."]).to_frame(kind)
    columns = found.column_names if kind == "arrow" else list(found.columns)
    assert columns[:5] == ["session", "turn", "status", "you", "answer"]
    values = found["turn"].to_pylist() if kind == "arrow" else list(found["turn"])
    assert values == [0, 1]  # from 0, as in code


def test_words_that_differ():
    left, right = words("It left on Tuesday.", "It left on Monday, I think.")
    assert "".join(text for text, _ in left) == "It left on Tuesday."
    assert ("Tuesday", True) in left
    assert [text for text, differs in right if differs] == ["Monday, I think"]
    assert words("same", "same") == ([("same", False)], [("same", False)])


def test_two_sides_and_their_differences():
    a, b = turns(["It left on Tuesday.", "Done."]), turns(["It left on Monday."], model="gpt-realtime-mini")
    found = Comparison(Side("first", a), Side("second", b))
    assert [part.title for part in found] == ["Turn 1", "Turn 2"]
    names = [(title, fact.name) for title, fact in found.differences]
    assert ("Turn 1", "answer") in names
    assert ("Turn 1", "answered by") in names
    assert ("Turn 1", "you") not in names
    assert ("Turn 2", "answer") in names
    assert found.parts[1].facts[0].difference == "only left"
    page = found._repr_html_()
    assert "<del>Tuesday</del>" in page
    assert "<ins>Monday</ins>" in page
    assert "Tuesday" in sanitized(page)
    assert "only left" in sanitized(page)
    assert "It left on Monday." in repr(found)


def test_equal_sides_have_none():
    found = Comparison(Side("a", turns(["Yes."])), Side("b", turns(["Yes."])))
    assert found.differences == []
    assert "No differences." in found._repr_html_()


def test_a_number_has_its_difference():
    a, b = turns(["x", "x"])[:1], turns(["x", "x"])[1:]
    found = {fact.name: fact for fact in Comparison(Side("a", a), Side("b", b)).parts[0].facts}
    assert (found["output tokens"].a, found["output tokens"].b) == ("45", "46")
    assert found["output tokens"].difference == "+1"
