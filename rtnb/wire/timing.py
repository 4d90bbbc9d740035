"""When things happened in a turn, and by whose clock.

All marks are in seconds since the log began. Most are when a frame left or arrived here; the end of speech is
the server's judgement (``audio_end_ms``) put on this side's clock: the moment when that piece of sound was
sent. A mark that was not observed is absent, and what depends on it is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MARKS", "Latency"]

MARKS = {
    "input": "the first input frame left",
    "speech_started": "the server said that speech began",
    "speech_end": "the last of the speech was sent, as the server placed its end",
    "speech_stopped": "the server said that speech had ended",
    "committed": "the server took the input",
    "requested": "a response was asked for",
    "created": "the first response began",
    "first_text": "the first text or transcript arrived",
    "first_audio": "the first sound arrived, silent or not",
    "first_sound": "the first sound above −50 dBFS could be heard, if played from first_audio on",
    "last_audio": "the last sound arrived",
    "done": "the last response was over",
}
"""The names of all marks, in the usual order, and what each means."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the end of the user's input; None where it was not observed.

    The end of input is the end of speech where the server detected one, else when the response was asked
    for. ``commit_to_audio`` is from the server's taking of the input to the first sound.
    """

    since: str
    first_text: float | None = None
    first_audio: float | None = None
    first_sound: float | None = None
    total: float | None = None
    commit_to_audio: float | None = None

    @classmethod
    def of(cls, marks: Mapping[str, float]) -> Latency:
        """Read a turn's marks."""
        since = next(
            (name for name in ("speech_end", "requested", "committed", "created") if name in marks), ""
        )

        def ms(name: str, start: str = since) -> float | None:
            if name not in marks or start not in marks:
                return None
            return round((marks[name] - marks[start]) * 1000, 3)

        return cls(
            since=since,
            first_text=ms("first_text"),
            first_audio=ms("first_audio"),
            first_sound=ms("first_sound"),
            total=ms("done"),
            commit_to_audio=ms("first_audio", "committed"),
        )

    def __str__(self) -> str:
        if self.first_audio is not None:
            return f"first audio {self.first_audio:.0f} ms"
        if self.first_text is not None:
            return f"first text {self.first_text:.0f} ms"
        return "latency unknown"
