"""Whatever the network or the server does: a turn finishes, or ends in time with an error of rtnb's own."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
from support.fault_proxy import FAULTS, Fault, faulty
from support.loop_thread import LoopThread, real_server

import rtnb

PATIENCE = 45.0
"""Seconds: far more than any of these takes, so that only a wait without an end exceeds it."""

WORDS = " ".join(f"word{number}" for number in range(40))
"""The server repeats it, in pieces of text and audio."""

CLOSE_LIMIT = 2.0 + 3.0
"""Seconds: what closing may take, and time for a busy machine."""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[LoopThread, int]]:
    with LoopThread() as loop, real_server(loop) as port:
        yield loop, port


def outcome(fault: Fault, server: tuple[LoopThread, int]) -> tuple[bool, str]:
    """Return whether the turn finished, and how it ended; check that all that came was kept."""
    loop, port = server
    options: dict[str, Any] = {"timeout": 10.0, "answer_timeout": 20.0, "close_timeout": 0.5, **fault.options}
    with faulty(loop, fault, port) as proxy:
        try:
            session = rtnb.connect(proxy.url, transcription=False, **options)
        except rtnb.RtnbError as error:
            return False, f"{type(error).__name__}: {error}"
        began = 0.0
        try:
            turn = session.send(WORDS)
            turn.wait(PATIENCE)
            assert turn.done
            check_kept(session, turn, proxy.links[-1].passed, tail=fault.name == "reset")
            if turn.status == "completed":
                assert turn.text == f"You said: {WORDS}" or fault.name in ("swapped neighbours",)
                return True, "completed"
            assert isinstance(turn.error, rtnb.RtnbError)
            return False, f"{type(turn.error).__name__}: {turn.error}"
        finally:
            began = time.monotonic()
            session.close()
            assert time.monotonic() - began < CLOSE_LIMIT


def check_kept(session: rtnb.Session, turn: rtnb.Turn, passed: list[bytes], *, tail: bool) -> None:
    """Check that the log has each event that the proxy delivered, and the turn all text and audio of them.

    ``tail``: the last of them may be missing, since a reset discards what was not read.
    """
    if turn.status == "completed":  # what follows may be under way
        passed = passed[: next(i for i, payload in enumerate(passed) if b'"response.done"' in payload) + 1]
    delivered = set(passed)
    kept = [e.frame for e in session.log if e.direction == "server" and e.frame in delivered][: len(passed)]
    assert kept == (passed[: len(kept)] if tail else passed)
    events = {event.get("event_id"): event for event in map(json.loads, kept)}.values()
    deltas = [event for event in events if event["type"].endswith(".delta")]
    texts = [event["delta"] for event in deltas if "transcript" in event["type"]]
    audio = [b64decode(event["delta"]) for event in deltas if event["type"].endswith("audio.delta")]
    assert sorted("".join(texts).split()) == sorted(turn.text_so_far.split())
    played = turn.audio_so_far
    assert (0 if played is None else len(played.samples)) == sum(map(len, audio)) // 2


@pytest.mark.parametrize("name", FAULTS)
def test_a_turn_ends_well(name: str, server: tuple[LoopThread, int]) -> None:
    finished, how = outcome(FAULTS[name], server)
    assert finished is FAULTS[name].finishes, how


def test_most_faults_let_a_turn_finish() -> None:
    assert len(FAULTS) >= 41
    assert sum(fault.finishes for fault in FAULTS.values()) >= 22
