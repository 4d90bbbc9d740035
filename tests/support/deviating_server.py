"""A scripted server on loopback, for what real servers do and the protocol does not allow.

::

    with deviating(respond) as server, rtnb.connect(server.url) as session: …

``respond(event)`` is called for each event of the client and returns what the server does: events (dicts),
frames (bytes or str), pauses (seconds), or `CLOSE`.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed

from .loop_thread import LoopThread

__all__ = [
    "CLOSE",
    "SESSION",
    "USAGE",
    "Event",
    "Step",
    "answer",
    "calls",
    "deviating",
    "each_request",
    "error",
    "one_by_one",
    "tone",
]

Event = dict[str, Any]
CLOSE = object()
Step = Any
Respond = Callable[[Event], Iterable[Step] | None]

_numbers = count(1)

_FORMAT = {"type": "audio/pcm", "rate": 24000}
SESSION: Event = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "Be brief.",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "audio": {
        "input": {"format": _FORMAT, "transcription": None, "turn_detection": None},
        "output": {"format": _FORMAT, "voice": "alloy", "speed": 1.0},
    },
}
USAGE: Event = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {"text_tokens": 20, "audio_tokens": 0, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 4, "audio_tokens": 6},
}


@dataclass
class DeviatingServer:
    """The server while it runs. ``received`` has the client's events."""

    url: str = ""
    received: list[Event] = field(default_factory=list)

    def types(self) -> list[str]:
        """Return the types of the client's events."""
        return [event["type"] for event in self.received]

    def requests(self) -> list[Event]:
        """Return the options of each requested response."""
        return [event.get("response", {}) for event in self.received if event["type"] == "response.create"]


@contextmanager
def deviating(
    respond: Respond,
    *,
    greeting: Iterable[Step] = ({"type": "session.created", "session": SESSION},),
    confirms: bool = True,
    echoes: bool = True,
) -> Iterator[DeviatingServer]:
    """Run the server. ``confirms`` a session.update, and ``echoes`` items, unless it is not to."""
    server = DeviatingServer()

    async def handle(connection: ServerConnection) -> None:
        session = json.loads(json.dumps(SESSION))

        async def do(steps: Iterable[Step]) -> None:
            for step in steps:
                if step is CLOSE:
                    await connection.close(1001, "gone")
                elif isinstance(step, (int, float)):
                    await asyncio.sleep(step)
                elif isinstance(step, (bytes, str)):
                    await connection.send(step)
                else:
                    event = {"event_id": f"event_{next(_numbers)}", **step}
                    await connection.send(json.dumps({k: v for k, v in event.items() if v is not ...}))

        running: set[asyncio.Task[None]] = set()
        try:
            await do(greeting)
            async for message in connection:
                event = json.loads(message)
                server.received.append(event)
                if event["type"] == "session.update" and confirms:
                    merge(session, event["session"])
                    await do([{"type": "session.updated", "session": session}])
                elif event["type"] == "conversation.item.create" and echoes:
                    item = {"id": f"item_u{next(_numbers)}", "status": "completed", **event["item"]}
                    for name in ("added", "done"):
                        await do(
                            [{"type": f"conversation.item.{name}", "previous_item_id": None, "item": item}]
                        )
                # A response is written while the client may go on sending.
                running.add(asyncio.ensure_future(do(respond(event) or ())))
        except ConnectionClosed:
            pass
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    @asynccontextmanager
    async def listening() -> AsyncIterator[int]:
        async with listen(handle, "127.0.0.1", 0, max_size=None) as listener:
            yield next(iter(listener.sockets)).getsockname()[1]

    with LoopThread() as loop, loop.entered(listening()) as port:
        server.url = f"ws://127.0.0.1:{port}/v1/realtime"
        yield server


def merge(into: Event, update: Event) -> None:
    """Merge an update into a session, as servers do."""
    for name, value in update.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            merge(into[name], value)
        else:
            into[name] = value


def each_request(make: Callable[[], Iterable[Step]]) -> Respond:
    """Return a script that does the same for each requested response."""
    return lambda event: make() if event["type"] == "response.create" else None


def one_by_one(*makers: Callable[[], Iterable[Step]]) -> Respond:
    """Return a script that does one thing for each requested response; the last is repeated."""
    number = count()

    def respond(event: Event) -> Iterable[Step] | None:
        if event["type"] != "response.create":
            return None
        return makers[min(next(number), len(makers) - 1)]()

    return respond


def tone(seconds: float = 0.1) -> str:
    """Return some audio in base64."""
    t = np.arange(round(seconds * 24_000)) / 24_000
    return b64encode((9000 * np.sin(2 * np.pi * 440 * t)).astype("<i2").tobytes()).decode()


def error(event_id: Any = None, **fields: Any) -> Event:
    """Return an error event that names a culprit or, by default, none."""
    described = {"type": "server_error", "code": None, "message": "boom", "param": None, "event_id": event_id}
    return {"type": "error", "error": {**described, **fields}}


def answer(
    words: Iterable[str] = ("Hi", " there", "."),
    *,
    beta: bool = False,
    audio: int = 2,
    announced: bool = True,
    listed: bool = True,
    status: str = "completed",
    details: Any = None,
    usage: Any = USAGE,
    metadata: Any = None,
) -> list[Event]:
    """Return the events of an answer, by default just as the protocol has them.

    ``announced``: items and parts are; ``listed``: response.done lists them; ``audio``: how many tenths of a
    second are spoken.
    """
    number = next(_numbers)
    response_id, item_id, text = f"resp_{number}", f"item_{number}", "".join(words)
    spoken = "response.audio" if beta else "response.output_audio"
    added = ["conversation.item.created"] if beta else ["conversation.item.added"]
    done_name = [] if beta else ["conversation.item.done"]
    where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
    response = {
        "object": "realtime.response",
        "id": response_id,
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_1",
        "usage": None,
        "metadata": metadata,
    }
    item = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    part = {"type": "audio" if beta else "output_audio", "transcript": text}
    done = {**item, "status": "completed", "content": [part]}
    placed = {"previous_item_id": None}
    of_item = {"response_id": response_id, "output_index": 0}
    events: list[Event] = [{"type": "response.created", "response": response}]
    if announced:
        events += [
            {"type": "response.output_item.added", **of_item, "item": item},
            *({"type": name, **placed, "item": item} for name in added),
            {"type": "response.content_part.added", **where, "part": {"type": "audio", "transcript": ""}},
        ]
    events += [{"type": f"{spoken}_transcript.delta", **where, "delta": word} for word in words]
    events += [{"type": f"{spoken}.delta", **where, "delta": tone()} for _ in range(audio)]
    if announced:
        events += [
            {"type": f"{spoken}.done", **where},
            {"type": f"{spoken}_transcript.done", **where, "transcript": text},
            {
                "type": "response.content_part.done",
                **where,
                "part": {"type": "audio", "transcript": text},
            },
            *({"type": name, **placed, "item": done} for name in done_name),
            {"type": "response.output_item.done", **of_item, "item": done},
        ]
    ended = {**response, "status": status, "status_details": details, "usage": usage}
    events.append({"type": "response.done", "response": {**ended, "output": [done] if listed else []}})
    return events


def calls(
    name: str = "weather", arguments: str = '{"city":"Rome"}', *, number: int = 1, call_id: str = ""
) -> list[Event]:
    """Return the events of a response that calls a function, or one several times."""
    response_id = f"resp_{next(_numbers)}"
    response = {"id": response_id, "status": "in_progress", "output": [], "usage": None, "metadata": None}
    events: list[Event] = [{"type": "response.created", "response": response}]
    done_items = []
    for index in range(number):
        unique = next(_numbers)
        item_id, call = f"item_{unique}", call_id or f"call_{unique}"
        item = {
            "id": item_id,
            "type": "function_call",
            "status": "in_progress",
            "name": name,
            "call_id": call,
            "arguments": "",
        }
        done = {**item, "status": "completed", "arguments": arguments}
        of_item = {"response_id": response_id, "output_index": index}
        of_call = {**of_item, "item_id": item_id, "call_id": call}
        placed = {"previous_item_id": None}
        events += [
            {"type": "response.output_item.added", **of_item, "item": item},
            {"type": "conversation.item.added", **placed, "item": item},
            {"type": "response.function_call_arguments.delta", **of_call, "delta": arguments[:5]},
            {"type": "response.function_call_arguments.delta", **of_call, "delta": arguments[5:]},
            {
                "type": "response.function_call_arguments.done",
                **of_call,
                "name": name,
                "arguments": arguments,
            },
            {"type": "conversation.item.done", **placed, "item": done},
            {"type": "response.output_item.done", **of_item, "item": done},
        ]
        done_items.append(done)
    ended = {**response, "status": "completed", "output": done_items, "usage": USAGE}
    events.append({"type": "response.done", "response": ended})
    return events
