"""Talking in one cell: the microphone goes to the session, its answers sound, and either may interrupt.

Hands-free, the server finds the turns in what is heard; with push to talk a button or Space does. It goes on
while other cells run and while the kernel is busy: nothing of it needs the notebook's own thread.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..audio import Clip
from ..errors import RtnbError
from ..protocol.events import Event
from ..session.async_session import AsyncSession
from ..session.turn import Turn
from . import captions
from .microphone import Microphone
from .playback import Player, talking
from .talk_card import HOW, card

__all__ = ["Talk"]

_TICK = 0.06
"""Seconds between two updates of the page while text streams in."""
_SETTLE_SECONDS = 5.0
"""How long the end of a talk waits for turns that were just cut short."""
_AGREE_SECONDS = 2.0
"""How long the server may take to agree to a cut, which the cards then show."""
_LOOK_SECONDS = 0.5
"""Seconds between looks for the end of the session."""
_TAIL_SECONDS = 1.2
"""Silence by which a detector knows that speech has ended; the protocol's default is 0.5 s or less."""
_SHORTEST = 0.1
"""Seconds of sound that the protocol wants at least in a commit (API reference)."""

_TALKS_ALREADY = (
    "The session talks in another panel already, and each word would be heard and answered twice. "
    "Stop that talk, then press Start here."
)


class Talk:
    """A conversation by voice; ``Session.talk`` makes it, and showing it at the end of a cell opens it.

    ``turns`` are those since it began, ``stop`` ends it. All private state belongs to the session's loop.
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
        self._push = push_to_talk
        self._half = half_duplex
        self._muted = False
        self._detection = turn_detection
        self._mic = Microphone(core, capture)
        self._before: Any = None
        self._first = 0
        self._widget: Any = None
        self._places: list[Any] = []
        self._player = Player(self._tell, core.loop.call_later)
        self._phase = "listening"
        self._held = False
        self._note = ""
        self._agree_by = 0.0
        self._dirty: set[int] = set()
        self._scheduled = False
        self._tasks: set[asyncio.Future[Any]] = set()
        self._unsubscribe: Any = None
        self._over = asyncio.Event()

    # What a user reads and does.

    @property
    def turns(self) -> list[Turn]:
        """The turns since the talk began."""
        return list(self._core.turns[self._first :]) if self.state != "ready" else []

    @property
    def microphone(self) -> dict[str, Any] | None:
        """How the page captures: device, its rate, and what the browser does to the sound; None without."""
        return self._mic.info

    def stop(self) -> None:
        """End the talk: silence, turn detection as it was before, and the cards of its turns in place.

        One that was not started is over too; its panel can start it no more.
        """
        if self._core.on_loop:
            self._run(self._stop())
        else:
            asyncio.run_coroutine_threadsafe(self._stop(), self._core.loop).result()

    def __repr__(self) -> str:
        count = len(self.turns)
        return f"<Talk {self.state}: {count} turn{'' if count == 1 else 's'}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        turns = dict(enumerate(self.turns, self._first))
        html = HOW if self.state == "ready" else card(self._core, turns)
        return {"text/plain": repr(self), "text/html": html}

    def _ipython_display_(self) -> None:
        from ..notebook.display import OutputCell, live_pages

        bundle: dict[str, Any] = {**self._repr_mimebundle_()}
        if self.state != "stopped" and live_pages():
            from .talk_widget import TalkWidget

            if self._widget is None:
                self._widget = TalkWidget(
                    lambda message, buffers: self._core.call_soon(self._hear, message, buffers)
                )
            bundle["application/vnd.jupyter.widget-view+json"] = self._widget.view
            self._places.append(OutputCell(bundle))
        else:
            OutputCell(bundle)

    # The session's loop from here on.

    def _tell(self, message: dict[str, Any], *buffers: bytes) -> None:
        if self._widget is not None:
            self._widget.tell(message, *buffers)

    def _run(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hear(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        kind, page = message.get("kind"), str(message.get("page"))
        if self._widget.greets(message):
            if self._widget.owner in ("", page):
                self._own(page, loaded=True)
            else:
                self._tell({"kind": "owner", "owner": self._widget.owner})
            self._dirty.update(turn.number for turn in self.turns)
            self._update()
        if kind == "take":
            self._own(page)
        elif kind in _HEARS and page == self._widget.owner:
            _HEARS[kind](self, message, buffers)

    def _own(self, page: str, *, loaded: bool = False) -> None:
        listened = page == self._widget.owner and not loaded
        self._widget.owner = page
        self._player.give(page, loaded=loaded)
        if listened or self._core.closed:
            return
        # The page that listened is gone: what was said until then must still have an end.
        if self._held:
            self._let_go()
        elif self.state == "live" and not self._push and self._phase == "hearing":
            self._core.append(Clip.silence(_TAIL_SECONDS))

    def _on_played(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        before = self._player.playing
        self._player.hear(message)
        self._widget.playing = self._player.playing
        self._widget.underruns = self._player.underruns
        if message["kind"] == "flushed" or before != self._player.playing:
            self._widget.played_ms = self._player.played_ms
            self._soon()

    def _on_failed(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        """Say so, and leave out what the page could not play; the answer after it is tried again."""
        self._widget.error = str(message.get("message"))
        self._player.flush(lambda heard: self._soon(), _hush(message))

    def _on_start(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._mic.opened(message.get("info"))
        self._widget.error = str(message.get("problem") or "")
        if self.state == "ready" and talking.get(self._core, self) is not self:
            self._note = _TALKS_ALREADY
            self._tell({"kind": "refused", "page": self._widget.owner})
        elif self.state == "ready":
            self.state, self._note = "live", ""
            self._first = len(self._core.turns)
            talking[self._core] = self
            self._run(self._start())
        self._soon()

    def _on_capture(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._mic.choose(message)
        self._soon()

    def _on_wish(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        """Keep when the microphone is mute, for the page that is loaded again or takes over."""
        self._muted = bool(message.get("muted", self._muted))
        self._half = bool(message.get("half", self._half))
        self._soon()

    async def _start(self) -> None:
        self._before = (self._core.state.session.get("audio") or {}).get("input", {}).get("turn_detection")
        self._unsubscribe = self._core.subscribe(self._on_event)
        await self._detect()
        self._update()
        while self.state == "live" and not self._core.closed:  # nothing calls when a connection ends
            await asyncio.sleep(_LOOK_SECONDS)
            if self._core.spent and not self._player.pending and all(turn.done for turn in self.turns):
                break  # no answer would come; the last one was heard to its end
        await self._stop()

    async def _detect(self) -> None:
        """Let the server find the turns, or not, as the mode has it."""
        try:
            await self._core.update(turn_detection=False if self._push else self._detection)
        except RtnbError as error:
            self._note = str(error)
        self._soon()

    def _on_sound(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        if self.state == "live" and not self._core.closed and buffers:
            self._mic.take(bytes(buffers[0]))

    def _on_press(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        if self.state != "live":
            return
        self._note = ""
        for turn in reversed(self._core.turns[: self._first]):
            if turn.stop_playback is not None:  # it still sounds in its own cell
                turn.stop_playback()
        self._silence(cancel=True, asked=_hush(message))
        self._mic.clear()
        self._held = True
        self._soon()

    def _on_release(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        if self._held:
            self._let_go()

    def _let_go(self) -> None:
        """Ask for an answer to what was said while the button was held."""
        self._held, self._phase = False, "thinking"
        if self._mic.seconds < _SHORTEST:
            self._phase, self._note = "listening", "That was too short. Hold the button while you speak."
        else:
            try:
                self._core.commit()
            except RtnbError as error:
                self._note = str(error)
        self._soon()

    def _on_mode(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._push = bool(message.get("push"))
        self._held, self._phase = False, "listening"
        if self.state == "live":
            self._mic.clear()
            self._run(self._detect())
        self._soon()

    def _on_interrupt(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._silence(cancel=True, asked=_hush(message))

    def _on_finish(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._silence(cancel=True, asked=_hush(message))
        self._held = False  # the page lets go as it ends, and what was not sent is not wanted
        self._run(self._stop())

    # The session.

    def _on_event(self, event: Event, number: int) -> None:
        kind = event["type"]
        if number >= 0 and any(turn.number == number for turn in self._core.turns[: self._first]):
            return  # the turn was sent before the talk began, and sounds in its own cell
        if kind == "response.output_audio.delta":
            item = self._core.state.conversation.items[event["item_id"]]
            codec = item.parts[event["content_index"]].codec
            if codec is not None:
                self._player.feed(item.id, b64decode(event["delta"]), codec)
            self._phase = "answering"
        elif kind in ("response.output_audio.done", "response.output_item.done"):
            self._player.end(event.get("item_id") or event["item"]["id"])
        elif kind == "input_audio_buffer.speech_started":
            detection = self._core.state.conversation.turn_detection or {}
            if detection.get("interrupt_response") is not False:
                self._silence(cancel=False)
            self._phase, self._note = "hearing", ""
        elif kind == "response.cancel":
            self._silence(cancel=False)
        elif kind in ("conversation.item.truncated", "conversation.item.deleted"):
            self._agree_by = 0.0
        elif kind in ("input_audio_buffer.speech_stopped", "response.created"):
            self._phase = "thinking"
        elif kind == "response.done":
            for item in event["response"].get("output") or ():
                self._player.end(item["id"])
            for id in list(self._player.sounds):
                self._player.end(id)
            self._phase = "listening"
        elif kind == "error":
            self._note = str(event["error"].get("message") or "the service reported an error")
        elif kind == "input_audio_buffer.append":
            return
        self._dirty.add(number)
        self._soon()

    def _silence(self, *, cancel: bool, asked: str = "") -> None:
        """Silence the page at once, and cut to what was heard; ``asked`` is as in ``Player.flush``."""
        # The last first: none of those that wait may begin when the one before it ends.
        running = [turn for turn in reversed(self.turns) if not turn.done] if cancel else []

        def cut(heard: dict[str, float]) -> None:
            for turn in self._core.turns[self._first :]:
                ids = [item.id for item in turn.items]
                if heard.keys() & set(ids):
                    sounds = [self._player.sounds[id] for id in ids if id in self._player.sounds]
                    seconds = sum(sound.heard_ms for sound in sounds) / 1000
                    if self._core.truncate_turn(turn, seconds):
                        self._agree_by = self._core.loop.time() + _AGREE_SECONDS
                    self._dirty.add(turn.number)
            self._soon()

        # Before any is cancelled: each cancel is an event, at which this would begin again without ``asked``.
        if self._player.pending or asked:
            self._player.flush(cut, asked)
        for turn in running:
            self._core.cancel_turn(turn)

    # The page.

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._core.loop.call_later(_TICK, self._update)

    def _update(self) -> None:
        self._scheduled = False
        if self._widget is None:
            return
        for turn in self.turns:
            if turn.number >= 0 and turn.number in self._dirty:
                if self.state == "live":
                    turn.stop_playback = partial(self._silence, cancel=True)
                for line in captions.lines(turn, self._core.state):
                    self._tell(line)
        self._dirty.clear()
        record = self._core.state
        self._tell(
            {
                "kind": "facts",
                "state": self.state,
                "phase": "hearing" if self._held else self._phase,
                "note": self._note,
                "push": self._push,
                "half": self._half,
                "muted": self._muted,
                "capture": self._mic.settings,
                "used": captions.money(record, self._core.billed),
                "context": self._context(),
            }
        )

    def _context(self) -> list[int | None]:
        """Return the tokens of the conversation at its last answer, and the model's window."""
        usages = [
            response.usage
            for turn in self._core.state.turns.all
            for response in turn.responses
            if response.usage is not None and not turn.out_of_band
        ]
        used = usages[-1].total_tokens if usages else 0
        return [used, self._core.state.row.context]

    async def _stop(self) -> None:
        if self.state == "stopped":
            await self._over.wait()
            return
        began, self.state, self._held = self.state == "live", "stopped", False
        try:
            if began:
                try:
                    await self._wind_up()
                finally:  # whatever went wrong, the session may talk again
                    self._unsubscribe()
                    talking.pop(self._core, None)
            else:
                self._first = len(self._core.turns)
            await self._show_card()
        finally:
            self._over.set()

    async def _wind_up(self) -> None:
        """Be silent, let the session be as it was before, and wait for what was just cut short."""
        self._soon()
        self._silence(cancel=True)
        self._mic.clear()
        if not self._core.closed:
            try:
                await self._core.update(session={"audio": {"input": {"turn_detection": self._before}}})
            except RtnbError as error:
                self._note = str(error)
        for turn in self.turns:
            if not turn.items and not turn.input.audio and not turn.input.text and not turn.queued:
                turn.finish(
                    cancelled_before_start=True
                )  # speech that began and was not taken: nothing will answer it
        waiting = [asyncio.ensure_future(_settled(turn)) for turn in self.turns if not turn.done]
        if waiting:
            await asyncio.wait(waiting, timeout=_SETTLE_SECONDS)
        while self._player.silencing or self._agree_by > self._core.loop.time():
            await asyncio.sleep(0.02)
        for turn in self.turns:
            turn.stop_playback = None

    async def _show_card(self) -> None:
        bundle = await self._core.loop.run_in_executor(None, self._repr_mimebundle_)
        self._update()  # the last word on money and state comes before the card, however quick the end was
        for place in self._places:
            place.replace(bundle)
        if self._widget is not None:
            self._widget.finish(bundle["text/html"])


def _hush(message: Mapping[str, Any]) -> str:
    """Return the name of the silence that a page began before it said this; "" where it did not."""
    return str(message.get("hush") or "")


async def _settled(turn: Turn) -> None:
    await turn


_HEARS = {
    "played": Talk._on_played,
    "flushed": Talk._on_played,
    "failed": Talk._on_failed,
    "start": Talk._on_start,
    "capture": Talk._on_capture,
    "wish": Talk._on_wish,
    "sound": Talk._on_sound,
    "press": Talk._on_press,
    "release": Talk._on_release,
    "mode": Talk._on_mode,
    "interrupt": Talk._on_interrupt,
    "finish": Talk._on_finish,
}
