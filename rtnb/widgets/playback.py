"""The kernel's end of the loudspeaker in the page: what was sent there, and what of it was played and heard.

Sound goes as PCM16 at 24 kHz in binary messages to one page, the owner. What comes before there is an owner
is kept and sent when it comes, and what one page has not played goes on in the next. Everything here runs on
the session's loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..audio.codecs import Codec, to_pcm16
from ..audio.samples import Resampler
from ..session.async_session import AsyncSession

if TYPE_CHECKING:
    from .talk import Talk

__all__ = ["RATE", "Player", "Sound", "leave", "stand", "talking"]

talking: dict[AsyncSession, Talk] = {}
"""The talk that plays a session's turns since it began, so that nothing else should: one at a time."""

_lines: dict[AsyncSession, list[Callable[[], None]]] = {}
"""Those that have a session's sound, first, or wait for it. Each stands for a turn in a cell of its own."""


def stand(core: AsyncSession, begin: Callable[[], None]) -> None:
    """Call ``begin`` once all that stood in line before it have left; one that stands there already stays."""
    line = _lines.setdefault(core, [])
    if begin not in line:
        line.append(begin)
        if len(line) == 1:
            begin()


def leave(core: AsyncSession, begin: Callable[[], None]) -> None:
    """Let those behind ``begin`` come forward; one that stands in no line leaves none."""
    line = _lines.get(core, [])
    if begin not in line:
        return
    first = line[0] == begin
    line.remove(begin)
    if not line:
        del _lines[core]
    elif first:
        core.loop.call_soon(line[0])  # not now: what ends this one may be about to end the next one too


RATE = 24_000
"""Samples per second of what the page plays."""

_BYTES_PER_MS = RATE * 2 / 1000
_ANSWER_SECONDS = 0.5
"""How long a page may take to say what it had played when it was silenced; it takes a few milliseconds."""
_PIECE = 96_000
"""Bytes per message where much is sent at once: two seconds."""

Heard = Callable[[dict[str, float]], None]


@dataclass(slots=True)
class Sound:
    """One item's sound as the page plays it. All counts begin at the item's first sample."""

    id: str
    data: bytearray = field(default_factory=bytearray)
    ended: bool = False
    """Whether nothing more comes."""
    played_ms: float = 0.0
    heard_ms: float = 0.0
    """What has left the loudspeaker: less than was played while sound is on its way."""
    over: bool = False
    """Whether it was played to its end."""
    _rest: bytes = b""
    _resampler: Resampler | None = None

    def take(self, data: bytes, codec: Codec, *, last: bool = False) -> bytes:
        """Add a piece as the wire has it, and return it as the page plays it."""
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
    """What one widget plays. ``tell(message, *buffers)`` sends to pages; ``later`` is ``loop.call_later``."""

    def __init__(self, tell: Callable[..., None], later: Callable[[float, Callable[[], None]], Any]) -> None:
        self._tell = tell
        self._later = later
        self.sounds: dict[str, Sound] = {}
        self.owner = ""
        self.held = False
        """Whether what comes is kept until it may sound. What was sent already goes on."""
        self.playing = False
        self.blocked = False
        """Whether the browser holds the sound back until the user does something."""
        self.underruns = 0
        self._codecs: dict[str, Codec] = {}
        self._cut: set[str] = set()
        self._flushes: dict[str, Heard] = {}
        self._count = 0

    # What the session gives.

    def feed(self, item: str, data: bytes, codec: Codec) -> bytes:
        """Play a piece of an item's sound after all that came before, and return it as PCM16 at 24 kHz.

        Of an item that was cut nothing is played any more.
        """
        sound = self.sounds.setdefault(item, Sound(item))
        self._codecs[item] = codec
        piece = sound.take(data, codec)
        if item not in self._cut and not self.held:
            self._send(item, piece)
        return piece

    def end(self, item: str) -> None:
        """Say that an item's sound is complete."""
        sound = self.sounds.get(item)
        if sound is None or sound.ended:
            return
        rest = sound.take(b"", self._codecs[item], last=True)
        sound.ended = True
        if item not in self._cut and not self.held:
            self._send(item, rest)
            self._to_owner({"kind": "end", "item": item})

    def flush(self, then: Heard, asked: str = "") -> None:
        """Silence the page at once; then call ``then`` once with the heard seconds of each item that was cut.

        What was played to its end is not in it. A page that does not answer is taken at its last word.
        ``asked`` names the silence that the page began by itself: its counts come without being asked for,
        and it waits only to be told that what comes next is new.
        """
        cut = [id for id, sound in self.sounds.items() if not sound.over and id not in self._cut]
        self._cut.update(cut)
        self._count += 1
        id = asked or str(self._count)

        def done(_: dict[str, float]) -> None:
            then({id: self.sounds[id].heard_ms / 1000 for id in cut if not self.sounds[id].over})

        if not self.owner:
            done({})
            return
        self._flushes[id] = done
        self._to_owner({"kind": "hushed" if asked else "flush", "id": id})
        self._later(_ANSWER_SECONDS, lambda: self._flushed(id))

    def _flushed(self, id: str) -> None:
        done = self._flushes.pop(id, None)
        if done is not None:
            self.playing = False
            done({})

    # What the pages say.

    def give(self, page: str, *, loaded: bool = False) -> None:
        """Let ``page`` play, from where the one before it stopped. A page that plays already is only told so.

        ``loaded``: it was loaded again, and has nothing any more.
        """
        if self.owner == page and not loaded:
            self._tell({"kind": "owner", "owner": page})
            return
        if self.owner and self.owner != page:
            self._to_owner({"kind": "flush", "id": ""})
        self.owner = page
        self._tell({"kind": "owner", "owner": page})
        if not self.held:
            self._send_all()

    def release(self) -> None:
        """Play what was kept, and from now on what comes."""
        self.held = False
        self._send_all()

    def _send_all(self) -> None:
        for sound in self.sounds.values():
            if sound.over or sound.id in self._cut:
                continue
            self._to_owner({"kind": "begin", "item": sound.id, "played_ms": sound.played_ms})
            start = int(sound.played_ms * _BYTES_PER_MS) // 2 * 2
            self._send(sound.id, bytes(sound.data[start:]))
            if sound.ended:
                self._to_owner({"kind": "end", "item": sound.id})

    def hear(self, message: dict[str, Any]) -> None:
        """Take a page's ``played`` or ``flushed`` message; another page than the owner says nothing here."""
        if message.get("page") != self.owner:
            return
        for id, counts in message["items"].items():
            sound = self.sounds.get(id)
            if sound is not None:
                sound.played_ms = float(counts["played_ms"])
                sound.heard_ms = float(counts["heard_ms"])
                sound.over = sound.over or bool(counts["over"])
        self.playing = bool(message.get("playing"))
        self.blocked = bool(message.get("blocked"))
        self.underruns = int(message.get("underruns", 0))
        if message["kind"] == "flushed":
            self._flushed(str(message["id"]))

    @property
    def played_ms(self) -> float:
        """How much was played, of all items together."""
        return sum(sound.played_ms for sound in self.sounds.values())

    @property
    def pending(self) -> bool:
        """Whether there is sound that was neither played nor cut."""
        return any(not sound.over and id not in self._cut for id, sound in self.sounds.items())

    @property
    def silencing(self) -> bool:
        """Whether a page was told to be silent and has not answered."""
        return bool(self._flushes)

    def _to_owner(self, message: dict[str, Any], *buffers: bytes) -> None:
        if self.owner:
            self._tell({**message, "page": self.owner}, *buffers)

    def _send(self, item: str, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            self._to_owner({"kind": "sound", "item": item}, data[start : start + _PIECE])
