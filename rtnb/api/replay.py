"""``rtnb.replay``: a session whose server is a recording."""

from __future__ import annotations

import os
from typing import Any

from ..endpoints.endpoint import Endpoint
from ..protocol import models
from ..protocol.changes import Configure
from ..protocol.state import TIME_SCALED
from ..recordings.recording import Recording
from ..recordings.recording import open as open_recording
from ..session import event_loop
from ..session.async_session import AsyncSession
from ..transports.base import Transport
from ..transports.replay import Replay
from .connect import with_defaults
from .plan import Plan
from .session import Session, _open

__all__ = ["ReplaySession", "replay"]

_IN_ORDER = "Words were removed from it: turns are answered in their order, whatever is sent."
_CLIENT_WORDS = frozenset({"text of user", "text of all", "text by a pattern"})
"""What a recording's head says of it if the words in it are not those that its client sent: see ScrubRule."""


class ReplaySession(Session):
    """A session with a recording. Its turns say that they are a replay, and of which recording."""

    def __init__(self, core: AsyncSession, recording: Recording, transport: Replay, strict: bool) -> None:
        super().__init__(core, f"a replay of {recording.path.name}")
        self.recording = recording
        self._transport = transport
        self._strict = strict
        _open.discard(self)  # there is no server to disconnect from at exit

    def close(self) -> None:
        """Close the session. In strict mode, raises ReplayError once if not all recorded frames were sent."""
        super().close()
        if self._strict:
            self._strict = False  # raised only once
            self._transport.check()

    def __exit__(self, kind: object = None, *exc: object) -> None:
        if kind is None:
            self.close()
        else:  # the first error matters
            super().close()


def replay(
    path: str | os.PathLike[str] | Recording,
    *,
    speed: float | str | None = None,
    strict: bool = False,
    timeout: float = 30.0,
    **options: Any,
) -> ReplaySession:
    """Open a session that a recording answers: without a key, engine or network, and always the same.

    Parameters
    ----------
    path
        A file, or an open recording.
    speed
        1 as recorded, 2 twice as fast; None, or "max", without waiting.
    strict
        The client's frames must be all those of the recording, byte for byte: another frame ends the session
        with ReplayError, and so does closing before the end. Otherwise ids and audio may differ, and an event
        that is not in the recording fails its turn with ServiceError. Where words were removed from what the
        user sent, other words are accepted too: turns are answered in their order.
    options
        Those of ``rtnb.connect``, as in the recorded session; ``tools`` with the functions. Without any, the
        session is configured as it was recorded.

    Raises
    ------
    RecordingError
        The file does not exist, is not a recording, is damaged, or is from a newer rtnb.
    ReplayError
        In strict mode, if the options differ from the recorded ones.
    """
    recording = path if isinstance(path, Recording) else open_recording(path)
    in_order = not _CLIENT_WORDS.isdisjoint(map(str, recording.manifest.get("scrubbed") or ()))
    transport = Replay(recording.log, speed=speed, strict=strict, in_order=in_order, end=_end(recording))
    if not options:
        options = {"turn_detection": None, "transcription": None, "session": _recorded(recording)}
    _, options = with_defaults(**options)
    model, state = recording.model or models.SEED, recording.state
    time_scaled = state.time_scaled or speed != 1
    target = Endpoint(
        f"a replay of {recording.path.name}",
        "",
        model,
        billed=recording.billed,
        engine=recording.engine,
        requested_model=state.requested_model,
    )

    async def dial() -> Transport:
        return transport

    notes = [f"A replay of {recording.about}."]
    if in_order and not strict:
        notes.append(_IN_ORDER)
    if time_scaled:
        notes.append(TIME_SCALED)
    made = Plan(target, dial, options, timeout, "", source=" ".join(notes), time_scaled=time_scaled)
    AsyncSession.check(model, made.options)
    session = event_loop.run(made.open_blocking())
    return ReplaySession(session._core, recording, transport, strict)


def _recorded(recording: Recording) -> dict[str, Any] | None:
    """Return the configuration that was recorded, if that is the client's first event."""
    first = recording.log.filter(direction="client")[:1]
    changes = recording.state.read_again(first[0].index) if len(first) else []
    return changes[0].config if changes and isinstance(changes[0], Configure) else None


def _end(recording: Recording) -> str | None:
    """Return why the recording ends in the middle of a turn; None if it does not."""
    end = recording.manifest.get("end")
    if isinstance(end, dict):
        return str(end.get("why") or "the connection was lost")
    if recording.problem is not None:
        return recording.problem
    open_turns = recording.manifest.get("open_turns")
    return "it was saved while a turn was in progress" if open_turns else None
