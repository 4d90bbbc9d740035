"""Audio tracks: the audio of a session in time, whether it came in frames or beside them.

Over a WebSocket, audio is cut out of frames. Over WebRTC it arrives on a media stream and is in no frame: its
receiver adds it with ``SessionState.append_media``. Either way it is folded into the items that it belongs
to, so that players, waveforms and the timeline need not know its source; a track keeps when it arrived.
"""

from __future__ import annotations

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
        self.pieces: list[Piece] = []

    def append(self, piece: Piece) -> None:
        """Add what was sent or received last."""
        self.pieces.append(piece)

    @property
    def seconds(self) -> float:
        """The length of all its audio, without the time between."""
        return sum(piece.seconds for piece in self.pieces)

    @property
    def framed(self) -> bool:
        """Whether all of it is in frames of the log."""
        return all(piece.framed for piece in self.pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    def __repr__(self) -> str:
        beside = "" if self.framed else ", not all of it in frames"
        return f"<Track {self.side}: {len(self.pieces):,} pieces, {self.seconds:.2f} s{beside}>"
