"""The microphone of a talk, in the kernel: how the page captures, and its sound on the way to the session.

All of it runs on the session's loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..audio.codecs import from_pcm16
from ..audio.resample import Resampler
from ..session.async_session import AsyncSession
from .take import CAPTURE_RATE, captured

__all__ = ["Microphone"]


class Microphone:
    """What one page hears. ``settings`` is what it is asked to capture with, by the page's names."""

    def __init__(self, core: AsyncSession, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self.info: dict[str, Any] | None = None
        """How the page captures; None while it does not."""
        self.seconds = 0.0
        """How much was heard since ``clear``."""
        self._core = core
        self._resampler: Resampler | None = None

    def opened(self, info: Mapping[str, Any] | None) -> None:
        """The page has opened it, or not (None)."""
        self.info = captured(info) if info else None
        self._resampler = None

    def choose(self, message: Mapping[str, Any]) -> None:
        """Keep what the page captures with, for the tab that takes over."""
        self.settings.update((name, message[name]) for name in self.settings if name in message)

    def take(self, data: bytes) -> None:
        """Pass PCM16 at the page's rate on to the session, in the format of its input."""
        rate = self.info["device_rate"] if self.info else CAPTURE_RATE
        self.seconds += len(data) / 2 / rate
        codec = self._core.record.conversation.input_codec
        if codec.type != "audio/pcm" or codec.rate != rate:
            if self._resampler is None:
                self._resampler = Resampler(rate, codec.rate)
            data = codec.encode(self._resampler.process(from_pcm16(data)))
        self._core.append(data)

    def clear(self) -> None:
        """Forget what was heard and not committed."""
        self.seconds = 0.0
        if not self._core.closed:
            self._core.send_event({"type": "input_audio_buffer.clear"})
