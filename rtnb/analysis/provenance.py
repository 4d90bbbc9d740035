"""Where a session comes from: what answered, when, written by which versions, and the hashes of its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..formatting import moment
from ..protocol.events import as_object
from . import labels

__all__ = ["UNKNOWN", "Provenance"]

UNKNOWN = "unknown"
_AUDIO = {"True": "Opus: similar, not identical", "False": "lossless"}
_BILLED = {"True": "yes", "False": "no"}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a recording says of itself, and what was computed from it.

    ``manifest`` is the recording's (see ``rtnb.recordings.format``). What it does not contain is unknown.
    """

    manifest: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    """The file's name, without its folders; "" for a session that was not saved."""
    sha256: str | None = None
    """Of the file's bytes, as hex digits."""
    frames_sha256: str | None = None
    """Of all frames, as the format defines it; None if audio is lossy or the file was cut."""
    problem: str | None = None
    """What is wrong with the file, as a sentence; None for a whole one."""

    @property
    def engine_note(self) -> str | None:
        """The note on an embedded engine; None if a server's own model answered."""
        return labels.engine_note(self.text("engine"), self.text("model"))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """All of it, as (name, value) in words."""
        about = self.manifest
        scrubbed = [str(one) for one in about.get("scrubbed") or ()]
        redacted = about.get("redacted")
        prices, dialect = self.prices_as_of, self.text("dialect")
        return [
            ("recorded", moment(self.text("created"))),
            ("with", self.text("endpoint") or "an unnamed server"),
            ("model", self.text("model") or UNKNOWN),
            ("answered by", self._engine()),
            ("protocol", f"Realtime, {dialect.upper()} dialect" if dialect else UNKNOWN),
            ("written by", f"rtnb {self.text('rtnb')}" if self.text("rtnb") else UNKNOWN),
            ("libraries", self._libraries()),
            (
                "clock",
                "monotonic, of the machine that recorded; moments are when frames left or arrived there",
            ),
            ("prices", f"as published on {prices}" if prices else "unknown: unpriced"),
            ("billed", _BILLED.get(str(about.get("billed")), UNKNOWN)),
            ("audio", _AUDIO.get(str(about.get("lossy")), UNKNOWN)),
            ("keys redacted", UNKNOWN if redacted is None else f"{redacted}" if redacted else "none found"),
            ("scrubbed", ", ".join(scrubbed) if scrubbed else "nothing"),
            ("end", self._end()),
            ("file", self.file or "a session that was not saved to a file"),
            ("format", f"rtnb recording, version {about['format']}" if about.get("format") else UNKNOWN),
            ("SHA-256 of the file", self.sha256 or UNKNOWN),
            ("SHA-256 of all frames", self.frames_sha256 or UNKNOWN),
        ]

    @property
    def prices_as_of(self) -> str:
        """The date of the prices; "" if there are none."""
        return str(as_object(self.manifest.get("prices")).get("as_of") or "")

    def text(self, name: str) -> str:
        """Return a field of the manifest as text; "" if it is missing."""
        return str(self.manifest.get(name) or "")

    def _engine(self) -> str:
        engine = self.text("engine").partition(",")[0]
        return (
            f"the embedded engine “{engine}”, on a CPU, in the model's place"
            if engine
            else "the server's own model"
        )

    def _libraries(self) -> str:
        found = as_object(self.manifest.get("libraries"))
        return ", ".join(f"{name} {version}" for name, version in found.items()) or UNKNOWN

    def _end(self) -> str:
        end = self.manifest.get("end")
        text = "the session was closed, or went on" if end is None else _lost(as_object(end))
        count = self.manifest.get("open_turns")
        return f"{text}; {count} turn{'' if count == 1 else 's'} not finished" if count else text


def _lost(end: Mapping[str, Any]) -> str:
    why = str(end.get("why") or end.get("reason") or "no reason given")
    code = f" (close code {end['code']})" if end.get("code") else ""
    return f"the connection was lost: {why}{code}"
