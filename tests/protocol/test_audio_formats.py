"""The audio formats of a log, at any event and now."""

import orjson
from frames import Wire, tone

from rtnb.protocol.audio_formats import AudioFormats
from rtnb.protocol.dialects.names import FORMAT_EVENTS


def frame(**event):
    return orjson.dumps(event)


def response(id, form):
    audio = {"output": {"format": form}} if form else {}
    return frame(type="response.created", response={"id": id, "audio": audio})


def test_a_response_has_its_own_format_until_the_next():
    formats = AudioFormats()
    assert formats.now("server").type == formats.now("client").type == "audio/pcm"
    formats.update("response.created", response("a", {"type": "audio/pcmu"}), 3)
    assert formats.now("server").type == "audio/pcmu"
    assert formats.at(9, "server", "a").type == "audio/pcmu"
    assert formats.at(9, "client", "a").type == formats.at(9, "server", "b").type == "audio/pcm"
    formats.update("response.created", response("b", None), 5)
    assert formats.now("server").type == "audio/pcm"
    assert formats.at(9, "server", "a").type == "audio/pcmu"


def test_a_session_changes_what_comes_after_it():
    formats = AudioFormats()
    form = {"format": {"type": "audio/pcma"}}
    formats.update("session.updated", frame(type="session.updated", session={"audio": {"input": form}}), 4)
    assert [formats.at(row, "client").type for row in (3, 4, 5)] == ["audio/pcm", "audio/pcm", "audio/pcma"]
    assert (formats.now("client").type, formats.now("server").type) == ("audio/pcma", "audio/pcm")
    for odd in (b"no json", b"[]", frame(session=7), frame(session={"audio": {"input": {"format": 5}}})):
        formats.update("session.updated", odd, 6)
    assert formats.now("client").type == "audio/pcma"


def test_a_log_is_followed():
    wire = Wire()
    formats = AudioFormats(wire.state.log)
    wire.session(form={"type": "audio/pcmu"})
    wire.append(tone(100))
    last = wire.state.log[len(wire.state.log) - 1]
    assert formats.of(last).type == "audio/pcmu"
    wire.session(form={"type": "audio/pcma"})
    assert formats.of(last).type == "audio/pcmu"
    assert {"session.updated"} <= FORMAT_EVENTS
