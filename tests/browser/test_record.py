"""The recorder in the real page: what is said into the fake microphone arrives as a clip."""

import asyncio

import pytest

from rtnb import Clip

from .lab import QUESTION

pytestmark = pytest.mark.browser

SHOW = "import rtnb\nrec = rtnb.Recorder('Say something.')\nrec"


def button(page, name, k=0):
    return page.output(k).get_by_role("button", name=name, exact=True)


async def record(page, seconds, k=0):
    await button(page, "Record", k).click()
    await button(page, "Stop recording", k).wait_for()
    await page.until(f"(rec._recording.seconds if rec._recording else 0) > {seconds}")
    await button(page, "Stop recording", k).click()
    await page.until("rec.state == 'done'")


async def test_record(jupyter):
    page = await jupyter.open([SHOW, "clip = rec.clip; clip"], wav=Clip.read(QUESTION))
    await page.run(0)
    await page.portraits("recorder-idle", page.output(0))
    await button(page, "Record").click()
    await page.until("rec.state == 'recording' and rec._recording.seconds > 1.5")
    await page.portraits("recorder-recording", page.output(0))
    await button(page, "Stop recording").click()
    await page.until("rec.state == 'done'")
    await page.run(1)
    assert await page.value("clip.seconds") > 1.5
    assert await page.value("clip.peak") > 0.1
    info = await page.value("dict(clip.info)")
    assert info["source"] == "microphone"
    assert info["asked"] == {"echo_cancellation": True, "noise_suppression": True, "auto_gain_control": True}
    assert "lost_chunks" not in info
    await page.portraits("recorder-done", page.output(0))
