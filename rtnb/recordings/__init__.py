"""Recordings: a session as one file, opened, replayed, verified, scrubbed, compared, exported, recovered."""

from .recording import Recording, open
from .view import RecordedTurn
from .writer import save

__all__ = ["RecordedTurn", "Recording", "open", "save"]
