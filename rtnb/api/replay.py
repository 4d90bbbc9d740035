"""``rtnb.replay``: a session whose other end is a recording."""

from __future__ import annotations

import os
from typing import Any

from ..protocol import models
from ..protocol.state import TIME_SCALED
from ..recordings.recording import Recording
from ..recordings.recording import open as open_recording
from ..session.async_session import AsyncSession
from ..transports.replay import Replay
from .connect import connect
from .session import Session, _open

__all__ = ["ReplaySession", "replay"]


class ReplaySession(Session):
    """A session with a recording. Its turns say that they are a replay, and of what."""

    def __init__(self, core: AsyncSession, recording: Recording, transport: Replay, strict: bool) -> None:
        super().__init__(core, f"a replay of {recording.path.name}")
        self.recording = recording
        self._transport = transport
        self._strict = strict
        _open.discard(self)  # nobody at the other end waits for a goodbye

    def close(self) -> None:
        """Hang up. Raises ReplayError, strictly and once, if not all that was recorded was sent again."""
        super().close()
        if self._strict:
            self._strict = False  # said once
            self._transport.check()

    def __exit__(self, kind: object = None, *exc: object) -> None:
        if kind is None:
            self.close()
        else:  # what went wrong first is what matters
            super().close()


def replay(
    path: str | os.PathLike[str] | Recording,
    *,
    speed: float | str | None = None,
    strict: bool = False,
    timeout: float = 30.0,
    **options: Any,
) -> ReplaySession:
    """Open a session that a recording answers: no key, no engine, no network, and the same answers for ever.

    Parameters
    ----------
    path
        A file, or a recording that is open.
    speed
        1 as recorded, 2 twice as fast; None, or "max": at once.
    strict
        The client's frames must be those of the recording, byte for byte, and all of them: another frame
        ends the session with ReplayError, and so does closing before the end. Otherwise ids and sound may
        differ, and what is not in the recording fails its turn with ServiceError.
    options
        Those of ``rtnb.connect``, as the recorded session had them; ``tools`` with the functions. Without
        any, the session is configured as it was recorded.

    Raises
    ------
    RecordingError
        No such file, no recording, damaged, or made by a newer rtnb.
    ReplayError
        Strictly: the options are not those of the recording.
    """
    recording = path if isinstance(path, Recording) else open_recording(path)
    transport = Replay(recording.log, speed=speed, strict=strict, end=_end(recording))
    if not options:
        options = {"turn_detection": None, "transcription": None, "session": _recorded(recording)}
    model = recording.model or models.SEED
    session = connect(transport, model=model, timeout=timeout, autosave=False, **options)
    core = session._core
    core.billed, core.engine = recording.billed, recording.engine
    core.state.requested_model = recording.state.requested_model
    core.state.time_scaled = recording.state.time_scaled or speed != 1
    core.state.source = (
        f"A replay of {recording.about}. {TIME_SCALED if core.state.time_scaled else ''}".strip()
    )
    return ReplaySession(core, recording, transport, strict)


def _recorded(recording: Recording) -> dict[str, Any] | None:
    """Return the session of the first ``session.update``, if the client said it before anything else."""
    first = recording.log.filter(direction="client")[:1]
    if not len(first) or first[0].type != "session.update":
        return None
    told = first[0].data.get("session")
    return told if isinstance(told, dict) else None


def _end(recording: Recording) -> str | None:
    """Return why a turn may wait for more than the recording holds; None where none does."""
    told = recording.header.get("end")
    if isinstance(told, dict):
        return str(told.get("why") or "the connection was lost")
    if recording.problem is not None:
        return recording.problem
    open_turns = recording.header.get("open_turns")
    return "it was saved while a turn was in progress" if open_turns else None
