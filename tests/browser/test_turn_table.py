"""The table of turns in a real browser: it sorts, filters and plays, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import pytest_asyncio
from frames import Wire

from rtnb import Clip
from rtnb.analysis.turn import TurnView
from rtnb.analysis.turn_table import TurnTable

from . import lab as harness

pytestmark = pytest.mark.browser

ANSWERS = ("Banana", "apple", "Cherry", "date", "Elderberry <b>x</b>", "fig")


class Spoken(TurnView):
    @property
    def audio_so_far(self) -> Clip:
        return Clip.tone(300 + 50 * self.number, 1.0 + self.number, peak=0.01)


def spoken_turns() -> list[TurnView]:
    wire = Wire()
    wire.session()
    for number, answer in enumerate(ANSWERS):
        wire.text(f"item_{number}", f"Question {number}?")
        wire.ask()
        wire.begin(f"resp_{number}", f"answer_{number}")
        wire.delta("output_text", answer, f"resp_{number}", f"answer_{number}")
        wire.end(f"resp_{number}")
    return [Spoken(wire.state, fold) for fold in wire.state.turns.all]


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromiums: harness.Chromiums, tmp_path: Path) -> AsyncIterator[Any]:
    html = TurnTable(("", turn) for turn in spoken_turns())._repr_html_()
    (tmp_path / "x.html").write_text(f"<!doctype html><meta charset=utf-8>{html}", "utf-8")
    context = await (await chromiums.get()).new_context(offline=True)
    context.set_default_timeout(20_000)
    made = await context.new_page()
    problems: list[str] = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    await made.goto((tmp_path / "x.html").as_uri())
    yield made
    await context.close()
    assert problems == []


async def order(page: Any) -> list[str]:
    return await page.locator("tbody tr:not([hidden]) th").all_inner_texts()


async def test_a_head_sorts(page: Any) -> None:
    assert await order(page) == ["1", "2", "3", "4", "5", "6"]
    answer = page.get_by_role("button", name="Answer", exact=True)
    await answer.click()
    assert await order(page) == ["2", "1", "3", "4", "5", "6"]
    assert await page.locator("th[aria-sort=ascending]").inner_text() == "Answer"
    await answer.press("Enter")
    assert await order(page) == ["6", "5", "4", "3", "1", "2"]
    await answer.press("Enter")
    assert await order(page) == ["1", "2", "3", "4", "5", "6"]
    assert await page.locator("th[aria-sort]").count() == 0


async def test_a_filter_keeps_rows_with_all_words(page: Any) -> None:
    await page.get_by_role("searchbox", name="Filter turns").fill("question berry <b>")
    assert await order(page) == ["5"]
    assert await page.get_by_role("status").inner_text() == "1 of 6 turns"
    await page.get_by_role("searchbox").fill("")
    assert len(await order(page)) == 6


async def test_one_player_plays_at_a_time(page: Any) -> None:
    first = page.get_by_role("button", name="Play the answer of turn 1")
    await first.click()
    await page.wait_for_function("!document.querySelectorAll('audio')[0].paused")
    await page.get_by_role("button", name="Pause the answer of turn 1").wait_for()
    await page.get_by_role("button", name="Play the answer of turn 2").click()
    await page.wait_for_function("!document.querySelectorAll('audio')[1].paused")
    assert await page.evaluate("document.querySelectorAll('audio')[0].paused")
    await page.locator(".rtnb-seek").nth(2).click()
    await page.wait_for_function("document.querySelectorAll('audio')[2].currentTime > 1")


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
async def test_in_a_saved_notebook(lab: Any, trusted: bool) -> None:
    data = TurnTable(("", turn) for turn in spoken_turns())._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data=data, execution_count=1)
    name = f"turns-{trusted}.ipynb"
    lab.write(name, [nbformat.v4.new_code_cell("s.turns", outputs=[output], execution_count=1)])
    (lab.trust if trusted else lab.distrust)(name)
    page = await lab.open(path=name, kernel=False)
    shown = page.cell(0)
    await shown.get_by_text("Question 5?").wait_for()
    if trusted:
        await shown.get_by_role("button", name="Play the answer of turn 1").wait_for()
        await shown.get_by_role("button", name="Answer", exact=True).click()
        assert await order(shown) == ["2", "1", "3", "4", "5", "6"]
    else:
        assert await shown.locator("audio[controls]").count() == len(ANSWERS)
    await page.portraits(f"turns-{'trusted' if trusted else 'untrusted'}", shown)
