from rtnb.faces.where import locate
from rtnb.views.turn import TurnView
from rtnb.wire.record import Record
from rtnb.wire.turns import Turn


def test_a_turn_tells_which_engine_answered_and_whether_it_costs_money():
    turn = TurnView(Record(), Turn(0))
    assert (turn.engine, turn.billed) == ("", True)
    turn = TurnView(Record(), Turn(0), billed=False, engine="local")
    assert (turn.engine, turn.billed) == ("local", False)


def test_only_the_embedded_engine_is_one():
    assert locate("ws://127.0.0.1:8765").engine == ""
