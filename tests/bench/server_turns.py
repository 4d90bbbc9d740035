"""The embedded server's time per turn as a conversation grows: turns 1 to 100 against turns 901 to 1,000.

Text turns with the fake engine over an in-memory pair. The client only looks for the last event of a turn in
the bytes, so nearly all of the process's CPU time is the server's. The prompt grows with every turn; beyond
what the model is given anyway, a turn should cost the same however long the conversation is.

    python tests/bench/server_turns.py [--turns 1000] [--profile]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import statistics
import time

import orjson

from rtnb.engines.fake import fake
from rtnb.server.session import serve
from rtnb.transports.memory import pair

SPAN = 100
LIMIT = 2.0
"""Of the ratio; what the model is given grows, and nothing else."""
LAST = b'"type":"rate_limits.updated"'


async def turns(count: int, profile: cProfile.Profile | None) -> list[float]:
    """Return the CPU milliseconds of each turn; the last 100 are profiled."""
    client, end = pair()
    serving = asyncio.create_task(serve(end, fake({})))
    session = {"type": "realtime", "output_modalities": ["text"]}
    await client.send(orjson.dumps({"type": "session.update", "session": session}))
    spent = []
    for number in range(count):
        if profile is not None and number == max(0, count - SPAN):
            profile.enable()
        start = time.process_time()
        content = [{"type": "input_text", "text": f"This is message number {number}."}]
        item = {"type": "message", "role": "user", "content": content}
        await client.send(orjson.dumps({"type": "conversation.item.create", "item": item}))
        await client.send(b'{"type":"response.create"}')
        while LAST not in await client.recv():
            pass
        spent.append((time.process_time() - start) * 1000)
    await client.close()
    await serving
    return spent


def main() -> None:
    """Print the median milliseconds of a turn in spans of 100 turns, against those of the first 100."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1_000)
    parser.add_argument("--profile", action="store_true", help="print what the last 100 turns do")
    options = parser.parse_args()
    profile = cProfile.Profile() if options.profile else None
    spent = asyncio.run(turns(options.turns, profile))
    medians = [statistics.median(spent[at : at + SPAN]) for at in range(0, len(spent), SPAN)]
    for number, median in enumerate(medians[1:], 1):
        first = number * SPAN
        line = {
            "figure": f"server time of a text turn, {first + 1} to {first + SPAN}",
            "value": round(median, 2),
            "unit": "ms",
            "anchor": f"1 to {SPAN}",
            "anchor_value": round(medians[0], 2),
            "ratio": round(median / medians[0], 2),
            "limit": LIMIT,
        }
        print(json.dumps(line), flush=True)
    if profile is not None:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(20)


if __name__ == "__main__":
    main()
