"""What a live session is to its user besides its verbs: what to see of it, and what to keep of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..analysis.gauges import Gauge
from ..analysis.session import Overview, SessionView
from ..protocol.events import as_object
from ..redaction import clean_name
from ..session.async_session import AsyncSession

__all__ = ["LiveSession"]


class LiveSession(SessionView):
    """A session with a server. `Session` and `AsyncSession` are its blocking and its asynchronous form."""

    _core: AsyncSession
    _endpoint: str

    @property
    def endpoint(self) -> str:
        """The server that it is connected to, in words."""
        return self._endpoint

    def save(self, path: str | os.PathLike[str], *, lossy: bool = False) -> Path:
        """Save all frames so far as a recording (``.rtnb``) and return its path; the session continues.

        The file is a zip that can be read without rtnb: its README.txt says how. Every frame is stored byte
        for byte; keys in frames are redacted. With ``lossy`` audio is stored as Opus: a tenth of the size,
        similar but not identical. ``rtnb.open`` opens it, ``rtnb.replay`` answers from it.

        Raises ArgumentError for the extension of another kind of file, RecordingError if the file cannot be
        written.
        """
        from ..recordings.writer import media_of, pieces, recording_path, save

        path = recording_path(path)
        save(pieces(self.state.log), self._manifest(), path, media=media_of(self.state), lossy=lossy)
        return path

    def _manifest(self) -> dict[str, Any]:
        """Return the manifest of a recording of the session."""
        from ..recordings.manifest import manifest

        core = self._core
        return manifest(
            core.state,
            endpoint=self.endpoint,
            engine=core.engine,
            billed=core.billed,
            problem=core.problem,
        )

    def report(
        self, out: str | os.PathLike[str], *, title: str = "", audio: bool = True, max_mb: float = 25.0
    ) -> Path:
        """Write one HTML page that holds all so far and works offline, and return its path.

        Timeline, turns with players, transcript, tokens and money, configuration, provenance, event log.
        ``audio`` False leaves the audio out; else up to ``max_mb`` megabytes of it are kept, as Opus. The
        hashes in it are those of the file that ``save`` would write now.

        Raises RecordingError if it cannot be written, ArgumentError for an invalid ``max_mb`` or a name that
        does not end in .html.
        """
        from ..analysis.provenance import Provenance
        from ..analysis.session import Snapshot
        from ..recordings.writer import digests, media_of, pieces
        from ..render.report import write_report

        snapshot, about = Snapshot(self), self._manifest()
        frames = pieces(self.state.log, 0, len(snapshot.state.log))
        origin = Provenance(about, "", *digests(frames, about, media_of(snapshot.state)))
        return write_report(snapshot, out, origin=origin, title=title, audio=audio, max_mb=max_mb)

    @property
    def _allowances(self) -> Sequence[Gauge]:
        return [] if self._core.budget is None else self._core.budget.gauges

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        count = len(self._core.turns)
        turns = f"{count} turn{'' if count == 1 else 's'}"
        name, endpoint = type(self).__name__, clean_name(self.endpoint)
        return f"<{name} with {endpoint}, {state}: {turns}, {len(self.log):,} events>"

    @property
    def overview(self) -> Overview:
        """What a notebook shows of it above the turns."""
        conversation = self.state.conversation
        output = as_object(as_object(conversation.session.get("audio")).get("output"))
        detection = (conversation.turn_detection or {}).get("type", "none (each send is a turn)")
        facts = (
            f"model {self.model}" if self.model else "",
            f"voice {voice}" if (voice := output.get("voice")) else "",
            f"turn detection {detection}",
            f"{len(self.log):,} events",
            "closed" if self.closed else "open",
        )
        return Overview(
            f"Session with {self.endpoint}", facts, str(self._core.problem) if self._core.problem else None
        )
