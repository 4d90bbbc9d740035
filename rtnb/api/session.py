"""The blocking face of a session: the same in a script, a notebook cell and a running event loop."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..analysis.session import SessionView
from ..analysis.usage import Gauge
from ..audio import Clip
from ..errors import RtnbError, SessionClosed
from ..protocol.events import Event, as_object
from ..protocol.state import SessionState
from ..session import event_loop
from ..session.async_session import AsyncSession
from ..session.budget import Budget
from ..session.connection import Listener
from ..session.turn import Turn

if TYPE_CHECKING:
    from ..recordings.autosave import Autosave
    from ..widgets.talk import Talk

__all__ = ["Session"]

_open: weakref.WeakSet[Session] = weakref.WeakSet()


class Session(SessionView):
    """A realtime session. Made by ``rtnb.connect``; closed by ``close``, ``with`` or ``async with``."""

    def __init__(self, core: AsyncSession, endpoint: str, autosave: Autosave | None = None) -> None:
        self._core = core
        self._autosave = autosave
        self._process = os.getpid()
        self._endpoint = endpoint
        _open.add(self)

    @property
    def _own(self) -> AsyncSession:
        """The core. Raises SessionClosed in a forked child: its parent goes on with the same connection."""
        if os.getpid() != self._process:
            raise SessionClosed(
                "the session belongs to the process that opened it: connect again in this one"
            )
        return self._core

    def send(self, *things: Any, **options: Any) -> Turn:
        """Send one turn and return it at once; it fills while the answer streams.

        ``things`` are texts (str), clips, sound or picture files (``pathlib.Path`` or bytes), arrays (24 kHz,
        or an ``(array, rate)`` pair), or lists of them. ``options``, for this answer only: ``modalities``
        ("audio" or "text"), ``instructions``, ``voice``, ``tools``, ``tool_choice``, ``max_output_tokens``,
        ``output_format``, ``metadata``, and ``conversation="none"`` for an answer out of band. While a turn
        runs, the next ones wait for it.

        Raises ArgumentError (nothing was sent), AudioError, BudgetError, SessionClosed.
        """
        return event_loop.call(self._own.send, *things, **options)

    def add(self, *things: Any) -> None:
        """Add input and ask for no answer yet; it belongs to the turn that comes next."""
        event_loop.call(self._own.add, *things)

    def append(self, sound: Clip | bytes) -> None:
        """Add sound to the input buffer, as a microphone does: a clip, or bytes in the session's format."""
        event_loop.call(self._own.append, sound)

    def commit(self, **options: Any) -> Turn:
        """End the input that was appended and return the turn that answers it. Push to talk.

        While another turn runs, the input is committed all the same and the answer waits for that turn.
        Raises ArgumentError where less than 0.1 s was appended, and while an answer waits already;
        BudgetError where the budget is used up; SessionClosed.
        """
        return event_loop.call(self._own.commit, **options)

    def speak(self, clip: Clip, *, speed: float = 1.0) -> None:
        """Stream a clip as a microphone would, in real time (``speed`` 1); the server finds the turns in it.

        Blocks while the clip plays. The turns appear in ``turns``. Needs ``turn_detection``.
        """
        event_loop.run(self._own.speak(clip, speed=speed))

    def talk(
        self,
        *,
        push_to_talk: bool = False,
        half_duplex: bool = False,
        turn_detection: str | Mapping[str, Any] = "server_vad",
        device: str = "",
        echo_cancellation: bool = True,
        noise_suppression: bool = True,
        auto_gain_control: bool = True,
    ) -> Talk:
        """Talk in a cell: return what, shown at the end of a cell of JupyterLab or Notebook 7, is the panel.

        Hands-free, ``turn_detection`` finds your turns, and speaking interrupts the answer; with
        ``push_to_talk`` you hold a button or Space. ``half_duplex`` mutes the microphone while the answer
        sounds, for loudspeakers whose echo the browser does not cancel. ``device`` is the microphone's id or
        a part of its name; the last three are what the browser is asked to do to its sound. All of these can
        be changed in the panel. It goes on while other cells run. When it is stopped, the session's turn
        detection is as before and the cards of its turns take the panel's place.

        A session talks in one panel at a time: where a talk is live, as when its cell is run again, this
        ends it as its Stop does, and returns a new one. One whose panel is gone from the page, as when its
        output was cleared, ends by itself two seconds later.

        Raises SessionClosed.
        """
        from ..widgets.playback import talking
        from ..widgets.talk import Talk

        if self.closed:
            raise SessionClosed("the session is over. Connect again to talk")
        live = talking.get(self._core)
        if live is not None:
            live.stop()
        return Talk(
            self._core,
            push_to_talk=push_to_talk,
            half_duplex=half_duplex,
            turn_detection=turn_detection,
            capture={
                "device": device,
                "echoCancellation": echo_cancellation,
                "noiseSuppression": noise_suppression,
                "autoGainControl": auto_gain_control,
            },
        )

    def update(self, **options: Any) -> None:
        """Change the session: the keywords of ``connect``. Blocks until the server has agreed.

        Raises ArgumentError before anything is sent, ServiceError if the server refuses.
        """
        event_loop.run(self._own.update(**options))

    def send_event(self, event: Event) -> Event:
        """Send one raw event as it is; see ``AsyncSession.send_event``."""
        return event_loop.call(self._own.send_event, event)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, turn number)`` for each frame, on the session's thread; return its end."""
        return event_loop.call(self._own.subscribe, listener)

    def save(self, path: str | os.PathLike[str], *, audio: str = "lossless") -> Path:
        """Save all frames so far as a recording (``.rtnb``) and return its path; the session goes on.

        Every frame comes back byte for byte; keys that got into one are made unreadable. With
        ``audio="opus"`` the file is several times smaller and the sound in it is like what was heard, not
        the same. ``rtnb.open`` shows it, ``rtnb.replay`` answers from it.

        Raises ArgumentError for another ``audio`` or the name of another kind of file, RecordingError where
        the file cannot be written.
        """
        from ..recordings.writer import header, pieces, recording_path, save

        path = recording_path(path)
        core = self._core
        head = header(
            core.state,
            where=self.endpoint,
            engine=core.engine,
            billed=core.billed,
            problem=core.problem,
        )
        save(pieces(core.state.log), head, path, audio=audio)
        return path

    def report(
        self, out: str | os.PathLike[str], *, title: str = "", audio: bool = True, max_mb: float = 25.0
    ) -> Path:
        """Write one HTML page that holds all so far and works offline, and return its path.

        Timeline, turns with players, transcript, tokens and money, configuration, provenance, event log.
        ``audio`` False leaves the sound out; else up to ``max_mb`` megabytes of it are kept, as Opus. The
        hashes in it are those of what ``save`` writes at this moment.

        Raises RecordingError where it cannot be written, ArgumentError for another ``max_mb`` or a name that
        does not end in .html.
        """
        from ..recordings import open as open_recording
        from ..recordings.export import write_report

        with TemporaryDirectory(prefix="rtnb-") as folder:
            recording = open_recording(self.save(Path(folder) / "session.rtnb"))
            return write_report(recording, out, title=title, audio=audio, max_mb=max_mb, saved=False)

    @property
    def turns(self) -> list[Turn]:
        """All turns so far."""
        return list(self._core.turns)

    @property
    def state(self) -> SessionState:
        """The log and all that is folded from it."""
        return self._core.state

    @property
    def endpoint(self) -> str:
        """What it talks to, in words."""
        return self._endpoint

    @property
    def engine(self) -> str:
        """The embedded engine that answers, such as "local"; "" for another server."""
        return self._core.engine

    @property
    def billed(self) -> bool:
        """Whether somebody is asked to pay for it."""
        return self._core.billed

    @property
    def budget(self) -> Budget | None:
        """What the session may use, and has used of it; None where nothing is limited.

        Set it to change it: to what ``rtnb.connect`` takes as ``budget``, counted from the session's
        beginning, or to None.
        """
        return self._core.budget

    @budget.setter
    def budget(self, value: float | str | Mapping[str, float] | None) -> None:
        event_loop.call(self._own.set_budget, value)

    @property
    def _allowances(self) -> list[Gauge]:
        return [] if self._core.budget is None else self._core.budget.gauges

    @property
    def problem(self) -> RtnbError | None:
        """Why the connection ended, where it was not ``close``."""
        return self._core.problem

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._core.closed

    def close(self) -> None:
        """Hang up. Turns that are not over fail; what was said stays readable. Closing twice is allowed.

        The autosave file is removed: ``save`` the session to keep it, before or after.
        """
        self._close(discard=True)

    def _close(self, *, discard: bool) -> None:
        _open.discard(self)
        event_loop.run(self._own.close())
        if self._autosave is not None:
            self._autosave.close(discard=discard)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        count = len(self._core.turns)
        turns = f"{count} turn{'' if count == 1 else 's'}"
        return f"<Session with {self.endpoint}, {state}: {turns}, {len(self.log):,} events>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        from ..render.turn_card import overview_html

        conversation = self.state.conversation
        output = as_object(as_object(conversation.session.get("audio")).get("output"))
        detection = (conversation.turn_detection or {}).get("type", "none: send makes the turns")
        facts = (
            f"model {self.model}" if self.model else "",
            f"voice {voice}" if (voice := output.get("voice")) else "",
            f"turn detection {detection}",
            f"{len(self.log):,} events",
            "closed" if self.closed else "open",
        )
        problem = str(self.problem) if self.problem else None
        return overview_html(self, f"Session with {self.endpoint}", facts, problem=problem)


@atexit.register
def _close_all() -> None:
    """Say goodbye to servers when the process ends, so that none waits for us. Spools stay: nobody saved."""
    for session in list(_open):
        session._close(discard=False)


if sys.platform != "win32":  # what a forked child closed would be closed under its parent
    os.register_at_fork(after_in_child=_open.clear)
