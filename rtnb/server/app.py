"""The protocol server on a loopback port of this machine."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import os
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from .._version import __version__
from ..engines.base import Engine
from ..errors import ArgumentError, ConnectionLost, EngineError, RemoteProtocolError
from ..protocol.changes import Failed
from ..protocol.dialects import BETA, GA, Dialect
from ..protocol.models import SEED, catalogue, find
from .prompt import system_messages
from .schema import DEFAULT_INSTRUCTIONS, VOICES
from .session import serve
from .session_context import frames
from .usage_meter import TokenWindow, tokens_per_minute
from .validation import InvalidRequest, quoted

__all__ = [
    "App",
    "Refusal",
    "chosen_subprotocol",
    "dialect_of",
    "is_loopback",
    "model_of",
    "refused_over_http",
    "warm",
]

HEALTH = "/health"
_PATHS = ("/v1/realtime", "/realtime")
_KEY_PROTOCOL = "openai-insecure-api-key."
_BETA_PROTOCOL = "openai-beta.realtime-v1"
_BETA_FEATURE = "realtime=v1"
_OWN_MODELS = ("rtnb-local", "rtnb-fake")


class Refusal(Exception):
    """A connection is refused: it gets an error event and is closed with ``close_code`` and ``reason``."""

    def __init__(self, error: InvalidRequest, close_code: int) -> None:
        super().__init__(error.message)
        self.error = error
        self.close_code = close_code
        # A missing key has no code; the reason is that of a wrong key.
        self.reason = f"{error.type}.{error.code or 'invalid_api_key'}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is of this machine's loopback interface."""
    name = host.strip().strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def refused_over_http(path: str, host: str | None, origins: Sequence[str]) -> tuple[int, str] | None:
    """Return the HTTP status and message with which a request is refused, or None if it is accepted.

    ``host`` and ``origins`` are the values of the request's ``Host`` and ``Origin`` headers.
    """
    if host is None or not is_loopback(urlsplit(f"//{host}").hostname or ""):
        return 403, "This server accepts connections from this machine only: connect to localhost.\n"
    for origin in origins:
        if not is_loopback(urlsplit(origin).hostname or ""):
            return 403, "Pages of other sites may not connect to this server.\n"
    if urlsplit(path).path not in (HEALTH, *_PATHS):
        return 404, "Not found: the protocol is at /v1/realtime.\n"
    return None


def chosen_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the subprotocol to answer with, never one that contains a key."""
    return next((name for name in ("realtime", _BETA_PROTOCOL) if name in offered), None)


def dialect_of(headers: Mapping[str, str], subprotocols: Sequence[str]) -> Dialect:
    """Return the dialect that a client asks for; ``headers`` has lower-case names."""
    features = [feature.strip() for feature in headers.get("openai-beta", "").split(",")]
    return BETA if _BETA_FEATURE in features or _BETA_PROTOCOL in subprotocols else GA


def model_of(path: str, headers: Mapping[str, str], subprotocols: Sequence[str], key: str | None) -> str:
    """Return the model that a connection requests.

    ``headers`` has lower-case names; ``key`` is the server's key, or None if it needs none.

    Raises:
        Refusal: The key or the model is not accepted.
    """
    if key is not None:
        _check_key(key, headers.get("authorization"), subprotocols)
    model = next(iter(parse_qs(urlsplit(path).query).get("model", ())), SEED)
    if model in _OWN_MODELS or (find(model).known and find(model).kind == "realtime"):
        return model
    known = [row.id for row in catalogue() if row.kind == "realtime"]
    raise _refusal(
        "invalid_model",
        f"Model '{model:.80}' is not supported in realtime mode."
        f" Supported are: {quoted([*known, *_OWN_MODELS])}.",
        4000,
        param="model",
    )


def _check_key(key: str, authorization: str | None, subprotocols: Sequence[str]) -> None:
    sent = next((p.removeprefix(_KEY_PROTOCOL) for p in subprotocols if p.startswith(_KEY_PROTOCOL)), None)
    if authorization is not None:
        scheme, _, rest = authorization.partition(" ")
        sent = rest.strip() if scheme.lower() == "bearer" else ""
    if sent is None:
        message = "Missing bearer authentication in header: send 'Authorization: Bearer KEY'."
        raise _refusal(None, message, 3000)
    if not hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), key.encode()):
        raise _refusal("invalid_api_key", "Incorrect API key provided.", 3000)


def _refusal(code: str | None, message: str, close_code: int, param: str | None = None) -> Refusal:
    return Refusal(InvalidRequest(code, message, param), close_code)


_log = logging.getLogger(__name__)

_MAX_FRAME = 24 * 1024 * 1024
"""Bytes: 15 MiB of audio is 20 MiB of base64; slightly more gets an error event, not a closed connection."""

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
            RemoteProtocolError: It is a binary frame; the connection stays open.
            ConnectionLost: The connection is closed.
        """
        try:
            frame = await self._connection.recv()
        except ConnectionClosed as closed:
            raise _lost(closed) from None
        if isinstance(frame, bytes):
            raise RemoteProtocolError("Expected a text WebSocket message, but got a binary one.")
        return frame.encode("utf-8", "surrogatepass")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection."""
        await self._connection.close(code, reason)


def _lost(closed: ConnectionClosed) -> ConnectionLost:
    code = closed.rcvd.code if closed.rcvd else 1006
    return ConnectionLost("the client closed the connection", code=code)


class App:
    """The server of one engine: the protocol at ``/v1/realtime``, its status at ``/health``.

    With ``key=None`` every process on this machine may connect. The caller closes the engine.
    """

    def __init__(self, engine: Engine, *, key: str | None = None, compression: bool = False) -> None:
        self._engine = engine
        self._key = key
        self._compression = compression
        self._limits: dict[str, TokenWindow] = {}
        self.sessions = 0
        self.idle_since: float | None = None
        """The event loop's time at which the last connection ended; None while there are connections."""

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> Server:
        """Listen on ``port`` (0: any free one) and return the running server.

        Raises:
            ArgumentError: ``host`` is not a loopback address, or the port cannot be opened.
        """
        if not is_loopback(host):
            raise ArgumentError(
                f"the server listens only on this machine: use host 127.0.0.1, ::1 or localhost, not {host!r}"
            )
        self.idle_since = asyncio.get_running_loop().time()
        try:
            return await listen(
                self._accept,
                host,
                port,
                process_request=self._answer,
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

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain HTTP request, or refuse it; return None to accept a WebSocket."""
        refused = refused_over_http(
            request.path, request.headers.get("Host"), request.headers.get_all("Origin")
        )
        if refused is not None:
            return _response(*refused)
        if urlsplit(request.path).path == HEALTH:
            if not self.sessions:  # the client is probably about to connect
                self.idle_since = asyncio.get_running_loop().time()
            return _response(200, json.dumps(self.health()) + "\n", "application/json")
        return None

    def health(self) -> dict[str, Any]:
        """Return the status at ``/health``: no settings, no secrets."""
        return {
            "name": "rtnb",
            "version": __version__,
            "engine": self._engine.name,
            "sessions": self.sessions,
            "pid": os.getpid(),
        }

    async def _accept(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None  # the handshake is done
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        offered = _offered(request.headers)
        dialect = dialect_of(headers, offered)
        try:
            model = model_of(request.path, headers, offered, self._key)
        except Refusal as refusal:
            await _refuse(connection, refusal, dialect)
            return
        self.sessions += 1
        self.idle_since = None
        limits = self._limits.setdefault(model, TokenWindow(tokens_per_minute(model)))
        try:
            await serve(_Socket(connection), self._engine, model=model, limits=limits, dialect=dialect)
        finally:
            self.sessions -= 1
            if not self.sessions:
                self.idle_since = asyncio.get_running_loop().time()


def warm(engine: Engine) -> None:
    """Call each part of an engine once, so that the first turn is not slower than others.

    Raises:
        EngineError: A part failed.
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
        raise EngineError(f"the engine {engine.name!r} failed: {error}") from error


async def _refuse(connection: ServerConnection, refusal: Refusal, dialect: Dialect) -> None:
    try:
        for frame in frames(dialect, Failed(refusal.error.data())):
            await connection.send(frame, text=True)
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
