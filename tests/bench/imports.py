"""What ``import rtnb`` costs, against ``import openai``: medians over fresh processes, taken in turn.

python tests/bench/imports.py [--runs 9]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

MEASURE = """
import sys, time
before = set(sys.modules)
began = time.perf_counter()
{statement}
print(time.perf_counter() - began, len(set(sys.modules) - before))
"""

STATEMENTS = {
    "rtnb": "import rtnb",
    "openai": "import openai",
    "rtnb with connect": "import rtnb; rtnb.connect",
    "openai with its client": "import openai; openai.AsyncOpenAI",
}


def run(statement: str) -> tuple[float, int]:
    """Return the milliseconds of a statement in a fresh process, and how many modules it loaded."""
    code = MEASURE.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, modules = done.stdout.split()
    return float(took) * 1000, int(modules)


def main() -> None:
    """Run all and print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    rounds = [{name: run(s) for name, s in STATEMENTS.items()} for _ in range(runs + 1)]
    del rounds[0]  # it wrote the compiled files and warmed the disk
    took = {name: statistics.median(found[name][0] for found in rounds) for name in STATEMENTS}
    loaded = {name: found[1] for name, found in rounds[0].items()}
    for ours, theirs, limit in (
        ("rtnb", "openai", 0.1),
        ("rtnb with connect", "openai with its client", 1.0),
    ):
        for unit, values in (("ms", took), ("modules", loaded)):
            line = {
                "bench": "imports",
                "figure": STATEMENTS[ours],
                "value": round(values[ours], 2),
                "unit": unit,
                "anchor": STATEMENTS[theirs],
                "anchor_value": round(values[theirs], 2),
                "ratio": round(values[ours] / values[theirs], 4),
                "limit": limit if unit == "ms" else None,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
