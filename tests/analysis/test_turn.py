from frames import Wire, b64, tone

from rtnb.analysis.turn import TurnView
from rtnb.endpoints.endpoint import resolve
from rtnb.protocol.state import SessionState
from rtnb.protocol.turns import TurnState


def test_a_turn_tells_which_engine_answered_and_whether_it_costs_money():
    turn = TurnView(SessionState(), TurnState(0))
    assert (turn.engine, turn.billed) == ("", True)
    turn = TurnView(SessionState(), TurnState(0), billed=False, engine="local")
    assert (turn.engine, turn.billed) == ("local", False)


def test_only_the_embedded_engine_is_one():
    assert resolve("ws://127.0.0.1:8765").engine == ""


def test_the_input_of_a_turn_out_of_band_is_told():
    wire = Wire()
    wire.session()
    content = [
        {"type": "input_text", "text": "Why is the sea salty?"},
        {"type": "input_audio", "audio": b64(tone(300))},
    ]
    given = [
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "item_reference", "id": "item_x"},
        {"type": "message", "role": "user", "content": "odd"},
        "odd",
        {"type": "message", "role": "user", "content": content},
    ]
    number = wire.ask(conversation="none", input=given)
    turn = TurnView(wire.state, wire.turns[number])
    assert turn.input == "Why is the sea salty?"
    assert turn.input.audio.to_pcm16() == tone(300)
    assert wire.state.conversation.items == {}
    assert not wire.state.problems
    number = wire.ask(conversation="none", input="odd")
    assert TurnView(wire.state, wire.turns[number]).input == ""
