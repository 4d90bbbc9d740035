"""A conversation by voice in one cell: the microphone feeds the session, and its answers play.

Hands-free, the server detects the turns; with push to talk a button or Space does. A talk continues while
other cells run and while the kernel is busy, since it never uses the notebook's own thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from htpy import code, p, strong
from markupsafe import Markup

from ..analysis.turn_table import TurnList
from ..audio import Clip
from ..errors import RtnbError
from ..protocol import changes
from ..protocol.changes import Change, Command
from ..redaction import clean_text
from ..render.html import markup
from ..render.turn_card import turns_html
from ..session.async_session import AsyncSession
from ..session.turn import Turn
from . import captions
from .microphone import Microphone
from .playback import Player

__all__ = ["Talk", "live_talk"]

_UPDATE_SECONDS = 0.06
"""Interval between two updates of the page while text streams in."""
_TURN_TIMEOUT = 5.0
"""Seconds that a talk waits at its end for turns that it has just interrupted."""
_TRUNCATE_TIMEOUT = 2.0
"""Seconds that the server may take to confirm a truncation, which the cards then show."""
_POLL_SECONDS = 0.5
"""Interval between two checks whether the session has ended."""
_TAIL_SECONDS = 1.2
"""Silence after which a detector takes speech as ended; the protocol's default is 0.5 s or less."""
_MIN_COMMIT_SECONDS = 0.1
"""The shortest audio that the protocol lets a client commit (API reference)."""

_ALREADY_LIVE = (
    "The session already talks in another panel, so each utterance would be sent and answered twice. "
    "Stop that talk, then press Start here."
)
_INTRODUCTION = markup(
    p[
        strong["Talk"],
        ": a conversation by voice, in this cell. Run the cell in JupyterLab or Notebook 7 and press Start. "
        "Without a microphone or a live page, ",
        code["s.speak(clip)"],
        " speaks a clip to the session, and ",
        code["s.send(clip)"],
        " sends it as one turn.",
    ]
)
"""The static form of a talk that has not started, as HTML."""

_live: dict[AsyncSession, Talk] = {}


def live_talk(core: AsyncSession) -> Talk | None:
    """Return the live talk of a session, which plays all turns since its start; None if there is none."""
    return _live.get(core)


class Talk:
    """A conversation by voice. ``Session.talk`` creates it; showing it at the end of a cell opens its panel.

    ``turns`` are those since it started; ``stop`` ends it. All private state belongs to the session's loop.
    """

    def __init__(
        self,
        core: AsyncSession,
        *,
        push_to_talk: bool = False,
        half_duplex: bool = False,
        turn_detection: str | Mapping[str, Any] = "server_vad",
        capture: Mapping[str, Any],
    ) -> None:
        self.state = "ready"
        """ready, live or stopped."""
        self._core = core
        self._push_to_talk = push_to_talk
        self._half_duplex = half_duplex
        self._muted = False
        self._turn_detection = turn_detection
        self._microphone = Microphone(core, capture)
        self._previous_detection: Any = None
        self._first_turn = 0
        self._widget: Any = None
        self._cells: list[Any] = []
        self._player = Player(self._post, core.loop.call_later)
        self._phase = "listening"
        self._held = False
        self._note = ""
        self._truncate_deadline = 0.0
        self._changed_turns: set[int] = set()
        self._update_scheduled = False
        self._tasks: set[asyncio.Future[Any]] = set()
        self._unsubscribe: Any = None
        self._stopped = asyncio.Event()

    # What a user reads and does.

    @property
    def turns(self) -> TurnList[Turn]:
        """The turns since the talk started: a list that a notebook shows as a table."""
        return self._core.turns[self._first_turn :] if self.state != "ready" else TurnList()

    @property
    def microphone(self) -> dict[str, Any] | None:
        """How the page captures: device, rate, and the browser's processing; None while it does not."""
        return self._microphone.info

    def stop(self) -> None:
        """End the talk: stop playback, restore turn detection, and replace the panel with the turns' cards.

        A talk that was not started ends too; its panel can no longer start it.
        """
        if self._core.on_loop:
            self._run(self._stop())
        else:
            asyncio.run_coroutine_threadsafe(self._stop(), self._core.loop).result()

    def __repr__(self) -> str:
        count = len(self.turns)
        return f"<Talk {self.state}: {count} turn{'' if count == 1 else 's'}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        turns = dict(enumerate(self.turns, self._first_turn))
        html = _INTRODUCTION if self.state == "ready" else _card_html(self._core, turns)
        return {"text/plain": repr(self), "text/html": html}

    def _ipython_display_(self) -> None:
        from ..notebook.display import OutputCell, live_pages

        bundle: dict[str, Any] = {**self._repr_mimebundle_()}
        if self.state != "stopped" and live_pages():
            from .base import BaseWidget

            if self._widget is None:
                self._widget = BaseWidget(
                    "talk/talk",
                    lambda message, buffers: self._core.call_soon(self._on_message, message, buffers),
                )
            bundle["application/vnd.jupyter.widget-view+json"] = self._widget.view
            self._cells.append(OutputCell(bundle))
        else:
            OutputCell(bundle)

    # Everything from here on runs on the session's loop.

    def _post(self, message: dict[str, Any], *buffers: bytes) -> None:
        if self._widget is not None:
            self._widget.post(message, *buffers)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Messages of the page.

    def _on_message(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        kind, page = message.get("kind"), str(message.get("page"))
        if self._widget.is_first_message(message):
            if self._widget.owner in ("", page):
                self._set_owner(page, reloaded=True)
            else:
                self._post({"kind": "owner", "owner": self._widget.owner})
            self._changed_turns.update(turn.number for turn in self.turns)
            self._update()
        if kind == "take_over":
            self._set_owner(page)
        elif kind in _HANDLERS and page == self._widget.owner:
            _HANDLERS[kind](self, message, buffers)

    def _set_owner(self, page: str, *, reloaded: bool = False) -> None:
        same_microphone = page == self._widget.owner and not reloaded
        self._widget.owner = page
        self._player.set_owner(page, reloaded=reloaded)
        if same_microphone or self._core.closed:
            return
        # The page that recorded is gone: an utterance that it had started must still be ended.
        if self._held:
            self._commit_utterance()
        elif self.state == "live" and not self._push_to_talk and self._phase == "user_speaking":
            self._core.append(Clip.silence(_TAIL_SECONDS))

    def _on_played(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        was_playing = self._player.playing
        self._player.on_report(message)
        self._widget.playing = self._player.playing
        self._widget.underruns = self._player.underruns
        if message["kind"] == "flushed" or was_playing != self._player.playing:
            self._widget.played_ms = self._player.played_ms
            self._schedule_update()

    def _on_failed(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        """Show why the page cannot play, and skip that audio; the next answer is tried again."""
        self._widget.error = str(message.get("message"))
        self._player.flush(lambda played: self._schedule_update(), _stop_id(message))

    def _on_start(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._microphone.opened(message.get("info"))
        self._widget.error = str(message.get("problem") or "")
        if self.state == "ready" and _live.get(self._core, self) is not self:
            self._note = _ALREADY_LIVE
            self._post({"kind": "refused", "page": self._widget.owner})
        elif self.state == "ready":
            self.state, self._note = "live", ""
            self._first_turn = len(self._core.turns)
            _live[self._core] = self
            self._run(self._start())
        self._schedule_update()

    def _on_capture(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._microphone.configure(message)
        self._schedule_update()

    def _on_mute(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        """Store when the microphone is muted, for a page that is reloaded or takes over."""
        self._muted = bool(message.get("muted", self._muted))
        self._half_duplex = bool(message.get("half", self._half_duplex))
        self._schedule_update()

    def _on_audio(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        if self.state == "live" and not self._core.closed and buffers:
            self._microphone.send(bytes(buffers[0]))

    def _on_press(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        if self.state != "live":
            return
        self._note = ""
        for turn in reversed(self._core.turns[: self._first_turn]):
            if turn.stop_playback is not None:  # it still plays in its own cell
                turn.stop_playback()
        self._stop_playback(cancel=True, stop_id=_stop_id(message))
        self._microphone.clear()
        self._held = True
        self._schedule_update()

    def _on_release(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        if self._held:
            self._commit_utterance()

    def _commit_utterance(self) -> None:
        """Request an answer to what was recorded while the button was held."""
        self._held, self._phase = False, "thinking"
        if self._microphone.seconds < _MIN_COMMIT_SECONDS:
            self._phase, self._note = "listening", "That was too short. Hold the button while you speak."
        else:
            try:
                self._core.commit()
            except RtnbError as error:
                self._note = str(error)
        self._schedule_update()

    def _on_mode(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._push_to_talk = bool(message.get("push"))
        self._held, self._phase = False, "listening"
        if self.state == "live":
            self._microphone.clear()
            self._run(self._apply_turn_detection())
        self._schedule_update()

    def _on_interrupt(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._stop_playback(cancel=True, stop_id=_stop_id(message))

    def _on_finish(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._stop_playback(cancel=True, stop_id=_stop_id(message))
        self._held = False  # the page releases the button as it ends: an unfinished utterance is dropped
        self._run(self._stop())

    # The session.

    async def _start(self) -> None:
        audio = self._core.state.session.get("audio") or {}
        self._previous_detection = audio.get("input", {}).get("turn_detection")
        self._unsubscribe = self._core.subscribe(self._on_change)
        await self._apply_turn_detection()
        self._update()
        while self.state == "live" and not self._core.closed:  # nothing is called when a connection ends
            await asyncio.sleep(_POLL_SECONDS)
            if self._core.spent and not self._player.pending and all(turn.done for turn in self.turns):
                break  # no further answer would come, and the last one was played to its end
        await self._stop()

    async def _apply_turn_detection(self) -> None:
        try:
            await self._core.update(turn_detection=False if self._push_to_talk else self._turn_detection)
        except RtnbError as error:
            self._note = str(error)
        self._schedule_update()

    def _on_change(self, change: Change | Command, number: int) -> None:
        if number >= 0 and any(turn.number == number for turn in self._core.turns[: self._first_turn]):
            return  # the turn was sent before the talk started, and plays in its own cell
        conversation = self._core.state.conversation
        if isinstance(change, changes.AudioDelta):
            id = conversation.output_id(change.response_id, change.item_id)
            codec = conversation.items[id].parts[change.content_index].codec
            if codec is not None:
                self._player.feed(id, bytes(change.audio), codec)
            self._phase = "answering"
        elif isinstance(change, changes.AudioDone):
            self._player.end(conversation.output_id(change.response_id, change.item_id))
        elif isinstance(change, changes.OutputItemDone):
            self._player.end(conversation.output_id(change.response_id, change.item.id))
        elif isinstance(change, changes.SpeechStarted):
            if (conversation.turn_detection or {}).get("interrupt_response") is not False:
                self._stop_playback(cancel=False)
            self._phase, self._note = "user_speaking", ""
        elif isinstance(change, changes.Cancel):
            self._stop_playback(cancel=False)
        elif isinstance(change, (changes.Truncated, changes.ItemDeleted)):
            self._truncate_deadline = 0.0
        elif isinstance(change, (changes.SpeechStopped, changes.ResponseStarted)):
            self._phase = "thinking"
        elif isinstance(change, changes.ResponseEnded):
            self._player.end_all()
            self._phase = "listening"
        elif isinstance(change, changes.Failed):
            self._note = change.error.message or "the service reported an error"
        elif isinstance(change, changes.AppendAudio):
            return
        self._changed_turns.add(number)
        self._schedule_update()

    def _stop_playback(self, *, cancel: bool, stop_id: str = "") -> None:
        """Stop playback at once and truncate to what was played; ``stop_id`` is as in ``Player.flush``."""
        # The last first: no waiting turn may start when the one before it ends.
        running = [turn for turn in reversed(self.turns) if not turn.done] if cancel else []

        def truncate(played: dict[str, float]) -> None:
            for turn in self._core.turns[self._first_turn :]:
                ids = [item.id for item in turn.items]
                if played.keys() & set(ids):
                    items = [self._player.items[id] for id in ids if id in self._player.items]
                    seconds = sum(audio.played_ms for audio in items) / 1000
                    if self._core.truncate_turn(turn, seconds):
                        self._truncate_deadline = self._core.loop.time() + _TRUNCATE_TIMEOUT
                    self._changed_turns.add(turn.number)
            self._schedule_update()

        # Before any turn is cancelled: each cancel is an event that would flush again, without ``stop_id``.
        if self._player.pending or stop_id:
            self._player.flush(truncate, stop_id)
        for turn in running:
            self._core.cancel_turn(turn)

    # Updates of the page.

    def _schedule_update(self) -> None:
        if not self._update_scheduled:
            self._update_scheduled = True
            self._core.loop.call_later(_UPDATE_SECONDS, self._update)

    def _update(self) -> None:
        self._update_scheduled = False
        if self._widget is None:
            return
        for turn in self.turns:
            if turn.number >= 0 and turn.number in self._changed_turns:
                if self.state == "live":
                    turn.stop_playback = partial(self._stop_playback, cancel=True)
                for line in captions.lines(turn, self._core.state):
                    self._post(line)
        self._changed_turns.clear()
        self._post(
            {
                "kind": "facts",
                "state": self.state,
                "phase": "user_speaking" if self._held else self._phase,
                "note": self._note,
                "push": self._push_to_talk,
                "half": self._half_duplex,
                "muted": self._muted,
                "capture": self._microphone.settings,
                "used": captions.usage(self._core.state, self._core.billed),
                "context": self._context(),
            }
        )

    def _context(self) -> list[int | None]:
        """Return the tokens of the conversation at its last answer, and the model's context window."""
        usages = [
            response.usage
            for turn in self._core.state.turns.all
            for response in turn.responses
            if response.usage is not None and not turn.out_of_band
        ]
        used = usages[-1].total_tokens if usages else 0
        return [used, self._core.state.row.context]

    # The end.

    async def _stop(self) -> None:
        if self.state == "stopped":
            await self._stopped.wait()
            return
        was_live, self.state, self._held = self.state == "live", "stopped", False
        try:
            if was_live:
                try:
                    await self._restore_session()
                finally:  # whatever failed, the session may talk again
                    self._unsubscribe()
                    _live.pop(self._core, None)
            else:
                self._first_turn = len(self._core.turns)
            await self._show_card()
        finally:
            self._stopped.set()

    async def _restore_session(self) -> None:
        """Stop playback, restore turn detection, and wait for the turns that this interrupts."""
        self._schedule_update()
        self._stop_playback(cancel=True)
        self._microphone.clear()
        if not self._core.closed:
            try:
                detection = {"turn_detection": self._previous_detection}
                await self._core.update(session={"audio": {"input": detection}})
            except RtnbError as error:
                self._note = str(error)
        for turn in self.turns:
            if not turn.items and not turn.input.audio and not turn.input.text and not turn.queued:
                # Speech that began and was never committed: no answer to it will come.
                turn.finish("expire")
        waiting = [asyncio.ensure_future(_wait_for(turn)) for turn in self.turns if not turn.done]
        if waiting:
            await asyncio.wait(waiting, timeout=_TURN_TIMEOUT)
        while self._player.flushing or self._truncate_deadline > self._core.loop.time():
            await asyncio.sleep(0.02)
        for turn in self.turns:
            turn.stop_playback = None

    async def _show_card(self) -> None:
        bundle = await self._core.loop.run_in_executor(None, self._repr_mimebundle_)
        self._update()  # the final cost and state must arrive before the card
        for cell in self._cells:
            cell.replace(bundle)
        if self._widget is not None:
            self._widget.finish(bundle["text/html"])


_HANDLERS = {
    "played": Talk._on_played,
    "flushed": Talk._on_played,
    "failed": Talk._on_failed,
    "start": Talk._on_start,
    "capture": Talk._on_capture,
    "mute": Talk._on_mute,
    "audio": Talk._on_audio,
    "press": Talk._on_press,
    "release": Talk._on_release,
    "mode": Talk._on_mode,
    "interrupt": Talk._on_interrupt,
    "finish": Talk._on_finish,
}
"""The handler of each kind of message that the owner may send."""


def _stop_id(message: Mapping[str, Any]) -> str:
    """Return the id of the stop that a page made before it sent this message; "" for none."""
    return str(message.get("stop_id") or "")


async def _wait_for(turn: Turn) -> None:
    await turn.finished()


def _card_html(core: AsyncSession, turns: Mapping[int, Turn]) -> Markup:
    """Return the static form of a talk: its turns by their place, the usage, and why it ended by itself."""
    turns = {
        place: turn for place, turn in turns.items() if turn.items or turn.input.audio or turn.input.text
    }
    used = captions.usage(core.state, core.billed)
    count = "Nothing was said." if not turns else f"{len(turns)} turn{'' if len(turns) == 1 else 's'}"
    end = None
    if core.problem is not None:
        end = f"The session ended: {clean_text(str(core.problem))}"
    elif core.spent:
        end = f"The talk ended: {clean_text(core.spent)}."
    return markup([p[strong["Talk"], f": {count} · {used}"], end and p[end], turns_html(turns)])
