"""``rtnb serve``: the embedded engine behind the Realtime protocol, on a port of this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from ..errors import ArgumentError

if TYPE_CHECKING:
    from ..engines.base import Engine
    from ..server.app import App

__all__ = ["add_parser", "run"]

_LOOK_SECONDS = 1.0
_JOIN_SECONDS = 5.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "serve",
        help="serve an engine over the Realtime protocol",
        description="Serve an engine over the OpenAI Realtime protocol (GA dialect), to this machine only."
        " When it is ready, one line with its address goes to stdout. Without a key it is open to every"
        " program on this machine.",
    )
    parser.add_argument("--port", type=int, default=8765, help="0: any free port (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--engine", metavar="SPEC", help="such as local or fake (default: RTNB_ENGINE)")
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="ask clients for this key; other programs can read it from the command line, so set the"
        " environment variable RTNB_SERVE_KEY instead",
    )
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="end after so long without a client")
    parser.add_argument("--compression", action="store_true", help="allow permessage-deflate")
    return parser


def run(args: argparse.Namespace) -> int:
    """Serve until a signal or the idle time ends it."""
    import logging

    if not 0 <= args.port <= 65_535:
        raise ArgumentError(f"a port is a number from 0 to 65535, not {args.port}")
    if args.idle is not None and not args.idle > 0:
        raise ArgumentError(f"--idle is a number of seconds above 0, not {args.idle:g}")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    # A line per refused handshake or dropped socket tells nothing that the client was not told.
    logging.getLogger("rtnb.server.websockets").setLevel(logging.WARNING)
    key = args.api_key or os.environ.pop("RTNB_SERVE_KEY", "").strip() or None
    return asyncio.run(_serve(args, key))


async def _serve(args: argparse.Namespace, key: str | None) -> int:
    from ..server.app import App
    from ..server.workers import lease

    ended = _ended_by_signal()
    engine = await asyncio.to_thread(_load, args.engine)
    try:
        with lease(engine) as workers:
            await _listen(App(engine, key=key, compression=args.compression), args, ended)
        await asyncio.to_thread(workers.join, _JOIN_SECONDS)
    finally:
        engine.close()
    return 0


async def _listen(app: App, args: argparse.Namespace, ended: asyncio.Event) -> None:
    async with await app.listen(args.host, args.port) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        host = f"[{args.host}]" if ":" in args.host else args.host
        print(f"ws://{host}:{port}/v1/realtime", flush=True)
        await _until_idle(app, args.idle, ended)


def _load(spec: str | None) -> Engine:
    from ..engines.registry import engine
    from ..server.app import warm

    loaded = engine(spec)
    warm(loaded)
    return loaded


def _ended_by_signal() -> asyncio.Event:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, ended.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ended.set))
    return ended


async def _until_idle(app: App, idle: float | None, ended: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), min(_LOOK_SECONDS, idle or _LOOK_SECONDS))
        if idle is not None and app.idle_since is not None and loop.time() - app.idle_since >= idle:
            return
