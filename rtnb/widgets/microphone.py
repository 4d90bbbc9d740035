"""The microphone, in the kernel: how the page captures, a recording's chunks, and input of a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..audio import Clip
from ..audio.codecs import from_pcm16, to_pcm16
from ..audio.samples import Resampler
from ..session.async_session import AsyncSession

__all__ = ["CAPTURE_RATE", "FLAGS", "Capture", "Microphone", "capture_info"]

CAPTURE_RATE = 24_000
FLAGS = {
    "echo_cancellation": "echoCancellation",
    "noise_suppression": "noiseSuppression",
    "auto_gain_control": "autoGainControl",
}
"""How a browser may process a microphone's audio, with its own names (Media Capture and Streams)."""


def capture_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a page captures, from its report: device, rate, and the flags; None for an unknown flag."""
    return {
        "device": str(info.get("device", "")),
        "device_rate": int(info["rate"]),
        **{name: info.get(browser_name) for name, browser_name in FLAGS.items()},
    }


class Capture:
    """The chunks of one recording: PCM16 at ``rate`` Hz, numbered from 0, in any order, each counted once."""

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
        """Store chunk number ``seq``; return it as PCM16 at 24 kHz, or None if it had arrived before."""
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
        if clipped := clip.clipped:  # counted before resampling, which would blur it
            info = {**info, "clipped_samples": clipped}
        return clip.resample(CAPTURE_RATE).with_info(**info)


class Microphone:
    """A page's microphone as the input of a session. Everything runs on the session's loop.

    ``settings`` are the capture settings that the page is asked for, by the browser's names.
    """

    def __init__(self, core: AsyncSession, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self.info: dict[str, Any] | None = None
        """How the page captures; None while it does not."""
        self.seconds = 0.0
        """How much was captured since ``clear``."""
        self._core = core
        self._resampler: Resampler | None = None

    def opened(self, info: Mapping[str, Any] | None) -> None:
        """Note how the page has opened the microphone; None if it has not."""
        self.info = capture_info(info) if info else None
        self._resampler = None

    def configure(self, message: Mapping[str, Any]) -> None:
        """Store the capture settings that the page chose, for a tab that takes over."""
        self.settings.update((name, message[name]) for name in self.settings if name in message)

    def send(self, data: bytes) -> None:
        """Send PCM16 at the page's rate to the session, in the format of its input."""
        rate = self.info["device_rate"] if self.info else CAPTURE_RATE
        self.seconds += len(data) / 2 / rate
        codec = self._core.state.conversation.input_codec
        if codec.type != "audio/pcm" or codec.rate != rate:
            if self._resampler is None:
                self._resampler = Resampler(rate, codec.rate)
            data = codec.encode(self._resampler.process(from_pcm16(data)))
        self._core.append(data)

    def clear(self) -> None:
        """Discard what was captured and not committed."""
        self.seconds = 0.0
        if not self._core.closed:
            self._core.clear()
