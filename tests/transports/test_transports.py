import asyncio
import logging
import socket
import threading
import time
import zlib
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
import websockets
from support.loop_thread import LoopThread
from websockets.asyncio.server import serve

from rtnb.errors import ArgumentError, AuthError, ConnectionLost
from rtnb.transports import Transport, WebSocket, memory

SOON = 8.0
"""Seconds: far more than anything here takes, far less than the ten that websockets waits for a handshake."""


def soon(awaitable):
    return asyncio.wait_for(awaitable, SOON)


# In memory.


async def test_what_one_end_sends_the_other_receives_in_order():
    client, server = memory.pair()
    for n in range(100):
        await client.send(b"%d" % n)
    await server.send(b"\xff\x00back")
    assert [await server.recv() for _ in range(100)] == [b"%d" % n for n in range(100)]
    assert await client.recv() == b"\xff\x00back"


async def test_recv_waits():
    client, server = memory.pair()
    waiting = asyncio.ensure_future(server.recv())
    await asyncio.sleep(0)
    assert not waiting.done()
    await client.send(b"a")
    assert await soon(waiting) == b"a"


async def test_a_cancelled_recv_loses_nothing():
    client, server = memory.pair()
    waiting = asyncio.ensure_future(server.recv())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await client.send(b"a")
    assert await soon(server.recv()) == b"a"


async def test_a_frame_is_copied_from_a_buffer_that_changes():
    client, server = memory.pair()
    buffer = bytearray(b"before")
    await client.send(buffer)
    buffer[:] = b"after!"
    assert await server.recv() == b"before"


async def test_what_was_sent_before_the_close_is_read_after_it():
    client, server = memory.pair()
    await client.send(b"last words")
    await client.close(4000, "invalid_request_error.no")
    assert await server.recv() == b"last words"
    for end in (server, server, client):
        with pytest.raises(ConnectionLost) as lost:
            await soon(end.recv())
        assert (lost.value.code, lost.value.reason) == (4000, "invalid_request_error.no")
        assert "4000 invalid_request_error.no" in str(lost.value)
    for end in (client, server):
        with pytest.raises(ConnectionLost):
            await end.send(b"too late")


async def test_closing_wakes_who_waits_on_either_side():
    client, server = memory.pair()
    both = [asyncio.ensure_future(end.recv()) for end in (client, server)]
    await asyncio.sleep(0)
    await server.close()
    results = await soon(asyncio.gather(*both, return_exceptions=True))
    assert [type(result) for result in results] == [ConnectionLost, ConnectionLost]
    assert [result.code for result in results] == [1000, 1000]


async def test_the_first_close_counts():
    client, server = memory.pair()
    await client.close(1001, "going")
    await client.close(1000)
    await server.close(4000, "no")
    with pytest.raises(ConnectionLost, match="1001 going"):
        await server.recv()


def test_two_loops_in_two_threads():
    client, server = memory.pair()
    total, received = 3000, []

    async def answer():
        try:
            while True:
                await server.send(b"re:" + await server.recv())
        except ConnectionLost:
            return

    async def ask():
        for n in range(total):
            await client.send(b"%d" % n)
            if n % 7 == 0:
                received.append(await client.recv())
        while len(received) < total:
            received.append(await client.recv())
        await client.close()

    thread = threading.Thread(target=lambda: asyncio.run(answer()))
    thread.start()
    asyncio.run(asyncio.wait_for(ask(), 60))
    thread.join(60)
    assert not thread.is_alive()
    assert received == [b"re:%d" % n for n in range(total)]


def test_the_other_loop_may_be_gone():
    client, server = memory.pair()

    async def wait_a_little():
        task = asyncio.ensure_future(server.recv())
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(wait_a_little())
    asyncio.run(client.send(b"a"))
    asyncio.run(client.close())
    assert asyncio.run(server.recv()) == b"a"


def test_both_are_transports():
    ends: list[Transport] = [*memory.pair()]
    assert len(ends) == 2
    for name in ("send", "recv", "close"):
        assert callable(getattr(WebSocket, name))


# WebSocket.


@asynccontextmanager
async def running(handler, **options):
    """Run a WebSocket server on loopback; yield its address."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"


@asynccontextmanager
async def answering(talk):
    """Run a bare TCP server on loopback; yield its address."""
    writers = []

    async def handle(reader, writer):
        writers.append(writer)
        await talk(reader, writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
    finally:
        for writer in writers:
            writer.close()
        server.close()
        await server.wait_closed()


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def test_echo_and_headers():
    heard = {}

    async def handler(connection):
        heard.update(connection.request.headers.raw_items())
        heard["path"] = connection.request.path
        message = await connection.recv()
        heard["message"] = message
        await connection.send(message)
        await connection.send(b"\x00\xff")

    async with running(handler, compression="deflate") as url:
        client = await WebSocket.connect(f"{url}?model=m", headers={"Authorization": "Bearer sk-1"})
        await client.send('{"type":"é"}'.encode())
        assert await soon(client.recv()) == '{"type":"é"}'.encode()
        assert await soon(client.recv()) == b"\x00\xff"
        await client.close()
    assert heard["message"] == '{"type":"é"}'  # a text frame
    assert heard["path"] == "/v1/realtime?model=m"
    assert heard["Authorization"] == "Bearer sk-1"
    assert heard["User-Agent"] == "rtnb"
    assert "Sec-WebSocket-Extensions" not in heard
    assert "Server" in client.headers


async def test_no_log_holds_the_key(caplog):
    caplog.set_level("DEBUG")
    async with running(echo, logger=logging.getLogger("quiet")) as url:
        logging.getLogger("quiet").setLevel("ERROR")
        client = await WebSocket.connect(url, headers={"Authorization": "Bearer sk-secret"})
        await client.close()
    assert "sk-secret" not in caplog.text


@pytest.mark.parametrize("asked", [False, True])
async def test_compression_is_on_only_when_asked_for(asked):
    extensions = []

    async def handler(connection):
        extensions.append(connection.request.headers.get("Sec-WebSocket-Extensions"))
        await echo(connection)

    async with running(handler, compression="deflate") as url:
        client = await WebSocket.connect(url, compression=asked)
        await client.send(b"a" * 100_000)
        assert await soon(client.recv()) == b"a" * 100_000
        await client.close()
    assert bool(extensions[0] and "permessage-deflate" in extensions[0]) is asked
    assert ("permessage-deflate" in client.headers.get("Sec-WebSocket-Extensions", "")) is asked


async def test_frames_of_20_mebibytes():
    async with running(echo, max_size=None) as url:
        client = await WebSocket.connect(url)
        frame = b"0123456789abcdef" * (20 << 16)
        await soon(client.send(frame))
        back = await asyncio.wait_for(client.recv(), 60)
        assert (len(back), zlib.crc32(back)) == (20 << 20, zlib.crc32(frame))
        await client.close()


async def test_a_limit_for_frames_can_be_set():
    async with running(lambda connection: connection.send("x" * 2000)) as url:
        client = await WebSocket.connect(url, max_size=1000)
        with pytest.raises(ConnectionLost, match="this side closed the connection with 1009") as lost:
            await soon(client.recv())
        assert lost.value.code == 1009
        await soon(client.close())


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1001, "Your session hit the maximum duration of 60 minutes."),
        (3000, "invalid_request_error.invalid_api_key"),
        (4000, "invalid_request_error.invalid_model"),
        (1011, "keepalive ping timeout"),
    ],
)
async def test_close_codes_and_reasons(code, reason):
    async def handler(connection):
        await connection.send("last words")
        await connection.close(code, reason)

    async with running(handler) as url:
        client = await WebSocket.connect(url)
        assert await soon(client.recv()) == b"last words"
        for attempt in (client.recv, client.recv, lambda: client.send(b"too late")):
            with pytest.raises(ConnectionLost) as lost:
                await soon(attempt())
            assert (lost.value.code, lost.value.reason) == (code, reason)
            assert str(lost.value).startswith(f"the server closed the connection with {code}")
            assert reason in str(lost.value)
        await soon(client.close())


async def test_a_connection_that_breaks_off():
    async def handler(connection):
        await connection.recv()
        connection.transport.abort()

    async with running(handler) as url:
        client = await WebSocket.connect(url)
        await client.send(b"a")
        with pytest.raises(ConnectionLost, match="was lost without a close frame") as lost:
            await soon(client.recv())
        assert (lost.value.code, lost.value.reason) == (1006, "")
        await soon(client.close())


async def test_a_server_that_answers_no_pings():
    stop = asyncio.Event()

    async def talk(reader, writer):
        await handshake(reader, writer)
        await stop.wait()

    async with answering(talk) as url:
        client = await WebSocket.connect(url, ping_interval=0.05, ping_timeout=0.05)
        with pytest.raises(ConnectionLost, match="this side closed the connection with 1011") as lost:
            await asyncio.wait_for(client.recv(), 30)
        assert lost.value.code == 1011
        await soon(client.close())
        stop.set()


async def test_a_server_that_sends_is_alive_without_pongs():
    async def talk(reader, writer):
        await handshake(reader, writer)
        for _ in range(20):
            writer.write(b"\x81\x01a")
            await asyncio.sleep(0.02)

    async with answering(talk) as url:
        client = await WebSocket.connect(url, ping_interval=0.1, ping_timeout=0.1)
        assert [await soon(client.recv()) for _ in range(20)] == [b"a"] * 20
        await soon(client.close())


@pytest.mark.parametrize("end", ["close frame", "end of file", "broken frame"])
async def test_a_connection_that_the_server_closes_and_leaves_open(end):
    stop = asyncio.Event()

    async def talk(reader, writer):
        await handshake(reader, writer)
        if end == "end of file":
            writer.write_eof()
        else:
            writer.write(b"\x88\x02\x03\xe9" if end == "close frame" else b"\x83\x00")
        await stop.wait()

    async with answering(talk) as url:
        client = await WebSocket.connect(url, close_timeout=0.2)
        with pytest.raises(ConnectionLost) as lost:
            await soon(client.recv())
        assert lost.value.code == {"close frame": 1001, "end of file": 1006, "broken frame": 1002}[end]
        await soon(client.close())
        stop.set()


async def test_a_process_that_was_blocked_is_named_as_the_cause(monkeypatch):
    monkeypatch.setattr("rtnb.transports.websocket._BLOCKED_SECONDS", 0.5)

    async def wait(connection):
        await connection.wait_closed()

    with LoopThread() as loop, loop.entered(running(wait, ping_interval=0.1, ping_timeout=0.1)) as url:
        client = await WebSocket.connect(url)
        time.sleep(1.5)
        with pytest.raises(
            ConnectionLost, match=r"had blocked the session's event loop for \d\.\d s"
        ) as lost:
            await soon(client.recv())
        assert lost.value.code == 1011


async def test_a_process_that_was_blocked_does_not_drop_a_server_that_lives():
    with LoopThread() as loop, loop.entered(running(echo)) as url:
        client = await WebSocket.connect(url, ping_interval=0.1, ping_timeout=0.2)
        for _ in range(3):
            time.sleep(0.5)
            await asyncio.sleep(0.05)
        await client.send(b"a")
        assert await soon(client.recv()) == b"a"
        await client.close()


async def test_an_ordinary_end_names_no_blocked_process():
    async with running(lambda connection: connection.close(1011, "oops")) as url:
        client = await WebSocket.connect(url)
        with pytest.raises(ConnectionLost) as lost:
            await soon(client.recv())
        assert str(lost.value) == "the server closed the connection with 1011 'oops'"


async def handshake(reader, writer):
    """Accept a WebSocket and say no more."""
    request = await reader.readuntil(b"\r\n\r\n")
    key = next(line for line in request.decode().splitlines() if line.lower().startswith("sec-websocket-key"))
    accept = websockets.utils.accept_key(key.split(": ")[1])
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    await writer.drain()


async def test_close_returns_soon_where_nobody_answers_it():
    stop = asyncio.Event()

    async def talk(reader, writer):
        await handshake(reader, writer)
        await stop.wait()

    async with answering(talk) as url:
        client = await WebSocket.connect(url)
        reading = asyncio.ensure_future(client.recv())
        await asyncio.sleep(0)
        await soon(client.close())
        with pytest.raises(ConnectionLost):
            await soon(reading)
        await soon(client.close())
        with pytest.raises(ConnectionLost):
            await soon(client.send(b"a"))
        stop.set()


async def test_close_returns_soon_where_much_is_unread():
    async def handler(connection):
        for _ in range(2000):
            await connection.send("x" * 20_000)

    async with running(handler) as url:
        client = await WebSocket.connect(url)
        await soon(client.recv())
        await soon(client.close())


async def test_both_may_close():
    async with running(echo) as url:
        client = await WebSocket.connect(url)
        await soon(asyncio.gather(client.close(), client.close(1001, "bye")))


SECRET = "sk-secret-0123456789"


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, AuthError, "refused the API key (HTTP 401): check that the key"),
        (403, AuthError, "refused the API key (HTTP 403)"),
        (404, ConnectionLost, "HTTP 404 instead of a WebSocket: check the URL and the model"),
        (429, ConnectionLost, "HTTP 429 instead of a WebSocket: try again later"),
        (500, ConnectionLost, "HTTP 500 instead of a WebSocket: try again later"),
        (200, ConnectionLost, "HTTP 200 instead of a WebSocket"),
    ],
)
async def test_an_answer_instead_of_an_upgrade(status, error, says):
    def refuse(connection, request):
        return connection.respond(HTTPStatus(status), f"the key {SECRET} is bad")

    async with running(echo, process_request=refuse) as url:
        with pytest.raises(error) as raised:
            await WebSocket.connect(f"{url}?api-key={SECRET}", headers={"api-key": SECRET})
    assert says in str(raised.value)
    assert url in str(raised.value)
    assert_no_secret(raised.value)


def assert_no_secret(error):
    while error is not None:
        assert SECRET not in str(error)
        assert SECRET not in repr(error)
        assert error.__suppress_context__ or error.__context__ is None
        error = error.__cause__


async def test_no_redirect_is_followed():
    keys = []

    async def elsewhere(connection):
        keys.append(connection.request.headers.get("api-key"))

    async with running(elsewhere) as other:

        def redirect(connection, request):
            response = connection.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = f"{other}?k={SECRET}"
            return response

        async with running(echo, process_request=redirect) as url:
            with pytest.raises(ConnectionLost, match="HTTP 302 instead of a WebSocket") as raised:
                await WebSocket.connect(url, headers={"api-key": SECRET})
    assert keys == []
    assert_no_secret(raised.value)


async def test_nothing_listens():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        said = f"ws://127.0.0.1:{port}/v1: connection refused"
        with pytest.raises(ConnectionLost, match=said) as raised:
            await soon(WebSocket.connect(f"ws://127.0.0.1:{port}/v1?key={SECRET}"))
    assert_no_secret(raised.value)


@pytest.mark.parametrize(
    "said",
    [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"\x15\x03\x01\x00\x02", b"HTTP/1.1 101 Fine\r\n\r\n", b"HTTP/1.1 200"],
)
async def test_a_server_that_speaks_something_else(said):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with answering(talk) as url:
        with pytest.raises(ConnectionLost, match="does not speak WebSocket") as raised:
            await soon(WebSocket.connect(f"{url}?key={SECRET}"))
    assert_no_secret(raised.value)


async def test_a_plain_server_behind_wss():
    async with running(echo) as url:
        with pytest.raises(ConnectionLost, match="cannot connect") as raised:
            await soon(WebSocket.connect(url.replace("ws:", "wss:") + f"?key={SECRET}"))
    assert_no_secret(raised.value)


async def test_a_server_that_never_answers():
    stop = asyncio.Event()

    async def talk(reader, writer):
        await stop.wait()

    async with answering(talk) as url:
        with pytest.raises(ConnectionLost, match=r"did not answer within 0\.2 s") as raised:
            await soon(WebSocket.connect(f"{url}?key={SECRET}", timeout=0.2))
        stop.set()
    assert_no_secret(raised.value)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/v1", "ws://127.0.0.1:99999/", "ws://127.0.0.1:port/", "ws://[::1/", "ws:///v1", "v1"],
)
async def test_an_address_that_is_none(url):
    with pytest.raises(ArgumentError) as raised:
        await soon(WebSocket.connect(f"{url}?key={SECRET}"))
    assert_no_secret(raised.value)


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:1", "socks5h://127.0.0.1:1", "http://127.0.0.1:1"])
async def test_a_proxy_that_does_not_work(monkeypatch, proxy):
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "socks_proxy", "SOCKS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "wss_proxy", "ws_proxy"):
        monkeypatch.setenv(name, proxy.replace("//", f"//user:{SECRET}@"))
        monkeypatch.delenv(name.upper(), raising=False)
    with pytest.raises(ConnectionLost) as raised:
        await soon(WebSocket.connect("wss://realtime.example.invalid/v1"))
    assert_no_secret(raised.value)
