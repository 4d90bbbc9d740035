"""The server on a real port: HTTP, the handshake, frames of each kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from support.schema import check_server_event
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rtnb.engines.fake import fake
from rtnb.errors import ArgumentError, EngineError
from rtnb.server.app import App, warm


@asynccontextmanager
async def listening(**options) -> AsyncIterator[tuple[App, int]]:
    app = App(fake({}), **options)
    async with await app.listen() as server:
        yield app, next(iter(server.sockets)).getsockname()[1]


async def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Send a plain HTTP request and return status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def next_event(socket) -> dict:
    event = json.loads(await socket.recv())
    check_server_event(event)
    return event


async def test_health_contains_no_secret():
    async with listening(key="sk-secret") as (_, port):
        status, body = await get(port, "/health", Host="localhost")
        health = json.loads(body)
        assert status == HTTPStatus.OK
        assert health["name"] == "rtnb"
        assert health["engine"] == "fake"
        assert health["sessions"] == 0
        assert "secret" not in body


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {"Host": "localhost"}, 404),
        ("/health", {"Host": "rebound.example"}, 403),
        ("/health", {"Host": "localhost", "Origin": "https://evil.example"}, 403),
        ("/v1/realtime", {"Host": "localhost", "Origin": "null"}, 403),
        ("/v1/realtime", {"Host": "localhost"}, 426),
    ],
)
async def test_plain_http_requests(path, headers, status):
    async with listening() as (_, port):
        assert (await get(port, path, **headers))[0] == status


async def test_a_page_of_another_site_is_refused():
    async with listening() as (_, port):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{port}/v1/realtime", origin="https://evil.example", proxy=None)
        assert refused.value.response.status_code == HTTPStatus.FORBIDDEN


async def test_a_turn_with_a_key_from_a_browser():
    async with listening(key="sk-1") as (app, port):
        protocols = ["realtime", "openai-insecure-api-key.sk-1"]
        url = f"ws://127.0.0.1:{port}/v1/realtime?model=rtnb-local"
        async with connect(url, subprotocols=protocols, origin="http://localhost:8888", proxy=None) as socket:
            assert socket.subprotocol == "realtime"
            assert (await next_event(socket))["session"]["model"] == "rtnb-local"
            assert app.sessions == 1
            assert app.idle_since is None
            await socket.send(json.dumps({"type": "response.create"}))
            while (await next_event(socket))["type"] != "rate_limits.updated":
                pass
            await socket.send(b'{"type": "response.create"}')  # a binary frame
            error = (await next_event(socket))["error"]
            assert error["code"] == "invalid_event"
            assert error["message"].startswith("Expected a text WebSocket message")


@pytest.mark.parametrize(
    ("query", "headers", "code", "close"),
    [
        ("", {}, None, (3000, "invalid_request_error.invalid_api_key")),
        (
            "",
            {"Authorization": "Bearer sk-2"},
            "invalid_api_key",
            (3000, "invalid_request_error.invalid_api_key"),
        ),
        (
            "?model=gpt-9",
            {"Authorization": "Bearer sk-1"},
            "invalid_model",
            (4000, "invalid_request_error.invalid_model"),
        ),
        (
            "?model=gpt-9",
            {"Authorization": "Bearer sk-1", "OpenAI-Beta": "realtime=v1"},
            "invalid_model",
            (4000, "invalid_request_error.invalid_model"),
        ),
    ],
)
async def test_a_refused_connection_gets_the_reason(query, headers, code, close):
    async with listening(key="sk-1") as (app, port):
        url = f"ws://127.0.0.1:{port}/v1/realtime{query}"
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            error = (await next_event(socket))["error"]
            assert (error["type"], error["code"]) == ("invalid_request_error", code)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == close
        assert app.sessions == 0


async def test_limits_are_shared_by_all_sessions():
    async with listening() as (_, port):
        left = []
        for _ in range(2):
            async with connect(f"ws://127.0.0.1:{port}/realtime", proxy=None) as socket:
                await socket.send(json.dumps({"type": "response.create"}))
                event = await next_event(socket)
                while event["type"] != "rate_limits.updated":
                    event = await next_event(socket)
                left.append(event["rate_limits"][0]["remaining"])
        assert left[1] < left[0] < 40_000


@pytest.mark.parametrize("allowed", [True, False])
async def test_compression_is_a_choice(allowed):
    async with (
        listening(compression=allowed) as (_, port),
        connect(f"ws://127.0.0.1:{port}/realtime", proxy=None) as socket,
    ):
        assert bool(socket.protocol.extensions) == allowed


async def test_ports_that_cannot_be_opened():
    async with listening() as (app, port):
        with pytest.raises(ArgumentError, match=f"port {port} cannot be opened .it is in use."):
            await app.listen(port=port)
        with pytest.raises(ArgumentError, match="only on this machine"):
            await app.listen(host="0.0.0.0")


def test_an_engine_that_does_not_work_is_found_out_before_it_serves():
    engine = fake({})

    def broken(*_):
        raise RuntimeError("no voice")

    engine.tts.speak = broken
    with pytest.raises(EngineError, match="'fake' failed: no voice"):
        warm(engine)
