"""Sound on its way into the input buffer: whole clips, pieces as of a microphone, and what waits there."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from ..audio import Clip, Codec
from ..audio.codecs import decoded_length
from ..errors import ArgumentError
from ..protocol.events import Event
from ..protocol.state import SessionState
from .content import encoded

__all__ = ["LEAST_SECONDS", "InputAudioBuffer"]

LEAST_SECONDS = 0.1
"""The least sound that can be committed (API reference)."""

_CHUNK_SECONDS = 1.0
"""Sound per append when a whole clip is sent: far below the limit of 15 MiB, and still few frames."""


class InputAudioBuffer:
    """Makes the events that carry sound, and counts what was appended and neither committed nor cleared."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._buffered = 0  # bytes

    @property
    def codec(self) -> Codec:
        """The session's input format."""
        return self._state.conversation.input_codec

    def saw(self, event: Event) -> None:
        """Take note of an event that is sent."""
        if event["type"] == "input_audio_buffer.append":
            self._buffered += decoded_length(str(event.get("audio")))
        elif event["type"] in ("input_audio_buffer.commit", "input_audio_buffer.clear"):
            self._buffered = 0

    def committed(self) -> None:
        """The server took what it detected."""
        if self._state.conversation.turn_detection is not None:
            self._buffered = 0

    def check_commit(self) -> None:
        """Raise ArgumentError where less than 0.1 s was appended."""
        seconds = self._buffered / self.codec.bytes_per_second
        if seconds < LEAST_SECONDS:
            raise ArgumentError(
                f"only {seconds:.2f} s were appended: a commit needs {LEAST_SECONDS} s or more"
            )

    def append(self, sound: Clip | bytes) -> Event:
        """Return the event that appends a clip, or bytes in the session's format. Raises ArgumentError."""
        if isinstance(sound, Clip):
            return _append(encoded(sound, self.codec))
        if isinstance(sound, (bytes, bytearray, memoryview)):
            return _append(bytes(sound))
        raise ArgumentError(f"append takes a Clip or bytes, not {type(sound).__name__}")

    def utterance(self, clip: Clip) -> list[Event]:
        """Return the events that append and commit a whole clip."""
        data = encoded(clip, self.codec)
        size = int(self.codec.bytes_per_second * _CHUNK_SECONDS)
        pieces = [_append(data[start : start + size]) for start in range(0, len(data), size)]
        return [*pieces, {"type": "input_audio_buffer.commit"}]

    async def speak(self, sound: Any, speed: float, chunk: float, append: Callable[[bytes], object]) -> None:
        """Give ``append`` the sound piece by piece, at the pace of a person times ``speed``."""
        if isinstance(sound, str) and not os.path.exists(sound):
            raise ArgumentError(
                f"speak streams a clip or a sound file, and there is no file {sound!r}: "
                "text goes to send, and rtnb.Recorder can have the local voice read it"
            )
        clip = Clip.of(sound)
        if not (isinstance(speed, (int, float)) and speed > 0 and chunk > 0):
            raise ArgumentError(f"speed and chunk are numbers above 0, not {speed!r} and {chunk!r}")
        if self._state.conversation.turn_detection is None:
            raise ArgumentError(
                "nothing would find the turns in it: connect or update with turn_detection='server_vad', "
                "or send the clip as a turn of its own with send"
            )
        codec = self.codec
        data = encoded(clip, codec)
        size = max(1, int(codec.rate * chunk)) * codec.width
        clock = asyncio.get_running_loop().time
        began = clock()
        for start in range(0, len(data), size):
            append(data[start : start + size])
            due = began + (start + size) / codec.bytes_per_second / speed
            await asyncio.sleep(max(0.0, due - clock()))


def _append(data: bytes) -> Event:
    return {"type": "input_audio_buffer.append", "audio": b64encode(data).decode()}
