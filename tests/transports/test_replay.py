"""The transport that answers from a log: what it takes, what it gives, and when."""

import asyncio

import orjson
import pytest
from frames import b64, full, tone

from rtnb.errors import ArgumentError, ConnectionLost, ReplayError
from rtnb.protocol.log import Log
from rtnb.redaction import remember
from rtnb.transports import Replay


def log_of(*rows):
    """Return a log of (direction, event, seconds) rows; event: expected a dict or bytes."""
    log = Log()
    for direction, event, *at in rows:
        frame = event if isinstance(event, bytes) else orjson.dumps(event)
        type = event["type"] if isinstance(event, dict) else "(binary)"
        ns = round(at[0] * 1e9) if at else len(log)
        log.append(frame, direction, type, mono_ns=ns, wall_ns=ns)
    return log


def say(text, id="item_1", event_id="event_1"):
    content = [{"type": "input_text", "text": text}]
    item = {"id": id, "type": "message", "role": "user", "content": content}
    return {"type": "conversation.item.create", "item": item, "event_id": event_id}


HELLO = {"type": "session.created", "session": {}}
ADDED = {"type": "conversation.item.added", "item": {"id": "item_1", "role": "user"}}
DONE = {"type": "response.done", "response": {"id": "resp_1"}}
ASK = {"type": "response.create", "event_id": "event_2"}
TURN = log_of(("server", HELLO), ("client", say("Hi")), ("server", ADDED), ("client", ASK), ("server", DONE))


async def take(transport, count):
    return [orjson.loads(await asyncio.wait_for(transport.recv(), 5)) for _ in range(count)]


async def nothing_comes(transport):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(transport.recv(), 0.02)


async def test_the_server_waits_for_the_client():
    transport = Replay(TURN)
    assert await take(transport, 1) == [HELLO]
    await nothing_comes(transport)
    await transport.send(orjson.dumps(say("Hi")))
    assert await take(transport, 1) == [ADDED]
    await nothing_comes(transport)
    await transport.send(orjson.dumps(ASK))
    assert await take(transport, 1) == [DONE]
    assert transport.remaining == 0
    transport.check()
    await nothing_comes(transport)
    await transport.close()
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="closed"):
            await transport.recv()
    with pytest.raises(ConnectionLost):
        await transport.send(b"{}")


async def test_ids_may_differ_and_the_answer_has_those_of_now():
    transport = Replay(TURN)
    await transport.send(orjson.dumps(say("Hi", id="mine", event_id="e")))
    assert (await take(transport, 2))[1]["item"]["id"] == "mine"


async def test_the_client_may_be_ahead():
    transport = Replay(TURN)
    await transport.send(orjson.dumps(say("Hi")))
    await transport.send(orjson.dumps(ASK))
    assert await take(transport, 3) == [HELLO, ADDED, DONE]


async def test_what_is_not_recorded_is_refused_and_the_rest_goes_on():
    transport = Replay(TURN)
    await transport.send(orjson.dumps(say("Ho", event_id="event_9")))
    [error, hello] = await take(transport, 2)
    assert hello == HELLO
    assert error["type"] == "error"
    assert error["error"]["event_id"] == "event_9"
    assert error["error"]["message"] == (
        "the recording has no answer to this: "
        "expected conversation.item.create 'Hi' (event 1), got conversation.item.create 'Ho'"
    )
    await transport.send(orjson.dumps(say("Hi")))
    assert await take(transport, 1) == [ADDED]
    await transport.send(orjson.dumps({**ASK, "response": {"instructions": "sing"}}))
    [error] = await take(transport, 1)
    assert "differs from byte 46" in error["error"]["message"]
    await transport.send(b"not JSON")
    [error] = await take(transport, 1)
    assert "a frame that is not an event" in error["error"]["message"]
    await transport.send(orjson.dumps(ASK))
    assert await take(transport, 1) == [DONE]
    await transport.send(orjson.dumps(ASK))
    assert "nothing more" in (await take(transport, 1))[0]["error"]["message"]


async def test_strictly_the_bytes_count():
    transport = Replay(TURN, strict=True)
    with pytest.raises(ReplayError, match="differs from byte"):
        await transport.send(orjson.dumps(say("Hi", id="mine")))
    with pytest.raises(ReplayError, match="differs from byte"):
        await transport.recv()
    with pytest.raises(ReplayError, match="differs from byte"):
        transport.check()


async def test_strictly_all_of_it_is_used():
    transport = Replay(TURN, strict=True)
    await transport.send(orjson.dumps(say("Hi")))
    assert transport.remaining == 1
    with pytest.raises(ReplayError, match=r"expected response.create \(event 3\), and 1 frame of the client"):
        transport.check()
    await transport.send(orjson.dumps(ASK))
    transport.check()
    with pytest.raises(ReplayError, match="expected nothing more"):
        await transport.send(orjson.dumps(ASK))


async def test_a_redacted_frame_is_met_by_the_one_with_the_key():
    log = log_of(("client", say("my key is " + "*" * 30)), ("server", DONE))
    transport = Replay(log, strict=True)
    await transport.send(orjson.dumps(say("my key is sk-" + "a1" * 13 + "b")))
    assert await take(transport, 1) == [DONE]
    transport = Replay(TURN, strict=True)
    with pytest.raises(ReplayError) as caught:
        await transport.send(orjson.dumps(say("my key is sk-abcdefghijklmnop1234")))
    assert "abcdefgh" not in str(caught.value)


def append(ms):
    return {"type": "input_audio_buffer.append", "audio": b64(tone(ms))}


async def test_sound_counts_by_its_length():
    heard = {"type": "input_audio_buffer.speech_started", "item_id": "i"}
    over = {"type": "input_audio_buffer.speech_stopped", "item_id": "i"}
    log = log_of(("client", append(100)), ("client", append(100)), ("server", heard), ("client", append(50)),
                 ("server", over))  # fmt: skip
    transport = Replay(log)
    await transport.send(orjson.dumps(append(150)))
    await nothing_comes(transport)
    await transport.send(orjson.dumps(append(60)))
    assert await take(transport, 1) == [heard]
    await nothing_comes(transport)
    await transport.send(orjson.dumps(append(40)))
    assert await take(transport, 1) == [over]
    assert transport.remaining == 0


async def test_a_commit_ends_what_was_appended_however_much():
    commit = {"type": "input_audio_buffer.commit", "event_id": "e"}
    rows = [("client", append(100)), ("client", commit), ("server", DONE)]
    for sent in (30, 300):
        transport = Replay(log_of(*rows, *rows))
        for _ in range(2):
            await transport.send(orjson.dumps(append(sent)))
            await nothing_comes(transport)
            await transport.send(orjson.dumps(commit))
            assert await take(transport, 1) == [DONE]


@pytest.mark.parametrize("cancels", [True, False])
async def test_what_depends_on_the_moment_may_come_or_not(cancels):
    cancel = {"type": "response.cancel", "response_id": "resp_1"}
    with_it = log_of(
        ("client", ASK), ("client", cancel), ("server", DONE), ("client", say("Hi")), ("server", ADDED)
    )
    without = log_of(("client", ASK), ("server", DONE), ("client", say("Hi")), ("server", ADDED))
    for log in (with_it, without):
        transport = Replay(log)
        await transport.send(orjson.dumps(ASK))
        if cancels:
            await transport.send(orjson.dumps(cancel))
        assert await take(transport, 1) == [DONE]
        await transport.send(orjson.dumps(say("Hi")))
        assert await take(transport, 1) == [ADDED]


async def test_a_recording_that_ends_within_a_turn_ends_the_connection():
    transport = Replay(TURN, end="it was saved while a turn was in progress")
    await transport.send(orjson.dumps(say("Hi")))
    await transport.send(orjson.dumps(ASK))
    await take(transport, 3)
    with pytest.raises(ReplayError, match="the recording ends here: it was saved while"):
        await transport.recv()


async def test_time_is_counted_from_what_the_client_sends(monkeypatch):
    """The clock and the waiting are the test's own: nothing here depends on the machine."""
    now = [100.0]
    transport = Replay(
        log_of(
            ("server", HELLO, 0), ("client", say("Hi"), 5.0), ("server", ADDED, 5.5), ("server", DONE, 7.5)
        ),
        speed=2,
    )
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0], raising=False)
    waits = []

    async def wait(seconds=None):
        waits.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(transport, "_wait", wait)
    assert orjson.loads(await transport.recv()) == HELLO
    await transport.send(orjson.dumps(say("Hi")))
    assert orjson.loads(await transport.recv()) == ADDED
    assert orjson.loads(await transport.recv()) == DONE
    assert waits == pytest.approx([0.25, 1.0])
    monkeypatch.undo()


@pytest.mark.parametrize("speed", [0, -1, "fast", True])
def test_speeds(speed):
    with pytest.raises(ArgumentError, match="speed: expected a number above 0"):
        Replay(TURN, speed=speed)
    Replay(TURN, speed="max")


async def test_frames_of_any_kind_pass():
    state = full().state
    transport = Replay(state.log, strict=True)
    got = []
    for entry in state.log:
        if entry.direction == "client":
            await transport.send(entry.frame)
        else:
            got.append(await transport.recv())
    assert got == [entry.frame for entry in state.log.filter(direction="server")]
    transport.check()


async def test_a_known_key_that_was_made_unreadable_when_saved_may_be_sent_again_and_is_in_no_sentence():
    key = "a-gateways-token-in-words"
    remember(key)
    stored = say(f"it is {'*' * len(key)}")
    transport = Replay(log_of(("client", stored)), strict=True)
    await transport.send(orjson.dumps(say(f"it is {key}")))
    transport.check()
    for other in (say(f"it was {key}"), stored | {"more": key}):
        with pytest.raises(ReplayError) as caught:
            await Replay(log_of(("client", stored)), strict=True).send(orjson.dumps(other))
        assert key not in str(caught.value)


async def test_an_item_whose_content_is_no_list_is_compared_as_any_other():
    odd = say("Hi") | {"item": {"id": "item_1", "type": "message", "content": True}}
    with pytest.raises(ReplayError, match=r"expected conversation.item.create \(event 0\), got .*'Hi'"):
        await Replay(log_of(("client", odd)), strict=True).send(orjson.dumps(say("Hi")))
