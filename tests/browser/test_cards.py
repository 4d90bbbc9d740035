"""Cards, tables and players in a real browser: nothing overlaps or is cut, and keys reach everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from frames import full, tone, usage

from rtnb import Clip
from rtnb.analysis.comparison import Comparison, Side
from rtnb.analysis.turn import TurnView
from rtnb.analysis.turn_table import TurnTable
from rtnb.render.turn_card import turn_html

from . import lab as harness

pytestmark = pytest.mark.browser

LONG = "Donaudampfschifffahrtsgesellschaft" * 4 + " and then some more words. " * 6


def shown() -> str:
    wire = full()
    wire.text("item_long", LONG, "item_a3")
    wire.ask()
    wire.begin("resp_9", "item_a9", "item_long")
    wire.speak(tone(3000, level=300), LONG, "resp_9", "item_a9")
    wire.end("resp_9", usage=usage(123_456, 78_901))
    turns = [TurnView(wire.state, fold, engine="local", billed=False) for fold in wire.state.turns.all]
    parts = [turn_html(turn) for turn in turns]
    parts += [Clip.tone(300, 2.0, peak=0.01)._repr_html_()]
    parts += [TurnTable(("", turn) for turn in turns)._repr_html_()]
    parts += [Comparison(Side("a", turns[1:2]), Side("b", turns[-1:]))._repr_html_()]
    return "<!doctype html><meta charset=utf-8><style>:root{color-scheme:light dark}</style>" + "".join(parts)


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("cards") / "x.html"
    file.write_text(shown(), "utf-8")
    return file.as_uri()


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromiums: harness.Chromiums, cards: str) -> AsyncIterator[Any]:
    context = await (await chromiums.get()).new_context(offline=True)
    context.set_default_timeout(20_000)
    made = await context.new_page()
    problems: list[str] = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    await made.goto(cards)
    yield made
    await context.close()
    assert problems == []


# What is wrong with the page as it is laid out: text outside of its card, and things on top of each other.
PROBLEMS = """() => {
  const problems = [];
  const hidden = (node) => node.closest("caption, .rtnb-sr, style, script") || !node.checkVisibility();
  const say = (node) => (node.textContent || node.className).trim().slice(0, 40);
  for (const card of document.querySelectorAll(".rtnb-tokens")) {
    const frame = card.getBoundingClientRect();
    if (frame.right > innerWidth) problems.push(`${say(card)}: wider than the page`);
    const found = [];
    for (const node of card.querySelectorAll("*")) {
      if (hidden(node)) continue;
      if (node.matches(".rtnb-play, .rtnb-seek")) found.push([node, node.getBoundingClientRect()]);
      for (const text of node.childNodes) {
        if (text.nodeType !== Node.TEXT_NODE || !text.data.trim()) continue;
        const range = document.createRange();
        range.selectNodeContents(text);
        for (const rect of range.getClientRects()) if (rect.width > 0) found.push([node, rect]);
      }
    }
    const scrolled = card.querySelector(".rtnb-scroller")?.scrollWidth > card.clientWidth;
    for (const [node, rect] of found) {
      const beside = rect.left < frame.left || (rect.right > frame.right && !scrolled);
      if (beside || rect.top < frame.top - 1 || rect.bottom > frame.bottom + 1)
        problems.push(`${say(node)}: outside of its card`);
      for (const [other, its] of found) {
        if (other === node || other.contains(node) || node.contains(other)) continue;
        const wide = Math.min(rect.right, its.right) - Math.max(rect.left, its.left);
        const tall = Math.min(rect.bottom, its.bottom) - Math.max(rect.top, its.top);
        if (wide > 1 && tall > 4) problems.push(`${say(node)}: over ${say(other)}`);
      }
    }
  }
  return problems;
}"""
LOOK = """() => [...document.querySelectorAll(".rtnb-tokens")].map((card) => {
  const { left, width } = card.getBoundingClientRect();
  const style = getComputedStyle(card);
  return [left, width, style.borderRadius, style.backgroundColor];
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 700, 1100])
async def test_nothing_overlaps_or_is_cut(page: Any, width: int, scheme: str) -> None:
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(color_scheme=scheme)
    assert await page.evaluate(PROBLEMS) == []
    await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert await page.evaluate(PROBLEMS) == []
    assert len({tuple(look) for look in await page.evaluate(LOOK)}) == 1  # one frame for all
    ink = """(who) => getComputedStyle(document.querySelector(who)).color.match(/[\\d.]+/g).slice(0, 3)
        .reduce((sum, each) => sum + Number(each), 0)"""
    user, assistant = [await page.evaluate(ink, f".rtnb-{who} .rtnb-who") for who in ("user", "assistant")]
    assert user != assistant


async def test_a_player_is_worked_by_keys(page: Any) -> None:
    seek = page.get_by_role("slider", name="Position in the answer", exact=True).last
    assert await seek.get_attribute("aria-valuemax") == "3.0"
    await seek.press("ArrowRight")
    await seek.press("ArrowRight")
    await seek.press("ArrowLeft")
    assert await seek.get_attribute("aria-valuetext") == "0:01.0 of 0:03.0"
    await seek.press("Space")
    await page.get_by_role("button", name="Pause the answer, 3.00 s", exact=True).press("Enter")
    await page.get_by_role("button", name="Play the answer, 3.00 s", exact=True).wait_for()
    assert 1 <= float(await seek.get_attribute("aria-valuenow") or 0) < 3
    speed = page.get_by_role("button", name="Speed of the answer", exact=True).last
    await speed.press("Enter")
    assert await speed.inner_text() == "1.5×"
    assert (
        await seek.evaluate("one => one.closest('.rtnb-player').querySelector('audio').playbackRate") == 1.5
    )
    box = await seek.bounding_box()
    await seek.click(position={"x": box["width"] * 0.5, "y": 10})
    await page.wait_for_function(
        "[...document.querySelectorAll('audio')].some((one) => one.currentTime > 1.5)"
    )


async def test_the_foot_opens_by_keys(page: Any) -> None:
    foot = page.locator(".rtnb-turn .rtnb-foot").first
    await foot.locator("summary").press("Enter")
    await foot.get_by_text("fluent but unreliable").wait_for()


async def test_without_a_script_there_are_the_browsers_controls(
    chromiums: harness.Chromiums, cards: str
) -> None:
    context = await (await chromiums.get()).new_context(offline=True, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(cards)
    player = page.locator(".rtnb-turn .rtnb-player").first
    assert await player.locator("audio[controls]").is_visible()
    assert await player.locator("img").is_visible()
    await context.close()
