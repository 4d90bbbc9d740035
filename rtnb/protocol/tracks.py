"""Audio tracks: the audio of a session in time, whether it came in frames or beside them.

Over a WebSocket, audio is cut out of frames. Over WebRTC it arrives on a media stream and is in no frame: its
receiver adds it with ``SessionState.append_media``. Either way it is folded into the items that it belongs
to, so that players, waveforms and the timeline need not know its source; a track keeps when it arrived.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

from ..audio.codecs import Codec
from .log_storage import Sound

__all__ = ["Piece", "Track"]


class Piece(NamedTuple):
    """A piece of a track: ``t`` is when it was sent or received, in seconds since the log began."""

    t: float
    item_id: str
    """The item that it belongs to; "" for input that is not part of an item yet."""
    audio: Sound
    codec: Codec
    framed: bool
    """Whether a frame of the log carries it."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.audio) / self.codec.bytes_per_second


class Track:
    """The audio of one side, in order of arrival. ``side`` is input (the user's) or output (the model's)."""

    def __init__(self, side: str) -> None:
        self.side = side
        self._times = array("d")
        self._audio: list[Sound] = []
        # Pieces in a row mostly differ only in time and audio: from which on, the rest is the same.
        self._shared: list[tuple[int, str, Codec, bool]] = []

    def append(self, piece: Piece) -> None:
        """Add what was sent or received last."""
        shared = (piece.item_id, piece.codec, piece.framed)
        if not self._shared or self._shared[-1][1:] != shared:
            self._shared.append((len(self._audio), *shared))
        self.append_more(piece.t, piece.audio)

    def append_more(self, t: float, audio: Sound) -> None:
        """Add another piece of the same item, codec and framing as the last."""
        self._times.append(t)
        self._audio.append(audio)

    @property
    def pieces(self) -> list[Piece]:
        """All pieces."""
        return list(self)

    def __iter__(self) -> Iterator[Piece]:
        count, shared = len(self._audio), list(self._shared)  # it may grow on another thread
        ends = [start for start, *_ in shared[1:]] + [count]
        for (start, item_id, codec, framed), end in zip(shared, ends, strict=False):
            for at in range(start, min(end, count)):
                yield Piece(self._times[at], item_id, self._audio[at], codec, framed)

    @property
    def seconds(self) -> float:
        """The length of all its audio, without the time between."""
        return sum(piece.seconds for piece in self)

    @property
    def framed(self) -> bool:
        """Whether all of it is in frames of the log."""
        return all(framed for *_, framed in self._shared)

    def __len__(self) -> int:
        return len(self._audio)

    def __repr__(self) -> str:
        beside = "" if self.framed else ", not all of it in frames"
        return f"<Track {self.side}: {len(self):,} pieces, {self.seconds:.2f} s{beside}>"
