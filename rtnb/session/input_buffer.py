"""The input audio buffer: commands that append and commit audio, and how much of it is not committed."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from ..audio import Clip, Codec
from ..errors import ArgumentError
from ..protocol.changes import AppendAudio, Clear, Command, Commit
from ..protocol.log_storage import Sound
from ..protocol.state import SessionState
from .content import encoded

__all__ = ["MIN_SECONDS", "InputAudioBuffer"]

MIN_SECONDS = 0.1
"""The shortest audio that can be committed (API reference)."""

_CHUNK_SECONDS = 1.0
"""Audio per append when a whole clip is sent: far below the limit of 15 MiB, and still few frames."""


class InputAudioBuffer:
    """Makes the commands that carry audio, and counts the bytes that were appended and not yet committed."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._buffered = 0  # bytes

    @property
    def codec(self) -> Codec:
        """The session's input format."""
        return self._state.conversation.input_codec

    def on_sent(self, command: Command) -> None:
        """Update the count for a command that is sent."""
        if isinstance(command, AppendAudio):
            self._buffered += len(command.audio)
        elif isinstance(command, (Commit, Clear)):
            self._buffered = 0

    def on_committed(self) -> None:
        """Reset the count if the server committed speech that it detected."""
        if self._state.conversation.turn_detection is not None:
            self._buffered = 0

    def check_commit(self) -> None:
        """Raise ArgumentError if less than 0.1 s was appended."""
        seconds = self._buffered / self.codec.bytes_per_second
        if seconds < MIN_SECONDS:
            raise ArgumentError(
                f"commit needs at least {MIN_SECONDS} s of appended audio, got {seconds:.2f} s"
            )

    def append(self, audio: Clip | bytes) -> AppendAudio:
        """Return the command that appends a clip, or bytes in the session's format. Raises ArgumentError."""
        if isinstance(audio, Clip):
            return _append(encoded(audio, self.codec))
        if isinstance(audio, (bytes, bytearray, memoryview)):
            return _append(bytes(audio))
        raise ArgumentError(f"append: expected a Clip or bytes, got {type(audio).__name__}")

    def utterance(self, clip: Clip) -> list[AppendAudio | Commit]:
        """Return the commands that append and commit a whole clip."""
        data = encoded(clip, self.codec)
        size = int(self.codec.bytes_per_second * _CHUNK_SECONDS)
        pieces = [_append(data[start : start + size]) for start in range(0, len(data), size)]
        return [*pieces, Commit()]

    async def speak(self, audio: Any, speed: float, chunk: float, append: Callable[[bytes], object]) -> None:
        """Call ``append`` with the audio in chunks, at the pace of speech times ``speed``."""
        if isinstance(audio, str) and not os.path.exists(audio):
            raise ArgumentError(
                f"speak: expected a clip or a sound file, and the file {audio!r} does not exist: "
                "pass text to send, or use rtnb.Recorder to have the local voice read it"
            )
        clip = Clip.of(audio)
        if not (isinstance(speed, (int, float)) and speed > 0 and chunk > 0):
            raise ArgumentError(
                f"speed and chunk must be numbers above 0, got {speed!r:.80} and {chunk!r:.80}"
            )
        if self._state.conversation.turn_detection is None:
            raise ArgumentError(
                'speak() needs turn detection: pass turn_detection="server_vad" to connect or update, '
                "or send the clip as one turn with send()"
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


def _append(data: bytes) -> AppendAudio:
    return AppendAudio(Sound(data), b64encode(data).decode())
