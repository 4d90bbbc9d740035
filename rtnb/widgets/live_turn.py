"""A turn that is not over, live in its cell: captions, a growing waveform, and sound from the first delta.

When the turn is over and was played or interrupted, its static card takes the widget's place, so that the
saved notebook needs no kernel. Where no page ever answers, the card comes as soon as the turn is over.
"""

from __future__ import annotations

import asyncio
import weakref
from base64 import b64decode
from typing import Any

import numpy as np

from ..audio.codecs import from_pcm16
from ..audio.peaks import Peaks
from ..notebook.display import OutputCell
from ..protocol.events import Event
from ..render.turn_card import turn_html
from ..session.async_session import AsyncSession
from ..session.turn import Turn
from . import captions, playback
from .base import BaseWidget, css, esm
from .playback import Player

__all__ = ["Live", "LiveWidget", "show"]

_PAGE_SECONDS = 10.0
"""How long a page may take to show the widget before it counts as absent: the first loads all its code."""
_SILENT_SECONDS = 5.0
"""How long a page that plays may say nothing before it counts as closed; it reports 20 times a second."""
_BLOCKED_SECONDS = 120.0
"""How long sound that the browser holds back waits for its user once the turn is over."""
_AGREE_SECONDS = 2.0
"""How long the server may take to agree to a cut, which the card then shows."""
_TICK = 0.06
"""Seconds between two updates of the page while text and sound stream in."""
_COLUMNS = 240
"""Columns of the whole waveform, and of ten seconds of one that grows."""
_GROWING_SECONDS = 10.0

_shown: weakref.WeakKeyDictionary[Turn, Live] = weakref.WeakKeyDictionary()


class LiveWidget(BaseWidget):
    """The live turn in the page."""

    _esm = esm("live_turn/live_turn")
    _css = css()


def show(turn: Turn) -> Live:
    """Show a turn that is not over in the running cell, and return at once.

    A turn that is live already gets another view of the same widget: it sounds once. One that a talk plays
    is shown without sound.
    """
    core = turn.session
    assert isinstance(core, AsyncSession)
    live = _shown.get(turn)
    if live is None or live.replaced:
        talk = playback.talking.get(core)
        live = _shown[turn] = Live(turn, core, silent=talk is not None and turn in talk.turns)
        live.display()
        core.call_soon(live.begin)
    else:
        live.display()
    return live


class Live:
    """The kernel's end of one live turn. After ``__init__`` all of it runs on the session's loop."""

    def __init__(self, turn: Turn, core: AsyncSession, *, silent: bool = False) -> None:
        self.turn = turn
        self.replaced = False
        self.widget = LiveWidget(lambda message, buffers: core.call_soon(self._hear, message))
        self._core = core
        self._silent = silent
        self._places: list[OutputCell] = []
        self._loop = core.loop
        self._player = Player(self.widget.tell, self._loop.call_later)
        self._peaks = Peaks()
        self._interrupted = False
        self._dirty = False
        self._player.held = True
        self._since = 0.0
        self._last_word = 0.0
        self._agree_by = 0.0
        self._news = asyncio.Event()

    def display(self) -> None:
        """Show the widget in the running cell; its fallback is the card as far as it is known."""
        self._places.append(
            OutputCell(
                {
                    "text/plain": repr(self.turn),
                    "text/html": turn_html(self.turn),
                    "application/vnd.jupyter.widget-view+json": self.widget.view,
                }
            )
        )

    def begin(self) -> None:
        """Take up what the turn has so far, and follow it to its end."""
        self._end_listening = self._core.subscribe(self._on_event)
        for item in self.turn.items:
            for part in item.parts:
                if part.codec is not None and part.chunks:
                    self._sound(item.id, part.data, part.codec)
            if item.status not in (None, "in_progress"):
                self._player.end(item.id)
        self._task = asyncio.ensure_future(self._follow())

    # The turn.

    def _on_event(self, event: Event, number: int) -> None:
        kind = event["type"]
        if kind == "input_audio_buffer.speech_started" and number != self.turn.number:
            detection = self._core.state.conversation.turn_detection or {}
            if detection.get("interrupt_response") is not False:
                self._stop(cancel=False)
            return
        if number != self.turn.number:
            return
        if kind == "response.output_audio.delta":
            item = self._core.state.conversation.items[event["item_id"]]
            part = item.parts[event["content_index"]]
            if part.codec is not None:
                self._sound(item.id, b64decode(event["delta"]), part.codec)
        elif kind in ("response.output_audio.done", "response.output_item.done"):
            self._player.end(event.get("item_id") or event["item"]["id"])
        elif kind == "response.done":
            self._end_all()
        elif kind == "response.cancel":
            self._stop(cancel=False)
        elif kind in ("conversation.item.truncated", "conversation.item.deleted"):
            self._agree_by = 0.0
            self._news.set()
        elif kind in ("conversation.item.truncate", "conversation.item.delete") and not self._interrupted:
            self._interrupted = True
            self._player.flush(lambda heard: self._news.set())
        self._soon()

    def _sound(self, item: str, data: bytes, codec: Any) -> None:
        if self._silent:
            return
        self._peaks.append(from_pcm16(self._player.feed(item, data, codec)))
        if self._player.pending and not self._interrupted:
            playback.stand(self._core, self._play)

    def _play(self) -> None:
        """Have the session's sound, as nothing that came before still needs it."""
        self._since = self._loop.time()
        self._player.release()
        self._news.set()
        self._soon()

    def _leave(self) -> None:
        """Leave the sound to the turn that waits for it."""
        self._player.held = True
        playback.leave(self._core, self._play)

    def _end_all(self) -> None:
        for item in list(self._player.sounds):
            self._player.end(item)

    def silence(self) -> None:
        """Silence the page at once, stop the answer, and cut it to what was heard."""
        self._stop(cancel=True)

    def _stop(self, *, cancel: bool, asked: str = "") -> None:
        if self._interrupted:
            return
        if not self._player.pending and self.turn.done:
            return
        self._interrupted = True
        self._soon()
        playback.leave(self._core, self._play)

        def cut(heard: dict[str, float]) -> None:
            played = sum(s.heard_ms for s in self._player.sounds.values()) / 1000
            sent = False
            if cancel:
                sent = self._core.interrupt_turn(self.turn, played)
            elif heard and self.widget.owner:  # where no page listens, what arrived is all there is to tell
                sent = self._core.truncate_turn(self.turn, played)
            self._agree_by = self._loop.time() + _AGREE_SECONDS if sent else 0.0
            self._news.set()

        self._player.flush(cut, asked)

    # The page.

    def _hear(self, message: dict[str, Any]) -> None:
        self._last_word = self._loop.time()
        kind, page = message.get("kind"), str(message.get("page"))
        if self.widget.greets(message):
            if self.widget.owner in ("", page):
                self._own(page, loaded=True)
            else:
                self.widget.tell({"kind": "owner", "owner": self.widget.owner})
            self._tell_all()
        if kind == "take":
            self._own(page)
        elif kind in ("played", "flushed"):
            self._player.hear(message)
            if not self._player.pending and not self._player.silencing:
                self._leave()
            if kind == "played":
                self.widget.error = ""
            self.widget.playing = self._player.playing
            self.widget.underruns = self._player.underruns
            if message.get("moment") != "count" or kind == "flushed":
                self.widget.played_ms = self._player.played_ms
        elif kind == "stop" and self._silent and self.turn.stop_playback is not None:
            self.turn.stop_playback()  # the talk plays it, and knows what was heard
        elif kind == "stop":
            self._stop(cancel=True, asked=str(message.get("hush") or ""))
        elif kind == "failed":
            self.widget.error = str(message.get("message"))
            self._player.flush(lambda heard: self._news.set(), str(message.get("hush") or ""))
            self._leave()
        self._news.set()

    def _own(self, page: str, *, loaded: bool = False) -> None:
        self.widget.owner = page
        if not self._silent:
            self.turn.stop_playback = self.silence
        self._player.give(page, loaded=loaded)

    def _soon(self) -> None:
        """Update the page soon, once for all that happens until then."""
        if not self._dirty:
            self._dirty = True
            self._loop.call_later(_TICK, self._tell_all)

    def _tell_all(self) -> None:
        self._dirty = False
        if self.replaced or not self.widget.owner:
            return
        for line in captions.lines(self.turn, self._core.state):
            self.widget.tell(line)
        seconds = self._peaks.samples / 24_000
        count = _COLUMNS if self.turn.done else round(_COLUMNS * min(1.0, seconds / _GROWING_SECONDS)) or 1
        columns = np.round(self._peaks.draw(count) * 127).astype(np.int8).tobytes()
        scale = max(seconds, _GROWING_SECONDS if not self.turn.done else 0.0)
        self.widget.tell(
            {
                "kind": "facts",
                "phase": self._phase(),
                "foot": captions.facts(self.turn),
                "seconds": seconds,
                "scale": scale,
                "silent": self._silent,
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
            return "tools"
        return "answering" if self.turn.text_so_far or self._peaks.samples else "waiting"

    # The end.

    async def _follow(self) -> None:
        began = self._loop.time()
        self._tell_all()
        await self.turn
        self._end_all()
        self._tell_all()
        over = self._loop.time()
        while (left := self._patience(began, over)) > 0:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                continue
        playback.leave(self._core, self._play)
        self._end_listening()
        self.turn.stop_playback = None
        await self._replace()

    def _patience(self, began: float, over: float) -> float:
        """Return the seconds to wait for the page to finish; 0 when there is nothing to wait for."""
        now = self._loop.time()
        if self._player.silencing:
            return _SILENT_SECONDS
        if self._agree_by > now:
            return self._agree_by - now
        if self._silent or self._interrupted or not self._player.pending:
            return 0.0
        if self._player.held:
            return _SILENT_SECONDS  # what sounds before it takes its time
        over = max(over, self._since)
        if not self.widget.owner:
            return began + _PAGE_SECONDS - now
        if self.widget.error:
            return 0.0
        if self._player.blocked:
            return over + _BLOCKED_SECONDS - now
        return max(self._last_word, over) + _SILENT_SECONDS - now

    async def _replace(self) -> None:
        # A minute of sound takes most of a second to compress: not on the loop that others speak on.
        card = await self._loop.run_in_executor(None, turn_html, self.turn)
        self.replaced = True
        for place in self._places:
            place.replace({"text/plain": repr(self.turn), "text/html": card})
        self.widget.finish(card)
        _shown.pop(self.turn, None)
