"""Turns are numbered from 1 wherever people read them, and from 0 in code."""

import re
from html import unescape

from frames import Wire

from rtnb.analysis.session import Overview, SessionView
from rtnb.analysis.turn import TurnView
from rtnb.formatting import turn_number
from rtnb.render.event_table import events_html
from rtnb.render.turn_card import turn_html
from rtnb.render.usage_card import usage_html

NUMBER = re.compile(r"\b[Tt]urns? (\d+)")


class View(SessionView):
    """A session of two turns."""

    endpoint, engine, billed, closed = "a test", "", True, True
    state = turns = None
    overview = Overview("A test")

    def __init__(self):
        wire = Wire()
        wire.session()
        for number in ("1", "2"):
            wire.text(f"item_{number}", f"Question {number}.")
            wire.ask()
            wire.begin(f"resp_{number}", f"answer_{number}")
            wire.end(f"resp_{number}")
        self.state = wire.state
        self.turns = [TurnView(self.state, fold) for fold in self.state.turns.all]


def numbers(text):
    text = re.sub(r"<style>.*?</style>|<[^>]*>", "", unescape(str(text)), flags=re.S)
    return {int(found) for found in NUMBER.findall(text)}


def test_the_number_that_people_read():
    assert [turn_number(number) for number in (-1, 0, 1, 41)] == ["1", "1", "2", "42"]


def test_every_view_counts_from_1():
    view = View()
    assert [turn.number for turn in view.turns] == [0, 1]
    shown = [turn_html(turn) for turn in view.turns] + [turn._brief().strip("<>") for turn in view.turns]
    assert [numbers(one) for one in shown] == [{1}, {2}, {1}, {2}]
    assert numbers(events_html(view.log)) == {1, 2}
    assert repr(view.turns[1].timeline).startswith("Timeline of turn 2")
    rows = [line.split()[0] for line in str(view.usage).splitlines() if re.match(r" *\d+  ", line)]
    assert rows == ["1", "2"]
    assert re.findall(r'<th class="rtnb-first" scope="row">(\d+)', usage_html(view.usage)) == ["1", "2"]
    page = view._repr_mimebundle_()["text/html"]
    assert re.findall(r'<td class="rtnb-n">(\d+)</td><td dir', page) == ["1", "2"]
