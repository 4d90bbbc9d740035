"""The event log in the page: 100,000 rows by hand and by keys, live follow, sound, copies; no text is run."""

import asyncio
import json

import pytest

from .lab import busy_until

pytestmark = pytest.mark.browser

BIG = """
import orjson
from rtnb.notebook.display import install
from rtnb.analysis.events import Events
from rtnb.protocol.log import Log
KINDS = ["response.created", "response.output_text.done", "conversation.item.done", "rate_limits.updated"]
log = Log()
for k in range(100_000):
    kind = KINDS[k % 4]
    frame = orjson.dumps({"type": kind, "item_id": f"item_{k}", "text": f"word {k}.", "limits": [k]})
    side = "client" if k % 10 == 0 else "server"
    log.append(frame, side, kind, mono_ns=k * 10**6, wall_ns=k * 10**6, turn=k // 50)
events = Events(log, finished=True)
install()
events
"""
SESSION = """
import rtnb
s = rtnb.connect(engine="fake")
evil = '<img src=x onerror="window.hacked = true"><b>bold</b>'
for text in ("Hello there.", evil, "And good bye."):
    s.send(text).wait()
s.send(rtnb.Clip.tone(330, 1.5), instructions="Speak for a while, please.").wait()
s.send_event({"type": "response.cancel", "response_id": "none"})
s.send("last").wait()
s.log
"""
GROW = """
import threading, time
def grow(n, pause=0.0):
    for k in range(n):
        frame = b'{"type":"odd.event","n":%d}' % k
        s.state.append(frame, "server", mono_ns=time.monotonic_ns(), wall_ns=time.time_ns())
        if pause: time.sleep(pause)
"""
SEEN = """() => [...document.querySelectorAll(".rtnb-ev-row:not([hidden])")]
    .map((row) => row.innerText.split("\\n").join(" "))"""
LIST = "document.querySelector('.rtnb-ev-list')"
CLIP = "() => navigator.clipboard.readText()"


def log_of(page, k):
    return page.output(k).locator(".rtnb-events")


async def whole(page):
    """Wait until the log was read, searched and shown."""
    return await page.wait(
        """() => { const foot = document.querySelector(".rtnb-ev-foot")?.innerText ?? "read ";
          const rows = document.querySelectorAll(".rtnb-ev-row:not([hidden])");
          const unknown = document.querySelector(".rtnb-ev-unknown:not([hidden])");
          return !/read |searched |Waiting/.test(foot) && !unknown && foot; }"""
    )


async def copied(page):
    await page.page.bring_to_front()
    await page.wait("() => document.querySelector('.rtnb-ev-foot').innerText.includes('Copied')")
    return await page.page.evaluate(CLIP)


async def test_a_hundred_thousand_rows_scroll_search_open_and_copy(lab):
    page = await lab.open([BIG])
    await page.run(0)
    log = log_of(page, 0)
    assert "100,000 events" in await whole(page)
    assert (await page.js(SEEN))[0].startswith("00:00.000 Turn 1")
    assert len(await page.js(SEEN)) < 40
    rows = log.get_by_role("grid")
    assert int(await rows.get_attribute("aria-rowcount")) == 102_000
    await page.js(f"() => {{ {LIST}.scrollTop = {LIST}.scrollHeight; }}")
    await log.locator(".rtnb-ev-row", has_text="word 99998.").wait_for()
    await page.js(f"() => {{ {LIST}.scrollTop = {LIST}.scrollHeight / 2; }}")
    await log.locator(".rtnb-ev-row", has_text="Turn 1001").wait_for()
    await rows.hover()
    await page.page.mouse.wheel(0, 480)
    await log.locator(".rtnb-ev-row", has_text="word 50025.").wait_for()
    await log.get_by_label("Search the events").fill("WORD 7777")
    await page.wait("() => document.querySelector('.rtnb-ev-foot').innerText.includes('13 lines')")
    await log.get_by_label("Search the events").fill("")
    await log.get_by_role("button", name="Regular expression").click()
    await log.get_by_label("Search the events").fill(r"word \d{3}77\.")
    await log.locator(".rtnb-ev-row", has_text="word 10077.").wait_for()
    await log.get_by_label("Search the events").fill("word (")
    await log.get_by_text("is not a regular expression: missing )").wait_for()
    await log.get_by_label("Search the events").fill(r"word 4242\d\.")
    await log.locator(".rtnb-ev-row", has_text="word 42425.").click()
    pane = log.get_by_role("region", name="Event")
    await pane.get_by_text('"word 42425."').wait_for()
    await pane.get_by_role("button", name="Copy as JSON").click()
    assert json.loads(await copied(page))["text"] == "word 42425."
    await pane.get_by_role("button", name="Copy as Python").click()
    await page.wait("() => document.querySelector('.rtnb-ev-foot').innerText.includes('as Python')")
    assert (await page.page.evaluate(CLIP)).startswith("event = {'type': 'response.output_text.done'")
    await log.get_by_label("Search the events").fill("")
    await page.wait("() => document.querySelector('.rtnb-ev-list').ariaRowCount === '102000'")
    await log.locator(".rtnb-ev-row.rtnb-ev-selected", has_text="word 42425.").wait_for()
    await log.locator('[data-chip="client"]').click()
    await page.wait("() => document.querySelector('.rtnb-ev-foot').innerText.includes('12,000 lines')")
    assert all("↑" in row for row in await page.js(SEEN) if "Turn" not in row)
    await page.screenshot("events-chips", log)


async def test_by_keys_alone(jupyter):
    page = await jupyter.open([BIG.replace("100_000", "400_000")])
    await page.run(0)
    await whole(page)
    log = log_of(page, 0)
    key = page.page.keyboard.press
    await log.get_by_role("grid").focus()
    await key("End")
    await log.locator(".rtnb-ev-selected", has_text="rate_limits.updated").wait_for()
    assert await page.js("() => document.querySelector('.rtnb-ev-selected').ariaRowIndex") == "408000"
    assert await page.js(
        f"() => document.getElementById({LIST}.getAttribute('aria-activedescendant'))"
        ".classList.contains('rtnb-ev-selected')"
    )
    await key("Home")
    await key("ArrowDown")
    await key("ArrowDown")
    await log.locator(".rtnb-ev-selected", has_text="conversation.item.done").wait_for()
    await key("ArrowUp")
    await log.locator(".rtnb-ev-selected", has_text="output_text.done").wait_for()
    await key("Enter")
    pane = log.get_by_role("region", name="Event")
    await pane.get_by_text('"word 1."').wait_for()
    await key("ArrowDown")
    await pane.get_by_text('"word 2."').wait_for()
    for _ in range(3):
        await key("Tab")
    await key("Tab")
    await page.wait("() => document.activeElement.getAttribute('role') === 'treeitem'")
    await key("End")
    await page.wait("() => document.activeElement.innerText.startsWith('0: 2')")
    await key("ArrowLeft")
    await key("ArrowLeft")
    await page.wait("() => document.activeElement.getAttribute('aria-expanded') === 'false'")
    await key("Escape")
    await page.wait("() => document.activeElement.classList.contains('rtnb-ev-list')")
    assert await pane.count() == 0
    await key("/")
    await page.page.keyboard.type("word 399997.")
    await page.wait("() => document.querySelector('.rtnb-ev-foot').innerText.includes('2 lines')")
    await key("Enter")
    await key("ArrowDown")
    await key("Enter")
    await pane.get_by_text('"word 399997."').wait_for()
    # What Jupyter would have heard: a new cell, a cut one, a restart.
    for letter in ("b", "x", "0", "0", "d", "d"):
        await key(letter)
    assert (
        len(await page.js("(path) => rtnbTest.panel(path).content.widgets.map((cell) => 1)", page.path)) == 1
    )
    assert await page.js("() => document.querySelector('.jp-Dialog')?.innerText ?? null") is None


async def test_a_session_is_shown_as_text_with_its_audio(lab):
    page = await lab.open([SESSION])
    await page.run(0)
    await whole(page)
    log = log_of(page, 0)
    assert await page.js("() => window.hacked ?? null") is None
    assert await log.locator("img, .rtnb-ev-words b").count() == 0
    rows = log.get_by_role("grid")
    await rows.focus()
    await page.page.keyboard.press("Home")
    await log.locator(".rtnb-ev-heading", has_text="Hello there.").wait_for()
    await log.get_by_label("Search the events").fill("onerror")
    await log.locator(".rtnb-ev-row", has_text="user: <img").first.click()
    pane = log.get_by_role("region", name="Event")
    await pane.locator(".rtnb-tree-found", has_text="<img src=x onerror=").wait_for()
    assert await page.js("() => window.hacked ?? null") is None
    await log.get_by_label("Search the events").fill("")
    await log.locator('[data-chip="audio"]').click()
    await log.locator(".rtnb-ev-row", has_text="output_audio.done").first.wait_for()
    await rows.focus()
    await page.page.keyboard.press("Home")
    await whole(page)
    await log.locator(".rtnb-ev-row", has_text="response.output_audio.delta").first.click()
    await pane.get_by_text("[audio ").wait_for()
    await page.portraits("events", log)
    await pane.get_by_role("button", name="Play [audio").click()
    await log.locator(".rtnb-ev-playing", has_text="output_audio.delta").wait_for()
    await page.wait("() => document.querySelector('.rtnb-events audio').currentTime > 0.1")
    await page.wait("() => document.querySelector('.rtnb-events audio').ended")
    await page.wait("() => !document.querySelector('.rtnb-ev-playing')")
    await pane.get_by_role("button", name="Next delta").click()
    await pane.get_by_text("2 of ").wait_for()
    at = await page.js("() => document.querySelector('.rtnb-events audio').currentTime")
    assert 0.05 < at < 1.0
    await log.get_by_role("button", name="every delta").click()
    await log.locator(".rtnb-ev-row.rtnb-ev-selected").wait_for()
    await log.locator('[data-chip="audio"]').click()
    await log.locator('[data-chip="errors"]').click()
    await log.locator(".rtnb-ev-row.rtnb-ev-bad", has_text="error").wait_for()
    saved = await page.save()
    data = saved.cells[0].outputs[-1].data
    assert "session.created" in data["text/html"]
    assert len(data["text/html"]) < 150_000
    assert "<script" not in data["text/html"]


async def test_live_events_are_followed_and_never_steal_the_scroll(lab, tmp_path):
    page = await lab.open([SESSION + GROW.replace("import", "\nimport", 1) + "\ns.log", "grow(300)"])
    await page.run(0)
    await whole(page)
    log = log_of(page, 0)
    await log.locator(".rtnb-ev-row", has_text="response.done").last.wait_for()
    await page.run(1)
    await page.wait("() => document.querySelector('.rtnb-ev-list').ariaRowCount > 350")
    await whole(page)
    last = (await page.js(SEEN))[-1]
    assert "odd.event" in last
    rows = log.get_by_role("grid")
    await rows.hover()
    await page.page.mouse.wheel(0, -2400)
    await page.wait(f"() => {LIST}.scrollTop < {LIST}.scrollHeight - 2500")
    await asyncio.sleep(0.5)
    before = await page.js(SEEN)
    await page.run(1)
    news = log.get_by_role("button", name="300 new")
    await news.wait_for()
    assert await page.js(SEEN) == before
    await page.screenshot("events-news", log)
    await news.click()
    await page.wait("() => document.querySelector('.rtnb-ev-news').classList.contains('rtnb-hidden')")
    await whole(page)
    assert (await page.js(SEEN))[-1] != last
    # A busy cell stops nothing: what arrives meanwhile is shown.
    released = tmp_path / "released"
    grow = "threading.Thread(target=grow, args=(40, 0.05)).start()"
    busy = await page.append(f"{grow}\n{busy_until(released)}")
    await page.start(busy)
    count = int(await rows.get_attribute("aria-rowcount"))
    await page.wait(f"() => document.querySelector('.rtnb-ev-list').ariaRowCount > {count + 10}")
    assert await page.js("(k) => rtnbTest.runs[k].state", busy) == "running"
    released.touch()
    await page.finished(busy)
    await page.restart()
    await log.get_by_text("The kernel is gone: run the cell again.").wait_for()


NARROWEST_WORDS = """() => Math.min(
  ...Array.from(
    document.querySelectorAll('.rtnb-ev-row:not([hidden]) .rtnb-ev-words'),
    (cell) => cell.clientWidth
  )
)"""


async def test_a_narrow_page(lab):
    page = await lab.open([SESSION], viewport={"width": 520, "height": 1000})
    await page.run(0)
    await whole(page)
    log = log_of(page, 0)
    assert await page.js(NARROWEST_WORDS) > 80
    await log.locator(".rtnb-ev-row", has_text="response.done").last.click()
    await log.get_by_role("region", name="Event").get_by_text("usage").wait_for()
    assert await page.js("() => document.querySelector('.rtnb-events').scrollWidth") <= 520
    await page.portraits("events-narrow", log)
