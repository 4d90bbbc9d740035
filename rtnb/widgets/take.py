"""One take of a microphone, put together from the chunks that the page sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..audio import Clip, Resampler
from ..audio.codecs import from_pcm16, to_pcm16

__all__ = ["CAPTURE_RATE", "FLAGS", "Take", "captured"]

CAPTURE_RATE = 24_000
FLAGS = {
    "echo_cancellation": "echoCancellation",
    "noise_suppression": "noiseSuppression",
    "auto_gain_control": "autoGainControl",
}
"""What a browser may do to a microphone's sound, by what it calls them (Media Capture and Streams)."""


def captured(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a page captures, from what it tells: device, its rate, and the flags; None where unknown."""
    return {
        "device": str(info.get("device", "")),
        "device_rate": int(info["rate"]),
        **{ours: info.get(theirs) for ours, theirs in FLAGS.items()},
    }


class Take:
    """The chunks of one take: PCM16 at ``rate`` Hz, numbered from 0, in any order, each counted once."""

    def __init__(self, take: str, rate: int) -> None:
        self.take = take
        self.rate = rate
        self._chunks: dict[int, bytes] = {}
        self._samples = 0
        self._resampler = None if rate == CAPTURE_RATE else Resampler(rate, CAPTURE_RATE)

    @property
    def seconds(self) -> float:
        """How much has arrived, in seconds."""
        return self._samples / self.rate

    def add(self, seq: int, data: bytes) -> bytes | None:
        """Keep chunk number ``seq``; return it as PCM16 at 24 kHz, or None where it had come before."""
        if seq in self._chunks:
            return None
        self._chunks[seq] = data
        self._samples += len(data) // 2
        return data if self._resampler is None else to_pcm16(self._resampler.process(from_pcm16(data)))

    def missing(self, count: int) -> list[int]:
        """Return the numbers below ``count`` that have not arrived."""
        return [seq for seq in range(count) if seq not in self._chunks]

    def clip(self, info: Mapping[str, Any]) -> Clip:
        """Return what has arrived as a clip at 24 kHz."""
        clip = Clip.from_pcm16(b"".join(self._chunks[seq] for seq in sorted(self._chunks)), self.rate)
        if clipped := clip.clipped:  # another rate would blur it
            info = {**info, "clipped_samples": clipped}
        return clip.resample(CAPTURE_RATE).with_info(**info)
