"""A turn that runs, live in its cell: captions, a growing waveform, and playback from the first delta.

When the turn is done and was played or interrupted, its static card takes the widget's place, so that the
saved notebook needs no kernel. If no page ever answers, the card is shown as soon as the turn is done.
"""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from ..audio.codecs import from_pcm16
from ..audio.peaks import Peaks
from ..errors import ArgumentError
from ..notebook.display import OutputCell
from ..protocol import changes
from ..protocol.changes import Change, Command
from ..protocol.conversation import Conversation
from ..redaction import clean_name
from ..render.audio_player import player_html
from ..render.turn_card import turn_html
from ..session.async_session import AsyncSession
from ..session.turn import Turn
from . import captions
from .base import BaseWidget, traitlets
from .playback import ItemAudio, PlaybackQueue, Player
from .talk import live_talk

__all__ = ["LiveTurn", "show"]

_PAGE_TIMEOUT = 10.0
"""Seconds that a page may take to show the widget before it counts as absent: the first loads all code."""
_REPORT_TIMEOUT = 5.0
"""Seconds without a report after which a page that plays counts as closed; it reports 20 times a second."""
_AUTOPLAY_TIMEOUT = 120.0
"""Seconds that playback which the browser blocks waits for the user once the turn is done."""
_TRUNCATE_TIMEOUT = 2.0
"""Seconds that the server may take to confirm a truncation, which the card then shows."""
_UPDATE_SECONDS = 0.06
"""Interval between two updates of the page while text and audio stream in."""
_COLUMNS = 120
"""Columns of the whole waveform, and of ten seconds of one that grows."""
_GROWING_SECONDS = 10.0

_shown: weakref.WeakKeyDictionary[Turn, LiveTurn] = weakref.WeakKeyDictionary()


def show(turn: Turn) -> LiveTurn:
    """Show a turn that is not done in the running cell, and return at once.

    A turn that is already shown live gets another view of the same widget and plays once. A turn that a talk
    plays is shown without playback.
    """
    core = turn.session
    assert isinstance(core, AsyncSession)
    live = _shown.get(turn)
    if live is None or live.replaced:
        talk = live_talk(core)
        live = _shown[turn] = LiveTurn(turn, core, silent=talk is not None and turn in talk.turns)
        live.display()
        core.call_soon(live.start)
    else:
        live.display()
    return live


class _Widget(BaseWidget):
    question = traitlets.Unicode().tag(sync=True)
    """The static HTML of the player of what the user said."""


class LiveTurn:
    """The kernel's side of one live turn. After ``__init__`` everything runs on the session's loop.

    ``silent``: a talk plays the turn, so this widget only shows it.
    """

    def __init__(self, turn: Turn, core: AsyncSession, *, silent: bool = False) -> None:
        self.turn = turn
        self.replaced = False
        self.widget = _Widget(
            "live_turn/live_turn", lambda message, buffers: core.call_soon(self._on_message, message)
        )
        self._core = core
        self._silent = silent
        self._cells: list[OutputCell] = []
        self._loop = core.loop
        self._queue = PlaybackQueue.of(core)
        self._player = Player(self.widget.post, self._loop.call_later)
        self._player.held = True
        self._talk_audio: dict[str, ItemAudio] = {}
        self._peaks = Peaks()
        self._interrupted = False
        self._update_scheduled = False
        self._playback_started = 0.0
        self._last_message = 0.0
        self._truncate_deadline = 0.0
        self._changed = asyncio.Event()

    def display(self) -> None:
        """Show the widget in the running cell; its fallback is the card as far as it is known."""
        self._cells.append(
            OutputCell(
                {
                    "text/plain": repr(self.turn),
                    "text/html": turn_html(self.turn),
                    "application/vnd.jupyter.widget-view+json": self.widget.view,
                }
            )
        )

    def start(self) -> None:
        """Play what has arrived of the turn so far, and follow it to its end."""
        self._unsubscribe = self._core.subscribe(self._on_change)
        for item in self.turn.items:
            for part in item.parts:
                if part.codec is not None and part.chunks:
                    self._feed(item.id, part.data, part.codec)
            if item.status not in (None, "in_progress"):
                self._player.end(item.id)
        self._task = asyncio.ensure_future(self._follow())

    # The turn.

    def _on_change(self, change: Change | Command, number: int) -> None:
        if isinstance(change, changes.SpeechStarted) and number != self.turn.number:
            if (self._conversation.turn_detection or {}).get("interrupt_response") is not False:
                self._stop(cancel=False)
            return
        if number != self.turn.number:
            return
        if isinstance(change, changes.AudioDelta):
            id = self._conversation.output_id(change.response_id, change.item_id)
            codec = self._conversation.items[id].parts[change.content_index].codec
            if codec is not None:
                self._feed(id, bytes(change.audio), codec)
        elif isinstance(change, changes.AudioDone):
            self._player.end(self._conversation.output_id(change.response_id, change.item_id))
        elif isinstance(change, changes.OutputItemDone):
            self._player.end(self._conversation.output_id(change.response_id, change.item.id))
        elif isinstance(change, changes.ResponseEnded):
            self._player.end_all()
        elif isinstance(change, changes.Cancel):
            self._stop(cancel=False)
        elif isinstance(change, (changes.Truncated, changes.ItemDeleted)):
            self._truncate_deadline = 0.0
            self._changed.set()
        elif isinstance(change, (changes.Truncate, changes.DeleteItem)) and not self._interrupted:
            self._interrupted = True
            self._player.flush(lambda played: self._changed.set())
        self._schedule_update()

    @property
    def _conversation(self) -> Conversation:
        return self._core.state.conversation

    def _feed(self, item: str, data: bytes, codec: Any) -> None:
        if self._silent:
            piece = self._talk_audio.setdefault(item, ItemAudio(item)).append(data, codec)
            self._peaks.append(from_pcm16(piece))
            return
        self._peaks.append(from_pcm16(self._player.feed(item, data, codec)))
        if self._player.pending and not self._interrupted:
            self._queue.acquire(self._start_playback)

    def _start_playback(self) -> None:
        self._playback_started = self._loop.time()
        self._player.send_held()
        self._changed.set()
        self._schedule_update()

    def _release_playback(self) -> None:
        """Let the next turn in the queue play."""
        self._player.held = True
        self._queue.release(self._start_playback)

    def stop_playback(self) -> None:
        """Stop playback at once, cancel the answer, and truncate it to what was played."""
        self._stop(cancel=True)

    def _stop(self, *, cancel: bool, stop_id: str = "") -> None:
        if self._interrupted:
            return
        if not self._player.pending and self.turn.done:
            return
        self._interrupted = True
        self._schedule_update()
        self._queue.release(self._start_playback)

        def truncate(played: dict[str, float]) -> None:
            seconds = sum(audio.played_ms for audio in self._player.items.values()) / 1000
            sent = False
            if cancel:
                sent = self._core.interrupt_turn(self.turn, seconds)
            elif played and self.widget.owner:  # without a page, what was played is not known
                sent = self._core.truncate_turn(self.turn, seconds)
            self._truncate_deadline = self._loop.time() + _TRUNCATE_TIMEOUT if sent else 0.0
            self._changed.set()

        self._player.flush(truncate, stop_id)

    # The page.

    def _on_message(self, message: dict[str, Any]) -> None:
        self._last_message = self._loop.time()
        kind, page = message.get("kind"), str(message.get("page"))
        stop_id = str(message.get("stop_id") or "")
        if self.widget.is_first_message(message):
            if self.widget.owner in ("", page):
                self._set_owner(page, reloaded=True)
            else:
                self.widget.post({"kind": "owner", "owner": self.widget.owner})
            self._update()
        if kind in ("approve", "refuse"):
            self._on_decision(kind, str(message.get("call")))
        elif kind == "take_over":
            self._set_owner(page)
        elif kind in ("played", "flushed"):
            self._on_report(message)
        elif kind == "stop" and self._silent and self.turn.stop_playback is not None:
            self.turn.stop_playback()  # the talk plays the turn, and knows how much was played
        elif kind == "stop":
            self._stop(cancel=True, stop_id=stop_id)
        elif kind == "failed":
            self.widget.error = str(message.get("message"))
            self._player.flush(lambda played: self._changed.set(), stop_id)
            self._release_playback()
        self._changed.set()

    def _on_decision(self, verb: str, call_id: str) -> None:
        """The user approves or refuses a call in the page; another page may have been faster."""
        with suppress(ArgumentError):
            self._core.on_call(self.turn, verb, call_id)
        self._schedule_update()

    def _on_report(self, message: dict[str, Any]) -> None:
        self._player.on_report(message)
        if not self._player.pending and not self._player.flushing:
            self._release_playback()
        if message["kind"] == "played":
            self.widget.error = ""
        self.widget.playing = self._player.playing
        self.widget.underruns = self._player.underruns
        if message.get("moment") != "count" or message["kind"] == "flushed":
            self.widget.played_ms = self._player.played_ms

    def _set_owner(self, page: str, *, reloaded: bool = False) -> None:
        self.widget.owner = page
        if not self._silent:
            self.turn.stop_playback = self.stop_playback
        self._player.set_owner(page, reloaded=reloaded)

    def _schedule_update(self) -> None:
        if not self._update_scheduled:
            self._update_scheduled = True
            self._loop.call_later(_UPDATE_SECONDS, self._update)

    def _update(self) -> None:
        """Send captions, waveform and state to the page."""
        self._update_scheduled = False
        if self.replaced or not self.widget.owner:
            return
        for line in captions.lines(self.turn, self._core.state):
            self.widget.post(line)
        seconds = self._peaks.samples / 24_000
        count = _COLUMNS if self.turn.done else round(_COLUMNS * min(1.0, seconds / _GROWING_SECONDS)) or 1
        columns = np.round(self._peaks.draw(count) * 127).astype(np.int8).tobytes()
        scale = max(seconds, _GROWING_SECONDS if not self.turn.done else 0.0)
        self.widget.post(
            {
                "kind": "facts",
                "phase": self._phase(),
                **captions.card(self.turn),
                "seconds": seconds,
                "scale": scale,
                "silent": self._silent,
                "calls": [
                    {
                        "id": call.id,
                        "text": clean_name(f"{call.name}({call.arguments})"),
                        "runs": self._core.can_run(call),
                    }
                    for call in self._core.waiting_calls(self.turn)
                ],
            },
            columns,
        )

    def _phase(self) -> str:
        if self._interrupted:
            return "interrupted"
        if self._player.held and self._player.pending:
            return "held"
        if self.turn.done:
            return "done"
        if self.turn.queued:
            return "queued"
        if any(call.output is None for call in self.turn.calls):
            if not self.turn.waiting:
                return "tools"
            runs = any(self._core.can_run(call) for call in self._core.waiting_calls(self.turn))
            return "approval" if runs else "output"
        return "answering" if self.turn.text_so_far or self._peaks.samples else "waiting"

    # The end.

    async def _follow(self) -> None:
        started = self._loop.time()
        self._update()
        question = self.turn.input.audio
        if question is not None and len(question):
            show = partial(player_html, question, "what you said")
            self.widget.question = str(await self._loop.run_in_executor(None, show))
        await self.turn.finished()
        self._player.end_all()
        self._update()
        done = self._loop.time()
        while (left := self._seconds_left(started, done)) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                continue
        self._queue.release(self._start_playback)
        self._unsubscribe()
        self.turn.stop_playback = None
        await self._replace()

    def _seconds_left(self, started: float, done: float) -> float:
        """Return how long to wait for the page to finish; 0 if there is nothing to wait for.

        ``started`` and ``done`` are when the turn was shown and when it was done.
        """
        now = self._loop.time()
        if self._player.flushing:
            return _REPORT_TIMEOUT
        if self._truncate_deadline > now:
            return self._truncate_deadline - now
        if self._silent or self._interrupted or not self._player.pending:
            return 0.0
        if self._player.held:
            return _REPORT_TIMEOUT  # the turns before it take as long as they take
        done = max(done, self._playback_started)
        if not self.widget.owner:
            return started + _PAGE_TIMEOUT - now
        if self.widget.error:
            return 0.0
        if self._player.blocked:
            return done + _AUTOPLAY_TIMEOUT - now
        return max(self._last_message, done) + _REPORT_TIMEOUT - now

    async def _replace(self) -> None:
        # Compressing a minute of audio takes most of a second, which would block the loop.
        card = await self._loop.run_in_executor(None, turn_html, self.turn)
        self.replaced = True
        for cell in self._cells:
            cell.replace({"text/plain": repr(self.turn), "text/html": card})
        self.widget.finish(card)
        _shown.pop(self.turn, None)
