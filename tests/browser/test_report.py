"""A report in a real browser with the network off: whole, silent towards the world, playing, and readable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from frames import full

import rtnb
from rtnb.recordings import save
from rtnb.recordings.manifest import manifest
from rtnb.recordings.writer import pieces

from . import lab as harness

pytestmark = pytest.mark.browser

EVIL = "<img src=http://rtnb.invalid/x onerror=\"document.title='bad'\"><script>document.title='bad'</script>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a bit of everything, with text that would be HTML."""
    folder = tmp_path_factory.mktemp("report")
    wire = full()
    wire.session()
    wire.text("item_evil", EVIL, "item_a3")
    wire.ask()
    wire.begin("resp_9", "item_a9", "item_evil")
    wire.delta("output_text", EVIL, "resp_9", "item_a9")
    wire.end("resp_9")
    save(pieces(wire.state.log), manifest(wire.state, endpoint="a test", engine="fake"), folder / "x.rtnb")
    return rtnb.open(folder / "x.rtnb").report(folder / "x.html", title=f"A report {EVIL}")


class Opened:
    """A report in a page, and all that it asked and said."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    async def until(self, condition: str) -> None:
        """Wait for a condition, asked from outside: the page's policy forbids Playwright's own way."""
        async with asyncio.timeout(20):
            while not await self.page.evaluate(condition):
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(loop_scope="session")
async def opened(chromiums: harness.Chromiums, report: Path) -> AsyncIterator[Opened]:
    """The report, opened from its file in a browser without a network."""
    context = await (await chromiums.get()).new_context(offline=True, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    opened = Opened(await context.new_page())
    await opened.page.goto(report.as_uri())
    yield opened
    await context.close()


async def test_it_asks_nothing_and_complains_of_nothing(opened: Opened) -> None:
    page = opened.page
    await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    for at in range(6):
        await page.evaluate(f"scrollTo(0, document.body.scrollHeight * {at} / 5)")
    outside = [url for url in opened.requests if not url.startswith(("file:", "data:"))]
    assert outside == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1
    assert opened.said == []
    refused = await page.evaluate(
        "fetch('https://rtnb.invalid/').then(() => 'sent', error => error.name + ': ' + error.message)"
    )
    assert refused.startswith("TypeError")
    assert any("Content Security Policy" in said for said in opened.said)


async def test_what_looks_like_html_is_text(opened: Opened) -> None:
    page = opened.page
    assert (await page.title()).startswith("A report <img")
    assert await page.locator("h1").inner_text() == f"A report {EVIL}"
    assert EVIL in await page.locator("#turn-4").inner_text()
    assert await page.evaluate("document.scripts.length") == 1
    assert await page.locator("img:not([src^='data:'])").count() == 0


async def test_sound_plays_one_at_a_time_and_seeks(opened: Opened) -> None:
    page = opened.page
    sounds = page.locator("audio")
    assert await sounds.count() == 3
    lengths = await page.evaluate(
        """() => Promise.all([...document.querySelectorAll('audio')].map((sound) => new Promise((done) => {
            if (sound.readyState >= 1) done(sound.duration);
            else sound.addEventListener('loadedmetadata', () => done(sound.duration));
        })))"""
    )
    assert lengths == [
        pytest.approx(0.2, abs=0.08),
        pytest.approx(0.5, abs=0.08),
        pytest.approx(0.25, abs=0.08),
    ]
    await page.evaluate("document.querySelectorAll('audio').forEach(one => { one.loop = true; })")
    await sounds.nth(0).evaluate("one => one.play()")
    await opened.until("document.querySelectorAll('audio')[0].currentTime > 0")
    await page.locator("article#turn-2 .rtnb-seek").nth(1).click()
    await opened.until("!document.querySelectorAll('audio')[1].paused")
    assert await sounds.nth(0).evaluate("one => one.paused")
    await page.wait_for_selector("article#turn-2.playing .rtnb-seek i:not([hidden])", state="attached")


async def test_a_link_leads_to_its_turn(opened: Opened) -> None:
    page = opened.page
    await page.locator("nav.toc a[href='#turn-3']").click()
    await opened.until(
        "Math.abs(document.querySelector('#turn-3').getBoundingClientRect().top) < innerHeight"
    )
    await page.locator("#timeline svg a[href='#turn-2']").first.click()
    await opened.until("location.hash === '#turn-2'")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_and_follows_the_scheme(opened: Opened, width: int, scheme: str) -> None:
    page = opened.page
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(color_scheme=scheme)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shades = await page.evaluate(
        """() => { const style = getComputedStyle(document.body);
            return [style.backgroundColor, style.color].map((one) =>
                one.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765); }"""
    )
    assert (shades[0] > 0.9) == (scheme == "light")
    assert abs(shades[0] - shades[1]) > 0.6


async def test_it_is_whole_without_scripts(chromiums: harness.Chromiums, report: Path) -> None:
    context = await (await chromiums.get()).new_context(offline=True, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(report.as_uri())
    for part in ("Timeline", "Turns", "Transcript", "Tokens and money", "Session", "Provenance", "Event log"):
        assert await page.get_by_role("heading", name=part, exact=True).is_visible()
    assert await page.get_by_role("navigation", name="Contents").is_visible()
    await context.close()
