"""The protocol server on a port of this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from .. import __version__
from ..engines.base import Engine
from ..errors import ArgumentError, ConnectionLost, EngineError, RemoteProtocolError
from ..protocol.ids import server_id
from .fields import VOICES
from .handshake import HEALTH, Refusal, chosen_subprotocol, is_loopback, model_of, refused_over_http
from .limits import TokenWindow, tokens_per_minute
from .schema import DEFAULT_INSTRUCTIONS
from .session import serve
from .session_context import system_messages

__all__ = ["App", "warm"]

_log = logging.getLogger(__name__)

_MAX_FRAME = 24 * 1024 * 1024
"""Bytes: 15 MiB of sound is 20 MiB of base64; a little more gets an error event instead of a close."""

_PING_SECONDS = 20.0


class _Socket:
    """One accepted connection as a ``Transport``."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def send(self, frame: bytes) -> None:
        """Send one text frame."""
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed as closed:
            raise _lost(closed) from None

    async def recv(self) -> bytes:
        """Return the next frame.

        Raises:
            RemoteProtocolError: It is a binary frame; the connection lives on.
            ConnectionLost: The connection has ended.
        """
        try:
            frame = await self._connection.recv()
        except ConnectionClosed as closed:
            raise _lost(closed) from None
        if isinstance(frame, bytes):
            raise RemoteProtocolError("Expected a text WebSocket message, but got a binary one.")
        return frame.encode("utf-8", "surrogatepass")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Hang up."""
        await self._connection.close(code, reason)


def _lost(closed: ConnectionClosed) -> ConnectionLost:
    code = closed.rcvd.code if closed.rcvd else 1006
    return ConnectionLost("the client closed the connection", code=code)


class App:
    """A server of one engine: ``/v1/realtime`` for the protocol, ``/health`` for a look.

    ``key`` None leaves it open to everybody on this machine. The engine stays the caller's.
    """

    def __init__(self, engine: Engine, *, key: str | None = None, compression: bool = False) -> None:
        self._engine = engine
        self._key = key
        self._compression = compression
        self._limits: dict[str, TokenWindow] = {}
        self.sessions = 0
        self.quiet_since: float | None = None
        """The event loop's time at which the last connection ended; None while there are any."""

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> Server:
        """Open the port (0: any free one) and return the running server.

        Raises:
            ArgumentError: ``host`` is not of this machine's loopback, or the port cannot be opened.
        """
        if not is_loopback(host):
            raise ArgumentError(
                f"the server opens only to this machine: host is 127.0.0.1, ::1 or localhost, not {host!r}"
            )
        self.quiet_since = asyncio.get_running_loop().time()
        try:
            return await listen(
                self._accept,
                host,
                port,
                process_request=self._look,
                select_subprotocol=_select,
                compression="deflate" if self._compression else None,
                ping_interval=_PING_SECONDS,
                ping_timeout=_PING_SECONDS,
                max_size=_MAX_FRAME,
                close_timeout=2,
                server_header=None,
                logger=logging.getLogger("rtnb.server.websockets"),
            )
        except (OSError, OverflowError) as error:
            why = "it is in use" if getattr(error, "errno", None) in (48, 98, 10048) else str(error)
            raise ArgumentError(
                f"port {port} cannot be opened ({why}): choose another, or 0 for any free one"
            ) from None

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no WebSocket; refuse what may not become one."""
        refused = refused_over_http(
            request.path, request.headers.get("Host"), request.headers.get_all("Origin")
        )
        if refused is not None:
            return _response(*refused)
        if urlsplit(request.path).path == HEALTH:
            if not self.sessions:  # whoever looks may be about to connect
                self.quiet_since = asyncio.get_running_loop().time()
            return _response(200, json.dumps(self.health()) + "\n", "application/json")
        return None

    def health(self) -> dict[str, Any]:
        """Return what ``/health`` tells: no settings, no secrets."""
        return {
            "name": "rtnb",
            "version": __version__,
            "engine": self._engine.name,
            "sessions": self.sessions,
            "pid": os.getpid(),
        }

    async def _accept(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None  # there was a handshake
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        try:
            model = model_of(request.path, headers, _offered(request.headers), self._key)
        except Refusal as refusal:
            await _turn_away(connection, refusal)
            return
        self.sessions += 1
        self.quiet_since = None
        limits = self._limits.setdefault(model, TokenWindow(tokens_per_minute(model)))
        try:
            await serve(_Socket(connection), self._engine, model=model, limits=limits)
        finally:
            self.sessions -= 1
            if not self.sessions:
                self.quiet_since = asyncio.get_running_loop().time()


def warm(engine: Engine) -> None:
    """Call each part of an engine once, so that no first turn waits for it.

    Raises:
        EngineError: A part does not work.
    """
    import numpy as np

    try:
        engine.vad.stream()(np.zeros(engine.vad.window, np.float32))
        engine.asr.transcribe(np.zeros(engine.asr.rate, np.float32))
        engine.tts.speak("Ready.", VOICES[0], 1.0)
        engine.llm.prefill(system_messages(DEFAULT_INSTRUCTIONS), [])
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"the engine {engine.name!r} does not work: {error}") from error


async def _turn_away(connection: ServerConnection, refusal: Refusal) -> None:
    event = {"type": "error", "event_id": server_id("event"), "error": refusal.fault.wire()}
    try:
        await connection.send(orjson.dumps(event), text=True)
        await connection.close(refusal.close_code, refusal.reason)
    except ConnectionClosed:
        return


def _offered(headers: Headers) -> list[str]:
    lines = headers.get_all("Sec-WebSocket-Protocol")
    return [name.strip() for line in lines for name in line.split(",")]


def _select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    chosen = chosen_subprotocol(offered)
    return None if chosen is None else Subprotocol(chosen)


def _response(status: int, text: str, kind: str = "text/plain; charset=utf-8") -> Response:
    body = text.encode()
    headers = Headers([("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")])
    return Response(status, HTTPStatus(status).phrase, headers, body)
