"""``rtnb engine``: the weights and packages of the local engine."""

from __future__ import annotations

import argparse
import json
from importlib.metadata import PackageNotFoundError, version

__all__ = ["add_parser", "run"]

_PACKAGES = ("hibari-tts", "onnxruntime", "xllamacpp")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command and return its parser."""
    parser = subparsers.add_parser(
        "engine",
        help="install the local engine's weights, or tell what is there",
        description=_description(),
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")
    install = actions.add_parser("install", help="fetch and verify what is absent or damaged")
    install.add_argument("--quiet", action="store_true", help="draw no progress bars")
    status = actions.add_parser("status", help="tell what is there; the exit status is 1 if anything lacks")
    status.add_argument("--json", action="store_true", help="print JSON")
    status.add_argument("--verify", action="store_true", help="read every file and check its hash")
    return parser


def _description() -> str:
    from ..engines.weights import CARRIERS

    fetched = sum(carrier.bytes for carrier in CARRIERS) / 1e6
    return (
        f"The local engine's weights, {fetched:.0f} MB to fetch, kept in the user's cache or in RTNB_CACHE;"
        " and the processes that notebooks share."
    )


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        WeightsError: The weights cannot be fetched or kept.
    """
    if args.action == "install":
        return _install(progress=not args.quiet)
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


def _status(as_json: bool, verify: bool) -> int:
    from ..engines import weights

    rows, packages = weights.status(verify), _packages()
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
