"""The front end in a real JupyterLab and Chromium: latencies, underruns, CPU, and the first paint of an hour.

Every figure has its anchor in the same run: a bare anywidget that only plays, an empty notebook, a widget
that draws raw samples. One JSON line per figure; times in milliseconds.

- first_sample: the kernel's send to the first sample in the audio thread, for rtnb and for a bare widget.
- flush: the kernel's send, while sound plays, to the audio thread's word that its queue is empty.
- minute: an answer sent in real time in pieces of 40 ms, and how often its sound ran dry.
- microphone: a chunk of 40 ms from the page's send to the kernel's handler and to the server's socket, while
  the main cell sleeps and while it computes.
- cpu: share of one core, of the page's main thread and of all its processes, idle and playing.
- first_paint: from the cell's first statement to pixels, for `Waveform` and for raw samples.

    python tests/bench/browser.py [--seconds 60] [first_sample minute microphone cpu first_paint]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser.lab import Chromiums, Jupyter, Page
from support.process import serving

import browser_cells as cells  # isort: skip

FIGURES = ("first_sample", "minute", "microphone", "cpu", "first_paint")

# The time of each chunk's send, by the page's clock.
WATCH_SENDS = """() => {
  window.sends = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (data instanceof ArrayBuffer && data.byteLength > 1900) {
      const text = new TextDecoder("latin1").decode(data.slice(0, 1200));
      if (text.includes('"kind":"audio"')) window.sends.push(performance.timeOrigin + performance.now());
    }
    return send.call(this, data);
  };
}"""
INK = """(selector) => {
  const canvas = document.querySelector(selector);
  if (!canvas?.width) return 0;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 3; i < data.length; i += 4) if (data[i]) return performance.timeOrigin + performance.now();
  return 0; }"""
WATCH_INK = f"""(selector) => {{
  window.inked = 0;
  const look = () => {{
    window.inked = ({INK})(selector);
    if (!window.inked) requestAnimationFrame(look);
  }};
  look();
}}"""


def tell(figure: str, **values: Any) -> None:
    """Print one figure."""
    print(json.dumps({"figure": figure, **values}), flush=True)


async def first_sample(jupyter: Jupyter) -> None:
    """Measure the way to the first sample, and to silence."""
    page = await jupyter.open([cells.SETUP, cells.SHOW, cells.LATENCY])
    await page.run_all(seconds=120)
    result = await page.value("RESULT")
    ours, bare = result["first_sample"]["rtnb"], result["first_sample"]["bare"]
    tell("first_sample", rtnb=ours, bare=bare, ratio=round(ours["p50"] / bare["p50"], 2))
    tell("flush", rtnb=result["flush"])


async def minute(jupyter: Jupyter, seconds: float) -> None:
    """Play an answer that comes in real time."""
    page = await jupyter.open([cells.SETUP, cells.SHOW, f"SECONDS = {seconds}\n{cells.MINUTE}"])
    await page.run(0)
    await page.run(1)
    await page.run(2, seconds=seconds + 60)
    tell("minute", **(await page.value("RESULT"))["minute"])


class Tap:
    """A way to a server that notes when each piece of sound arrives there."""

    def __init__(self, to: str) -> None:
        self.to = to
        self.stamps: list[float] = []

    async def __aenter__(self) -> Tap:
        import websockets

        self._server = await websockets.serve(self._pass_on, "127.0.0.1", 0, max_size=None, compression=None)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/v1/realtime"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _pass_on(self, client: Any) -> None:
        import websockets

        path = client.request.path
        async with websockets.connect(f"ws://{self.to}{path}", max_size=None, compression=None) as server:

            async def answers() -> None:
                async for frame in server:
                    await client.send(frame)

            back = asyncio.create_task(answers())
            try:
                async for frame in client:
                    if "input_audio_buffer.append" in str(frame[:200]):
                        self.stamps.append(time.time() * 1000)
                    await server.send(frame)
            finally:
                back.cancel()


async def microphone(jupyter: Jupyter, seconds: float) -> None:
    """Talk while the main cell is busy, and see how long each chunk is on its way."""
    with serving() as host:
        for busy, work in (("asleep", cells.ASLEEP), ("computing", cells.COMPUTING)):
            async with Tap(host) as tap:
                where = f"WHERE = {tap.url!r}\n"
                work = f"SECONDS = {seconds}\n{work}"
                page = await jupyter.open([cells.SETUP, where + cells.TALK, cells.STAMPS, work])
                for k in range(3):
                    await page.run(k)
                await page.js(WATCH_SENDS)
                tap.stamps.clear()
                await page.start(3)
                await page.page.get_by_role("button", name="Start talking").click()
                await page.finished(3, seconds=seconds + 60)
                sends = await page.js("() => window.sends.slice()")
                kernel = await page.value("stamps")
                count = min(len(sends), len(kernel), len(tap.stamps))
                tell(
                    "microphone",
                    main_cell=busy,
                    chunks=len(sends),
                    page_to_kernel=spread([kernel[k] - sends[k] for k in range(count)]),
                    page_to_server=spread([tap.stamps[k] - sends[k] for k in range(count)]),
                )
                await jupyter.close_pages()


def spread(values: list[float]) -> dict[str, float]:
    """Return what a list of times is like."""
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 2),
        "max": round(ordered[-1], 2),
    }


async def usage(page: Page, seconds: float) -> dict[str, float]:
    """Return shares of one core: of the page's main thread, and of all processes that draw and sound."""
    cdp = await page.context.new_cdp_session(page.page)
    whole = await page.context.browser.new_browser_cdp_session()
    await cdp.send("Performance.enable")

    async def spent() -> tuple[float, float]:
        metrics = (await cdp.send("Performance.getMetrics"))["metrics"]
        main = next(each["value"] for each in metrics if each["name"] == "TaskDuration")
        processes = (await whole.send("SystemInfo.getProcessInfo"))["processInfo"]
        kinds = ("renderer", "GPU", "utility")
        return main, sum(each["cpuTime"] for each in processes if each["type"] in kinds)

    began, before = time.monotonic(), await spent()
    await asyncio.sleep(seconds)
    took, after = time.monotonic() - began, await spent()
    return {
        "main_thread": round((after[0] - before[0]) / took, 4),
        "processes": round((after[1] - before[1]) / took, 4),
    }


async def cpu(jupyter: Jupyter) -> None:
    """Measure an empty notebook, one with widgets at rest, and ones that play."""
    page = await jupyter.open(["1"])
    await asyncio.sleep(3)
    tell("cpu", page="an empty notebook", **await usage(page, 6))
    await jupyter.close_pages()
    source = f"SECONDS = 12\n{cells.MINUTE}"
    page = await jupyter.open([cells.SETUP, cells.SHOW, source, cells.HOUR, cells.PEAKS])
    for k in (0, 1, 3, 4):
        await page.run(k)
    await asyncio.sleep(3)
    tell("cpu", page="a live turn and a waveform at rest", **await usage(page, 6))
    await page.start(2)
    await asyncio.sleep(2)
    tell("cpu", page="a live turn that plays", **await usage(page, 6))
    await page.finished(2)
    await page.page.locator(".rtnb-waveform").get_by_role("button", name="Play").click()
    await asyncio.sleep(2)
    tell("cpu", page="a waveform of an hour that plays", **await usage(page, 6))


async def first_paint(jupyter: Jupyter) -> None:
    """Draw an hour from its peak pyramid, and from all its samples."""
    page = await jupyter.open([cells.SETUP, cells.HOUR])
    await page.run_all(seconds=120)
    found: dict[str, dict[str, float]] = {}
    for name, source, selector in (
        ("rtnb", cells.PEAKS, "canvas.rtnb-wave-main"),
        ("raw_samples", cells.RAW, "canvas.raw-wave"),
    ):
        times = []
        for _ in range(3):
            k = await page.append(source)
            await page.js("() => document.querySelectorAll('canvas').forEach((each) => each.remove())")
            await page.js(WATCH_INK, selector)
            await page.run(k, seconds=120)
            inked = await page.wait("() => window.inked", seconds=120)
            times.append((inked - await page.value("began"), await page.value("made - began")))
        found[name] = {
            "ms": round(statistics.median(each[0] for each in times), 1),
            "of_which_in_python": round(statistics.median(each[1] for each in times), 1),
        }
    tell("first_paint", **found, ratio=round(found["raw_samples"]["ms"] / found["rtnb"]["ms"], 1))


async def run(wanted: list[str], seconds: float) -> None:
    """Start Jupyter and Chromium once and measure what is wanted."""
    from playwright.async_api import async_playwright

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with async_playwright() as playwright:
            chromiums = Chromiums(playwright, Path(folder))
            jupyter = Jupyter("lab", Path(folder) / "lab", chromiums)
            jupyter.start()
            try:
                tell(
                    "machine",
                    cores=os.cpu_count(),
                    load=round(os.getloadavg()[0], 2),
                    python=platform.python_version(),
                    chromium=(await chromiums.get()).version,
                )
                for name in wanted:
                    work = {
                        "first_sample": lambda: first_sample(jupyter),
                        "minute": lambda: minute(jupyter, seconds),
                        "microphone": lambda: microphone(jupyter, 10),
                        "cpu": lambda: cpu(jupyter),
                        "first_paint": lambda: first_paint(jupyter),
                    }[name]
                    await work()
                    for error in await jupyter.close_pages():
                        print(error, file=sys.stderr)
            finally:
                await chromiums.close()
                jupyter.stop()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("figures", nargs="*", default=FIGURES, help="which figures (all)")
    parser.add_argument("--seconds", type=float, default=60, help="how long the answer in real time is (60)")
    args = parser.parse_args()
    unknown = [name for name in args.figures if name not in FIGURES]
    if unknown:
        parser.error(f"unknown figures: {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    asyncio.run(run(list(args.figures), args.seconds))


if __name__ == "__main__":
    main()
