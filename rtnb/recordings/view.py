"""What a recording holds, read from its file: the base of `Recording`, and all that its tools need."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..analysis.events import Events
from ..analysis.provenance import Provenance
from ..analysis.session import SessionView
from ..analysis.turn import TurnView
from ..analysis.turn_table import TurnList
from ..audio import Clip
from ..protocol.state import TIME_SCALED, SessionState
from .reader import JsonlReader, Reader

__all__ = ["RecordedTurn", "RecordingView"]

_TYPES: dict[str, tuple[type, ...]] = {
    "scrubbed": (list,),
    "end": (dict, type(None)),
    "libraries": (dict,),
}
"""The types of these fields of a manifest; a field of another type is ignored."""


class RecordedTurn(TurnView):
    """A turn from a file. It is finished, so nothing waits."""

    @property
    def done(self) -> bool:
        """Whether the turn is finished: always True."""
        return True

    @property
    def text(self) -> str:
        """The answer's text."""
        return self.text_so_far

    @property
    def audio(self) -> Clip | None:
        """The answer's audio; None if there is none."""
        return self.audio_so_far

    def wait(self, timeout: float | None = None) -> RecordedTurn:
        """Return the turn at once, as a live turn's ``wait`` does when it is finished."""
        return self

    def __repr__(self) -> str:
        return self._brief(", recorded")


class RecordingView(SessionView):
    """A session read from a file. The log is available at once; folds run when first asked for.

    ``problem`` is a sentence if the file was cut, has no end or was repaired; else None.
    """

    def __init__(self, reader: Reader | JsonlReader) -> None:
        self._reader = reader
        self.path: Path = reader.path
        self.problem = reader.problem
        about = reader.manifest.items()
        known = {name: value for name, value in about if isinstance(value, _TYPES.get(name, object))}
        self.manifest: Mapping[str, Any] = MappingProxyType(known)
        """What the file says about itself: see ``rtnb.recordings.format``."""

    @property
    def log(self) -> Events:
        """Every frame, both directions: to filter, search, count, and look at."""
        names = ("endpoint", "engine", "billed", "model", "requested_model")
        about = {name: self.manifest[name] for name in names if name in self.manifest}
        return Events(self._reader.log, state=lambda: self.state, about=about, finished=True)

    @cached_property
    def state(self) -> SessionState:
        """The log and all that is folded from it."""
        reader = self._reader
        if isinstance(reader, JsonlReader):
            state = reader.state
        else:
            media = ((one.side, one.audio, one.codec, one.t_ns) for one in reader.media)
            state = SessionState.of(reader.log, media)
        state.time_scaled = self.manifest.get("time_scaled") is True
        state.source = f"From {self.about}. {TIME_SCALED if state.time_scaled else ''}".strip()
        state.requested_model = str(self.manifest.get("requested_model") or self.manifest.get("model") or "")
        return state

    @property
    def about(self) -> str:
        """The file, when it was recorded, and with which endpoint, as one phrase."""
        date = str(self.manifest.get("created") or "")[:10]
        return f"{self.path.name}, recorded{f' {date}' if date else ''} with {self.endpoint}"

    @cached_property
    def turns(self) -> TurnList[RecordedTurn]:
        """All turns."""
        return TurnList(
            RecordedTurn(self.state, fold, billed=self.billed, engine=self.engine, sha256=self._sha256)
            for fold in self.state.turns.all
        )

    @property
    def model(self) -> str:
        """The model's id."""
        return str(self.manifest.get("model") or "") or self.state.model

    @property
    def engine(self) -> str:
        """The embedded engine that answered, such as "local"; "" for another server."""
        return str(self.manifest.get("engine") or "")

    @property
    def billed(self) -> bool:
        """Whether the service charged for it."""
        return self.manifest.get("billed") is not False

    @property
    def endpoint(self) -> str:
        """What the session was connected to, in words."""
        return str(self.manifest.get("endpoint") or "an unnamed server")

    @property
    def frames_sha256(self) -> str | None:
        """The hash of all frames that the file declares; None if its audio is lossy or it was cut."""
        declared = self.manifest.get("frames_sha256")
        whole = isinstance(self._reader, Reader) and self._reader.complete
        return declared if whole and isinstance(declared, str) else None

    @cached_property
    def provenance(self) -> Provenance:
        """Where it comes from: who answered, when, with which versions, and the hashes of the file."""
        try:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:  # it was removed since, or is a folder
            digest = None
        return Provenance(
            manifest=self.manifest,
            file=self.path.name,
            sha256=digest,
            frames_sha256=self.frames_sha256,
            problem=self.problem,
        )

    def _sha256(self) -> str | None:
        return self.provenance.sha256

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return self.log[-1].t if len(self.log) else 0.0

    @property
    def closed(self) -> bool:
        """Whether the session is closed: always True."""
        return True
