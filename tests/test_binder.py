"""Binder: the image's very build steps in a fresh environment, and every notebook run from it on one core.

What repo2docker makes of ``binder/`` is done here in its order: the requirements, ``postBuild``, and
``start`` around whatever is launched. It takes a minute or two, most of it pip's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import pytest

pytestmark = [pytest.mark.slow]

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
START = ROOT / "notebooks" / "00-start.ipynb"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MEMORY = 2_000_000_000  # bytes: what Binder gives
PAGE = "/lab/tree/notebooks/00-start.ipynb"
DONE = {"README.md", "apt.txt", "environment.yml", "postBuild", "requirements.txt", "runtime.txt", "start"}
_SECRET = re.compile(r"API_KEY|TOKEN|PASSWORD|SECRET")

posix = pytest.mark.skipif(sys.platform != "linux", reason="Binder's images are Linux")


class Image:
    """What stands for the image: a copy of the repository, a fresh environment, and a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.repo = self.home / "repo"
        self.home.mkdir()
        private = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
        shutil.copytree(ROOT, self.repo, ignore=private)
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RTNB_", "XDG_", "PYTHON", "JUPYTER", "IPYTHON"))
            and not _SECRET.search(name)
        }
        path = f"{folder / 'env' / 'bin'}{os.pathsep}{outside['PATH']}"
        self.environment = {**outside, "HOME": str(self.home), "PATH": path}
        subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)

    def run(self, *command: str) -> str:
        """Run a command to its end in the repository, as the image's user does, and return its output."""
        done = subprocess.run(
            command,
            cwd=self.repo,
            env=self.environment,
            capture_output=True,
            text=True,
            preexec_fn=_one_core,
            timeout=500,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout + done.stderr

    @contextmanager
    def launched(self, *command: str) -> Iterator[int]:
        """Launch a program by ``start`` and yield the port that it listens on."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [str(self.repo / "binder" / "start"), *command, f"--port={port}", "--no-browser"]
        words += ["--allow-root", "--IdentityProvider.token=t"]
        log = self.home / "launched.log"
        with (
            log.open("wb") as said,
            subprocess.Popen(
                words,
                cwd=self.repo,
                env=self.environment,
                stdout=said,
                stderr=said,
                preexec_fn=_one_core,
            ) as child,
        ):
            try:
                deadline = time.monotonic() + 60
                while not _answers(port):
                    assert child.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.1)
                yield port
            finally:
                child.terminate()

    def resident(self) -> int:
        """Return the memory of all processes of this image, shared pages counted for each, in bytes."""
        mark, total = f"HOME={self.home}\0".encode(), 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ends just now, or is another user's
                if mark in (process / "environ").read_bytes():
                    total += int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return total


def _one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=t", timeout=5):
            return True
    except OSError:
        return False


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


def _first_page(port: int) -> str:
    """Return where a visitor of ``/`` is sent."""
    try:
        opener = urllib.request.build_opener(_Stays())
        with opener.open(f"http://127.0.0.1:{port}/?token=t", timeout=10) as answer:
            return str(answer.geturl())
    except urllib.error.HTTPError as redirect:
        with redirect:
            return str(redirect.headers["Location"]).partition("?")[0]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    image = Image(tmp_path_factory.mktemp("binder"))
    image.run("pip", "install", "-q", "--no-cache-dir", "-r", "binder/requirements.txt")
    image.run("binder/postBuild")
    yield image
    image.run("rtnb", "engine", "stop")


def test_every_file_of_the_folder_is_followed_here():
    assert {path.name for path in BINDER.iterdir()} <= DONE
    assert not (BINDER / "apt.txt").exists(), "these tests install no system packages"
    assert not (BINDER / "environment.yml").exists(), "these tests know no conda"
    for name in ("postBuild", "start"):
        assert os.access(BINDER / name, os.X_OK), f"{name} must be executable"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    runtime = re.fullmatch(r"python-(\d+)\.(\d+)\n", (BINDER / "runtime.txt").read_text())
    least = re.fullmatch(r">=(\d+)\.(\d+)", project["requires-python"])
    assert runtime
    assert least
    assert tuple(map(int, runtime.groups())) >= tuple(map(int, least.groups()))
    named = re.search(r"^-e \.\[([\w,]+)\]$", (BINDER / "requirements.txt").read_text(), re.M)
    assert named
    assert set(named[1].split(",")) <= set(project["optional-dependencies"])


def test_only_package_registries_are_used():
    for name in ("requirements.txt", "postBuild", "start"):
        text = (BINDER / name).read_text("utf-8")
        assert "://" not in text
        assert not re.search(r"\b(curl|wget|git)\b", text)


def test_the_start_page_leads_to_every_notebook_in_order():
    text = "".join(cell.source for cell in nbformat.read(START, as_version=4).cells)
    links = re.findall(r"\]\(([\w-]+\.ipynb)\)", text)
    assert links == [path.name for path in NOTEBOOKS if path != START]
    assert "Nobody asks you for a key" in text
    assert "microphone" in text
    assert len(text) < 3000


def test_no_notebook_asks_for_a_key():
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                assert not re.search(r"API_KEY|getpass|\binput\(|gpt-realtime", cell.source), path.name


@posix
@pytest.mark.parametrize("word", ["--ServerApp.default_url=/lab", "--ServerApp.default_url=/tree", "a b"])
def test_start_runs_what_it_is_given(word):
    said = subprocess.run(
        [BINDER / "start", "printf", "%s|", word, "x  y", ""], capture_output=True, text=True, check=True
    ).stdout
    first = f"--ServerApp.default_url={PAGE}" if word.endswith("=/lab") else word
    assert said == f"{first}|x  y||"


@posix
@pytest.mark.engine
@pytest.mark.timeout(900)
class TestImage:
    def test_the_engine_is_in_the_image(self, image):
        image.run("rtnb", "engine", "status", "--verify")  # its exit status tells
        overrides = json.loads(
            (image.home.parent / "env/share/jupyter/lab/settings/overrides.json").read_text("utf-8")
        )
        assert overrides["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"

    @pytest.mark.parametrize(
        "command",
        [
            ("jupyter", "lab"),
            ("jupyter", "lab", "--ServerApp.default_url=/lab"),
            ("jupyter", "notebook", "--ServerApp.default_url=/lab"),
            ("jupyter", "server", "--ServerApp.default_url=/lab"),
        ],
        ids=" ".join,
    )
    def test_it_opens_on_the_start_page(self, image, command):
        with image.launched(*command) as port:
            assert _first_page(port) == PAGE
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{PAGE}?token=t", timeout=30) as answer:
                assert answer.status == 200

    def test_every_notebook_runs_on_one_core_and_little_memory(self, image):
        """Beside JupyterLab, as on Binder; the kernels and the engine's process are counted in."""
        peak, over = 0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not over.wait(0.05):
                peak = max(peak, image.resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with image.launched("jupyter", "lab"):
                for path in NOTEBOOKS:
                    image.run(
                        *(str(image.repo / "binder" / "start"), "jupyter", "nbconvert", "--to", "notebook"),
                        *("--execute", "--output-dir", str(image.home / "run"), f"notebooks/{path.name}"),
                    )
        finally:
            over.set()
            watcher.join()
        assert 300_000_000 < peak < MEMORY
        for path in NOTEBOOKS:
            cells = nbformat.read(image.home / "run" / path.name, as_version=4).cells
            code = [cell for cell in cells if cell.cell_type == "code"]
            assert code
            assert all(cell.execution_count for cell in code)
            assert not [o for cell in code for o in cell.outputs if o.output_type == "error"], path.name
        assert "embedded engine" in json.dumps(nbformat.read(image.home / "run" / START.name, as_version=4))
