"""Runs of pieces: text and audio of one part of an answer, one after another.

Nearly all that a session receives is such pieces. The first of a run is folded like any other change; what it
belongs to is then known for those that follow, until anything else comes in between.
"""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from .changes import AudioDelta, TextDelta
from .conversation import Conversation
from .items import Part
from .tracks import Track
from .turns import Turns

__all__ = ["Run"]


class Run(Struct, gc=False):
    """What the next piece of a part is added to."""

    response_id: str
    item_id: str
    content_index: int
    part: Part
    turn: int
    marks: tuple[dict[str, float], dict[str, float]]
    """Of the turn and of the response."""
    track: Track
    text: bool
    """Whether a piece of text marks nothing any more."""
    audio: bool
    """Whether a piece of audio marks nothing but its own time any more."""

    @classmethod
    def after(
        cls, piece: TextDelta | AudioDelta, conversation: Conversation, turns: Turns, track: Track
    ) -> Self | None:
        """Return the run that goes on after a piece was folded; None where its ids name no part."""
        item = conversation.items.get(piece.item_id)
        known = turns.of_response(piece.response_id) if piece.response_id else None
        if item is None or known is None:
            return None
        turn, response = known
        marks = (turn.marks, response.marks)
        return cls(
            piece.response_id,
            piece.item_id,
            piece.content_index,
            item.parts[piece.content_index],
            turn.number,
            marks,
            track,
            text=all("first_text" in each for each in marks),
            audio="first_sound" in turn.marks and "first_audio" in response.marks,
        )

    def add(self, piece: TextDelta | AudioDelta, t: float) -> bool:
        """Add a piece that came at ``t``; return False, and add nothing, if it is not of this run."""
        if (
            piece.item_id != self.item_id
            or piece.response_id != self.response_id
            or piece.content_index != self.content_index
        ):
            return False
        if type(piece) is TextDelta:
            if self.text:
                self.part.add_text(piece.text)
            return self.text
        if self.audio:
            assert isinstance(piece, AudioDelta)
            self.part.chunks.append(piece.audio)
            first, second = self.marks
            first["last_audio"] = second["last_audio"] = t
            self.track.append_more(t, piece.audio)
        return self.audio
