"""From the end of speech to the first sound of the answer, on the real engine, paced like a microphone.

A server of its own is started; its voice has spoken the questions beforehand. Each is streamed in real
time, 40 ms at a time, into a session with server VAD and 320 ms of silence. Two figures per turn, both at the
client: from the end of speech, as the server places it, to the first audio delta; and from the commit to it.

    python tests/bench/voice_to_voice.py [--turns 14]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import rtnb
from rtnb.engines.weights import WEIGHTS_PACKAGES
from rtnb.session.async_session import AsyncSession
from rtnb.transports import WebSocket
from rtnb.transports.base import Transport

SILENCE_MS = 320
QUESTIONS = [
    "What is the largest ocean on the earth?",
    "Can you tell me something about the moon?",
    "Why is the sky blue in the morning?",
    "What do you think about old books?",
    "How do birds know where to fly in winter?",
    "Please name a good breakfast for a cold day.",
    "What makes a garden beautiful?",
    "Which animal would you like to be?",
    "How does a sailing boat move against the wind?",
    "What should I see in a big city?",
    "Do you like the sound of rain?",
    "What is a good name for a grey cat?",
    "Where does the river begin?",
    "Tell me one thing about music.",
]


def questions() -> list[rtnb.Clip]:
    """Return the questions as the engine's own voice speaks them."""
    from rtnb.engines.hibari import hibari

    voice = hibari("")
    return [rtnb.Clip(voice.speak(text, "", 1.0), voice.rate).trim() for text in QUESTIONS]


async def talk(transport: Transport, spoken: list[rtnb.Clip], turns: int) -> list[dict[str, float]]:
    """Speak all turns and return their latencies in milliseconds."""
    detection = {"type": "server_vad", "silence_duration_ms": SILENCE_MS}
    session = await AsyncSession(transport, billed=False).open({"turn_detection": detection})
    silence = rtnb.Clip.silence(0.6)
    figures = []
    async with session:
        for number in range(turns + 1):
            before = len(session.turns)
            said = rtnb.Clip.join([silence, spoken[number % len(spoken)]])
            speaking = asyncio.ensure_future(session.speak(said))
            while not speaking.done() or len(session.turns) == before:
                await speaking
                await session.speak(rtnb.Clip.silence(0.2))  # the microphone stays open
            turn = session.turns[-1]
            async with asyncio.timeout(30):
                while not turn.done:
                    await session.speak(rtnb.Clip.silence(0.2))
            latency = turn.latency
            ok = latency.since == "speech_end" and latency.first_audio and latency.commit_to_audio
            if number and ok:  # the first turn warms the caches up
                figures.append({"voice": latency.first_audio, "commit": latency.commit_to_audio})
    return figures


def peak_memory(pid: int) -> float | None:
    """Return the most memory that a process has held, in MB; None where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1000  # type: ignore[index]


def report(figure: str, value: float | None, unit: str, limit: float, anchor: str, against: float) -> None:
    """Print one figure as a line of JSON."""
    line = {
        "bench": "voice_to_voice",
        "figure": figure,
        "value": None if value is None else round(value, 1),
        "unit": unit,
        "anchor": anchor,
        "anchor_value": against,
        "ratio": None if value is None else round(value / against, 3),
        "limit": limit,
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=14)
    args = parser.parse_args()
    spoken = questions()
    command = [sys.executable, "-m", "rtnb", "serve", "--port", "0", "--engine", "local"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]

        async def run() -> list[dict[str, float]]:
            return await talk(await WebSocket.connect(url), spoken, args.turns)

        figures = asyncio.run(run())
        memory = peak_memory(server.pid)
        server.terminate()
    voice, commit = ([turn[name] for turn in figures] for name in ("voice", "commit"))
    silence = f"{SILENCE_MS} ms of silence that end a turn"
    report("turns measured", len(figures), "turns", 12, "turns asked for", args.turns)
    report("voice to voice, median", statistics.median(voice), "ms", 700, silence, SILENCE_MS)
    report("voice to voice, p95", statistics.quantiles(voice, n=20)[-1], "ms", 0, silence, SILENCE_MS)
    report("commit to first audio, median", statistics.median(commit), "ms", 350, silence, SILENCE_MS)
    report("commit to first audio, p95", statistics.quantiles(commit, n=20)[-1], "ms", 0, silence, SILENCE_MS)
    weights = sum(weight.bytes for package in WEIGHTS_PACKAGES for weight in package.weights) / 1e6
    report("server's peak memory", memory, "MB", 700, "its weights on disk", weights)


if __name__ == "__main__":
    main()
