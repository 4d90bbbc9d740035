"""A live turn in a real page: it plays at once, is interrupted exactly, and leaves its card behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from .lab import busy_until

pytestmark = pytest.mark.browser

LONG = "'Please count. ' + ' '.join(f'word{i}' for i in range(80))"
SHORTER = "'Please count. ' + ' '.join(f'word{i}' for i in range(15))"
NASTY = "<script>window.bad = 1</script><img src=x onerror='window.bad = 2'>"
CONNECT = "import rtnb\ns = rtnb.connect(engine='fake')"
PAY = """paid = []
@rtnb.tool(approve=True)
def pay(sum: str = "5") -> str:
    \"\"\"Pay a sum.\"\"\"
    paid.append(sum)
    return "paid"
"""
AGAIN = "t = s.send('please pay again', tools=[pay])\nt"
WIDGET = "widget = rtnb.widgets.live_turn._shown[t].widget"
PLAYING = """() => { const page = globalThis[Symbol.for("rtnb.page.1")];
    return [...(page?.players ?? [])].some((player) => player.playing && player.items
        && Object.values(player.items).some((item) => item.rendered_ms > 300)); }"""


CARD = "() => !document.querySelector('.rtnb-live') && Boolean(document.querySelector('.rtnb-turn'))"


def live(page: Any) -> Any:
    return page.page.locator(".rtnb-live")


async def replaced(page: Any, k: int, *, seconds: float = 30) -> str:
    """Wait for a cell's static card and return its HTML."""
    await page.wait(CARD, seconds=seconds)
    (output,) = await page.outputs(k)
    assert "application/vnd.jupyter.widget-view+json" not in output["data"]
    html = output["data"]["text/html"]
    return "".join(html) if isinstance(html, list) else html


async def test_a_turn_streams_and_becomes_a_card_that_is_saved(lab: Any) -> None:
    page = await lab.open([CONNECT, f"t = s.send({SHORTER})\nt", "1 + 1"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    await page.execute(WIDGET)
    await page.run(2)  # the cell did not block
    assert "Playing the rest" in await page.text(1)
    assert "You said: Please count." in await page.text(1)
    html = await replaced(page, 1)
    assert "data:audio/ogg;base64," in html
    assert "data:image/svg+xml;base64," in html
    saved = await page.save()
    assert "You said: Please count." in str(saved.cells[1].outputs[0].data["text/html"])
    assert await page.value("[t.status, t.played]") == ["completed", None]
    assert await page.value("widget.underruns") == 0


# Follows, from frame to frame, how far the next cell is below a live turn, and where its waveform is.
FOLLOW = """(k) => {
  const cells = document.querySelectorAll(".jp-Notebook .jp-Cell");
  window.places = [];
  const look = () => {
    const seek = cells[k].querySelector(".rtnb-assistant .rtnb-seek")?.getBoundingClientRect();
    const [above, top] = [cells[k], cells[k + 1]].map((cell) => cell.getBoundingClientRect().top);
    const kind = document.querySelector(".rtnb-live") ? "live" : seek ? "card" : "neither";
    window.places.push({ kind, place: [top - above, seek?.left, seek?.right, seek && seek.top - above] });
    requestAnimationFrame(look);
  };
  look();
}"""
LOOKUP = """
@rtnb.tool
def look_up(number: str = "4711") -> str:
    \"\"\"Look up an order.\"\"\"
    return "shipped"
"""
SPOKEN = "rtnb.Clip.tone(300, 1.0)"


@pytest.mark.parametrize("width", [700, 1100])
@pytest.mark.parametrize(
    "given", [SHORTER, "'please look up 4711', tools=[look_up]", SPOKEN], ids=["typed", "tool", "spoken"]
)
async def test_nothing_moves_when_it_ends(lab: Any, given: str, width: int) -> None:
    page = await lab.open(
        [CONNECT + LOOKUP, f"t = s.send({given})\nt", "1 + 1"], viewport={"width": width, "height": 900}
    )
    await page.run(0)
    await page.js(FOLLOW, 1)
    await page.start(1)
    await page.wait("() => document.querySelector('.rtnb-live .rtnb-live-stop')?.checkVisibility()")
    await replaced(page, 1)
    await asyncio.sleep(0.5)
    places = await page.js("() => window.places")
    first = next(k for k, one in enumerate(places) if one["kind"] == "card")
    last = max(k for k, one in enumerate(places) if one["kind"] == "live")
    assert first - last <= 2  # frames without either
    for one in places[first:]:
        assert one["place"] == pytest.approx(places[last]["place"], abs=1)


async def test_stop_truncates_to_what_was_played(notebook7: Any) -> None:
    page = await notebook7.open([CONNECT, f"t = s.send({LONG})\nt"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    await live(page).get_by_role("button", name="Mute").focus()
    await page.page.keyboard.press("Space")
    await live(page).get_by_role("button", name="Unmute").wait_for()
    await page.page.keyboard.press("Escape")
    html = await replaced(page, 1)
    status, heard, whole = await page.value("[t.status, t.played, t.audio.seconds]")
    assert status == "interrupted"
    assert 0.2 < heard < whole - 1
    assert " s played" in html
    assert await page.js("() => [...globalThis[Symbol.for('rtnb.page.1')].players].length") == 0


async def test_python_interrupts_and_the_page_is_silent_at_once(lab: Any) -> None:
    page = await lab.open([CONNECT, f"t = s.send({LONG})\nt", "t.interrupt()"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    await page.run(2)
    await replaced(page, 1)
    status, heard = await page.value("[t.status, t.played]")
    assert status == "interrupted"
    assert 0.2 < heard < 5
    assert await page.value("len(t.events.filter('conversation.item.truncate'))") == 1


async def test_playback_continues_while_the_kernel_is_busy(lab: Any, tmp_path: Path) -> None:
    released = tmp_path / "released"
    page = await lab.open([CONNECT, f"t = s.send({SHORTER})\ndisplay(t)\n{busy_until(released)}"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    await replaced(page, 1)
    assert await page.js("() => rtnbTest.runs[1].state") == "running"
    released.touch()
    await page.finished(1)
    assert await page.value("[t.status, t.played]") == ["completed", None]


async def test_playback_that_the_browser_blocks_waits_for_a_click(lab: Any) -> None:
    page = await lab.open([CONNECT, "t = s.send('hello there you')\nt"], autoplay=False)
    await page.run(0)
    await page.start(1)
    await page.wait("() => document.querySelector('.rtnb-live')?.innerText.includes('autoplay is blocked')")
    await asyncio.sleep(1)
    live_now = "() => [...globalThis[Symbol.for('rtnb.page.1')].players][0]"
    assert await page.js(f"() => Object.values(({live_now})().items).every((item) => item.rendered_ms === 0)")
    await page.screenshot("live-blocked", live(page))
    await live(page).get_by_role("button", name="Play", exact=True).focus()
    await page.page.keyboard.press("Enter")
    await page.wait("() => document.querySelector('.rtnb-live')?.innerText.includes('Playing the rest')")
    assert await page.js("() => document.activeElement.className") == "rtnb rtnb-turn rtnb-live"
    await replaced(page, 1)
    assert await page.value("[t.status, t.played]") == ["completed", None]


async def test_words_of_a_model_are_never_markup(lab: Any) -> None:
    """Neither live, nor in the card, nor in the card that the widget itself shows in a page loaded again."""
    text = f"{NASTY} {'word ' * 40}"
    page = await lab.open([CONNECT, f"t = s.send({text!r})\nt"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    assert f"You said: {NASTY}" in await page.text(1)
    await page.save()
    await page.execute("t.interrupt()")
    await replaced(page, 1)
    assert f"You said: {NASTY}" in await page.text(1)
    await page.js("() => { window.bad ??= null; }")
    assert await page.js("() => window.bad") is None
    await page.reload()
    await page.wait("() => Boolean(document.querySelector('.rtnb-turn .rtnb-foot'))")
    assert f"You said: {NASTY}" in await page.text(1)
    assert await page.js("() => window.bad ?? null") is None
    assert await page.js("() => document.querySelectorAll('.jp-OutputArea img[src=\"x\"]').length") == 0
    await page.wait("() => document.querySelector('.rtnb-turn audio')?.readyState > 0", seconds=10)


BAD_CARD = f"""<style></style><div onclick="window.bad = 1"><p>kept</p>{NASTY}<iframe src=x></iframe>
<svg onload="window.bad = 3"></svg><a href="javascript:window.bad = 4">gone</a></div>"""


async def test_html_that_is_not_a_card_does_nothing_in_the_page(lab: Any) -> None:
    """Should a card ever hold what it must not, the page leaves it out."""
    widget = (
        "from rtnb.widgets.base import BaseWidget\n"
        "w = BaseWidget('live_turn/live_turn', lambda message, buffers: None)"
    )
    page = await lab.open([f"{widget}\nw.finish({BAD_CARD!r})\nw"])
    await page.run(0)
    await page.wait("() => document.querySelector('.jp-OutputArea')?.innerText.includes('kept')")
    card = "() => [...document.querySelectorAll('.jp-OutputArea p')].at(-1).parentNode.outerHTML"
    assert (await page.js(card)).replace("\n", "") == "<div><p>kept</p><img></div>"
    assert await page.js("() => window.bad ?? null") is None


async def test_two_tabs_play_it_once(lab: Any) -> None:
    page = await lab.open([CONNECT, f"t = s.send({LONG} * 3)\nt"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    await page.save()
    second = await page.also()
    await second.wait("() => document.querySelector('.rtnb-live')?.innerText.includes('Live in another tab')")
    assert not await second.js(PLAYING)
    await live(second).get_by_role("button", name="Play here").focus()
    await second.page.keyboard.press("Enter")
    await second.wait(PLAYING)
    assert await second.js("() => document.activeElement.className") == "rtnb rtnb-turn rtnb-live"
    await page.wait("() => document.querySelector('.rtnb-live')?.innerText.includes('Live in another tab')")
    assert not await page.js(PLAYING)
    await live(second).get_by_role("button", name="Stop the answer").click()
    await replaced(page, 1)
    # The other tab never learnt where the output is: its widget shows the card.
    await second.wait(
        "() => !document.querySelector('.rtnb-live') && Boolean(document.querySelector('.rtnb-turn'))"
    )
    assert " s played" in await second.text(1)
    assert await second.js("() => [...globalThis[Symbol.for('rtnb.page.1')].players].length") == 0
    await second.portraits("live-turn-other-tab", second.output(1))
    assert await page.value("t.played > 0.5 and t.played < t.audio.seconds - 1")


async def test_a_reloaded_page_continues_where_it_was(lab: Any) -> None:
    page = await lab.open([CONNECT, f"t = s.send({LONG} * 3)\nt"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    await page.save()
    await asyncio.sleep(1.2)
    await page.reload()
    await page.wait(PLAYING)
    await live(page).get_by_role("button", name="Stop the answer").click()
    await page.until("t.played is not None")
    heard, whole = await page.value("[t.played, t.audio.seconds]")
    assert 1.2 < heard < whole - 1
    await page.wait(
        "() => !document.querySelector('.rtnb-live') && Boolean(document.querySelector('.rtnb-turn'))"
    )
    assert " s played" in await page.text(1)


VOICES = """() => [...(globalThis[Symbol.for("rtnb.page.1")]?.players ?? [])]
    .filter((player) => player.playing).length"""


async def test_a_cell_that_is_run_again_has_one_voice(lab: Any) -> None:
    page = await lab.open([CONNECT, f"t = s.send({LONG} * 3)\nt"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    await page.execute("before = t")
    await page.run(1)
    most = 0
    for _ in range(40):
        await asyncio.sleep(0.1)
        most = max(most, await page.js(VOICES))
    assert most == 1
    await page.until("before.played is not None and before.done")
    await page.wait(PLAYING)
    assert await page.value("t.done and t.played is None")


async def test_a_cleared_output_stops_playing(lab: Any) -> None:
    page = await lab.open([CONNECT, f"t = s.send({LONG} * 3)\nt"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    await page.js("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    await page.until("t.played is not None", seconds=10)
    assert await page.js(VOICES) == 0


async def test_a_kernel_that_is_gone_stops_playback_and_is_reported(lab: Any) -> None:
    page = await lab.open([CONNECT, f"t = s.send({LONG} * 3)\nt"])
    await page.run(0)
    await page.start(1)
    await page.wait(PLAYING)
    await page.portraits("live-turn", live(page))  # this answer is long enough to be still playing
    await page.restart()
    await page.wait("() => document.querySelector('.rtnb-live')?.innerText.includes('The kernel is gone')")
    assert await page.js("() => [...globalThis[Symbol.for('rtnb.page.1')].players].length") == 0


@pytest.mark.engine
async def test_a_spoken_answer_of_the_real_engine(lab: Any) -> None:
    page = await lab.open(
        [
            "import rtnb\ns = rtnb.connect(engine='local')",
            "t = s.send('Describe the sea in one sentence.')\nt",
        ]
    )
    await page.run(0, seconds=90)
    await page.start(1)
    await page.wait(PLAYING, seconds=60)
    await page.execute(WIDGET)
    html = await replaced(page, 1, seconds=60)
    assert await page.value("t.text.strip()") in html.replace("&#x27;", "'")
    assert await page.value("widget.underruns") == 0


async def test_a_call_is_approved_and_another_refused(lab: Any) -> None:
    page = await lab.open([CONNECT, PAY, "t = s.send('please pay', tools=[pay])\nt", AGAIN])
    for cell in (0, 1, 2):
        await page.run(cell)
    approve = live(page).get_by_role("button", name="Approve pay(")
    await approve.wait_for()
    await page.portraits("live-approval", live(page))
    assert await page.value("[t.status, paid]") == ["waiting", []]
    await approve.focus()
    await page.page.keyboard.press("Enter")
    assert "paid" in await replaced(page, 2)  # the card has the call's output
    assert await page.value("[t.status, len(paid)]") == ["completed", 1]
    await page.start(3)
    await live(page).get_by_role("button", name="Refuse pay(").click()
    await page.finished(3)
    await page.wait(CARD)
    assert await page.value("[t.status, len(paid), bool(t.calls[0].output)]") == ["completed", 1, True]
