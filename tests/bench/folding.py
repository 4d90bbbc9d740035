"""Folding a long session: the time of its turns and conversation against the time of parsing its JSON.

The events are those of ``client_cost.py``: audio turns of 210 events, and the same without audio.
The changes are read once; what is timed is ``conversation.apply`` and ``turns.apply``, beside
``json.loads`` and ``orjson.loads`` of the frames, in the same process, the best of several rounds.

    python tests/bench/folding.py [--events 300000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).parent))
from client_cost import turn_frames

from rtnb.protocol import dialects
from rtnb.protocol.conversation import Conversation
from rtnb.protocol.turns import Turns


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the CPU seconds of the fastest of some rounds."""

    def once() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(once() for _ in range(rounds))


def measure(kind: str, events: int, rounds: int) -> dict[str, Any]:
    every = (frame for number in range(events) for frame in turn_frames(number))
    kept = (frame for frame in every if kind == "audio" or b"output_audio.delta" not in frame)
    frames = list(islice(kept, events))
    read = [list(dialects.read(orjson.loads(frame), "server")) for frame in frames]

    def fold() -> None:
        conversation = Conversation()
        turns = Turns(conversation)
        for row, found in enumerate(read):
            for change in found:
                conversation.apply(change)
                turns.apply(change, row / 100)

    folding = seconds(fold, rounds)
    parsing = seconds(lambda: [json.loads(frame) for frame in frames], rounds)
    fastest = seconds(lambda: [orjson.loads(frame) for frame in frames], rounds)
    return {
        "events": f"{len(frames):,} {kind}",
        "fold_us": round(folding / len(frames) * 1e6, 2),
        "of_json": round(folding / parsing, 2),
        "of_orjson": round(folding / fastest, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for kind in ("audio", "text"):
        print(json.dumps(measure(kind, options.events, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
