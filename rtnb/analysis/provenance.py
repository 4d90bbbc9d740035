"""Where a record comes from: who answered, when, made by what, and the hashes by which it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from ..formatting import moment
from ..protocol.events import as_object
from . import labels

__all__ = ["UNKNOWN", "Provenance"]

UNKNOWN = "unknown"
_BILLED = {"True": "yes", "False": "no: nobody was asked to pay"}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a recording says of itself, and what was found out of it.

    ``header`` is the recording's (see ``rtnb.recordings.format``). What it does not tell is unknown.
    """

    header: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    """The file's name, without its folders; "" for a session that was not saved."""
    sha256: str | None = None
    """Of the file's bytes, as hex digits."""
    frames_sha256: str | None = None
    """Of all frames, as the format defines it; None where sound is lossy or the file was cut."""
    problem: str | None = None
    """What is wrong with the file, as a sentence; None for a whole one."""

    @property
    def honest(self) -> str | None:
        """The honest word on an embedded engine; None where a server's own model spoke."""
        return labels.honest(self._text("engine"), self._text("model"))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """All of it, as (name, value) in words."""
        head = self.header
        capture = as_object(head.get("capture"))
        taken = [str(one) for one in head.get("scrubbed") or ()]
        hidden = head.get("redacted")
        prices = self._text("prices_as_of")
        return [
            ("recorded", moment(self._text("created"))),
            ("with", self._text("where") or "an unnamed server"),
            ("model", self._text("model") or UNKNOWN),
            ("answered by", self._engine()),
            (
                "protocol",
                f"Realtime, {self._text('dialect').upper()} dialect" if self._text("dialect") else UNKNOWN,
            ),
            ("made by", f"rtnb {self._text('rtnb')}" if self._text("rtnb") else UNKNOWN),
            ("libraries", self._libraries()),
            (
                "clock",
                "monotonic, of the machine that recorded; moments are when frames left or arrived there",
            ),
            ("prices", f"as published on {prices}" if prices else "unknown: unpriced"),
            ("billed", _BILLED.get(str(head.get("billed")), UNKNOWN)),
            ("sound", str(capture.get("audio") or UNKNOWN)),
            (
                "keys made unreadable",
                UNKNOWN if hidden is None else f"{hidden}" if hidden else "none were found",
            ),
            ("taken out afterwards", ", ".join(taken) if taken else "nothing"),
            ("end", self._end()),
            ("file", self.file or "a session that was not saved to a file"),
            ("format", f"rtnb recording, version {head['format']}" if head.get("format") else UNKNOWN),
            ("SHA-256 of the file", self.sha256 or UNKNOWN),
            ("SHA-256 of all frames", self.frames_sha256 or UNKNOWN),
        ]

    def table(self) -> str:
        """Return all facts as an HTML table."""
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{_value(name, value)}</td></tr>'
            for name, value in self.facts
        )
        return f"<table><tbody>{rows}</tbody></table>"

    def foot(self) -> str:
        """Return a line for the foot of a saved output, as HTML."""
        head = self.header
        parts = [
            f"rtnb {self._text('rtnb')}" if self._text("rtnb") else "",
            f"format {head['format']}" if head.get("format") else "",
            f"prices of {self._text('prices_as_of')}" if self._text("prices_as_of") else "",
            f"{head['redacted']} keys made unreadable" if head.get("redacted") else "",
        ]
        said = escape(" · ".join(filter(None, parts)))
        if self.sha256:
            short = f'<span title="SHA-256 of the file: {self.sha256}">SHA-256 {self.sha256[:12]}…</span>'
            said = f"{said} · {short}" if said else short
        note = f"<br>{escape(self.honest)}" if self.honest else ""
        return f'<p class="rtnb-foot"><small>{said}{note}</small></p>'

    def _text(self, name: str) -> str:
        return str(self.header.get(name) or "")

    def _engine(self) -> str:
        engine = self._text("engine").partition(",")[0]
        return (
            f"the embedded engine “{engine}”, on a CPU, in the model's place"
            if engine
            else "the server's own model"
        )

    def _libraries(self) -> str:
        found = as_object(self.header.get("libraries"))
        return ", ".join(f"{name} {version}" for name, version in found.items()) or UNKNOWN

    def _end(self) -> str:
        end = self.header.get("end")
        said = "the session was closed, or went on" if end is None else _lost(as_object(end))
        count = self.header.get("open_turns")
        return f"{said}; {count} turn{'' if count == 1 else 's'} had not ended" if count else said


def _lost(end: Mapping[str, Any]) -> str:
    why = str(end.get("why") or end.get("reason") or "no reason given")
    code = f" (close code {end['code']})" if end.get("code") else ""
    return f"the connection was lost: {why}{code}"


def _value(name: str, value: str) -> str:
    return f"<code>{escape(value)}</code>" if name.startswith("SHA") and value != UNKNOWN else escape(value)
