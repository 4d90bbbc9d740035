"""The live waveform: drawn at once however long, zoomed, played without gaps, worked by keys alone."""

import pytest

from .lab import busy_until

pytestmark = pytest.mark.browser

HOUR = """
import numpy as np, rtnb
from rtnb.widgets.waveform import Waveform
rate = 24_000
minute = np.random.default_rng(7).standard_normal(60 * rate).astype(np.float32) * 0.12
minute *= np.abs(np.sin(np.arange(60 * rate) / rate * 2.1)) ** 3
sound = np.tile(minute, 60) * np.repeat(np.linspace(0.3, 1.0, 60, dtype=np.float32), 60 * rate)
w = Waveform(rtnb.Clip(sound, rate), title="An hour of noise")
w
"""
TONE = """
import rtnb
from rtnb.widgets.waveform import Waveform
w = Waveform(rtnb.Clip.tone(440, 12.0), title="<b>tone</b>")
w
"""
PLACE = "() => document.querySelector('.rtnb-waveform audio').currentTime"
# The loudness of what plays in blocks of 5 ms, from `from` to `to` seconds of the recording.
LISTEN = """async ([from, to]) => {
  const audio = document.querySelector(".rtnb-waveform audio");
  const context = new AudioContext();
  const code = `registerProcessor("meter", class extends AudioWorkletProcessor {
    process([[samples]]) {
      if (samples) for (let i = 0; i < samples.length; i += 128) {
        let sum = 0;
        for (const value of samples.subarray(i, i + 128)) sum += value * value;
        this.port.postMessage(Math.sqrt(sum / 128));
      }
      return true;
    } })`;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  const meter = new AudioWorkletNode(context, "meter");
  context.createMediaElementSource(audio).connect(meter).connect(context.destination);
  const levels = [];
  meter.port.onmessage = ({ data }) => {
    if (audio.currentTime > from && audio.currentTime < to) levels.push(data);
  };
  const until = performance.now() + 20000;
  const pause = () => new Promise((done) => setTimeout(done, 20));
  while (audio.currentTime < to && performance.now() < until) await pause();
  return { count: levels.length, low: Math.min(...levels), high: Math.max(...levels), at: audio.currentTime };
}"""


def ink(k):
    """Return JavaScript that counts the painted pixels of a cell's waveform."""
    return f"""() => {{
      const canvas = document.querySelectorAll(".jp-Notebook .jp-Cell")[{k}].querySelector(".rtnb-wave-main");
      if (!canvas?.width) return 0;
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let ink = 0;
      for (let i = 3; i < data.length; i += 4) if (data[i]) ink += 1;
      return ink; }}"""


async def test_an_hour_is_drawn_zoomed_and_played_by_keys(lab):
    page = await lab.open([HOUR])
    await page.run(0)
    assert await page.wait(ink(0)) > 10_000
    wave = page.output(0).locator(".rtnb-waveform")
    await page.portraits("waveform", wave)
    slider = wave.get_by_role("slider")
    await slider.focus()
    await page.page.keyboard.press("End")
    assert await slider.get_attribute("aria-valuetext") == "1:00:00.0 of 1:00:00"
    for _ in range(6):
        await page.page.keyboard.press("PageDown")
    for _ in range(9):
        await page.page.keyboard.press("+")
    await page.wait("() => !document.querySelector('.rtnb-wave-over.rtnb-hidden')")
    assert await wave.get_by_role("button", name="All").is_enabled()
    await page.portraits("waveform-zoomed", wave)
    await page.page.keyboard.press("Space")
    await page.wait(f"() => ({PLACE})() > 3421.0")
    await page.page.keyboard.press("Space")
    await page.until("3421.0 <= w.position < 3440")
    await page.page.keyboard.press("Shift+ArrowRight")
    await page.page.keyboard.press("0")
    await page.page.keyboard.press("0")  # which restarts the kernel where Jupyter hears it
    assert await page.js("() => document.querySelector('.jp-Dialog')?.innerText ?? null") is None
    await page.page.keyboard.press("Home")
    await page.until("w.position == 0")


async def test_segments_follow_each_other_without_a_gap(lab):
    page = await lab.open([TONE])
    await page.run(0)
    wave = page.output(0).locator(".rtnb-waveform")
    await page.execute("w.position = 3.6")
    await page.wait("() => document.querySelector('.rtnb-wave-slider').ariaValueNow === '3.60'")
    await wave.get_by_role("button", name="Play").click()
    await page.wait(f"() => ({PLACE})() > 3.7")
    levels = await page.js(LISTEN, [4.2, 6.2])
    # A sine of peak 0.5 has 0.354; each 2.7 ms of it something near that.
    assert levels["count"] > 500
    assert levels["low"] > 0.25, levels
    assert levels["high"] < 0.55, levels
    await wave.get_by_label("Speed").select_option("2")
    await page.execute("w.position = 1.0")  # while it plays
    await page.wait(f"() => ({PLACE})() < 4")
    await page.execute("w.position = 10.0")
    await page.wait("() => document.querySelector('.rtnb-waveform audio').ended")
    await wave.get_by_role("button", name="Play").wait_for()
    await page.until("w.position > 11.9")
    assert "<b>tone</b>" in await page.text(0)


async def test_a_click_seeks_and_the_wheel_zooms(notebook7):
    page = await notebook7.open([TONE, "w.position = 3.0"])
    await page.run(0)
    await page.wait(ink(0))
    slider = page.output(0).get_by_role("slider")
    box = await slider.bounding_box()
    await page.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 40)
    await page.until("abs(w.position - 6) < 0.05")
    await page.page.keyboard.down("Control")
    await page.page.mouse.wheel(0, -400)
    await page.page.keyboard.up("Control")
    await page.wait("() => !document.querySelector('.rtnb-wave-over.rtnb-hidden')")
    await page.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 40)
    await page.until("abs(w.position - 6) < 0.05")
    await page.run(1)
    await page.wait("() => document.querySelector('.rtnb-wave-slider').ariaValueNow === '3.00'")
    await slider.focus()
    await page.page.keyboard.press("0")
    await page.page.keyboard.press("0")  # which restarts the kernel where Jupyter hears it
    assert await page.js("() => document.querySelector('.jp-Dialog')?.innerText ?? null") is None


async def test_the_kernel_may_be_busy_or_gone(lab, tmp_path):
    released = tmp_path / "released"
    page = await lab.open([TONE, busy_until(released)])
    await page.run(0)
    await page.start(1)
    wave = page.output(0).locator(".rtnb-waveform")
    await wave.get_by_role("button", name="Play").click()
    await page.wait(f"() => ({PLACE})() > 0.5")
    assert await page.js("() => rtnbTest.runs[1].state") == "running"
    released.touch()
    await page.finished(1)
    await page.restart()
    await page.wait(
        "() => document.querySelector('.rtnb-waveform').innerText.includes('The kernel is gone')", seconds=10
    )


async def test_two_views_and_a_narrow_page(lab):
    page = await lab.open([TONE, "w"], viewport={"width": 480, "height": 900})
    await page.run_all()
    assert await page.wait(ink(0))
    assert await page.wait(ink(1))
    wide = await page.js("() => document.querySelector('.rtnb-waveform').scrollWidth")
    assert wide <= 480
    await page.screenshot("waveform-narrow", page.output(0))
    await page.output(1).get_by_role("button", name="Play").click()
    await page.wait("() => document.querySelectorAll('.rtnb-waveform audio')[1].currentTime > 0.3")
    assert await page.js("() => document.querySelectorAll('.rtnb-waveform audio')[0].paused")
