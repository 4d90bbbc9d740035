"""A proxy between a client and a real server that injects one fault of the network or of the server.

It relays whole WebSocket frames, so that it can change, repeat, delay or drop them, and raw bytes, so that it
can break the protocol. ``FAULTS`` has all faults by name.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from .loop_thread import LoopThread

__all__ = ["FAULTS", "Fault", "FaultProxy", "Link", "faulty"]

_ENDED = (ConnectionError, asyncio.IncompleteReadError)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_DELTAS = (b'"response.output_audio.delta"', b'"response.output_audio_transcript.delta"')


def encode(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = False) -> bytes:
    """Return one WebSocket frame."""
    head = bytes([(0x80 if fin else 0) | opcode])
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 1 << 16:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    if masked:
        return head + bytes(4) + payload  # a mask of zeros changes nothing
    return head + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Return the opcode, the payload and all bytes of the next frame."""
    raw = await reader.readexactly(2)
    size = raw[1] & 0x7F
    if size > 125:
        more = await reader.readexactly(2 if size == 126 else 8)
        raw += more
        size = int.from_bytes(more, "big")
    mask = b""
    if raw[1] & 0x80:
        mask = await reader.readexactly(4)
        raw += mask
    payload = await reader.readexactly(size)
    raw += payload
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return raw[0] & 0x0F, payload, raw


@dataclass
class Link:
    """One connection through the proxy, as a fault sees it."""

    client: asyncio.StreamWriter
    passed: list[bytes] = field(default_factory=list)
    """The events that the client was sent whole, and has to keep."""
    deltas: int = 0
    """How many pieces of answers the server has sent."""
    held: list[bytes] = field(default_factory=list)
    """Events that a fault keeps back."""
    fired: bool = False
    """Whether a fault that happens once has happened."""

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.client.write(data)
        await self.client.drain()

    async def event(self, payload: bytes) -> None:
        """Send an event in a frame of its own."""
        self.passed.append(payload)
        await self.raw(encode(TEXT, payload))

    async def end(self) -> None:
        """Send nothing more, and leave the connection open."""
        await asyncio.Event().wait()

    def reset(self) -> None:
        """Reset the TCP connection."""
        linger = struct.pack("ii", 1, 0)
        self.client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.client.transport.abort()


Deliver = Callable[[Link, bytes], Awaitable[None]]
Answer = Callable[[Link, bytes], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """What goes wrong. ``finishes`` says whether a turn can still finish."""

    name: str
    finishes: bool
    deliver: Deliver | None = None
    """Called with each event of the server instead of delivering it."""
    answer: Answer | None = None
    """Called with the handshake's request instead of passing it on."""
    drops_pings: bool = False
    """Whether the client's pings are lost on the way."""
    listens: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    """Keywords of ``rtnb.connect`` that make it quick to notice."""


FAULTS: dict[str, Fault] = {}


def _add(name: str, *, finishes: bool, **how: Any) -> None:
    assert name not in FAULTS, name
    FAULTS[name] = Fault(name, finishes, **how)


def _is_delta(payload: bytes) -> bool:
    return any(name in payload for name in _DELTAS)


def _mid_answer(action: Callable[[Link, bytes], Awaitable[None]], after: int = 6) -> Deliver:
    """Deliver events; once, after some pieces of an answer, do ``action`` instead."""

    async def deliver(link: Link, payload: bytes) -> None:
        if link.deltas == after and not link.fired:
            link.fired = True
            await action(link, payload)
        else:
            await link.event(payload)

    return deliver


# The connection ends in the middle of an answer.


async def _reset(link: Link, payload: bytes) -> None:
    link.reset()


async def _fin(link: Link, payload: bytes) -> None:
    link.client.write_eof()
    await link.end()


async def _half_frame(link: Link, payload: bytes) -> None:
    await link.raw(encode(TEXT, payload)[:-5])
    await _fin(link, payload)


async def _stall(link: Link, payload: bytes) -> None:
    await link.end()


def _close(code: int, reason: str = "", *, leave_open: bool = False) -> Deliver:
    async def action(link: Link, payload: bytes) -> None:
        await link.raw(encode(CLOSE, struct.pack("!H", code) + reason.encode()))
        if leave_open:
            await link.end()
        link.client.write_eof()
        await link.end()

    return _mid_answer(action)


def _breaks(data: Callable[[bytes], bytes]) -> Deliver:
    """Break the WebSocket protocol, and leave the connection open."""

    async def action(link: Link, payload: bytes) -> None:
        await link.raw(data(payload))
        await link.end()

    return _mid_answer(action)


_QUICK_PINGS = {"ping_interval": 0.2, "ping_timeout": 0.4}

_add("reset", finishes=False, deliver=_mid_answer(_reset))
_add("FIN", finishes=False, deliver=_mid_answer(_fin))
_add("FIN within a frame", finishes=False, deliver=_mid_answer(_half_frame))
_add("stall", finishes=False, deliver=_mid_answer(_stall), drops_pings=True, options=_QUICK_PINGS)
_add("silence with pongs", finishes=False, deliver=_mid_answer(_stall), options={"answer_timeout": 0.8})
for _code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4999):
    _add(f"close {_code}", finishes=False, deliver=_close(_code, "a reason"))
for _code in (1005, 1006, 1015, 999, 5000):  # which no close frame may have
    _add(f"close {_code}", finishes=False, deliver=_close(_code))
_add("close without a code", finishes=False, deliver=_breaks(lambda payload: encode(CLOSE, b"")))
_add("close with one byte", finishes=False, deliver=_breaks(lambda payload: encode(CLOSE, b"\x03")))
_add("close, TCP left open", finishes=False, deliver=_close(1001, "going away", leave_open=True))
_add("reserved opcode", finishes=False, deliver=_breaks(lambda payload: encode(3, payload)))
_add("reserved bit", finishes=False, deliver=_breaks(lambda payload: b"\xc1\x02{}"))
_add("masked frame", finishes=False, deliver=_breaks(lambda payload: encode(TEXT, payload, masked=True)))
_add("long ping", finishes=False, deliver=_breaks(lambda payload: encode(PING, bytes(200))))
_add("continuation of nothing", finishes=False, deliver=_breaks(lambda payload: encode(0, payload)))


# The answer arrives in an odd way.


async def _fragments(link: Link, payload: bytes) -> None:
    link.passed.append(payload)
    pieces = [payload[at : at + 97] for at in range(0, len(payload), 97)]
    for number, piece in enumerate(pieces):
        await link.raw(encode(0 if number else TEXT, piece, fin=number == len(pieces) - 1))


async def _fragments_with_pings(link: Link, payload: bytes) -> None:
    link.passed.append(payload)
    half = len(payload) // 2
    await link.raw(encode(TEXT, payload[:half], fin=False))
    await link.raw(encode(PING, b"between"))
    await link.raw(encode(0, payload[half:]))


async def _drip(link: Link, payload: bytes) -> None:
    link.passed.append(payload)
    frame = encode(TEXT, payload)
    for at in range(0, 60, 3):
        await link.raw(frame[at : at + 3])
        await asyncio.sleep(0.0005)
    await link.raw(frame[60:])


async def _latency(link: Link, payload: bytes) -> None:
    await asyncio.sleep(0.02)
    await link.event(payload)


async def _jitter(link: Link, payload: bytes) -> None:
    link.held.append(payload)
    if len(link.held) >= 5 or b"updated" in payload or b".created" in payload or b".done" in payload:
        held, link.held = link.held, []
        link.passed += held
        await link.raw(b"".join(encode(TEXT, one) for one in held))


async def _pings(link: Link, payload: bytes) -> None:
    await link.raw(encode(PING, b"are you there?"))
    await link.raw(encode(PONG, b"nothing was asked"))
    await link.event(payload)


async def _as_binary(link: Link, payload: bytes) -> None:
    link.passed.append(payload)
    await link.raw(encode(BINARY, payload))


def _also(frame: bytes) -> Deliver:
    """Send a frame that is not an event, in the middle of an answer, and go on."""

    async def action(link: Link, payload: bytes) -> None:
        await link.raw(frame)
        await link.event(payload)

    return _mid_answer(action)


def _text(payload: bytes) -> bytes:
    return encode(TEXT, payload)


_add("unanswered pings", finishes=True, deliver=_latency, drops_pings=True, options=_QUICK_PINGS)
_add("tiny fragments", finishes=True, deliver=_fragments)
_add("pings within fragments", finishes=True, deliver=_fragments_with_pings)
_add("slow drip", finishes=True, deliver=_drip)
_add("latency", finishes=True, deliver=_latency)
_add("jitter", finishes=True, deliver=_jitter)
_add("pings and pongs", finishes=True, deliver=_pings)
_add("events in binary frames", finishes=True, deliver=_as_binary)
_add("binary", finishes=True, deliver=_also(encode(BINARY, b"\x00\xff\x10binary")))
_add("non-JSON", finishes=True, deliver=_also(_text(b"<html>502 Bad Gateway</html>")))
_add("truncated JSON", finishes=True, deliver=_also(_text(b'{"type":"response.output_text.delta","del')))
_add("non-object", finishes=True, deliver=_also(_text(b'["response.done"]')))
_add("a JSON string", finishes=True, deliver=_also(_text(b'"response.done"')))
_add("null", finishes=True, deliver=_also(_text(b"null")))
_add("an object without a type", finishes=True, deliver=_also(_text(b'{"response":{"id":"x"}}')))
_add("a type that is a number", finishes=True, deliver=_also(_text(b'{"type":7}')))
_add("an empty frame", finishes=True, deliver=_also(_text(b"")))
_add("bad UTF-8", finishes=True, deliver=_also(_text(b'{"type":"session.note","text":"\xff\xfe"}')))
_add("deep JSON", finishes=True, deliver=_also(_text(b'{"type":"x","a":' + b"[" * 5000 + b"]" * 5000 + b"}")))
_add("a huge frame", finishes=True, deliver=_also(_text(b'{"type":"x.y","a":"' + b"a" * (20 << 20) + b'"}')))
_add("an unknown event", finishes=True, deliver=_also(_text(b'{"type":"response.hologram.delta","delta":1}')))


# The events are odd.


async def _empty_done(link: Link, payload: bytes) -> None:
    await link.event(b'{"type":"response.done"}' if b'"response.done"' in payload else payload)


async def _twice(link: Link, payload: bytes) -> None:
    await link.event(payload)
    await link.event(payload)


async def _swapped(link: Link, payload: bytes) -> None:
    """Swap neighbours: of three pieces of an answer, the second and the third."""
    if link.held:
        await link.event(payload)
        await link.event(link.held.pop())
    elif _is_delta(payload) and link.deltas % 3 == 1:
        link.held.append(payload)
    else:
        await link.event(payload)


async def _extra(link: Link, payload: bytes) -> None:
    event = {"x_gateway": {"id": [1, None]}, **json.loads(payload), "delta_index": 7, "usage_hint": None}
    await link.event(json.dumps(event).encode())


async def _spaced(link: Link, payload: bytes) -> None:
    event = dict(reversed(json.loads(payload).items()))
    await link.event(json.dumps(event, indent=1, ensure_ascii=True).encode())


async def _numeric_ids(link: Link, payload: bytes) -> None:
    def numbered(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: numbered(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [numbered(one) for one in value]
        ours = name == "id" or name in ("response_id", "item_id", "previous_item_id")
        if ours and isinstance(value, str) and value.startswith(("resp_", "item_")):
            return int.from_bytes(value.encode()[-6:], "big")
        return value

    event = json.loads(payload)
    is_answer = event["type"].startswith("response.")
    await link.event(json.dumps(numbered(event)).encode() if is_answer else payload)


async def _without_start(link: Link, payload: bytes) -> None:
    if not any(name in payload[:120] for name in (b'"response.created"', b"_item.added", b"_part.added")):
        await link.event(payload)


async def _closed_after(link: Link, payload: bytes) -> None:
    await link.event(payload)
    if b'"response.done"' in payload:
        await link.raw(encode(CLOSE, struct.pack("!H", 1001)))
        await link.end()


_add("an empty response.done", finishes=True, deliver=_empty_done)
_add("duplicates", finishes=True, deliver=_twice)
_add("swapped neighbours", finishes=True, deliver=_swapped)
_add("extra fields", finishes=True, deliver=_extra)
_add("keys in another order, with spaces", finishes=True, deliver=_spaced)
_add("numeric ids", finishes=True, deliver=_numeric_ids)
_add("no starts of responses, items and parts", finishes=True, deliver=_without_start)
_add("close after response.done", finishes=True, deliver=_closed_after)


# The handshake.


def _http(status: str, *headers: str, body: bytes = b"") -> Answer:
    async def answer(link: Link, request: bytes) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        await link.raw("\r\n".join(lines).encode() + body)
        link.client.close()

    return answer


async def _no_answer(link: Link, request: bytes) -> None:
    await link.end()


async def _early_close(link: Link, request: bytes) -> None:
    link.client.close()


async def _early_reset(link: Link, request: bytes) -> None:
    link.reset()


async def _silent_session(link: Link, payload: bytes) -> None:
    await link.end()


_UPGRADE = ("Upgrade: websocket", "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
for _status in ("400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found"):
    _add(f"HTTP {_status}", finishes=False, answer=_http(_status, body=b'{"error":"no"}'))
for _status in ("429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable", "200 OK"):
    _add(f"HTTP {_status}", finishes=False, answer=_http(_status, body=b"<html>no</html>"))
_add("a redirect", finishes=False, answer=_http("302 Found", "Location: ws://127.0.0.1:9/elsewhere"))
_add("a wrong accept key", finishes=False, answer=_http("101 Switching Protocols", *_UPGRADE))
_add("no answer", finishes=False, answer=_no_answer, options={"timeout": 0.5})
_add("an early close", finishes=False, answer=_early_close)
_add("an early reset", finishes=False, answer=_early_reset)
_add("connection refusal", finishes=False, listens=False)
_add("no session.created", finishes=False, deliver=_silent_session, options={"timeout": 0.5})


class FaultProxy:
    """The proxy on a free port of loopback. ``url`` is where to connect, ``links`` what has connected."""

    def __init__(self, fault: Fault, port: int) -> None:
        self.fault = fault
        self.url = ""
        self.links: list[Link] = []
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultProxy]:
        """Listen, and end all connections at the end."""
        server = await asyncio.start_server(self._on_client, "127.0.0.1", 0, limit=1 << 20)
        self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
        if not self.fault.listens:
            server.close()
        yield self
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_client(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = Link(client)
        self.links.append(link)
        try:
            with suppress(*_ENDED, asyncio.CancelledError):  # cancelled by ``running`` alone
                await self._relay(link, reader)
        finally:
            client.transport.abort()

    async def _relay(self, link: Link, reader: asyncio.StreamReader) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if self.fault.answer is not None:
            await self.fault.answer(link, request)
            await reader.read()  # until the client closes too
            return
        upstream, server = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        try:
            server.write(request)
            await link.raw(await upstream.readuntil(b"\r\n\r\n"))
            forth = asyncio.ensure_future(self._to_server(reader, server))
            back = asyncio.ensure_future(self._to_client(link, upstream))
            try:
                await asyncio.wait([forth, back], return_when=asyncio.FIRST_COMPLETED)
            finally:
                forth.cancel()
                back.cancel()
                await asyncio.gather(forth, back, return_exceptions=True)
        finally:
            server.transport.abort()

    async def _to_server(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while True:
            opcode, _, raw = await read_frame(reader)
            if not (opcode == PING and self.fault.drops_pings):
                server.write(raw)

    async def _to_client(self, link: Link, upstream: asyncio.StreamReader) -> None:
        deliver = self.fault.deliver
        assert deliver is not None
        events: asyncio.Queue[bytes] = asyncio.Queue()

        async def deliver_events() -> None:
            while not link.client.is_closing():
                payload = await events.get()
                link.deltas += _is_delta(payload)
                await deliver(link, payload)

        delivering = asyncio.ensure_future(deliver_events())
        try:
            while not delivering.done():
                opcode, payload, raw = await read_frame(upstream)
                if opcode == TEXT:
                    events.put_nowait(payload)
                elif opcode != CLOSE:
                    link.client.write(raw)  # control frames pass a delayed event
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)


@contextmanager
def faulty(loop: LoopThread, fault: Fault, port: int) -> Iterator[FaultProxy]:
    """Run a proxy in front of the server on ``port``."""
    with loop.entered(FaultProxy(fault, port).running()) as proxy:
        yield proxy
