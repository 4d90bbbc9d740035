"""Pickling and copying: what holds a connection or a key refuses in a sentence, values make a round trip."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import ModuleType
from typing import Any

import pytest
from frames import full

import rtnb
from rtnb import errors
from rtnb.analysis.turn import TurnView
from rtnb.api.session import Session
from rtnb.endpoints.endpoint import resolve
from rtnb.engines.fake import fake
from rtnb.protocol.log_storage import Sound, cut
from rtnb.protocol.usage import Usage
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.session.event_loop import Notifier
from rtnb.transports import Replay, pair

KEY = "sk-0123456789abcdefghij"
WAYS: tuple[Callable[[Any], Any], ...] = (
    pickle.dumps,
    lambda thing: pickle.dumps(thing, 0),
    copy.copy,
    copy.deepcopy,
)


@pytest.fixture
async def session() -> AsyncIterator[AsyncSession]:
    client, server = pair()
    serving = asyncio.create_task(serve(server, fake({})))
    async with await AsyncSession(client, billed=False).open(budget="20,000 tokens") as session:
        yield session
    await serving


def refused(thing: Any) -> set[str]:
    """Return the sentences with which a thing refuses all ways of copying it."""
    found = set()
    for way in WAYS:
        with pytest.raises(TypeError) as caught:
            way(thing)
        found.add(str(caught.value))
    return found


async def test_what_is_live_refuses_and_says_what_to_do(session: AsyncSession) -> None:
    turn = await session.send("Hello")
    saved = (
        "a live session cannot be pickled or copied: save it with session.save(path), open it with rtnb.open"
    )
    facade = Session(session, "here")
    assert refused(session) == refused(facade) == {saved}
    assert refused(turn) == {
        "a live turn cannot be pickled or copied: save the session with session.save(path), or take its "
        "values, such as turn.text and turn.audio"
    }
    [sentence] = refused(session.budget)
    assert "set session.budget to its limits" in sentence
    for thing in (session.state, session.state.log):
        assert "save the session with session.save(path)" in refused(thing).pop()
    for thing in (
        session._connection,
        session.signal,
        session._connection._transport,
        Replay(session.state.log),
    ):
        assert all(0 < len(sentence) < 120 and "\n" not in sentence for sentence in refused(thing))


async def test_nothing_is_half_copied(session: AsyncSession) -> None:
    turn = await session.send("Hello")
    for thing in (turn, [turn], {"session": session}, TurnView(session.state, turn._fold)):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            copy.deepcopy(thing)
    assert turn.text == "You said: Hello"
    assert (await session.send("Again")).text == "You said: Again"
    assert len(session.turns) == 2


async def test_an_endpoint_never_puts_its_key_into_a_pickle() -> None:
    endpoint = resolve("gpt-realtime", api_key=KEY)
    for sentence in refused(endpoint):
        assert "call resolve() again" in sentence
        assert KEY not in sentence
    assert KEY not in repr(endpoint)


async def test_the_conversation_is_a_value(session: AsyncSession) -> None:
    await session.send("Hello", rtnb.Clip.tone(440, 0.5))
    conversation = session.state.conversation
    for copied in (copy.deepcopy(conversation), pickle.loads(pickle.dumps(conversation))):
        assert copied == conversation
        assert list(copied.items) == list(conversation.items)
    before = len(conversation)
    await session.send("Again")
    assert (len(copied), len(conversation)) == (before, before + 2)


class Elsewhere:
    """A store, as of a file, which no pickle could hold."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def read(self, at: int, size: int) -> bytes:
        return bytes(range(at, at + size))


def test_audio_in_a_file_is_copied_as_bytes() -> None:
    audio = Sound(bytes(range(4, 14)))
    audio.move(Elsewhere(), 4)
    for part, data in ((audio, bytes(range(4, 14))), (cut(audio, 2, 5), bytes(range(6, 9)))):
        for copied in (copy.copy(part), copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
            assert bytes(copied) == data


def test_a_log_and_its_views_refuse() -> None:
    log = full().state.log
    for thing in (log, log.filter("response.*")):
        for way in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="log, and what is computed from it, cannot be pickled"):
                way(thing)
    assert len(copy.copy(log[2:4])) == 2


def test_values_make_a_round_trip() -> None:
    state = full().state
    usage = state.usage + Usage.from_transcription({"seconds": 2.0}, "some-ears")
    cost = usage.cost("gpt-realtime", billed=False)
    assert cost is not None
    for way in (copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))):
        assert way(usage) == usage
        assert repr(way(cost)) == repr(cost)
        assert (way(cost).parts, way(cost).excludes) == (cost.parts, cost.excludes)
        clip = way(rtnb.Clip.tone(440, 0.1))
        assert (clip.rate, clip.seconds) == (24_000, 0.1)
        assert way(state.log[0]) == state.log[0]
        assert way(state.turns.all[0].responses) == state.turns.all[0].responses
        assert way(state.row) == state.row


ERRORS = [
    errors.MissingPackageError("polars", "to_frame", "polars")
    if name == "MissingPackageError"
    else getattr(errors, name)("what happened")
    for name in errors.__all__
]
ERRORS += [
    errors.ServiceError("refused", type="invalid_request_error", code="bad", param="session.voice"),
    errors.ConnectionLost("lost", code=1001, reason="going away"),
    errors.ReplayError("differs", code=4000, reason="x"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_make_a_round_trip(error: Exception) -> None:
    error.add_note("a note")
    for way in (copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))):
        again = way(error)
        assert type(again) is type(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_a_key_in_an_error_is_not_in_its_pickle() -> None:
    assert KEY.encode() not in pickle.dumps(errors.ServiceError(f"Incorrect API key provided: {KEY}"))


def fail() -> None:
    raise errors.MissingPackageError("polars", "to_frame", "polars")


@pytest.mark.slow
def test_an_error_crosses_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    # A shell of IPython that an earlier test started has left a __main__ that spawning cannot describe.
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(errors.MissingPackageError, match="to_frame needs the package 'polars'"),
    ):
        pool.submit(fail).result(60)


def test_a_notifier_has_waiters_and_refuses() -> None:
    assert refused(Notifier()) == {"a notifier cannot be pickled or copied: threads and tasks wait on it"}
