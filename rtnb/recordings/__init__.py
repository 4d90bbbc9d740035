"""Recordings: a session as one file, opened, replayed, verified, scrubbed, compared, exported, recovered."""

from .recording import RecordedTurn, Recording, open
from .writer import save

__all__ = ["RecordedTurn", "Recording", "open", "save"]
