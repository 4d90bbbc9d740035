"""The log at a million events: bytes and seconds against a plain list of bytes, and the time of a filter.

Turns of 210 events with the sizes of the wire: 40 text deltas of 250 bytes, 160 audio deltas of 400 bytes
(20 ms of G.711: the smallest there are), 10 others of 600 bytes.

    python tests/bench/log.py [--events 1000000]
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable

from rtnb.protocol.log import Log

TURN = (
    ["response.create", "response.created", "response.output_item.added", "response.content_part.added"]
    + ["response.output_text.delta", *["response.output_audio.delta"] * 4] * 40
    + ["response.output_audio.done", "response.content_part.done", "response.output_item.done"]
    + ["conversation.item.done", "response.done", "rate_limits.updated"]
)
SIZES = {"response.output_text.delta": 250, "response.output_audio.delta": 400}


def frame(number: int) -> tuple[str, bytes]:
    """Return one event's type and its bytes, an object of its own."""
    type = TURN[number % len(TURN)]
    return type, (b'{"event_id":"%08d","pad":"' % number).ljust(SIZES.get(type, 600), b"A")


def build_list(events: int) -> list[bytes]:
    """Keep the frames as a list of bytes: the anchor."""
    return [frame(number)[1] for number in range(events)]


def build_log(events: int) -> Log:
    """Keep the frames in a log."""
    log = Log()
    for number in range(events):
        type, data = frame(number)
        side = "client" if type == "response.create" else "server"
        log.append(data, side, type, mono_ns=number, wall_ns=number, turn=number // len(TURN))
    return log


def seconds(build: Callable[[int], object], events: int) -> float:
    """Return how long a build takes, the collector off."""
    gc.disable()
    began = time.perf_counter()
    kept = build(events)
    took = time.perf_counter() - began
    gc.enable()
    del kept
    return took


def held(build: Callable[[int], object], events: int) -> int:
    """Return the bytes of memory that a build holds, as the allocator counts them."""
    tracemalloc.start()
    kept = build(events)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return size


def milliseconds(call: Callable[[], object], times: int = 51) -> float:
    """Return the median time of a call."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return statistics.median(found) * 1000


def say(
    figure: str, value: float, unit: str, anchor: str | None, against: float | None, limit: float | None
) -> None:
    """Print one figure; ``limit`` is for the ratio where there is an anchor, else for the value."""
    ratio = None if against is None else round(value / against, 4)
    line = {
        "bench": "log",
        "figure": figure,
        "value": round(value, 4),
        "unit": unit,
        "anchor": anchor,
        "anchor_value": None if against is None else round(against, 4),
        "ratio": ratio,
        "limit": limit,
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    """Run all and print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    events = parser.parse_args().events
    anchor = "a list of bytes"
    pairs = [(seconds(build_log, events), seconds(build_list, events)) for _ in range(3)]
    log_s, list_s = (statistics.median(side) for side in zip(*pairs, strict=True))
    say(f"build, {events:,} events", log_s, "s", anchor, list_s, None)
    say("append", (log_s - list_s) / events * 1e6, "µs per event", None, None, None)
    say("memory", held(build_log, events) / 1e6, "MB", anchor, held(build_list, events) / 1e6, 1.0)
    log = build_log(events)
    say("memory over the frames", log.nbytes / 1e6, "MB", "their own bytes", log.bytes / 1e6, 1.1)
    last = log[-1].turn
    say("filter by turn", milliseconds(lambda: log.filter(turn=last)), "ms", None, None, 1.0)
    say("filter by a rare type", milliseconds(lambda: log.filter("response.done")), "ms", None, None, 1.0)
    common = "response.output_audio.delta"
    say("filter by the commonest type", milliseconds(lambda: log.filter(common)), "ms", None, None, 1.0)
    both = milliseconds(lambda: log.filter(common, turn=last))
    say("filter by type and turn", both, "ms", None, None, 1.0)
    say("filter by a pattern", milliseconds(lambda: log.filter("response.*.done")), "ms", None, None, 1.0)
    say("count types", milliseconds(log.count_types), "ms", None, None, None)


if __name__ == "__main__":
    main()
