"""The browser tests' fixtures; how to use them is told in ``lab.py`` beside this file."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from . import lab as harness

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all browser tests in one loop, Playwright's, and skip them where something is missing."""
    missing = _missing()
    for item in items:
        if _HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)
        # A page or a kernel hangs once in hundreds of runs on a busy machine; what fails thrice is broken.
        item.add_marker(pytest.mark.flaky(reruns=2))
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        if missing:
            item.add_marker(pytest.mark.skip(reason=missing))


def _missing() -> str | None:
    for module in ("playwright", "jupyterlab", "notebook", "anywidget"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed: pip install 'rtnb[dev]'"
    if harness.chromium() is None:
        return "no Chromium was found: install chromium, or name one in RTNB_CHROMIUM"
    return None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromiums(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[harness.Chromiums]:
    """The browsers of this run."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        running = harness.Chromiums(playwright, tmp_path_factory.mktemp("sounds"))
        yield running
        await running.close()


@pytest.fixture(scope="session")
def servers(
    tmp_path_factory: pytest.TempPathFactory, chromiums: harness.Chromiums
) -> Iterator[Callable[[str], harness.Jupyter]]:
    """Return the server of a kind, started when it is first asked for."""
    running: dict[str, harness.Jupyter] = {}

    def get(kind: str) -> harness.Jupyter:
        if kind not in running:
            jupyter = harness.Jupyter(kind, tmp_path_factory.mktemp(kind), chromiums)
            jupyter.start()
            running[kind] = jupyter
        return running[kind]

    yield get
    for jupyter in running.values():
        jupyter.stop()


async def _settled(jupyter: harness.Jupyter) -> None:
    errors = await jupyter.close_pages()
    assert not errors, "the page's console had errors:\n" + "\n".join(errors)


@pytest_asyncio.fixture(loop_scope="session")
async def lab(servers: Any) -> AsyncIterator[harness.Jupyter]:
    """JupyterLab 4."""
    yield servers("lab")
    await _settled(servers("lab"))


@pytest_asyncio.fixture(loop_scope="session")
async def notebook7(servers: Any) -> AsyncIterator[harness.Jupyter]:
    """Notebook 7."""
    yield servers("notebook")
    await _settled(servers("notebook"))


@pytest_asyncio.fixture(loop_scope="session", params=["lab", "notebook"])
async def jupyter(servers: Any, request: pytest.FixtureRequest) -> AsyncIterator[harness.Jupyter]:
    """Both, one after the other."""
    yield servers(request.param)
    await _settled(servers(request.param))
