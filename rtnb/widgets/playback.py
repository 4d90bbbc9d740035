"""Playback in the page, seen from the kernel: which turn plays, what was sent, and what was played.

Audio is sent as PCM16 at 24 kHz in binary messages to one page, the owner. Audio that arrives before there is
an owner is kept until there is one, and what one page has not played continues in the next. Everything here
runs on the session's loop.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from ..audio.codecs import Codec, to_pcm16
from ..audio.samples import Resampler
from ..session.async_session import AsyncSession

__all__ = ["RATE", "ItemAudio", "PlaybackQueue", "Player"]


class PlaybackQueue:
    """The order in which turns of one session play, each in a cell of its own: one at a time.

    What waits to play is identified by the function that starts it.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Callable[[], None]] = []
        """The first one plays."""

    @classmethod
    def of(cls, core: AsyncSession) -> PlaybackQueue:
        """Return the queue of a session."""
        if core not in _queues:
            _queues[core] = cls(core.loop)
        return _queues[core]

    def acquire(self, start: Callable[[], None]) -> None:
        """Call ``start`` once all that was queued before it is released. Acquiring again changes nothing."""
        if start not in self._waiting:
            self._waiting.append(start)
            if len(self._waiting) == 1:
                start()

    def release(self, start: Callable[[], None]) -> None:
        """Leave the queue, so that the next one starts; does nothing if ``start`` is not queued."""
        if start not in self._waiting:
            return
        first = self._waiting[0] == start
        self._waiting.remove(start)
        if first and self._waiting:
            # Not at once: what ends this one may be about to end the next one too.
            self._loop.call_soon(self._waiting[0])


_queues: WeakKeyDictionary[AsyncSession, PlaybackQueue] = WeakKeyDictionary()

RATE = 24_000
"""Samples per second of what the page plays."""

_BYTES_PER_MS = RATE * 2 / 1000
_FLUSH_TIMEOUT = 0.5
"""Seconds that a page may take to report what it had played at a flush; it takes a few milliseconds."""
_MAX_MESSAGE_BYTES = 96_000
"""Two seconds of audio: larger pieces are sent as several messages."""

OnFlushed = Callable[[dict[str, float]], None]


@dataclass(slots=True)
class ItemAudio:
    """The audio of one item as the page plays it. All positions count from the item's first sample."""

    id: str
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False
    """Whether all of it has arrived."""
    rendered_ms: float = 0.0
    """What the page has handed to its audio device."""
    played_ms: float = 0.0
    """What has left the loudspeaker: `rendered_ms` without the device's latency."""
    done: bool = False
    """Whether it was played to its end."""
    _rest: bytes = b""
    _resampler: Resampler | None = None

    def append(self, data: bytes, codec: Codec, *, last: bool = False) -> bytes:
        """Add a piece in the session's format and return it in the page's format."""
        data = self._rest + data
        whole = len(data) - len(data) % codec.width  # a piece may end within a sample
        self._rest = data[whole:]
        data = data[:whole]
        if codec.type != "audio/pcm" or codec.rate != RATE:
            if self._resampler is None:
                self._resampler = Resampler(codec.rate, RATE)
            data = to_pcm16(self._resampler.process(codec.decode(data), last=last))
        self.data += data
        return data


class Player:
    """What one widget plays.

    ``post(message, *buffers)`` sends to the pages; ``call_later`` is the loop's method of that name.
    """

    def __init__(
        self, post: Callable[..., None], call_later: Callable[[float, Callable[[], None]], Any]
    ) -> None:
        self._post = post
        self._call_later = call_later
        self.items: dict[str, ItemAudio] = {}
        self.owner = ""
        self.held = False
        """Whether new audio is kept until `send_held`. Audio that was sent before continues to play."""
        self.playing = False
        self.blocked = False
        """Whether the browser blocks playback until the user does something."""
        self.underruns = 0
        self._codecs: dict[str, Codec] = {}
        self._flushed: set[str] = set()
        self._flushes: dict[str, Callable[[], None]] = {}
        self._flush_count = 0

    # Input from the session.

    def feed(self, item: str, data: bytes, codec: Codec) -> bytes:
        """Play a piece of an item after everything fed before, and return it as PCM16 at 24 kHz.

        No more of an item is played once it was flushed.
        """
        audio = self.items.setdefault(item, ItemAudio(item))
        self._codecs[item] = codec
        piece = audio.append(data, codec)
        if item not in self._flushed and not self.held:
            self._send(item, piece)
        return piece

    def end(self, item: str) -> None:
        """Mark an item's audio as complete."""
        audio = self.items.get(item)
        if audio is None or audio.complete:
            return
        rest = audio.append(b"", self._codecs[item], last=True)
        audio.complete = True
        if item not in self._flushed and not self.held:
            self._send(item, rest)
            self._to_owner({"kind": "end", "item": item})

    def end_all(self) -> None:
        """Mark the audio of all items as complete."""
        for item in list(self.items):
            self.end(item)

    def flush(self, then: OnFlushed, stop_id: str = "") -> None:
        """Stop playback at once; then call ``then`` with the seconds played of each item that was not done.

        If the page does not answer, its last report counts. ``stop_id`` names a stop that the page made by
        itself: it reports without being asked, and needs only the acknowledgement that what follows is new.
        """
        stopped = [id for id, audio in self.items.items() if not audio.done and id not in self._flushed]
        self._flushed.update(stopped)
        self._flush_count += 1
        flush_id = stop_id or str(self._flush_count)

        def finish() -> None:
            then({id: self.items[id].played_ms / 1000 for id in stopped if not self.items[id].done})

        if not self.owner:
            finish()
            return
        self._flushes[flush_id] = finish
        self._to_owner({"kind": "playback_stopped" if stop_id else "flush", "id": flush_id})
        self._call_later(_FLUSH_TIMEOUT, lambda: self._finish_flush(flush_id))

    def _finish_flush(self, flush_id: str) -> None:
        finish = self._flushes.pop(flush_id, None)
        if finish is not None:
            self.playing = False
            finish()

    # Pages.

    def set_owner(self, page: str, *, reloaded: bool = False) -> None:
        """Let ``page`` play, from where its predecessor stopped. The present owner is only confirmed.

        ``reloaded``: the page was loaded again and has lost its audio.
        """
        if self.owner == page and not reloaded:
            self._post({"kind": "owner", "owner": page})
            return
        if self.owner and self.owner != page:
            self._to_owner({"kind": "flush", "id": ""})
        self.owner = page
        self._post({"kind": "owner", "owner": page})
        if not self.held:
            self._send_all()

    def send_held(self) -> None:
        """Play the audio that was held, and from now on new audio as it arrives."""
        self.held = False
        self._send_all()

    def _send_all(self) -> None:
        for audio in self.items.values():
            if audio.done or audio.id in self._flushed:
                continue
            self._to_owner({"kind": "begin", "item": audio.id, "rendered_ms": audio.rendered_ms})
            start = int(audio.rendered_ms * _BYTES_PER_MS) // 2 * 2
            self._send(audio.id, bytes(audio.data[start:]))
            if audio.complete:
                self._to_owner({"kind": "end", "item": audio.id})

    def on_report(self, message: dict[str, Any]) -> None:
        """Handle a "played" or "flushed" message; those of pages other than the owner are ignored."""
        if message.get("page") != self.owner:
            return
        for id, report in message["items"].items():
            audio = self.items.get(id)
            if audio is not None:
                audio.rendered_ms = float(report["rendered_ms"])
                audio.played_ms = float(report["played_ms"])
                audio.done = audio.done or bool(report["done"])
        self.playing = bool(message.get("playing"))
        self.blocked = bool(message.get("blocked"))
        self.underruns = int(message.get("underruns", 0))
        if message["kind"] == "flushed":
            self._finish_flush(str(message["id"]))

    @property
    def played_ms(self) -> float:
        """How much audio was played, of all items together."""
        return sum(audio.played_ms for audio in self.items.values())

    @property
    def pending(self) -> bool:
        """Whether there is audio that was neither played nor flushed."""
        return any(not audio.done and id not in self._flushed for id, audio in self.items.items())

    @property
    def flushing(self) -> bool:
        """Whether a page has not yet answered a flush."""
        return bool(self._flushes)

    def _to_owner(self, message: dict[str, Any], *buffers: bytes) -> None:
        if self.owner:
            self._post({**message, "page": self.owner}, *buffers)

    def _send(self, item: str, data: bytes) -> None:
        for start in range(0, len(data), _MAX_MESSAGE_BYTES):
            self._to_owner({"kind": "audio", "item": item}, data[start : start + _MAX_MESSAGE_BYTES])
