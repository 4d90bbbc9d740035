"""`Recording`: an open recording file, with the views of a session and the tools for files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.session import Overview
from ..formatting import duration, moment
from ..redaction import clean_text
from .reader import open_reader
from .view import RecordingView

if TYPE_CHECKING:
    from .scrub import ScrubReport
    from .verify import Differences, VerifyResult

__all__ = ["Recording", "open"]


class Recording(RecordingView):
    """A session read from a file: the views of a session, and the tools that check, compare and convert it.

    ``problem`` is a sentence if the file was cut, has no end or was repaired; else None.
    """

    def verify(self) -> VerifyResult:
        """Read the whole file again and check that it is what was written."""
        from .verify import verify

        return verify(self.path)

    def diff(self, other: Recording | str | os.PathLike[str]) -> Differences:
        """Return how another recording differs, a line each; ids, samples and times do not count.

        Raises RecordingError for a file that cannot be read.
        """
        from .verify import diff

        return diff(self, other if isinstance(other, Recording) else open(other))

    def export(self, out: str | os.PathLike[str]) -> list[Path]:
        """Write JSON Lines (.jsonl), a transcript (.txt), both voices (.wav), or a folder of WAV files.

        Returns the paths of the files. Raises RecordingError for another suffix, or if a file cannot be
        written.
        """
        from .export import export

        return export(self, out)

    def report(
        self, out: str | os.PathLike[str], *, title: str = "", audio: bool = True, max_mb: float = 25.0
    ) -> Path:
        """Write one HTML page that holds everything and works offline, and return its path.

        ``audio=False`` leaves the audio out; otherwise up to ``max_mb`` megabytes of it are included, as
        Opus. Raises RecordingError if the page cannot be written, ArgumentError for a name that does not end
        in .html.
        """
        from ..render.report import write_report

        return write_report(self, out, origin=self.provenance, title=title, audio=audio, max_mb=max_mb)

    def scrub(
        self,
        out: str | os.PathLike[str],
        *,
        voice: str | None = None,
        text: str | None = None,
        matching: str | None = None,
    ) -> ScrubReport:
        """Write a copy without someone's voice or words to ``out``, and check that they are gone.

        ``voice`` and ``text`` are "user", "assistant" or "all"; ``matching`` is a regular expression: all
        words of the items in which it is found. Raises ArgumentError for a rule that removes nothing,
        RecordingError if the file cannot be written.
        """
        from .scrub import ScrubRule, scrub

        return scrub(self.path, out, ScrubRule(voice, text, matching))

    @property
    def size(self) -> int:
        """The size of its file, or of the files in its folder, in bytes."""
        return self._reader.size

    def __repr__(self) -> str:
        date = str(self.manifest.get("created") or "")[:10]
        parts = [f"{len(self.log):,} events", duration(self.seconds), f"with {self.endpoint}"]
        parts += [f"of {date}"] if date else []
        parts += [self.problem] if self.problem else []
        return clean_text(f"<Recording {self.path.name}: {', '.join(parts)}>")

    @property
    def overview(self) -> Overview:
        """What a notebook shows of it above the turns."""
        about = self.manifest
        removed = about.get("scrubbed")
        facts = (
            f"with {self.endpoint}",
            f"model {self.model}" if self.model else "",
            f"recorded {moment(str(about.get('created') or ''))}",
            duration(self.seconds),
            f"{len(self.log):,} events",
            f"audio {'Opus (lossy)' if about.get('lossy') else 'lossless'}",
            f"removed: {', '.join(map(str, removed))}" if removed else "",
        )
        return Overview(self.path.name, facts, self.problem, self.provenance)


def open(path: str | os.PathLike[str], *, repair: bool = False) -> Recording:
    """Open a recording. It needs no key, no engine and no network, and reads only what is looked at.

    A file that was cut, or an autosave without an end, opens with what is intact and says so in ``problem``.
    ``repair`` opens a damaged one too, without what is damaged. JSON Lines (``.jsonl``, as
    ``s.log.to_jsonl`` writes them) open too, and are read completely.

    Raises RecordingError if the file does not exist, is not a recording, is damaged, or was written by a
    newer rtnb; ArgumentError for something that is not a path.
    """
    return Recording(open_reader(path, repair=repair))
