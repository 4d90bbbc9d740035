"""A recording that is open, with everything that a session shows, and no session."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..analysis.events import Events
from ..analysis.session import SessionView
from ..analysis.turn import TurnView
from ..audio import Clip
from ..errors import ArgumentError, RecordingError
from ..formatting import duration, moment
from ..protocol.events import as_object
from ..protocol.state import TIME_SCALED, SessionState
from ..render.turn_card import overview_html
from .reader import LinesReader, Reader, are_lines

if TYPE_CHECKING:
    from ..analysis.provenance import Provenance
    from .scrub import ScrubReport
    from .verify import Differences, VerifyResult

__all__ = ["RecordedTurn", "Recording", "open"]

_KINDS: dict[str, tuple[type, ...]] = {
    "capture": (dict,),
    "scrubbed": (list,),
    "end": (dict, type(None)),
    "libraries": (dict,),
}
"""What these fields of a header are; one that is something else was told by nobody."""


class RecordedTurn(TurnView):
    """A turn from a file. It is over: nothing waits."""

    @property
    def done(self) -> bool:
        """Whether nothing more will come: always."""
        return True

    @property
    def text(self) -> str:
        """The answer's text."""
        return self.text_so_far

    @property
    def audio(self) -> Clip | None:
        """The answer's sound; None where there is none."""
        return self.audio_so_far

    def wait(self, timeout: float | None = None) -> RecordedTurn:
        """Return the turn, as a live turn's ``wait`` does in the end."""
        return self

    def __repr__(self) -> str:
        return self._brief(", recorded")


class Recording(SessionView):
    """A session as it was, read from a file. The log is there at once; folds run when first asked for.

    ``problem`` is a sentence where the file was cut, never ended or repaired; else None.
    """

    def __init__(self, reader: Reader | LinesReader) -> None:
        self._reader = reader
        self.path: Path = reader.path
        self.problem = reader.problem
        head = reader.head.items()
        told = {name: value for name, value in head if isinstance(value, _KINDS.get(name, object))}
        self.header: Mapping[str, Any] = MappingProxyType(told)
        """What the file says of itself: see ``rtnb.recordings.format``."""

    @property
    def log(self) -> Events:
        """Every frame, both directions: to filter, search, count, and look at."""
        told = ("where", "engine", "billed", "model", "stated_model")
        about = {name: self.header[name] for name in told if name in self.header}
        return Events(self._reader.log, state=lambda: self.state, about=about, over=True)

    @cached_property
    def state(self) -> SessionState:
        """The log and all that is folded from it."""
        made = self._reader.state if isinstance(self._reader, LinesReader) else None
        state = SessionState.of(self._reader.log) if made is None else made
        state.time_scaled = self.header.get("hurried") is True
        state.source = f"From {self.about}. {TIME_SCALED if state.time_scaled else ''}".strip()
        state.requested_model = str(self.header.get("stated_model") or self.header.get("model") or "")
        return state

    @property
    def about(self) -> str:
        """The file, when it was made, and with whom, as one phrase."""
        made = str(self.header.get("created") or "")[:10]
        return f"{self.path.name}, recorded{f' {made}' if made else ''} with {self.endpoint}"

    @cached_property
    def turns(self) -> list[RecordedTurn]:
        """All turns."""
        return [
            RecordedTurn(self.state, fold, billed=self.billed, engine=self.engine)
            for fold in self.state.turns.all
        ]

    @property
    def model(self) -> str:
        """The model's id."""
        return str(self.header.get("model") or "") or self.state.model

    @property
    def engine(self) -> str:
        """The embedded engine that answered, such as "local"; "" for another server."""
        return str(self.header.get("engine") or "")

    @property
    def billed(self) -> bool:
        """Whether somebody was asked to pay for it."""
        return self.header.get("billed") is not False

    @property
    def endpoint(self) -> str:
        """What the session talked to, in words."""
        return str(self.header.get("where") or "an unnamed server")

    @property
    def frames_sha256(self) -> str | None:
        """The hash of all frames, as the file tells it; None where sound is lossy or the file was cut."""
        tail = getattr(self._reader, "tail", None) or {}
        return str(tail["sha256"]) if tail.get("sha256") else None

    @cached_property
    def provenance(self) -> Provenance:
        """Where it comes from: who answered, when, made by what, and the hashes of the file."""
        from .export import provenance

        return provenance(self)

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return self.log[-1].t if len(self.log) else 0.0

    @property
    def closed(self) -> bool:
        """Whether the session is over: always."""
        return True

    def verify(self) -> VerifyResult:
        """Read the whole file again and tell whether it is what was written."""
        from .verify import verify

        return verify(self.path)

    def diff(self, other: Recording | str | os.PathLike[str]) -> Differences:
        """Return how another recording differs, a line each; ids, samples and times do not count.

        Raises RecordingError for a file that cannot be read.
        """
        from .verify import diff

        return diff(self, other if isinstance(other, Recording) else open(other))

    def export(self, out: str | os.PathLike[str]) -> list[Path]:
        """Write JSON Lines (.jsonl), a transcript (.txt), both voices (.wav), or a folder of sounds.

        Raises RecordingError for another suffix, or where it cannot be written.
        """
        from .export import export

        return export(self, out)

    def report(
        self, out: str | os.PathLike[str], *, title: str = "", audio: bool = True, max_mb: float = 25.0
    ) -> Path:
        """Write one HTML page that holds everything and works offline, and return its path.

        ``audio`` False leaves the sound out; else up to ``max_mb`` megabytes of it are kept, as Opus. Raises
        RecordingError where it cannot be written, ArgumentError for a name that does not end in .html.
        """
        from .export import write_report

        return write_report(self, out, title=title, audio=audio, max_mb=max_mb)

    def scrub(
        self,
        out: str | os.PathLike[str],
        *,
        voice: str | None = None,
        text: str | None = None,
        matching: str | None = None,
    ) -> ScrubReport:
        """Write the recording to ``out`` without someone's voice or words, and prove that they are gone.

        ``voice`` and ``text`` are "user", "assistant" or "all"; ``matching`` a pattern: all words of the
        items that contain it. Raises ArgumentError for a rule that takes out nothing, RecordingError where
        the file cannot be written.
        """
        from .scrub import ScrubRule, scrub

        return scrub(self.path, Path(out), ScrubRule(voice, text, matching))

    def __repr__(self) -> str:
        made = str(self.header.get("created") or "")[:10]
        parts = [f"{len(self.log):,} events", duration(self.seconds), f"with {self.endpoint}"]
        parts += [f"of {made}"] if made else []
        parts += [self.problem] if self.problem else []
        return f"<Recording {self.path.name}: {', '.join(parts)}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        head = self.header
        taken = head.get("scrubbed")
        facts = (
            f"with {self.endpoint}",
            f"model {self.model}" if self.model else "",
            f"recorded {moment(str(head.get('created') or ''))}",
            duration(self.seconds),
            f"{len(self.log):,} events",
            f"sound {as_object(head.get('capture')).get('audio', 'lossless')}",
            f"taken out: {', '.join(map(str, taken))}" if taken else "",
        )
        foot = self.provenance.foot()
        return overview_html(self, self.path.name, facts, problem=self.problem, rest=foot)


def open(path: str | os.PathLike[str], *, repair: bool = False) -> Recording:
    """Open a recording. It needs no key, no engine and no network, and reads nothing that is not looked at.

    A file that was cut, or a spool that was never ended, opens with what is whole of it and says so in
    ``problem``. ``repair`` opens a damaged one too, without what is damaged. JSON Lines (``.jsonl``, as
    ``s.log.to_jsonl`` writes them) open too, read as a whole.

    Raises RecordingError: no such file, no recording, damaged, or made by a newer rtnb. ArgumentError for
    what is no path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(f"a recording is named by its path, not by {type(path).__name__}")
    if "\0" in os.fsdecode(path):
        raise RecordingError(f"{os.fsdecode(path)!r} names no file: there is a zero byte in it")
    if are_lines(path):
        return Recording(LinesReader(path))
    return Recording(Reader(path, repair=repair))
