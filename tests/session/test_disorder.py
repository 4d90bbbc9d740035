"""Valid conversations, recorded from the real server, out of order, with frames lost, repeated and damaged.

Whatever comes: each turn ends, and no text or audio that was received is lost or counted twice.
"""

from __future__ import annotations

import asyncio
import functools
from base64 import b64decode
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from support import virtual_clock

import rtnb
from rtnb.engines.fake import fake
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.transports import pair

PATIENCE = 120.0
"""Seconds of a virtual clock."""

ANSWER_TIMEOUT = 5.0
PROMPTS = ("hello there", "use weather now", "what is the time and the weather")


async def weather(city: str) -> str:
    """Return the weather."""
    return "sunny"


@functools.cache
def recorded() -> tuple[tuple[bytes, ...], ...]:
    """Return the server's frames of a session: those that open it, then those of each request in turn."""

    async def record() -> list[list[bytes]]:
        client, server = pair()
        serving = asyncio.create_task(serve(server, fake({})))
        session = await AsyncSession(client).open({"turn_detection": False, "tools": [weather]})
        groups: list[list[bytes]] = []
        for prompt in PROMPTS:
            await session.send(prompt)
        for entry in session.state.log:
            if entry.direction == "client" and entry.type == "response.create":
                groups.append([])
            elif entry.direction == "server" and entry.type.startswith("response."):
                groups[-1].append(entry.frame)
        await session.close()
        await serving
        return groups

    return tuple(tuple(group) for group in asyncio.run(record()))


def session_frame(kind: str) -> bytes:
    return orjson.dumps({"type": kind, "session": {"type": "realtime", "model": "gpt-realtime"}})


def damaged(frame: bytes, at: int) -> bytes:
    """Return a frame with one byte lost, so that it is no longer what it was."""
    at %= max(len(frame), 1)
    return frame[:at] + frame[at + 1 :]


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["swap", "drop", "repeat", "damage", "move", "insert"]), *[st.integers(0, 400)] * 2
    ),
    max_size=8,
)
NOISE = [
    b"",
    b"null",
    b'{"type":"ping"}',
    b'{"type":"response.done"',
    b'{"type":"error","error":"boom"}',
    b'{"type":"error","error":{"event_id":"event_unknown","message":"boom"}}',
    b'{"type":"response.output_text.delta","response_id":"resp_unknown","item_id":"item_u","delta":"x"}',
    b'{"type":"conversation.item.truncated","item_id":"item_unknown","audio_end_ms":5}',
    b'{"type":"response.created","response":{"id":"resp_unknown"}}',
    b'{"type":"rate_limits.updated"}',
]


def disordered(frames: tuple[bytes, ...], steps: list[Step]) -> list[bytes]:
    """Return frames in disorder."""
    found = list(frames)
    for how, one, other in steps:
        if not found:
            break
        i, j = one % len(found), other % len(found)
        if how == "swap":
            found[i], found[j] = found[j], found[i]
        elif how == "drop":
            del found[i]
        elif how == "repeat":
            found.insert(j, found[i])
        elif how == "damage":
            found[i] = damaged(found[i], other)
        elif how == "move":
            found.insert(j, found.pop(i))
        else:
            found.insert(i, NOISE[other % len(NOISE)])
    return found


async def play(groups: list[list[bytes]]) -> AsyncSession:
    """Answer each request with the next group of frames, and return the session when its turns have ended."""
    client, server = pair()

    async def serving() -> None:
        await server.send(session_frame("session.created"))
        left = iter(groups)
        while True:
            try:
                event = orjson.loads(await server.recv())
            except rtnb.ConnectionLost:
                return
            if event["type"] == "session.update":
                await server.send(session_frame("session.updated"))
            elif event["type"] == "response.create":
                for frame in next(left, []):
                    await server.send(frame)

    task = asyncio.create_task(serving())
    session = AsyncSession(client, answer_timeout=ANSWER_TIMEOUT)
    await session.open({"turn_detection": False, "tools": [weather]})
    for prompt in PROMPTS:
        turn = session.send(prompt)
        await asyncio.wait_for(turn._wait_async(), PATIENCE)
        assert turn.done
        assert turn.error is None or isinstance(turn.error, rtnb.RtnbError)
    await session.close()
    await task
    return session


def restated(frames: list[bytes], original: set[bytes]) -> bool:
    """Return whether a frame that was damaged is still an event that states a whole item or text."""
    for frame in frames:
        if frame in original or frame in NOISE:
            continue
        try:
            event = orjson.loads(frame)
        except orjson.JSONDecodeError:
            continue
        if isinstance(event, dict) and not str(event.get("type")).endswith(".delta"):
            return True
    return False


def received(session: AsyncSession) -> tuple[set[str], int]:
    """Return the words and the bytes of audio of all readable pieces in the log, each counted once."""
    words: set[str] = set()
    audio = 0
    by_id: dict[str, bytes] = {}  # b"" once an id was on different frames, and identifies nothing
    for entry in session.state.log:
        event: dict[str, Any] = entry.data
        id = event.get("event_id")
        if entry.direction == "server" and isinstance(id, str) and id:
            if by_id.get(id) == entry.frame:
                continue  # a repeat
            by_id[id] = b"" if id in by_id else entry.frame
        if entry.direction != "server" or not entry.type.endswith(".delta"):
            continue
        delta = event.get("delta")
        if not isinstance(delta, str):
            continue
        if entry.type == "response.output_audio.delta":
            try:
                audio += len(b64decode(delta, validate=True))
            except ValueError:
                continue
        elif entry.type in ("response.output_audio_transcript.delta", "response.output_text.delta"):
            words.add(delta.strip())
    return words, audio


@settings(max_examples=1500, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=6))
def test_every_turn_ends_and_nothing_received_is_lost(plans: list[list[Step]]) -> None:
    groups = recorded()
    changed = [disordered(group, plans[i % len(plans)]) for i, group in enumerate(groups)]
    session = virtual_clock.run(play(changed))
    words, audio = received(session)
    items = session.state.conversation.items.values()
    text = " ".join(item.text for item in items)
    original = {frame for group in groups for frame in group}
    spelled = b"".join(original).decode()
    if not any(restated(group, original) for group in changed):  # what a server states at the end overrules
        assert not [word for word in words if word not in text and word in spelled]  # others were damaged
    kept = sum(len(chunk) for item in items for part in item.parts for chunk in part.chunks)
    assert kept == audio


def test_undisturbed_it_is_as_it_was() -> None:
    session = virtual_clock.run(play([list(group) for group in recorded()]))
    assert [turn.status for turn in session.turns] == ["completed"] * len(PROMPTS)
    assert session.turns[0].text_so_far == "You said: hello there"
    assert session.state.problems == []
