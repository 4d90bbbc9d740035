"""A wrong keyword is an error that tells the right one."""

import inspect

import pytest

import rtnb
from rtnb.errors import ArgumentError
from rtnb.session.options import check_names, checked


@checked
def made(where=None, *, voice=None, turn_detection=None):
    """Make it."""
    return where, voice, turn_detection


def test_right_names_pass():
    assert made() == (None, None, None)
    assert made("a", voice="b") == ("a", "b", None)
    assert made(where="a", turn_detection=1) == ("a", None, 1)
    assert made.__doc__ == "Make it."
    assert list(inspect.signature(made).parameters) == ["where", "voice", "turn_detection"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("turn_detecton", "unknown option 'turn_detecton': did you mean 'turn_detection'?"),
        ("xyz", "unknown option 'xyz': expected one of voice, turn_detection"),
        ("model", "the model of a session cannot change: pass model= to rtnb.connect"),
    ],
)
def test_wrong_names(name, sentence):
    with pytest.raises(ArgumentError) as raised:
        made(**{name: 1})
    assert str(raised.value) == sentence
    with pytest.raises(ArgumentError):
        check_names([name], made)


def test_connect_knows_its_keywords():
    with pytest.raises(ArgumentError, match="did you mean 'turn_detection'"):
        rtnb.connect(turn_detecton="server_vad")
    assert "turn_detection" in inspect.signature(rtnb.connect).parameters
