"""A client of the protocol server in memory: every frame that comes is checked and folded."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import numpy as np

from rtnb.audio.codecs import Codec, pcm16
from rtnb.engines.base import Engine
from rtnb.engines.fake import fake
from rtnb.protocol.conversation import Conversation
from rtnb.protocol.dialects import BETA, GA, Dialect, read
from rtnb.protocol.events import Direction
from rtnb.server.session import ServerSession
from rtnb.server.usage_meter import TokenWindow
from rtnb.server.workers import lease
from rtnb.transports.memory import MemoryEnd, pair

from .schema import check_server_event

Event = dict[str, Any]
PATIENCE = 30.0  # seconds after which a test that hangs fails


def fold(conversation: Conversation, event: Event, direction: Direction) -> None:
    """Fold an event into a conversation."""
    for change in read(event, direction):
        conversation.apply(change)


class Wire:
    """The client's end. ``seen`` has all events that came, ``conversation`` what they fold to."""

    def __init__(self, end: MemoryEnd, server: ServerSession) -> None:
        self.end = end
        self.server = server
        self.seen: list[Event] = []
        self.conversation = Conversation()
        self.beta = server.context.dialect is BETA
        self._count = count(1)

    async def send(self, type: str, **fields: Any) -> str:
        """Send an event and return its id."""
        event = {"type": type, "event_id": f"event_t{next(self._count)}", **fields}
        fold(self.conversation, event, "client")
        await self.end.send(json.dumps(event).encode())
        return str(event["event_id"])

    async def raw(self, frame: bytes) -> None:
        """Send bytes as they are."""
        await self.end.send(frame)

    async def next(self) -> Event:
        """Return the next event."""
        async with asyncio.timeout(PATIENCE):
            event: Event = json.loads(await self.end.recv())
        check_server_event(event, self.server.context.dialect.name)
        fold(self.conversation, event, "server")
        self.seen.append(event)
        return event

    async def until(self, *types: str) -> list[Event]:
        """Return the events up to the first of one of these types."""
        events = [await self.next()]
        while events[-1]["type"] not in types:
            events.append(await self.next())
        return events

    async def error(self) -> Event:
        """Return the ``error`` of the next event, which must be one."""
        event = await self.next()
        assert event["type"] == "error", event
        error: Event = event["error"]
        return error

    async def configure(self, **session: Any) -> Event:
        """Update the session and return it as the server has it now."""
        await self.send("session.update", session=session if self.beta else {"type": "realtime", **session})
        event = await self.next()
        assert event["type"] == "session.updated", event
        result: Event = event["session"]
        return result

    async def say(self, text: str) -> str:
        """Add a user's text and return its item's id."""
        content = [{"type": "input_text", "text": text}]
        return await self.create(type="message", role="user", content=content)

    async def create(self, previous: str | None = None, **item: Any) -> str:
        """Create an item and return its id."""
        place = {} if previous is None else {"previous_item_id": previous}
        await self.send("conversation.item.create", item=item, **place)
        events = [await self.next() for _ in range(1 if self.beta else 2)]
        names = ["conversation.item.added", "conversation.item.done"]
        assert [event["type"] for event in events] == (["conversation.item.created"] if self.beta else names)
        return str(events[0]["item"]["id"])

    async def respond(self, **response: Any) -> list[Event]:
        """Ask for a response and return its events, up to the rate limits."""
        await self.send("response.create", **({"response": response} if response else {}))
        return await self.until("rate_limits.updated", "error")

    async def append(self, samples: np.ndarray, codec: Codec = pcm16, chunk_ms: int = 100) -> None:
        """Append sound in chunks."""
        data = codec.encode(samples)
        size = codec.bytes_per_second * chunk_ms // 1000
        for start in range(0, len(data), size):
            audio = b64encode(data[start : start + size]).decode()
            await self.send("input_audio_buffer.append", audio=audio)

    async def settle(self) -> None:
        """Read all that the server has to say to what was sent so far."""
        probe = await self.send("probe")
        while True:
            event = await self.next()
            if event["type"] == "error" and event["error"]["event_id"] == probe:
                return


def types(events: Iterable[Event]) -> list[str]:
    """Return the types of events, each run of equal deltas as one."""
    found: list[str] = []
    for event in events:
        if not (found and found[-1] == event["type"] and event["type"].endswith(".delta")):
            found.append(event["type"])
    return found


def done(events: Iterable[Event]) -> Event:
    """Return the response of the ``response.done`` among events."""
    response: Event = next(event["response"] for event in events if event["type"] == "response.done")
    return response


def tone(seconds: float, rate: int = 24_000) -> np.ndarray:
    """Return something loud enough to be taken for speech."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)


def silence(seconds: float, rate: int = 24_000) -> np.ndarray:
    """Return nothing, for a while."""
    return np.zeros(round(seconds * rate), np.float32)


@asynccontextmanager
async def connected(
    engine: Engine | None = None,
    *,
    model: str = "gpt-4o-realtime-preview",
    cap: float = 3600.0,
    dialect: Dialect = GA,
    **session: Any,
) -> AsyncIterator[Wire]:
    """Connect a client to a server; at the end both sides' conversations must be equal.

    ``session`` is configured at once, if anything is given, in the shape of the client's dialect.
    """
    engine = engine or fake({})
    client, server_end = pair()
    with lease(engine) as workers:
        server = ServerSession(server_end, engine, workers, model, TokenWindow(40_000), cap, dialect)
        running = asyncio.create_task(server.run())
        wire = Wire(client, server)
        try:
            first = await wire.next()
            assert first["type"] == "session.created"
            if session:
                await wire.configure(**session)
            yield wire
            await wire.settle()
            assert wire.conversation == server.context.conversation
            assert wire.conversation.items == server.context.conversation.items
        finally:
            await client.close()
            async with asyncio.timeout(PATIENCE):
                await running
