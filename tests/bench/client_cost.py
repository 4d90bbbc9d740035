"""CPU per received event: rtnb's session against bare websockets + orjson, and against openai's loop.

One process plays the server: each ``response.create`` is answered by an audio turn of 210 events, 160 of
them deltas of 6.4 kB (100 ms of PCM16). Each client runs in a process of its own, several times in turn; CPU
time is the process's own, from the first turn to the last. rtnb's side parses, logs, folds and decodes the
audio, and two listeners get every change. A server sends its frames one by one, or with ``--blast`` a whole
turn at once: few wake-ups, so that the figures are steadier, and show what an event costs by itself.

    python tests/bench/client_cost.py [--turns 60] [--rounds 5] [--blast]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from base64 import b64encode

import orjson

EVENTS = 210


def turn_frames(number: int) -> list[bytes]:
    """Return one audio turn as a server sends it: 4 events, 160 of sound and 40 of text, 6 events."""
    response, item = f"resp_{number:06d}", f"item_{number:06d}"
    sound = b64encode(bytes(range(256)) * 18 + bytes(192)).decode()
    where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
    shell = {"object": "realtime.response", "id": response, "output": [], "status_details": None}
    message = {"id": item, "type": "message", "role": "assistant", "content": []}
    part = {"type": "audio", "transcript": ""}
    usage = {
        "total_tokens": 300,
        "input_tokens": 100,
        "output_tokens": 200,
        "input_token_details": {"text_tokens": 40, "audio_tokens": 60, "cached_tokens": 0},
        "output_token_details": {"text_tokens": 40, "audio_tokens": 160},
    }
    done = {
        **message,
        "status": "completed",
        "content": [{"type": "output_audio", "transcript": "word " * 40}],
    }
    events = [
        {"type": "response.created", "response": {**shell, "status": "in_progress", "usage": None}},
        {"type": "response.output_item.added", "response_id": response, "output_index": 0, "item": message},
        {"type": "conversation.item.added", "previous_item_id": None, "item": message},
        {"type": "response.content_part.added", **where, "part": part},
    ]
    for _ in range(40):  # speech at 150 words a minute: 16 s of sound, 40 words
        events.append({"type": "response.output_audio_transcript.delta", **where, "delta": "word "})
        events += [{"type": "response.output_audio.delta", **where, "delta": sound}] * 4
    events += [
        {"type": "response.output_audio.done", **where},
        {"type": "response.output_audio_transcript.done", **where, "transcript": "word " * 40},
        {
            "type": "response.content_part.done",
            **where,
            "part": {"type": "audio", "transcript": "word " * 40},
        },
        {"type": "conversation.item.done", "previous_item_id": None, "item": done},
        {"type": "response.output_item.done", "response_id": response, "output_index": 0, "item": done},
        {
            "type": "response.done",
            "response": {**shell, "output": [done], "status": "completed", "usage": usage},
        },
    ]
    assert len(events) == EVENTS
    return [orjson.dumps({"event_id": f"event_{number}_{i}", **event}) for i, event in enumerate(events)]


SESSION = {"type": "realtime", "id": "sess_1", "object": "realtime.session", "model": "gpt-realtime-2.1"}


def framed(payload: bytes) -> bytes:
    """Return a text frame of the WebSocket protocol."""
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes([size]) + payload
    return b"\x81" + (b"\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x7f" + size.to_bytes(8)) + payload


async def serve(turns: int, *, blast: bool) -> None:
    """Play the server until it is killed; the port goes to stdout."""
    from websockets.asyncio.server import ServerConnection
    from websockets.asyncio.server import serve as listen

    prepared = [turn_frames(number) for number in range(turns)]

    async def handle(connection: ServerConnection) -> None:
        left = iter(prepared)
        await connection.send(json.dumps({"type": "session.created", "event_id": "e", "session": SESSION}))
        async for message in connection:
            kind = orjson.loads(message)["type"]
            if kind == "session.update":
                await connection.send(
                    json.dumps({"type": "session.updated", "event_id": "e", "session": SESSION})
                )
            elif kind == "response.create":
                if blast:
                    connection.transport.write(b"".join(map(framed, next(left))))
                    continue
                for frame in next(left):
                    await connection.send(frame, text=True)

    async with listen(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()


async def bare(port: int, turns: int) -> float:
    """Receive and parse: nothing less can be done."""
    from websockets.asyncio.client import connect

    url = f"ws://127.0.0.1:{port}/v1/realtime?model=m"
    async with connect(url, compression=None, max_size=None, proxy=None) as connection:
        orjson.loads(await connection.recv(decode=False))
        began = time.process_time()
        for _ in range(turns):
            await connection.send('{"type": "response.create"}')
            while orjson.loads(await connection.recv(decode=False))["type"] != "response.done":
                pass
        return time.process_time() - began


async def rtnb(port: int, turns: int) -> float:
    """Receive, parse, log, fold, and decode the audio, turn by turn."""
    from rtnb.session.async_session import AsyncSession
    from rtnb.transports import WebSocket

    transport = await WebSocket.connect(f"ws://127.0.0.1:{port}/v1/realtime?model=m")
    seen = [0, 0]

    def count(change: object, turn: int) -> None:
        seen[0] += 1

    def count_too(change: object, turn: int) -> None:
        seen[1] += 1

    async with await AsyncSession(transport).open() as session:
        session.subscribe(count)
        session.subscribe(count_too)
        began = time.process_time()
        for number in range(turns):
            turn = await session.send(f"turn {number}")
            assert turn.items[0].audio_ms == 16_000  # decoded as it came
        spent = time.process_time() - began
        assert len(session.state.log) >= turns * EVENTS
        assert min(seen) >= turns * EVENTS
        return spent


async def openai(port: int, turns: int) -> float:
    """Iterate over the official client's events, as its README does."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="none", base_url=f"http://127.0.0.1:{port}/v1")
    async with client.realtime.connect(model="m") as connection:
        await connection.recv()
        began = time.process_time()
        for _ in range(turns):
            await connection.response.create()
            async for event in connection:
                if event.type == "response.done":
                    break
        return time.process_time() - began


CLIENTS = {"bare": bare, "rtnb": rtnb, "openai": openai}


def measure(client: str, port: int, turns: int) -> float:
    """Run one client in a process of its own and return its microseconds of CPU per event."""
    command = [sys.executable, __file__, "--client", client, "--port", str(port), "--turns", str(turns)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(out) / (turns * EVENTS) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--blast", action="store_true")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.turns, blast=args.blast))
    elif args.client:
        print(asyncio.run(CLIENTS[args.client](args.port, args.turns)))
    else:
        command = [sys.executable, __file__, "--serve", "--turns", str(args.turns)]
        command += ["--blast"] if args.blast else []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            runs = [{name: measure(name, port, args.turns) for name in CLIENTS} for _ in range(args.rounds)]
            server.kill()
        for anchor, limit in (("bare", 1.25), ("openai", 0.22)):
            figure = {
                "bench": "client_cost",
                "figure": "CPU per event" + (", blast" if args.blast else ""),
                "unit": "µs",
                "value": round(statistics.median(run["rtnb"] for run in runs), 2),
                "anchor": {"bare": "websockets + orjson", "openai": "openai realtime.connect()"}[anchor],
                "anchor_value": round(statistics.median(run[anchor] for run in runs), 2),
                "ratio": round(statistics.median(run["rtnb"] / run[anchor] for run in runs), 3),
                "limit": limit,
                "runs": args.rounds,
            }
            print(json.dumps(figure, ensure_ascii=False))


if __name__ == "__main__":
    main()
