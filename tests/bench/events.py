"""The event log: a live log in a real page, the first view of long ones, searches, and memory per event.

One JSON line per figure, times in milliseconds, each beside its anchor from the same run.

- live: 1,000 events a second for some seconds, followed at the end: the gaps between the page's frames,
  beside those of the same page at rest, and how often the list was brought up to date.
- first_view: from the cell's first statement to lines in the page, and until all was read, for 100,000 and
  1,000,000 events; beside it a widget that shows nothing.
- search: through a million events in the kernel, by text and by pattern; beside it a loop with ``in``.
- memory: bytes per event of the log, of the fold, and of a plain list of frames.

    python tests/bench/events.py [--seconds 20] [live first_view search memory]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from sys import getsizeof
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser.lab import Chromiums, Jupyter

FIGURES = ("memory", "search", "first_view", "live")

MAKE = """
import time
from rtnb.notebook.display import install
from rtnb.analysis.events import Events
from rtnb.protocol.log import Log

install()
WHERE = '"response_id":"resp_%d","item_id":"item_%d","output_index":0,"content_index":0'
TURN = ["response.created", "response.output_item.added", "conversation.item.added"]
TURN += ["response.content_part.added"]
TURN += ["response.output_audio_transcript.delta", *["response.output_audio.delta"] * 4] * 40
TURN += ["response.output_audio.done", "response.content_part.done"]
TURN += ["response.output_item.done", "response.done"]

def frame(number):
    kind = TURN[number % len(TURN)]
    turn = number // len(TURN)
    where = WHERE % (turn, turn)
    text = ',"delta":"word %d "' % number if "transcript" in kind else ""
    return kind, turn, ('{"type":"%s","event_id":"event_%012d",%s%s}' % (kind, number, where, text)).encode()

def grown(log, start, stop):
    for number in range(start, stop):
        kind, turn, data = frame(number)
        log.append(data, "server", kind, mono_ns=number * 10**6, wall_ns=number * 10**6, turn=turn)

def made(count):
    log = Log()
    grown(log, 0, count)
    return log
"""
BARE = """
import anywidget
class Bare(anywidget.AnyWidget):
    _esm = "export default { render({ el }) { el.className = 'bare-widget'; el.textContent = 'here'; } }"
"""
# Every event a row of its own: the most that a page can have to do.
GROW = """
import threading
def feed(seconds, rate=1000):
    def run():
        began = time.perf_counter()
        for number in range(int(seconds * rate)):
            due = began + number / rate
            if due > time.perf_counter():
                time.sleep(max(0.0, due - time.perf_counter()))
            now = time.time_ns()
            data = b'{"type":"odd.event","n":%d}' % number
            live.append(data, "server", "odd.event", mono_ns=now, wall_ns=now, turn=number // 500)
    threading.Thread(target=run).start()
live = Log()
grown(live, 0, 500)
Events(live)
"""
WATCH = """() => {
  window.gaps = [];
  window.lines = [];
  let last = performance.now();
  window.watching = true;
  const tick = (now) => {
    window.gaps.push(now - last);
    last = now;
    window.lines.push(Number(document.querySelector(".rtnb-ev-list").getAttribute("aria-rowcount")));
    if (window.watching) requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}"""
SHOWN = """(selector) => {
  window.shown = 0;
  const look = () => {
    if (document.querySelector(selector)) window.shown = performance.timeOrigin + performance.now();
    else requestAnimationFrame(look);
  };
  look();
}"""
READ = """() => { const foot = document.querySelector(".rtnb-ev-foot")?.innerText;
  return foot && !/read /.test(foot); }"""
KEPT = """([path]) => rtnbTest.panel(path).content.model.cells.get(2).outputs.toJSON()[0]
  .data["text/html"].length"""


def tell(figure: str, **values: Any) -> None:
    """Print one figure."""
    print(json.dumps({"figure": figure, **values}), flush=True)


def spread(gaps: list[float]) -> dict[str, float]:
    """Return what the gaps between frames are like; a frame is dropped where a gap has room for another."""
    gaps = sorted(gaps[5:])
    usual = statistics.median(gaps)
    return {
        "frames": len(gaps),
        "p50": round(usual, 2),
        "p99": round(gaps[int(0.99 * (len(gaps) - 1))], 2),
        "max": round(gaps[-1], 2),
        "dropped": sum(round(gap / usual) - 1 for gap in gaps if gap > 1.5 * usual),
    }


async def watched(page: Any, seconds: float) -> tuple[dict[str, float], list[int]]:
    """Watch the page's frames for so long."""
    await page.js(WATCH)
    await asyncio.sleep(seconds)
    await page.js("() => { window.watching = false; }")
    return spread(await page.js("() => window.gaps")), await page.js("() => window.lines")


async def live(jupyter: Jupyter, seconds: float) -> None:
    """Follow a log of 1,000 events a second."""
    page = await jupyter.open([MAKE, GROW])
    await page.run(0)
    await page.run(1)
    await page.wait(READ)
    await asyncio.sleep(2)
    idle, _ = await watched(page, seconds)
    await page.execute(f"feed({seconds + 2})")
    await asyncio.sleep(1)
    busy, lines = await watched(page, seconds)
    updates = sum(after > before for before, after in pairwise(lines))
    tell("live", idle=idle, at_1000_a_second=busy, lines=lines[-1] - lines[0], updates=updates)


async def first_view(jupyter: Jupyter) -> None:
    """Show long logs."""
    page = await jupyter.open([MAKE + BARE, "Bare()", "at = time.time() * 1000\nBare()"])
    await page.run(0)
    await page.run(1)
    await page.js(SHOWN, ".jp-Cell:nth-of-type(3) .bare-widget")
    await page.run(2)
    bare = await page.js("() => window.shown") - await page.value("at")
    await jupyter.close_pages()
    for count in (100_000, 1_000_000):
        page = await jupyter.open(
            [
                MAKE,
                f"Events(made(500))\nlog = made({count})",
                "at = time.time() * 1000\nEvents(log, finished=True)",
            ]
        )
        await page.run(0)
        await page.run(1, seconds=120)
        await page.js(SHOWN, ".rtnb-ev-row")
        await page.start(2)
        await page.wait("() => window.shown")
        await page.wait(READ)
        read = await page.js("() => performance.timeOrigin + performance.now()")
        await page.finished(2)
        began = await page.value("at")
        html = await page.js(KEPT, [page.path])
        heap = await page.js("() => Math.round(performance.memory.usedJSHeapSize / 1e6)")
        tell(
            "first_view",
            events=count,
            lines=round(await page.js("() => window.shown") - began),
            all_read=round(read - began),
            bare_widget=round(bare),
            static_html_kb=round(html / 1000),
            page_heap_mb=heap,
        )
        await jupyter.close_pages()


def log_of(count: int) -> tuple[Any, list[bytes]]:
    """Return a log, and its frames as a list."""
    scope: dict[str, Any] = {}
    exec(MAKE, scope)
    log = scope["made"](count)
    return log, [entry.frame for entry in log]


def memory(count: int) -> None:
    """Measure bytes per event."""
    from rtnb.analysis.event_rows import Rows
    from rtnb.analysis.events import Events

    log, frames = log_of(count)
    began = time.perf_counter()
    rows = Rows(Events(log))
    rows.extend()
    took = time.perf_counter() - began
    plain = sum(map(getsizeof, frames)) + getsizeof(frames)
    tell(
        "memory",
        events=count,
        rows=len(rows),
        frame_bytes=round(log.bytes / count, 1),
        log=round(log.nbytes / count, 1),
        fold=round(rows.nbytes / count, 1),
        plain_list=round(plain / count, 1),
        fold_us_per_event=round(took / count * 1e6, 2),
    )


def search(count: int) -> None:
    """Search in the kernel."""
    from rtnb.analysis.event_search import Search, pattern_finder, text_finder
    from rtnb.analysis.events import Events

    log, frames = log_of(count)
    events = Events(log)

    def timed(finder: Any) -> tuple[float, int]:
        began = time.perf_counter()
        found = Search(events, finder).look(len(events))
        return round((time.perf_counter() - began) * 1000), len(found)

    began = time.perf_counter()
    anchor = sum(b"word 777" in frame for frame in frames)
    loop = round((time.perf_counter() - began) * 1000)
    text, pattern = timed(text_finder("word 777")), timed(pattern_finder(r"word 777\d* "))
    tell(
        "search",
        events=count,
        text=text[0],
        pattern=pattern[0],
        loop_with_in=loop,
        found=[text[1], pattern[1], anchor],
    )


async def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ", ".join(FIGURES)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"any of {names}")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--events", type=int, default=1_000_000)
    given = parser.parse_args()
    # argparse checks the empty list of nargs="*" against choices before 3.12: check here.
    if unknown := set(given.figures) - set(FIGURES):
        parser.error(f"unknown figures {', '.join(sorted(unknown))}: expected {names}")
    given.figures = given.figures or list(FIGURES)
    if "memory" in given.figures:
        memory(given.events)
    if "search" in given.figures:
        search(given.events)
    if not {"first_view", "live"} & set(given.figures):
        return
    from playwright.async_api import async_playwright

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with async_playwright() as playwright:
            chromiums = Chromiums(playwright, Path(folder))
            home = Path(folder) / "lab"
            home.mkdir()
            jupyter = Jupyter("lab", home, chromiums)
            jupyter.start()
            try:
                if "first_view" in given.figures:
                    await first_view(jupyter)
                if "live" in given.figures:
                    await live(jupyter, given.seconds)
                await jupyter.close_pages()
            finally:
                jupyter.stop()
                await chromiums.close()
    tell("machine", cores=os.cpu_count(), python=sys.version.split()[0])


if __name__ == "__main__":
    asyncio.run(main())
